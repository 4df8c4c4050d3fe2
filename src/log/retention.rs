//! Dropping what is old: floors from the time line, whole files below them, and filters that let the rest
//! die when RocksDB rewrites it anyway. No row is deleted one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::db::{Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::options::Retention;
use super::record::{FloorsRow, SealedAt, encode};
use super::rows::row_start;
use super::timeline::Timeline;
use crate::model::{Seq, UnixMillis};

/// The floors that hold at `now`; never below `present`.
pub(super) fn floors(
    timeline: &Timeline,
    partitions: &BTreeMap<Seq, Option<SealedAt>>,
    retention: &Retention,
    dedupe_window: Duration,
    now: UnixMillis,
    present: FloorsRow,
) -> FloorsRow {
    let events = timeline.floor(now - retention.events).max(present.events);
    // What was delivered must be known for as long as the event could be sent.
    let attempts = timeline.floor(now - retention.attempts).min(events);
    FloorsRow {
        events,
        ids: ids_floor(partitions, dedupe_window, now, events).max(present.ids),
        attempts: attempts.max(present.attempts),
        dead: timeline.floor(now - retention.dead_letters).max(present.dead),
    }
}

/// The first partition that still counts: for deduplication, or for finding an event by its id.
fn ids_floor(
    partitions: &BTreeMap<Seq, Option<SealedAt>>,
    window: Duration,
    now: UnixMillis,
    events: Seq,
) -> Seq {
    let mut after = partitions.keys().skip(1);
    let mut floor = Seq(0);
    for sealed in partitions.values() {
        // The last one is never dropped: it ends nowhere yet.
        let Some(end) = after.next() else { break };
        let old = sealed.is_some_and(|sealed| now.since(sealed.newest_at) > window);
        if !old || *end > events {
            break;
        }
        floor = *end;
    }
    floor
}

/// Drops the files that lie wholly below `floors`, which are durable already.
pub(super) fn drop_files(db: &Db, floors: FloorsRow) -> Result<(), StoreError> {
    // The row that holds the floor begins at or below it and stays.
    let keep = row_start(db, floors.events)?;
    if keep.0 > 1 {
        let events = |first| Key::Events { first };
        db.drop_files(Family::Events, &KeyRange::between(&events(Seq(0)), &events(keep.prev())))?;
    }
    if floors.ids.0 > 1 {
        let last = floors.ids.prev();
        let ranges = [
            (Key::Partition { partition: Seq(0) }, Key::Partition { partition: last }),
            (
                Key::Fingerprints { partition: Seq(0), first: Seq(0) },
                Key::Fingerprints { partition: last, first: Seq(u64::MAX) },
            ),
            (Key::Sealed { partition: Seq(0), lowest: 0 }, Key::Sealed { partition: last, lowest: u64::MAX }),
            (Key::Filter { partition: Seq(0) }, Key::Filter { partition: last }),
        ];
        for (from, to) in ranges {
            db.drop_files(Family::Ids, &KeyRange::between(&from, &to))?;
        }
    }
    Ok(())
}

/// Makes floors durable before anything is dropped: a floor that were lost with the power would promise
/// events that are gone.
pub(super) fn put_floors(db: &Db, floors: FloorsRow, minutes_gone: &[u32]) -> Result<(), StoreError> {
    let mut batch = db.batch()?;
    batch.put(Family::Meta, Key::Floors.encode().as_ref(), &encode(&floors)?);
    for minute in minutes_gone {
        batch.delete(Family::Meta, Key::Minute { minute: *minute }.encode().as_ref());
    }
    db.write(batch, true).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::timeline::Point;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn floors_follow_time() {
        let timeline =
            Timeline::load((0..100u32).map(|n| Point { minute: n * 60, first: Seq(u64::from(n) * 10 + 1) }));
        let retention =
            Retention { events: 10 * HOUR, attempts: 5 * HOUR, dead_letters: 50 * HOUR, audit: HOUR };
        let at = |hours: u32| UnixMillis(0) + hours * HOUR;
        let sealed = |hours: u32| Some(SealedAt { newest_at: at(hours), ids: 1 });
        let partitions: BTreeMap<Seq, _> =
            [(Seq(1), sealed(10)), (Seq(101), sealed(20)), (Seq(201), sealed(80)), (Seq(801), None)].into();
        let floors = |now, present| super::floors(&timeline, &partitions, &retention, HOUR, at(now), present);
        let row = |events, ids, attempts, dead| FloorsRow {
            events: Seq(events),
            ids: Seq(ids),
            attempts: Seq(attempts),
            dead: Seq(dead),
        };
        assert_eq!(floors(5, FloorsRow::default()), row(1, 0, 1, 1));
        // Attempts are kept as long as events, whatever was asked for.
        assert_eq!(floors(60, FloorsRow::default()), row(501, 201, 501, 101));
        assert_eq!(floors(99, FloorsRow::default()), row(891, 801, 891, 491));
        assert_eq!(floors(60, row(600, 300, 600, 200)), row(600, 300, 600, 200), "floors never fall");
    }
}
