//! Reading the audit trail: pages of it, newest first, and what of it has had its time.
//!
//! Pure: the store is asked through one question, which row is at or below a key. Where `until` lies is
//! found by halving, since entries are in order of time (where the clock went back, an entry may stand a
//! little beside its place).

use std::time::Duration;

use super::audit::{AUDIT_MAX, Action, AuditEntry};
use super::audit_row::{gone, key, read, serial_of};
use super::change::Row;
use crate::model::{AccountKey, UnixMillis};

/// Entries that one page looks at, at most: it may be short for it.
const LOOKED_AT_MAX: usize = 10_000;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Rows of the family `meta`, in order.
pub trait OrderedRows {
    type Error;

    /// The last row at or below `key`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn at_or_below(&mut self, key: &[u8]) -> Result<Option<KeyValue>, Self::Error>;
}

/// Part of the trail.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// `None`: of all, the operator's.
    pub account: Option<AccountKey>,
    /// Only entries below this serial (of the account's own, where it is an account's).
    pub below: Option<u64>,
    /// Noted at or after.
    pub since: Option<UnixMillis>,
    /// Noted before.
    pub until: Option<UnixMillis>,
    pub action: Option<Action>,
    pub limit: usize,
}

#[derive(Debug, Default)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// `below` of the next page; `None` where nothing older is left that could match.
    pub next: Option<u64>,
    /// Rows that could not be read, and are left out.
    pub damaged: usize,
}

/// One list of the trail.
struct List<'r, R> {
    rows: &'r mut R,
    account: Option<AccountKey>,
}

impl<R: OrderedRows> List<'_, R> {
    /// The newest entry at or below `serial`, which may be a damaged one.
    fn at_or_below(&mut self, serial: u64) -> Result<Option<(u64, Option<AuditEntry>)>, R::Error> {
        let (first, last) = (key(self.account, 0), key(self.account, serial));
        let row = self.rows.at_or_below(&last)?.filter(|(key, _)| *key >= first && *key <= last);
        Ok(row.and_then(|(key, value)| Some((serial_of(&key)?, read(&value).ok()))))
    }

    /// The lowest serial at or above which nothing is older than `until`.
    fn first_since(&mut self, until: UnixMillis, from: u64) -> Result<u64, R::Error> {
        let (mut low, mut high) = (0, from);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.at_or_below(middle)? {
                Some((serial, Some(entry))) if entry.at >= until => high = serial,
                _ => low = middle + 1,
            }
        }
        Ok(high)
    }
}

/// # Errors
/// The store cannot be read.
pub fn audit_page<R: OrderedRows>(rows: &mut R, query: &AuditQuery) -> Result<AuditPage, R::Error> {
    let mut list = List { rows, account: query.account };
    let mut page = AuditPage::default();
    let mut below = query.below.unwrap_or(u64::MAX);
    if let Some(until) = query.until
        && let Some((newest, _)) = list.at_or_below(below.saturating_sub(1))?
    {
        below = list.first_since(until, newest.saturating_add(1))?;
    }
    let mut looked_at = 0;
    while let Some(at) = below.checked_sub(1)
        && let Some((serial, entry)) = list.at_or_below(at)?
    {
        if query.since.is_some_and(|since| entry.as_ref().is_some_and(|entry| entry.at < since)) {
            break;
        }
        if page.entries.len() >= query.limit || looked_at >= LOOKED_AT_MAX {
            page.next = Some(below);
            break;
        }
        looked_at += 1;
        below = serial;
        match entry {
            Some(entry) if query.action.is_none_or(|action| entry.note.action == action) => {
                page.entries.push(entry);
            }
            Some(_) => {}
            None => page.damaged += 1,
        }
    }
    Ok(page)
}

/// What of the oldest entries has had its time, or is too many: the rows that take them away. `oldest`
/// are rows of all, in order; `next` is the serial that comes next.
pub(super) fn trim(
    oldest: impl Iterator<Item = KeyValue>,
    keep: Duration,
    now: UnixMillis,
    next: u64,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (key, value) in oldest {
        let Ok(entry) = read(&value) else {
            rows.push(Row { key, value: None });
            continue;
        };
        if now.since(entry.at) < keep && entry.serial.saturating_add(AUDIT_MAX) >= next {
            break;
        }
        rows.extend(gone(&entry));
    }
    rows
}

/// Where the list of all lies: from, and before.
#[must_use]
pub fn audit_range() -> (Vec<u8>, Vec<u8>) {
    let mut end = key(None, u64::MAX);
    end.push(0);
    (key(None, 0), end)
}
