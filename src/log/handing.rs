//! The hand-off to workers, as the writer does it.
//!
//! All of it is about order. A worker hears of an index before it gets a commit that was routed with it; the
//! head rises after the commit was handed over, so that a worker which reads the head and then finds its queue
//! empty misses nothing; and workers are woken last. `tests/models` runs this file under loom.

use std::sync::Arc;

use super::api::{Commit, Input, Outbox};
use crate::model::{Event, Seq};
use crate::registry::Changed;
use crate::route::Index;

/// One worker, as the writer sees it.
pub struct Worker {
    pub outbox: Arc<dyn Outbox>,
    /// Gets commits as they come. Otherwise it reads the log.
    pub live: bool,
    /// The newest event that it was given, or told to read.
    pub pushed: Seq,
    pub touched: bool,
}

impl Worker {
    pub fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self { outbox, live: false, pushed: Seq(0), touched: false }
    }

    pub fn tell(&mut self, input: Input) {
        self.outbox.input(input);
        self.touched = true;
    }

    /// It has read everything up to a place below `head`, which is on disk: it reads on up to there, and
    /// commits above come as they happen.
    pub fn caught_up(&mut self, head: Seq) {
        self.live = true;
        self.pushed = self.pushed.max(head);
        self.tell(Input::Live { after: head });
    }
}

/// Gives what is durable to those that want one of its events and are not reading the log.
pub fn hand_over(workers: &mut [Worker], index: &Index, events: Vec<Arc<Event>>, set_head: impl FnOnce(Seq)) {
    let Some(last) = events.last().map(|event| event.seq) else { return };
    let wanting = |event: &Arc<Event>| index.workers_wanting(event.account, event.type_bit, event.seq);
    let wanted = events.iter().fold(0, |wanted, event| wanted | wanting(event));
    let bytes = events.iter().map(|event| event.body().len()).sum();
    let commit = Arc::new(Commit { events, index_version: index.version(), bytes });
    for (bit, worker) in workers.iter_mut().enumerate() {
        if worker.live && (wanted >> bit) & 1 == 1 {
            worker.touched = true;
            worker.live = worker.outbox.try_commit(&commit);
            if worker.live {
                worker.pushed = last;
            }
        }
    }
    set_head(last);
}

/// Tells of a change, which is in the index that readers see already.
pub fn tell_all(workers: &mut [Worker], changed: &Arc<Changed>, index: &Arc<Index>) {
    for worker in workers {
        worker.tell(Input::Changed { changed: Arc::clone(changed), index: Arc::clone(index) });
    }
}

/// Wakes those that were told something.
pub fn wake(workers: &mut [Worker]) {
    for worker in workers.iter_mut().filter(|worker| worker.touched) {
        worker.touched = false;
        worker.outbox.wake();
    }
}
