//! What is known at a cut, from the facts before it: what must be there, and what may be.
//!
//! A settlement has no sync of its own, but the log is one: it must be there once a write that was asked
//! for after it was in the store has been answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::facts::{Fact, Pair, Settled};
use crate::rig::{START, WORKERS};

/// A value that is known, and those that it may have become since.
#[derive(Clone, Debug, Default)]
pub struct Known {
    sure: Option<u64>,
    may: Vec<Option<u64>>,
}

impl Known {
    pub fn allows(&self, value: Option<u64>) -> bool {
        self.sure == value || self.may.contains(&value)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Truth {
    pub now: u64,
    /// Numbers of events that were sent, as first and count.
    sent: BTreeMap<u64, u64>,
    /// By number: seq, and no sooner than when it was accepted.
    pub accepted: HashMap<u64, (u64, u64)>,
    /// Attempts that are durable.
    pub attempts: HashSet<(Pair, u16)>,
    pub watermark: u64,
    pub slots: BTreeMap<u64, Known>,
    pub jobs: BTreeMap<u64, Known>,
    watermarks: [u64; WORKERS],
    settling: HashMap<(u64, u64), Settled>,
    /// In the store, by the order in which that was said; the first `durable` of them for good.
    flushed: Vec<(u64, Settled)>,
    durable: usize,
    /// How many were in the store when what is asked for now was asked for: events, slots, jobs.
    asked: [HashMap<u64, usize>; 3],
}

impl Truth {
    pub fn new() -> Self {
        Self {
            now: START,
            sent: BTreeMap::new(),
            accepted: HashMap::new(),
            attempts: HashSet::new(),
            watermark: 0,
            slots: BTreeMap::new(),
            jobs: BTreeMap::new(),
            watermarks: [0; WORKERS],
            settling: HashMap::new(),
            flushed: Vec::new(),
            durable: 0,
            asked: Default::default(),
        }
    }

    /// What is known after the power went: settlements that were not durable may be there or not, and so may
    /// what was asked for and not answered.
    pub fn after_a_cut(mut self) -> Self {
        self.flushed.truncate(self.durable);
        self.asked = Default::default();
        self
    }

    /// Numbers of events that were sent.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.sent.iter().flat_map(|(first, count)| *first..first + count)
    }

    pub fn was_sent(&self, number: u64) -> bool {
        self.sent.range(..=number).next_back().is_some_and(|(first, count)| number < first + count)
    }

    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Life => {
                self.settling.clear();
                self.watermarks = [self.watermark; WORKERS];
            }
            Fact::Clock { now } => self.now = now,
            Fact::Sending { first, count } => {
                self.sent.insert(first, count);
                self.ask(0, first);
            }
            Fact::Accepted { first, seqs, at } => {
                self.accepted.extend((first..).zip(seqs).map(|(number, seq)| (number, (seq, at))));
                self.answered(0, first);
            }
            Fact::Settling { worker, serial, done } => {
                self.settling.insert((worker, serial), done);
            }
            Fact::Flushed { worker, serial, synced } => {
                let done = self.settling.remove(&(worker, serial)).expect("was settling");
                self.flushed.push((worker, done));
                if synced {
                    self.endure(self.flushed.len());
                }
            }
            Fact::Changing { slot, to } => {
                self.slots.entry(slot).or_default().may.push(to);
                self.ask(1, slot);
            }
            Fact::Changed { slot, to } => {
                self.slots.insert(slot, Known { sure: to, may: Vec::new() });
                self.answered(1, slot);
            }
            Fact::JobChanging { id, done } => {
                self.jobs.entry(id).or_default().may.push(done);
                self.ask(2, id);
            }
            Fact::JobChanged { id, done } => {
                self.jobs.insert(id, Known { sure: done, may: Vec::new() });
                self.answered(2, id);
            }
        }
    }

    fn ask(&mut self, of: usize, what: u64) {
        self.asked[of].insert(what, self.flushed.len());
    }

    fn answered(&mut self, of: usize, what: u64) {
        let before = self.asked[of].remove(&what).unwrap_or_default();
        self.endure(before);
    }

    fn endure(&mut self, below: usize) {
        while self.durable < below {
            let (worker, done) = &self.flushed[self.durable];
            self.attempts.extend(&done.attempts);
            self.watermarks[*worker as usize] = done.watermark;
            self.watermark = self.watermarks.into_iter().min().unwrap_or_default();
            self.durable += 1;
        }
    }
}
