//! Power cuts: the log, on RocksDB as it is, on a disk that loses what was not synced.
//!
//! A kill leaves the page cache, a power cut does not. So a load runs in a process of its own with a
//! recording layer below it (`layer.c`), which writes down every change of files and names with every sync.
//! Then, for many moments of that record, the directory is made anew as a disk could hold it after the power
//! went there (`disk`, `image`), opened by the engine's own recovery, and compared with what was acknowledged
//! up to then (`truth`, `oracle`).
//!
//! The engine as a whole is put through the same, at fewer moments (`engine`).
//!
//! `POWER_CUTS=5000` tries as many, `POWER_SEED` another choice of them. A cut that fails is tried alone with
//! the `POWER_RECORD`, `POWER_SEED` and `POWER_CUT` that it printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what they are for"
)]
#![allow(clippy::disallowed_methods, reason = "the load lasts as long as it should by a real clock")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "counts and lengths of a test fit, as they are and as metrics"
)]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::format_collect,
    clippy::range_plus_one,
    clippy::single_match_else,
    reason = "names are RocksDB's own; the rest reads better so"
)]

mod cuts;
mod disk;
mod engine;
mod events;
mod facts;
mod image;
mod layer;
mod load;
mod oracle;
mod record;
mod recording;
mod rig;
mod rng;
mod told;
mod truth;

// The engine as the tests of the whole have it.
#[allow(dead_code, reason = "its own tests use more of it")]
#[path = "../engine/http.rs"]
mod http;
#[allow(dead_code, reason = "its own tests use more of it")]
#[path = "../engine/process.rs"]
mod process;
#[allow(dead_code, reason = "its own tests use more of it")]
#[path = "../engine/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "its own tests use more of it")]
#[path = "../engine/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::cuts::{Cut, try_all};
use crate::disk::Lie;
use crate::oracle::Violation;
use crate::recording::Recording;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        number("POWER_SEED").unwrap_or(clock.as_micros() as u64)
    })
}

/// Stores are open in this process, or children begin, never both: until a child runs its own program it holds
/// what was open here, and with it the locks of stores that are closed meanwhile.
static STORES: RwLock<()> = RwLock::new(());

fn opening() -> RwLockReadGuard<'static, ()> {
    STORES.read().unwrap_or_else(PoisonError::into_inner)
}

fn spawning() -> RwLockWriteGuard<'static, ()> {
    STORES.write().unwrap_or_else(PoisonError::into_inner)
}

/// One for all tests: it is what takes the time.
fn recording() -> &'static Recording {
    static RECORDING: OnceLock<Recording> = OnceLock::new();
    RECORDING.get_or_init(|| {
        let _alone = spawning();
        Recording::of_log(seed())
    })
}

/// What failed, and how to try it again.
fn report(recording: &Recording, tried: usize, failed: &[(Cut, Vec<Violation>)]) {
    println!("{tried} cuts, {} with violations", failed.len());
    for (cut, wrong) in failed.iter().take(10) {
        let first = &wrong[..wrong.len().min(4)];
        println!("POWER_CUT={}: {cut:?}: {} violations: {first:?}", cut.number, wrong.len());
    }
    if let Some((cut, _)) = failed.first() {
        let left = tempfile::tempdir().unwrap().keep();
        let _ = recording.leave(*cut, &left);
        println!("POWER_CUT={} has left {}", cut.number, left.display());
        panic!("to try one again: POWER_RECORD={} POWER_SEED={}", recording.keep().display(), cut.seed);
    }
}

fn cuts() -> u64 {
    number("POWER_CUTS").unwrap_or(210)
}

#[test]
fn nothing_acknowledged_is_lost_to_a_power_cut() {
    let recording = recording();
    println!("POWER_SEED={}, {recording}", seed());
    let chosen = number("POWER_CUT").map_or(0..cuts(), |one| one..one + 1);
    let cuts: Vec<_> = chosen.map(|number| Cut::choose(recording, seed(), number)).collect();
    report(recording, cuts.len(), &try_all(recording, &cuts, Lie::None));
}

/// The power goes again, most often before the store is open.
#[test]
fn nor_to_one_during_the_recovery_from_another() {
    const EACH: u64 = 12;
    let first = recording();
    for number in 0..cuts() / 5 / EACH {
        let cut = Cut::choose(first, !seed(), number);
        report(first, 1, &try_all(first, &[cut], Lie::None));
        let second = {
            let _alone = spawning();
            first.after(cut, 100 + number)
        };
        println!("POWER_SEED={}, after {cut:?}: {second}", seed());
        let cuts: Vec<_> = (0..EACH).map(|number| Cut::choose(&second, seed(), number)).collect();
        report(&second, cuts.len(), &try_all(&second, &cuts, Lie::None));
    }
}

/// A test that cannot fail proves nothing: where the disk does not do what it says, the oracle must notice.
#[test]
fn a_disk_that_lies_is_found_out() {
    let recording = recording();
    for lie in [Lie::Logs, Lie::Directories] {
        let cuts: Vec<_> = (0..30).map(|number| Cut::choose(recording, seed(), number)).collect();
        let failed = try_all(recording, &cuts, lie);
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for violation in failed.iter().flat_map(|(_, wrong)| wrong) {
            let text = format!("{violation:?}");
            *kinds.entry(text.split([' ', '(']).next().unwrap_or_default().to_owned()).or_default() += 1;
        }
        println!("{lie:?} not synced: {} of {} cuts with violations: {kinds:?}", failed.len(), cuts.len());
        let lost = |wrong: &Vec<Violation>| wrong.iter().any(|it| matches!(it, Violation::Lost { .. }));
        assert!(failed.iter().any(|(_, wrong)| lost(wrong)), "{lie:?} loses nothing that was acknowledged");
    }
}
