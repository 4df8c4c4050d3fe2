//! What becomes of a delivery that fails, and what changes of its subscription mean for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Record, Reply};
use crate::wait::{PATIENCE, never_during, until};

struct Rig {
    dir: TempDir,
    options: Options,
    engine: Engine,
    receiver: Receiver,
    sub: String,
}

impl Rig {
    fn new(retries: &'static [&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { retries, ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        let receiver = Receiver::start();
        let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
        Self { dir, options, engine, receiver, sub }
    }

    fn send(&self, id: &str) {
        self.engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
    }

    fn send_many(&self, prefix: &str, count: usize) {
        let mut ingest = self.engine.ingest();
        let all: Vec<_> =
            (0..count).map(|n| event("acme", "user.created", &format!("{prefix}-{n}"), "{}")).collect();
        for part in all.chunks(500) {
            ingest.send(part).unwrap().want(202);
        }
    }

    fn until_status(&self, id: &str, status: &str) -> Value {
        self.engine.until_status("acme", &self.sub, id, status)
    }

    fn attempts(&self, id: &str) -> Vec<Value> {
        self.engine.attempts("acme", &self.sub, id)
    }

    fn restart(mut self, stop: impl FnOnce(Engine)) -> Self {
        stop(self.engine);
        self.engine = Engine::start(self.dir.path(), &self.options);
        self
    }
}

fn gap(records: &[Record]) -> Duration {
    records[1].at - records[0].at
}

fn near(took: Duration, want: Duration) {
    // Early by the clocks' granularity, late by a busy machine.
    let late = want + Duration::from_millis(1500);
    assert!(took >= want.saturating_sub(Duration::from_millis(20)) && took < late, "{took:?}, not {want:?}");
}

#[test]
fn a_failure_is_tried_again_by_the_schedule() {
    let rig = Rig::new(&["1s", "1s"]);
    rig.receiver.on("/", |request| Reply::Status(if request.attempt == 1 { 500 } else { 200 }));
    rig.send("e");
    let records = rig.receiver.until("/", 2);
    near(gap(&records), Duration::from_secs(1));
    assert_eq!((records[0].attempt, records[1].attempt), (1, 2));
    assert!(records.iter().all(|record| record.valid && record.id == "e"));
    assert_eq!(rig.until_status("e", "delivered")["attempts"], 2);
    let attempts = rig.attempts("e");
    let shown: Vec<_> = attempts
        .iter()
        .map(|one| (one["number"].as_u64(), one["trigger"].as_str(), one["statusCode"].as_u64()))
        .collect();
    assert_eq!(shown, [(Some(1), Some("event"), Some(500)), (Some(2), Some("retry"), Some(200))]);
    rig.engine.until_settled(1);
    assert_eq!(rig.receiver.count("/"), 2);
}

#[test]
fn retry_after_is_obeyed() {
    for (status, text, wait) in [(503, "retry-after: 3\r\n", 3), (429, "retry-after: 2\r\n", 2)] {
        let rig = Rig::new(&["100ms", "100ms"]);
        rig.receiver.on("/", move |request| match request.attempt {
            1 => Reply::With(status, text),
            _ => Reply::Status(200),
        });
        rig.send("e");
        near(gap(&rig.receiver.until("/", 2)), Duration::from_secs(wait));
        rig.until_status("e", "delivered");
    }
}

#[test]
fn gone_makes_the_subscription_inactive() {
    let rig = Rig::new(&["100ms"]);
    rig.receiver.on("/", |_| Reply::Status(410));
    rig.send("e");
    let delivery = rig.until_status("e", "dead");
    assert_eq!(delivery["attempts"], 1);
    let sub = until("the subscription to be inactive", || {
        let sub = rig.engine.subscription("acme", &rig.sub);
        if sub["status"] == "inactive" { Ok(sub) } else { Err(sub) }
    });
    assert_eq!(sub["disabledReason"], "gone");
    assert_eq!(rig.attempts("e")[0]["error"]["kind"], "gone");
    rig.send("after");
    rig.engine.until_settled(2);
    assert_eq!(rig.receiver.count("/"), 1, "inactive: nothing is sent");
    rig.engine.until_metric("postrider_dead_letters", PATIENCE, |dead| dead >= 1.0);
}

