//! What the admin API asks of the log, on its own blocking threads. Every question has a budget: where it
//! is spent, the answer says where to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::db::{Db, Family};
use super::fingerprint::Fingerprint;
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::listing::seqs_between;
use super::record::{AccountRow, DeadValue, PartitionRow, RetryValue, decode};
use super::rows::{EventLoader, find_sealed, first_of, report_damage, walk_attempts, walk_open_ids};
use super::store::Store;
use crate::model::{AccountKey, Attempt, Event, Seq, SubscriptionKey, TypeBit, UnixMillis};
use crate::settle::{DeadRow, RetryKey, RetryRow};

/// Index entries that one question looks at, at most.
pub const QUERY_SCAN_MAX: usize = 100_000;

/// Which of an account's events are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFilter {
    pub types: Option<crate::model::EventMask>,
    /// Accepted at or after.
    pub since: Option<UnixMillis>,
    /// Accepted before.
    pub until: Option<UnixMillis>,
    /// Not below.
    pub from: Seq,
}

/// Part of an answer, newest first.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Ask again with this as `before`; `None` where there is nothing older.
    pub next: Option<Seq>,
}

impl Store {
    /// An event by its place; `None` where retention has dropped it or it never was.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn event(&self, seq: Seq) -> Result<Option<Arc<Event>>, StoreError> {
        self.with(|db| EventLoader::new(db, self.floor(), self.stats())?.load(seq))
    }

    /// A row of the registry that is not kept in memory.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn registry_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|db| db.get(Family::Meta, key))
    }

    /// Those of the events at `seqs` that the log has.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn events_at(&self, seqs: &[Seq]) -> Result<Vec<Arc<Event>>, StoreError> {
        self.with(|db| {
            let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
            seqs.iter().filter_map(|seq| loader.load(*seq).transpose()).collect()
        })
    }

    /// An event by its id: the newest of that id. Costs one look-up for each deduplication partition and a
    /// walk over the ids of the open one (at most some 4 MiB).
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn find_event(&self, account: AccountKey, id: &str) -> Result<Option<Arc<Event>>, StoreError> {
        let print = Fingerprint::of(account, id);
        self.with(|db| {
            let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
            for (partition, row) in self.partitions(db)?.into_iter().rev() {
                let mut places = Vec::new();
                if row.sealed.is_some() {
                    places.extend(find_sealed(db, partition, print)?);
                } else {
                    walk_open_ids(db, self.stats(), partition, |held, seq| {
                        if held == print {
                            places.push(seq);
                        }
                    })?;
                }
                places.sort_unstable();
                for seq in places.into_iter().rev() {
                    let event = loader.load(seq)?;
                    if let Some(event) = event.filter(|it| it.account == account && it.id() == id) {
                        return Ok(Some(event));
                    }
                }
            }
            Ok(None)
        })
    }

    fn partitions(&self, db: &Db) -> Result<Vec<(Seq, PartitionRow)>, StoreError> {
        let from = Key::Partition { partition: self.floors.get().ids };
        let mut cursor = db.cursor(Family::Ids, &KeyRange::from(&from))?;
        let mut partitions = Vec::new();
        cursor.first();
        while let Some((key, value)) = cursor.row()? {
            if let Ok(Key::Partition { partition }) = Key::parse(key) {
                match decode(value) {
                    Ok(row) => partitions.push((partition, row)),
                    Err(error) => report_damage(self.stats(), Family::Ids, key, &error),
                }
            }
            cursor.next();
        }
        Ok(partitions)
    }

    /// An account's events, newest first, below `before`. Looks at [`QUERY_SCAN_MAX`] of them at most, so
    /// a page may hold fewer than `limit`, even none, and still have a `next`.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn account_events(
        &self,
        account: AccountKey,
        before: Option<Seq>,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Page<Arc<Event>>, StoreError> {
        let floor = self.floor();
        let mut page = Page { items: Vec::new(), next: None };
        let mut looked = 0;
        self.with(|db| {
            let (from, until) = seqs_between(db, filter.since, filter.until)?;
            let top = before.unwrap_or(Seq(u64::MAX)).min(self.head().next()).min(until);
            let lowest = floor.max(from).max(filter.from);
            let mut loader = EventLoader::new(db, floor, self.stats())?;
            let mut cursor = db.cursor(Family::ByAccount, &KeyRange::account(account, Seq(0)))?;
            cursor.seek_back(Key::ByAccount { account, first: top.prev() }.encode().as_ref());
            while let Some((key, value)) = cursor.row()? {
                let first = first_of(key)?;
                let row: AccountRow = decode(value).unwrap_or_else(|error| {
                    report_damage(self.stats(), Family::ByAccount, key, &error);
                    AccountRow::new()
                });
                for (offset, bit) in row.into_iter().rev() {
                    let seq = Seq(first.0 + u64::from(offset));
                    if seq >= top {
                        continue;
                    }
                    if seq < lowest {
                        return Ok(());
                    }
                    if page.items.len() >= limit || looked >= QUERY_SCAN_MAX {
                        page.next = Some(seq.next());
                        return Ok(());
                    }
                    looked += 1;
                    match judge(&mut loader, seq, bit, filter)? {
                        Judged::Wanted(event) => page.items.push(event),
                        Judged::Not => {}
                        Judged::TooOld => return Ok(()),
                    }
                }
                cursor.prev();
            }
            Ok(())
        })?;
        Ok(page)
    }

    /// The attempts at one event, oldest first.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Vec<Attempt>, StoreError> {
        Ok(self.attempts_in(subscription, (seq, seq))?.remove(&seq).unwrap_or_default())
    }

    /// The attempts at each event from `range.0` to `range.1`, both inclusive; each oldest first. Ask for
    /// a page of events at a time: the range bounds the work.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn attempts_in(
        &self,
        subscription: SubscriptionKey,
        range: (Seq, Seq),
    ) -> Result<BTreeMap<Seq, Vec<Attempt>>, StoreError> {
        let mut found: BTreeMap<Seq, Vec<Attempt>> = BTreeMap::new();
        self.with(|db| {
            walk_attempts(db, self.stats(), subscription, range, |attempt| {
                found.entry(attempt.seq).or_default().push(attempt);
            })
        })?;
        // By number: after a crash in the middle of a settlement, rows may tell of one attempt twice.
        for attempts in found.values_mut() {
            attempts.sort_by_key(|attempt| (attempt.number, attempt.started_at));
        }
        Ok(found)
    }

    /// Dead letters of a subscription from `from` on, at most `limit`.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn dead(
        &self,
        subscription: SubscriptionKey,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<DeadRow>, StoreError> {
        let from = from.max(self.floors.get().dead);
        let mut rows = Vec::new();
        self.with(|db| {
            let mut cursor = db.cursor(Family::Dead, &KeyRange::dead(subscription, from))?;
            cursor.first();
            while let Some((key, value)) = cursor.row()?
                && rows.len() < limit
            {
                if let Ok(Key::Dead { seq, .. }) = Key::parse(key) {
                    match decode::<DeadValue>(value) {
                        Ok(DeadValue { reason, at }) => rows.push(DeadRow { subscription, seq, reason, at }),
                        Err(error) => report_damage(self.stats(), Family::Dead, key, &error),
                    }
                }
                cursor.next();
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// The retry of a pair that waits, where one does.
    ///
    /// # Errors
    /// Whatever the store says; a damaged row.
    pub fn retry_of(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Option<RetryRow>, StoreError> {
        self.with(|db| retry_of(db, subscription, seq))
    }

    /// Waiting retries of one subscription, by seq, at most `limit`.
    ///
    /// # Errors
    /// Whatever the store says; a damaged row.
    pub fn retries_of(
        &self,
        subscription: SubscriptionKey,
        limit: usize,
    ) -> Result<Vec<RetryRow>, StoreError> {
        let mut rows = Vec::new();
        self.with(|db| {
            let mut cursor = db.cursor(Family::Retries, &KeyRange::retries_of(subscription))?;
            cursor.first();
            while let Some((key, due)) = cursor.row()?
                && rows.len() < limit
            {
                if let Ok(Key::RetryOf { seq, .. }) = Key::parse(key) {
                    rows.extend(retry_at(db, RetryKey { due: decode(due)?, subscription, seq })?);
                }
                cursor.next();
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

pub(super) fn retry_of(
    db: &Db,
    subscription: SubscriptionKey,
    seq: Seq,
) -> Result<Option<RetryRow>, StoreError> {
    let at = Key::RetryOf { subscription, seq }.encode();
    let Some(due) = db.get(Family::Retries, at.as_ref())? else { return Ok(None) };
    retry_at(db, RetryKey { due: decode(&due)?, subscription, seq })
}

fn retry_at(db: &Db, key: RetryKey) -> Result<Option<RetryRow>, StoreError> {
    let Some(value) = db.get(Family::Retries, Key::Retry(key).encode().as_ref())? else { return Ok(None) };
    let RetryValue { attempts, accepted_at, trigger } = decode(&value)?;
    Ok(Some(RetryRow { key, attempts, accepted_at, trigger }))
}

enum Judged {
    Wanted(Arc<Event>),
    Not,
    /// Nothing older can be wanted either.
    TooOld,
}

fn judge(
    loader: &mut EventLoader<'_>,
    seq: Seq,
    bit: TypeBit,
    filter: &EventFilter,
) -> Result<Judged, StoreError> {
    if filter.types.is_some_and(|types| !types.contains(bit)) {
        return Ok(Judged::Not);
    }
    let Some(event) = loader.load(seq)? else { return Ok(Judged::Not) };
    if filter.since.is_some_and(|since| event.accepted_at < since) {
        return Ok(Judged::TooOld);
    }
    if filter.until.is_some_and(|until| event.accepted_at >= until) {
        return Ok(Judged::Not);
    }
    Ok(Judged::Wanted(event))
}
