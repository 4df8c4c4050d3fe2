//! The readers: a few threads that answer the workers' questions, so that no worker ever waits for a disk.
//!
//! A worker always gets its answer: where the store fails, the reader asks again after a pause. It never
//! gives up, since nobody else would ask.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded, tick};

use super::api::{Input, Outbox, Read};
use super::guard::StoreError;
use super::pages::{backlog, bodies, heads_page, log_page, retry_page, subscription_page};
use super::replays::replay_page;
use super::store::Store;
use crate::route::Index;

/// Questions that wait at most. Askers bound themselves far below: a lagging subscription has one open.
pub const READS_MAX: usize = 64 * 1024;
/// Threads that answer.
pub const READERS: usize = 2;
/// Between two tries where the store fails.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Where to ask.
#[derive(Clone)]
pub struct ReaderHandle {
    reads: Sender<Read>,
}

impl ReaderHandle {
    /// Asks; the answer comes through the worker's outbox.
    ///
    /// # Errors
    /// Gives the question back where [`READS_MAX`] wait already, or where the readers have stopped.
    pub fn ask(&self, read: Read) -> Result<(), Read> {
        self.reads.try_send(read).map_err(|error| match error {
            TrySendError::Full(read) | TrySendError::Disconnected(read) => read,
        })
    }
}

/// The running readers.
pub struct Readers {
    stop: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Lets each reader end its page, drops what waits, and waits for the threads. False where one
    /// panicked.
    #[must_use]
    pub fn stop(self) -> bool {
        drop(self.stop);
        // All of them, whatever the first said.
        let ended: Vec<bool> = self.threads.into_iter().map(|thread| thread.join().is_ok()).collect();
        ended.into_iter().all(|fine| fine)
    }
}

/// Starts the readers.
///
/// # Errors
/// No thread can be had.
pub fn start(
    store: &Arc<Store>,
    index: &Arc<ArcSwap<Index>>,
    outboxes: &[Arc<dyn Outbox>],
) -> Result<(ReaderHandle, Readers), StoreError> {
    let (reads, queue) = bounded(READS_MAX);
    let (stop, stopped) = bounded(0);
    let mut threads = Vec::with_capacity(READERS);
    for number in 0..READERS {
        let reader = Reader {
            store: Arc::clone(store),
            index: Arc::clone(index),
            outboxes: outboxes.to_vec(),
            queue: queue.clone(),
            stopped: stopped.clone(),
        };
        let thread = thread::Builder::new()
            .name(format!("log-reader-{number}"))
            .spawn(move || reader.run())
            .map_err(|error| StoreError::Unusable(error.to_string()))?;
        threads.push(thread);
    }
    Ok((ReaderHandle { reads }, Readers { stop, threads }))
}

struct Reader {
    store: Arc<Store>,
    index: Arc<ArcSwap<Index>>,
    outboxes: Vec<Arc<dyn Outbox>>,
    queue: Receiver<Read>,
    /// Closed when it is time to leave.
    stopped: Receiver<()>,
}

impl Reader {
    fn run(self) {
        loop {
            crossbeam::channel::select_biased! {
                recv(self.stopped) -> _ => return,
                recv(self.queue) -> read => {
                    let Ok(read) = read else { return };
                    if !self.answer(&read) {
                        return;
                    }
                }
            }
        }
    }

    /// False where it was told to leave before the store answered.
    fn answer(&self, read: &Read) -> bool {
        loop {
            match self.page(read) {
                Ok((worker, input)) => {
                    if let Some(outbox) = self.outboxes.get(worker) {
                        outbox.input(input);
                        outbox.wake();
                    }
                    return true;
                }
                Err(error) => {
                    tracing::error!(code = error.code(), %error, "a page of the log cannot be read; trying again");
                    let pause = tick(RETRY_PAUSE);
                    crossbeam::channel::select_biased! {
                        recv(self.stopped) -> _ => return false,
                        recv(pause) -> _ => {}
                    }
                }
            }
        }
    }

    fn page(&self, read: &Read) -> Result<(usize, Input), StoreError> {
        let store = &*self.store;
        store.with(|db| {
            // In this order: an index that is loaded after the head is at least as new as every event up
            // to the head, and pages show nothing above it.
            let head = store.head();
            let index = self.index.load();
            Ok(match read {
                Read::Log { worker, from } => {
                    (*worker, Input::LogPage(log_page(store, db, &index, *worker, (*from, head))?))
                }
                Read::Subscription { worker, subscription, from, limit } => {
                    // The asker's record may be older than events that the page would show.
                    let present = index.subscription(subscription.key).unwrap_or(subscription);
                    let page = subscription_page(store, db, present, (*from, head), *limit)?;
                    (*worker, Input::SubscriptionPage(page))
                }
                Read::Retries { worker, only, after, until } => {
                    let page = retry_page(store, db, &index, *worker, *only, (*after, *until))?;
                    (*worker, Input::RetryPage(page))
                }
                Read::Heads { worker, subscription, serial, after } => {
                    let page = heads_page(store, db, &index, *subscription, *serial, *after)?;
                    (*worker, Input::Heads(page))
                }
                Read::Backlog { worker, subscription, from, through } => {
                    (*worker, Input::Backlog(backlog(store, db, subscription, (*from, *through))?))
                }
                Read::Replay { worker, subscription, seqs } => {
                    (*worker, Input::ReplayPage(replay_page(store, db, subscription, seqs)?))
                }
                Read::Bodies { worker, wanted } => (*worker, Input::Bodies(bodies(store, db, wanted)?)),
            })
        })
    }
}
