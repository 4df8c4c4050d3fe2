//! A lane: one subscription's queue and what is known of its progress.
//!
//! A pair (subscription, event) is *pending* from the moment the lane takes it in until an outcome
//! settles it. Each pending pair is held up on disk by exactly one of two things: the worker's
//! watermark, or the lane's cursor row (then its seq is in `covered`). Retries are held by rows of
//! their own and are neither.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::HashMap;

use super::behind::Behind;
use super::breaker::BreakerState;
use super::health::Condition;
use super::order::{Heads, Next};
use super::turns::HostKey;
use crate::model::bucket::Bucket;
use crate::model::{Event, Mono, Ordering, Seq, Status, Subscription, UnixMillis};
use crate::settle::{RetryKey, RetryRow};

/// Events that wait in one lane at most; beyond, the lane lags and reads from the log.
pub const FRESH_MAX: usize = 1024;
/// Events that a lane may hold however little memory is left, so that none is locked out.
pub const FRESH_MIN: usize = 16;
/// Bytes of bodies that wait in one lane at most.
pub const FRESH_BYTES_MAX: usize = 4 << 20;
/// Due retries that one lane holds in memory at most; beyond, they are parked on disk.
pub const RETRIES_DUE_MAX: usize = 256;
/// Due retries that a lane may hold however little memory is left.
pub const RETRIES_MIN: usize = 4;

/// Events, and due retries, that a lane holds to try its host with while the breaker is half-open.
pub const PROBES_MAX: usize = 2;

/// Where a lane gets its events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// From commits as they happen.
    Live,
    /// From the log: everything at or above `next` is still to be read. Never read ahead of the worker's
    /// own position, so that no event reaches the lane on two ways.
    /// `reading`: a page from there is under way.
    Lagging { next: Seq, reading: Option<Seq> },
    /// From nowhere yet: its old owner has not let go.
    Awaiting,
}

/// What the lane knows of its receiver, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub last_success_at: Option<UnixMillis>,
    pub last_failure_at: Option<UnixMillis>,
    /// Since when nothing but failure came.
    pub failing_since: Option<UnixMillis>,
    /// Waiting for a first attempt, in memory and behind the cursor, or in flight on one. Retries are not
    /// counted here: most are on disk only.
    pub pending: u64,
    pub lagging: bool,
    pub oldest_pending_at: Option<UnixMillis>,
    /// Of the host.
    pub breaker: BreakerState,
    /// When the host is tried again, as far as it is known; only while its breaker is open.
    pub probe_at: Option<UnixMillis>,
}

/// A retry whose time has come and whose event is there.
#[derive(Clone, Debug)]
pub struct ReadyRetry {
    pub row: RetryRow,
    pub event: Arc<Event>,
}

/// A retry whose row is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub row: RetryRow,
    /// Its event was asked for and has not come. What comes unasked is left alone: the row was forgotten
    /// and found again meanwhile, and would be sent twice.
    pub asked: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says in which of the shard's lists the lane stands")]
pub struct Lane {
    pub subscription: Arc<Subscription>,
    pub host: HostKey,
    /// Not tried yet, oldest first.
    pub fresh: VecDeque<Arc<Event>>,
    pub fresh_bytes: usize,
    pub retry_ready: VecDeque<ReadyRetry>,
    pub retry_bytes: usize,
    /// Retries whose row is in memory in any form: timer, body asked for, ready, in flight.
    pub retries: HashMap<Seq, Held>,
    /// Of those, how many are due (asked for or ready).
    pub retries_due: usize,
    /// Rows that are due or near lie on disk and not in memory, all of them after this one.
    pub parked: Option<RetryKey>,
    /// The settlement that must be in the store before parked rows can be read back.
    pub parked_serial: u64,
    pub parked_reading: bool,
    /// It is in the list of lanes that wait for a settlement before reading back.
    pub parked_waiting: bool,
    /// Where retries hold up what is younger: the retries.
    pub heads: Option<Box<Heads>>,
    /// A page of waiting retries is under way, for `heads`.
    pub seeking: bool,
    pub in_flight: u32,
    /// Of those, how many are retries.
    pub in_flight_retries: u32,
    pub cursor: Cursor,
    pub behind: Behind,
    /// Pending pairs that the cursor row holds up.
    pub covered: BTreeSet<Seq>,
    /// The cursor row as it was last written.
    pub row: Option<Seq>,
    /// What is being read was asked for by a record that wanted other types: it is read again.
    pub reread: bool,
    /// Events below this were the old owner's, who has dealt with them.
    pub adopted_from: Seq,
    /// It stands in line of its host.
    pub in_line: bool,
    /// Its host knows that first attempts wait here.
    pub fresh_waits: bool,
    /// Credit of the deficit round robin, bytes.
    pub credit: u32,
    /// Fresh events sent since the last retry.
    pub fresh_streak: u8,
    /// How fast it may send, where that is limited.
    pub bucket: Option<Bucket>,
    /// When there is a token, while it waits for one; or until when it waits for being given up.
    pub token_at: Option<Mono>,
    /// The state of its host's breaker.
    pub breaker: BreakerState,
    /// When an open one lets a request through, for people.
    pub probe_at: Option<UnixMillis>,
    /// It lets go: nothing more is sent, and it is released when nothing is in flight.
    pub releasing: bool,
    /// It waits for its turn to read from the log.
    pub hungry: bool,
    /// Its health will be told anew.
    pub touched: bool,
    /// It is in the list of lanes whose cursor row must be looked at.
    pub dirty: bool,
    pub condition: Condition,
}

