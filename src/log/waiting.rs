//! Retries that wait on disk, counted by subscription: for metrics and for people.
//!
//! Most retries are not in any worker's memory, so the one who writes their rows counts them: the writer,
//! when a write has been made, and [`super::census`] once at a start for those that were there before.
//! Counts are exact. How old the oldest one is, is exact up to [`STEPS_MAX`] rows of a subscription;
//! beyond, rows share steps, and the age may be that of a row of the same step that is gone already: it
//! is never told too young.
//!
//! Deliberately absent: a set of all rows, whose size nobody bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::model::{Seq, SubscriptionKey, UnixMillis};
use crate::settle::{RetryKey, RetryRow};

/// Steps of one subscription at most.
pub const STEPS_MAX: usize = 8;
/// Locks, so that who reads all holds the writer up for a part only.
const PARTS: usize = 16;

/// Rows next to each other by seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    first: Seq,
    last: Seq,
    /// When the log took the event at `first`.
    oldest_at: UnixMillis,
    rows: u64,
}

/// The waiting rows of one subscription, in steps that do not overlap, by seq.
#[derive(Clone, Debug, Default)]
struct Ladder {
    steps: Vec<Step>,
    rows: u64,
}

impl Ladder {
    fn put(&mut self, seq: Seq, accepted_at: UnixMillis) {
        self.rows += 1;
        let above = self.steps.partition_point(|step| step.first <= seq);
        let below = above.checked_sub(1).and_then(|at| self.steps.get_mut(at));
        if let Some(step) = below.filter(|step| seq <= step.last) {
            step.rows += 1;
            return;
        }
        self.steps.insert(above, Step { first: seq, last: seq, oldest_at: accepted_at, rows: 1 });
        if self.steps.len() > STEPS_MAX {
            self.join();
        }
    }

    /// Makes one of the two neighbours that are nearest in time, the oldest step left out: it says how
    /// old the oldest row is.
    fn join(&mut self) {
        let pairs = self.steps.iter().zip(self.steps.iter().skip(1)).enumerate().skip(1);
        let nearest = pairs.min_by_key(|(_, (one, next))| next.oldest_at.since(one.oldest_at));
        let Some(at) = nearest.map(|(at, _)| at) else { return };
        let next = self.steps.remove(at + 1);
        if let Some(step) = self.steps.get_mut(at) {
            step.last = next.last;
            step.rows += next.rows;
        }
    }

    /// `false` where no such row was counted.
    fn remove(&mut self, seq: Seq) -> bool {
        let above = self.steps.partition_point(|step| step.first <= seq);
        let Some(at) = above.checked_sub(1) else { return false };
        let Some(step) = self.steps.get_mut(at).filter(|step| seq <= step.last) else { return false };
        step.rows -= 1;
        self.rows -= 1;
        if step.rows == 0 {
            self.steps.remove(at);
        }
        true
    }

    fn oldest_at(&self) -> Option<UnixMillis> {
        self.steps.first().map(|step| step.oldest_at)
    }
}

type Part = HashMap<SubscriptionKey, Ladder>;

/// The counts of all subscriptions. Written by the writer alone, read by anybody.
#[derive(Debug, Default)]
pub struct Waiting {
    parts: [Mutex<Part>; PARTS],
    rows: AtomicU64,
    complete: AtomicBool,
}

