//! Sending by hand: test events, and deliveries once more.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, until};

fn test_path(account: &str, sub: &str) -> String {
    format!("/accounts/{account}/subscriptions/{sub}/test")
}

#[test]
fn a_test_event_is_sent_once_and_told_whole() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    let more = json!({"headers": [{"name": "X-Api-Key", "value": "secret-4711"}]});
    let sub = engine.subscribe(&receiver, "acme", "/", &["user.*"], &more);
    let path = test_path("acme", &sub);

    let attempt = engine.api("POST", &path, Some(&json!({"type": "user.created"}))).want(200).json();
    assert_eq!(
        [&attempt["trigger"], &attempt["number"], &attempt["statusCode"], &attempt["error"]],
        [&json!("test"), &json!(1), &json!(200), &Value::Null]
    );
    assert_eq!(attempt["request"]["url"], receiver.url("/"));
    assert_eq!(attempt["request"]["changedSince"], false);
    let shown = attempt.to_string();
    assert!(shown.contains("X-Api-Key") && !shown.contains("secret-4711"), "{shown}");
    let request = receiver.first("/");
    assert!(request.valid && request.id.starts_with("evt_test_"), "{}", request.id);
    assert_eq!(request.header("x-api-key"), Some("secret-4711"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let sample = engine.api("GET", "/event-types/user.created", None).want(200).json();
    assert_eq!((&body["type"], &body["data"]), (&json!("user.created"), &sample["sample"]));
    assert_eq!(attempt["request"]["bodySize"], request.body.len());

    // A failure is an answer too, and nothing is tried again.
    receiver.on("/", |_| Reply::Status(500));
    let failed = engine.api("POST", &path, None).want(200).json();
    assert_eq!((&failed["statusCode"], &failed["error"]["kind"]), (&json!(500), &json!("status")));
    // Nor does an inactive subscription keep it back.
    engine.patch("acme", &sub, &json!({"status": "inactive"}));
    engine.api("POST", &path, None).want(200);
    assert_eq!(receiver.count("/"), 3);
    let listed = engine.api("GET", "/accounts/acme/deliveries", None).want(200).json();
    assert_eq!(listed["items"], json!([]));
    assert!(engine.subscription("acme", &sub)["health"]["lastFailureAt"].is_null());

    for (body, field) in
        [(json!({"type": "no.such"}), "type"), (json!({"type": 1}), "type"), (json!({"typ": "x"}), "typ")]
    {
        let problem = engine.api("POST", &path, Some(&body)).want(422).json();
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    engine.api("POST", &test_path("other", &sub), None).want(404);
}

#[test]
fn a_test_event_that_gets_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    receiver.on("/", |_| Reply::Hang);
    let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &json!({"delivery": {"timeoutMs": 300}}));
    let attempt = engine.api("POST", &test_path("acme", &sub), None).want(200).json();
    assert_eq!((&attempt["statusCode"], &attempt["error"]["kind"]), (&Value::Null, &json!("timeout")));
    // A port at which nobody listens; kept until the end of the test, so that nobody else gets it.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.2:{}/", nobody.local_addr().unwrap().port());
    let sub = engine.subscribe_url("acme", &url, &["*"], &json!({}));
    let attempt = engine.api("POST", &test_path("acme", &sub), None).want(200).json();
    assert_eq!((&attempt["statusCode"], &attempt["error"]["kind"]), (&Value::Null, &json!("connect")));
}

fn resend(engine: &Engine, sub: &str, event: &str) -> Value {
    let path = format!("/accounts/acme/subscriptions/{sub}/resend");
    engine.api("POST", &path, Some(&json!({"eventId": event}))).want(202).json()
}

fn triggers(engine: &Engine, sub: &str, event: &str) -> Vec<(u64, String)> {
    let attempts = engine.attempts("acme", sub, event);
    let shown = |one: &Value| (one["number"].as_u64().unwrap(), one["trigger"].as_str().unwrap().to_owned());
    attempts.iter().map(shown).collect()
}