impl Lane {
    #[must_use]
    pub fn new(
        subscription: Arc<Subscription>,
        host: HostKey,
        breaker: BreakerState,
        cursor: Cursor,
    ) -> Self {
        Self {
            bucket: subscription.delivery.rate_per_second.map(Bucket::new),
            token_at: None,
            breaker,
            probe_at: None,
            subscription,
            host,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            retry_ready: VecDeque::new(),
            retry_bytes: 0,
            retries: HashMap::default(),
            retries_due: 0,
            parked: None,
            parked_serial: 0,
            parked_reading: false,
            parked_waiting: false,
            heads: None,
            seeking: false,
            in_flight: 0,
            in_flight_retries: 0,
            touched: false,
            cursor,
            behind: Behind::default(),
            covered: BTreeSet::new(),
            row: None,
            reread: false,
            adopted_from: Seq(0),
            in_line: false,
            fresh_waits: false,
            credit: 0,
            fresh_streak: 0,
            releasing: false,
            hungry: false,
            dirty: false,
            condition: Condition::default(),
        }
    }

    /// A row is in memory from now on.
    pub fn remember(&mut self, row: RetryRow) {
        self.retries.insert(row.key.seq, Held { row, asked: false });
    }

    /// A row stays on disk alone until it is read back; that is possible once `serial` is in the store.
    pub fn park(&mut self, row: RetryKey, serial: u64) {
        self.retries.remove(&row.seq);
        if self.heads.is_none() {
            self.park_from(row);
        }
        self.parked_serial = serial;
    }

    /// The same for every row from this one on.
    pub fn park_from(&mut self, row: RetryKey) {
        self.park_after(RetryKey { seq: row.seq.prev(), ..row });
    }

    pub fn park_after(&mut self, row: RetryKey) {
        self.parked = Some(self.parked.map_or(row, |parked| parked.min(row)));
    }

    #[must_use]
    pub fn is_active(&self) -> bool {
        self.subscription.status == Status::Active && !self.releasing
    }

    /// Whether events may come into its memory and go out: it is active and its host is not left alone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_active() && self.breaker != BreakerState::Open
    }

    /// Events that it may hold, whatever the memory of all says.
    #[must_use]
    pub fn fresh_max(&self) -> usize {
        match self.breaker {
            BreakerState::Closed => FRESH_MAX,
            BreakerState::HalfOpen => PROBES_MAX,
            BreakerState::Open => 0,
        }
    }

    /// Due retries that it may hold, whatever the memory of all says: where its rate is limited, those of a
    /// second.
    #[must_use]
    pub fn retries_due_max(&self) -> usize {
        match self.breaker {
            BreakerState::Closed => {
                self.subscription.delivery.rate_per_second.map_or(RETRIES_DUE_MAX, retries_of_a_second)
            }
            BreakerState::HalfOpen => PROBES_MAX,
            BreakerState::Open => 0,
        }
    }

    #[must_use]
    pub fn has_work(&self) -> bool {
        match &self.heads {
            Some(heads) => heads.next(self).is_some(),
            None => !self.fresh.is_empty() || !self.retry_ready.is_empty(),
        }
    }

    /// Requests that it may have in flight.
    #[must_use]
    pub fn in_flight_max(&self) -> u32 {
        match self.subscription.delivery.ordering {
            Ordering::None => self.subscription.delivery.max_in_flight,
            Ordering::Fifo => 1,
        }
    }

    /// A retry holds up everything fresh.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.heads.as_ref().is_some_and(|heads| heads.is_blocked(self))
    }

    /// When the log took the oldest event that is still to be read, where one is.
    #[must_use]
    pub fn oldest_behind(&self) -> Option<UnixMillis> {
        if self.behind.events > 0 { self.behind.oldest_at } else { None }
    }

    /// What the cursor row on disk must say: the lowest seq that it holds up.
    #[must_use]
    pub fn row_wanted(&self) -> Option<Seq> {
        let covered = self.covered.first().copied();
        match self.cursor {
            Cursor::Live => covered,
            Cursor::Lagging { next, .. } => Some(covered.map_or(next, |seq| seq.min(next))),
            // The old owner's row, if there is one, is not ours to touch.
            Cursor::Awaiting => self.row,
        }
    }

    /// Whether the next to be sent is a retry: when nothing is fresh, and every fourth time otherwise,
    /// so that neither starves the other. In order: when it is the oldest.
    #[must_use]
    pub fn retry_is_next(&self) -> bool {
        if let Some(heads) = &self.heads {
            return heads.next(self) == Some(Next::Retry);
        }
        !self.retry_ready.is_empty() && (self.fresh.is_empty() || self.fresh_streak >= 3)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between four and 256")]
fn retries_of_a_second(rate: f64) -> usize {
    (rate as usize).clamp(RETRIES_MIN, RETRIES_DUE_MAX)
}
