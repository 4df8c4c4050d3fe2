//! A receiver that hangs while many events come: memory stays bounded, others are served, and when it is
//! well again it gets everything once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, alone, number, quantile, until_within};

const BATCH: usize = 500;
/// Of each batch, this many are for the healthy subscription.
const OTHERS: usize = 10;
/// How much memory may grow while the second half of the events comes. The store's buffers are full by
/// then; what is left is what an allocator keeps.
const GROWTH_MAX_KIB: u64 = 48 * 1024;

/// How often each event was taken, by its number: ten million of them fit.
struct Counts(Vec<AtomicU8>);

impl Counts {
    fn note(&self, id: &str) {
        let number: usize = id.trim_start_matches("e-").parse().unwrap();
        self.0[number].fetch_add(1, Ordering::Relaxed);
    }

    fn of(&self, times: u8) -> usize {
        self.0.iter().filter(|count| count.load(Ordering::Relaxed) == times).count()
    }
}

#[test]
fn a_hanging_receiver_costs_a_cursor() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let total = number("POSTRIDER_LAG_EVENTS", 200_000) as usize;
    let options = Options { timeout: "2s", retries: &["1s"; 50], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let (bad, good) = (Receiver::start(), Receiver::start());
    let counts = Arc::new(Counts((0..total).map(|_| AtomicU8::new(0)).collect()));
    let taken = Arc::new(AtomicUsize::new(0));
    let well = Arc::new(AtomicBool::new(false));
    bad.count_only("/bad");
    {
        let (counts, taken, well) = (Arc::clone(&counts), Arc::clone(&taken), Arc::clone(&well));
        bad.on("/bad", move |request| {
            if !well.load(Ordering::Relaxed) {
                return Reply::Hang;
            }
            assert!(request.valid);
            counts.note(&request.id);
            taken.fetch_add(1, Ordering::Relaxed);
            Reply::Status(200)
        });
    }
    let sub = engine.subscribe(&bad, "acme", "/bad", &["user.created"], &json!({}));
    engine.subscribe(&good, "acme", "/good", &["user.updated"], &json!({}));

    // 200 bytes of body each, about.
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(100));
    let mut ingest = engine.ingest();
    let (mut accepted, mut others) = (0, 0);
    let mut delays = Vec::new();
    let (idle, mut half, mut most) = (engine.rss_kib(), 0, 0);
    let begun = Instant::now();
    while accepted < total {
        let count = (BATCH - OTHERS).min(total - accepted);
        let mut events: Vec<_> = (accepted..accepted + count)
            .map(|n| event("acme", "user.created", &format!("e-{n}"), &data))
            .collect();
        events.extend(
            (others..others + OTHERS).map(|n| event("acme", "user.updated", &format!("o-{n}"), &data)),
        );
        let asked = Instant::now();
        ingest.send(&events).unwrap().want(202);
        (accepted, others) = (accepted + count, others + OTHERS);
        good.await_count("/good", others, PATIENCE);
        delays.push(asked.elapsed());
        let rss = engine.rss_kib();
        if accepted <= total / 2 {
            half = half.max(rss);
        }
        most = most.max(rss);
    }
    let took = begun.elapsed();
    println!(
        "{accepted} events behind a hanging receiver in {took:?}; others' batches arrived after p50 {:?}, \
         p99 {:?}, max {:?} (posting included)",
        quantile(&mut delays, 0.5),
        quantile(&mut delays, 0.99),
        quantile(&mut delays, 1.0),
    );
    println!(
        "resident: idle {} MiB, highest in the first half {} MiB, in all {} MiB",
        idle >> 10,
        half >> 10,
        most >> 10
    );
    assert!(most.saturating_sub(half) < GROWTH_MAX_KIB, "memory grew from {half} to {most} KiB");
    until_within("the subscription to be failing", PATIENCE, || {
        let health = engine.subscription("acme", &sub)["health"].clone();
        if health["state"] == "failing" { Ok(()) } else { Err(health) }
    });
    engine.until_metric("postrider_lagging_subscriptions", PATIENCE, |lagging| lagging == 1.0);

    well.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let patience = PATIENCE + Duration::from_micros(total as u64 * 500);
    until_within("everything to arrive", patience, || {
        let have = taken.load(Ordering::Relaxed);
        most = most.max(engine.rss_kib());
        if have >= total { Ok(()) } else { Err(have) }
    });
    let took = begun.elapsed();
    assert_eq!(engine.until_quiet(), (total + others) as u64);
    println!(
        "caught up with {total} in {took:?} ({:.0}/s); highest resident {} MiB",
        total as f64 / took.as_secs_f64(),
        most >> 10
    );
    assert_eq!((counts.of(0), counts.of(1)), (0, total), "each arrives exactly once");
    assert!(most.saturating_sub(half) < GROWTH_MAX_KIB, "memory grew from {half} to {most} KiB");
    assert_eq!(good.count("/good"), others);
    assert_eq!(engine.terminate(), Some(0));
}
