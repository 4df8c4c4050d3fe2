//! Success, failure and delay over time: for each subscription one [`Rollup`] for five minutes.
//!
//! The writer counts each attempt that it has written, in memory, which is one look-up in a map; what has
//! changed becomes rows once a minute and at the end. A kill loses the counts of a minute at most; the
//! attempts themselves are rows of their own and lose nothing. An entry is written to the same row until
//! its span is over and it is forgotten here; if it comes back (a settlement that the store kept waiting),
//! it gets a row beside, and readers add them up.
//!
//! At [`ENTRIES_MAX`] what is written is forgotten early, which costs rows and loses nothing; what comes
//! before there is room is left out of the charts and counted. Deliberately absent: a row for an attempt, and spans of other lengths, which are sums.

use std::collections::{BTreeMap, VecDeque};

use foldhash::HashMap;

use crate::model::{Attempt, Rollup, SubscriptionKey, UnixMillis, ended_at};

/// Milliseconds of a span.
pub const SPAN_MS: u64 = 5 * 60 * 1000;
/// Entries in memory at most, some 24 MiB.
pub const ENTRIES_MAX: usize = 128 * 1024;

/// Five minutes, by their number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u32);

impl Span {
    #[must_use]
    pub fn of(at: UnixMillis) -> Self {
        Self(u32::try_from(at.0 / SPAN_MS).unwrap_or(u32::MAX))
    }

    #[must_use]
    pub fn begins_at(self) -> UnixMillis {
        UnixMillis(u64::from(self.0).saturating_mul(SPAN_MS))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    rollup: Rollup,
    /// Of its row, once it has one.
    serial: Option<u64>,
    changed: bool,
}

type Place = (SubscriptionKey, Span);

/// A row to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupRow {
    pub subscription: SubscriptionKey,
    pub span: Span,
    pub serial: u64,
    pub rollup: Rollup,
}

/// What is counted and not over, or not written yet.
#[derive(Debug, Default)]
pub struct Rollups {
    entries: HashMap<Place, Entry>,
    /// Of the entries, those that are being written by and by.
    queue: VecDeque<Place>,
    /// Everything since the start.
    total: Rollup,
    left_out: u64,
}

impl Rollups {
    pub fn note(&mut self, subscription: SubscriptionKey, attempt: &Attempt, accepted_at: UnixMillis) {
        self.total.note(attempt, accepted_at);
        let place = (subscription, Span::of(ended_at(attempt)));
        if self.is_full() && !self.entries.contains_key(&place) {
            self.left_out += 1;
            return;
        }
        let entry = self.entries.entry(place).or_default();
        entry.rollup.note(attempt, accepted_at);
        entry.changed = true;
    }

    /// Everything since the start of the process, of all subscriptions.
    #[must_use]
    pub fn total(&self) -> Rollup {
        self.total
    }

    /// Attempts that no chart shows, because there were too many entries.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether [`Rollups::begin`] should not wait for its minute.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// Queues what has changed, and forgets what is over and written.
    pub fn begin(&mut self, now: UnixMillis) {
        if self.queue.is_empty() {
            let (full, current) = (self.is_full(), Span::of(now));
            self.entries.retain(|(_, span), entry| entry.changed || (*span >= current && !full));
            let changed = self.entries.iter().filter(|(_, entry)| entry.changed);
            self.queue.extend(changed.map(|(place, _)| *place));
        }
    }

    /// The next rows to write, at most `most`; a new row gets its serial from `serial`. They count as
    /// written: where that fails, [`Rollups::give_back`].
    pub fn take(&mut self, most: usize, mut serial: impl FnMut() -> u64) -> Vec<RollupRow> {
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(place) = self.queue.pop_front()
        {
            // Its subscription may be gone.
            let Some(entry) = self.entries.get_mut(&place) else { continue };
            entry.changed = false;
            let serial = *entry.serial.get_or_insert_with(&mut serial);
            rows.push(RollupRow { subscription: place.0, span: place.1, serial, rollup: entry.rollup });
        }
        rows
    }

    pub fn give_back(&mut self, rows: &[RollupRow]) {
        for row in rows {
            if let Some(entry) = self.entries.get_mut(&(row.subscription, row.span)) {
                entry.changed = true;
            }
        }
    }

    pub fn forget(&mut self, subscription: SubscriptionKey) {
        self.entries.retain(|(of, _), _| *of != subscription);
    }

