//! Inputs of the shard that change the configuration.

use std::sync::Arc;

use super::lane::{Cursor, Held, Lane};
use super::order::holds_order;
use super::shard::Shard;
use crate::model::bucket::Bucket;
use crate::model::{Now, Subscription, SubscriptionKey};
use crate::route::Index;
use crate::settle::Released;

impl Shard {
    /// The index to route by from now on. Comes before the changes that made it.
    pub fn handle_index(&mut self, index: Arc<Index>) {
        self.index = index;
    }

    /// The version of the index in use; a commit of a newer one must wait for it.
    #[must_use]
    pub fn index_version(&self) -> u64 {
        self.index.version()
    }

    /// A subscription was made (`before` is `None`), changed, or deleted (`after` is `None`).
    pub fn handle_changed(
        &mut self,
        now: Now,
        before: Option<&Arc<Subscription>>,
        after: Option<&Arc<Subscription>>,
    ) {
        let mine = |subscription: &Arc<Subscription>| self.index.owner(subscription) == self.options.worker;
        let (was_mine, is_mine) = (before.is_some_and(mine), after.is_some_and(mine));
        match (before, after) {
            (Some(before), None) if was_mine => self.delete(now, before.key),
            (Some(before), Some(after)) if was_mine && is_mine => self.update(now, before, after),
            (Some(before), Some(_)) if was_mine => self.let_go(now, before),
            (Some(_), Some(after)) if is_mine => self.await_adoption(after),
            _ => {}
        }
    }

    /// The old owner of a subscription has let go of it.
    pub fn handle_adopt(&mut self, released: &Released) {
        let Some(subscription) = self.index.subscription(released.subscription).cloned() else { return };
        let Some(lane) = self.lane(&subscription, Cursor::Awaiting) else { return };
        if lane.cursor == Cursor::Awaiting {
            lane.cursor = Cursor::Lagging { next: released.cursor, reading: None };
            lane.adopted_from = released.cursor;
            lane.row = Some(released.cursor);
            self.reorder(released.subscription);
            self.count_behind(released.subscription);
        }
        self.refresh(released.subscription);
        self.read_on();
    }

