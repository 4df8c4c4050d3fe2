//! The census: the family `retries` is read through once at a start, so that what waits is known.
//!
//! The writer does it, a page between two bursts. As nobody else changes rows, whether one is counted
//! follows from its place alone: at or below `through` it is, and whoever puts or deletes it counts; above,
//! the census will come by. Workers are told what waits of subscriptions in order, which send nothing
//! before: it must go first. After a failed write, of which nobody knows how much was made, it begins again.

use std::sync::Arc;

use super::api::{Census, Input};
use super::db::{Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::{RetryValue, decode};
use super::rows::report_damage;
use super::stats::LogStats;
use super::writer::Writer;
use crate::model::{Seq, SubscriptionKey, UnixMillis};
use crate::schedule::order::holds_order;
use crate::settle::{RetryKey, RetryRow};

/// Rows of one page: less than a millisecond of the writer's time.
const PAGE_ROWS: usize = 1024;

/// How far the family was read.
#[derive(Debug, Default)]
pub(super) struct Counting {
    through: Option<RetryKey>,
    done: bool,
    /// The store could not be read; it is tried again with the next tick.
    pub paused: bool,
    /// What must go first of subscriptions in order.
    heads: Census,
}

impl Counting {
    pub fn wants_page(&self) -> bool {
        !self.done && !self.paused
    }

    /// Whether the row at `key` is counted by whoever puts or deletes it.
    fn has_passed(&self, key: &RetryKey) -> bool {
        self.done || self.through.is_some_and(|through| *key <= through)
    }

    fn page(&mut self, db: &Db, stats: &LogStats, mut count: impl FnMut(RetryRow)) -> Result<(), StoreError> {
        let lowest = RetryKey { due: UnixMillis(0), subscription: SubscriptionKey(0), seq: Seq(0) };
        let from = Key::Retry(self.through.unwrap_or(lowest));
        let mut cursor = db.cursor(Family::Retries, &KeyRange::from(&from))?;
        cursor.first();
        for _ in 0..PAGE_ROWS {
            let Some((bytes, value)) = cursor.row()? else {
                self.done = true;
                return Ok(());
            };
            if let Ok(Key::Retry(key)) = Key::parse(bytes)
                && self.through != Some(key)
            {
                match decode::<RetryValue>(value) {
                    Ok(RetryValue { attempts, accepted_at, trigger }) => {
                        count(RetryRow { key, attempts, accepted_at, trigger });
                    }
                    Err(error) => report_damage(stats, Family::Retries, bytes, &error),
                }
                self.through = Some(key);
            }
            cursor.next();
        }
        Ok(())
    }
}

impl Writer {
    /// Reads one page more, where there is one to be read.
    pub(super) fn take_census(&mut self) {
        if !self.census.wants_page() || self.failed.is_some() {
            return;
        }
        let index = self.index.load();
        let waiting = self.store.waiting();
        let (census, stats) = (&mut self.census, &self.stats);
        let mut heads = std::mem::take(&mut census.heads);
        let read = self.store.with(|db| {
            census.page(db, stats, |row| {
                // Rows of subscriptions that are gone wait for nothing.
                let Some(subscription) = index.subscription(row.key.subscription) else { return };
                waiting.put(&row);
                if holds_order(subscription) {
                    heads.entry(row.key.subscription).or_default().insert(row);
                }
            })
        });
        match read {
            Ok(()) => self.census.heads = heads,
            Err(error) => {
                tracing::error!(code = error.code(), %error, "waiting retries cannot be counted");
                self.count_again();
                self.census.paused = true;
            }
        }
        if self.census.done {
            self.store.waiting().set_complete();
            self.tell_waiting();
            let census = Arc::new(std::mem::take(&mut self.census.heads));
            for worker in &mut self.workers {
                worker.tell(Input::Census(Arc::clone(&census)));
            }
        }
    }

    /// What was counted is in doubt.
    pub(super) fn count_again(&mut self) {
        self.census = Counting::default();
        self.store.waiting().clear();
    }

    /// Counts what is pending and was just written.
    pub(super) fn count_written(&mut self, orphans: &[RetryKey]) {
        let waiting = self.store.waiting();
        let passed = |key: &RetryKey| self.census.has_passed(key);
        for settlement in &self.pending {
            settlement.retries_put.iter().filter(|row| passed(&row.key)).for_each(|row| waiting.put(row));
            settlement.retries_delete.iter().filter(|key| passed(key)).for_each(|key| waiting.remove(key));
        }
        for key in orphans {
            waiting.remove(key);
        }
        for subscription in &self.deleted {
            waiting.forget(*subscription);
        }
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        let rows = self.store.waiting().rows().unwrap_or(self.state.counters.retries);
        LogStats::set(&self.stats.retries_waiting, rows);
    }
}
