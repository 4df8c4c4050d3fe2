//! A settlement: everything that one worker wants written, in one piece.
//!
//! It is atomic on purpose. The watermark says "all at or below is settled, in `retries`, in `dead` or
//! covered by a `lagging` cursor", which is true only if those rows arrive with it or before it.

use crate::model::{Attempt, Seq, SubscriptionKey, Trigger, TypeBit, UnixMillis};

/// Where a waiting retry lies on disk: ordered by due time, so that near ones are read in windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryKey {
    pub due: UnixMillis,
    pub subscription: SubscriptionKey,
    pub seq: Seq,
}

/// A retry that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRow {
    pub key: RetryKey,
    /// Attempts made so far.
    pub attempts: u16,
    /// When the log took the event, for the age of what is undelivered.
    pub accepted_at: UnixMillis,
    /// What the next attempt will say made it.
    pub trigger: Trigger,
}

/// Why a delivery lies among the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum DeadReason {
    /// The retry schedule is spent.
    Exhausted,
    /// The receiver answered 410.
    Gone,
    /// Retention overtook it: the event is no longer in the log.
    Expired,
}

impl DeadReason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::Expired => "expired",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadRow {
    pub subscription: SubscriptionKey,
    pub seq: Seq,
    pub reason: DeadReason,
    pub at: UnixMillis,
}

/// A death that other subscriptions may want to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub subscription: SubscriptionKey,
    pub seq: Seq,
    pub event_id: Box<str>,
    pub type_bit: TypeBit,
    pub reason: DeadReason,
    pub attempts: u16,
    pub at: UnixMillis,
    /// Deaths before this one that nobody is told of, because there were too many.
    pub omitted: u32,
}

/// A subscription that this worker lets go of because its host now belongs to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    pub subscription: SubscriptionKey,
    /// Everything at or above is the new owner's. Its retries lie on disk and are found there.
    pub cursor: Seq,
}

/// What one worker wants written. Nothing in it needs an fsync of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    pub worker: usize,
    /// Rises by one with each settlement of this worker in this run.
    pub serial: u64,
    /// All at or below is settled for all of this worker's subscriptions.
    pub watermark: Seq,
    pub attempts: Vec<(SubscriptionKey, Attempt)>,
    /// When the log took the event of each of `attempts`, in their order.
    pub accepted: Vec<UnixMillis>,
    /// Written before `retries_delete`: a row may be put and deleted in one settlement.
    pub retries_put: Vec<RetryRow>,
    pub retries_delete: Vec<RetryKey>,
    /// Lowest seq that the cursor still covers. No subscription is both here and in `lagging_delete`.
    pub lagging_put: Vec<(SubscriptionKey, Seq)>,
    pub lagging_delete: Vec<SubscriptionKey>,
    pub dead_put: Vec<DeadRow>,
    /// Since when a subscription has seen nothing but failure; `None` where it is over.
    pub failing: Vec<(SubscriptionKey, Option<UnixMillis>)>,
    /// Become events in the same write.
    pub notices: Vec<Notice>,
    pub released: Vec<Released>,
}

impl Settlement {
    /// Whether nothing but a watermark is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
            && self.retries_put.is_empty()
            && self.retries_delete.is_empty()
            && self.lagging_put.is_empty()
            && self.lagging_delete.is_empty()
            && self.dead_put.is_empty()
            && self.failing.is_empty()
            && self.notices.is_empty()
            && self.released.is_empty()
    }
}
