//! Finding rows: what the writer, the readers, recovery and the admin API all do with an open store.
//!
//! A damaged row of events is counted, told to the operator and left out: the events in it are lost, and
//! standing still before them would lose all others too.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::db::{Cursor, Db, Family};
use super::fingerprint::Fingerprint;
use super::guard::StoreError;
use super::key::{Key, KeyRange, attempt_bucket};
use super::record::{AccountRow, EventsRow, IdsRow, RecordError, decode, decode_borrowed};
use super::stats::LogStats;
use crate::model::{AccountKey, Attempt, Event, Seq, SubscriptionKey, TypeBit};

/// The events of a row, in order.
///
/// # Errors
/// A damaged row.
pub(super) fn events_of(first: Seq, bytes: &[u8]) -> Result<Vec<Arc<Event>>, RecordError> {
    let row: EventsRow<'_> = decode_borrowed(bytes)?;
    let mut seq = first;
    let mut events = Vec::with_capacity(row.len());
    for packed in row {
        events.push(Arc::new(packed.to_event(seq)?));
        seq = seq.next();
    }
    Ok(events)
}

/// Counts and tells of a row that cannot be read.
pub(super) fn report_damage(stats: &LogStats, family: Family, key: &[u8], error: &RecordError) {
    stats.damaged_rows.fetch_add(1, Ordering::Relaxed);
    let key = key.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    tracing::error!(family = family.as_str(), key, %error, "a row of the store is damaged and left out");
}

/// The highest seq in `events`; 0 where there is none.
///
/// # Errors
/// Whatever the store says. A damaged last row is an error here: the head must not be guessed.
pub(super) fn last_seq(db: &Db) -> Result<Seq, StoreError> {
    let mut cursor = db.cursor(Family::Events, &KeyRange::events(Seq(0)))?;
    cursor.last();
    let Some((key, value)) = cursor.row()? else { return Ok(Seq(0)) };
    let first = first_of(key)?;
    let row: EventsRow<'_> = decode_borrowed(value)?;
    Ok(Seq(first.0 + row.len() as u64).prev())
}

/// The first seq of a row of `events`, from its key.
///
/// # Errors
/// A key of another kind.
pub(super) fn first_of(key: &[u8]) -> Result<Seq, StoreError> {
    match Key::parse(key) {
        Ok(Key::Events { first } | Key::ByAccount { first, .. }) => Ok(first),
        Ok(other) => Err(StoreError::Corrupt(format!("a key {other:?} among the events"))),
        Err(error) => Err(StoreError::Corrupt(error.to_string())),
    }
}

/// Where the row begins that holds `seq`, or would.
///
/// # Errors
/// Whatever the store says.
pub(super) fn row_start(db: &Db, seq: Seq) -> Result<Seq, StoreError> {
    let mut cursor = db.cursor(Family::Events, &KeyRange::events(Seq(0)))?;
    cursor.seek_back(Key::Events { first: seq }.encode().as_ref());
    match cursor.row()? {
        Some((key, _)) => first_of(key),
        None => Ok(seq),
    }
}

/// Events by their place. Holds on to the row that was read last, since the next one is likely in it.
pub(super) struct EventLoader<'db> {
    cursor: Cursor<'db>,
    floor: Seq,
    stats: &'db LogStats,
    held: Vec<Arc<Event>>,
}

impl<'db> EventLoader<'db> {
    pub fn new(db: &'db Db, floor: Seq, stats: &'db LogStats) -> Result<Self, StoreError> {
        // From the row that holds the floor: it may begin below.
        let start = if floor.0 == 0 { Seq(0) } else { row_start(db, floor)? };
        let cursor = db.cursor(Family::Events, &KeyRange::events(start))?;
        Ok(Self { cursor, floor, stats, held: Vec::new() })
    }

    /// `None` where there is none, where retention has dropped it, or where its row is damaged.
    pub fn load(&mut self, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        if seq < self.floor {
            return Ok(None);
        }
        if let Some(event) = self.in_held(seq) {
            return Ok(Some(event));
        }
        self.cursor.seek_back(Key::Events { first: seq }.encode().as_ref());
        let Some((key, value)) = self.cursor.row()? else { return Ok(None) };
        match events_of(first_of(key)?, value) {
            Ok(events) => self.held = events,
            Err(error) => {
                report_damage(self.stats, Family::Events, key, &error);
                self.held.clear();
            }
        }
        Ok(self.in_held(seq))
    }

