//! The shard: all that one worker decides. See the module's doc for how it is driven.
//!
//! Its inputs are spread over `intake` (events and pages), `outcomes` (what came of attempts) and
//! `changes` (configuration); this file has the state, the outputs and what they share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;

use super::breaker::BreakerPolicy;
use super::flight::{Flight, FlightId, Flights};
use super::journal::Journal;
use super::lane::{Cursor, Lane};
use super::pages::Read;
use super::replays::{Replayed, Replays};
use super::retries::RetryWindow;
use super::room::retries_max;
use super::turns::{HostKey, HostOptions, QUANTUM, Start, Turns};
use super::watermark::Watermark;
use crate::model::subscription::DisabledReason;
use crate::model::{Event, HostRules, Mono, Now, Seq, Subscription, SubscriptionKey, Trigger, UnixMillis};
use crate::route::Index;
use crate::settle::{RetryPolicy, Settlement, Tries};

/// What a shard is set up with.
#[derive(Clone, Debug)]
pub struct Options {
    pub worker: usize,
    /// How many workers there are, for telling whose a subscription is.
    pub workers: usize,
    pub policy: RetryPolicy,
    /// A subscription that saw nothing but failures for this long is made inactive; `None`: never.
    pub disable_after: Option<Duration>,
    /// Requests in flight to one host.
    pub host_in_flight_max: u32,
    pub breaker: BreakerPolicy,
    /// Requests in flight in all.
    pub in_flight_max: usize,
    /// Events that wait in all lanes together; each lane may hold [`FRESH_MIN`] all the same.
    pub queued_max: usize,
    /// Bytes of bodies that wait in all lanes together.
    pub queued_bytes_max: usize,
    /// Bytes of bodies in flight; each request counts its own. At the bound nothing more is sent until
    /// something ends, but one request always may be.
    pub in_flight_bytes_max: usize,
    /// What holds for single hosts instead.
    pub host_rules: Arc<HostRules>,
}

/// Bytes that a request costs besides its body, for fairness.
const REQUEST_COST: usize = 512;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Send {
    pub id: FlightId,
    pub subscription: Arc<Subscription>,
    pub event: Arc<Event>,
    pub attempt: u16,
    pub trigger: Trigger,
    pub deadline: Mono,
}

/// What the shell must do.
#[derive(Debug)]
pub enum Action {
    /// Send this and report the outcome with `handle_outcome`, exactly once.
    Send(Send),
    /// The deadline of this flight has come: end it now, and report the outcome all the same.
    Cancel(FlightId),
    /// Ask the readers.
    Read(Read),
    /// Tell the writer that everything up to here was taken in from the log.
    CaughtUp(Seq),
    /// Make the subscription inactive, and let others be told where that is allowed.
    /// `version`: of the record that it was judged by.
    Disable { key: SubscriptionKey, version: u64, reason: DisabledReason, announce: bool },
    /// A subscription that was announced as disabled delivers again.
    Recovered(SubscriptionKey),
    /// What was asked for by hand is written down, as far as there was anything to write.
    Replayed(Replayed),
}

/// How the shard gets at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// Commits come as they happen.
    Live,
    /// The log is read; `asked` while a page is under way. `until`: commits after this come again.
    Reading { asked: bool, until: Option<Seq> },
}

