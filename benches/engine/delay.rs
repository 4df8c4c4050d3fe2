//! From an event's request to the request on the wire, at 1 000 events/s one by one: the whole way through
//! ingest, one fsync, routing and sending. Beside it, fsyncs at the same pace on the same disk.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::child::{Engine, directory};
use crate::load::Batch;
use crate::receiver::{Manner, Receiver};
use crate::table::{Row, Table, quantile};

const ROUNDS: usize = 3;
const EVENTS_PER_S: usize = 1000;
const CLIENTS: usize = 4;
const EVENTS_PER_ROUND: usize = 4 * EVENTS_PER_S;
const SYNCS_PER_ROUND: usize = 2 * EVENTS_PER_S;
/// What one small event writes to the log.
const RECORD_LEN: usize = 1500;
const FILE_LEN: usize = 16 << 20;

/// Waits until its time, more exactly than a sleep: the last bit is spun.
pub fn until(at: Instant) {
    let rest = at.saturating_duration_since(Instant::now());
    if rest > Duration::from_micros(100) {
        std::thread::sleep(rest.saturating_sub(Duration::from_micros(80)));
    }
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}

/// Milliseconds of syncs to a file that does not grow: the cheapest kind.
fn syncs() -> Vec<f64> {
    let directory = directory();
    let mut file = std::fs::File::create(directory.path().join("log")).expect("a file");
    file.write_all(&vec![1; FILE_LEN]).expect("written");
    file.sync_all().expect("synced");
    file.seek(SeekFrom::Start(0)).expect("seeks");
    let record = vec![2; RECORD_LEN];
    let start = Instant::now();
    (0..SYNCS_PER_ROUND)
        .map(|n| {
            until(start + Duration::from_secs(1) * u32::try_from(n).unwrap_or(0) / EVENTS_PER_S as u32);
            let begin = Instant::now();
            file.write_all(&record).expect("written");
            file.sync_data().expect("synced");
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

/// Milliseconds from when each event was to be sent to its arrival: one that had to wait for the answer to the
/// one before it is late, and counts as late.
fn round(
    engine: &Engine,
    receiver: &Receiver,
    origin: Instant,
    accounts: &[String],
    first: usize,
) -> Vec<f64> {
    let sent = Mutex::new(Vec::with_capacity(EVENTS_PER_ROUND));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in 0..CLIENTS {
            let sent = &sent;
            scope.spawn(move || {
                let mut client = engine.ingest();
                let account = &accounts[part % accounts.len()];
                let mut batch = Batch::new(&[account], 1, part as u64);
                for n in (part..EVENTS_PER_ROUND).step_by(CLIENTS) {
                    let due = Duration::from_secs(1) * u32::try_from(n).unwrap_or(0) / EVENTS_PER_S as u32;
                    until(start + due);
                    let id = first + n;
                    let request = batch.renumber(id as u64);
                    let at = (start + due).duration_since(origin);
                    let (status, _) = client.call(request);
                    assert_eq!(status, 202);
                    sent.lock().expect("no panic").push((id, at));
                }
            });
        }
    });
    let arrived = |id: usize| receiver.arrival(id);
    let sent = sent.into_inner().expect("no panic");
    crate::load::wait_until("every event", || sent.iter().all(|(id, _)| arrived(*id) > 0));
    sent.iter().map(|(id, at)| (arrived(*id) as f64 - at.as_nanos() as f64) / 1e6).collect()
}

pub fn run(table: &mut Table) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let origin = Instant::now();
    let receiver = Receiver::start(workers, Manner::Answers, (ROUNDS + 1) * EVENTS_PER_ROUND, origin);
    let engine = Engine::start();
    let accounts: Vec<String> = (0..workers).map(|n| format!("account-{n}")).collect();
    for (account, url) in accounts.iter().zip(&receiver.urls) {
        engine.subscribe(account, std::slice::from_ref(url), 1);
    }
    round(&engine, &receiver, origin, &accounts, 0);
    let (mut fsyncs, mut delays) = (Vec::new(), Vec::new());
    for n in 1..=ROUNDS {
        fsyncs.extend(syncs());
        delays.extend(round(&engine, &receiver, origin, &accounts, n * EVENTS_PER_ROUND));
    }
    for (part, name, syncs, slack_ms) in [(0.5, "p50", 1.0, 1.0), (0.99, "p99", 3.0, 5.0)] {
        let (delay, fsync) = (quantile(&delays, part), quantile(&fsyncs, part));
        table.add(Row {
            figure: format!("event sent → delivery on the wire, {EVENTS_PER_S} events/s one by one, {name}"),
            measured: format!("{delay:.2} ms"),
            reference: format!("fsync {name} {fsync:.2} ms"),
            ratio: format!("{:+.2} ms", delay - syncs * fsync),
            bar: format!("≤ {syncs} fsync + {slack_ms} ms"),
            holds: Some(delay <= syncs * fsync + slack_ms),
        });
    }
}
