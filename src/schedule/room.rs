//! What a worker holds in memory at most, and how that is shared: between lanes, between first attempts
//! and retries, and between hosts.
//!
//! First attempts and due retries have separate parts, so that neither a storm of retries keeps lagging
//! subscriptions from reading on nor a flood of events keeps retries on disk. At a bound nothing is lost:
//! events stay in the log, retries on disk, and what is ready waits until a request ends.

use super::lane::{FRESH_BYTES_MAX, FRESH_MIN, Lane, RETRIES_MIN};
use super::shard::Shard;
use crate::model::SubscriptionKey;

/// Bodies of due retries that are asked for and have not come at most: how large they are is known only
/// when they are there.
pub(super) const BODIES_ASKED_MAX: usize = 512;

/// Bytes of bodies that a lane may hold however little memory is left.
const BYTES_MIN: usize = 64 << 10;

impl Shard {
    /// First attempts use so much memory that nothing more is read into it.
    pub(super) fn is_crowded(&self) -> bool {
        self.queued_fresh >= self.options.queued_max / 4 * 3
            || self.queued_fresh_bytes >= self.options.queued_bytes_max / 2
    }

    /// So many bodies of due retries are under way that no more are asked for.
    pub(super) fn asks_enough(&self) -> bool {
        self.bodies_asked >= BODIES_ASKED_MAX
    }

    /// How many due retries a lane may hold now, asked for or ready; a share of what is free, too.
    pub(super) fn retries_room(&self, lane: &Lane) -> usize {
        if lane.retry_bytes >= self.retry_bytes_max() {
            return 0;
        }
        let retries = self.queued.saturating_sub(self.queued_fresh);
        let free = (self.options.queued_max / 4).saturating_sub(retries) / 4;
        lane.retries_due_max().min(free.max(RETRIES_MIN))
    }

    /// The same in bytes, which the last event may exceed.
    pub(super) fn retry_bytes_max(&self) -> usize {
        let bytes = self.queued_bytes.saturating_sub(self.queued_fresh_bytes);
        ((self.options.queued_bytes_max / 4).saturating_sub(bytes) / 4).max(BYTES_MIN)
    }

    /// Whether a lane has sent enough of the retries it held for more of them to be read back.
    pub(super) fn may_unpark(&self, key: SubscriptionKey) -> bool {
        self.lanes.get(&key).is_some_and(|lane| {
            lane.retries_due < self.retries_room(lane).div_ceil(4)
                && lane.retry_bytes < self.retry_bytes_max() / 4
        })
    }

    /// How many events a lane may hold now: a share of what is free, so that a few full lanes never
    /// take the room of a newly active one (dynamic thresholds; Choudhury and Hahne, 1998).
    pub(super) fn room(&self, lane: &Lane) -> usize {
        let free = self.options.queued_max.saturating_sub(self.queued) / 4;
        if lane.fresh_bytes > self.fresh_bytes_max() {
            return 0;
        }
        lane.fresh_max().min(free.max(FRESH_MIN)).saturating_sub(lane.fresh.len())
    }

    /// The same in bytes, which the last event may exceed.
    pub(super) fn fresh_bytes_max(&self) -> usize {
        let free = self.options.queued_bytes_max.saturating_sub(self.queued_bytes) / 4;
        FRESH_BYTES_MAX.min(free.max(BYTES_MIN))
    }

    /// How many events a lagging lane may read now. Where memory is short, one that holds any has to send
    /// those first; one that holds none is let in all the same, so that slow lanes never lock it out.
    pub(super) fn may_read(&self, lane: &Lane) -> usize {
        if !self.is_crowded() {
            return self.room(lane);
        }
        if !lane.fresh.is_empty() {
            return 0;
        }
        let few = if self.queued_bytes < self.options.queued_bytes_max { FRESH_MIN } else { 1 };
        few.min(lane.fresh_max())
    }

    /// Bytes of bodies that may still go out. One request always may: the last one may be larger than
    /// what was left.
    pub(super) fn free_bytes(&self) -> usize {
        self.options.in_flight_bytes_max.saturating_sub(self.in_flight_bytes)
    }
}

/// How many of `cap` requests may be retries. A quarter is kept for first attempts, which may come at any
/// moment, while retries that hang hold their place until their deadline; where first attempts wait, half.
#[must_use]
pub(super) fn retries_max(cap: u32, fresh_waits: bool) -> u32 {
    let kept = if fresh_waits { cap / 2 } else { cap / 4 };
    cap.saturating_sub(kept).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_leave_room() {
        for (cap, fresh_waits, want) in [
            (1, true, 1),
            (1, false, 1),
            (2, true, 1),
            (3, false, 3),
            (3, true, 2),
            (4, false, 3),
            (32, false, 24),
            (32, true, 16),
        ] {
            assert_eq!(retries_max(cap, fresh_waits), want, "{cap} {fresh_waits}");
        }
    }
}