pub struct Shard {
    pub(super) options: Options,
    pub(super) index: Arc<Index>,
    pub(super) lanes: HashMap<SubscriptionKey, Lane>,
    pub(super) turns: Turns,
    pub(super) flights: Flights,
    pub(super) window: RetryWindow,
    pub(super) watermark: Watermark,
    pub(super) journal: Journal,
    pub(super) intake: Intake,
    pub(super) actions: VecDeque<Action>,
    /// Lanes that want to read from the log, and how many do.
    pub(super) hungry: VecDeque<SubscriptionKey>,
    pub(super) lanes_reading: usize,
    /// Retry pages of single lanes under way.
    pub(super) parked_reading: usize,
    /// Lanes with parked retries that wait for a settlement before they can read them.
    pub(super) parked: VecDeque<SubscriptionKey>,
    /// Lanes whose cursor row may have to be written.
    pub(super) dirty: Vec<SubscriptionKey>,
    /// Lanes that wait for a token.
    pub(super) waiting: BTreeSet<(Mono, SubscriptionKey)>,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    /// The part of both that waits for a first attempt.
    pub(super) queued_fresh: usize,
    pub(super) queued_fresh_bytes: usize,
    pub(super) bodies_asked: usize,
    pub(super) in_flight_bytes: usize,
    pub(super) expired_retries: u64,
    pub(super) expired_cursors: u64,
    /// Lanes whose backlog is to be counted, and whether a count is under way.
    pub(super) uncounted: VecDeque<SubscriptionKey>,
    pub(super) counting: bool,
    /// The census of the start has come.
    pub(super) counted: bool,
    /// Searches for heads so far.
    pub(super) searches: u64,
    pub(super) replays: Replays,
    pub(super) stopping: bool,
    pub(super) touched: Vec<SubscriptionKey>,
    /// Wall time of the last `handle_timeout`.
    pub(super) wall: UnixMillis,
    scratch: Vec<FlightId>,
}

impl Shard {
    /// `watermark` and `lagging` as recovery found them; `lagging` of this worker's subscriptions only.
    /// A new shard reads the log from the watermark on: recovery is the way of every event.
    #[must_use]
    pub fn new(
        options: Options,
        index: Arc<Index>,
        watermark: Seq,
        lagging: &[(SubscriptionKey, Seq)],
    ) -> Self {
        let mut shard = Self {
            turns: Turns::new(HostOptions {
                in_flight_max: options.host_in_flight_max,
                workers: options.workers,
                breaker: options.breaker.clone(),
                rules: Arc::clone(&options.host_rules),
            }),
            journal: Journal::new(options.worker, watermark),
            options,
            index,
            lanes: HashMap::default(),
            flights: Flights::default(),
            window: RetryWindow::default(),
            watermark: Watermark::new(watermark),
            intake: Intake::Reading { asked: false, until: None },
            actions: VecDeque::new(),
            hungry: VecDeque::new(),
            lanes_reading: 0,
            parked_reading: 0,
            parked: VecDeque::new(),
            dirty: Vec::new(),
            waiting: BTreeSet::new(),
            queued: 0,
            queued_bytes: 0,
            queued_fresh: 0,
            queued_fresh_bytes: 0,
            bodies_asked: 0,
            in_flight_bytes: 0,
            expired_retries: 0,
            expired_cursors: 0,
            uncounted: VecDeque::new(),
            counting: false,
            counted: false,
            searches: 0,
            replays: Replays::default(),
            stopping: false,
            touched: Vec::new(),
            wall: UnixMillis(0),
            scratch: Vec::new(),
        };
        for (key, cursor) in lagging {
            let Some(subscription) = shard.index.subscription(*key).cloned() else { continue };
            let cursor_state = Cursor::Lagging { next: *cursor, reading: None };
            if let Some(lane) = shard.lane(&subscription, cursor_state) {
                lane.row = Some(*cursor);
            }
            shard.count_behind(*key);
            shard.refresh(*key);
        }
        shard
    }

    /// The lane of a subscription, made where it is missing.
    pub(super) fn lane(&mut self, subscription: &Arc<Subscription>, cursor: Cursor) -> Option<&mut Lane> {
        let key = subscription.key;
        if !self.lanes.contains_key(&key) {
            let host = self.turns.join(subscription.callback_url.authority(), key);
            let breaker = self.turns.breaker(host);
            let mut lane = Lane::new(Arc::clone(subscription), host, breaker, cursor);
            lane.heads = self.heads_of_new(subscription);
            self.lanes.insert(key, lane);
        }
        self.lanes.get_mut(&key)
    }

    /// Time has passed: deadlines, due retries, reading ahead. Call it on every turn of the loop.
    pub fn handle_timeout(&mut self, now: Now) {
        self.wall = now.wall;
        let mut expired = std::mem::take(&mut self.scratch);
        self.flights.expire(now.mono, &mut expired);
        self.actions.extend(expired.drain(..).map(Action::Cancel));
        self.scratch = expired;
        if !self.stopping {
            self.wake_hosts(now);
            self.wake_retries(now);
            self.read_on();
            self.replay_on();
        }
    }

