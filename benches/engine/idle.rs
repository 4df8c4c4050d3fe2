//! What an engine needs that has nothing to do.

use std::time::{Duration, Instant};

use crate::child::Engine;
use crate::proc;
use crate::table::{Row, Table};

const WATCHED: Duration = Duration::from_secs(3);
const RESIDENT_MIB_MAX: f64 = 40.0;

pub fn run(table: &mut Table) {
    let engine = Engine::start();
    std::thread::sleep(Duration::from_secs(1));
    let (start, before) = (Instant::now(), proc::cpu(engine.pid()));
    std::thread::sleep(WATCHED);
    let cpu = proc::cpu(engine.pid()).since(&before).total() as f64 / start.elapsed().as_nanos() as f64;
    let resident = proc::resident_kib(engine.pid()) as f64 / 1024.0;
    table.add(Row {
        figure: "resident memory, idle".to_owned(),
        measured: format!("{resident:.0} MiB, {:.2} % of a core", cpu * 100.0),
        reference: "–".to_owned(),
        ratio: "–".to_owned(),
        bar: format!("≤ {RESIDENT_MIB_MAX} MiB"),
        holds: Some(resident <= RESIDENT_MIB_MAX),
    });
}
