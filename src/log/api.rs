//! The boundary of the log: requests to the writer, reads, and what workers are told.
//!
//! Replies travel as one-shot channels, inputs to workers through [`Outbox`]. Nothing here blocks and
//! nothing here knows RocksDB.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::{
    AccountKey, AccountName, Event, NewEvent, Seq, Subscription, SubscriptionKey, UnixMillis,
};
use crate::registry::{Change, ChangeError, Changed};
use crate::settle::{Released, RetryKey, RetryRow, Settlement};

/// What may be asked of the writer thread.
pub enum Request {
    /// Take these events, all or none of those that are no duplicates. Answered after the fsync.
    Append { events: Vec<NewEvent>, reply: oneshot::Sender<Result<Vec<Appended>, Refused>> },
    /// Change the configuration. Answered after the fsync.
    Change { change: Change, reply: oneshot::Sender<Result<Changed, ChangeError>> },
    /// Write down what a worker settled; no fsync of its own.
    Settle(Settlement),
    /// A worker that reads from the log has taken in everything up to and including `position`.
    CaughtUp { worker: usize, position: Seq },
    /// Write what is waiting, make it durable, answer, and take nothing more.
    Stop { reply: oneshot::Sender<()> },
}

/// What became of one event of an [`Request::Append`], in the order of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Accepted(Seq),
    Duplicate,
}

pub use crate::model::Refused;

/// One commit's events, as workers get them.
#[derive(Debug)]
pub struct Commit {
    pub events: Vec<Arc<Event>>,
}

/// What a worker is told, besides commits. In the order in which it happened.
#[derive(Debug)]
pub enum Input {
    /// A subscription is new, changed or gone.
    Changed(Changed),
    /// Part of the log from where the worker is; see [`Read::Log`].
    LogPage(LogPage),
    /// See [`Read::Subscription`].
    SubscriptionPage(SubscriptionPage),
    /// See [`Read::Retries`].
    RetryPage(RetryPage),
    /// See [`Read::Bodies`].
    Bodies(Vec<Body>),
    /// This settlement is in the store.
    Flushed { serial: u64 },
    /// Commits above `after` come through the queue again; everything up to it is in the log.
    Live { after: Seq },
    /// A subscription's old owner has let go of it.
    Adopt(Released),
    /// Start nothing new, let what is in flight end, settle, and leave.
    Stop,
}

/// What may be asked of the readers. Each is answered by the [`Input`] of the same name, or, where the
/// store fails, asked again by the reader after a pause: a worker always gets its answer.
#[derive(Clone, Debug)]
pub enum Read {
    /// The log from `from` on, with the pairs of this worker that are settled already.
    Log { worker: usize, from: Seq },
    /// What `subscription` wants from `from` on, through its account's index.
    Subscription { worker: usize, subscription: Arc<Subscription>, from: Seq },
    /// Retries due from `after` (exclusive; `None`: from the beginning) until `until` (exclusive), of
    /// this worker's subscriptions only.
    Retries { worker: usize, only: Option<SubscriptionKey>, after: Option<RetryKey>, until: UnixMillis },
    /// The events at these places.
    Bodies { worker: usize, wanted: Vec<(SubscriptionKey, Seq)> },
}

/// Events that one page brings at most.
pub const PAGE_EVENTS_MAX: usize = 1024;
/// Bytes of bodies that one page brings at most (one event more than that may come).
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Retries that one page brings at most.
pub const PAGE_RETRIES_MAX: usize = 4096;

/// Part of the log.
#[derive(Debug)]
pub struct LogPage {
    pub events: Vec<Arc<Event>>,
    /// Pairs that have an attempt row already: delivered, among the retries, or dead.
    pub settled: HashSet<(SubscriptionKey, Seq)>,
    /// Everything up to and including this was looked at.
    pub through: Seq,
    /// Nothing was above `through` at the time of reading.
    pub end: bool,
}

/// What one subscription wants from part of the log. Settled pairs are left out.
#[derive(Debug)]
pub struct SubscriptionPage {
    pub subscription: SubscriptionKey,
    pub events: Vec<Arc<Event>>,
    /// Everything up to and including this was looked at.
    pub through: Seq,
    /// Nothing was above `through` at the time of reading.
    pub end: bool,
    /// Retention had dropped what lay between the asked `from` and this (exclusive), where set.
    pub expired_below: Option<Seq>,
}

/// Waiting retries, by due time.
#[derive(Debug)]
pub struct RetryPage {
    pub only: Option<SubscriptionKey>,
    pub rows: Vec<RetryRow>,
    /// Everything due before this was looked at (`until` of the request where the page was not full).
    pub until: UnixMillis,
    /// Where to go on inside the asked window; `None` where it is done.
    pub next: Option<RetryKey>,
}

/// An event that was asked for by its place.
#[derive(Debug)]
pub struct Body {
    pub subscription: SubscriptionKey,
    pub seq: Seq,
    /// `None` where retention has dropped it.
    pub event: Option<Arc<Event>>,
}

/// How the log reaches one worker. The queue behind it is bounded for commits only: the number of
/// other inputs is bounded by what a worker asked for and by the rate of durable changes.
pub trait Outbox: Send + Sync {
    /// Hands over a commit, or refuses it where the queue is full.
    fn try_commit(&self, commit: &Arc<Commit>) -> bool;
    fn input(&self, input: Input);
    /// Wakes the worker if it sleeps. Called once per burst.
    fn wake(&self);
}

/// What recovery found when the store was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The newest event; 0 where there is none.
    pub head: Seq,
    /// The lowest watermark of all workers that ever were.
    pub watermark: Seq,
    /// Cursors of lagging subscriptions.
    pub lagging: Vec<(SubscriptionKey, Seq)>,
    /// Whether `retries` has any row.
    pub retries_waiting: u64,
    pub dead_letters: u64,
    pub accounts: Vec<(AccountKey, AccountName)>,
}
