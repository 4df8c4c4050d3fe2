//! Inputs of the shard that bring events: commits, and pages read from the log.
//!
//! A worker sees the log as one contiguous sequence. Live, it comes as commits; after a start, and
//! whenever the worker's queue overflowed, as pages. Both end in `take_in`: there is no second path.

use std::collections::HashSet;
use std::sync::Arc;

use super::behind::Behind;
use super::lane::{Cursor, Lane, ReadyRetry};
use super::pages::{Body, Found, LogPage, RetryPage, SubscriptionPage};
use super::shard::{Action, Intake, Shard};
use crate::model::{Event, Now, Seq, Subscription, SubscriptionKey, UnixMillis};
use crate::settle::{DeadReason, DeadRow, RetryRow};

impl Shard {
    /// Whether commits may be taken from the queue now.
    #[must_use]
    pub fn wants_commits(&self) -> bool {
        self.intake == Intake::Live
    }

    /// Events in the order of the log, none left out that this worker's subscriptions want.
    /// `settled`: pairs that need nothing any more.
    pub fn handle_committed(
        &mut self,
        events: &[Arc<Event>],
        settled: Option<&HashSet<(SubscriptionKey, Seq)>>,
    ) {
        let index = Arc::clone(&self.index);
        for event in events {
            if event.seq <= self.watermark.position() {
                continue;
            }
            index.for_each(event, self.options.worker, |subscription| {
                let done = settled.is_some_and(|pairs| pairs.contains(&(subscription.key, event.seq)));
                if !done {
                    self.take_in(subscription, event);
                }
            });
            self.watermark.advance(event.seq);
        }
    }

    /// Nothing at or below `seq` is still to come.
    pub fn handle_position(&mut self, seq: Seq) {
        if self.intake == Intake::Live {
            self.watermark.advance(seq);
        }
    }

    /// The queue of commits overflowed and is drained: what it refused is read from the log.
    pub fn handle_behind(&mut self) {
        if self.intake == Intake::Live {
            self.intake = Intake::Reading { asked: false, until: None };
            self.read_on();
        }
    }

    /// Commits above `after` come through the queue again.
    pub fn handle_live(&mut self, after: Seq) {
        if self.watermark.position() >= after {
            self.go_live();
        } else {
            self.intake = Intake::Reading { asked: false, until: Some(after) };
            self.read_on();
        }
    }

    fn go_live(&mut self) {
        self.intake = Intake::Live;
        // Lanes whose cursor or head lay ahead of the position could do nothing until now.
        let mut lagging: Vec<SubscriptionKey> = self
            .lanes
            .iter()
            .filter(|(_, lane)| matches!(lane.cursor, Cursor::Lagging { .. }) || lane.heads.is_some())
            .map(|(key, _)| *key)
            .collect();
        // A hash map has no order of its own, and a simulation must be replayable.
        lagging.sort_unstable();
        for key in lagging {
            self.refresh(key);
        }
    }

    /// The part of the log that was asked for.
    pub fn handle_log_page(&mut self, page: &LogPage) {
        self.handle_committed(&page.events, Some(&page.settled));
        self.watermark.advance(page.through);
        let Intake::Reading { until, .. } = self.intake else { return };
        match until {
            Some(after) if self.watermark.position() >= after => self.go_live(),
            None if page.end => {
                self.intake = Intake::Reading { asked: true, until: None };
                self.actions.push_back(Action::CaughtUp(self.watermark.position()));
            }
            _ => self.intake = Intake::Reading { asked: false, until },
        }
        self.read_on();
    }

    fn take_in(&mut self, subscription: &Arc<Subscription>, event: &Arc<Event>) {
        let key = subscription.key;
        let Some(lane) = self.lane(subscription, Cursor::Live) else { return };
        let held = match lane.cursor {
            Cursor::Awaiting => return,
            _ if event.seq < lane.adopted_from => return,
            // What lies below the cursor comes this way after a start; the rest is read through it.
            Cursor::Lagging { next, reading } if event.seq >= next => {
                lane.behind.pass(1, event.accepted_at);
                if reading.is_none() && !lane.hungry {
                    self.refresh(key);
                } else {
                    self.touch(key);
                }
                return;
            }
            Cursor::Live | Cursor::Lagging { .. } => lane.fresh.len(),
        };
        let active = lane.is_open() && !lane.is_blocked();
        let Some(room) = self.lanes.get(&key).map(|lane| self.room(lane)) else { return };
        if room == 0 || !active || !self.has_span(event.seq) {
            self.lag(key, event.seq, Some((1, event.accepted_at)));
            return;
        }
        self.watermark.add(event.seq);
        self.push_fresh(key, event);
        if held == 0 {
            self.refresh(key);
        }
    }

