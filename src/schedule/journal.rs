//! What is settled and not written yet.
//!
//! One settlement is under way at a time; what comes meanwhile collects for the next. Where the store
//! cannot write, the journal fills up and the shard stops sending: an outcome is never thrown away.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use foldhash::HashSet;

use crate::model::{Attempt, Mono, Seq, SubscriptionKey, UnixMillis};
use crate::settle::{DeadRow, Notice, Released, RetryKey, RetryRow, Settlement};

/// A settlement waits this long for company.
pub const SETTLE_AFTER: Duration = Duration::from_millis(10);
/// A watermark alone is worth writing only this often.
pub const WATERMARK_AFTER: Duration = Duration::from_secs(1);
/// This many attempts are handed over without waiting.
pub const SETTLE_ATTEMPTS: usize = 512;
/// Attempts that may wait for the store; beyond, nothing is sent.
pub const JOURNAL_ATTEMPTS_MAX: usize = 8192;
/// Bytes of excerpts that may wait for the store; beyond, nothing is sent.
pub const JOURNAL_BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
pub struct Journal {
    pending: Settlement,
    /// Cursor rows, `None` to delete: the last word on each counts, and only that is written.
    lagging: BTreeMap<SubscriptionKey, Option<Seq>>,
    /// Since when subscriptions fail, in the same way.
    failing: BTreeMap<SubscriptionKey, Option<UnixMillis>>,
    bytes: usize,
    /// Since when something waits.
    since: Option<Mono>,
    under_way: Option<u64>,
    written: Seq,
    written_at: Mono,
    /// Rows whose deletion a page that was asked for earlier may not have seen.
    deleted: HashSet<RetryKey>,
    deleted_order: VecDeque<(u64, RetryKey)>,
    /// Rows put for the disk alone that a page read now would miss.
    far: VecDeque<(u64, RetryRow)>,
    flushed: u64,
    last_put: u64,
}

impl Journal {
    #[must_use]
    pub fn new(worker: usize, watermark: Seq) -> Self {
        Self {
            pending: Settlement { worker, serial: 1, ..Settlement::default() },
            lagging: BTreeMap::new(),
            failing: BTreeMap::new(),
            bytes: 0,
            since: None,
            under_way: None,
            written: watermark,
            written_at: Mono(0),
            deleted: HashSet::default(),
            deleted_order: VecDeque::new(),
            far: VecDeque::new(),
            flushed: 0,
            last_put: 0,
        }
    }

