//! The store of the simulation: what is written, in order, and what of it survives.
//!
//! Every write is an operation in a journal. A killed process keeps all of them; a power cut keeps those
//! up to the last fsync and, by chance, some after it. The state is always the replay of the journal.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use postrider::model::{Attempt, Event, Seq, Subscription, SubscriptionKey, UnixMillis};
use postrider::route::Index;
use postrider::schedule::Read;
use postrider::schedule::pages::{
    Backlog, Body, Found, HeadsPage, Known, LogPage, ReplayPage, RetryPage, SubscriptionPage,
};
use postrider::settle::{DeadRow, RetryKey, RetryRow, Settlement};

use crate::filters;

#[derive(Clone)]
enum Write {
    Events(Vec<Arc<Event>>),
    Settled(Arc<Settlement>),
    Began(usize, Seq),
    /// A change of the configuration begins with its receiver anew.
    Anew(SubscriptionKey),
}

#[derive(Default)]
pub struct Disk {
    journal: Vec<Write>,
    synced: usize,
    pub events: Vec<Arc<Event>>,
    pub attempts: BTreeMap<(SubscriptionKey, Seq), Vec<Attempt>>,
    pub retries: BTreeMap<RetryKey, RetryRow>,
    pub lagging: BTreeMap<SubscriptionKey, Seq>,
    pub failing: BTreeMap<SubscriptionKey, UnixMillis>,
    pub dead: BTreeMap<(SubscriptionKey, Seq), DeadRow>,
    watermarks: BTreeMap<usize, Seq>,
}

/// Rows of one page, small so that paging is exercised.
const PAGE: usize = 7;
/// Rows of retries that one page looks at, whosever they are.
const SCAN_RETRIES: usize = 7;
/// Bodies that one answer brings.
const BODIES: usize = 5;

impl Disk {
    pub fn append(&mut self, events: Vec<Arc<Event>>) {
        self.write(Write::Events(events));
        self.synced = self.journal.len();
    }

    pub fn settle(&mut self, settlement: Settlement) {
        let sync = settlement.sync;
        self.write(Write::Settled(Arc::new(settlement)));
        if sync {
            self.synced = self.journal.len();
        }
    }

    /// A run begins: every worker of it has a watermark from the start, and no other has one. Otherwise
    /// the lowest of them would not speak for a worker that never wrote its own.
    pub fn begin(&mut self, workers: usize) -> Seq {
        let watermark = self.watermarks.values().copied().min().unwrap_or_default();
        self.write(Write::Began(workers, watermark));
        self.synced = self.journal.len();
        watermark
    }

    pub fn begin_anew(&mut self, key: SubscriptionKey) {
        self.write(Write::Anew(key));
        self.synced = self.journal.len();
    }

