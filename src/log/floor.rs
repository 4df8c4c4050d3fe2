//! Below which seq retention has dropped what: shared by the writer, which raises floors, the readers,
//! which never seek below them, and the compaction filters, which let old rows die where RocksDB
//! rewrites files anyway.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::key::{ATTEMPT_BUCKET_BITS, Key};
use super::record::{AccountRow, FloorsRow, decode};
use super::rollups::Span;
use crate::model::Seq;

/// Floors only rise.
#[derive(Debug, Default)]
pub struct Floors {
    events: AtomicU64,
    ids: AtomicU64,
    attempts: AtomicU64,
    dead: AtomicU64,
    /// By span. Follows from the clock, so it is not kept on disk.
    rollups: AtomicU32,
}

impl Floors {
    #[must_use]
    pub fn get(&self) -> FloorsRow {
        let read = |floor: &AtomicU64| Seq(floor.load(Ordering::Acquire));
        FloorsRow {
            events: read(&self.events),
            ids: read(&self.ids),
            attempts: read(&self.attempts),
            dead: read(&self.dead),
        }
    }

    /// The lowest seq that `events` still has.
    #[must_use]
    pub fn events(&self) -> Seq {
        Seq(self.events.load(Ordering::Acquire))
    }

    pub fn raise(&self, to: &FloorsRow) {
        self.events.fetch_max(to.events.0, Ordering::AcqRel);
        self.ids.fetch_max(to.ids.0, Ordering::AcqRel);
        self.attempts.fetch_max(to.attempts.0, Ordering::AcqRel);
        self.dead.fetch_max(to.dead.0, Ordering::AcqRel);
    }

    pub fn set_rollups(&self, floor: Span) {
        self.rollups.store(floor.0, Ordering::Release);
    }

    /// Whether a row is wholly below its floor. What cannot be read stays: it is not this one's to judge.
    #[must_use]
    pub fn is_dead(&self, key: &[u8], value: &[u8]) -> bool {
        let floors = self.get();
        match Key::parse(key) {
            Ok(Key::ByAccount { first, .. }) => {
                let newest = |row: AccountRow| row.last().map_or(0, |(offset, _)| u64::from(*offset));
                first < floors.events
                    && decode::<AccountRow>(value).is_ok_and(|row| first.0 + newest(row) < floors.events.0)
            }
            Ok(
                Key::Partition { partition }
                | Key::Fingerprints { partition, .. }
                | Key::Sealed { partition, .. }
                | Key::Filter { partition },
            ) => partition < floors.ids,
            Ok(Key::Attempts { bucket, .. }) => bucket < floors.attempts.0 >> ATTEMPT_BUCKET_BITS,
            Ok(Key::Rollup { span, .. }) => span < self.rollups.load(Ordering::Acquire),
            Ok(Key::Dead { seq, .. }) => seq < floors.dead,
            Ok(
                Key::Format
                | Key::Watermark { .. }
                | Key::Floors
                | Key::Counters
                | Key::Minute { .. }
                | Key::Job { .. }
                | Key::Events { .. }
                | Key::Retry(_)
                | Key::RetryOf { .. }
                | Key::Lagging { .. }
                | Key::Failing { .. },
            )
            | Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::encode;
    use crate::model::{AccountKey, SubscriptionKey, TypeBit};

    #[test]
    fn only_what_is_wholly_below() {
        let floors = Floors::default();
        let row = encode(&vec![(0u32, TypeBit(1)), (20, TypeBit(1))]).expect("encodes");
        floors.raise(&FloorsRow { events: Seq(100), ids: Seq(50), attempts: Seq(512), dead: Seq(30) });
        floors.raise(&FloorsRow::default());
        let check = |key: Key, want| assert_eq!(floors.is_dead(key.encode().as_ref(), &row), want, "{key:?}");
        let account = AccountKey(1);
        check(Key::ByAccount { account, first: Seq(79) }, true);
        check(Key::ByAccount { account, first: Seq(80) }, false);
        check(Key::ByAccount { account, first: Seq(200) }, false);
        check(Key::Sealed { partition: Seq(49), lowest: 900 }, true);
        check(Key::Sealed { partition: Seq(50), lowest: 0 }, false);
        let subscription = SubscriptionKey(1);
        check(Key::Attempts { subscription, bucket: 1, serial: 9 }, true);
        check(Key::Attempts { subscription, bucket: 2, serial: 9 }, false);
        floors.set_rollups(Span(9));
        check(Key::Rollup { subscription, span: 8, serial: 1 }, true);
        check(Key::Rollup { subscription, span: 9, serial: 1 }, false);
        check(Key::Dead { subscription, seq: Seq(29) }, true);
        check(Key::Dead { subscription, seq: Seq(30) }, false);
        check(Key::Events { first: Seq(1) }, false);
        let key = Key::ByAccount { account, first: Seq(1) }.encode();
        assert!(!floors.is_dead(key.as_ref(), b"damaged"), "damage stays to be seen");
    }
}
