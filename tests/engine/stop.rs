//! Stopping in good order, and what a restart keeps.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Ingest, event};
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{never_during, until};

fn batch(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| event("acme", "user.created", &format!("{prefix}-{n}"), "{}")).collect()
}

#[test]
fn sigterm_lets_deliveries_end_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { timeout: "30s", ..Options::default() };
    let mut engine = Engine::start(dir.path(), &options);
    let (held, busy) = (Receiver::start(), Receiver::start());
    held.on("/held", |_| Reply::Held);
    engine.subscribe(&held, "acme", "/held", &["user.created"], &json!({"delivery": {"maxInFlight": 8}}));
    engine.subscribe(&busy, "acme", "/busy", &["user.created"], &json!({}));
    let mut ingest = engine.ingest();
    for part in batch("e", 2000).chunks(500) {
        ingest.send(part).unwrap().want(202);
    }
    held.until("/held", 8);
    engine.ask_to_stop();
    until("the socket to be closed", || match Ingest::open(&engine.socket) {
        Err(_) => Ok(()),
        Ok(mut open) => match open.send(&batch("late", 1)) {
            Ok(answer) if answer.status == 202 => Err("it still takes events"),
            Ok(_) | Err(_) => Ok(()),
        },
    });
    // The workers are told right after the socket is closed.
    until("the workers to be told", || {
        let said = engine.said();
        if said.iter().any(|line| line.contains("no delivery starts any more")) { Ok(()) } else { Err(said) }
    });
    let in_flight = held.count("/held");
    held.release();
    assert_eq!(engine.wait(), Some(0), "{:?}", engine.said());
    assert_eq!(held.count("/held"), in_flight, "nothing new starts while it stops");
    assert!(!engine.socket.exists(), "the socket's file is taken away");
    drop(engine);

    let engine = Engine::start(dir.path(), &options);
    let head = engine.until_metric("postrider_log_head", Duration::from_secs(10), |head| head >= 2000.0);
    engine.until_settled(head as u64);
    for (receiver, path) in [(&held, "/held"), (&busy, "/busy")] {
        let mut times: HashMap<String, usize> = HashMap::new();
        for record in receiver.records(path) {
            *times.entry(record.id).or_default() += 1;
        }
        let again: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
        assert!(again.is_empty(), "{path}: {again:?}");
        assert_eq!(times.keys().filter(|id| id.starts_with("e-")).count(), 2000, "{path}");
    }
    assert_eq!(engine.terminate(), Some(0));
}

/// A receiver that never answers holds the stop up for its bound and no longer.
#[test]
fn sigterm_waits_for_a_hanging_receiver_within_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { timeout: "60s", ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    receiver.on("/", |_| Reply::Hang);
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    engine.ingest().send(&batch("h", 3)).unwrap().want(202);
    receiver.until("/", 3);
    let asked = Instant::now();
    assert_eq!(engine.terminate(), Some(0));
    let took = asked.elapsed();
    println!("stopped after {took:?} with a hanging receiver");
    assert!(took < Duration::from_secs(16), "{took:?}");
    receiver.on("/", |_| Reply::Status(200));
    let engine = Engine::start(dir.path(), &options);
    receiver.until("/", 6);
    engine.until_settled(3);
    let mut ids: Vec<_> = receiver.records("/").into_iter().filter(|r| r.taken).map(|r| r.id).collect();
    ids.sort();
    assert_eq!(ids, ["h-0", "h-1", "h-2"]);
}

#[test]
fn a_restart_keeps_what_was_configured() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let receiver = Receiver::start();
    let engine = Engine::start(dir.path(), &options);
    let sub = engine.subscribe(&receiver, "acme", "/", &["user.*"], &json!({"description": "of A"}));
    engine.api("PUT", "/accounts/acme", Some(&json!({"name": "ACME Inc."}))).want(200);
    engine.patch("acme", &sub, &json!({"name": "changed", "headers": [{"name": "X-Key", "value": "v"}]}));
    engine.ingest().send(&batch("d", 2)).unwrap().want(202);
    receiver.until("/", 2);
    engine.until_settled(2);
    let seen = |engine: &Engine| {
        let mut shown = engine.subscription("acme", &sub);
        shown["health"] = json!(null);
        let account = engine.api("GET", "/accounts/acme", None).want(200).json();
        let secret = engine.secret("acme", &sub);
        let attempts = engine.attempts("acme", &sub, "d-0");
        (shown, account, secret, attempts, engine.token.clone())
    };
    let before = seen(&engine);
    assert_eq!(engine.terminate(), Some(0));

    let check = |engine: &Engine, fresh: &str, head: u64| {
        assert_eq!(seen(engine), before);
        let mut events = batch("d", 2);
        events.extend(batch(fresh, 1));
        let answer = engine.ingest().send(&events).unwrap().want(202).json();
        assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(2)), "{answer}");
        engine.until_settled(head);
        assert_eq!(receiver.count("/"), head as usize);
    };
    let engine = Engine::start(dir.path(), &options);
    check(&engine, "after-stop", 3);
    engine.kill9();
    let engine = Engine::start(dir.path(), &options);
    check(&engine, "after-kill", 4);
    assert_eq!(receiver.first("/").header("x-key"), Some("v"));
    // Deleted is deleted.
    engine.api("DELETE", &format!("/accounts/acme/subscriptions/{sub}"), None).want(204);
    engine.kill9();
    let engine = Engine::start(dir.path(), &options);
    engine.api("GET", &format!("/accounts/acme/subscriptions/{sub}"), None).want(404);
    engine.ingest().send(&batch("gone", 1)).unwrap().want(202);
    engine.until_settled(5);
    never_during(Duration::from_millis(200), || assert_eq!(receiver.count("/"), 4));
}