    fn write(&mut self, write: Write) {
        self.apply(&write);
        self.journal.push(write);
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Events(events) => self.events.extend(events.iter().cloned()),
            Write::Began(workers, watermark) => {
                self.watermarks = (0..*workers).map(|worker| (worker, *watermark)).collect();
            }
            Write::Anew(key) => drop(self.failing.remove(key)),
            Write::Settled(settlement) => {
                for (key, attempt) in &settlement.attempts {
                    self.attempts.entry((*key, attempt.seq)).or_default().push(attempt.clone());
                }
                for row in &settlement.retries_put {
                    self.retries.insert(row.key, *row);
                }
                for key in &settlement.retries_delete {
                    self.retries.remove(key);
                }
                for (key, cursor) in &settlement.lagging_put {
                    self.lagging.insert(*key, *cursor);
                }
                for key in &settlement.lagging_delete {
                    self.lagging.remove(key);
                }
                for (key, since) in &settlement.failing {
                    match since {
                        Some(since) => drop(self.failing.insert(*key, *since)),
                        None => drop(self.failing.remove(key)),
                    }
                }
                for pair in &settlement.dead_delete {
                    self.dead.remove(pair);
                }
                for row in &settlement.dead_put {
                    self.dead.insert((row.subscription, row.seq), *row);
                }
                self.watermarks.insert(settlement.worker, settlement.watermark);
            }
        }
    }

    /// The machine loses power: what was not fsynced is cut off at `keep` writes after the last fsync.
    pub fn power_cut(&mut self, keep: usize) {
        let journal = std::mem::take(&mut self.journal);
        let kept = (self.synced + keep).min(journal.len());
        *self = Self::default();
        for write in &journal[..kept] {
            self.write(write.clone());
        }
        self.synced = kept;
    }

    pub fn unsynced(&self) -> usize {
        self.journal.len() - self.synced
    }

    pub fn head(&self) -> Seq {
        self.events.last().map_or(Seq(0), |event| event.seq)
    }

    fn from(&self, from: Seq) -> impl Iterator<Item = &Arc<Event>> {
        let at = self.events.partition_point(|event| event.seq < from);
        self.events[at..].iter()
    }

    fn is_settled(&self, key: SubscriptionKey, seq: Seq) -> bool {
        self.attempts.contains_key(&(key, seq))
    }

    pub fn read_log(&self, index: &Index, worker: usize, from: Seq) -> LogPage {
        let events: Vec<_> = self.from(from).take(PAGE).cloned().collect();
        let mut settled = HashSet::new();
        for event in &events {
            index.for_each(event, worker, |subscription| {
                if self.is_settled(subscription.key, event.seq) {
                    settled.insert((subscription.key, event.seq));
                }
            });
        }
        let through = events.last().map_or(from.prev(), |event| event.seq);
        LogPage { end: through >= self.head(), events, settled, through }
    }

    pub fn read_subscription(&self, index: &Index, read: &Read) -> Option<SubscriptionPage> {
        let Read::Subscription { subscription, from, limit, .. } = read else { return None };
        // As the readers do: the asker's record may be older than events that the page would show.
        let subscription = index.subscription(subscription.key).unwrap_or(subscription);
        let (mut events, mut through) = (Vec::new(), from.prev());
        for event in self.from(*from).take(PAGE * 3) {
            if events.len() >= PAGE.min(*limit) {
                break;
            }
            through = event.seq;
            if filters::wants(subscription, event) && !self.is_settled(subscription.key, event.seq) {
                events.push(Arc::clone(event));
            }
        }
        let end = through >= self.head();
        Some(SubscriptionPage {
            subscription: subscription.key,
            from: *from,
            events,
            through,
            end,
            expired_below: None,
        })
    }

    pub fn read_retries(
        &self,
        index: &Index,
        worker: usize,
        only: Option<SubscriptionKey>,
        after: Option<RetryKey>,
        until: UnixMillis,
    ) -> RetryPage {
        let mine = |row: &&RetryRow| match only {
            Some(key) => row.key.subscription == key,
            None => index.subscription(row.key.subscription).is_some_and(|sub| index.owner(sub) == worker),
        };
        let asked = |row: &&RetryRow| after.is_none_or(|after| row.key > after) && row.key.due < until;
        let mut left = self.retries.values().filter(asked).peekable();
        let looked_at: Vec<&RetryRow> = left.by_ref().take(SCAN_RETRIES).collect();
        let next = left.peek().and_then(|_| looked_at.last()).map(|row| row.key);
        let rows = looked_at.into_iter().filter(mine).copied().collect();
        RetryPage { only, rows, until, next }
    }

    pub fn heads(&self, subscription: SubscriptionKey, serial: u64, after: Option<RetryKey>) -> HeadsPage {
        let rows = self.retries.values().filter(|row| row.key.subscription == subscription);
        let mut rows: Vec<_> =
            rows.filter(|row| after.is_none_or(|after| row.key > after)).take(PAGE).copied().collect();
        rows.truncate(PAGE);
        let next = (rows.len() == PAGE).then(|| rows.last().map(|row| row.key)).flatten();
        HeadsPage { subscription, serial, rows, next }
    }

    pub fn backlog(&self, subscription: &Subscription, from: Seq, through: Seq) -> Backlog {
        let open = |event: &&Arc<Event>| {
            filters::wants(subscription, event) && !self.is_settled(subscription.key, event.seq)
        };
        let mut wanted = self.from(from).take_while(|event| event.seq <= through).filter(open).peekable();
        let oldest_at = wanted.peek().map(|event| event.accepted_at);
        Backlog { subscription: subscription.key, from, events: wanted.count() as u64, oldest_at }
    }

    pub fn known(&self, subscription: &Subscription, seqs: &[Seq]) -> ReplayPage {
        let key = subscription.key;
        let known = |seq: Seq| {
            let event = self.from(seq).next().filter(|event| event.seq == seq);
            let Some(event) = event.filter(|event| event.account == subscription.account) else {
                return Known::Gone;
            };
            let attempts =
                self.attempts.get(&(key, seq)).and_then(|all| all.iter().map(|it| it.number).max());
            if !filters::wants(subscription, event) && attempts.is_none() {
                return Known::Unwanted;
            }
            let mut rows =
                self.retries.values().filter(|row| (row.key.subscription, row.key.seq) == (key, seq));
            let row = rows.next().copied();
            assert_eq!(rows.next(), None, "{key:?} {seq:?} has two rows");
            Known::Delivery {
                accepted_at: event.accepted_at,
                attempts: attempts.unwrap_or_default(),
                row,
                dead: self.dead.contains_key(&(key, seq)),
            }
        };
        let mut seqs = seqs.to_vec();
        seqs.sort_unstable();
        seqs.dedup();
        ReplayPage { subscription: key, found: seqs.into_iter().map(|seq| (seq, known(seq))).collect() }
    }

    pub fn read_bodies(&self, wanted: &[(SubscriptionKey, Seq)]) -> Vec<Body> {
        let body = |(at, (subscription, seq)): (usize, &(SubscriptionKey, Seq))| {
            let event = self.from(*seq).next().filter(|event| event.seq == *seq).cloned();
            let found = if at < BODIES { event.into() } else { Found::NotNow };
            Body { subscription: *subscription, seq: *seq, found }
        };
        wanted.iter().enumerate().map(body).collect()
    }
}
