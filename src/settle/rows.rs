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

/// Attempts made so far at a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    pub made: u16,
    /// Of those, how many were made before it was last asked for by hand: the schedule begins behind them.
    pub before: u16,
}

impl Tries {
    /// It is asked for by hand after so many.
    #[must_use]
    pub fn anew(made: u16) -> Self {
        Self { made, before: made }
    }

    #[must_use]
    pub fn one_more(self) -> Self {
        Self { made: self.made.saturating_add(1), ..self }
    }

    /// How many of them the schedule counts.
    #[must_use]
    pub fn counted(self) -> u16 {
        self.made.saturating_sub(self.before)
    }
}

impl From<u16> for Tries {
    fn from(made: u16) -> Self {
        Self { made, before: 0 }
    }
}

/// One number in a row, which is that of attempts as long as nothing was asked for by hand.
impl bincode::Encode for Tries {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        (u32::from(self.before) << 16 | u32::from(self.made)).encode(encoder)
    }
}

impl<C> bincode::Decode<C> for Tries {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let [before_high, before_low, made_high, made_low] = u32::decode(decoder)?.to_be_bytes();
        let made = u16::from_be_bytes([made_high, made_low]);
        Ok(Self { made, before: u16::from_be_bytes([before_high, before_low]) })
    }
}

bincode::impl_borrow_decode!(Tries);

/// A retry that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRow {
    pub key: RetryKey,
    pub attempts: Tries,
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

/// What one worker wants written. It needs no fsync of its own, unless it says so.
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
    /// Asked for by hand; none of them is in `dead_put`, unless it died once more.
    pub dead_delete: Vec<(SubscriptionKey, Seq)>,
    /// Since when a subscription has seen nothing but failure; `None` where it is over.
    pub failing: Vec<(SubscriptionKey, Option<UnixMillis>)>,
    /// Become events in the same write.
    pub notices: Vec<Notice>,
    pub released: Vec<Released>,
    /// Somebody is told that it is written: it must survive a loss of power.
    pub sync: bool,
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
            && self.dead_delete.is_empty()
            && self.failing.is_empty()
            && self.notices.is_empty()
            && self.released.is_empty()
    }
}
