//! What nine healthy subscriptions notice of a tenth that hangs or floods: the time from an event's sending until
//! the last of the nine has it, with the tenth and without, in turns on one engine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::child::Engine;
use crate::load::{Batch, wait_until};
use crate::receiver::{Manner, Receiver};
use crate::table::{Row, Table, quantile};

const ROUNDS: usize = 4;
const EVENTS_PER_S: usize = 200;
const EVENTS_PER_ROUND: usize = 3 * EVENTS_PER_S;
const HEALTHY: usize = 9;
const BAR: f64 = 1.2;
/// Short, so that the one that hangs is tried all the time, with its retries.
const EAGER: &str = "[delivery]\ntimeout = \"1s\"\nretry_schedule = [\"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n\
                     [breaker]\nmin_requests = 1000000";

/// A receiver that answers each request with a body that does not end. A connection has a thread of its own:
/// the engine opens a bounded number of them.
fn flooding() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let body = [b'z'; 16 << 10];
                let mut going = stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
                    && stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_ok();
                while going {
                    going = stream.write_all(&body).is_ok();
                }
            });
        }
    });
    url
}

/// Sends at a steady pace; gives milliseconds until the last of the nine has each event.
fn round(engine: &Engine, receiver: &Receiver, origin: Instant, account: &str, first: usize) -> Vec<f64> {
    let mut sent = Vec::with_capacity(EVENTS_PER_ROUND);
    let (start, before) = (Instant::now(), receiver.count());
    let mut client = engine.ingest();
    let mut batch = Batch::new(&[account], 1, 1);
    for n in 0..EVENTS_PER_ROUND {
        let due = start + Duration::from_secs(1) * u32::try_from(n).unwrap_or(0) / EVENTS_PER_S as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = batch.renumber((first + n) as u64);
        let at = origin.elapsed();
        let (status, _) = client.call(request);
        assert_eq!(status, 202);
        sent.push((first + n, at));
    }
    wait_until("every delivery to the nine", || {
        receiver.count() - before >= (EVENTS_PER_ROUND * HEALTHY) as u64
    });
    sent.iter().map(|(id, at)| (receiver.arrival(*id) as f64 - at.as_nanos() as f64) / 1e6).collect()
}

pub fn run(table: &mut Table) {
    let hanging = |origin| Receiver::start(1, Manner::Hangs, 0, origin).urls.remove(0);
    beside(table, "hangs", hanging);
    beside(table, "floods", |_| flooding());
}

fn beside(table: &mut Table, how: &str, bad: impl Fn(Instant) -> String) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let origin = Instant::now();
    let rounds = 2 * (ROUNDS + 1);
    let receiver = Receiver::start(workers, Manner::Answers, rounds * EVENTS_PER_ROUND, origin);
    let engine = Engine::start_with(EAGER);
    engine.subscribe("nine", &receiver.urls, HEALTHY);
    engine.subscribe("ten", &receiver.urls, HEALTHY);
    engine.subscribe("ten", &[bad(origin)], 1);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for n in 0..=ROUNDS {
        let first = 2 * n * EVENTS_PER_ROUND;
        let alone = round(&engine, &receiver, origin, "nine", first);
        let beside = round(&engine, &receiver, origin, "ten", first + EVENTS_PER_ROUND);
        // The first rounds are the warm-up.
        if n > 0 {
            without.extend(alone);
            with.extend(beside);
        }
    }
    let (without, with) = (quantile(&without, 0.99), quantile(&with, 0.99));
    let ratio = with / without;
    table.add(Row {
        figure: format!("{HEALTHY} healthy subscriptions' p99 while 1 of 10 {how}, {EVENTS_PER_S} events/s"),
        measured: format!("{with:.2} ms"),
        reference: format!("without it {without:.2} ms"),
        ratio: format!("{ratio:.2}"),
        bar: format!("≤ {BAR}"),
        holds: Some(ratio <= BAR),
    });
}
