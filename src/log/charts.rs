//! Reading what charts are drawn from: rows, and what the writer still has in memory.

use std::collections::BTreeMap;

use super::db::Family;
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::decode;
use super::rollups::Span;
use super::rows::report_damage;
use super::store::Store;
use crate::model::{Rollup, SubscriptionKey};

impl Store {
    /// What came of a subscription's attempts in each span, `range.0` inclusive, `range.1` exclusive. The
    /// range bounds the work: a row or two for a span.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn rollups_of(
        &self,
        subscription: SubscriptionKey,
        range: (Span, Span),
    ) -> Result<BTreeMap<Span, Rollup>, StoreError> {
        // Memory first: what it forgets meanwhile is on disk, and what it has replaces its row.
        let held = self.rollups().of(subscription, range);
        let mut found: BTreeMap<Span, Rollup> = BTreeMap::new();
        self.with(|db| {
            let rows = KeyRange::rollups(subscription, range.0.0, range.1.0);
            let mut cursor = db.cursor(Family::Attempts, &rows)?;
            cursor.first();
            while let Some((bytes, value)) = cursor.row()? {
                if let Ok(Key::Rollup { span, serial, .. }) = Key::parse(bytes) {
                    let replaced = held.get(&Span(span)).is_some_and(|(_, of)| *of == Some(serial));
                    match decode::<Rollup>(value) {
                        Ok(_) if replaced => {}
                        Ok(rollup) => found.entry(Span(span)).or_default().add(&rollup),
                        Err(error) => report_damage(self.stats(), Family::Attempts, bytes, &error),
                    }
                }
                cursor.next();
            }
            Ok(())
        })?;
        for (span, (rollup, _)) in held {
            found.entry(span).or_default().add(&rollup);
        }
        Ok(found)
    }

    /// Everything since the start of the process, of all subscriptions.
    #[must_use]
    pub fn rolled_up(&self) -> Rollup {
        self.rollups().total()
    }

    /// Attempts since the start that no chart shows.
    #[must_use]
    pub fn left_out_of_charts(&self) -> u64 {
        self.rollups().left_out()
    }
}
