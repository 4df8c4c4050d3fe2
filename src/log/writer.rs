//! The writer: the one thread that changes the store.
//!
//! It takes what is waiting, makes one commit of it, syncs where events or configuration are in it, and
//! only then says so. Memory is changed after the disk, never before: a write that fails leaves nothing
//! to take back, and its askers are told that nothing was taken.
//!
//! When a write has failed, RocksDB takes no more (see [`super::store`]). The writer then refuses what is
//! new, keeps settlements, and opens the store again once a second while there is room. Whether the
//! write that failed is on disk after all is *in doubt* until then; if it is, it counts as made, since
//! its rows cannot be told from others any more.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::api::{Outbox, Refused, Request};
use super::census::Counting;
use super::commit::{Append, put_registry_rows};
use super::db::{Batch, Family};
use super::guard::StoreError;
use super::handing::Worker;
use super::key::Key;
use super::options::{COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, LogOptions, REQUESTS_MAX};
use super::publish::Doubt;
use super::record::encode;
use super::recovery::LogState;
use super::sealing::Sealing;
use super::settling::{delete_failing, delete_retries, delete_subscription, put_settlement, put_watermark};
use super::stats::{CommitMeasure, LogStats, Observer};
use super::store::Store;
use crate::model::{Mono, SubscriptionKey, UnixMillis};
use crate::registry::{Asked, ChangeError, Changed, Plan, Registry};
use crate::route::Index;
use crate::rt;
use crate::settle::{RetryKey, Settlement};

/// How often the writer looks after itself, busy or idle.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What the writer is given.
pub struct WriterParts {
    pub store: Arc<Store>,
    pub state: LogState,
    pub options: LogOptions,
    /// Loaded with the rows that recovery found.
    pub registry: Arc<RwLock<Registry>>,
    /// Built from the registry. The writer alone changes it from here on.
    pub index: Arc<ArcSwap<Index>>,
    /// One per worker.
    pub outboxes: Vec<Arc<dyn Outbox>>,
    pub observer: Box<dyn Observer>,
}

/// A running writer.
pub struct WriterHandle {
    requests: Sender<Request>,
    thread: JoinHandle<()>,
}

impl WriterHandle {
    /// Where to send requests; bounded by [`REQUESTS_MAX`]. Full means busy: `try_send` and say so.
    #[must_use]
    pub fn requests(&self) -> Sender<Request> {
        self.requests.clone()
    }

    /// Waits for the thread to end, after [`Request::Stop`]. False where it panicked.
    #[must_use]
    pub fn join(self) -> bool {
        drop(self.requests);
        self.thread.join().is_ok()
    }

    /// Whether the thread has ended. Without [`Request::Stop`], that is a bug.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts the writer.
///
/// # Errors
/// The store cannot be written, or no thread can be had.
pub fn start(parts: WriterParts) -> Result<WriterHandle, StoreError> {
    let (requests, queue) = bounded(REQUESTS_MAX);
    let mut writer = Writer::new(parts, queue);
    writer.claim_watermarks()?;
    let thread = thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Unusable(error.to_string()))?;
    Ok(WriterHandle { requests, thread })
}

pub(super) struct Writer {
    pub store: Arc<Store>,
    pub stats: Arc<LogStats>,
    pub state: LogState,
    pub options: LogOptions,
    pub registry: Arc<RwLock<Registry>>,
    pub index: Arc<ArcSwap<Index>>,
    pub workers: Vec<Worker>,
    pub observer: Box<dyn Observer>,
    pub queue: Receiver<Request>,
    /// Settlements that are not written yet; at most one of each worker.
    pub pending: Vec<Settlement>,
    /// Subscriptions whose rows are to go with the next write.
    pub deleted: Vec<SubscriptionKey>,
    /// Minutes that the time line had no room for; their rows go with the next floor.
    pub minutes_gone: Vec<u32>,
    pub sealing: Option<Sealing>,
    pub census: Counting,
    pub failed: Option<Doubt>,
    pub disk_low: bool,
    pub ticks: u64,
    pub next_tick: Mono,
}

/// What one burst gathers.
#[derive(Default)]
struct Burst {
    appends: Vec<Append>,
    events: usize,
    bytes: usize,
    stop: Option<oneshot::Sender<()>>,
}

impl Writer {
    fn new(parts: WriterParts, queue: Receiver<Request>) -> Self {
        Self {
            stats: Arc::clone(parts.store.stats()),
            store: parts.store,
            state: parts.state,
            options: parts.options,
            registry: parts.registry,
            index: parts.index,
            workers: parts.outboxes.into_iter().map(Worker::new).collect(),
            observer: parts.observer,
            queue,
            pending: Vec::new(),
            deleted: Vec::new(),
            minutes_gone: Vec::new(),
            sealing: None,
            census: Counting::default(),
            failed: None,
            disk_low: false,
            ticks: 0,
            next_tick: Mono(0),
        }
    }

