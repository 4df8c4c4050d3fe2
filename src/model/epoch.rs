//! Epochs: what a subscription wanted from which place in the log on.
//!
//! Who an event is for was decided when the log took it. A record that keeps its history can be asked
//! again at any time: by recovery, by catching up, by a list of deliveries. Both the number of epochs and
//! the bytes of their filters are bounded; at a bound the two oldest become one that wants what either
//! wanted: sooner send an event too much than lose one.

use std::sync::Arc;

use super::event::Seq;
use super::filter::Filter;
use super::mask::EventMask;

/// Epochs kept at most.
pub const EPOCHS_MAX: usize = 64;
/// Bytes of filters at most that the epochs of one subscription keep, equal ones counted once: eight of
/// the largest.
pub const FILTERS_LEN_MAX: usize = 128 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub from: Seq,
    /// Empty while inactive.
    pub mask: EventMask,
    /// What a body must fulfil besides; `None` while inactive.
    pub filter: Option<Arc<Filter>>,
}

impl Epoch {
    /// Wants whatever either of two neighbours wanted.
    fn merged(older: &Self, newer: &Self) -> Self {
        let filter = if older.mask.is_empty() || older.filter == newer.filter {
            newer.filter.clone()
        } else if newer.mask.is_empty() {
            older.filter.clone()
        } else {
            None
        };
        Self { from: older.from, mask: older.mask.union(&newer.mask), filter }
    }
}

/// Adds what is wanted from now on, unless it is what was wanted all along. Epochs wholly below `floor` are
/// forgotten.
pub(super) fn begin(epochs: &mut Vec<Epoch>, next: Epoch, floor: Seq) {
    if epochs.last().is_some_and(|last| last.mask == next.mask && last.filter == next.filter) {
        return;
    }
    epochs.retain(|epoch| epoch.from < next.from);
    epochs.push(next);
    while epochs.get(1).is_some_and(|second| second.from <= floor) {
        epochs.remove(0);
    }
    while epochs.len() > EPOCHS_MAX || filters_len(epochs) > FILTERS_LEN_MAX {
        let [older, newer, ..] = epochs.as_slice() else { return };
        let merged = Epoch::merged(older, newer);
        epochs.splice(..2, [merged]);
    }
}

fn filters_len(epochs: &[Epoch]) -> usize {
    let mut texts: Vec<&str> =
        epochs.iter().filter_map(|epoch| Some(epoch.filter.as_ref()?.as_str())).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.iter().map(|text| text.len()).sum()
}

#[cfg(test)]
#[path = "epoch_tests.rs"]
mod tests;
