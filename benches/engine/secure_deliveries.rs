//! Deliveries over TLS with HTTP/2, end to end and durable, beside the bare loop over the same libraries.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::child::{Engine, directory};
use crate::load::{Load, wait_until};
use crate::proc;
use crate::secure::{self, Certificates, Receiver};
use crate::table::{Row, Table, median, round};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;
/// Deliveries under way at most: below what would make subscriptions lag.
const WINDOW: u64 = 1400;
/// Outcomes are written this long after the last delivery at the latest.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
const BAR: f64 = 0.5;

pub fn run(table: &mut Table) {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let certificates = Certificates::new();
    let place = directory();
    let file = place.path().join("ca.pem");
    std::fs::write(&file, &certificates.ca_pem).expect("a file");
    let receiver = Receiver::start(workers, &certificates);
    let engine = Engine::start_with(&format!("ca_file = \"{}\"", file.display()));
    let names: Vec<String> = (0..workers).map(|n| format!("account-{n}")).collect();
    let accounts: Vec<&str> = names.iter().map(String::as_str).collect();
    for (account, url) in accounts.iter().zip(&receiver.urls) {
        engine.subscribe(account, std::slice::from_ref(url), 1);
    }
    let next = AtomicU64::new(0);
    let load = |time| Load {
        engine: &engine,
        accounts: &accounts,
        clients: CLIENTS,
        time,
        most: u64::MAX,
        next: &next,
    };
    let deliver = |time| {
        let (start, before) = (Instant::now(), receiver.count());
        let (events, _) =
            load(time).run(|accepted| accepted.saturating_sub(receiver.count() - before) < WINDOW);
        wait_until("all deliveries", || receiver.count() - before >= events);
        (events, start.elapsed())
    };
    deliver(WARM_UP);
    secure::run(&receiver.urls, &certificates, WARM_UP);
    let (mut theirs, mut ours, mut ratios, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let posted = secure::run(&receiver.urls, &certificates, ROUND);
        let before = proc::cpu(engine.pid());
        let (events, time) = deliver(ROUND);
        std::thread::sleep(SETTLED_AFTER);
        let cpu = proc::cpu(engine.pid()).since(&before).total();
        let bare_us = posted.cpu_ns as f64 / posted.count as f64 / 1e3;
        let engine_us = cpu as f64 / events as f64 / 1e3;
        theirs.push(bare_us);
        ours.push(engine_us);
        ratios.push(bare_us / engine_us);
        rates.push(events as f64 / time.as_secs_f64());
    }
    let ratio = median(&ratios);
    table.add(Row {
        figure: "durable deliveries per CPU-second over TLS with HTTP/2, fan-out 1".to_owned(),
        measured: format!("{:.1} µs each, {}/s", median(&ours), round(median(&rates))),
        reference: format!("bare h2 over rustls {:.1} µs", median(&theirs)),
        ratio: format!("{ratio:.2}"),
        bar: format!("≥ {BAR}"),
        holds: Some(ratio >= BAR),
    });
}
