//! The boundary of the log: requests to the writer, reads, and what workers are told.
//!
//! Replies travel as one-shot channels, inputs to workers through [`Outbox`]. Nothing here blocks and
//! nothing here knows RocksDB.

use std::sync::Arc;

use tokio::sync::oneshot;

pub use crate::model::Refused;
use crate::model::{Event, NewEvent, Seq, SubscriptionKey, UnixMillis};
use crate::registry::{Asked, ChangeError, Changed};
use crate::route::Index;
pub use crate::schedule::pages::{Found, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_RETRIES_MAX};
pub use crate::schedule::{Backlog, Body, Census, HeadsPage, LogPage, Read, RetryPage, SubscriptionPage};
use crate::settle::{Released, Settlement};

/// What may be asked of the writer thread.
pub enum Request {
    /// Take these events, all or none of those that are no duplicates. Answered after the fsync.
    Append { events: Vec<NewEvent>, reply: oneshot::Sender<Result<Vec<Appended>, Refused>> },
    /// Change the configuration. Answered after the fsync.
    Change { change: Asked, reply: oneshot::Sender<Result<Changed, ChangeError>> },
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

/// One commit's events, as workers get them.
#[derive(Debug)]
pub struct Commit {
    pub events: Vec<Arc<Event>>,
    /// The index of this version or a newer one routes them; its [`Input::Changed`] came before.
    pub index_version: u64,
    /// Bytes of all bodies together.
    pub bytes: usize,
}

/// What a worker is told, besides commits. In the order in which it happened.
pub enum Input {
    /// The configuration changed; `index` is the first that has it.
    Changed { changed: Arc<Changed>, index: Arc<Index> },
    /// Part of the log from where the worker is; see [`Read::Log`].
    LogPage(LogPage),
    /// See [`Read::Subscription`].
    SubscriptionPage(SubscriptionPage),
    /// See [`Read::Retries`].
    RetryPage(RetryPage),
    /// The retries of subscriptions in order, as this run found them. Comes once.
    Census(Arc<Census>),
    /// See [`Read::Heads`].
    Heads(HeadsPage),
    /// See [`Read::Backlog`].
    Backlog(Backlog),
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
    /// Since when subscriptions have seen nothing but failure.
    pub failing: Vec<(SubscriptionKey, UnixMillis)>,
    pub retries_waiting: u64,
    pub dead_letters: u64,
}
