//! Makes a record: builds the layer, runs a load of several lives on it, and makes sure that nothing has
//! escaped the layer.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::disk::{Disk, Lie};
use crate::facts::Fact;
use crate::image::Image;
use crate::load::{End, Life, live};
use crate::record::{Line, Record, fact};
use crate::rig::START;

/// How lives end, one after the other.
const ENDS: [End; 4] = [End::Killed, End::Stopped, End::Killed, End::Killed];
const LIFE: Duration = Duration::from_millis(1200);
/// Between two lives, by the load's clock.
const PAUSE_MS: u64 = 20 * 60_000;

pub struct Recording {
    dir: TempDir,
    file: PathBuf,
    record: Record,
    syncs: Vec<usize>,
    len: usize,
}

impl Recording {
    /// A load of the log; or the record that the environment names.
    pub fn of_log(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("base")).unwrap();
        if let Ok(file) = std::env::var("POWER_RECORD") {
            return Self::read(dir, file.into());
        }
        let top = dir.path().canonicalize().unwrap();
        let (root, file) = (top.join("disk"), top.join("record"));
        std::fs::create_dir(&root).unwrap();
        let layer = build(&top);
        let mut clock = START;
        for (number, end) in (0u64..).zip(ENDS) {
            let store = root.join("data/store");
            let life = Life { store, record: file.clone(), seed, number, clock, lasts: LIFE, end };
            run(&life, &layer, &root);
            clock = last_clock(&Record::read(&file).lines()) + PAUSE_MS;
        }
        let recording = Self::read(dir, file);
        // What the layer did not see is not in the record, and nothing that follows would mean anything.
        let mut disk = Disk::of(&recording.base(), Lie::None);
        recording.lines().iter().for_each(|line| disk.take(line));
        let (said, found) = (Image::whole(&disk), Image::read(&root));
        assert_eq!(said.files.keys().collect::<Vec<_>>(), found.files.keys().collect::<Vec<_>>());
        for (path, bytes) in &found.files {
            assert!(said.files[path] == *bytes, "{path} is not as the record says");
        }
        recording
    }

    fn read(dir: TempDir, file: PathBuf) -> Self {
        let record = Record::read(&file);
        let lines = record.lines();
        let ended = |(at, line): (usize, &Line<'_>)| matches!(line, Line::SyncEnded { .. }).then_some(at);
        let (syncs, len) = (lines.iter().enumerate().filter_map(ended).collect(), lines.len());
        drop(lines);
        Self { dir, file, record, syncs, len }
    }

    pub fn lines(&self) -> Vec<Line<'_>> {
        self.record.lines()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Lines with which a sync ended.
    pub fn syncs(&self) -> &[usize] {
        &self.syncs
    }

    /// What the disk held before.
    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// Keeps the record beyond the test.
    pub fn keep(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("postrider-power-{}.record", std::process::id()));
        std::fs::copy(&self.file, &kept).unwrap();
        kept
    }
}

/// What is in it.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut bytes, mut names, mut accepted, mut flushed) = (0, 0, 0, 0);
        for line in self.lines() {
            match line {
                Line::Written { bytes: written, .. } => bytes += written.len(),
                Line::Created { .. } | Line::Renamed { .. } | Line::Removed { .. } => names += 1,
                Line::Fact { json } => match fact(json) {
                    Fact::Accepted { seqs, .. } => accepted += seqs.len(),
                    Fact::Flushed { .. } => flushed += 1,
                    _ => {}
                },
                _ => {}
            }
        }
        let (lives, syncs, mib) = (ENDS.len(), self.syncs.len(), bytes >> 20);
        write!(
            f,
            "{lives} lives: {accepted} events accepted, {flushed} settlements, {mib} MiB written, {names} names \
             changed, {syncs} syncs"
        )
    }
}

fn last_clock(lines: &[Line<'_>]) -> u64 {
    let clock = |line: &Line<'_>| match line {
        Line::Fact { json } => match fact(json) {
            Fact::Clock { now } => Some(now),
            _ => None,
        },
        _ => None,
    };
    lines.iter().rev().find_map(clock).unwrap_or(START)
}

fn build(dir: &Path) -> PathBuf {
    let library = dir.join("layer.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/layer.c");
    let done = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-lpthread")
        .status();
    assert!(done.expect("there is a C compiler").success(), "the layer compiles");
    library
}

const VARIABLE: &str = "POWER_LIFE";

fn run(life: &Life, layer: &Path, root: &Path) {
    let told = serde_json::to_string(life).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recording::a_life", "--ignored", "--nocapture"])
        .env(VARIABLE, told)
        .env("LD_PRELOAD", layer)
        .env("POWER_ROOT", root)
        .env("POWER_RECORD", &life.record)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{life:?}: {}: {said}", child.status);
}

/// Not a test of its own: the process that others start.
#[test]
#[ignore = "it is the load of the others"]
fn a_life() {
    if let Ok(told) = std::env::var(VARIABLE) {
        live(&serde_json::from_str(&told).unwrap());
    }
}
