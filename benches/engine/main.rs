//! The figures of BENCHMARKS.md, each beside its reference, measured in one run. `make bench`, or a part of
//! it: `cargo bench --bench engine -- deliveries`.
//!
//! The engine is the real binary in a child process; load, receiver and references are in this one. The
//! reference and the engine alternate in short rounds, since machines are noisy, and medians are shown.
//! Every round is bounded in time. Deliberately absent: statistics beyond the median, and any claim
//! from a single side: what counts is the ratio.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a bench may fail loudly, rounds its figures, and reads the clock: that is what it is for"
)]

mod acceptance;
mod bare;
mod child;
mod delay;
mod deliveries;
mod filled;
mod filters;
mod http;
mod idle;
mod isolation;
mod lists;
mod lists_calls;
mod load;
mod matching;
mod proc;
mod receiver;
mod restart;
mod secure;
mod secure_deliveries;
mod sustained;
mod table;
mod writer;

use table::Table;

type Part = (&'static str, fn(&mut Table));

const PARTS: [Part; 10] = [
    ("deliveries", deliveries::run),
    ("secure", secure_deliveries::run),
    ("isolation", isolation::run),
    ("acceptance", acceptance::run),
    ("writer", writer::run),
    ("matching", matching::run),
    ("filters", filters::run),
    ("delay", delay::run),
    ("idle", idle::run),
    ("restart", restart::run),
];

/// Run only where they are named.
const MODES: [Part; 2] = [("sustained", sustained::run), ("lists", lists::run)];

fn main() {
    // Cargo adds `--bench`; what else is named are the parts to run.
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, run) in PARTS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            eprintln!("{name}");
            run(&mut table);
        }
    }
    for (name, run) in MODES {
        if asked.iter().any(|asked| asked == name) {
            eprintln!("{name}");
            run(&mut table);
        }
    }
    table.print();
}
