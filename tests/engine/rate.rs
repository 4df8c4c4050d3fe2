//! Rates: of one subscription and of one host, seen from the receiver.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Record};
use crate::wait::{PATIENCE, alone};

fn send(engine: &Engine, count: usize) {
    let all: Vec<_> = (0..count).map(|n| event("acme", "user.created", &format!("e-{n}"), "{}")).collect();
    engine.ingest().send(&all).unwrap().want(202);
}

/// No second has more than the rate, a burst of 50 ms and what two readings of the clock may differ by.
fn never_faster(records: &[Record], per_second: usize) {
    let mut times: Vec<Instant> = records.iter().map(|record| record.at).collect();
    times.sort_unstable();
    for (at, first) in times.iter().enumerate() {
        let within =
            times[at..].iter().take_while(|time| **time < *first + Duration::from_millis(950)).count();
        assert!(within <= per_second + per_second / 20 + 1, "{within} in a second, of {per_second}");
    }
}

#[test]
fn a_subscription_is_never_faster_than_its_rate() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    let sub =
        engine.subscribe(&receiver, "acme", "/slow", &["*"], &json!({"delivery": {"ratePerSecond": 20}}));
    engine.subscribe(&receiver, "acme", "/fast", &["*"], &json!({}));
    let begun = Instant::now();
    send(&engine, 60);
    receiver.await_count("/fast", 60, PATIENCE);
    let fast = begun.elapsed();
    let records = receiver.until("/slow", 60);
    let took = begun.elapsed();
    println!("60 events: {fast:?} without a rate, {took:?} at 20 a second");
    assert!(fast < Duration::from_secs(2), "the neighbour on the same host is not held up: {fast:?}");
    // 60 at 20 a second, of which one goes at once.
    assert!((2900..4500).contains(&took.as_millis()), "{took:?}");
    never_faster(&records, 20);
    assert!(records.iter().all(|record| record.attempt == 1), "waiting is no attempt");
    // Without the rate the next ones go at once.
    engine.patch("acme", &sub, &json!({"delivery": {"ratePerSecond": null}}));
    let begun = Instant::now();
    let more: Vec<_> = (0..60).map(|n| event("acme", "user.created", &format!("f-{n}"), "{}")).collect();
    engine.ingest().send(&more).unwrap().want(202);
    receiver.await_count("/slow", 120, PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_host_is_never_faster_than_its_rule_and_spreads_over_workers() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let url = receiver.url("");
    let host = url.trim_start_matches("http://");
    let rule =
        format!("[[host]]\nhost = \"{host}\"\nrate_per_second = 40.0\nspread = 2\nmax_connections = 4");
    let engine = Engine::start(dir.path(), &Options { more: rule, ..Options::default() });
    for n in 0..8 {
        engine.subscribe(&receiver, "acme", &format!("/{n}"), &["*"], &json!({}));
    }
    send(&engine, 15);
    let mut records: Vec<Record> = Vec::new();
    for n in 0..8 {
        records.extend(receiver.until(&format!("/{n}"), 15));
    }
    assert!(records.iter().all(|record| record.valid && record.taken && record.attempt == 1));
    never_faster(&records, 40);
    let first = records.iter().map(|record| record.at).min().unwrap();
    let took = records.iter().map(|record| record.at - first).max().unwrap();
    println!("120 requests to a host of 40 a second, spread over two workers: {took:?}");
    assert!(took >= Duration::from_millis(2800), "{took:?}");
    engine.until_settled(15);
}
