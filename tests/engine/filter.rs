//! Payload filters: only what fulfils them arrives, as they were when the event was accepted, over kills and
//! in whatever is done again later.

use serde_json::{Value, json};

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, until};

fn send(engine: &Engine, floors: std::ops::Range<u64>, prefix: &str) {
    let all: Vec<_> = floors
        .map(|floor| {
            event("acme", "user.created", &format!("{prefix}-{floor}"), &json!({"floor": floor}).to_string())
        })
        .collect();
    engine.ingest().send(&all).unwrap().want(202);
}

fn below(floor: u64) -> Value {
    json!({"filter": {"path": "data.floor", "lt": floor}})
}

fn ids(receiver: &Receiver, path: &str) -> Vec<String> {
    let mut ids: Vec<_> = receiver.records(path).into_iter().map(|record| record.id).collect();
    ids.sort();
    ids
}

fn want(prefix: &str, floors: std::ops::Range<u64>) -> Vec<String> {
    let mut ids: Vec<_> = floors.map(|floor| format!("{prefix}-{floor}")).collect();
    ids.sort();
    ids
}

#[test]
fn only_what_fulfils_it_arrives_and_a_change_is_for_what_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let mut engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    for path in ["/all", "/some"] {
        receiver.on(path, |_| Reply::Status(204));
    }
    engine.subscribe(&receiver, "acme", "/all", &["*"], &json!({}));
    let sub = engine.subscribe(&receiver, "acme", "/some", &["*"], &below(3));
    send(&engine, 0..10, "a");
    receiver.await_count("/all", 10, PATIENCE);
    engine.until_quiet();
    assert_eq!(ids(&receiver, "/some"), want("a", 0..3));

    // The receiver fails; what waits for it was decided by the filter of its time, over a change and a kill.
    receiver.on("/some", |_| Reply::Status(503));
    send(&engine, 0..10, "b");
    until("the three to be tried", || {
        let tried = ids(&receiver, "/some").iter().filter(|id| id.starts_with("b-")).count();
        if tried >= 3 { Ok(()) } else { Err(tried) }
    });
    engine.patch("acme", &sub, &below(5));
    send(&engine, 0..10, "c");
    engine.patch("acme", &sub, &json!({"filter": null}));
    engine.restart(dir.path(), &options);
    assert_eq!(engine.subscription("acme", &sub)["filter"], Value::Null);
    receiver.on("/some", |_| Reply::Status(204));
    send(&engine, 0..10, "d");
    engine.until_quiet();
    receiver.await_count("/all", 40, PATIENCE);
    let mut arrived = ids(&receiver, "/some");
    arrived.dedup();
    assert_eq!(arrived, [want("a", 0..3), want("b", 0..3), want("c", 0..5), want("d", 0..10)].concat());
}

#[test]
fn lists_resends_and_recovery_respect_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options { retries: &["50ms"], ..Options::default() });
    let receiver = Receiver::start();
    receiver.on("/", |_| Reply::Status(500));
    let sub = engine.subscribe(&receiver, "acme", "/", &["*"], &below(4));
    send(&engine, 0..10, "x");
    for floor in 0..4 {
        engine.until_status("acme", &sub, &format!("x-{floor}"), "dead");
    }
    let list = |query: &str| {
        let path = format!("/accounts/acme/deliveries?subscriptionId={sub}{query}");
        let items = engine.api("GET", &path, None).want(200).json()["items"].as_array().unwrap().clone();
        let mut ids: Vec<_> = items.iter().map(|item| item["eventId"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(list(""), want("x", 0..4));
    assert_eq!(list("&status=dead"), want("x", 0..4));
    assert_eq!(list("&status=pending"), want("x", 0..0));
    let resend = |id: &str| {
        let path = format!("/accounts/acme/subscriptions/{sub}/resend");
        engine.api("POST", &path, Some(&json!({"eventId": id})))
    };
    assert_eq!(resend("x-7").want(422).json()["code"], "not_wanted");
    receiver.on("/", |_| Reply::Status(204));
    resend("x-1").want(202);
    engine.until_status("acme", &sub, "x-1", "delivered");
    let recover = |more: &Value| {
        let mut body = json!({"since": "2020-01-01T00:00:00Z", "status": "all", "ratePerSecond": 1000});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        engine.api("POST", &format!("/accounts/acme/subscriptions/{sub}/recover"), Some(&body))
    };
    assert_eq!(recover(&json!({"dryRun": true})).want(200).json()["matched"], 4);
    let before = receiver.count("/");
    recover(&json!({})).want(202);
    let again = receiver.until("/", before + 4);
    let mut again: Vec<_> = again[before..].iter().map(|record| record.id.clone()).collect();
    again.sort();
    assert_eq!(again, want("x", 0..4));
}