    /// Gives each worker of this run the lowest watermark of all that were, and forgets those that are no
    /// more: subscriptions may have moved between any of them.
    fn claim_watermarks(&mut self) -> Result<(), StoreError> {
        let low = self.state.watermarks.values().copied().min().unwrap_or_default();
        let gone: Vec<u16> = self.state.watermarks.keys().copied().collect();
        self.state.watermarks = (0u16..).zip(&self.workers).map(|(worker, _)| (worker, low)).collect();
        self.store.with(|db| {
            let mut batch = db.batch()?;
            for worker in gone {
                batch.delete(Family::Meta, Key::Watermark { worker }.encode().as_ref());
            }
            for worker in self.state.watermarks.keys() {
                put_watermark(&mut batch, *worker, low)?;
            }
            db.write(batch, true).map(|_| ())
        })
    }

    fn run(mut self) {
        loop {
            let idle = self.next_tick.since((self.options.clock)().mono);
            let counts = self.census.wants_page() && self.failed.is_none();
            let wait = if counts { Duration::ZERO } else { idle };
            match self.queue.recv_timeout(wait) {
                Ok(first) => {
                    if let Some(stopped) = self.burst(first) {
                        return self.finish(Some(stopped));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Everybody who could ask is gone; what was asked is done.
                Err(RecvTimeoutError::Disconnected) => return self.finish(None),
            }
            let now = (self.options.clock)();
            if now.mono >= self.next_tick {
                self.next_tick = now.mono + TICK;
                self.tick(now);
            }
            self.take_census();
            self.wake();
        }
    }

    /// Takes what is waiting, within bounds, and makes commits of it.
    fn burst(&mut self, first: Request) -> Option<oneshot::Sender<()>> {
        let mut burst = Burst::default();
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Append { events, reply } => {
                    burst.events += events.len();
                    burst.bytes += events.iter().map(|event| event.body.len()).sum::<usize>();
                    burst.appends.push(Append { events, reply });
                }
                // A change sees everything before it: its effect begins behind those events.
                Request::Change { change, reply } => {
                    self.commit_events(std::mem::take(&mut burst.appends));
                    let answer = self.commit_change(change);
                    let _ = reply.send(answer);
                    // One a burst, so that a stream of changes starves neither upkeep nor wake-ups.
                    break;
                }
                Request::Settle(settlement) => self.pending.push(settlement),
                Request::CaughtUp { worker, position } => self.caught_up(worker, position),
                Request::Jobs { put, delete, note, reply } => {
                    // Who asked may have gone.
                    let _ = reply.send(self.commit_jobs(&put, &delete, note));
                }
                Request::Stop { reply } => burst.stop = Some(reply),
            }
            if burst.stop.is_none() && burst.events < COMMIT_EVENTS_MAX && burst.bytes < COMMIT_BYTES_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        self.commit_events(std::mem::take(&mut burst.appends));
        if !self.pending.is_empty() && self.failed.is_none() {
            // Its failure is dealt with inside; nobody waits for an answer to a settlement.
            let sync = self.pending.iter().any(|settlement| settlement.sync);
            let _ = self.write(sync, |_| Ok(()));
        }
        burst.stop
    }

    fn refusal(&self) -> Option<Refused> {
        if self.failed.is_some() {
            Some(Refused::Store("an earlier write failed".to_owned()))
        } else if self.disk_low {
            Some(Refused::DiskReserve)
        } else {
            None
        }
    }

    pub(super) fn commit_events(&mut self, mut requests: Vec<Append>) {
        requests.extend(self.announcements());
        if requests.is_empty() {
            return;
        }
        if let Some(refused) = self.refusal() {
            for request in requests {
                let _ = request.reply.send(Err(refused.clone()));
            }
            return;
        }
        let now = (self.options.clock)();
        let mut staged = self.stage(requests, now.wall);
        let replies = std::mem::take(&mut staged.replies);
        if !staged.events.is_empty() {
            match self.write(true, |batch| staged.put(batch, now.wall)) {
                Ok(fsync) => {
                    self.observer.commit(CommitMeasure {
                        events: staged.events.len(),
                        bytes: staged.bytes,
                        duration: (self.options.clock)().mono.since(now.mono),
                        fsync,
                    });
                }
                Err(error) => {
                    self.failed = Some(Doubt::Events(Box::new(staged)));
                    for (reply, _) in replies {
                        let _ = reply.send(Err(Refused::Store(error.to_string())));
                    }
                    return;
                }
            }
        }
        LogStats::add(&self.stats.duplicates, staged.duplicates);
        // Accounts first: who has the answer may ask for what it names.
        let events = self.install_events(staged);
        for (reply, results) in replies {
            let _ = reply.send(Ok(results));
        }
        self.hand_over(events);
        if (self.sealing.is_some() || self.state.dedupe.wants_seal(now.wall))
            && let Err(error) = self.seal(now.wall)
        {
            tracing::error!(code = error.code(), %error, "a deduplication partition could not be sealed");
        }
    }

    fn commit_change(&mut self, asked: Asked) -> Result<Changed, ChangeError> {
        if let Some(refused) = self.refusal() {
            return Err(refused.into());
        }
        let now = (self.options.clock)();
        let plan = self.plan(asked, now.wall)?;
        let staged = self.stage_event(plan.event(), now.wall);
        if !plan.rows().is_empty()
            && let Err(error) = self.write(true, |batch| {
                put_registry_rows(batch, plan.rows());
                plan.begun_anew().for_each(|key| delete_failing(batch, key));
                staged.as_ref().map_or(Ok(()), |staged| staged.put(batch, now.wall))
            })
        {
            self.failed = Some(Doubt::Change(Box::new((plan, staged))));
            return Err(Refused::Store(error.to_string()).into());
        }
        Ok(self.install_announced(plan, staged))
    }

    pub(super) fn plan(&self, asked: Asked, now: UnixMillis) -> Result<Plan, ChangeError> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.plan(asked, self.state.head.next(), self.store.floor(), now, rt::random::bytes())
    }

