//! What other threads hand to a worker: a bounded queue of commits, a list of other inputs, and one
//! wake-up per burst.
//!
//! A full queue of commits is no loss: they are in the log. The mailbox notes that it refused one, and
//! the worker reads on from the log instead. The other inputs are bounded by what a worker asked for and
//! by the rate of durable changes of the configuration.

use std::sync::Arc;
use std::task::Waker;

use super::sync::{ArrayQueue, AtomicBool, AtomicU64, AtomicUsize, AtomicWaker, Ordering, SegQueue};
use crate::log::api::{Commit, Input, Outbox};

/// Commits that wait for a worker at most.
pub const COMMITS_MAX: usize = 1024;
/// Bytes of bodies that wait for a worker at most (one commit more than that may wait).
pub const COMMITS_BYTES_MAX: usize = 32 << 20;

pub struct Mailbox {
    commits: ArrayQueue<Arc<Commit>>,
    bytes: AtomicUsize,
    inputs: SegQueue<Input>,
    /// A commit was refused since the writer last set the worker live.
    behind: AtomicBool,
    waker: AtomicWaker,
    /// The worker sleeps or is about to.
    armed: AtomicBool,
    /// When the worker last ran a turn, in milliseconds of the monotonic clock.
    beat_ms: AtomicU64,
    /// The worker has taken in everything that the log held when it started.
    recovered: AtomicBool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            commits: ArrayQueue::new(COMMITS_MAX),
            bytes: AtomicUsize::new(0),
            inputs: SegQueue::new(),
            behind: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            armed: AtomicBool::new(false),
            beat_ms: AtomicU64::new(0),
            recovered: AtomicBool::new(false),
        }
    }
}

impl Mailbox {
    /// When the worker last ran, in milliseconds of the monotonic clock.
    pub fn beat_ms(&self) -> u64 {
        self.beat_ms.load(Ordering::Relaxed)
    }

    /// Whether the worker has taken in everything that the log held when it started.
    pub fn is_recovered(&self) -> bool {
        self.recovered.load(Ordering::Relaxed)
    }

    pub(super) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Relaxed);
    }

    pub(super) fn beat(&self, now_ms: u64) {
        self.beat_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn pop_commit(&self) -> Option<Arc<Commit>> {
        let commit = self.commits.pop()?;
        self.bytes.fetch_sub(commit.bytes, Ordering::Relaxed);
        Some(commit)
    }

    pub(super) fn pop_input(&self) -> Option<Input> {
        self.inputs.pop()
    }

    /// Whether a commit was refused. The flag stands until the writer says `Live`.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.inputs.is_empty()
    }

    /// Arms the wake-up. `false` where something is there already: then the worker must not sleep. To one
    /// that is `live`, a commit that was refused is something: nothing else in the mailbox tells of it.
    pub(super) fn arm(&self, waker: &Waker, live: bool) -> bool {
        self.waker.register(waker);
        self.armed.store(true, Ordering::SeqCst);
        let refused = live && self.behind.load(Ordering::SeqCst);
        let sleeps = self.is_empty() && !refused;
        if !sleeps {
            self.armed.store(false, Ordering::SeqCst);
        }
        sleeps
    }
}

impl Outbox for Mailbox {
    fn try_commit(&self, commit: &Arc<Commit>) -> bool {
        let fits = self.bytes.load(Ordering::Relaxed) < COMMITS_BYTES_MAX;
        if fits && self.commits.push(Arc::clone(commit)).is_ok() {
            self.bytes.fetch_add(commit.bytes, Ordering::Relaxed);
            return true;
        }
        self.behind.store(true, Ordering::SeqCst);
        false
    }

    fn input(&self, input: Input) {
        if matches!(input, Input::Live { .. }) {
            self.behind.store(false, Ordering::Release);
        }
        self.inputs.push(input);
    }

    fn wake(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}
