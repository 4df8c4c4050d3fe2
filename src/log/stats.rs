//! What the log tells about itself: numbers that a scrape may read without touching the store, and a
//! way out for measurements that want a histogram.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::db::Family;
use crate::model::{Attempt, SubscriptionKey, UnixMillis};

/// Read at any time, written by the log's own threads.
#[derive(Debug, Default)]
pub struct LogStats {
    pub head: AtomicU64,
    /// Lowest of all workers' watermarks.
    pub low_watermark: AtomicU64,
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub commits: AtomicU64,
    /// Rows in `retries`.
    pub retries_waiting: AtomicU64,
    /// Rows in `dead`, as RocksDB estimates them.
    pub dead_letters: AtomicU64,
    /// Rows that could not be read, and were left out.
    pub damaged_rows: AtomicU64,
    /// Deduplication partitions that were forgotten before their time.
    pub dedupe_forgotten: AtomicU64,
    /// Looks into the store because of a filter or an exact hit.
    pub dedupe_lookups: AtomicU64,
    /// Writes that failed.
    pub write_errors: AtomicU64,
    /// The store cannot write at present.
    pub failed: AtomicBool,
    /// The disk is below its reserve: nothing new is accepted.
    pub disk_low: AtomicBool,
    pub disk_free_bytes: AtomicU64,
    /// RocksDB holds writes back.
    pub stalled: AtomicBool,
    /// In the order of [`Family::ALL`].
    pub family_bytes: [AtomicU64; Family::ALL.len()],
    /// Lowest event that retention has left.
    pub floor: AtomicU64,
}

impl LogStats {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }
}

/// What one commit with events in it was.
#[derive(Clone, Copy, Debug)]
pub struct CommitMeasure {
    pub events: usize,
    pub bytes: usize,
    /// From taking the first request to the answer.
    pub duration: Duration,
    /// Writing and syncing the write-ahead log.
    pub fsync: Duration,
}

/// Takes measurements, on the writer's thread; must be quick.
pub trait Observer: Send {
    fn commit(&mut self, measure: CommitMeasure);

    /// Attempts that are in the store now, each with the time at which the log took its event.
    fn settled(&mut self, attempts: Vec<(SubscriptionKey, Attempt)>, accepted: Vec<UnixMillis>);
}

/// Takes none.
#[derive(Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn commit(&mut self, _measure: CommitMeasure) {}

    fn settled(&mut self, _attempts: Vec<(SubscriptionKey, Attempt)>, _accepted: Vec<UnixMillis>) {}
}
