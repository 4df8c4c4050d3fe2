//! What the store has of deliveries that are to be made again: one page of one subscription.

use std::collections::{HashMap, HashSet};

use super::api::{Known, ReplayPage};
use super::db::{Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::{RetryValue, decode};
use super::rows::{EventLoader, report_damage, walk_attempts};
use super::store::Store;
use crate::model::{Seq, Subscription, SubscriptionKey, UnixMillis};
use crate::settle::{RetryKey, RetryRow};

pub(super) fn replay_page(
    store: &Store,
    db: &Db,
    subscription: &Subscription,
    seqs: &[Seq],
) -> Result<ReplayPage, StoreError> {
    let key = subscription.key;
    let mut sorted = seqs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let rows = waiting_rows(store, db, key, &sorted)?;
    let mut loader = EventLoader::new(db, store.floor(), store.stats())?;
    let mut found = Vec::with_capacity(sorted.len());
    for seq in sorted {
        let Some(event) = loader.load(seq)?.filter(|event| event.account == subscription.account) else {
            found.push((seq, Known::Gone));
            continue;
        };
        let mut attempts = 0;
        walk_attempts(db, store.stats(), key, (seq, seq), |attempt| attempts = attempt.number.max(attempts))?;
        // One that was delivered once was wanted, whatever is kept of the record's history.
        let wanted = subscription.wants(event.type_bit, seq) && !event.is_about(&subscription.id);
        if !wanted && attempts == 0 {
            found.push((seq, Known::Unwanted));
            continue;
        }
        let dead = Key::Dead { subscription: key, seq };
        let dead = db.get(Family::Dead, dead.encode().as_ref())?.is_some();
        let row = rows.get(&seq).copied();
        found.push((seq, Known::Delivery { accepted_at: event.accepted_at, attempts, row, dead }));
    }
    Ok(ReplayPage { subscription: key, found })
}

/// The waiting retries of these deliveries.
fn waiting_rows(
    store: &Store,
    db: &Db,
    subscription: SubscriptionKey,
    seqs: &[Seq],
) -> Result<HashMap<Seq, RetryRow>, StoreError> {
    let wanted: HashSet<Seq> = seqs.iter().copied().collect();
    let lowest = RetryKey { due: UnixMillis(0), subscription: SubscriptionKey(0), seq: Seq(0) };
    let mut rows = HashMap::new();
    let mut cursor = db.cursor(Family::Retries, &KeyRange::from(&Key::Retry(lowest)))?;
    cursor.first();
    while let Some((bytes, value)) = cursor.row()? {
        if let Ok(Key::Retry(key)) = Key::parse(bytes)
            && key.subscription == subscription
            && wanted.contains(&key.seq)
        {
            match decode::<RetryValue>(value) {
                Ok(RetryValue { attempts, accepted_at, trigger }) => {
                    rows.insert(key.seq, RetryRow { key, attempts, accepted_at, trigger });
                }
                Err(error) => report_damage(store.stats(), Family::Retries, bytes, &error),
            }
        }
        cursor.next();
    }
    Ok(rows)
}