impl Waiting {
    fn part(&self, subscription: SubscriptionKey) -> MutexGuard<'_, Part> {
        let at = usize::try_from(subscription.0 % PARTS as u64).unwrap_or_default();
        // The index lies below the length; the first part stands in for what cannot be.
        let [first, ..] = &self.parts;
        self.parts.get(at).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, row: &RetryRow) {
        let key = row.key.subscription;
        self.part(key).entry(key).or_default().put(row.key.seq, row.accepted_at);
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, key: &RetryKey) {
        let mut part = self.part(key.subscription);
        let Some(ladder) = part.get_mut(&key.subscription) else { return };
        if ladder.remove(key.seq) {
            self.rows.fetch_sub(1, Ordering::Relaxed);
        }
        if ladder.rows == 0 {
            part.remove(&key.subscription);
        }
    }

    /// The subscription is gone: its rows wait for nothing any more.
    pub(super) fn forget(&self, subscription: SubscriptionKey) {
        if let Some(ladder) = self.part(subscription).remove(&subscription) {
            self.rows.fetch_sub(ladder.rows, Ordering::Relaxed);
        }
    }

    /// Everything is counted again.
    pub(super) fn clear(&self) {
        self.complete.store(false, Ordering::Relaxed);
        for part in &self.parts {
            part.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.rows.store(0, Ordering::Relaxed);
    }

    /// What was there before this run is counted too.
    pub(super) fn set_complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// Waiting retries of all subscriptions; `None` until they are counted.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        self.complete.load(Ordering::Relaxed).then(|| self.rows.load(Ordering::Relaxed))
    }

    /// How many retries of a subscription wait, and when the log took the oldest of their events.
    #[must_use]
    pub fn of(&self, subscription: SubscriptionKey) -> (u64, Option<UnixMillis>) {
        let part = self.part(subscription);
        part.get(&subscription).map_or((0, None), |ladder| (ladder.rows, ladder.oldest_at()))
    }

    /// The subscriptions whose oldest retry is the oldest, oldest first, at most `most`.
    #[must_use]
    pub fn oldest(&self, most: usize) -> Vec<(SubscriptionKey, UnixMillis)> {
        let mut found = Vec::new();
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(part.iter().filter_map(|(key, ladder)| Some((*key, ladder.oldest_at()?))));
            drop(part);
            if found.len() > 4 * most {
                keep_oldest(&mut found, most);
            }
        }
        keep_oldest(&mut found, most);
        found.sort_unstable_by_key(|(key, at)| (*at, *key));
        found
    }
}

fn keep_oldest(found: &mut Vec<(SubscriptionKey, UnixMillis)>, most: usize) {
    if found.len() > most {
        found.select_nth_unstable_by_key(most, |(key, at)| (*at, *key));
        found.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Trigger;

    fn at(seq: u64) -> UnixMillis {
        UnixMillis(seq * 10)
    }

    proptest! {
        #[test]
        fn counts_exactly_and_never_tells_too_young(
            steps in proptest::collection::vec((0u64..60, any::<bool>()), 1..300)
        ) {
            let mut ladder = Ladder::default();
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            for (seq, put) in steps {
                if put {
                    ladder.put(Seq(seq), at(seq));
                    *model.entry(seq).or_default() += 1;
                } else if let Some(rows) = model.get_mut(&seq) {
                    prop_assert!(ladder.remove(Seq(seq)));
                    *rows -= 1;
                    if *rows == 0 {
                        model.remove(&seq);
                    }
                }
                prop_assert_eq!(ladder.rows, model.values().sum::<u64>());
                prop_assert!(ladder.steps.len() <= STEPS_MAX);
                let want = model.keys().next().map(|seq| at(*seq));
                prop_assert_eq!(ladder.oldest_at().is_some(), want.is_some());
                prop_assert!(ladder.oldest_at() <= want);
            }
        }
    }

    #[test]
    fn exact_while_there_are_few() {
        let mut ladder = Ladder::default();
        (1..=8).for_each(|seq| ladder.put(Seq(seq), at(seq)));
        for seq in 1..8 {
            assert_eq!(ladder.oldest_at(), Some(at(seq)));
            assert!(ladder.remove(Seq(seq)));
            assert!(!ladder.remove(Seq(seq)), "{seq} is gone");
        }
    }

    #[test]
    fn all_together() {
        let waiting = Waiting::default();
        let row = |subscription, seq| RetryRow {
            key: RetryKey { due: UnixMillis(1), subscription: SubscriptionKey(subscription), seq: Seq(seq) },
            attempts: 1.into(),
            accepted_at: at(seq),
            trigger: Trigger::Retry,
        };
        (1..=1000).for_each(|n| waiting.put(&row(n, 5000 - n)));
        waiting.put(&row(7, 1));
        assert_eq!(waiting.rows(), None, "not everything is counted");
        waiting.set_complete();
        assert_eq!(waiting.rows(), Some(1001));
        assert_eq!(waiting.of(SubscriptionKey(7)), (2, Some(at(1))));
        let oldest = [(SubscriptionKey(7), at(1)), (SubscriptionKey(1000), at(4000))];
        assert_eq!(waiting.oldest(2), oldest);
        waiting.forget(SubscriptionKey(7));
        waiting.remove(&row(8, 4992).key);
        waiting.remove(&row(8, 4992).key);
        assert_eq!((waiting.rows(), waiting.of(SubscriptionKey(8))), (Some(998), (0, None)));
    }
}
