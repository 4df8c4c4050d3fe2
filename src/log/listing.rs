//! What lists of deliveries ask of the store: which deliveries of many subscriptions are dead or wait for a
//! retry, newest first; what became last of the events of a bucket; and between which seqs a time lies.
//!
//! Each is bounded by the number of subscriptions asked for or by one bucket, never by what is stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::db::{Cursor, Db, Family};
use super::guard::StoreError;
use super::key::{ATTEMPT_BUCKET_BITS, Key, KeyRange, attempt_bucket};
use super::record::{AttemptRef, decode, decode_borrowed};
use super::rows::report_damage;
use super::store::Store;
use crate::model::{LastAttempt, Seq, SubscriptionKey, UnixMillis};

const MINUTE_MS: u64 = 60_000;

/// Deliveries that have a row of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Dead,
    /// A retry waits, or is in memory because it is due.
    Retrying,
}

impl Standing {
    fn family(self) -> Family {
        match self {
            Self::Dead => Family::Dead,
            Self::Retrying => Family::Retries,
        }
    }

    fn key(self, subscription: SubscriptionKey, seq: Seq) -> Key {
        match self {
            Self::Dead => Key::Dead { subscription, seq },
            Self::Retrying => Key::RetryOf { subscription, seq },
        }
    }
}

/// A delivery's place in a list: newest event first, then by subscription.
pub type Place = (Seq, SubscriptionKey);

/// What became last of each event of one bucket.
#[derive(Clone, Debug, Default)]
pub struct Lasts {
    pub from: Seq,
    pub through: Seq,
    pub of: BTreeMap<Seq, LastAttempt>,
}

impl Store {
    /// Deliveries of `subscriptions` that stand so, newest first, behind `after` and in the minutes of
    /// `times`, at most `limit`. One look into the store for each subscription and for each that is found.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn standing(
        &self,
        standing: Standing,
        subscriptions: &[SubscriptionKey],
        after: Option<Place>,
        times: (Option<UnixMillis>, Option<UnixMillis>),
        limit: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let counted = self.waiting().rows().is_some();
        let may_have = |key: &SubscriptionKey| {
            standing != Standing::Retrying || !counted || self.waiting().of(*key).0 > 0
        };
        self.with(|db| {
            let (lowest, until) = seqs_between(db, times.0, times.1)?;
            let newest = (until.prev(), SubscriptionKey(0));
            // Behind it: the same event's later subscriptions, and older events.
            let after = after.filter(|after| after.0 < until).unwrap_or(newest);
            let all = KeyRange::from(&standing.key(SubscriptionKey(0), Seq(0)));
            let mut cursor = db.cursor(standing.family(), &all)?;
            let mut tops = BinaryHeap::new();
            for key in subscriptions.iter().copied().filter(may_have) {
                let below = if key > after.1 { Seq(after.0.0.saturating_add(1)) } else { after.0 };
                tops.extend(top(&mut cursor, standing, key, below)?.map(|seq| (seq, Reverse(key))));
            }
            let mut places = Vec::new();
            while let Some((seq, Reverse(key))) = tops.pop()
                && seq >= lowest
                && places.len() < limit
            {
                places.push((seq, key));
                tops.extend(top(&mut cursor, standing, key, seq)?.map(|seq| (seq, Reverse(key))));
            }
            Ok(places)
        })
    }

    /// What became last of the events in the bucket of `seq`.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn last_attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Lasts, StoreError> {
        let bucket = attempt_bucket(seq);
        let from = Seq(bucket << ATTEMPT_BUCKET_BITS);
        let through = Seq(from.0 | ((1 << ATTEMPT_BUCKET_BITS) - 1));
        let mut lasts = Lasts { from, through, of: BTreeMap::new() };
        self.with(|db| {
            let mut cursor =
                db.cursor(Family::Attempts, &KeyRange::attempts(subscription, bucket, bucket))?;
            cursor.first();
            while let Some((key, value)) = cursor.row()? {
                match decode_borrowed::<Vec<AttemptRef<'_>>>(value) {
                    Ok(row) => row.iter().for_each(|attempt| note(&mut lasts, attempt)),
                    Err(error) => report_damage(self.stats(), Family::Attempts, key, &error),
                }
                cursor.next();
            }
            Ok(())
        })?;
        Ok(lasts)
    }

    /// When the retry of a pair is due, where one waits.
    ///
    /// # Errors
    /// Whatever the store says; a damaged row.
    pub fn due(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Option<UnixMillis>, StoreError> {
        if self.waiting().rows().is_some() && self.waiting().of(subscription).0 == 0 {
            return Ok(None);
        }
        self.with(|db| {
            let at = Key::RetryOf { subscription, seq }.encode();
            Ok(db.get(Family::Retries, at.as_ref())?.map(|due| decode(&due)).transpose()?)
        })
    }

    /// The lowest seq of which the first attempt may still be to come, for any of `subscriptions`.
    ///
    /// # Errors
    /// Whatever the store says; a damaged row.
    pub fn first_pending(&self, subscriptions: &[SubscriptionKey]) -> Result<Seq, StoreError> {
        let settled = self.stats().low_watermark.load(std::sync::atomic::Ordering::Relaxed);
        let mut lowest = Seq(settled).next();
        self.with(|db| {
            for subscription in subscriptions {
                let key = Key::Lagging { subscription: *subscription }.encode();
                if let Some(value) = db.get(Family::Lagging, key.as_ref())? {
                    lowest = lowest.min(decode(&value)?);
                }
            }
            Ok(lowest)
        })
    }
}

