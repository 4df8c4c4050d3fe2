//! First in, first out: what a failing delivery means for those behind it, over kills and changes of mind;
//! and times that receivers ask for as dates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, never_during, until};

const FAILS: &str = "e-03";

struct Rig {
    dir: TempDir,
    options: Options,
    engine: Engine,
    receiver: Receiver,
    sub: String,
    well: Arc<AtomicBool>,
}

impl Rig {
    /// A subscription in order whose receiver refuses [`FAILS`] until it is well.
    fn new(on_blocked: &str, retries: &'static [&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { retries, ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        let receiver = Receiver::start();
        let delivery = json!({"delivery": {"ordering": "fifo", "onBlocked": on_blocked}});
        let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &delivery);
        let well = Arc::new(AtomicBool::new(false));
        let is_well = Arc::clone(&well);
        receiver.on("/", move |request| {
            let refused = request.id == FAILS && !is_well.load(Ordering::SeqCst);
            Reply::Status(if refused { 500 } else { 204 })
        });
        Self { dir, options, engine, receiver, sub, well }
    }

    fn send(&self, numbers: std::ops::Range<u32>) {
        let events: Vec<_> =
            numbers.map(|n| event("acme", "user.created", &format!("e-{n:02}"), "{}")).collect();
        self.engine.ingest().send(&events).unwrap().want(202);
    }

    /// Ids in the order in which they were taken first.
    fn taken(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for record in self.receiver.records("/").into_iter().filter(|record| record.taken) {
            assert!(record.valid);
            if !ids.contains(&record.id) {
                ids.push(record.id);
            }
        }
        ids
    }

    fn until_taken(&self, count: usize) -> Vec<String> {
        until("deliveries to be taken", || {
            let taken = self.taken();
            if taken.len() >= count { Ok(taken) } else { Err(taken) }
        })
    }

    fn tries(&self, id: &str) -> usize {
        self.receiver.records("/").iter().filter(|record| record.id == id).count()
    }

    fn until_tries(&self, id: &str, count: usize) {
        until("attempts", || if self.tries(id) >= count { Ok(()) } else { Err(self.tries(id)) });
    }

    fn health(&self) -> Value {
        self.engine.subscription("acme", &self.sub)["health"].clone()
    }

    fn until_pending(&self, want: u64) -> Value {
        until("what is pending to be told", || {
            let health = self.health();
            if health["pending"] == want { Ok(health) } else { Err(health) }
        })
    }

    fn kill(mut self) -> Self {
        self.engine.kill9();
        self.engine = Engine::start(self.dir.path(), &self.options);
        self
    }
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("e-{n:02}")).collect()
}

#[test]
fn a_blocked_head_holds_its_line_over_kills() {
    let mut rig = Rig::new("block", &["300ms"; 100]);
    rig.send(0..20);
    rig.until_tries(FAILS, 2);
    for _ in 0..2 {
        rig = rig.kill();
        let before = rig.tries(FAILS);
        rig.until_tries(FAILS, before + 2);
        assert_eq!(rig.taken(), ids(0..3), "nothing passes the head");
    }
    rig.send(20..30);
    rig.well.store(true, Ordering::SeqCst);
    assert_eq!(rig.until_taken(30), ids(0..30));
    rig.engine.until_settled(30);
}

#[test]
fn a_head_that_is_far_away_holds_too_until_order_is_given_up() {
    let rig = Rig::new("block", &["1h"]);
    rig.send(0..20);
    rig.until_tries(FAILS, 1);
    rig.until_pending(17);
    let rig = rig.kill();
    // Nothing was tried in this run: what is told comes from the store.
    let health = rig.until_pending(17);
    assert!(health["oldestPendingAt"].is_string(), "{health}");
    rig.engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| rows == 1.0);
    rig.engine.until_metric("postrider_oldest_undelivered_seconds", PATIENCE, |age| age > 0.0);
    let of_sub = format!("postrider_subscription_oldest_undelivered_seconds{{subscription=\"{}\"}}", rig.sub);
    rig.engine.until_metric(&of_sub, PATIENCE, |age| age > 0.0);
    rig.send(20..25);
    rig.until_pending(22);
    never_during(Duration::from_millis(300), || assert_eq!(rig.taken(), ids(0..3)));
    rig.engine.patch("acme", &rig.sub, &json!({"delivery": {"ordering": "none"}}));
    let mut taken = rig.until_taken(24);
    taken.sort();
    assert_eq!(taken, ids((0..25).filter(|n| *n != 3)));
    rig.until_pending(1);
    // And back: the head is found again, and what comes now waits behind it.
    rig.engine.patch("acme", &rig.sub, &json!({"delivery": {"ordering": "fifo"}}));
    rig.send(25..27);
    rig.until_pending(3);
    never_during(Duration::from_millis(300), || assert_eq!(rig.taken().len(), 24));
}

#[test]
fn skip_lets_the_line_move_on() {
    let rig = Rig::new("skip", &["1s"; 20]);
    rig.send(0..20);
    assert_eq!(rig.until_taken(19), ids((0..20).filter(|n| *n != 3)));
    rig.until_tries(FAILS, 2);
    rig.well.store(true, Ordering::SeqCst);
    assert_eq!(rig.until_taken(20).last().map(String::as_str), Some(FAILS));
    rig.engine.until_settled(20);
}

#[test]
fn park_waits_for_a_person_and_begins_with_the_head() {
    let rig = Rig::new("park", &["200ms"; 20]);
    rig.send(0..20);
    let parked = until("the subscription to be parked", || {
        let sub = rig.engine.subscription("acme", &rig.sub);
        if sub["status"] == "inactive" { Ok(sub) } else { Err(sub["status"].clone()) }
    });
    assert_eq!(parked["disabledReason"], "blocked");
    // What came of the first four is on disk.
    rig.engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| rows == 1.0);
    let rig = rig.kill();
    let tries = rig.tries(FAILS);
    assert!(tries <= 2, "{tries} tries before it was parked");
    never_during(Duration::from_millis(600), || assert_eq!(rig.tries(FAILS), tries));
    assert_eq!(rig.taken(), ids(0..3));
    rig.until_pending(17);
    rig.well.store(true, Ordering::SeqCst);
    let active = rig.engine.patch("acme", &rig.sub, &json!({"status": "active"}));
    assert_eq!(active["disabledReason"], Value::Null);
    assert_eq!(rig.until_taken(20), ids(0..20));
}

#[test]
fn a_date_to_retry_after_is_obeyed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options { retries: &["100ms"], ..Options::default() });
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    let wait = Duration::from_secs(3);
    receiver.on("/", move |request| {
        let date = httpdate::fmt_http_date(SystemTime::now() + wait);
        // A test may leak a line.
        let line: &'static str = format!("retry-after: {date}\r\n").leak();
        if request.attempt == 1 { Reply::With(503, line) } else { Reply::Status(204) }
    });
    engine.ingest().send(&[event("acme", "user.created", "e", "{}")]).unwrap().want(202);
    let records = receiver.until("/", 2);
    let gap = records[1].at - records[0].at;
    // A date has whole seconds: up to one is cut off.
    let from = wait.saturating_sub(Duration::from_millis(1100));
    assert!(gap >= from && gap < wait + Duration::from_millis(1500), "{gap:?}");
}
