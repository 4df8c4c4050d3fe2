//! A short deadline holds while its worker is saturated: monoio's timers alone would not fire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::http::{Ingest, event};
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, alone, quantile};

const HANGING: usize = 200;
const DEADLINE: Duration = Duration::from_millis(10);
/// For a machine with other work to do; what was measured is printed.
const LATE_MAX: Duration = Duration::from_millis(60);

#[test]
fn ten_milliseconds_hold_on_a_saturated_worker() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let options = Options { workers: 1, retries: &["1h"], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let (fast, hanging) = (Receiver::start(), Receiver::start());
    fast.count_only("/fast");
    hanging.on("/hang", |_| Reply::Hang);
    engine.subscribe(&fast, "acme", "/fast", &["user.created"], &json!({}));
    let more = json!({"delivery": {"timeoutMs": 10}});
    let sub = engine.subscribe(&hanging, "acme", "/hang", &["user.updated"], &more);

    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (stop, socket) = (Arc::clone(&stop), engine.socket.clone());
        std::thread::spawn(move || {
            let mut ingest = Ingest::open(&socket).unwrap();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let ids = number..number + 500;
                let events: Vec<_> =
                    ids.map(|n| event("acme", "user.created", &format!("f-{n}"), r#"{"n":1}"#)).collect();
                ingest.send(&events).unwrap().want(202);
                number += 500;
            }
        })
    };
    fast.await_count("/fast", 2000, PATIENCE);
    let mut ingest = engine.ingest();
    let before = fast.count("/fast");
    let (mut busiest, mut durations) = (0.0f64, Vec::new());
    for n in 0..HANGING {
        let id = format!("h-{n}");
        ingest.send(&[event("acme", "user.updated", &id, "{}")]).unwrap().want(202);
        // Not the receiver is asked: the deadline may end before the connection is there.
        engine.until_status("acme", &sub, &id, "retrying");
        if n % 20 == 0 {
            busiest = busiest.max(engine.metric("postrider_worker_busy_ratio{worker=\"0\"}"));
        }
    }
    let meanwhile = fast.count("/fast") - before;
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    for n in 0..HANGING {
        let id = format!("h-{n}");
        let attempt = engine.attempts("acme", &sub, &id).remove(0);
        assert_eq!(attempt["error"]["kind"], "timeout", "{attempt}");
        durations.push(Duration::from_millis(attempt["durationMs"].as_u64().unwrap()));
    }
    let p99 = quantile(&mut durations, 0.99);
    println!(
        "deadlines of {DEADLINE:?} ended after p50 {:?}, p99 {p99:?}, max {:?}; {meanwhile} others sent meanwhile, \
         the worker at most {busiest:.2} busy",
        quantile(&mut durations, 0.5),
        quantile(&mut durations, 1.0),
    );
    // Whole milliseconds, and counted from a moment after the one that the deadline is counted from.
    let earliest = quantile(&mut durations, 0.0);
    assert!(earliest + Duration::from_millis(2) >= DEADLINE, "none ends early: {earliest:?}");
    assert!(p99 <= LATE_MAX, "{p99:?}");
    assert!(meanwhile > HANGING, "the worker was to be busy");
}