/// The highest seq of the subscription below `below` that has a row.
fn top(
    cursor: &mut Cursor<'_>,
    standing: Standing,
    subscription: SubscriptionKey,
    below: Seq,
) -> Result<Option<Seq>, StoreError> {
    if below.0 == 0 {
        return Ok(None);
    }
    cursor.seek_back(standing.key(subscription, below.prev()).encode().as_ref());
    let Some((key, _)) = cursor.row()? else { return Ok(None) };
    Ok(match Key::parse(key) {
        Ok(Key::Dead { subscription: of, seq } | Key::RetryOf { subscription: of, seq }) => {
            (of == subscription).then_some(seq)
        }
        _ => None,
    })
}

fn note(lasts: &mut Lasts, attempt: &AttemptRef<'_>) {
    let last = LastAttempt {
        number: attempt.number,
        started_at: attempt.started_at,
        disposition: attempt.disposition,
    };
    let held = lasts.of.entry(attempt.seq).or_insert(last);
    // After a crash in the middle of a settlement, rows may tell of one attempt twice.
    if (held.number, held.started_at) <= (last.number, last.started_at) {
        *held = last;
    }
}

/// Between which seqs the events lie that the log took from `since` on and before `until`: the first is
/// inclusive, the second exclusive. Wider by a minute at most; whoever wants it exact looks at the events.
///
/// # Errors
/// Whatever the store says; a damaged row.
pub(super) fn seqs_between(
    db: &Db,
    since: Option<UnixMillis>,
    until: Option<UnixMillis>,
) -> Result<(Seq, Seq), StoreError> {
    let mut cursor = db.cursor(Family::Meta, &KeyRange::from(&Key::Minute { minute: 0 }))?;
    let minute = |millis: u64| u32::try_from(millis / MINUTE_MS).unwrap_or(u32::MAX);
    let mut range = (Seq(0), Seq(u64::MAX));
    if let Some(since) = since {
        cursor.seek_back(Key::Minute { minute: minute(since.0) }.encode().as_ref());
        if let Some((_, first)) = cursor.row()? {
            range.0 = decode(first)?;
        }
    }
    if let Some(until) = until {
        let ends = minute(until.0.saturating_add(MINUTE_MS - 1));
        cursor.seek(Key::Minute { minute: ends }.encode().as_ref());
        if let Some((_, first)) = cursor.row()? {
            range.1 = decode(first)?;
        }
    }
    Ok(range)
}
