//! What a shard asks of the log's readers, and what it gets: plain data, so that the shard stays pure
//! and the simulation can answer as well as RocksDB does.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{Event, Seq, Subscription, SubscriptionKey, UnixMillis};
use crate::settle::{RetryKey, RetryRow};

/// A question to the readers. Each is answered by the page of the same name; where the store fails, the
/// reader asks again after a pause, so a shard always gets its answer.
#[derive(Clone, Debug)]
pub enum Read {
    /// The log from `from` on, with the pairs of this worker that are settled already.
    Log { worker: usize, from: Seq },
    /// What `subscription` wants from `from` on, at most `limit` events, through its account's index.
    Subscription { worker: usize, subscription: Arc<Subscription>, from: Seq, limit: usize },
    /// Retries after `after` (exclusive; `None`: from the beginning) due before `until`, of this worker's
    /// subscriptions only, or of one.
    Retries { worker: usize, only: Option<SubscriptionKey>, after: Option<RetryKey>, until: UnixMillis },
    /// All waiting retries of one subscription, however late they are due, after `after`.
    Heads { worker: usize, subscription: SubscriptionKey, serial: u64, after: Option<RetryKey> },
    /// How much `subscription` wants from `from` to `through`, both inclusive.
    Backlog { worker: usize, subscription: Arc<Subscription>, from: Seq, through: Seq },
    /// What the store has of these deliveries of one subscription, at most [`PAGE_EVENTS_MAX`].
    Replay { worker: usize, subscription: Arc<Subscription>, seqs: Vec<Seq> },
    /// The events at these places; at least one, and no more than a page brings.
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
    /// `from` of the question.
    pub from: Seq,
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
    /// `until` of the question.
    pub until: UnixMillis,
    /// Where to go on inside the asked window; `None` where it is done.
    pub next: Option<RetryKey>,
}

/// What is known of deliveries that are to be made again.
#[derive(Debug)]
pub struct ReplayPage {
    pub subscription: SubscriptionKey,
    pub found: Vec<(Seq, Known)>,
}

/// What the store has of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The event is not in the log.
    Gone,
    /// The subscription did not want it when the log took it.
    Unwanted,
    Delivery {
        accepted_at: UnixMillis,
        /// The newest attempt's number; 0 where none is kept.
        attempts: u16,
        /// Its waiting retry.
        row: Option<RetryRow>,
        dead: bool,
    },
}

/// An event that was asked for by its place.
#[derive(Debug)]
pub struct Body {
    pub subscription: SubscriptionKey,
    pub seq: Seq,
    pub found: Found,
}

#[derive(Debug)]
pub enum Found {
    Event(Arc<Event>),
    /// Retention has dropped it.
    Expired,
    /// It would have made the answer too large: ask again.
    NotNow,
}

impl From<Option<Arc<Event>>> for Found {
    fn from(event: Option<Arc<Event>>) -> Self {
        event.map_or(Self::Expired, Self::Event)
    }
}

/// How much a lagging subscription has to read. Settled pairs are left out. Exact where the readers could
/// look through all of it in one page, else as much as the part that they saw says of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub subscription: SubscriptionKey,
    /// `from` of the question.
    pub from: Seq,
    pub events: u64,
    /// When the log took the oldest of them.
    pub oldest_at: Option<UnixMillis>,
}

/// Waiting retries of one subscription.
#[derive(Debug)]
pub struct HeadsPage {
    pub subscription: SubscriptionKey,
    /// `serial` of the question.
    pub serial: u64,
    pub rows: Vec<RetryRow>,
    /// Where to go on; `None` where these were the last.
    pub next: Option<RetryKey>,
}
