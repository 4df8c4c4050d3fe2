//! Rows of settlements: what came of deliveries. They carry no fsync of their own, unless somebody waits for it.

use std::collections::{BTreeMap, HashSet};

use super::db::{Batch, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange, attempt_bucket};
use super::record::{CountersRow, DeadValue, RetryValue, encode};
use super::rollups::RollupRow;
use crate::model::{Attempt, Disposition, Seq, SubscriptionKey, Trigger};
use crate::settle::{RetryKey, RetryRow, Settlement};

/// Bytes of excerpts and messages after which another row of attempts begins.
const ATTEMPTS_ROW_LEN_MAX: usize = 64 << 10;

/// Adds the rows of `settlement` and counts in `counters`, which become true when the batch is written.
pub(super) fn put_settlement(
    batch: &mut Batch<'_>,
    settlement: &Settlement,
    counters: &mut CountersRow,
) -> Result<(), StoreError> {
    put_attempts(batch, &settlement.attempts, counters)?;
    for (subscription, seq) in &settlement.dead_delete {
        let key = Key::Dead { subscription: *subscription, seq: *seq };
        batch.delete(Family::Dead, key.encode().as_ref());
    }
    for dead in &settlement.dead_put {
        let key = Key::Dead { subscription: dead.subscription, seq: dead.seq };
        let value = DeadValue { reason: dead.reason, at: dead.at };
        batch.put(Family::Dead, key.encode().as_ref(), &encode(&value)?);
    }
    // A row may be put and deleted in one settlement, and must be gone then.
    for row in &settlement.retries_put {
        let value = RetryValue { attempts: row.attempts, accepted_at: row.accepted_at, trigger: row.trigger };
        batch.put(Family::Retries, Key::Retry(row.key).encode().as_ref(), &encode(&value)?);
    }
    counters.retries += settlement.retries_put.len() as u64;
    delete_retries(batch, &settlement.retries_delete, counters);
    // A pair's old row goes as its new one comes: what points to it is written last.
    let deleted: HashSet<&RetryKey> = settlement.retries_delete.iter().collect();
    for RetryRow { key, .. } in settlement.retries_put.iter().filter(|row| !deleted.contains(&row.key)) {
        let at = Key::RetryOf { subscription: key.subscription, seq: key.seq };
        batch.put(Family::Retries, at.encode().as_ref(), &encode(&key.due)?);
    }
    for (subscription, cursor) in &settlement.lagging_put {
        let key = Key::Lagging { subscription: *subscription };
        batch.put(Family::Lagging, key.encode().as_ref(), &encode(cursor)?);
    }
    for (subscription, since) in &settlement.failing {
        let key = Key::Failing { subscription: *subscription }.encode();
        match since {
            Some(since) => batch.put(Family::Lagging, key.as_ref(), &encode(since)?),
            None => batch.delete(Family::Lagging, key.as_ref()),
        }
    }
    for subscription in &settlement.lagging_delete {
        batch.delete(Family::Lagging, Key::Lagging { subscription: *subscription }.encode().as_ref());
    }
    Ok(())
}

pub(super) fn put_watermark(batch: &mut Batch<'_>, worker: u16, mark: Seq) -> Result<(), StoreError> {
    batch.put(Family::Meta, Key::Watermark { worker }.encode().as_ref(), &encode(&mark)?);
    Ok(())
}

pub(super) fn put_rollups(batch: &mut Batch<'_>, rows: &[RollupRow]) -> Result<(), StoreError> {
    for row in rows {
        let key = Key::Rollup { subscription: row.subscription, span: row.span.0, serial: row.serial };
        batch.put(Family::Attempts, key.encode().as_ref(), &encode(&row.rollup)?);
    }
    Ok(())
}

pub(super) fn delete_retries(batch: &mut Batch<'_>, keys: &[RetryKey], counters: &mut CountersRow) {
    for key in keys {
        batch.delete(Family::Retries, Key::Retry(*key).encode().as_ref());
        let at = Key::RetryOf { subscription: key.subscription, seq: key.seq };
        batch.delete(Family::Retries, at.encode().as_ref());
    }
    counters.retries = counters.retries.saturating_sub(keys.len() as u64);
}

/// It fails no longer.
pub(super) fn delete_failing(batch: &mut Batch<'_>, subscription: SubscriptionKey) {
    batch.delete(Family::Lagging, Key::Failing { subscription }.encode().as_ref());
}

/// What is keyed by a subscription that is gone. Its retries are keyed by time and are deleted when
/// their window is read.
pub(super) fn delete_subscription(batch: &mut Batch<'_>, subscription: SubscriptionKey) {
    batch.delete(Family::Lagging, Key::Lagging { subscription }.encode().as_ref());
    delete_failing(batch, subscription);
    batch.delete_range(Family::Dead, &KeyRange::dead(subscription, Seq(0)));
    batch.delete_range(Family::Retries, &KeyRange::retries_of(subscription));
    batch.delete_range(Family::Attempts, &KeyRange::attempts(subscription, 0, u64::MAX));
    batch.delete_range(Family::Attempts, &KeyRange::rollups(subscription, 0, u32::MAX));
}

fn put_attempts(
    batch: &mut Batch<'_>,
    attempts: &[(SubscriptionKey, Attempt)],
    counters: &mut CountersRow,
) -> Result<(), StoreError> {
    let mut rows: BTreeMap<(SubscriptionKey, u64), Vec<&Attempt>> = BTreeMap::new();
    for (subscription, attempt) in attempts {
        rows.entry((*subscription, attempt_bucket(attempt.seq))).or_default().push(attempt);
        if revives(attempt) {
            let key = Key::Dead { subscription: *subscription, seq: attempt.seq };
            batch.delete(Family::Dead, key.encode().as_ref());
        }
    }
    for ((subscription, bucket), attempts) in rows {
        let mut rest = attempts.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |attempt: &&&Attempt| {
                bytes += size(attempt);
                bytes <= ATTEMPTS_ROW_LEN_MAX
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (row, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            counters.attempts_serial += 1;
            let key = Key::Attempts { subscription, bucket, serial: counters.attempts_serial };
            batch.put(Family::Attempts, key.encode().as_ref(), &encode(&row)?);
            rest = after;
        }
    }
    Ok(())
}

/// Whether an attempt takes its delivery from the dead letters: asked for by hand, and not dead again.
fn revives(attempt: &Attempt) -> bool {
    matches!(attempt.trigger, Trigger::Resend | Trigger::Recover)
        && !matches!(attempt.disposition, Disposition::Dead)
}

fn size(attempt: &Attempt) -> usize {
    let message = attempt.error.as_ref().map_or(0, |error| error.message.len());
    let kept = attempt.response.as_ref().map_or(0, |kept| kept.headers.len() + kept.body.len());
    32 + message + kept
}