    fn in_held(&self, seq: Seq) -> Option<Arc<Event>> {
        let first = self.held.first()?.seq;
        let offset = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        self.held.get(offset).map(Arc::clone)
    }
}

/// Walks one account's index from `from` to `head` until `visit` says stop (false). Gives whether it came
/// to the end.
///
/// # Errors
/// Whatever the store says.
pub(super) fn walk_account(
    db: &Db,
    stats: &LogStats,
    account: AccountKey,
    (from, head): (Seq, Seq),
    mut visit: impl FnMut(Seq, TypeBit) -> bool,
) -> Result<bool, StoreError> {
    let mut cursor = db.cursor(Family::ByAccount, &KeyRange::account(account, Seq(0)))?;
    // The row that holds `from` may begin before it.
    let start = Key::ByAccount { account, first: from }.encode();
    cursor.seek_back(start.as_ref());
    if cursor.row()?.is_none() {
        cursor.seek(start.as_ref());
    }
    while let Some((key, value)) = cursor.row()? {
        let first = first_of(key)?;
        match decode::<AccountRow>(value) {
            Ok(row) => {
                for (offset, bit) in row {
                    let seq = Seq(first.0 + u64::from(offset));
                    if seq > head {
                        return Ok(true);
                    }
                    if seq >= from && !visit(seq, bit) {
                        return Ok(false);
                    }
                }
            }
            Err(error) => report_damage(stats, Family::ByAccount, key, &error),
        }
        cursor.next();
    }
    Ok(true)
}

/// All attempts of a subscription in the buckets of `from` to `through`, in the order of writing.
///
/// # Errors
/// Whatever the store says.
pub(super) fn walk_attempts(
    db: &Db,
    stats: &LogStats,
    subscription: SubscriptionKey,
    (from, through): (Seq, Seq),
    mut visit: impl FnMut(Attempt),
) -> Result<(), StoreError> {
    let range = KeyRange::attempts(subscription, attempt_bucket(from), attempt_bucket(through));
    let mut cursor = db.cursor(Family::Attempts, &range)?;
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        match decode::<Vec<Attempt>>(value) {
            Ok(attempts) => {
                attempts.into_iter().filter(|it| from <= it.seq && it.seq <= through).for_each(&mut visit);
            }
            Err(error) => report_damage(stats, Family::Attempts, key, &error),
        }
        cursor.next();
    }
    Ok(())
}

/// Which of `from` to `through` have an attempt row for this subscription.
///
/// # Errors
/// Whatever the store says.
pub(super) fn settled(
    db: &Db,
    stats: &LogStats,
    subscription: SubscriptionKey,
    range: (Seq, Seq),
) -> Result<HashSet<Seq>, StoreError> {
    let mut found = HashSet::new();
    walk_attempts(db, stats, subscription, range, |attempt| {
        found.insert(attempt.seq);
    })?;
    Ok(found)
}

/// Where a sealed partition has a fingerprint.
///
/// # Errors
/// Whatever the store says; a damaged row.
pub(super) fn find_sealed(db: &Db, partition: Seq, print: Fingerprint) -> Result<Option<Seq>, StoreError> {
    let mut cursor = db.cursor(Family::Ids, &KeyRange::sealed(partition))?;
    cursor.seek_back(Key::Sealed { partition, lowest: print.0 }.encode().as_ref());
    let Some((_, value)) = cursor.row()? else { return Ok(None) };
    let row: IdsRow = decode(value)?;
    let place = row.binary_search_by_key(&print, |(print, _)| *print).ok();
    Ok(place.and_then(|at| row.get(at)).map(|(_, offset)| Seq(partition.0 + u64::from(*offset))))
}

/// The ids of a partition that is not sealed.
///
/// # Errors
/// Whatever the store says.
pub(super) fn walk_open_ids(
    db: &Db,
    stats: &LogStats,
    partition: Seq,
    mut visit: impl FnMut(Fingerprint, Seq),
) -> Result<(), StoreError> {
    let mut cursor = db.cursor(Family::Ids, &KeyRange::fingerprints(partition))?;
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        if let Ok(Key::Fingerprints { first, .. }) = Key::parse(key) {
            match decode::<IdsRow>(value) {
                Ok(row) => row.iter().for_each(|(print, at)| visit(*print, Seq(first.0 + u64::from(*at)))),
                Err(error) => report_damage(stats, Family::Ids, key, &error),
            }
        }
        cursor.next();
    }
    Ok(())
}
