//! Acceptance over the socket, beside bare RocksDB; and what a fan-out of 1 000 adds to it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::child::{Engine, directory};
use crate::load::{BATCH, BODY_LEN, Load, data, wait_until};
use crate::proc;
use crate::receiver::{Manner, Receiver};
use crate::table::{Row, Table, median, round};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients of the engine, and threads of the reference: each has one batch under way.
const CLIENTS: usize = 8;
/// The threads that accept. The workers' part of an event is measured with deliveries.
const ACCEPTING: [&str; 2] = ["ingest", "log-writer"];
/// Attempts hang for longer than the whole run.
const HANGING: &str = "[delivery]\ntimeout = \"300s\"";
const FANOUT: usize = 1000;
/// Events after which every subscription lags.
const UNTIL_LAGGING: u64 = 3000;

/// RocksDB as anybody would set it up for this: one row for each event, synced batches of 100 from
/// as many threads as the engine has clients, so that its own group commit works.
pub struct Bare {
    db: rocksdb::DB,
    next: AtomicU64,
    _directory: tempfile::TempDir,
}

impl Bare {
    pub fn open() -> Self {
        let directory = directory();
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_recycle_log_file_num(4);
        options.set_write_buffer_size(16 << 20);
        options.set_max_total_wal_size(64 << 20);
        options.set_max_background_jobs(2);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
        let db = rocksdb::DB::open(&options, directory.path()).expect("opens");
        Self { db, next: AtomicU64::new(0), _directory: directory }
    }

    /// Gives events and time.
    pub fn run(&self, threads: usize, time: Duration) -> (u64, Duration) {
        let start = Instant::now();
        let events = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for seed in 0..threads {
                let events = &events;
                scope.spawn(move || {
                    let bodies: Vec<_> =
                        (0..BATCH).map(|n| data((seed * BATCH + n) as u64, BODY_LEN)).collect();
                    let mut sync = rocksdb::WriteOptions::default();
                    sync.set_sync(true);
                    while start.elapsed() < time {
                        let first = self.next.fetch_add(BATCH as u64, std::sync::atomic::Ordering::Relaxed);
                        let mut batch = rocksdb::WriteBatch::default();
                        for (key, body) in (first..).zip(&bodies) {
                            batch.put(key.to_be_bytes(), body);
                        }
                        self.db.write_opt(batch, &sync).expect("writes");
                        events.fetch_add(BATCH as u64, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        (events.into_inner(), start.elapsed())
    }
}

pub fn run(table: &mut Table) {
    let (engine, bare) = (Engine::start(), Bare::open());
    let (next, accounts) = (AtomicU64::new(0), ["nobody"]);
    let load = |time| Load {
        engine: &engine,
        accounts: &accounts,
        clients: CLIENTS,
        time,
        most: u64::MAX,
        next: &next,
    };
    load(WARM_UP).run(|_| true);
    bare.run(CLIENTS, WARM_UP);
    let (mut ours, mut theirs, mut cpus, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (events, time) = bare.run(CLIENTS, ROUND);
        let reference = events as f64 / time.as_secs_f64();
        let before = proc::cpu(engine.pid());
        let (events, time) = load(ROUND).run(|_| true);
        let cpu = proc::cpu(engine.pid()).since(&before);
        let per_s = events as f64 / time.as_secs_f64();
        theirs.push(reference);
        ours.push(per_s);
        ratios.push(per_s / reference);
        cpus.push(cpu.total() as f64 / events as f64 / 1e3);
    }
    let ratio = median(&ratios);
    table.add(Row {
        figure: format!("acceptance over the socket, {CLIENTS} clients, batches of {BATCH}"),
        measured: format!("{}/s, {:.1} µs of CPU each", round(median(&ours)), median(&cpus)),
        reference: format!("bare RocksDB, {CLIENTS} threads: {}/s", round(median(&theirs))),
        ratio: format!("{ratio:.2}"),
        bar: "≥ 0.7".to_owned(),
        holds: Some(ratio >= 0.7),
    });
    drop((engine, bare));
    fanout(table);
}

/// One engine whose account has one subscription, one whose account has 1 000, all of them behind a
/// receiver that never answers, so that they lag: what is left is what acceptance itself costs.
fn fanout(table: &mut Table) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let receiver = Receiver::start(workers, Manner::Hangs, 0, Instant::now());
    let engines = [1, FANOUT].map(|count| {
        let engine = Engine::start_with(HANGING);
        engine.subscribe("all", &receiver.urls, count);
        Arc::new(engine)
    });
    let (next, accounts) = (AtomicU64::new(0), ["all"]);
    let load = |engine, time| Load {
        engine,
        accounts: &accounts,
        clients: CLIENTS,
        time,
        most: u64::MAX,
        next: &next,
    };
    for engine in &engines {
        load(engine, ROUND).run(|accepted| accepted < UNTIL_LAGGING);
    }
    let hanging = receiver.count();
    wait_until("requests that hang", || hanging > 0);
    let mut costs = [Vec::new(), Vec::new()];
    let mut wholes = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((engine, costs), wholes) in engines.iter().zip(&mut costs).zip(&mut wholes) {
            let before = proc::cpu(engine.pid());
            let (events, _) = load(engine, ROUND / 2).run(|_| true);
            let cpu = proc::cpu(engine.pid()).since(&before);
            costs.push(cpu.of(&ACCEPTING) as f64 / events as f64 / 1e3);
            wholes.push(cpu.total() as f64 / events as f64 / 1e3);
        }
    }
    let [one, many] = costs.map(|costs| median(&costs));
    let [whole_one, whole_many] = wholes.map(|wholes| median(&wholes));
    table.add(Row {
        figure: format!("acceptance at fan-out {FANOUT}, lagging behind a hanging receiver"),
        measured: format!("{many:.1} µs (whole engine {whole_many:.1})"),
        reference: format!("fan-out 1: {one:.1} µs (whole engine {whole_one:.1})"),
        ratio: format!("{:.2}", many / one),
        bar: "≤ 1.2".to_owned(),
        holds: Some(many / one <= 1.2),
    });
}
