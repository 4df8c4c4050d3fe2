//! How soon an engine that was killed delivers again: what was under way, and with a million events behind it
//! that wait for a receiver which did not answer. And that waiting costs no memory.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::child::Engine;
use crate::load::{Load, wait_until};
use crate::proc;
use crate::receiver::{Manner, Receiver};
use crate::table::{Row, Table, median};

const ROUNDS: usize = 3;
/// Deliveries under way at most.
const WINDOW: u64 = 1400;
const CLIENTS: usize = 4;
const LOADED: Duration = Duration::from_secs(1);
/// Events that wait behind a receiver which never answers.
const BACKLOG: u64 = 1_000_000;
const BACKLOG_TIME_MAX: Duration = Duration::from_secs(60);
const BACK_MS_MAX: f64 = 1000.0;
const FIRST_MS_MAX: f64 = 2000.0;
/// Megabytes by which memory may grow while the second half of the backlog comes.
const GROWTH_MIB_MAX: f64 = 16.0;

pub fn run(table: &mut Table) {
    under_way(table);
    backlog(table);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn under_way(table: &mut Table) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let receiver = Receiver::start(workers, Manner::Answers, 0, Instant::now());
    let mut engine = Engine::start();
    engine.subscribe("all", &receiver.urls, workers);
    let next = AtomicU64::new(0);
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = receiver.count();
        let load = Load {
            engine: &engine,
            accounts: &["all"],
            clients: CLIENTS,
            time: LOADED,
            most: u64::MAX,
            next: &next,
        };
        let fanout = workers as u64;
        let (events, _) =
            load.run(|accepted| (accepted * fanout).saturating_sub(receiver.count() - before) < WINDOW);
        let start = Instant::now();
        engine.crash();
        // What had arrived by then and was not noted as delivered comes again: more than were sent is right.
        let arrived = receiver.count();
        wait_until("the first delivery", || {
            receiver.count() > arrived || arrived - before >= events * fanout
        });
        first.push(millis(start.elapsed()));
        wait_until("all deliveries", || receiver.count() - before >= events * fanout);
        all.push(millis(start.elapsed()));
    }
    let (first, all) = (median(&first), median(&all));
    table.add(Row {
        figure: "from kill -9 under load until all that was accepted is delivered".to_owned(),
        measured: format!("{all:.0} ms, the first again after {first:.0} ms"),
        reference: "Svix (apart): 45 s".to_owned(),
        ratio: format!("1/{:.0}", 45_000.0 / all),
        bar: "≤ 1 s".to_owned(),
        holds: Some(all <= BACK_MS_MAX),
    });
}

fn backlog(table: &mut Table) {
    let receiver = Receiver::start(1, Manner::Hangs, 0, Instant::now());
    // The receiver hangs; nothing that is tried ends before the crash.
    let mut engine = Engine::start_with("[delivery]\ntimeout = \"5m\"");
    engine.subscribe("all", &receiver.urls, 1);
    let next = AtomicU64::new(0);
    let load = Load {
        engine: &engine,
        accounts: &["all"],
        clients: CLIENTS,
        time: BACKLOG_TIME_MAX,
        most: BACKLOG / 2,
        next: &next,
    };
    let half = || {
        let (events, _) = load.run(|_| true);
        assert!(events >= BACKLOG / 2, "only {events} events in {} s", BACKLOG_TIME_MAX.as_secs());
        proc::resident_kib(engine.pid()) as f64 / 1024.0
    };
    let (one, two) = (half(), half());
    let start = Instant::now();
    receiver.mend();
    let tried = receiver.count();
    engine.crash();
    wait_until("the first delivery", || receiver.count() > tried);
    let first = millis(start.elapsed());
    table.add(Row {
        figure: format!("start-up after kill -9 with {BACKLOG} undelivered, until the first delivery"),
        measured: format!("{first:.0} ms"),
        reference: "–".to_owned(),
        ratio: "–".to_owned(),
        bar: "≤ 2 s".to_owned(),
        holds: Some(first <= FIRST_MS_MAX),
    });
    table.add(Row {
        figure: format!("resident memory with {BACKLOG} events behind a receiver that hangs"),
        measured: format!("{two:.0} MiB"),
        reference: format!("with half as many: {one:.0} MiB"),
        ratio: format!("{:+.0} MiB", two - one),
        bar: format!("≤ +{GROWTH_MIB_MAX} MiB"),
        holds: Some(two - one <= GROWTH_MIB_MAX),
    });
}
