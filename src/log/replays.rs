//! What the store has of deliveries that are to be made again: one page of one subscription.

use super::api::{Known, ReplayPage};
use super::db::{Db, Family};
use super::guard::StoreError;
use super::key::Key;
use super::query::retry_of;
use super::rows::{EventLoader, walk_attempts};
use super::store::Store;
use crate::model::{Payload, Seq, Subscription};

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
        let wanted = subscription.wants(&Payload::new(&event));
        if !wanted && attempts == 0 {
            found.push((seq, Known::Unwanted));
            continue;
        }
        let dead = Key::Dead { subscription: key, seq };
        let dead = db.get(Family::Dead, dead.encode().as_ref())?.is_some();
        let row = retry_of(db, key, seq)?;
        found.push((seq, Known::Delivery { accepted_at: event.accepted_at, attempts, row, dead }));
    }
    Ok(ReplayPage { subscription: key, found })
}
