//! Acceptance: batches of 100 × 1 KiB through the writer, against bare RocksDB writing the same bytes in
//! the same batches, synced. Prints both and the ratio. `cargo bench --bench append`
//!
//! Both sides share one process and alternate, since machines and disks are noisy.

#![expect(
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a bench may fail loudly, rounds its figures, and reads the clock: that is what it is for"
)]

use std::fmt::Write as _;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use postrider::log::api::{Appended, Request};
use postrider::log::fingerprint::Fingerprint;
use postrider::log::options::LogOptions;
use postrider::log::stats::NoObserver;
use postrider::log::writer::{self, WriterParts};
use postrider::log::{reader, recovery};
use postrider::model::{
    AccountKey, AccountName, DeliveryOptions, EventId, EventMask, NewEvent, OnBlocked, Ordering,
    SignatureScheme, TypeBit,
};
use postrider::registry::{Registry, RegistryOptions, Selectors};

const BATCH: usize = 100;
const BODY_LEN: usize = 1024;
const BATCHES_A_ROUND: usize = 500;
const ROUNDS: usize = 6;
/// Requests in flight at once: connections that each wait for their answer.
const DEPTHS: [usize; 3] = [1, 2, 8];

struct NoTypes;

impl Selectors for NoTypes {
    fn expand(&self, _selector: &str) -> Option<EventMask> {
        None
    }

    fn canonical(&self, _selector: &str) -> Option<String> {
        None
    }

    fn nearest(&self, _text: &str) -> Option<&str> {
        None
    }

    fn gated_mask(&self) -> EventMask {
        EventMask::NONE
    }
}

/// Half of it compresses, as JSON of sensors does.
fn body(id: &str, n: usize) -> Bytes {
    let mut text =
        format!("{{\"id\":\"{id}\",\"type\":\"device.registered\",\"accountId\":\"acme\",\"data\":{{");
    let mut seed = n as u64 + 1;
    while text.len() < BODY_LEN - 40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = write!(text, "\"reading\":\"{:08x}\",", seed >> 32);
    }
    while text.len() < BODY_LEN {
        text.push('x');
    }
    Bytes::from(text)
}

fn events(round: usize, batch: usize) -> Vec<NewEvent> {
    (0..BATCH)
        .map(|n| {
            let id = format!("evt-{round:04}-{batch:06}-{n:03}");
            NewEvent {
                body: body(&id, batch * BATCH + n),
                id: EventId::parse(&id).expect("an id"),
                account: AccountName::parse("acme").expect("a name"),
                type_bit: TypeBit(1),
            }
        })
        .collect()
}

fn rate(events: usize, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
}

fn fingerprints() {
    let id = EventId::parse("evt-0123456789ABCDEFGHJKMNPQRS").expect("an id");
    let start = Instant::now();
    let mut sum = 0u64;
    for n in 0..1_000_000u32 {
        sum = sum.wrapping_add(Fingerprint::of(AccountKey(n), id.as_str()).0);
    }
    println!("fingerprint: {:.0} ns each ({sum:x})", start.elapsed().as_secs_f64() * 1e3);
}

fn main() {
    fingerprints();
    let base = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    for depth in DEPTHS {
        let ours = tempfile::tempdir_in(&base).expect("a directory");
        let bare = tempfile::tempdir_in(&base).expect("a directory");
        let (mut our_time, mut bare_time) = (Duration::ZERO, Duration::ZERO);
        let log = Log::open(ours.path());
        if depth == 1 {
            println!("resident with an idle log: {:.1} MiB", resident_mib());
        }
        let reference = Bare::open(bare.path());
        for round in 0..ROUNDS {
            let batches: Vec<_> = (0..BATCHES_A_ROUND).map(|batch| events(round, batch)).collect();
            let copies = batches.clone();
            let first = bare_time;
            bare_time += reference.run(&copies, depth);
            our_time += log.run(batches, depth);
            if round == 0 {
                // Warm-up: files are made, the log is extended.
                (our_time, bare_time) = (Duration::ZERO, first);
            }
        }
        let total = (ROUNDS - 1) * BATCHES_A_ROUND * BATCH;
        let (log_rate, bare_rate) = (rate(total, our_time), rate(total, bare_time));
        println!(
            "depth {depth}: writer {log_rate:.0} events/s, bare WriteBatch {bare_rate:.0} events/s, ratio {:.2}",
            log_rate / bare_rate
        );
    }
}

/// The reference: one thread, one synced batch for each request, one row for each batch's bytes.
struct Bare {
    db: rocksdb::DB,
    next: std::cell::Cell<u64>,
}

impl Bare {
    fn open(path: &std::path::Path) -> Self {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_recycle_log_file_num(4);
        options.set_write_buffer_size(16 << 20);
        options.set_max_total_wal_size(64 << 20);
        options.set_max_background_jobs(2);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
        Self { db: rocksdb::DB::open(&options, path).expect("opens"), next: std::cell::Cell::new(1) }
    }

    /// `depth` requests waiting at once become one batch, as the writer would do it.
    fn run(&self, batches: &[Vec<NewEvent>], depth: usize) -> Duration {
        let start = Instant::now();
        let mut sync = rocksdb::WriteOptions::default();
        sync.set_sync(true);
        for group in batches.chunks(depth) {
            let mut batch = rocksdb::WriteBatch::default();
            for event in group.iter().flatten() {
                let key = self.next.get();
                self.next.set(key + 1);
                batch.put(key.to_be_bytes(), &event.body);
            }
            self.db.write_opt(batch, &sync).expect("writes");
        }
        start.elapsed()
    }
}

struct Log {
    requests: crossbeam::channel::Sender<Request>,
    _readers: reader::Readers,
}

impl Log {
    fn open(path: &std::path::Path) -> Self {
        let options = LogOptions::new(path);
        let opened = recovery::open(&options).expect("opens");
        let registry = Registry::new(RegistryOptions {
            catalogue: Arc::new(NoTypes),
            webhooks_enabled: true,
            delivery: DeliveryOptions {
                timeout: Duration::from_secs(15),
                max_in_flight: 64,
                rate_per_second: None,
                ordering: Ordering::None,
                on_blocked: OnBlocked::Block,
                signature: SignatureScheme::V1,
            },
        });
        let index = Arc::new(ArcSwap::from_pointee(registry.index(1)));
        let (_, readers) = reader::start(&opened.store, &index, &[]).expect("starts");
        let writer = writer::start(WriterParts {
            store: opened.store,
            state: opened.state,
            options,
            registry: Arc::new(RwLock::new(registry)),
            index,
            outboxes: Vec::new(),
            observer: Box::new(NoObserver),
        })
        .expect("starts");
        Self { requests: writer.requests(), _readers: readers }
    }

    /// Keeps `depth` requests waiting.
    fn run(&self, batches: Vec<Vec<NewEvent>>, depth: usize) -> Duration {
        let start = Instant::now();
        let mut waiting = std::collections::VecDeque::new();
        let check = |answer: tokio::sync::oneshot::Receiver<_>| {
            let results: Result<Vec<Appended>, _> = answer.blocking_recv().expect("an answer");
            let fresh = |result: &Appended| matches!(result, Appended::Accepted(_));
            assert!(results.expect("is taken").iter().all(fresh));
        };
        for events in batches {
            let (reply, answer) = tokio::sync::oneshot::channel();
            self.requests.send(Request::Append { events, reply }).expect("the writer runs");
            waiting.push_back(answer);
            if waiting.len() >= depth {
                waiting.pop_front().into_iter().for_each(check);
            }
        }
        waiting.into_iter().for_each(check);
        start.elapsed()
    }
}
