//! `kill -9` at random points under load: nothing accepted is lost, little is repeated.
//!
//! The bound of what may come twice (contract §4): what was in flight at a kill, and what had settled
//! shortly before it. So each repetition must have its first arrival close to a kill.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Ingest, event};
use crate::process::{Engine, Options, spawn};
use crate::receiver::{Receiver, Record, Reply};
use crate::wait::{PATIENCE, alone, number, quantile, until};

const BATCH: usize = 20;
/// Accepted and not arrived yet, at most: the load goes with the engine, not over it.
const AHEAD_MAX: usize = 3000;
/// How long before a kill an outcome may have come and not be on disk (contract §4).
const SETTLED: Duration = Duration::from_millis(50);
/// The same for the worst of them where other programs keep threads and disk waiting.
const SETTLED_BUSY: Duration = Duration::from_secs(2);
/// Requests that lay in the receiver's socket at the kill are read this much after it.
const READ_LATE: Duration = Duration::from_millis(250);

/// xorshift64*: only to choose points in time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// What the producer knows of the ids that it has sent.
#[derive(Default)]
struct Sent {
    accepted: Vec<String>,
    /// Told that they were not taken.
    refused: HashSet<String>,
    /// No answer came: may be taken or not.
    unknown: usize,
}

#[derive(Default)]
struct Producer {
    stop: AtomicBool,
    accepted: AtomicUsize,
    sent: Mutex<Sent>,
}

impl Producer {
    fn run(&self, socket: &std::path::Path, arrived: impl Fn() -> usize) {
        let mut number = 0;
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed) {
            if self.accepted.load(Ordering::Relaxed) > arrived() + AHEAD_MAX {
                std::thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let Some(open) = connection.as_mut() else {
                connection = Ingest::open(socket).ok();
                if connection.is_none() {
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                continue;
            };
            let ids: Vec<String> = (number..number + BATCH).map(|n| format!("k-{n}")).collect();
            let kind = |n: usize| if n.is_multiple_of(2) { "user.created" } else { "user.updated" };
            let mut events: Vec<_> =
                ids.iter().enumerate().map(|(n, id)| event("acme", kind(n), id, "{}")).collect();
            let bad = format!("bad-{number}");
            events.push(event("acme", "no.such_type", &bad, "{}"));
            number += BATCH;
            let answer = open.send(&events);
            let mut sent = self.sent.lock().unwrap();
            match answer {
                Ok(answer) if answer.status == 202 => {
                    let answer = answer.json();
                    assert_eq!(answer["accepted"], BATCH, "{answer}");
                    sent.accepted.extend(ids);
                    sent.refused.insert(bad);
                    self.accepted.fetch_add(BATCH, Ordering::Relaxed);
                }
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.text());
                    sent.refused.extend(ids);
                    sent.refused.insert(bad);
                }
                Err(_) => {
                    sent.unknown += BATCH;
                    connection = None;
                }
            }
        }
    }
}

/// Fails the first attempt of some events.
fn fickle(request: &crate::receiver::Request) -> Reply {
    let unlucky = request.id.ends_with('7') && request.id.len().is_multiple_of(2) && request.id.contains('3');
    if unlucky && request.attempt == 1 { Reply::Status(500) } else { Reply::Status(200) }
}

type Kill = (Instant, Instant);

/// Checks one subscription's arrivals. Gives, for each that came again, at which kill, and how long before
/// that it had come.
fn judge(
    records: Vec<Record>,
    wanted: &HashSet<&str>,
    sent: &Sent,
    kills: &[Kill],
) -> Vec<(usize, Duration)> {
    let mut by_id: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for record in records {
        assert!(record.valid, "{} is not signed well", record.id);
        assert!(!sent.refused.contains(&record.id), "{} was refused and arrived", record.id);
        if record.taken {
            by_id.entry(record.id).or_default().push(record.at);
        }
    }
    let lost: Vec<_> = wanted.iter().filter(|id| !by_id.contains_key(**id)).collect();
    assert!(lost.is_empty(), "{} accepted events are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let mut again = Vec::new();
    for (id, mut times) in by_id {
        times.sort();
        for pair in times.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let between = |kill: &Kill| first <= kill.1 + READ_LATE && kill.0 <= second;
            let kill = kills.iter().position(between);
            let kill = kill.unwrap_or_else(|| panic!("{id} came again with no kill between"));
            again.push((kill, kills[kill].0.saturating_duration_since(first)));
        }
    }
    again
}

