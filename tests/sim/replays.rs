//! What the oracle knows of deliveries that were asked for again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use postrider::model::{Seq, Subscription, SubscriptionKey, UnixMillis};

use crate::disk::Disk;

type Pair = (SubscriptionKey, Seq);

#[derive(Default)]
pub struct Replays {
    /// How often each was asked for.
    asked: HashMap<Pair, usize>,
    /// Of those, how many may still make one be sent that was delivered.
    left: HashMap<Pair, usize>,
    /// Sent again and not delivered since.
    open: HashSet<Pair>,
    /// When it was asked for that was answered with yes, the last time.
    promised: BTreeMap<Pair, UnixMillis>,
    pub kept: u64,
}

impl Replays {
    pub fn asked(&mut self, pair: Pair) {
        *self.asked.entry(pair).or_default() += 1;
        *self.left.entry(pair).or_default() += 1;
    }

    pub fn times(&self, pair: &Pair) -> usize {
        self.asked.get(pair).copied().unwrap_or_default()
    }

    /// A delivered one is sent again. Whether somebody asked for that.
    pub fn sent(&mut self, pair: &Pair) -> bool {
        if self.open.contains(pair) {
            return true;
        }
        let Some(left) = self.left.get_mut(pair).filter(|left| **left > 0) else { return false };
        *left -= 1;
        self.open.insert(*pair)
    }

    pub fn delivered(&mut self, pair: &Pair) {
        self.open.remove(pair);
    }

    pub fn promised(&mut self, pair: Pair, asked_at: UnixMillis) {
        self.promised.insert(pair, asked_at);
    }

    /// What was sent and not written down is sent again.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.asked.keys()
    }

    /// Everything that was promised was attempted since.
    pub fn finish(&mut self, seed: u64, subs: &BTreeMap<SubscriptionKey, Arc<Subscription>>, disk: &Disk) {
        for (pair, asked_at) in self.promised.iter().filter(|(pair, _)| subs.contains_key(&pair.0)) {
            let attempts = disk.attempts.get(pair).map_or(&[][..], Vec::as_slice);
            let kept = attempts.iter().any(|attempt| attempt.started_at >= *asked_at);
            assert!(kept, "seed {seed}: {pair:?} was asked for at {asked_at:?} and never sent: {attempts:?}");
            self.kept += 1;
        }
    }
}