fn named(shown: &[(u64, &str)]) -> Vec<(u64, String)> {
    shown.iter().map(|(number, trigger)| (*number, (*trigger).to_owned())).collect()
}

#[test]
fn a_delivery_is_sent_again_whatever_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retries: &["300ms", "1h"], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/", &["user.*"], &json!({}));
    let send = |id: &str, kind: &str| {
        engine.ingest().send(&[event("acme", kind, id, "{}")]).unwrap().want(202);
    };

    send("well", "user.created");
    engine.until_status("acme", &sub, "well", "delivered");
    let answer = resend(&engine, &sub, "well");
    assert_eq!(answer, json!({"eventId": "well", "subscriptionId": sub, "status": "pending"}));
    receiver.until("/", 2);
    until("the second attempt", || {
        let shown = triggers(&engine, &sub, "well");
        if shown == named(&[(1, "event"), (2, "resend")]) { Ok(()) } else { Err(shown) }
    });

    // It waits for an hour, and goes now; where it fails again, the schedule begins anew.
    receiver.on("/", |_| Reply::Status(500));
    send("late", "user.created");
    let waits_long = |delivery: &Value, attempts: u64| delivery["attempts"] == attempts;
    until("the second failure", || {
        let delivery = engine.delivery("acme", &sub, "late").unwrap_or_default();
        if waits_long(&delivery, 2) { Ok(()) } else { Err(delivery) }
    });
    resend(&engine, &sub, "late");
    until("two more failures", || {
        let shown = triggers(&engine, &sub, "late");
        let want = named(&[(1, "event"), (2, "retry"), (3, "resend"), (4, "retry")]);
        if shown == want { Ok(()) } else { Err(shown) }
    });
    engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| (rows - 1.0).abs() < 0.5);
    receiver.on("/", |_| Reply::Status(200));
    engine.patch("acme", &sub, &json!({"callbackUrl": receiver.url("/moved")}));
    resend(&engine, &sub, "late");
    engine.until_status("acme", &sub, "late", "delivered");
    let attempts = engine.attempts("acme", &sub, "late");
    let changed: Vec<_> = attempts.iter().map(|one| one["request"]["changedSince"].clone()).collect();
    assert_eq!(changed, [true, true, true, true, false]);
    engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| rows < 0.5);

    let path = format!("/accounts/acme/subscriptions/{sub}/resend");
    send("other", "device.registered");
    let post = |body: &Value, status: u16| engine.api("POST", &path, Some(body)).want(status).json();
    let unwanted = post(&json!({"eventId": "other"}), 422);
    assert_eq!(
        (&unwanted["code"], &unwanted["errors"][0]["field"]),
        (&json!("not_wanted"), &json!("eventId"))
    );
    assert_eq!(post(&json!({"eventId": "never"}), 404)["code"], "event_not_found");
    assert_eq!(post(&json!({}), 422)["errors"][0]["field"], "eventId");
    engine.patch("acme", &sub, &json!({"status": "inactive"}));
    assert_eq!(post(&json!({"eventId": "well"}), 409)["code"], "subscription_inactive");
}

#[test]
fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retries: &["100ms"], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    receiver.on("/", |_| Reply::Status(500));
    engine.ingest().send(&[event("acme", "user.created", "e", "{}")]).unwrap().want(202);
    engine.until_status("acme", &sub, "e", "dead");
    receiver.on("/", |_| Reply::Held);
    resend(&engine, &sub, "e");
    engine.kill9();
    receiver.on("/", |_| Reply::Status(200));
    receiver.release();
    let engine = Engine::start(dir.path(), &options);
    engine.until_status("acme", &sub, "e", "delivered");
    let last = triggers(&engine, &sub, "e").pop().unwrap();
    assert_eq!(last, (3, "resend".to_owned()));
    engine.until_metric("postrider_retries_waiting", PATIENCE, |rows| rows < 0.5);
    engine.until_metric("postrider_dead_letters", PATIENCE, |dead| dead < 0.5);
}
