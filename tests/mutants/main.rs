//! The mutation check: deliberate faults in the core, each of which the simulation or a test must catch.
//!
//! A test that has never failed proves little. `faults` lists what is broken on purpose; all of it is
//! written into one copy of the source as choices made at run time (mutant schemata: Untch, Offutt and
//! Harrold, 1993), so that one compilation serves every fault and the product's own source stays clean.
//! Each fault is then switched on alone: the simulation runs until its first violation, and where it finds
//! none, the unit tests run until one fails. What caught each is told in a table; a fault that nothing
//! catches fails the check, and so does an entry whose snippet is no longer in the source.
//!
//! `MUTANTS=watermark,breaker` checks those with such a word in their name, `MUTANTS_EVERY=4` every fourth,
//! from one on that the source itself chooses, or `MUTANTS_SEED`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test: what is wrong must stop it, and it measures time"
)]

mod catch;
mod copy;
mod faults;
mod schemata;

use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use catch::{Binaries, Caught};
use faults::Fault;

/// Faults that are tried at once.
const AT_ONCE: usize = 2;

/// Past the capture of the test harness: the table is the output.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("stdout can be written");
    out.flush().expect("stdout can be written");
}

/// A line of the table.
fn line(fault: &Fault, caught: Option<&Caught>, took: Duration) -> String {
    let by = caught.map_or_else(|| "NOTHING".to_owned(), ToString::to_string);
    format!("{:<36} {:>5.1} s  {by}", fault.name, took.as_secs_f64())
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The faults that are asked for, with their numbers; 0 means none.
fn chosen(all: &[Fault]) -> Vec<(usize, &Fault)> {
    let words = std::env::var("MUTANTS").unwrap_or_default();
    let named = |fault: &Fault| words.is_empty() || words.split(',').any(|word| fault.name.contains(word));
    let every = number("MUTANTS_EVERY").unwrap_or(1).max(1);
    // Each change of the source has another part of the list, and every run of one source the same.
    let seed = number("MUTANTS_SEED").unwrap_or_else(|| schemata::digest(all)) % every;
    if every > 1 {
        say(&format!("one fault in {every} only: MUTANTS_EVERY={every} MUTANTS_SEED={seed}"));
    }
    (1..).zip(all).filter(|(_, fault)| named(fault)).skip(seed).step_by(every).collect()
}

#[test]
fn every_fault_has_its_place() {
    let mut names: Vec<_> = faults::all().iter().map(|fault| fault.name).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "two faults of one name: {twice:?}");
    let stale = schemata::stale(&faults::all());
    assert!(stale.is_empty(), "the list is behind the source:\n{}", stale.join("\n"));
    schemata::check_overlaps(&faults::all());
}

#[test]
fn every_fault_is_caught() {
    let all = faults::all();
    let chosen = chosen(&all);
    let folder = copy::make(&all);
    let started = Instant::now();
    let binaries = Binaries::build(&folder);
    say(&format!("compiled with {} faults in {} s", all.len(), started.elapsed().as_secs()));
    assert_eq!(binaries.check_sound(), None, "with no fault everything must pass");
    let next = Mutex::new(chosen.iter());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((number, fault)) = next.lock().expect("no panic holds it").next() else { break };
                    let began = Instant::now();
                    let caught = binaries.catch(*number, fault);
                    let took = began.elapsed();
                    say(&line(fault, caught.as_ref(), took));
                    results.lock().expect("no panic holds it").push((*fault, caught));
                }
            });
        }
    });
    let results = results.into_inner().expect("no panic holds it");
    let by_sim = results.iter().filter(|(_, by)| matches!(by, Some(Caught::Simulation(_)))).count();
    let missed: Vec<_> = results.iter().filter(|(_, caught)| caught.is_none()).collect();
    say(&format!(
        "{} faults: {by_sim} caught by the simulation, {} by unit tests, {} by nothing; {} s in all",
        results.len(),
        results.len() - by_sim - missed.len(),
        missed.len(),
        started.elapsed().as_secs(),
    ));
    let missed: Vec<_> = missed
        .iter()
        .map(|(fault, _)| format!("  {} ({}): {}", fault.name, fault.file, fault.breaks))
        .collect();
    assert!(missed.is_empty(), "nothing catches:\n{}", missed.join("\n"));
}
