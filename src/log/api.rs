//! The boundary of the log: requests to the writer, reads, and what workers are told.
//!
//! Replies travel as one-shot channels, inputs to workers through [`Outbox`]. Nothing here blocks and
//! nothing here knows RocksDB.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use crate::model::Refused;
use crate::model::{Event, NewEvent, Outcome, Seq, Subscription, SubscriptionKey, Trigger, UnixMillis};
use crate::recover::{Job, JobId};
use crate::registry::{Asked, ChangeError, Changed};
use crate::route::Index;
pub use crate::schedule::pages::{Found, Known, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_RETRIES_MAX};
pub use crate::schedule::{
    Again, Backlog, Body, Census, HeadsPage, LogPage, Read, ReplayPage, RetryPage, SubscriptionPage,
};
use crate::settle::{Released, Settlement};

/// What may be asked of the writer thread.
pub enum Request {
    /// Take these events, all or none of those that are no duplicates. Answered after the fsync.
    Append { events: Vec<NewEvent>, reply: oneshot::Sender<Result<Vec<Appended>, Refused>> },
    /// Change the configuration. Answered after the fsync.
    Change { change: Asked, reply: oneshot::Sender<Result<Changed, ChangeError>> },
    /// Write down what a worker settled; an fsync of its own only where it says so.
    Settle(Settlement),
    /// A worker that reads from the log has taken in everything up to and including `position`.
    CaughtUp { worker: usize, position: Seq },
    /// Rows of recover jobs, and what the audit trail says of it. Answered after the fsync.
    Jobs {
        put: Vec<Job>,
        delete: Vec<JobId>,
        note: Option<Asked>,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
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
    /// See [`Read::Replay`].
    ReplayPage(ReplayPage),
    /// See [`Read::Bodies`].
    Bodies(Vec<Body>),
    /// This settlement is in the store.
    Flushed { serial: u64 },
    /// Commits above `after` come through the queue again; everything up to it is in the log.
    Live { after: Seq },
    /// A subscription's old owner has let go of it.
    Adopt(Released),
    /// Make these deliveries again.
    Replay(AskedAgain),
    /// Send this now, beside all that is scheduled.
    Test(TestSend),
    /// Start nothing new, let what is in flight end, settle, and leave.
    Stop,
}

/// Deliveries that are to be made again. The reply is dropped where the worker stops.
pub struct AskedAgain {
    pub subscription: SubscriptionKey,
    /// At most [`PAGE_EVENTS_MAX`].
    pub seqs: Vec<Seq>,
    pub trigger: Trigger,
    pub reply: oneshot::Sender<Result<Answered, ReplayRefused>>,
}

/// What was done about each delivery; `None` where the subscription is not this worker's.
pub type Answered = Option<Vec<(Seq, Again)>>;

/// Why deliveries were not made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayRefused {
    /// Too many requests wait.
    Busy,
}

/// A test event. The reply is dropped where the worker stops.
pub struct TestSend {
    pub subscription: Arc<Subscription>,
    pub event: Arc<Event>,
    pub timeout: Duration,
    pub reply: oneshot::Sender<Result<Outcome, TestRefused>>,
}

/// Why a test event was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestRefused {
    /// Too many are on their way.
    Busy,
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
