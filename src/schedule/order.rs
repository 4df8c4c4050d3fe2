//! Order: what a FIFO subscription may send next.
//!
//! With `onBlocked` *block* or *park*, nothing goes before what is older: a delivery that waits for its
//! retry is the **head** of its line and holds up the rest. The head has a retry row as any retry has; the
//! rest waits behind the lane's cursor, so that a line of millions costs one row and no memory. The rows
//! alone say what is to go first: a start knows the heads from the census of the retries
//! ([`Shard::handle_census`]), a lane that came from another worker or that was put in order underway looks
//! for its own ([`Read::Heads`]), and before that it sends nothing.
//!
//! Retries of a lane in order go by seq, not by when they are due; all but the lowest have no timer. There
//! is more than one only where the order was asked for while several were waiting.
//!
//! *skip* needs none of this: its retries are as all others, only that one request is in flight at a time.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::lane::{Cursor, Lane};
use super::pages::{HeadsPage, Read};
use super::shard::{Action, Intake, Shard};
use crate::model::{OnBlocked, Ordering, Seq, Subscription, SubscriptionKey, UnixMillis};
use crate::settle::{RetryKey, RetryRow};

/// Rows that a lane remembers at most; when they are through, it looks for the next.
pub const HEADS_MAX: usize = 256;

/// Whether a retry of this subscription holds up what is younger.
#[must_use]
pub fn holds_order(subscription: &Subscription) -> bool {
    subscription.delivery.ordering == Ordering::Fifo && subscription.delivery.on_blocked != OnBlocked::Skip
}

/// The waiting retries of one subscription that are lowest by seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lowest {
    rows: BTreeMap<Seq, RetryRow>,
    /// There are more, all of them above.
    more: bool,
}

impl Lowest {
    pub fn insert(&mut self, row: RetryRow) {
        let seq = row.key.seq;
        if self.more && self.rows.last_key_value().is_none_or(|(last, _)| seq > *last) {
            return;
        }
        self.rows.insert(seq, row);
        if self.rows.len() > HEADS_MAX {
            self.rows.pop_last();
            self.more = true;
        }
    }

    fn first(&self) -> Option<&RetryRow> {
        self.rows.first_key_value().map(|(_, row)| row)
    }
}

/// What the census found of subscriptions in order; one that is not in it has no retry waiting.
pub type Census = HashMap<SubscriptionKey, Lowest, FixedState>;

/// Whether the lane's retries are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// The census of the start will tell.
    Census,
    /// They are to be looked for when nothing is in flight and all rows are in the store.
    Wanted,
    UnderWay {
        serial: u64,
    },
    Done,
}

/// A lane's retries, where they hold up the rest.
#[derive(Debug)]
pub struct Heads {
    search: Search,
    lowest: Lowest,
}

/// What a lane in order sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Retry,
    Fresh,
}

impl Heads {
    fn new(search: Search) -> Self {
        Self { search, lowest: Lowest::default() }
    }

    /// The retry that goes before everything else of the lane.
    fn head(&self, lane: &Lane) -> Option<&RetryRow> {
        let unread = match lane.cursor {
            Cursor::Lagging { next, .. } => Some(next),
            Cursor::Live | Cursor::Awaiting => None,
        };
        let first_fresh = lane.fresh.front().map(|event| event.seq).or(unread);
        self.lowest.first().filter(|row| first_fresh.is_none_or(|seq| row.key.seq < seq))
    }

    #[must_use]
    pub fn next(&self, lane: &Lane) -> Option<Next> {
        if self.search != Search::Done {
            return None;
        }
        if let Some(head) = self.head(lane) {
            let ready = lane.retry_ready.front().is_some_and(|ready| ready.row.key == head.key);
            return ready.then_some(Next::Retry);
        }
        let unknown = self.lowest.rows.is_empty() && self.lowest.more;
        (!unknown && !lane.fresh.is_empty()).then_some(Next::Fresh)
    }

    /// Nothing fresh can go: none is taken into memory.
    #[must_use]
    pub fn is_blocked(&self, lane: &Lane) -> bool {
        self.search == Search::Done && self.head(lane).is_some()
    }

    /// Its rows are known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.search == Search::Done
    }

    /// A row is no more.
    pub fn remove(&mut self, key: &RetryKey) {
        if self.lowest.rows.get(&key.seq).is_some_and(|row| row.key == *key) {
            self.lowest.rows.remove(&key.seq);
        }
    }
}

impl Shard {
    /// Heads for a lane that is just made: the census tells, or has told that there are none.
    pub(super) fn heads_of_new(&self, subscription: &Subscription) -> Option<Box<Heads>> {
        let search = if self.counted { Search::Done } else { Search::Census };
        holds_order(subscription).then(|| Box::new(Heads::new(search)))
    }

