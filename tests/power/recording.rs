//! Makes a record: runs a load of several lives on the layer, and makes sure that nothing has escaped it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use postrider::log::db::Family;
use postrider::log::key::Key;
use postrider::log::recovery;
use postrider::model::Seq;
use tempfile::TempDir;

use crate::cuts::{Cut, advance};
use crate::disk::Disk;
use crate::facts::Fact;
use crate::image::Image;
use crate::layer;
use crate::load::{End, Life, live};
use crate::record::{Line, Record, fact};
use crate::rig::{Clock, options};
use crate::truth::Truth;

/// How lives end, one after the other.
const ENDS: [End; 4] = [End::Killed, End::Stopped, End::Killed, End::Killed];
const LIFE: Duration = Duration::from_millis(1200);
/// A life after a power cut, which is there for its beginning.
const LIFE_AFTER: Duration = Duration::from_millis(150);
/// Between two lives, by the load's clock.
const PAUSE_MS: u64 = 20 * 60_000;

pub struct Recording {
    /// The record's place.
    _dir: TempDir,
    file: PathBuf,
    record: Record,
    /// What the disk held before, all of it durable, and what was known.
    base: Disk<'static>,
    truth: Truth,
    syncs: Vec<usize>,
    openings: Vec<Range<usize>>,
    len: usize,
}

impl Recording {
    /// A load from an empty directory on; or the record that the environment names.
    pub fn of_log(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = places(&dir);
        let base = Disk::of(&root);
        if let Ok(file) = std::env::var("POWER_RECORD") {
            return Self::read(dir, file.into(), base, Truth::new());
        }
        let mut clock = Truth::new().now;
        let library = layer::build(dir.path());
        for (number, end) in (0u64..).zip(ENDS) {
            let store = root.join("data/store");
            let life = Life { store, record: file.clone(), seed, number, clock, lasts: LIFE, end };
            run(&life, &library, &root);
            clock = last_clock(&Record::read(&file).lines()).expect("it has a clock") + PAUSE_MS;
        }
        Self::read(dir, file, base, Truth::new()).checked(&root).covering(&root).without(&root)
    }

    /// Another life on what a cut of this one has left.
    pub fn after(&self, cut: Cut, number: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = places(&dir);
        let truth = self.leave(cut, &root);
        let base = Disk::of(&root);
        let truth = truth.after_a_cut();
        let (store, clock) = (root.join("data/store"), truth.now);
        let (lasts, end) = (LIFE_AFTER, End::Killed);
        let life = Life { store, record: file.clone(), seed: cut.seed, number, clock, lasts, end };
        run(&life, &layer::build(dir.path()), &root);
        Self::read(dir, file, base, truth).checked(&root).without(&root)
    }

    /// Makes what a cut leaves stand in `root`, and gives what was known then.
    pub fn leave(&self, cut: Cut, root: &Path) -> Truth {
        let lines = self.lines();
        let (mut disk, mut truth) = (self.base(), self.truth.clone());
        advance(&mut disk, &mut truth, &lines, cut.at);
        cut.image(&disk).write(root);
        truth
    }

