//! The low watermark: up to where everything is settled.
//!
//! A count of unsettled pairs per seq in a ring that slides with the log: adding and settling are O(1)
//! and touch one word, where an ordered map would cost a hundred nanoseconds a delivery. The ring's
//! length is bounded; who would stretch it further is moved under a cursor instead (see `Shard::cover`).

use std::collections::VecDeque;

use crate::model::Seq;

/// Seqs that the ring spans at most: 4 MiB of counts per worker.
pub const SPAN_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Watermark {
    /// The seq of the ring's first count. Everything below is settled.
    base: Seq,
    counts: VecDeque<u32>,
    /// Everything up to here was handed in.
    position: Seq,
}

impl Watermark {
    #[must_use]
    pub fn new(position: Seq) -> Self {
        Self { base: position.next(), counts: VecDeque::new(), position }
    }

    #[must_use]
    pub fn position(&self) -> Seq {
        self.position
    }

    /// Whether `seq` can be added without the ring growing beyond its bound.
    #[must_use]
    pub fn has_room(&self, seq: Seq) -> bool {
        self.counts.is_empty() || seq.0.saturating_sub(self.base.0) < SPAN_MAX as u64
    }

    /// The seq of the oldest unsettled pair.
    #[must_use]
    pub fn oldest(&self) -> Option<Seq> {
        // `settle` slides the ring whenever its front empties, so a front that is there is unsettled.
        if self.counts.is_empty() { None } else { Some(self.base) }
    }

    /// One more pair at `seq` waits. `seq` must not lie below the watermark.
    pub fn add(&mut self, seq: Seq) {
        debug_assert!(seq >= self.base, "{seq:?} is below the watermark {:?}", self.base);
        if self.counts.is_empty() {
            self.base = self.base.max(seq);
        }
        let Ok(at) = usize::try_from(seq.0.saturating_sub(self.base.0)) else { return };
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
    }

    /// One pair at `seq` is settled.
    pub fn settle(&mut self, seq: Seq) {
        let at = usize::try_from(seq.0.wrapping_sub(self.base.0)).unwrap_or(usize::MAX);
        let Some(count) = self.counts.get_mut(at) else {
            debug_assert!(false, "{seq:?} was never added");
            return;
        };
        debug_assert!(*count > 0, "{seq:?} is settled twice");
        *count = count.saturating_sub(1);
        while self.counts.front() == Some(&0) {
            self.counts.pop_front();
            self.base = self.base.next();
        }
    }

    /// Everything up to `seq` was handed in.
    pub fn advance(&mut self, seq: Seq) {
        self.position = self.position.max(seq);
        if self.counts.is_empty() {
            self.base = self.base.max(self.position.next());
        }
    }

    /// All at or below this is settled.
    #[must_use]
    pub fn get(&self) -> Seq {
        if self.counts.is_empty() { self.position } else { self.base.prev().min(self.position) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slides_over_gaps() {
        let mut mark = Watermark::new(Seq(10));
        mark.add(Seq(12));
        mark.add(Seq(12));
        mark.add(Seq(15));
        mark.advance(Seq(20));
        assert_eq!(mark.get(), Seq(11));
        mark.settle(Seq(15));
        mark.settle(Seq(12));
        assert_eq!(mark.get(), Seq(11));
        mark.settle(Seq(12));
        assert_eq!(mark.get(), Seq(20));
        assert!(mark.has_room(Seq(20 + SPAN_MAX as u64)));
        mark.add(Seq(21));
        assert!(!mark.has_room(Seq(21 + SPAN_MAX as u64)));
    }

    proptest! {
        /// The ring agrees with an ordered map whatever the order of settling.
        #[test]
        fn agrees_with_a_map(ops in prop::collection::vec((0u8..3, 0u64..40, any::<prop::sample::Index>()), 1..200)) {
            let mut mark = Watermark::new(Seq(0));
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            let mut top = 0u64;
            for (op, step, pick) in ops {
                match op {
                    0 => {
                        top += step + 1;
                        mark.add(Seq(top));
                        mark.advance(Seq(top));
                        *model.entry(top).or_default() += 1;
                    }
                    1 if !model.is_empty() => {
                        let keys: Vec<u64> = model.keys().copied().collect();
                        let seq = *pick.get(&keys);
                        mark.settle(Seq(seq));
                        let left = model.get_mut(&seq).expect("from its own keys");
                        *left -= 1;
                        if *left == 0 { model.remove(&seq); }
                    }
                    _ => { top += step; mark.advance(Seq(top)); }
                }
                let want = model.keys().next().map_or(top, |first| first - 1);
                prop_assert_eq!(mark.get(), Seq(want));
                prop_assert_eq!(mark.oldest(), model.keys().next().map(|seq| Seq(*seq)));
            }
        }
    }
}