#[test]
fn a_spent_schedule_ends_dead() {
    let rig = Rig::new(&["100ms", "100ms"]);
    rig.receiver.on("/", |_| Reply::Status(500));
    rig.send("e");
    let delivery = rig.until_status("e", "dead");
    assert_eq!((&delivery["attempts"], &delivery["nextAttemptAt"]), (&json!(3), &json!(null)));
    assert_eq!(rig.receiver.until("/", 3).iter().map(|r| r.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    never_during(Duration::from_millis(500), || assert_eq!(rig.receiver.count("/"), 3));
    assert_eq!(rig.engine.subscription("acme", &rig.sub)["status"], "active");
}

#[test]
fn retries_survive_restarts() {
    let rig = Rig::new(&["4s", "1s"]);
    rig.receiver.on("/", |request| Reply::Status(if request.attempt == 1 { 500 } else { 200 }));
    rig.send_many("e", 50);
    rig.until_status("e-49", "retrying");
    rig.until_status("e-0", "retrying");
    rig.engine.until_metric("postrider_retries_waiting", PATIENCE, |waiting| waiting == 50.0);
    let rig = rig.restart(Engine::kill9);
    rig.engine.until_metric("postrider_retries_waiting", PATIENCE, |waiting| waiting == 50.0);
    let rig = rig.restart(|engine| assert_eq!(engine.terminate(), Some(0)));
    let records = rig.receiver.until("/", 100);
    let mut times: HashMap<String, Vec<Record>> = HashMap::new();
    for record in records {
        times.entry(record.id.clone()).or_default().push(record);
    }
    for (id, records) in &times {
        assert_eq!(records.iter().map(|r| r.attempt).collect::<Vec<_>>(), [1, 2], "{id}");
        near(gap(records), Duration::from_secs(4));
    }
    rig.engine.until_settled(50);
    assert_eq!(rig.receiver.count("/"), 100);
}

#[test]
fn inactive_holds_retries_and_skips_events() {
    let rig = Rig::new(&["500ms"; 8]);
    rig.receiver.on("/", |_| Reply::Status(500));
    rig.send("before");
    rig.until_status("before", "retrying");
    rig.engine.patch("acme", &rig.sub, &json!({"status": "inactive"}));
    let tried = until("attempts in flight to end", || {
        let attempts = rig.attempts("before").len();
        if attempts == rig.receiver.count("/") { Ok(attempts) } else { Err(attempts) }
    });
    rig.receiver.on("/", |_| Reply::Status(200));
    rig.send("meanwhile");
    never_during(Duration::from_secs(1), || assert_eq!(rig.receiver.count("/"), tried));
    let rig = rig.restart(Engine::kill9);
    never_during(Duration::from_millis(700), || assert_eq!(rig.receiver.count("/"), tried));
    assert_eq!(rig.engine.delivery("acme", &rig.sub, "meanwhile"), None);
    rig.engine.patch("acme", &rig.sub, &json!({"status": "active"}));
    rig.send("after");
    rig.until_status("before", "delivered");
    rig.until_status("after", "delivered");
    rig.engine.until_settled(3);
    let taken: Vec<_> = rig.receiver.records("/").into_iter().filter(|record| record.taken).collect();
    let mut ids: Vec<_> = taken.iter().map(|record| record.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["after", "before"]);
    assert_eq!(rig.engine.delivery("acme", &rig.sub, "meanwhile"), None);
}

#[test]
fn nothing_is_sent_after_a_deletion() {
    let rig = Rig::new(&["100ms"; 8]);
    rig.receiver.on("/", |request| {
        if request.id.ends_with('3') { Reply::Status(500) } else { Reply::Slow(Duration::from_millis(5)) }
    });
    rig.send_many("e", 5000);
    rig.receiver.await_count("/", 500, PATIENCE);
    rig.engine.api("DELETE", &format!("/accounts/acme/subscriptions/{}", rig.sub), None).want(204);
    let answered = Instant::now();
    rig.send_many("late", 100);
    rig.engine.until_settled(5100);
    let records = rig.receiver.records("/");
    let after: Vec<_> = records.iter().filter_map(|r| r.at.checked_duration_since(answered)).collect();
    let last = after.iter().max().copied().unwrap_or_default();
    println!("{} of {} read after the 204, the last {last:?} after", after.len(), records.len());
    // What lay in the receiver's sockets is read a little later; nothing else may come.
    assert!(last < Duration::from_millis(250), "{last:?}");
    assert!(records.len() < 5000 && records.iter().all(|r| r.id.starts_with("e-")));
}

/// The backlog goes to the new host: all of it to exactly one of the two.
#[test]
fn a_changed_url_takes_the_backlog_along() {
    let rig = Rig::new(&["200ms"; 20]);
    rig.receiver.on("/", |request| {
        if request.id.ends_with('3') { Reply::Status(500) } else { Reply::Slow(Duration::from_millis(2)) }
    });
    // More than once, so that whatever the hash of the ports the worker changes.
    let others: Vec<_> = (0..4).map(|_| Receiver::start()).collect();
    let secret = rig.engine.secret("acme", &rig.sub);
    rig.send_many("e", 4000);
    for (n, other) in others.iter().enumerate() {
        other.trust(&rig.sub, &secret);
        if n + 1 < others.len() {
            other.on("/", |_| Reply::Slow(Duration::from_millis(2)));
        }
        rig.receiver.await_count("/", 200, PATIENCE);
        if let Some(previous) = n.checked_sub(1) {
            others[previous].await_count("/", 200, PATIENCE);
        }
        rig.engine.patch("acme", &rig.sub, &json!({"callbackUrl": other.url("/")}));
        rig.send_many(&format!("e{n}"), 500);
    }
    rig.engine.until_settled(6000);
    let mut times: HashMap<String, usize> = HashMap::new();
    let all = others.iter().chain([&rig.receiver]);
    for record in all.flat_map(|receiver| receiver.records("/")).filter(|record| record.taken) {
        assert!(record.valid);
        *times.entry(record.id).or_default() += 1;
    }
    let again: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "{} more than once: {:?}", again.len(), &again[..again.len().min(5)]);
    assert_eq!(times.len(), 6000);
    let shares: Vec<_> = others.iter().map(|receiver| receiver.count("/")).collect();
    println!("of 6000: {} at the first host, {shares:?} at the others", rig.receiver.count("/"));
}
