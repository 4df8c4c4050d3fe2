//! Moments at which the power goes: around syncs, where a disk's promises change, and anywhere else.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::disk::{Disk, Lie};
use crate::image::{Image, MANNERS, Manner};
use crate::oracle::{Bodies, Violation, check};
use crate::record::{Line, fact};
use crate::recording::Recording;
use crate::rng::Rng;
use crate::truth::Truth;

/// Threads that try cuts.
const THREADS: usize = 2;

#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub number: u64,
    /// Lines that are before it.
    pub at: usize,
    pub manner: Manner,
    pub seed: u64,
}

/// Lines after a sync's end that count as around it.
const AROUND: usize = 4;

impl Cut {
    /// The cut of this number: its moment and its manner follow from it and the seed.
    pub fn choose(recording: &Recording, seed: u64, number: u64) -> Self {
        let mut rng = Rng::of(seed, number);
        let (syncs, openings) = (recording.syncs(), recording.openings());
        let at = match rng.below(5) {
            0 | 1 => syncs[rng.below(syncs.len())] + rng.below(AROUND),
            2 => {
                let opening = &openings[rng.below(openings.len())];
                opening.start + rng.below(opening.len() + 1)
            }
            _ => rng.below(recording.len() + 1),
        };
        Self { number, at: at.min(recording.len()), manner: MANNERS[number as usize % MANNERS.len()], seed }
    }

    pub fn image(&self, disk: &Disk<'_>) -> Image {
        Image::of(disk, self.manner, &mut Rng::of(!self.seed, self.number))
    }
}

/// Tries them all; gives those that were not well.
pub fn try_all(recording: &Recording, cuts: &[Cut], lie: Lie) -> Vec<(Cut, Vec<Violation>)> {
    let lines = recording.lines();
    let bodies = bodies(recording.truth(), &lines);
    let mut cuts = cuts.to_vec();
    cuts.sort_by_key(|cut| cut.at);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let own: Vec<Cut> = cuts.iter().copied().skip(thread).step_by(THREADS).collect();
            let (lines, bodies, failed) = (&lines, &bodies, &failed);
            scope.spawn(move || {
                let (mut disk, mut truth) = (recording.base().lying(lie), recording.truth().clone());
                for cut in own {
                    advance(&mut disk, &mut truth, lines, cut.at);
                    let wrong = try_one(&disk, &truth, bodies, cut);
                    if !wrong.is_empty() {
                        failed.lock().unwrap().push((cut, wrong));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// To this line.
pub fn advance<'r>(disk: &mut Disk<'r>, truth: &mut Truth, lines: &[Line<'r>], to: usize) {
    for line in &lines[disk.now..to] {
        disk.take(line);
        if let Line::Fact { json } = line {
            truth.take(fact(json));
        }
    }
}

fn bodies(truth: &Truth, lines: &[Line<'_>]) -> Bodies {
    let mut bodies: Bodies = truth.numbers().map(|number| (number, crate::events::body(number))).collect();
    for line in lines {
        if let Line::Fact { json } = line
            && let crate::facts::Fact::Sending { first, count } = fact(json)
        {
            bodies.extend((first..first + count).map(|number| (number, crate::events::body(number))));
        }
    }
    bodies
}

fn try_one(disk: &Disk<'_>, truth: &Truth, bodies: &Bodies, cut: Cut) -> Vec<Violation> {
    let top = scratch();
    cut.image(disk).write(top.path());
    check(
        &top.path().join("data/store"),
        truth,
        bodies,
        (cut.number / MANNERS.len() as u64).is_multiple_of(2),
    )
}

/// In memory where there is such a place: nothing here has to last.
pub fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = memory.is_dir().then(|| tempfile::tempdir_in(memory));
    made.and_then(Result::ok).unwrap_or_else(|| tempfile::tempdir().unwrap())
}