    /// Writes what is pending and what `add` adds, in one piece. Gives the time of the write-ahead log.
    pub(super) fn write(
        &mut self,
        sync: bool,
        add: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<Duration, StoreError> {
        let mut counters = self.state.counters;
        let mut orphans: Vec<RetryKey> = std::iter::from_fn(|| self.store.orphans.pop()).collect();
        orphans.sort_unstable();
        orphans.dedup();
        // Its own worker may have deleted it already.
        let settled = |key: &RetryKey| self.pending.iter().any(|it| it.retries_delete.contains(key));
        orphans.retain(|key| !settled(key));
        let written = self.store.with(|db| {
            let mut batch = db.batch()?;
            for settlement in &self.pending {
                put_settlement(&mut batch, settlement, &mut counters)?;
                let worker = u16::try_from(settlement.worker).unwrap_or(u16::MAX);
                if self.state.watermarks.get(&worker).is_none_or(|held| *held < settlement.watermark) {
                    put_watermark(&mut batch, worker, settlement.watermark)?;
                }
            }
            for subscription in &self.deleted {
                delete_subscription(&mut batch, *subscription);
            }
            // Found once, read twice: only what is still there counts.
            for key in &orphans {
                if db.get(Family::Retries, Key::Retry(*key).encode().as_ref())?.is_some() {
                    delete_retries(&mut batch, &[*key], &mut counters);
                }
            }
            if counters != self.state.counters {
                batch.put(Family::Meta, Key::Counters.encode().as_ref(), &encode(&counters)?);
            }
            add(&mut batch)?;
            if batch.is_empty() { Ok(0) } else { db.write(batch, sync) }
        });
        match written {
            Ok(fsync) => {
                self.state.counters = counters;
                self.count_written(&orphans);
                self.deleted.clear();
                self.settled();
                Ok(Duration::from_nanos(fsync))
            }
            Err(error) => {
                LogStats::add(&self.stats.write_errors, 1);
                self.stats.failed.store(true, std::sync::atomic::Ordering::Relaxed);
                tracing::error!(code = error.code(), %error, "the store does not take a write");
                self.failed.get_or_insert(Doubt::Settlements);
                self.count_again();
                Err(error)
            }
        }
    }

    /// Makes durable what is written, answers, and refuses the rest.
    fn finish(mut self, reply: Option<oneshot::Sender<()>>) {
        if self.failed.is_none() {
            let _ = self.write(false, |_| Ok(()));
            self.store.rollups().begin((self.options.clock)().wall);
            // Where this fails charts lack their last minute.
            let _ = self.write_rollups(usize::MAX);
            let counters = self.state.counters;
            // Where this fails nothing is lost but the last settlements, which are made again.
            let _ = self.write(true, |batch| {
                batch.put(Family::Meta, Key::Counters.encode().as_ref(), &encode(&counters)?);
                Ok(())
            });
        }
        self.wake();
        while let Ok(request) = self.queue.try_recv() {
            match request {
                Request::Append { reply, .. } => drop(reply.send(Err(Refused::Stopping))),
                Request::Change { reply, .. } => drop(reply.send(Err(Refused::Stopping.into()))),
                Request::Jobs { reply, .. } => drop(reply.send(Err(Refused::Stopping))),
                Request::Stop { reply } => drop(reply.send(())),
                Request::Settle(_) | Request::CaughtUp { .. } => {}
            }
        }
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }
}