    fn push_fresh(&mut self, key: SubscriptionKey, event: &Arc<Event>) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.fresh_bytes += event.body().len();
        self.queued += 1;
        self.queued_bytes += event.body().len();
        self.queued_fresh += 1;
        self.queued_fresh_bytes += event.body().len();
        lane.fresh.push_back(Arc::clone(event));
    }

    /// From `seq` on, the lane's events are read from the log. `more`: how many that are, which the lane
    /// had or would have had, and when the log took the first.
    pub(super) fn lag(&mut self, key: SubscriptionKey, seq: Seq, more: Option<(u64, UnixMillis)>) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            if let Some((events, at)) = more {
                lane.behind.pass(events, at);
            }
            lane.cursor = match lane.cursor {
                Cursor::Lagging { next, reading } => Cursor::Lagging { next: next.min(seq), reading },
                Cursor::Live | Cursor::Awaiting => Cursor::Lagging { next: seq, reading: None },
            };
        }
        self.refresh(key);
    }

    /// Makes room in the watermark's ring: lanes that hold its oldest seq go under a cursor. `false`
    /// where there is none left and the ring is still too long.
    fn has_span(&mut self, seq: Seq) -> bool {
        while !self.watermark.has_room(seq) {
            let Some(oldest) = self.watermark.oldest() else { return false };
            let mut holders: Vec<SubscriptionKey> = self
                .flights
                .iter()
                .filter(|flight| flight.event.seq == oldest && flight.retry.is_none() && !flight.orphan)
                .map(|flight| flight.subscription)
                .collect();
            let queued = |lane: &Lane| lane.fresh.front().is_some_and(|event| event.seq == oldest);
            holders.extend(self.lanes.iter().filter(|(_, lane)| queued(lane)).map(|(key, _)| *key));
            if holders.is_empty() {
                debug_assert!(false, "{oldest:?} is held by nobody");
                return false;
            }
            for key in holders {
                self.cover(key);
            }
        }
        true
    }

    /// Moves all pending pairs of a lane from the watermark under its cursor row.
    pub(super) fn cover(&mut self, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let queued = lane.fresh.iter().map(|event| event.seq);
        let in_flight = self
            .flights
            .iter()
            .filter(|flight| flight.subscription == key && flight.retry.is_none() && !flight.orphan)
            .map(|flight| flight.event.seq);
        for seq in queued.chain(in_flight) {
            if lane.covered.insert(seq) {
                self.watermark.settle(seq);
            }
        }
        self.refresh(key);
    }

    /// Forgets the queue of a lane: its events are read from the log again when they are wanted.
    pub(super) fn spill(&mut self, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some((first, at)) = lane.fresh.front().map(|event| (event.seq, event.accepted_at)) else {
            return;
        };
        let events = u64::try_from(lane.fresh.len()).unwrap_or(u64::MAX);
        for event in lane.fresh.drain(..) {
            if !lane.covered.remove(&event.seq) {
                self.watermark.settle(event.seq);
            }
            self.queued = self.queued.saturating_sub(1);
            self.queued_bytes = self.queued_bytes.saturating_sub(event.body().len());
            self.queued_fresh = self.queued_fresh.saturating_sub(1);
            self.queued_fresh_bytes = self.queued_fresh_bytes.saturating_sub(event.body().len());
        }
        lane.fresh_bytes = 0;
        self.lag(key, first, Some((events, at)));
    }

    /// What a lagging lane asked for.
    pub fn handle_subscription_page(&mut self, page: &SubscriptionPage) {
        self.lanes_reading = self.lanes_reading.saturating_sub(1);
        let key = page.subscription;
        let position = self.watermark.position();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Cursor::Lagging { next, reading: Some(from) } = lane.cursor else { return };
        if page.expired_below.is_some_and(|below| below > next) {
            self.expired_cursors += 1;
        }
        let other = std::mem::take(&mut lane.reread) || from != next || page.from != next;
        if !lane.is_open() || lane.is_blocked() || other {
            // It went inactive, was blocked, went back or wants other events meanwhile: what was read is read
            // again when it is wanted.
            lane.cursor = Cursor::Lagging { next, reading: None };
            self.refresh(key);
            return;
        }
        // What lies beyond the worker's own position comes to it as to all others.
        let through = page.through.min(position);
        let caught_up = through >= position;
        lane.cursor =
            if caught_up { Cursor::Live } else { Cursor::Lagging { next: through.next(), reading: None } };
        let news = || page.events.iter().filter(|event| event.seq <= through);
        lane.covered.extend(news().map(|event| event.seq));
        if caught_up {
            lane.behind = Behind::default();
        } else {
            lane.behind.read(news().map(|event| (event.seq, event.accepted_at)));
        }
        for event in news() {
            self.push_fresh(key, event);
        }
        self.refresh(key);
        self.read_on();
    }

    /// Rows of waiting retries: of the near window, or those that one lane had parked.
    pub fn handle_retry_page(&mut self, now: Now, page: &RetryPage) {
        let (mut taken, mut left_out) = (0, None);
        for row in &page.rows {
            if self.journal.is_deleted(&row.key) {
                continue;
            }
            let due = page.only.is_some() && row.key.due <= now.wall;
            let full = |lane: &Lane| lane.retries_due + taken >= self.retries_room(lane);
            if due && self.lanes.get(&row.key.subscription).is_some_and(full) {
                left_out.get_or_insert(row.key);
            } else if self.remember_retry(*row) && due {
                taken += 1;
            }
        }
        match page.only {
            None => self.window.answered(page.until, page.next),
            Some(key) => {
                self.parked_reading = self.parked_reading.saturating_sub(1);
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.parked_reading = false;
                    // The next page begins where this one ended, so that it comes past the rows of others.
                    match (left_out, page.next) {
                        (Some(row), _) => lane.park_from(row),
                        (None, Some(next)) => lane.park_after(next),
                        (None, None) => {}
                    }
                }
                // Due rows are popped first, so that a full lane does not ask again at once; and others have
                // their turn before it.
                self.handle_timeout(now);
                self.retry_parked();
                self.refresh(key);
            }
        }
        self.handle_timeout(now);
    }

    /// Gives a row a timer, unless it has one, is under way, or its subscription is gone. In order, only
    /// the head has one: see `arm`. Whether it got one.
    pub(super) fn remember_retry(&mut self, row: RetryRow) -> bool {
        let Some(subscription) = self.index.subscription(row.key.subscription).cloned() else { return false };
        if self.index.owner(&subscription) != self.options.worker {
            return false;
        }
        let Some(lane) = self.lane(&subscription, Cursor::Live) else { return false };
        if lane.retries.contains_key(&row.key.seq) || lane.releasing || lane.cursor == Cursor::Awaiting {
            return false;
        }
        if lane.heads.is_some() {
            return false;
        }
        lane.remember(row);
        self.window.insert(row);
        true
    }

    /// Events of due retries.
    pub fn handle_bodies(&mut self, now: Now, bodies: &[Body]) {
        self.bodies_asked = self.bodies_asked.saturating_sub(bodies.len());
        for body in bodies {
            self.handle_body(now, body);
            self.refresh(body.subscription);
        }
        self.retry_parked();
    }

    fn handle_body(&mut self, now: Now, body: &Body) {
        let bytes_max = self.retry_bytes_max();
        let lane = self.lanes.get_mut(&body.subscription).filter(|lane| !lane.releasing);
        let asked = lane.and_then(|lane| {
            let held = lane.retries.get_mut(&body.seq)?;
            std::mem::take(&mut held.asked).then_some((held.row, lane))
        });
        let Some((row, lane)) = asked else {
            // Deleted or moved while the body was fetched; its place in the count goes with it.
            self.queued = self.queued.saturating_sub(1);
            return;
        };
        match &body.found {
            Found::Event(event) if lane.is_open() && lane.retry_bytes < bytes_max => {
                self.queued_bytes += event.body().len();
                lane.retry_bytes += event.body().len();
                lane.retry_ready.push_back(ReadyRetry { row, event: Arc::clone(event) });
            }
            Found::Event(_) | Found::NotNow => {
                // Its host was given up while the body was fetched, or it has its share of the memory.
                self.queued = self.queued.saturating_sub(1);
                lane.retries_due = lane.retries_due.saturating_sub(1);
                lane.park(row.key, self.journal.last_put());
            }
            Found::Expired => {
                self.queued = self.queued.saturating_sub(1);
                self.forget_retry(now, &row);
                self.expired_retries += 1;
                let (subscription, seq) = (body.subscription, body.seq);
                let reason = DeadReason::Expired;
                self.journal.dead(now.mono, DeadRow { subscription, seq, reason, at: now.wall });
            }
        }
    }

    /// A retry whose body was asked for or is there ends without an attempt.
    fn forget_retry(&mut self, now: Now, row: &RetryRow) {
        self.journal.delete_retry(now.mono, row.key);
        self.replays.attempted(row.key.subscription, row.key.seq);
        if let Some(lane) = self.lanes.get_mut(&row.key.subscription) {
            lane.retries.remove(&row.key.seq);
            lane.retries_due = lane.retries_due.saturating_sub(1);
            if let Some(heads) = &mut lane.heads {
                heads.remove(&row.key);
            }
        }
    }
}