    /// What to do next, or `None` where there is nothing to do now.
    pub fn poll_action(&mut self, now: Now) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let full = self.flights.len() >= self.options.in_flight_max || self.free_bytes() == 0;
        if self.stopping || self.journal.is_full() || full {
            return None;
        }
        loop {
            let (host, key) = self.turns.front(now.mono, self.free_bytes())?;
            if let Some(send) = self.send_one(now, host, key) {
                return Some(Action::Send(send));
            }
        }
    }

    /// Sends the next event of the lane whose turn it is, or ends its turn.
    fn send_one(&mut self, now: Now, host: HostKey, key: SubscriptionKey) -> Option<Send> {
        let share = self.turns.share(host);
        let Some(lane) = self.lanes.get_mut(&key) else {
            self.turns.unlist(host);
            return None;
        };
        let cap = lane.in_flight_max().min(share);
        if !lane.is_open() || lane.token_at.is_some() || !lane.has_work() || lane.in_flight >= cap {
            lane.in_line = false;
            self.turns.unlist(host);
            return None;
        }
        if let Some(at) = lane.bucket.as_ref().and_then(|bucket| bucket.ready_at(now.mono)) {
            lane.in_line = false;
            lane.token_at = Some(at);
            self.waiting.insert((at, key));
            self.turns.unlist(host);
            return None;
        }
        let mut retry = lane.retry_is_next();
        if retry && lane.in_flight_retries >= retries_max(cap, !lane.fresh.is_empty()) {
            if lane.heads.is_some() || lane.fresh.is_empty() {
                // It is looked at again when one of them ends.
                lane.in_line = false;
                self.turns.unlist(host);
                return None;
            }
            retry = false;
        }
        if retry && !self.turns.may_retry(host) {
            if lane.heads.is_some() || lane.fresh.is_empty() {
                self.turns.hold(host);
                return None;
            }
            retry = false;
        }
        let size = if retry {
            lane.retry_ready.front().map_or(0, |ready| ready.event.body().len())
        } else {
            lane.fresh.front().map_or(0, |event| event.body().len())
        };
        let cost = u32::try_from(size + REQUEST_COST).unwrap_or(u32::MAX);
        if lane.credit < cost {
            lane.credit = lane.credit.saturating_add(QUANTUM);
            self.turns.rotate(host);
            return None;
        }
        lane.credit -= cost;
        let (event, tries, trigger, row) = if retry {
            let ready = lane.retry_ready.pop_front()?;
            lane.retries_due = lane.retries_due.saturating_sub(1);
            lane.retry_bytes = lane.retry_bytes.saturating_sub(size);
            lane.fresh_streak = 0;
            lane.in_flight_retries += 1;
            (ready.event, ready.row.attempts.one_more(), ready.row.trigger, Some(ready.row.key))
        } else {
            let event = lane.fresh.pop_front()?;
            lane.fresh_bytes -= size.min(lane.fresh_bytes);
            self.queued_fresh = self.queued_fresh.saturating_sub(1);
            self.queued_fresh_bytes = self.queued_fresh_bytes.saturating_sub(size);
            lane.fresh_streak = lane.fresh_streak.saturating_add(1);
            (event, Tries::from(1), Trigger::Event, None)
        };
        self.queued = self.queued.saturating_sub(1);
        self.queued_bytes = self.queued_bytes.saturating_sub(size);
        lane.in_flight += 1;
        if let Some(bucket) = &mut lane.bucket {
            bucket.take(now.mono);
        }
        if !lane.has_work() {
            lane.credit = 0;
        }
        let deadline = now.mono + lane.subscription.delivery.timeout;
        let subscription = Arc::clone(&lane.subscription);
        self.in_flight_bytes += size;
        let generation = self.turns.sent(host, Start { now: now.mono, retry, bytes: size });
        let flight = Flight {
            subscription: key,
            host,
            generation,
            version: subscription.version,
            event: Arc::clone(&event),
            tries,
            trigger,
            retry: row,
            deadline,
            cancelled: false,
            orphan: false,
        };
        let id = self.flights.insert(flight);
        self.refresh(key);
        Some(Send { id, subscription, event, attempt: tries.made, trigger, deadline })
    }

    /// What is to be written now. `force` hands over what there is without waiting for company.
    pub fn poll_settlement(&mut self, now: Now, force: bool) -> Option<Settlement> {
        let watermark = self.watermark.get();
        for key in std::mem::take(&mut self.dirty) {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.dirty = false;
            let wanted = lane.row_wanted();
            if wanted == lane.row {
                continue;
            }
            lane.row = wanted;
            match wanted {
                Some(cursor) => self.journal.put_lagging(now.mono, key, cursor),
                None => self.journal.delete_lagging(now.mono, key),
            }
        }
        self.journal.is_due(now.mono, watermark, force).then(|| self.journal.take(now.mono, watermark))
    }

    /// This settlement is in the store.
    pub fn handle_flushed(&mut self, serial: u64) {
        self.journal.flushed(serial, self.parked_reading > 0 || self.window.is_reading());
        self.retry_parked();
        self.replay_on();
    }

    /// When to call `handle_timeout` and `poll_settlement` next if nothing else happens.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Mono> {
        let at = |due: UnixMillis| now.mono + due.since(now.wall);
        let retries = if self.stopping || self.asks_enough() {
            None
        } else {
            [self.window.next_due(), self.window.next_read()].into_iter().flatten().map(at).min()
        };
        let limits = if self.stopping {
            None
        } else {
            let token = self.waiting.first().map(|(at, _)| *at);
            [self.turns.next_wake(), token].into_iter().flatten().min()
        };
        [self.flights.next_deadline(), self.journal.next_due(self.watermark.get()), retries, limits]
            .into_iter()
            .flatten()
            .min()
    }

    /// Starts nothing new. What is in flight ends; [`Shard::is_done`] tells when all is written.
    pub fn handle_stop(&mut self) {
        self.stopping = true;
    }

    /// Nothing is in flight and everything settled is in the store.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.flights.is_empty() && self.actions.is_empty() && self.journal.is_clean()
    }

    /// Deadlines of everything in flight come now: the bound of an orderly stop is reached.
    pub fn handle_abort(&mut self) {
        let mut expired = Vec::new();
        self.flights.expire_all(&mut expired);
        self.actions.extend(expired.into_iter().map(Action::Cancel));
    }

    /// Puts a lane where it belongs after any change: in line, in the queue of readers, among the dirty.
    pub(super) fn refresh(&mut self, key: SubscriptionKey) {
        self.touch(key);
        let bytes_max = self.fresh_bytes_max();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !lane.dirty && lane.row_wanted() != lane.row {
            lane.dirty = true;
            self.dirty.push(key);
        }
        let fresh_waits = lane.is_open() && !lane.fresh.is_empty();
        if fresh_waits != lane.fresh_waits {
            lane.fresh_waits = fresh_waits;
            self.turns.fresh_waits(lane.host, key, fresh_waits);
        }
        if !lane.is_open() {
            return;
        }
        let cap = lane.in_flight_max().min(self.turns.share(lane.host));
        if !lane.in_line && lane.token_at.is_none() && lane.has_work() && lane.in_flight < cap {
            lane.in_line = true;
            self.turns.enlist(lane.host, key);
        }
        let next = self.watermark.position().next();
        let lagging = matches!(lane.cursor, Cursor::Lagging { reading: None, next: at } if at <= next);
        let drained = lane.fresh.len() < lane.fresh_max().div_ceil(4) && lane.fresh_bytes < bytes_max / 4;
        if lagging && !lane.hungry && drained && !lane.is_blocked() {
            lane.hungry = true;
            self.hungry.push_back(key);
        }
        if lane.heads.is_some() {
            self.arm(key);
        } else if lane.parked.is_some() && !lane.parked_reading && self.may_unpark(key) {
            self.read_parked(key);
        }
    }

    #[must_use]
    pub fn watermark(&self) -> Seq {
        self.watermark.get()
    }
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
