//! Events for the engine: batches whose bytes are made once and only renumbered, so that making them
//! costs next to nothing beside what is measured.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::child::Engine;

/// Bytes of an event's body, as it is stored and delivered.
pub const BODY_LEN: usize = 1024;
/// Events in a request.
pub const BATCH: usize = 100;
const TYPE: &str = "device.in_sync";
const ID_DIGITS: usize = 12;
/// How long deliveries may take to arrive when no more events come.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// `data` of which half compresses, as JSON of sensors does.
pub fn data(seed: u64, length: usize) -> String {
    let mut text = String::from("{");
    let mut seed = seed + 1;
    while text.len() + 40 < length {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = write!(text, "\"r{:03}\":\"{:08x}\",", text.len(), seed >> 32);
    }
    text.push_str("\"end\":\"");
    while text.len() + 2 < length {
        text.push('x');
    }
    text + "\"}"
}

/// One request, whole.
pub struct Batch {
    bytes: Vec<u8>,
    ids: Vec<usize>,
}

impl Batch {
    /// `count` events, in turn of each of `accounts`.
    pub fn new(accounts: &[&str], count: usize, seed: u64) -> Self {
        let mut body = String::from("[");
        let mut ids = Vec::with_capacity(count);
        for (n, account) in accounts.iter().cycle().take(count).enumerate() {
            let envelope = format!(
                "{{\"id\":\"evt-{:0ID_DIGITS$}\",\"type\":\"{TYPE}\",\"timestamp\":\"2026-11-23T14:49:00.000Z\",\
                 \"accountId\":\"{account}\",\"data\":}}",
                0
            );
            let data = data(seed * 1000 + n as u64, BODY_LEN - envelope.len());
            body.push_str(if n == 0 { "" } else { "," });
            ids.push(body.len() + "{\"id\":\"evt-".len());
            let _ = write!(
                body,
                "{{\"id\":\"evt-{:0ID_DIGITS$}\",\"accountId\":\"{account}\",\"type\":\"{TYPE}\",\"data\":{data}}}",
                0
            );
        }
        body.push(']');
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let ids = ids.into_iter().map(|at| at + head.len()).collect();
        Self { bytes: (head + &body).into_bytes(), ids }
    }

    /// The same events with other ids, from `first` on.
    pub fn renumber(&mut self, first: u64) -> &[u8] {
        for (n, at) in (first..).zip(&self.ids) {
            let mut n = n;
            for digit in self.bytes[*at..at + ID_DIGITS].iter_mut().rev() {
                *digit = b'0' + u8::try_from(n % 10).unwrap_or(0);
                n /= 10;
            }
        }
        &self.bytes
    }
}

pub struct Load<'a> {
    pub engine: &'a Engine,
    pub accounts: &'a [&'a str],
    /// Connections, each with one request under way.
    pub clients: usize,
    pub time: Duration,
    /// Events at most.
    pub most: u64,
    /// The next id.
    pub next: &'a AtomicU64,
}

impl Load<'_> {
    /// Sends batches for as long and as many as is asked, each client its next as soon as `may_send(events accepted)`
    /// says so. Gives events accepted and the time that it took.
    pub fn run(&self, may_send: impl Fn(u64) -> bool + Sync) -> (u64, Duration) {
        let start = Instant::now();
        let (accepted, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for seed in 0..self.clients as u64 {
                let (accepted, taken, may_send) = (&accepted, &taken, &may_send);
                scope.spawn(move || {
                    let mut client = self.engine.ingest();
                    let mut batch = Batch::new(self.accounts, BATCH, seed);
                    while start.elapsed() < self.time {
                        if !may_send(accepted.load(Ordering::Relaxed)) {
                            std::thread::sleep(Duration::from_micros(200));
                            continue;
                        }
                        if taken.fetch_add(BATCH as u64, Ordering::Relaxed) >= self.most {
                            return;
                        }
                        let first = self.next.fetch_add(BATCH as u64, Ordering::Relaxed);
                        let (status, answer) = client.call(batch.renumber(first));
                        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&answer));
                        accepted.fetch_add(BATCH as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        (accepted.into_inner(), start.elapsed())
    }
}

/// Waits until `done`, at most as long as deliveries may take.
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DRAIN_MAX, "{what} did not come within {} s", DRAIN_MAX.as_secs());
        std::thread::sleep(Duration::from_micros(500));
    }
}
