//! Deliveries, end to end and durable, beside the bare loop; and what a 1 KiB event writes to the disk.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::bare;
use crate::child::Engine;
use crate::load::{BODY_LEN, Load, wait_until};
use crate::proc::{self, Cpu};
use crate::receiver::{Manner, Receiver};
use crate::table::{Row, Table, median, round};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);
const CLIENTS: usize = 4;
/// Outcomes are written this long after the last delivery at the latest.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// Svix 1.100 with its Postgres and Redis, on two cores as well: µs of CPU per delivery at a fan-out of 1
/// and of 100, deliveries/s at 1. Measured once, apart.
const SVIX: [(usize, f64); 2] = [(1, 3000.0), (100, 630.0)];
const SVIX_PER_S: f64 = 590.0;

struct Round {
    bare_us: f64,
    bare_per_s: f64,
    engine_us: f64,
    engine_per_s: f64,
}

struct Scenario {
    fanout: usize,
    /// Deliveries under way at most: below what would make subscriptions lag.
    window: u64,
    bar: f64,
    svix_part: f64,
}

pub fn run(table: &mut Table) {
    let scenarios = [
        Scenario { fanout: 1, window: 1400, bar: 0.5, svix_part: 100.0 },
        Scenario { fanout: 100, window: 40_000, bar: 0.75, svix_part: 20.0 },
    ];
    for scenario in &scenarios {
        scenario.run(table);
    }
}

impl Scenario {
    fn run(&self, table: &mut Table) {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let receiver = Receiver::start(workers, Manner::Answers, 0, Instant::now());
        let engine = Engine::start();
        // At a fan-out of 1 an account for each host; above, one account with all.
        let names: Vec<String> = (0..workers).map(|n| format!("account-{n}")).collect();
        let accounts: Vec<&str> =
            if self.fanout == 1 { names.iter().map(String::as_str).collect() } else { vec!["all"] };
        for (n, account) in accounts.iter().enumerate() {
            let urls = if self.fanout == 1 { &receiver.urls[n..=n] } else { &receiver.urls[..] };
            engine.subscribe(account, urls, self.fanout);
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
        self.deliver(&receiver, &load(WARM_UP));
        let mut spent = Cpu::default();
        let (mut rounds, mut all_events, mut all_bytes) = (Vec::new(), 0, 0);
        for _ in 0..ROUNDS {
            let posted = bare::run(&receiver.urls, ROUND);
            let (before, bytes) = (proc::cpu(engine.pid()), proc::write_bytes(engine.pid()));
            let (events, time) = self.deliver(&receiver, &load(ROUND));
            std::thread::sleep(SETTLED_AFTER);
            let cpu = proc::cpu(engine.pid()).since(&before);
            all_bytes += proc::write_bytes(engine.pid()) - bytes;
            all_events += events;
            let deliveries = (events * self.fanout as u64) as f64;
            spent.add(&cpu);
            rounds.push(Round {
                bare_us: posted.cpu_ns as f64 / posted.count as f64 / 1e3,
                bare_per_s: posted.count as f64 / posted.time.as_secs_f64(),
                engine_us: cpu.total() as f64 / deliveries / 1e3,
                engine_per_s: deliveries / time.as_secs_f64(),
            });
        }
        self.threads(&spent, all_events * self.fanout as u64);
        self.rows(table, &rounds);
        if self.fanout == 1 {
            let ratio = all_bytes as f64 / all_events as f64 / BODY_LEN as f64;
            table.add(Row {
                figure: "bytes written to disk per 1 KiB event, 1 subscription".to_owned(),
                measured: format!("{} B", round(ratio * BODY_LEN as f64)),
                reference: format!("{BODY_LEN} B"),
                ratio: format!("{ratio:.2}"),
                bar: "≤ 2.6".to_owned(),
                holds: Some(ratio <= 2.6),
            });
        }
    }

    /// Runs the load until all that it made has arrived. Gives events and time.
    fn deliver(&self, receiver: &Receiver, load: &Load<'_>) -> (u64, Duration) {
        let (start, before) = (Instant::now(), receiver.count());
        let fanout = self.fanout as u64;
        let (events, _) =
            load.run(|accepted| (accepted * fanout).saturating_sub(receiver.count() - before) < self.window);
        wait_until("all deliveries", || receiver.count() - before >= events * fanout);
        (events, start.elapsed())
    }

    fn threads(&self, spent: &Cpu, deliveries: u64) {
        let mut parts: Vec<_> = spent.0.iter().map(|(name, ns)| (*ns, name)).collect();
        parts.sort_unstable_by(|a, b| b.cmp(a));
        eprintln!("  engine CPU per delivery at a fan-out of {}, µs by thread:", self.fanout);
        for (ns, name) in parts.iter().filter(|(ns, _)| *ns > 0) {
            eprintln!("    {:>7.2}  {name}", *ns as f64 / deliveries as f64 / 1e3);
        }
    }

    fn rows(&self, table: &mut Table, rounds: &[Round]) {
        let of = |value: fn(&Round) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
        let (bare_us, engine_us) = (of(|r| r.bare_us), of(|r| r.engine_us));
        let ratio = of(|r| r.bare_us / r.engine_us);
        let fanout = self.fanout;
        table.add(Row {
            figure: format!("durable deliveries per CPU-second, fan-out {fanout}"),
            measured: format!("{engine_us:.1} µs each"),
            reference: format!("bare POST {bare_us:.1} µs"),
            ratio: format!("{ratio:.2}"),
            bar: format!("≥ {}", self.bar),
            holds: Some(ratio >= self.bar),
        });
        if let Some((_, svix)) = SVIX.iter().find(|(of, _)| *of == fanout) {
            table.add(Row {
                figure: format!("engine CPU per delivery, fan-out {fanout}"),
                measured: format!("{engine_us:.1} µs"),
                reference: format!("Svix (apart): {svix} µs"),
                ratio: format!("1/{:.0}", svix / engine_us),
                bar: format!("≤ 1/{}", self.svix_part),
                holds: Some(engine_us * self.svix_part <= *svix),
            });
        }
        let (bare_per_s, per_s) = (of(|r| r.bare_per_s), of(|r| r.engine_per_s));
        let times = per_s / SVIX_PER_S;
        let first = fanout == 1;
        table.add(Row {
            figure: format!("deliveries/s on this machine, receiver and load on it too, fan-out {fanout}"),
            measured: format!("{}/s", round(per_s)),
            reference: format!("bare loop {}/s; Svix (apart) {SVIX_PER_S}/s", round(bare_per_s)),
            ratio: format!("{times:.0} × Svix"),
            bar: if first { "≥ 60 × Svix".to_owned() } else { "–".to_owned() },
            holds: first.then_some(times >= 60.0),
        });
    }
}
