//! A steady load for as long as is asked, and how long each event took: `SUSTAINED_RATE` events/s (1000) for
//! `SUSTAINED_FOR` seconds (60), by `cargo bench --bench engine -- sustained` or `make load`.
//!
//! The load is open: each event has a time at which it is to be sent, whatever became of those before it, and
//! its delay counts from that time. So what a stall held up counts as delayed (no coordinated omission), and a rate
//! that the engine cannot take shows as delays that grow. Not a part of the table: it has no reference and no bar.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::child::Engine;
use crate::delay::until;
use crate::load::{Batch, wait_until};
use crate::proc;
use crate::receiver::{Manner, Receiver};
use crate::table::{Table, round};

const RATE: usize = 1000;
const SECONDS: usize = 60;
const CLIENTS: usize = 8;
/// Requests a second at most; above this rate, several events go in each.
const REQUESTS_PER_S: usize = 2000;
/// Events at most, since the arrival of each is noted.
const EVENTS_MAX: usize = 100_000_000;
/// The longest delay that is told apart.
const DELAY_US_MAX: u64 = 3_600_000_000;

fn asked(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

pub fn run(_: &mut Table) {
    let (rate, seconds) = (asked("SUSTAINED_RATE", RATE).max(1), asked("SUSTAINED_FOR", SECONDS).max(1));
    let size = rate.div_ceil(REQUESTS_PER_S);
    let requests = rate * seconds / size;
    assert!(requests * size <= EVENTS_MAX, "at most {EVENTS_MAX} events in all");
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let origin = Instant::now();
    let receiver = Receiver::start(workers, Manner::Answers, requests * size, origin);
    let engine = Engine::start();
    let accounts: Vec<String> = (0..workers).map(|n| format!("account-{n}")).collect();
    for (account, url) in accounts.iter().zip(&receiver.urls) {
        engine.subscribe(account, std::slice::from_ref(url), 1);
    }
    let before = proc::cpu(engine.pid());
    let start = Instant::now();
    let due = |n: usize| start + Duration::from_secs_f64((n * size) as f64 / rate as f64);
    let refused: u64 = std::thread::scope(|scope| {
        let send = |part: usize| {
            let (engine, accounts) = (&engine, &accounts);
            move || {
                let mut client = engine.ingest();
                let mut batch = Batch::new(&[&accounts[part % accounts.len()]], size, part as u64);
                let mut refused = 0;
                for n in (part..requests).step_by(CLIENTS) {
                    until(due(n));
                    let (status, _) = client.call(batch.renumber((n * size) as u64));
                    refused += u64::from(status != 202);
                }
                refused
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|part| scope.spawn(send(part))).collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    });
    let accepted = (requests as u64 - refused) * size as u64;
    wait_until("every event", || receiver.count() >= accepted);
    let took = start.elapsed();
    let mut delays = Histogram::<u64>::new_with_max(DELAY_US_MAX, 3).expect("bounds");
    for n in 0..requests {
        let at = due(n).duration_since(origin).as_nanos() as u64;
        for event in n * size..(n + 1) * size {
            let arrived = receiver.arrival(event);
            if arrived > 0 {
                delays.saturating_record(arrived.saturating_sub(at) / 1000);
            }
        }
    }
    let cpu = proc::cpu(engine.pid()).since(&before).total() as f64 / 1e3 / accepted.max(1) as f64;
    println!(
        "\n{} events at {rate}/s, {size} to a request, in {:.1} s; {refused} requests refused; engine {cpu:.1} µs \
         of CPU each, {} MiB resident",
        round(accepted as f64),
        took.as_secs_f64(),
        proc::resident_kib(engine.pid()) / 1024,
    );
    println!("\n| from when an event was to be sent to its delivery on the wire | ms |\n|---|---|");
    for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
        println!("| p{} | {:.2} |", quantile * 100.0, delays.value_at_quantile(quantile) as f64 / 1e3);
    }
    println!("| longest | {:.2} |", delays.max() as f64 / 1e3);
}