    /// The retries of subscriptions in order, as they were before this run sent anything for them.
    pub fn handle_census(&mut self, census: &Census) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        for (key, lowest) in census {
            let Some(subscription) = self.index.subscription(*key).cloned() else { continue };
            if self.index.owner(&subscription) != self.options.worker || !holds_order(&subscription) {
                continue;
            }
            let fresh = !self.lanes.contains_key(key);
            let Some(lane) = self.lane(&subscription, Cursor::Live) else { continue };
            if let Some(heads) = &mut lane.heads
                && (fresh || heads.search == Search::Census)
            {
                heads.search = Search::Done;
                heads.lowest = lowest.clone();
            }
        }
        let waiting = |lane: &Lane| lane.heads.is_some();
        let mut lanes: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| waiting(lane)).map(|(key, _)| *key).collect();
        lanes.sort_unstable();
        for key in lanes {
            if let Some(heads) = self.lanes.get_mut(&key).and_then(|lane| lane.heads.as_mut())
                && heads.search == Search::Census
            {
                heads.search = Search::Done;
            }
            self.block(key);
        }
    }

    /// The lane is to be in order from now on, or no longer; or it is new here and rows of it may wait.
    pub(super) fn reorder(&mut self, key: SubscriptionKey) {
        self.drop_retries(key);
        let last_put = self.journal.last_put();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let ordered = holds_order(&lane.subscription);
        lane.heads = ordered.then(|| Box::new(Heads::new(Search::Wanted)));
        // Without order, all that is due or near gets its timer back.
        let lowest = RetryKey { due: UnixMillis(0), subscription: key, seq: Seq(0) };
        lane.parked = (!ordered).then_some(lowest);
        lane.parked_serial = last_put;
    }

    /// A retry of a lane in order has its row. `false` where the lane is not in order.
    pub(super) fn hold(&mut self, row: RetryRow) -> bool {
        let key = row.key.subscription;
        let last_put = self.journal.last_put();
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
        let Some(heads) = &mut lane.heads else { return false };
        if heads.search != Search::Done {
            // It is found once it is in the store.
            lane.parked_serial = last_put;
            return true;
        }
        heads.lowest.insert(row);
        if lane.retries.keys().any(|seq| *seq > row.key.seq) {
            // What had been the first of the line waits again.
            self.drop_retries(key);
        }
        self.block(key);
        true
    }

    /// Where a head holds the lane up, its fresh events go back to the disk.
    fn block(&mut self, key: SubscriptionKey) {
        if self.lanes.get(&key).is_some_and(Lane::is_blocked) {
            self.spill(key);
        }
        self.refresh(key);
    }

    /// Gives the head its timer, or looks for it. Part of `refresh`.
    pub(super) fn arm(&mut self, key: SubscriptionKey) {
        let live = self.intake == Intake::Live;
        let position = self.watermark.position();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(heads) = &mut lane.heads else { return };
        if heads.search == Search::Done {
            match heads.lowest.first().copied() {
                Some(row) => {
                    // What is older and unsettled is in the lane when the worker's position is there.
                    let armed = lane.retries.contains_key(&row.key.seq);
                    if !armed && (live || row.key.seq <= position) {
                        lane.remember(row);
                        self.window.insert(row);
                    }
                    return;
                }
                None if heads.lowest.more => {
                    **heads = Heads::new(Search::Wanted);
                    lane.parked_serial = self.journal.last_put();
                }
                None => return,
            }
        }
        if heads.search == Search::Wanted && !lane.seeking && lane.in_flight == 0 {
            self.seek(key);
        }
    }

    fn seek(&mut self, key: SubscriptionKey) {
        let flushed = self.journal.flushed_serial();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if flushed < lane.parked_serial {
            self.wait_for_flush(key);
            return;
        }
        self.searches += 1;
        let serial = self.searches;
        if let Some(heads) = &mut lane.heads {
            heads.search = Search::UnderWay { serial };
        }
        self.ask_heads(key, serial, None);
    }

    fn ask_heads(&mut self, key: SubscriptionKey, serial: u64, after: Option<RetryKey>) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.seeking = true;
        }
        self.parked_reading += 1;
        let worker = self.options.worker;
        self.actions.push_back(Action::Read(Read::Heads { worker, subscription: key, serial, after }));
    }

    /// Part of a lane's waiting retries.
    pub fn handle_heads(&mut self, page: &HeadsPage) {
        self.parked_reading = self.parked_reading.saturating_sub(1);
        let key = page.subscription;
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.seeking = false;
        if let Some(heads) = &mut lane.heads
            && heads.search == (Search::UnderWay { serial: page.serial })
        {
            let deleted = |row: &&RetryRow| !self.journal.is_deleted(&row.key);
            page.rows.iter().filter(deleted).for_each(|row| heads.lowest.insert(*row));
            if page.next.is_some() {
                self.ask_heads(key, page.serial, page.next);
            } else {
                heads.search = Search::Done;
                self.block(key);
            }
        } else {
            self.refresh(key);
        }
        self.retry_parked();
    }
}
