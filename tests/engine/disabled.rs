//! Receivers that are given up, and who is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{never_during, until, until_within};

const OWN: &str = "postrider.*";

struct Rig {
    dir: TempDir,
    options: Options,
    engine: Engine,
    receiver: Receiver,
    /// Bodies of what came, by path.
    bodies: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Rig {
    fn new(delivery: &'static str, retries: &'static [&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { retries, delivery, ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        Self { dir, options, engine, receiver: Receiver::start(), bodies: Arc::default() }
    }

    /// A subscription whose receiver answers with `status`.
    fn subscribe(&self, path: &'static str, events: &[&str], status: u16) -> String {
        self.answer(path, status);
        self.engine.subscribe(&self.receiver, "acme", path, events, &json!({"name": path}))
    }

    fn answer(&self, path: &'static str, status: u16) {
        let bodies = Arc::clone(&self.bodies);
        self.receiver.on(path, move |request| {
            assert!(request.valid);
            let body = serde_json::from_slice(&request.body).unwrap();
            bodies.lock().unwrap().push((path.to_owned(), body));
            Reply::Status(status)
        });
    }

    fn send(&self, id: &str) {
        self.engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
    }

    /// What came at `path` of this type.
    fn got(&self, path: &str, kind: &str) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        let here = bodies.iter().filter(|(at, body)| at == path && body["type"] == kind);
        here.map(|(_, body)| body.clone()).collect()
    }

    fn until_got(&self, path: &str, kind: &str) -> Value {
        until(&format!("{kind} at {path}"), || self.got(path, kind).pop().ok_or("nothing"))
    }

    fn until_inactive(&self, sub: &str, reason: &str) {
        until_within("the subscription to be inactive", Duration::from_secs(60), || {
            let sub = self.engine.subscription("acme", sub);
            if sub["disabledReason"] == reason { Ok(()) } else { Err(sub["status"].clone()) }
        });
    }

    fn kill(mut self) -> Self {
        self.engine.kill9();
        self.engine = Engine::start(self.dir.path(), &self.options);
        self
    }
}

#[test]
fn nothing_but_failure_ends_in_inactive_and_others_hear_of_it() {
    let rig = Rig::new("disable_after = \"2s\"", &["300ms"; 100]);
    // It asks for operational events itself, and must never get one about itself.
    let bad = rig.subscribe("/bad", &["*", OWN], 500);
    rig.subscribe("/told", &["postrider.subscription.disabled", "postrider.subscription.recovered"], 204);
    rig.subscribe("/all", &["*"], 204);
    rig.send("e");
    rig.until_inactive(&bad, "failing");
    let told = rig.until_got("/told", "postrider.subscription.disabled");
    assert_eq!(told["accountId"], "acme");
    assert_eq!(told["data"]["subscriptionId"], bad);
    assert_eq!(
        (&told["data"]["subscriptionName"], &told["data"]["reason"]),
        (&json!("/bad"), &json!("failing"))
    );
    assert!(told["data"]["disabledAt"].is_string() && told["timestamp"] == told["data"]["disabledAt"]);
    // Over a restart it is known that others were told.
    let rig = rig.kill();
    rig.answer("/bad", 204);
    rig.engine.patch("acme", &bad, &json!({"status": "active"}));
    let told = rig.until_got("/told", "postrider.subscription.recovered");
    assert_eq!(told["data"]["subscriptionId"], bad);
    rig.engine.until_settled(3);
    assert_eq!(rig.got("/told", "postrider.subscription.recovered").len(), 1);
    for (path, body) in rig.bodies.lock().unwrap().iter().filter(|(path, _)| path != "/told") {
        assert_eq!(body["type"], "user.created", "{path} gets nothing of that");
    }
    let shown = rig.engine.api("GET", "/accounts/acme/deliveries", None).want(200).json();
    let own = |item: &&Value| item["type"].as_str().is_some_and(|kind| kind.starts_with("postrider."));
    let shown: Vec<_> = shown["items"].as_array().unwrap().iter().filter(own).cloned().collect();
    assert!(shown.iter().all(|item| item["subscriptionId"] != bad), "{shown:?}");
    assert_eq!(shown.len(), 2);
}

#[test]
fn a_restart_does_not_forget_since_when() {
    let rig = Rig::new("disable_after = \"8s\"", &["300ms"; 100]);
    let bad = rig.subscribe("/bad", &["*"], 500);
    let start = Instant::now();
    rig.send("e");
    until_within("some time of failure", Duration::from_secs(30), || {
        if start.elapsed() > Duration::from_secs(5) { Ok(()) } else { Err("not yet") }
    });
    let rig = rig.kill();
    let health = rig.engine.subscription("acme", &bad)["health"].clone();
    rig.until_inactive(&bad, "failing");
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(7) && took < Duration::from_millis(12_500), "{took:?}, {health}");
    // Making it active resets it: it fails on and stays active for as long again.
    rig.engine.patch("acme", &bad, &json!({"status": "active"}));
    never_during(Duration::from_secs(3), || {
        assert_eq!(rig.engine.subscription("acme", &bad)["status"], "active");
    });
}

#[test]
fn deaths_are_told_and_those_of_operational_events_are_not() {
    let rig = Rig::new("", &["100ms"]);
    let bad = rig.subscribe("/bad", &["*"], 500);
    rig.subscribe("/told", &["postrider.delivery.dead"], 204);
    // Its own deliveries die, and nobody hears of it.
    let deaf = rig.subscribe("/deaf", &[OWN], 500);
    rig.send("e");
    let told = rig.until_got("/told", "postrider.delivery.dead");
    let data = json!({"subscriptionId": bad, "subscriptionName": "/bad", "eventId": "e",
        "eventType": "user.created", "reason": "exhausted", "attempts": 2, "omitted": 0,
        "diedAt": told["data"]["diedAt"]});
    assert_eq!(told["data"], data);
    let id = told["id"].as_str().unwrap();
    rig.engine.until_status("acme", &deaf, id, "dead");
    rig.engine.until_settled(2);
    never_during(Duration::from_secs(1), || assert_eq!(rig.engine.metric("postrider_log_head"), 2.0));
    // A receiver that is gone is told of as dead and as disabled.
    rig.answer("/bad", 410);
    rig.send("f");
    rig.until_inactive(&bad, "gone");
    rig.until_got("/deaf", "postrider.subscription.disabled");
    rig.engine.until_settled(5);
    assert_eq!(rig.got("/told", "postrider.delivery.dead").len(), 2);
    assert_eq!(rig.got("/told", "postrider.delivery.dead")[1]["data"]["reason"], "gone");
}

#[test]
fn many_deaths_are_few_events() {
    let rig = Rig::new("", &["100ms"]);
    rig.subscribe("/bad", &["user.created"], 500);
    rig.subscribe("/told", &[OWN], 204);
    let events: Vec<_> = (0..40).map(|n| event("acme", "user.created", &format!("e-{n}"), "{}")).collect();
    rig.engine.ingest().send(&events).unwrap().want(202);
    rig.engine.until_settled(50);
    rig.engine.until_metric("postrider_dead_letters", Duration::from_secs(30), |dead| dead >= 40.0);
    assert_eq!(rig.got("/told", "postrider.delivery.dead").len(), 10);
}

#[test]
fn nobody_else_makes_them_and_everybody_can_read_of_them() {
    let rig = Rig::new("", &[]);
    let forged = event("acme", "postrider.delivery.dead", "e", "{}");
    let answer = rig.engine.ingest().send(&[forged]).unwrap().want(422).json();
    assert_eq!(answer["results"][0]["error"]["code"], "unknown_type", "{answer}");
    let types = rig.engine.api("GET", "/event-types?limit=250&operational=true", None).want(200).json();
    let of = |group: &str| types["items"].as_array().unwrap().iter().filter(|t| t["group"] == group).count();
    assert_eq!((types["items"].as_array().unwrap().len(), of("Postrider")), (42, 3));
}

#[test]
fn nothing_more_goes_to_a_receiver_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    receiver.on("/", |_| Reply::Status(410));
    let one = json!({"delivery": {"maxInFlight": 1}});
    let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &one);
    let events: Vec<_> = (0..50).map(|n| event("acme", "user.created", &format!("e-{n}"), "{}")).collect();
    engine.ingest().send(&events).unwrap().want(202);
    until("the subscription to be inactive", || match engine.subscription("acme", &sub) {
        found if found["disabledReason"] == "gone" => Ok(()),
        found => Err(found),
    });
    receiver.on("/", |_| Reply::Status(204));
    let path = format!("/accounts/acme/subscriptions/{sub}");
    engine.api("PATCH", &path, Some(&json!({"status": "active"}))).want(200);
    receiver.until("/", 50);
    let ids: std::collections::HashSet<_> =
        receiver.records("/").into_iter().map(|record| record.id).collect();
    assert_eq!((receiver.count("/"), ids.len()), (50, 50), "one took the 410, the others waited");
}
