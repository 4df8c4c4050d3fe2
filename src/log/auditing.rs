//! The audit trail in the store: its pages for the admin API, and its oldest rows for upkeep. What they
//! mean is the registry's.

use super::db::{Cursor, Db, Family};
use super::guard::StoreError;
use super::store::Store;
use crate::registry::{AuditPage, AuditQuery, KeyValue, OrderedRows, audit_page, audit_range};

/// Entries that one round of upkeep looks at.
const OLDEST_MAX: usize = 500;

struct Meta<'db>(Cursor<'db>);

impl OrderedRows for Meta<'_> {
    type Error = StoreError;

    fn at_or_below(&mut self, key: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        // Who goes down the trail asks for what is just below: a step, where looking for it costs ten.
        let above = self.0.row()?.is_some_and(|(at, _)| at > key);
        if above {
            self.0.prev();
        }
        if !above || self.0.row()?.is_none_or(|(at, _)| at > key) {
            self.0.seek_back(key);
        }
        Ok(self.0.row()?.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

impl Store {
    /// Part of the audit trail.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.with(|db| audit_page(&mut Meta(db.cursor_between(Family::Meta, &[0], &[u8::MAX])?), query))
    }
}

/// The oldest entries of the trail.
///
/// # Errors
/// Whatever the store says.
pub(super) fn oldest_noted(db: &Db) -> Result<Vec<KeyValue>, StoreError> {
    let (from, before) = audit_range();
    let mut cursor = db.cursor_between(Family::Meta, &from, &before)?;
    let mut rows = Vec::new();
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        if rows.len() >= OLDEST_MAX {
            break;
        }
        rows.push((key.to_vec(), value.to_vec()));
        cursor.next();
    }
    Ok(rows)
}