    fn read(dir: TempDir, file: PathBuf, base: Disk<'static>, truth: Truth) -> Self {
        let record = Record::read(&file);
        let (mut syncs, mut openings, mut begun) = (Vec::new(), Vec::new(), None);
        let lines = record.lines();
        for (at, line) in lines.iter().enumerate() {
            match line {
                Line::SyncEnded { .. } => syncs.push(at),
                Line::Fact { json } => match fact(json) {
                    Fact::Life => begun = Some(at),
                    Fact::Sending { .. } | Fact::Changing { .. } => {
                        openings.extend(begun.take().map(|begun| begun..at));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        let len = lines.len();
        drop(lines);
        Self { _dir: dir, file, record, base, truth, syncs, openings, len }
    }

    /// What the layer did not see is not in the record, and nothing that follows would mean anything.
    fn checked(self, root: &Path) -> Self {
        let mut disk = self.base();
        self.lines().iter().for_each(|line| disk.take(line));
        let (said, found) = (Image::whole(&disk), Image::read(root));
        assert_eq!(said.files.keys().collect::<Vec<_>>(), found.files.keys().collect::<Vec<_>>());
        for (path, bytes) in &found.files {
            assert!(said.files[path] == *bytes, "{path} is not as the record says");
        }
        self
    }

    /// That the load has done what it is there for: else nothing is said of it.
    fn covering(self, root: &Path) -> Self {
        let lines = self.lines();
        let count = |fits: &dyn Fn(&Line<'_>) -> bool| lines.iter().filter(|line| fits(line)).count();
        let is = |path: &str, end: &str| path.rsplit_once('.').is_some_and(|(_, it)| it == end);
        let made = count(&|line| matches!(line, Line::Created { path, .. } if is(path, "sst")));
        let gone = count(&|line| matches!(line, Line::Removed { path } if is(path, "sst")));
        let recycled = count(&|line| matches!(line, Line::Renamed { to, .. } if is(to, "log")));
        let linked = count(&|line| matches!(line, Line::Linked { .. }));
        let done = [made, gone, recycled, linked];
        assert!(done.iter().all(|count| *count >= 5), "tables made and gone, logs recycled, links: {done:?}");
        let opened = recovery::open(&options(&root.join("data/store"), &Clock::at(self.truth.now))).unwrap();
        let sealed = opened.store.with(|db| {
            let mut cursor = db.cursor_between(Family::Ids, &[], &[u8::MAX])?;
            cursor.first();
            let mut sealed = 0;
            while let Some((key, _)) = cursor.row()? {
                sealed += usize::from(matches!(Key::parse(key), Ok(Key::Sealed { .. })));
                cursor.next();
            }
            Ok(sealed)
        });
        assert!(sealed.unwrap() > 0, "no partition was sealed");
        assert!(opened.store.floor() > Seq(1), "retention dropped nothing");
        drop(lines);
        self
    }

    fn without(self, root: &Path) -> Self {
        // Nobody needs the directory any more.
        std::fs::remove_dir_all(root).unwrap();
        self
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

    /// Lines of each life before it is open.
    pub fn openings(&self) -> &[Range<usize>] {
        &self.openings
    }

    pub fn base<'r>(&self) -> Disk<'r> {
        self.base.clone()
    }

    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Keeps the record beyond the test.
    pub fn keep(&self) -> PathBuf {
        let (process, len) = (std::process::id(), self.len);
        let kept = std::env::temp_dir().join(format!("postrider-power-{process}-{len}.record"));
        std::fs::copy(&self.file, &kept).unwrap();
        kept
    }
}

/// The directory that is recorded, and the record.
fn places(dir: &TempDir) -> (PathBuf, PathBuf) {
    let top = dir.path().canonicalize().unwrap();
    std::fs::create_dir(top.join("disk")).unwrap();
    (top.join("disk"), top.join("record"))
}

/// What is in it.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut bytes, mut names, mut accepted, mut flushed, mut lives) = (0, 0, 0, 0, 0);
        for line in self.lines() {
            match line {
                Line::Written { bytes: written, .. } => bytes += written.len(),
                Line::Created { .. } | Line::Renamed { .. } | Line::Removed { .. } => names += 1,
                Line::Fact { json } => match fact(json) {
                    Fact::Life => lives += 1,
                    Fact::Accepted { seqs, .. } => accepted += seqs.len(),
                    Fact::Flushed { .. } => flushed += 1,
                    _ => {}
                },
                _ => {}
            }
        }
        let (lines, syncs, mib) = (self.len, self.syncs.len(), bytes >> 20);
        write!(
            f,
            "{lives} lives, {lines} lines: {accepted} events accepted, {flushed} settlements, {mib} MiB written, \
             {names} names changed, {syncs} syncs"
        )
    }
}

fn last_clock(lines: &[Line<'_>]) -> Option<u64> {
    let clock = |line: &Line<'_>| match line {
        Line::Fact { json } => match fact(json) {
            Fact::Clock { now } => Some(now),
            _ => None,
        },
        _ => None,
    };
    lines.iter().rev().find_map(clock)
}

const VARIABLE: &str = "POWER_LIFE";

fn run(life: &Life, library: &Path, root: &Path) {
    let told = serde_json::to_string(life).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recording::a_life", "--ignored", "--nocapture"])
        .env(VARIABLE, told)
        .envs(layer::environment(library, root, &life.record))
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