#[test]
fn nothing_accepted_is_lost_to_kill_9() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let rounds = number("POSTRIDER_KILL_ROUNDS", 20);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("POSTRIDER_KILL_SEED", clock.as_micros() as u64);
    println!("POSTRIDER_KILL_SEED={seed}");
    let mut random = Random(seed | 1);
    let options = Options { retries: &["200ms", "200ms", "1s", "1s", "1s", "1s"], ..Options::default() };

    let (one, two) = (Arc::new(Receiver::start()), Receiver::start());
    let mut engine = Engine::start(dir.path(), &options);
    let all = engine.subscribe(&one, "acme", "/all", &["*"], &json!({}));
    engine.subscribe(&two, "acme", "/updated", &["user.updated"], &json!({}));
    one.on("/all", fickle);
    let producer = Arc::new(Producer::default());
    let thread = {
        let (producer, socket, one) = (Arc::clone(&producer), engine.socket.clone(), Arc::clone(&one));
        std::thread::spawn(move || producer.run(&socket, || one.count("/all")))
    };

    let mut kills: Vec<Kill> = Vec::new();
    let (mut ready, mut delivering) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Some rounds by what has arrived, some by what was accepted, some at once.
        match round % 4 {
            0 | 1 => one.await_count("/all", one.count("/all") + random.below(2500), PATIENCE),
            2 => {
                let goal = producer.accepted.load(Ordering::Relaxed) + random.below(1500);
                until("events to be accepted", || {
                    let now = producer.accepted.load(Ordering::Relaxed);
                    if now >= goal { Ok(()) } else { Err(now) }
                });
            }
            _ => {}
        }
        let before = Instant::now();
        engine.kill9();
        kills.push((before, Instant::now()));
        if round % 5 == 4 {
            // Killed in the middle of its recovery as well.
            let mut child =
                spawn(&["serve", "--config", dir.path().join("config.toml").to_str().unwrap()], dir.path());
            std::thread::park_timeout(Duration::from_micros(random.below(150_000) as u64));
            let before = Instant::now();
            child.kill().unwrap();
            child.wait().unwrap();
            kills.push((before, Instant::now()));
        }
        let started = Instant::now();
        let arrived = one.count("/all");
        engine = Engine::start(dir.path(), &options);
        ready.push(engine.ready_after);
        one.await_count("/all", arrived + 1, PATIENCE);
        delivering.push(started.elapsed());
    }
    producer.stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    let sent = std::mem::take(&mut *producer.sent.lock().unwrap());

    let wanted: HashSet<&str> = sent.accepted.iter().map(String::as_str).collect();
    let updated: HashSet<&str> = sent.accepted.iter().skip(1).step_by(2).map(String::as_str).collect();
    engine.until_quiet();
    let mut again = judge(one.records("/all"), &wanted, &sent, &kills);
    again.extend(judge(two.records("/updated"), &updated, &sent, &kills));
    let late: BTreeMap<usize, Duration> =
        again.iter().filter(|(_, before)| *before > SETTLED).copied().collect();
    let mut before: Vec<_> = again.iter().map(|(_, before)| *before).collect();
    assert!(quantile(&mut before, 0.5) <= SETTLED && quantile(&mut before, 1.0) <= SETTLED_BUSY);
    for id in sent.accepted.iter().step_by(sent.accepted.len() / 20 + 1) {
        assert_eq!(engine.until_status("acme", &all, id, "delivered")["status"], "delivered");
    }
    println!(
        "{} kills, {} accepted, {} without an answer: 0 lost, {} repeated of {} ({:.1} a kill)",
        kills.len(),
        sent.accepted.len(),
        sent.unknown,
        again.len(),
        one.count("/all") + two.count("/updated"),
        again.len() as f64 / kills.len() as f64,
    );
    println!(
        "repeated ones had come before their kill by p50 {:?}, p99 {:?}, max {:?}; more than {SETTLED:?} at: {late:?}",
        quantile(&mut before, 0.5),
        quantile(&mut before, 0.99),
        quantile(&mut before, 1.0),
    );
    println!(
        "ready after p50 {:?}, max {:?}; first delivery after the start p50 {:?}, max {:?}",
        quantile(&mut ready, 0.5),
        quantile(&mut ready, 1.0),
        quantile(&mut delivering, 0.5),
        quantile(&mut delivering, 1.0),
    );
    assert_eq!(engine.terminate(), Some(0));
}