    /// What is in memory of a subscription, each with the serial of the row that it will replace.
    #[must_use]
    pub fn of(
        &self,
        subscription: SubscriptionKey,
        (from, until): (Span, Span),
    ) -> BTreeMap<Span, (Rollup, Option<u64>)> {
        let state = |entry: &Entry| (entry.rollup, entry.serial);
        // Whichever is less to look at.
        if usize::try_from(until.0.saturating_sub(from.0)).is_ok_and(|spans| spans < self.entries.len()) {
            let found = |span| Some((span, state(self.entries.get(&(subscription, span))?)));
            return (from.0..until.0).map(Span).filter_map(found).collect();
        }
        let wanted = |of: SubscriptionKey, span| of == subscription && from <= span && span < until;
        let found = self.entries.iter().filter(|((of, span), _)| wanted(*of, *span));
        found.map(|((_, span), entry)| (*span, state(entry))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Disposition, Seq, Trigger};

    const SUB: SubscriptionKey = SubscriptionKey(7);

    fn note(rollups: &mut Rollups, sub: SubscriptionKey, at: UnixMillis) {
        let attempt = Attempt {
            seq: Seq(1),
            number: 1,
            trigger: Trigger::Event,
            started_at: at,
            duration_ms: 0,
            status: Some(200),
            error: None,
            response: None,
            disposition: Disposition::Delivered,
            body_size: 0,
        };
        rollups.note(sub, &attempt, at);
    }

    fn take(rollups: &mut Rollups, next: &mut u64) -> Vec<(u64, u64)> {
        let rows = rollups.take(100, || {
            *next += 1;
            *next
        });
        rows.iter().map(|row| (row.serial, row.rollup.delivered)).collect()
    }

    #[test]
    fn a_span_has_one_row_that_is_written_again() {
        let (mut rollups, mut serial, start) = (Rollups::default(), 0, UnixMillis(SPAN_MS * 10));
        note(&mut rollups, SUB, start);
        rollups.begin(start);
        assert_eq!(take(&mut rollups, &mut serial), [(1, 1)]);
        rollups.begin(start);
        assert_eq!(take(&mut rollups, &mut serial), [], "nothing has changed");
        note(&mut rollups, SUB, start);
        rollups.begin(start);
        assert_eq!(take(&mut rollups, &mut serial), [(1, 2)], "the same row");
        // Over and written: forgotten. What comes late has a row beside.
        let later = UnixMillis(start.0 + SPAN_MS);
        rollups.begin(later);
        assert!(rollups.of(SUB, (Span(0), Span(100))).is_empty());
        note(&mut rollups, SUB, start);
        rollups.begin(later);
        assert_eq!(take(&mut rollups, &mut serial), [(2, 1)]);
        assert_eq!(rollups.total().delivered, 3);
    }

    #[test]
    fn what_was_not_written_is_written_later() {
        let (mut rollups, mut serial, start) = (Rollups::default(), 0, UnixMillis(SPAN_MS));
        note(&mut rollups, SUB, start);
        rollups.begin(start);
        let rows = rollups.take(100, || 5);
        rollups.give_back(&rows);
        // Although its span is over.
        rollups.begin(UnixMillis(SPAN_MS * 9));
        assert_eq!(take(&mut rollups, &mut serial), [(5, 1)]);
    }

    /// `cargo test --release --lib rollups -- --ignored --nocapture`
    #[cfg(feature = "engine")]
    #[test]
    #[ignore = "a measurement"]
    fn cost_per_attempt() {
        const ATTEMPTS: u64 = 2_000_000;
        let mut rollups = Rollups::default();
        let attempt = Attempt {
            seq: Seq(1),
            number: 1,
            trigger: Trigger::Event,
            started_at: UnixMillis(SPAN_MS),
            duration_ms: 9,
            status: Some(200),
            error: None,
            response: None,
            disposition: Disposition::Delivered,
            body_size: 0,
        };
        let started = crate::rt::clock::mono();
        for n in 0..ATTEMPTS {
            // Over 100 000 subscriptions, in no order.
            let sub = SubscriptionKey(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000);
            rollups.note(sub, &attempt, UnixMillis(SPAN_MS));
        }
        let took = crate::rt::clock::mono().since(started);
        println!("{} ns for an attempt", took.as_nanos() / u128::from(ATTEMPTS));
    }

    #[test]
    fn at_the_bound_new_ones_are_left_out_until_there_is_room() {
        let (mut rollups, mut serial, start) = (Rollups::default(), 0, UnixMillis(SPAN_MS));
        for sub in 0..=ENTRIES_MAX as u64 {
            note(&mut rollups, SubscriptionKey(sub), start);
        }
        assert!(rollups.is_full());
        assert_eq!(rollups.left_out(), 1);
        assert_eq!(rollups.total().delivered, ENTRIES_MAX as u64 + 1);
        rollups.begin(start);
        while !take(&mut rollups, &mut serial).is_empty() {}
        rollups.begin(start);
        assert!(!rollups.is_full());
        note(&mut rollups, SUB, start);
        assert_eq!(rollups.left_out(), 1);
    }
}
