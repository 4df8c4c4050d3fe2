//! One event from the socket to the receiver, and what can be seen of it afterwards.

use postrider::model::outcome::EXCERPT_LEN_MAX;
use serde_json::json;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::PATIENCE;

#[test]
fn an_event_reaches_its_subscription() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    let more = json!({"headers": [{"name": "X-Api-Key", "value": "k-1"}]});
    let sub = engine.subscribe(&receiver, "acme", "/hook?a=1&b=%20", &["user.*"], &more);

    let data = r#"{"n":1.50,"z":1,  "a":"\u00e9","e":1E+2}"#;
    let text = format!(
        r#"{{"id":"evt-1","accountId":"acme","type":"user.created","timestamp":"2026-11-23T14:49:00.000Z","data":{data}}}"#
    );
    let answer = engine.ingest().post("application/json", text.as_bytes()).unwrap().want(202).json();
    assert_eq!((&answer["accepted"], &answer["results"][0]["status"]), (&json!(1), &json!("accepted")));

    let record = receiver.until("/hook?a=1&b=%20", 1).remove(0);
    assert!(record.valid, "the signature holds");
    let request = receiver.first("/hook?a=1&b=%20");
    let body = format!(
        r#"{{"id":"evt-1","type":"user.created","timestamp":"2026-11-23T14:49:00.000Z","accountId":"acme","data":{data}}}"#
    );
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), body);
    let agent = concat!("Postrider/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", agent),
        ("webhook-id", "evt-1"),
        ("postrider-subscription", sub.as_str()),
        ("postrider-attempt", "1"),
        ("x-api-key", "k-1"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(request.header("host").is_some_and(|host| receiver.url("").ends_with(host)));

    let delivery = engine.until_status("acme", &sub, "evt-1", "delivered");
    assert_eq!(delivery["attempts"], 1);
    let attempts = engine.attempts("acme", &sub, "evt-1");
    assert_eq!(attempts.len(), 1);
    assert_eq!((&attempts[0]["number"], &attempts[0]["trigger"]), (&json!(1), &json!("event")));
    assert_eq!((&attempts[0]["statusCode"], &attempts[0]["error"]), (&json!(200), &json!(null)));
    assert_eq!(attempts[0]["request"]["bodySize"], body.len());
    let shown = attempts[0]["request"]["headers"].to_string();
    assert!(!shown.contains("k-1"), "custom headers are masked: {shown}");

    let count =
        |name: &str, want: f64| engine.until_metric(name, PATIENCE, |value| (value - want).abs() < 0.1);
    count("postrider_attempts_total{outcome=\"delivered\"}", 1.0);
    count("postrider_log_head", 1.0);
    count("postrider_log_low_watermark", 1.0);
    count("postrider_delivery_delay_seconds_count", 1.0);
    count("postrider_in_flight", 0.0);
    count("postrider_queued", 0.0);
    count("postrider_subscriptions", 1.0);
    assert_eq!(engine.get("/readyz").status, 200);
}

#[test]
fn only_what_was_asked_for_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/users", &["user.*"], &json!({}));
    engine.subscribe(&receiver, "acme", "/all", &["*"], &json!({}));
    engine.subscribe(&receiver, "other", "/other", &["*"], &json!({}));
    let answer = engine.ingest().send(&[
        event("acme", "user.created", "u", "{}"),
        event("acme", "device.registered", "d", "{}"),
        event("acme", "no.such_type", "bad", "{}"),
        event("acme", "user.created", "u", "{}"),
        event("nobody", "user.created", "n", "{}"),
    ]);
    let answer = answer.unwrap().want(202).json();
    let statuses: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "accepted", "rejected", "duplicate", "accepted"]);
    engine.ingest().send(&[event("other", "user.updated", "o", "{}")]).unwrap().want(202);
    engine.until_settled(4);
    let ids = |path: &str, count: usize| {
        let mut ids: Vec<_> = receiver.until(path, count).into_iter().map(|record| record.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids("/users", 1), ["u"]);
    assert_eq!(ids("/all", 2), ["d", "u"]);
    assert_eq!(ids("/other", 1), ["o"]);
}

#[test]
fn failures_are_shown_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { timeout: "300ms", retries: &["1h"], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    receiver.on("/status", |_| Reply::With(418, "x-tea: pot\r\n"));
    receiver.on("/hang", |_| Reply::Hang);
    receiver.on("/close", |_| Reply::Close);
    let check = |sub: &str, kind: &str, status: &serde_json::Value| {
        let id = format!("evt-{kind}-{}", sub.len());
        let kept = engine.until_status("acme", sub, "evt-1", "retrying");
        assert!(kept["nextAttemptAt"].is_string(), "{id}");
        let attempt = engine.attempts("acme", sub, "evt-1").remove(0);
        assert_eq!((&attempt["error"]["kind"], &attempt["statusCode"]), (&json!(kind), status), "{attempt}");
        assert!(attempt["response"]["body"].as_str().is_none_or(|body| body.len() <= EXCERPT_LEN_MAX));
        attempt
    };
    let subs: Vec<_> = ["/status", "/hang", "/close"]
        .map(|path| engine.subscribe(&receiver, "acme", path, &["*"], &json!({})))
        .to_vec();
    let body = json!({"name": "c", "callbackUrl": format!("http://{gone}/"), "events": ["*"]});
    let refused = engine.api("POST", "/accounts/acme/subscriptions", Some(&body)).want(201).json();
    let body = json!({"name": "e", "callbackUrl": "http://10.1.2.3/", "events": ["*"]});
    let forbidden = engine.api("POST", "/accounts/acme/subscriptions", Some(&body));
    engine.ingest().send(&[event("acme", "user.created", "evt-1", "{}")]).unwrap().want(202);
    let attempt = check(&subs[0], "status", &json!(418));
    assert!(attempt["response"]["headers"].to_string().contains("x-tea"), "{attempt}");
    let attempt = check(&subs[1], "timeout", &json!(null));
    assert!(attempt["durationMs"].as_u64().is_some_and(|took| took >= 300), "{attempt}");
    check(&subs[2], "reset", &json!(null));
    check(refused["id"].as_str().unwrap(), "connect", &json!(null));
    // Refused at once or at the attempt: never connected to.
    if forbidden.status == 201 {
        check(forbidden.json()["id"].as_str().unwrap(), "egress", &json!(null));
    } else {
        assert_eq!(forbidden.status, 422);
    }
}
