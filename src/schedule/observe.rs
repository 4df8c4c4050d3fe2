//! What can be seen of a shard: figures for metrics, health for people. Nothing here decides anything.

use foldhash::HashMap;

use super::flight::Flight;
use super::lane::{Cursor, Health};
use super::shard::Shard;
use crate::model::{SubscriptionKey, UnixMillis};

/// Lanes whose health is told anew at once; a lane left out is told at its next change.
const TOUCHED_MAX: usize = 4096;
/// Entries looked through at most to say how old the oldest one is.
const OLDEST_LOOKS_MAX: usize = 256;

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub in_flight: usize,
    /// Events that wait in memory, first attempts and due retries.
    pub queued: usize,
    pub queued_bytes: usize,
    pub lagging: usize,
    /// Retries that wait in memory.
    pub retries: usize,
    /// Waiting retries that retention overtook.
    pub expired_retries: u64,
    /// Times that retention overtook the cursor of a lagging subscription.
    pub expired_cursors: u64,
    /// Hosts by the state of their breaker, in the order of [`BreakerState::ALL`].
    pub breakers: [usize; 3],
    /// Changes of breakers since the start, by the state that they came to.
    pub transitions: [u64; 3],
}

impl Shard {
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            in_flight: self.flights.len(),
            queued: self.queued,
            queued_bytes: self.queued_bytes,
            lagging: self.lanes.values().filter(|lane| lane.cursor != Cursor::Live).count(),
            retries: self.window.len(),
            expired_retries: self.expired_retries,
            expired_cursors: self.expired_cursors,
            breakers: self.turns.breakers(),
            transitions: self.turns.transitions(),
        }
    }

    /// What people want to know of a subscription; `None` where this shard has never sent for it.
    #[must_use]
    pub fn health(&self, key: SubscriptionKey) -> Option<Health> {
        let lane = self.lanes.get(&key)?;
        let of = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let fresh = lane.fresh.front().map(|event| event.accepted_at);
        let mut oldest = fresh.into_iter().chain(lane.oldest_behind()).min();
        if lane.in_flight > 0 && self.flights.len() <= OLDEST_LOOKS_MAX {
            let fresh = |flight: &&Flight| flight.retry.is_none() && !flight.orphan;
            let own = self.flights.iter().filter(|flight| flight.subscription == key).filter(fresh);
            oldest = oldest.into_iter().chain(own.map(|flight| flight.event.accepted_at)).min();
        }
        Some(Health {
            last_success_at: lane.condition.last_success_at,
            last_failure_at: lane.condition.last_failure_at,
            failing_since: lane.condition.failing_since,
            pending: of(lane.fresh.len())
                + lane.behind.events
                + u64::from(lane.in_flight.saturating_sub(lane.in_flight_retries)),
            lagging: lane.cursor != Cursor::Live,
            oldest_pending_at: oldest,
            breaker: lane.breaker,
            probe_at: lane.probe_at,
        })
    }

    /// The health of lanes that something happened to since the last call.
    pub fn take_touched(&mut self) -> Vec<(SubscriptionKey, Option<Health>)> {
        let touched = std::mem::take(&mut self.touched);
        for key in &touched {
            if let Some(lane) = self.lanes.get_mut(key) {
                lane.touched = false;
            }
        }
        touched.into_iter().map(|key| (key, self.health(key))).collect()
    }

    /// Notes that the health of a lane may have changed.
    pub fn touch(&mut self, key: SubscriptionKey) {
        if self.touched.len() >= TOUCHED_MAX {
            return;
        }
        match self.lanes.get_mut(&key) {
            Some(lane) if lane.touched => return,
            Some(lane) => lane.touched = true,
            None => {}
        }
        self.touched.push(key);
    }

    /// When the log took the oldest event that this shard holds undelivered, and the lanes that are
    /// behind or failing, oldest first, at most `most`. Walks all lanes: not for the hot path.
    #[must_use]
    pub fn oldest(&self, most: usize) -> (Option<UnixMillis>, Vec<(SubscriptionKey, UnixMillis)>) {
        let mut by_lane: HashMap<SubscriptionKey, UnixMillis> = HashMap::default();
        let mut note = |key, at: UnixMillis| {
            by_lane.entry(key).and_modify(|old: &mut UnixMillis| *old = (*old).min(at)).or_insert(at);
        };
        for flight in self.flights.iter().filter(|flight| !flight.orphan) {
            note(flight.subscription, flight.event.accepted_at);
        }
        for (key, lane) in &self.lanes {
            let fresh = lane.fresh.front().map(|event| event.accepted_at);
            fresh.into_iter().chain(lane.oldest_behind()).for_each(|at| note(*key, at));
            if let Some(at) = lane.retries.values().map(|held| held.row.accepted_at).min() {
                note(*key, at);
            }
        }
        let oldest = by_lane.values().min().copied();
        let unwell = |key: &SubscriptionKey| {
            self.lanes.get(key).is_some_and(|lane| {
                lane.condition.failing_since.is_some()
                    || lane.cursor != Cursor::Live
                    || !lane.retries.is_empty()
            })
        };
        let mut lanes: Vec<_> = by_lane.into_iter().filter(|(key, _)| unwell(key)).collect();
        lanes.sort_by_key(|(key, at)| (*at, *key));
        lanes.truncate(most);
        (oldest, lanes)
    }
}