    /// Nothing more may be sent until the store has caught up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending.attempts.len() >= JOURNAL_ATTEMPTS_MAX || self.bytes >= JOURNAL_BYTES_MAX
    }

    /// Everything is written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_empty() && self.under_way.is_none()
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.lagging.is_empty() && self.failing.is_empty()
    }

    fn touch(&mut self, now: Mono) -> &mut Settlement {
        self.since.get_or_insert(now);
        &mut self.pending
    }

    /// `accepted_at`: when the log took the event.
    pub fn attempt(
        &mut self,
        now: Mono,
        subscription: SubscriptionKey,
        attempt: Attempt,
        accepted_at: UnixMillis,
    ) {
        self.bytes += attempt.response.as_ref().map_or(0, |r| r.headers.len() + r.body.len()) + 64;
        let settlement = self.touch(now);
        settlement.attempts.push((subscription, attempt));
        settlement.accepted.push(accepted_at);
    }

    /// `in_memory`: the row has a timer as well; otherwise the disk alone knows it.
    pub fn put_retry(&mut self, now: Mono, row: RetryRow, in_memory: bool) {
        let settlement = self.touch(now);
        settlement.retries_put.push(row);
        let serial = settlement.serial;
        self.last_put = serial;
        if !in_memory {
            self.far.push_back((serial, row));
        }
    }

    /// Rows due until then that the disk alone should know and does not yet.
    pub fn take_far(&mut self, until: UnixMillis) -> Vec<RetryRow> {
        let near: Vec<_> = self.far.iter().map(|(_, row)| *row).filter(|row| row.key.due < until).collect();
        self.far.retain(|(_, row)| row.key.due >= until);
        near
    }

    /// The newest settlement that puts a retry: once it is in the store, all rows so far are.
    #[must_use]
    pub fn last_put(&self) -> u64 {
        self.last_put
    }

    /// The newest settlement that is in the store.
    #[must_use]
    pub fn flushed_serial(&self) -> u64 {
        self.flushed
    }

    pub fn delete_retry(&mut self, now: Mono, key: RetryKey) {
        let settlement = self.touch(now);
        settlement.retries_delete.push(key);
        let serial = settlement.serial;
        self.deleted.insert(key);
        self.deleted_order.push_back((serial, key));
    }

    /// Whether a row that was just read has been deleted meanwhile.
    #[must_use]
    pub fn is_deleted(&self, key: &RetryKey) -> bool {
        self.deleted.contains(key)
    }

    pub fn put_lagging(&mut self, now: Mono, subscription: SubscriptionKey, cursor: Seq) {
        self.touch(now);
        self.lagging.insert(subscription, Some(cursor));
    }

    pub fn delete_lagging(&mut self, now: Mono, subscription: SubscriptionKey) {
        self.touch(now);
        self.lagging.insert(subscription, None);
    }

    pub fn dead(&mut self, now: Mono, row: DeadRow) {
        self.touch(now).dead_put.push(row);
    }

    /// A dead letter is one no longer: it is asked for by hand.
    pub fn revive(&mut self, now: Mono, subscription: SubscriptionKey, seq: Seq) {
        self.touch(now).dead_delete.push((subscription, seq));
    }

    /// Somebody waits for what is collecting now to be durable. Names the settlement.
    pub fn sync(&mut self) -> u64 {
        self.pending.sync = true;
        self.pending.serial
    }

    /// The settlement with which everything so far is in the store.
    #[must_use]
    pub fn newest(&self) -> u64 {
        if self.is_empty() { self.under_way.unwrap_or(self.flushed) } else { self.pending.serial }
    }

    pub fn notice(&mut self, now: Mono, notice: Notice) {
        self.touch(now).notices.push(notice);
    }

    pub fn failing(&mut self, now: Mono, subscription: SubscriptionKey, since: Option<UnixMillis>) {
        self.touch(now);
        self.failing.insert(subscription, since);
    }

    pub fn release(&mut self, now: Mono, released: Released) {
        self.touch(now).released.push(released);
    }

    /// Whether a settlement should go now.
    #[must_use]
    pub fn is_due(&self, now: Mono, watermark: Seq, force: bool) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        if self.is_empty() {
            let waited = force || now.since(self.written_at) >= WATERMARK_AFTER;
            return watermark > self.written && waited;
        }
        force
            || self.pending.attempts.len() >= SETTLE_ATTEMPTS
            || self.since.is_some_and(|since| now.since(since) >= SETTLE_AFTER)
    }

    /// When [`Journal::is_due`] may turn true without another input.
    #[must_use]
    pub fn next_due(&self, watermark: Seq) -> Option<Mono> {
        if self.under_way.is_some() {
            return None;
        }
        if self.is_empty() {
            return (watermark > self.written).then(|| self.written_at + WATERMARK_AFTER);
        }
        self.since.map(|since| since + SETTLE_AFTER)
    }

    /// Takes what waits. The caller must report [`Journal::flushed`] when it is written.
    pub fn take(&mut self, now: Mono, watermark: Seq) -> Settlement {
        let next = Settlement {
            worker: self.pending.worker,
            serial: self.pending.serial + 1,
            ..Settlement::default()
        };
        let mut settlement = std::mem::replace(&mut self.pending, next);
        for (subscription, cursor) in std::mem::take(&mut self.lagging) {
            match cursor {
                Some(cursor) => settlement.lagging_put.push((subscription, cursor)),
                None => settlement.lagging_delete.push(subscription),
            }
        }
        settlement.failing = std::mem::take(&mut self.failing).into_iter().collect();
        settlement.watermark = watermark;
        self.written = watermark;
        self.written_at = now;
        self.under_way = Some(settlement.serial);
        self.bytes = 0;
        self.since = None;
        settlement
    }

    /// A settlement is in the store. Deletions are remembered on while a page is being read that may
    /// have been read before them.
    pub fn flushed(&mut self, serial: u64, reading: bool) {
        if self.under_way == Some(serial) {
            self.under_way = None;
        }
        self.flushed = self.flushed.max(serial);
        self.far.retain(|(of, _)| *of > serial);
        if reading {
            return;
        }
        while let Some((of, key)) = self.deleted_order.front().copied() {
            if of > serial {
                break;
            }
            self.deleted_order.pop_front();
            self.deleted.remove(&key);
        }
    }
}