    fn update(&mut self, now: Now, before: &Arc<Subscription>, after: &Arc<Subscription>) {
        let key = after.key;
        if holds_order(after) && !holds_order(before) {
            // Where there is no lane, retries may wait on disk all the same.
            self.lane(before, Cursor::Live);
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let moved = lane.subscription.callback_url.authority() != after.callback_url.authority();
        lane.subscription = Arc::clone(after);
        lane.reread |=
            before.epochs != after.epochs && matches!(lane.cursor, Cursor::Lagging { reading: Some(_), .. });
        self.set_rate(now, key);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.releasing {
            return;
        }
        self.note_change(now, before, after);
        let Some(lane) = self.lanes.get(&key) else { return };
        let reordered = lane.heads.is_some() != holds_order(after) && lane.cursor != Cursor::Awaiting;
        if moved {
            self.rehost(key);
        }
        if reordered {
            self.reorder(key);
        }
        // It went inactive, or moved to a host that is left alone.
        if self.lanes.get(&key).is_some_and(|lane| !lane.is_open()) {
            self.spill(key);
            self.park_ready(now, key);
        }
        self.refresh(key);
        self.read_on();
    }

    /// The lane sends at the rate that its subscription says from now on.
    fn set_rate(&mut self, now: Now, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match (&mut lane.bucket, lane.subscription.delivery.rate_per_second) {
            (Some(bucket), Some(rate)) => bucket.set_rate(now.mono, rate),
            (bucket, rate) => *bucket = rate.map(Bucket::new),
        }
        if let Some(at) = lane.token_at.take() {
            self.waiting.remove(&(at, key));
        }
    }

    /// Retries that are due but not sent go back to the disk alone.
    pub(super) fn park_ready(&mut self, _now: Now, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        while let Some(ready) = lane.retry_ready.pop_front() {
            lane.park(ready.row.key, self.journal.last_put());
            lane.retries_due = lane.retries_due.saturating_sub(1);
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(ready.event.body().len());
        }
        lane.retry_bytes = 0;
    }

    /// The lane's requests go to another host of this worker. What is in flight counts at the old one.
    fn rehost(&mut self, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let old = lane.host;
        lane.in_line = false;
        if std::mem::take(&mut lane.fresh_waits) {
            self.turns.fresh_waits(old, key, false);
        }
        self.turns.leave(old, key);
        lane.host = self.turns.join(lane.subscription.callback_url.authority(), key);
        lane.breaker = self.turns.breaker(lane.host);
        lane.probe_at = None;
    }

    fn delete(&mut self, now: Now, key: SubscriptionKey) {
        self.spill(key);
        let Some(lane) = self.lanes.remove(&key) else { return };
        self.touch(key);
        self.turns.leave(lane.host, key);
        for flight in self.flights.iter_mut().filter(|flight| flight.subscription == key) {
            if flight.retry.is_none() && !flight.orphan && !lane.covered.contains(&flight.event.seq) {
                self.watermark.settle(flight.event.seq);
            }
            flight.orphan = true;
        }
        for Held { row, .. } in lane.retries.values() {
            self.window.remove(&row.key);
            self.journal.delete_retry(now.mono, row.key);
        }
        for ready in &lane.retry_ready {
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(ready.event.body().len());
        }
        self.journal.delete_lagging(now.mono, key);
        if lane.condition.has_row() {
            self.journal.failing(now.mono, key, None);
        }
    }

    fn let_go(&mut self, now: Now, before: &Arc<Subscription>) {
        let key = before.key;
        self.replays.disturbed(key);
        let Some(lane) = self.lane(before, Cursor::Live) else { return };
        if lane.cursor == Cursor::Awaiting {
            // It was never ours: whoever has it lets go of it for the present owner.
            if let Some(lane) = self.lanes.remove(&key) {
                self.turns.leave(lane.host, key);
            }
            return;
        }
        lane.releasing = true;
        self.spill(key);
        // From the position on, the index gives its events to the new owner.
        self.lag(key, self.watermark.position().next(), None);
        self.drop_retries(key);
        if self.lanes.get(&key).is_some_and(|lane| lane.in_flight == 0) {
            self.release(now, key);
        }
    }

    /// The rows stay on disk, where the new owner finds them.
    pub(super) fn drop_retries(&mut self, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let in_flight: Vec<_> = self
            .flights
            .iter()
            .filter(|flight| flight.subscription == key)
            .filter_map(|flight| flight.retry)
            .map(|row| row.seq)
            .collect();
        for ready in lane.retry_ready.drain(..) {
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(ready.event.body().len());
        }
        (lane.retries_due, lane.retry_bytes) = (0, 0);
        let window = &mut self.window;
        lane.retries.retain(|seq, held| {
            window.remove(&held.row.key);
            in_flight.contains(seq)
        });
    }

    /// Nothing is in flight any more: the lane is the new owner's.
    pub(super) fn release(&mut self, now: Now, key: SubscriptionKey) {
        let position = self.watermark.position().next();
        self.drop_retries(key);
        let Some(lane) = self.lanes.remove(&key) else { return };
        self.touch(key);
        self.turns.leave(lane.host, key);
        let cursor = lane.row_wanted().unwrap_or(position).min(position);
        self.journal.put_lagging(now.mono, key, cursor);
        if lane.condition.has_row() {
            // It failed where it was.
            self.journal.failing(now.mono, key, None);
        }
        self.journal.release(now.mono, Released { subscription: key, cursor });
        if let Some(subscription) = self.index.subscription(key).cloned()
            && self.index.owner(&subscription) == self.options.worker
        {
            // It came back while the last requests were in flight.
            self.await_adoption(&subscription);
        }
    }

    fn await_adoption(&mut self, subscription: &Arc<Subscription>) {
        let key = subscription.key;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.subscription = Arc::clone(subscription);
            debug_assert!(lane.releasing || lane.cursor == Cursor::Awaiting, "adopts what it has");
            return;
        }
        let host = self.turns.join(subscription.callback_url.authority(), key);
        let breaker = self.turns.breaker(host);
        self.lanes.insert(key, Lane::new(Arc::clone(subscription), host, breaker, Cursor::Awaiting));
    }
}
