//! Recover jobs: deliveries that died while a receiver was broken are made again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, never_during, until, until_within};

struct Rig {
    dir: TempDir,
    options: Options,
    engine: Engine,
    receiver: Receiver,
    sub: String,
}

impl Rig {
    /// With `dead` deliveries that nobody tries any more.
    fn new(dead: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { retries: &["50ms"], ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        let receiver = Receiver::start();
        receiver.on("/", |_| Reply::Status(500));
        let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
        let rig = Self { dir, options, engine, receiver, sub };
        rig.send("dead", dead);
        rig.receiver.await_count("/", 2 * dead, PATIENCE);
        rig.until_matched(&json!({}), dead);
        rig
    }

    fn send(&self, prefix: &str, count: usize) {
        let mut ingest = self.engine.ingest();
        let all: Vec<_> =
            (0..count).map(|n| event("acme", "user.created", &format!("{prefix}-{n}"), "{}")).collect();
        for part in all.chunks(500) {
            ingest.send(part).unwrap().want(202);
        }
    }

    fn path(&self) -> String {
        format!("/accounts/acme/subscriptions/{}/recover", self.sub)
    }

    fn body(more: &Value) -> Value {
        let mut body = json!({"since": "2020-01-01T00:00:00Z", "status": "dead"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    fn matched(&self, more: &Value) -> Value {
        let mut body = Self::body(more);
        body["dryRun"] = json!(true);
        self.engine.api("POST", &self.path(), Some(&body)).want(200).json()["matched"].clone()
    }

    fn until_matched(&self, more: &Value, count: usize) {
        until("so many to match", || {
            let matched = self.matched(more);
            if matched == count { Ok(()) } else { Err(matched) }
        });
    }

    fn recover(&self, more: &Value) -> Value {
        self.engine.api("POST", &self.path(), Some(&Self::body(more))).want(202).json()
    }

    fn job(&self, id: &Value) -> Value {
        let path = format!("/accounts/acme/jobs/{}", id.as_str().unwrap());
        self.engine.api("GET", &path, None).want(200).json()
    }

    fn until_over(&self, id: &Value) -> Value {
        until_within("the job to end", PATIENCE, || {
            let job = self.job(id);
            let over = job["status"] != "queued" && job["status"] != "running";
            if over { Ok(job) } else { Err(job) }
        })
    }

    /// How often each event came since there were `before` requests.
    fn arrived(&self, before: usize) -> Vec<usize> {
        let mut counts = std::collections::HashMap::new();
        for record in self.receiver.records("/").into_iter().skip(before) {
            *counts.entry(record.id).or_insert(0usize) += 1;
        }
        counts.into_values().collect()
    }
}

#[test]
fn what_died_arrives_once_its_receiver_is_mended() {
    let rig = Rig::new(300);
    assert_eq!(rig.matched(&json!({"until": "2021-01-01T00:00:00Z"})), 0);
    assert_eq!(rig.matched(&json!({"types": ["device.*"]})), 0);
    assert_eq!(rig.matched(&json!({"types": ["user.*"]})), 300);
    rig.receiver.on("/", |_| Reply::Status(200));
    let before = rig.receiver.count("/");
    let job = rig.recover(&json!({"ratePerSecond": 5000}));
    assert_eq!((&job["kind"], &job["subscriptionId"]), (&json!("recover"), &json!(rig.sub)));
    let job = rig.until_over(&job["id"]);
    assert_eq!(
        [&job["status"], &job["total"], &job["done"], &job["failed"]],
        [&json!("succeeded"), &json!(300), &json!(300), &json!(0)]
    );
    assert!(job["finishedAt"].is_string());
    assert_eq!(rig.arrived(before), vec![1; 300]);
    assert_eq!(rig.matched(&json!({})), 0);
    let attempts = rig.engine.attempts("acme", &rig.sub, "dead-7");
    assert_eq!(attempts.last().unwrap()["trigger"], "recover");
    // Everything once more, also what was delivered.
    assert_eq!(rig.matched(&json!({"status": "all"})), 300);
    let before = rig.receiver.count("/");
    let again = rig.recover(&json!({"status": "all", "ratePerSecond": 5000}));
    assert_eq!(rig.until_over(&again["id"])["done"], 300);
    assert_eq!(rig.arrived(before), vec![1; 300]);
    let list = rig.engine.api("GET", "/accounts/acme/jobs?limit=1", None).want(200).json();
    assert_eq!((&list["items"][0]["id"], list["items"].as_array().unwrap().len()), (&again["id"], 1));
    let path = format!("/accounts/acme/jobs?cursor={}", list["next"].as_str().unwrap());
    let rest = rig.engine.api("GET", &path, None).want(200).json();
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&job["id"], &Value::Null));
}

#[test]
fn what_fails_again_is_counted_and_goes_on_by_itself() {
    let rig = Rig::new(20);
    let job = rig.recover(&json!({}));
    let job = rig.until_over(&job["id"]);
    assert_eq!([&job["status"], &job["done"], &job["failed"]], [&json!("succeeded"), &json!(0), &json!(20)]);
    // The schedule began anew: one retry, then dead again.
    rig.until_matched(&json!({}), 20);
    assert_eq!(rig.engine.attempts("acme", &rig.sub, "dead-3").len(), 4);
}

#[test]
fn a_kill_in_the_middle_neither_loses_nor_repeats() {
    let mut rig = Rig::new(200);
    rig.receiver.on("/", |_| Reply::Status(200));
    let before = rig.receiver.count("/");
    let job = rig.recover(&json!({"ratePerSecond": 100}));
    for share in [40, 90, 140] {
        rig.receiver.await_count("/", before + share, PATIENCE);
        rig.engine.kill9();
        rig.engine = Engine::start(rig.dir.path(), &rig.options);
    }
    let job = rig.until_over(&job["id"]);
    assert_eq!(
        [&job["status"], &job["total"], &job["done"], &job["failed"]],
        [&json!("succeeded"), &json!(200), &json!(200), &json!(0)]
    );
    let arrived = rig.arrived(before);
    assert_eq!(arrived.len(), 200, "each arrives");
    let twice = arrived.iter().filter(|count| **count > 1).count();
    assert!(twice <= 60, "only what was in flight may come twice: {twice}");
}

#[test]
fn a_cancelled_job_hands_nothing_more_over() {
    let rig = Rig::new(100);
    rig.receiver.on("/", |_| Reply::Status(200));
    let before = rig.receiver.count("/");
    let job = rig.recover(&json!({"ratePerSecond": 20}));
    let started = Instant::now();
    rig.engine.until_metric("postrider_recover_jobs", PATIENCE, |jobs| (jobs - 1.0).abs() < 0.5);
    rig.receiver.await_count("/", before + 20, PATIENCE);
    assert!(started.elapsed() > Duration::from_millis(700), "the rate holds: {:?}", started.elapsed());
    let path = format!("/accounts/acme/jobs/{}", job["id"].as_str().unwrap());
    let cancelled = rig.engine.api("DELETE", &path, None).want(200).json();
    assert_eq!(cancelled["status"], "cancelled");
    rig.engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| rows < 0.5);
    let sent = rig.receiver.count("/");
    assert!(sent < before + 60, "{sent}");
    never_during(Duration::from_millis(500), || assert_eq!(rig.receiver.count("/"), sent));
    assert_eq!(rig.engine.api("DELETE", &path, None).want(200).json()["status"], "cancelled");
    // Also after a restart.
    let Rig { dir, options, engine, .. } = rig;
    engine.kill9();
    let engine = Engine::start(dir.path(), &options);
    assert_eq!(engine.api("GET", &path, None).want(200).json()["status"], "cancelled");
}

#[test]
fn what_is_sent_by_hand_is_in_the_audit_trail() {
    let mut rig = Rig::new(20);
    rig.receiver.on("/", |_| Reply::Status(200));
    let path = format!("/accounts/acme/subscriptions/{}", rig.sub);
    let post = |action: &str, body: &Value| rig.engine.api("POST", &format!("{path}/{action}"), Some(body));
    post("test", &json!({"type": "user.created"})).want(200);
    post("test", &json!({"type": "no.such"})).want(422);
    post("resend", &json!({"eventId": "dead-1"})).want(202);
    post("resend", &json!({"eventId": "never"})).want(404);
    // One job comes to its end, one is cancelled (twice), one goes with its subscription.
    let job = rig.recover(&json!({"status": "all", "ratePerSecond": 5000}));
    rig.until_over(&job["id"]);
    let cancelled = rig.recover(&json!({"status": "all", "ratePerSecond": 1}));
    let job = format!("/accounts/acme/jobs/{}", cancelled["id"].as_str().unwrap());
    rig.engine.api("DELETE", &job, None).want(200);
    rig.engine.api("DELETE", &job, None).want(200);
    let left = rig.recover(&json!({"status": "all", "ratePerSecond": 1}));
    rig.engine.api("DELETE", &path, None).want(204);
    rig.until_over(&left["id"]);
    let told = |engine: &Engine| -> Vec<(String, String)> {
        let page = engine.api("GET", "/accounts/acme/audit", None).want(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items[..8].iter().all(|it| it["target"]["id"] == rig.sub.as_str()), "{page}");
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        items.iter().map(|it| (word(&it["action"]), word(&it["actor"]["kind"]))).collect()
    };
    let expected = [
        ("subscription.delete", "operator"),
        ("job.create", "operator"),
        ("job.cancel", "operator"),
        ("job.create", "operator"),
        ("job.end", "engine"),
        ("job.create", "operator"),
        ("subscription.resend", "operator"),
        ("subscription.test", "operator"),
        ("secret.reveal", "operator"),
        ("subscription.create", "operator"),
        ("account.create", "operator"),
    ];
    let expected = expected.map(|(action, actor)| (action.to_owned(), actor.to_owned()));
    assert_eq!(told(&rig.engine), expected);
    rig.engine.kill9();
    rig.engine = Engine::start(rig.dir.path(), &rig.options);
    assert_eq!(told(&rig.engine), expected, "none is noted again");
}

#[test]
fn jobs_that_cannot_be() {
    let rig = Rig::new(20);
    let post =
        |body: &Value, status: u16| rig.engine.api("POST", &rig.path(), Some(body)).want(status).json();
    let since = "2020-01-01T00:00:00Z";
    for (body, field) in [
        (json!({}), "since"),
        (json!({"since": "yesterday"}), "since"),
        (json!({"since": since, "until": since}), "until"),
        (json!({"since": since, "types": []}), "types"),
        (json!({"since": since, "types": ["no.such"]}), "types"),
        (json!({"since": since, "status": "pending"}), "status"),
        (json!({"since": since, "dryRun": 1}), "dryRun"),
        (json!({"since": since, "ratePerSecond": 0}), "ratePerSecond"),
        (json!({"since": since, "rate": 1}), "rate"),
    ] {
        assert_eq!(post(&body, 422)["errors"][0]["field"], field, "{body}");
    }
    rig.engine.patch("acme", &rig.sub, &json!({"status": "inactive"}));
    assert_eq!(post(&json!({"since": since}), 409)["code"], "subscription_inactive");
    for id in ["job_0000000000000001", "job_x", "x"] {
        rig.engine.api("GET", &format!("/accounts/acme/jobs/{id}"), None).want(404);
    }
    // A job whose subscription goes away is over; at its rate it cannot have come to its end before.
    rig.engine.patch("acme", &rig.sub, &json!({"status": "active"}));
    rig.receiver.on("/", |_| Reply::Held);
    let job = rig.recover(&json!({"ratePerSecond": 1}));
    let path = format!("/accounts/acme/subscriptions/{}", rig.sub);
    rig.engine.api("DELETE", &path, None).want(204);
    assert_eq!(rig.until_over(&job["id"])["status"], "cancelled");
}
