//! The shard, a rule at a time. What many rules make together is the simulation's business.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::model::subscription::tests::sample;
use crate::model::{AccountKey, AttemptError, ErrorKind, Outcome, Status, TypeBit};
use crate::schedule::journal::JOURNAL_ATTEMPTS_MAX;
use crate::schedule::pages::SubscriptionPage;

#[path = "shard_limits_tests.rs"]
mod limits;
#[path = "shard_order_tests.rs"]
mod order;
#[path = "shard_reading_tests.rs"]
mod reading;
#[path = "shard_replays_tests.rs"]
mod replays;
#[path = "shard_retries_tests.rs"]
mod retries;

struct Rig {
    shard: Shard,
    now: Now,
    seq: u64,
}

fn options() -> Options {
    Options {
        worker: 0,
        workers: 1,
        policy: RetryPolicy { schedule: vec![Duration::from_secs(5); 3], jitter: 0.0 },
        disable_after: None,
        host_in_flight_max: 8,
        breaker: BreakerPolicy {
            window: Duration::from_secs(30),
            min_requests: 10,
            failure_ratio: 0.5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
        },
        in_flight_max: 1000,
        queued_max: 4000,
        queued_bytes_max: 16 << 20,
        in_flight_bytes_max: 1 << 20,
        host_rules: Arc::default(),
    }
}

impl Rig {
    /// A live shard with these subscriptions, all of account 1.
    fn new(subscriptions: &[(u64, &str)]) -> Self {
        let subscriptions: Vec<_> =
            subscriptions.iter().map(|(key, url)| Arc::new(sample(*key, url))).collect();
        let index = Index::empty(1).with(AccountKey(1), &subscriptions);
        let now = Now { mono: Mono(0), wall: UnixMillis(1_000_000) };
        let mut shard = Shard::new(options(), Arc::new(index), Seq(0), &[]);
        shard.handle_live(Seq(0));
        Self { shard, now, seq: 0 }
    }

    fn event(&mut self, size: usize) -> Arc<Event> {
        self.seq += 1;
        let id = format!("e{:08}", self.seq);
        let body = format!("{{\"id\":\"{id}\",\"data\":\"{}\"}}", "x".repeat(size));
        let event = Event::new(Seq(self.seq), AccountKey(1), TypeBit(0), self.now.wall, 9, Bytes::from(body));
        Arc::new(event.expect("a valid event"))
    }

    fn commit(&mut self, count: usize, size: usize) {
        let events: Vec<_> = (0..count).map(|_| self.event(size)).collect();
        self.shard.handle_committed(&events, None);
    }

    /// All that can be sent now. Reads and other actions are left out.
    fn sends(&mut self) -> Vec<Send> {
        let mut sends = Vec::new();
        while let Some(action) = self.shard.poll_action(self.now) {
            if let Action::Send(send) = action {
                sends.push(send);
            }
        }
        sends
    }

    fn end(&mut self, id: FlightId, error: Option<ErrorKind>) {
        let outcome = Outcome {
            started_at: self.now.wall,
            duration: Duration::ZERO,
            status: None,
            error: error.map(|kind| AttemptError { kind, message: String::new() }),
            retry_after: None,
            response: None,
        };
        self.shard.handle_outcome(self.now, id, outcome);
    }

    /// Gives a subscription another rate.
    fn limit(&mut self, key: u64, rate: Option<f64>) {
        let before = Arc::clone(self.shard.index.subscription(SubscriptionKey(key)).expect("is there"));
        let mut after = (*before).clone();
        after.delivery.rate_per_second = rate;
        let after = Arc::new(after);
        let others = (1..=9).filter(|other| *other != key).map(SubscriptionKey);
        let mut all: Vec<_> =
            others.filter_map(|other| self.shard.index.subscription(other)).cloned().collect();
        all.push(Arc::clone(&after));
        self.shard.handle_index(Arc::new(self.shard.index.with(AccountKey(1), &all)));
        self.shard.handle_changed(self.now, Some(&before), Some(&after));
    }

    fn pass(&mut self, by: Duration) {
        self.now = Now { mono: self.now.mono + by, wall: self.now.wall + by };
        self.shard.handle_timeout(self.now);
    }
}

#[test]
fn turns_are_fair() {
    let mut rig = Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2")]);
    let key = |send: &Send| send.subscription.key.0;
    // Both want every event; the sizes are the same, so both get the same share of the host.
    rig.commit(100, 2000);
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for _ in 0..20 {
        for send in rig.sends() {
            *counts.entry(key(&send)).or_default() += 1;
            rig.end(send.id, None);
        }
    }
    let (one, two) = (counts[&1], counts[&2]);
    assert!(one.abs_diff(two) <= 4, "{one} and {two}");
}

#[test]
fn turns_are_fair_also_where_each_request_ends_at_once() {
    let mut rig = Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2")]);
    rig.commit(50, 2000);
    let mut counts = [0, 0, 0];
    while counts[1] + counts[2] < 40 {
        match rig.shard.poll_action(rig.now).expect("there is more") {
            Action::Send(send) => {
                counts[usize::from(send.subscription.key == SubscriptionKey(1)) + 1] += 1;
                rig.end(send.id, None);
            }
            _ => counts[0] += 1,
        }
    }
    assert!((15..=25).contains(&counts[1]), "{counts:?}");
}

#[test]
fn one_that_hangs_leaves_room_at_its_host() {
    let mut rig = Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2")]);
    rig.commit(50, 10);
    // Nothing of subscription 1 ever ends.
    let mut done = 0;
    for _ in 0..200 {
        let sends = rig.sends();
        for send in sends.iter().filter(|send| send.subscription.key.0 == 2) {
            rig.end(send.id, None);
            done += 1;
        }
    }
    assert_eq!(done, 50, "all of the neighbour's events went out");
}

#[test]
fn a_full_lane_lags_and_goes_on_from_the_log() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(3000, 10);
    let first = rig.sends();
    assert_eq!(first.len(), 8, "the host's cap");
    assert!(rig.shard.counts().queued <= 1024);
    assert_eq!(rig.shard.counts().lagging, 1);
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("a cursor is to be written");
    let [(key, cursor)] = settlement.lagging_put.as_slice() else { panic!("{settlement:?}") };
    assert_eq!(key.0, 1);
    assert_eq!(*cursor, Seq(801), "a quarter of what is free is a fifth of 4000");
    assert_eq!(settlement.watermark, Seq(0), "the first event is in flight");
    rig.shard.handle_flushed(settlement.serial);
    // As the queue drains it asks for more, from the cursor on.
    let mut asked = None;
    let mut sends: Vec<_> = first;
    while asked.is_none() {
        for send in sends.drain(..) {
            rig.end(send.id, None);
        }
        while let Some(action) = rig.shard.poll_action(rig.now) {
            match action {
                Action::Send(send) => sends.push(send),
                Action::Read(Read::Subscription { from, limit, .. }) => asked = Some((from, limit)),
                Action::Read(_)
                | Action::Cancel(_)
                | Action::CaughtUp(_)
                | Action::Disable { .. }
                | Action::Recovered(_)
                | Action::Replayed(_) => {}
            }
        }
        assert!(!sends.is_empty() || asked.is_some());
    }
    let (from, limit) = asked.expect("it asked");
    assert_eq!(from, *cursor);
    assert!(limit > 0);
    rig.shard.handle_subscription_page(&SubscriptionPage {
        subscription: *key,
        from,
        events: Vec::new(),
        through: Seq(3000),
        end: true,
        expired_below: None,
    });
    assert_eq!(rig.shard.counts().lagging, 0, "it has caught up");
}

#[test]
fn a_deadline_is_told_once() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(1, 10);
    let sends = rig.sends();
    let id = sends.first().expect("one is sent").id;
    assert_eq!(sends[0].deadline, rig.now.mono + Duration::from_secs(15));
    rig.pass(Duration::from_secs(14));
    assert!(rig.shard.poll_action(rig.now).is_none_or(|action| !matches!(action, Action::Cancel(_))));
    rig.pass(Duration::from_secs(1));
    let mut cancelled = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        if let Action::Cancel(id) = action {
            cancelled.push(id);
        }
    }
    assert_eq!(cancelled, [id]);
    rig.pass(Duration::from_secs(1));
    assert!(rig.sends().is_empty(), "it is still in flight until its outcome comes");
}

#[test]
fn nothing_is_sent_when_outcomes_cannot_be_written() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let mut sent = 0;
    // The first settlement is taken and its flush never comes.
    for _ in 0..40 {
        rig.commit(500, 10);
        loop {
            let sends = rig.sends();
            if sends.is_empty() {
                break;
            }
            sent += sends.len();
            for send in sends {
                rig.end(send.id, None);
            }
        }
        let _ = rig.shard.poll_settlement(rig.now, true);
    }
    let bound = JOURNAL_ATTEMPTS_MAX + 1024;
    assert!(sent <= bound, "{sent} were sent, at most {bound} outcomes can wait");
    assert!(sent > JOURNAL_ATTEMPTS_MAX);
}

#[test]
fn inactive_forgets_its_queue_and_holds_its_place() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(20, 10);
    let sends = rig.sends();
    let before = Arc::new(sample(1, "http://a.example/"));
    let mut after = (*before).clone();
    after.status = Status::Inactive;
    after.begin_epoch(Seq(21), crate::model::EventMask::NONE, Seq(0));
    let after = Arc::new(after);
    rig.shard.handle_index(Arc::new(Index::empty(1).with(AccountKey(1), &[Arc::clone(&after)])));
    rig.shard.handle_changed(rig.now, Some(&before), Some(&after));
    assert_eq!(rig.shard.counts().queued, 0);
    for send in sends {
        rig.end(send.id, None);
    }
    assert!(rig.sends().is_empty(), "an inactive subscription is sent nothing");
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("outcomes and a cursor");
    assert_eq!(settlement.attempts.len(), 8);
    assert_eq!(settlement.lagging_put, [(SubscriptionKey(1), Seq(9))], "what was not tried is read again");
}
