//! Pages of the log for workers: pure reading, one bounded page at a time.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::api::{
    Backlog, Body, Found, HeadsPage, LogPage, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_RETRIES_MAX, RetryPage,
    SubscriptionPage,
};
use super::db::{Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::{RetryValue, decode};
use super::rows::{EventLoader, events_of, first_of, report_damage, row_start, settled, walk_account};
use super::store::Store;
use crate::model::{Event, Payload, Seq, Subscription, SubscriptionKey, UnixMillis};
use crate::route::Index;
use crate::settle::{RetryKey, RetryRow};

/// Events or index entries that one page looks at, at most: a page of few finds must end, too.
const SCAN_MAX: usize = 32 * 1024;
/// Index entries that a count of a backlog looks at, at most.
const SCAN_BACKLOG_MAX: u64 = 256 * 1024;
/// Bodies that a count of a backlog reads at most, to see how many a filter lets through.
const SAMPLE_MAX: usize = 256;
/// Rows of retries that one page looks at, at most.
const SCAN_RETRIES_MAX: usize = 64 * 1024;

/// The log from `from` to `head`. Events that nobody wants are left out; what another worker wants is in, so that
/// a subscription that is just moving is missed by nobody.
pub(super) fn log_page(
    store: &Store,
    db: &Db,
    index: &Index,
    worker: usize,
    (from, head): (Seq, Seq),
) -> Result<LogPage, StoreError> {
    let from = from.max(store.floor()).max(Seq(1));
    let mut events: Vec<Arc<Event>> = Vec::new();
    let mut through = from.prev();
    let (mut bytes, mut looked) = (0, 0);
    let end = walk_log(store, db, (from, head), |event| {
        through = event.seq;
        looked += 1;
        if index.workers_wanting(event.account, event.type_bit, event.seq) != 0 {
            bytes += event.body().len();
            events.push(event);
        }
        if events.len() >= PAGE_EVENTS_MAX || bytes >= PAGE_BYTES_MAX || looked >= SCAN_MAX {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let settled = settled_pairs(store, db, index, worker, &events)?;
    let through = if end { through.max(head) } else { through };
    Ok(LogPage { events, settled, through, end })
}

/// Whether it ended by itself.
fn walk_log(
    store: &Store,
    db: &Db,
    (from, head): (Seq, Seq),
    mut visit: impl FnMut(Arc<Event>) -> ControlFlow<()>,
) -> Result<bool, StoreError> {
    let mut cursor = db.cursor(Family::Events, &KeyRange::events(row_start(db, from)?))?;
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        match events_of(first_of(key)?, value) {
            Ok(events) => {
                for event in events.into_iter().filter(|event| event.seq >= from) {
                    if event.seq > head {
                        return Ok(true);
                    }
                    if visit(event).is_break() {
                        return Ok(false);
                    }
                }
            }
            Err(error) => report_damage(store.stats(), Family::Events, key, &error),
        }
        cursor.next();
    }
    Ok(true)
}

fn settled_pairs(
    store: &Store,
    db: &Db,
    index: &Index,
    worker: usize,
    events: &[Arc<Event>],
) -> Result<HashSet<(SubscriptionKey, Seq)>, StoreError> {
    let mut spans: BTreeMap<SubscriptionKey, (Seq, Seq)> = BTreeMap::new();
    for event in events {
        index.for_each(event, worker, |subscription| {
            spans.entry(subscription.key).or_insert((event.seq, event.seq)).1 = event.seq;
        });
    }
    let mut pairs = HashSet::new();
    for (subscription, span) in spans {
        let seqs = settled(db, store.stats(), subscription, span)?;
        pairs.extend(seqs.into_iter().map(|seq| (subscription, seq)));
    }
    Ok(pairs)
}

/// What a lagging subscription wants from `from` to `head`.
pub(super) fn subscription_page(
    store: &Store,
    db: &Db,
    subscription: &Subscription,
    (from, head): (Seq, Seq),
    limit: usize,
) -> Result<SubscriptionPage, StoreError> {
    let floor = store.floor();
    let start = from.max(floor).max(Seq(1));
    let limit = limit.clamp(1, PAGE_EVENTS_MAX);
    // A few more than the page holds, since some are settled already; many more where a filter refuses some.
    let candidates = if subscription.has_filter() { PAGE_EVENTS_MAX } else { limit.saturating_mul(2) };
    let mut wanted: Vec<Seq> = Vec::new();
    let mut through = start.prev();
    let mut looked = 0;
    let mut end = walk_account(db, store.stats(), subscription.account, (start, head), |seq, bit| {
        through = seq;
        looked += 1;
        if subscription.may_want(bit, seq) {
            wanted.push(seq);
        }
        wanted.len() < candidates && looked < SCAN_MAX
    })?;
    if end {
        through = through.max(head);
    }
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
        return Ok(page(subscription, from, Vec::new(), through, end, floor));
    };
    let settled = settled(db, store.stats(), subscription.key, (*first, *last))?;
    let mut loader = EventLoader::new(db, floor, store.stats())?;
    let mut events = Vec::new();
    let mut bytes = 0;
    for seq in wanted.into_iter().filter(|seq| !settled.contains(seq)) {
        if events.len() >= limit || bytes >= PAGE_BYTES_MAX {
            // This one comes with the next page.
            (through, end) = (seq.prev(), false);
            break;
        }
        if let Some(event) = loader.load(seq)? {
            bytes += event.body().len();
            if subscription.wants(&Payload::new(&event)) {
                events.push(event);
            }
        }
    }
    Ok(page(subscription, from, events, through, end, floor))
}

/// How much a subscription wants from `from` to `through`. Where that is more than one look can take in,
/// the rest is taken to be as dense as what was seen; and of what a filter lets through, as a sample says.
pub(super) fn backlog(
    store: &Store,
    db: &Db,
    subscription: &Subscription,
    (from, through): (Seq, Seq),
) -> Result<Backlog, StoreError> {
    let floor = store.floor();
    let start = from.max(floor).max(Seq(1));
    let (mut looked, mut wanted) = (0, 0);
    let (mut first, mut seen) = (None, start.prev());
    let mut sample = subscription.has_filter().then(Sample::default);
    let whole = walk_account(db, store.stats(), subscription.account, (start, through), |seq, bit| {
        (seen, looked) = (seq, looked + 1);
        if subscription.may_want(bit, seq) {
            wanted += 1;
            first.get_or_insert(seq);
            if let Some(sample) = &mut sample {
                sample.take(seq);
            }
        }
        looked < SCAN_BACKLOG_MAX
    })?;
    let mut events: u64 = wanted;
    let mut oldest_at = None;
    if let Some(first) = first {
        let settled = settled(db, store.stats(), subscription.key, (first, seen))?;
        events = events.saturating_sub(settled.len() as u64);
        // The oldest that is open; one of those that follow where very many are settled.
        let mut loader = EventLoader::new(db, floor, store.stats())?;
        let mut open = first;
        while settled.contains(&open) {
            open = open.next();
        }
        oldest_at = loader.load(open)?.map(|event| event.accepted_at);
        if let Some(sample) = sample {
            events = sample.share(events, |seq| {
                let event = loader.load(seq)?;
                Ok(event.is_none_or(|event| subscription.wants(&Payload::new(&event))))
            })?;
        }
    }
    if !whole {
        let (span, part) = (through.0.saturating_sub(start.prev().0), seen.0.saturating_sub(start.prev().0));
        let estimate = u128::from(events) * u128::from(span) / u128::from(part.max(1));
        events = u64::try_from(estimate).unwrap_or(u64::MAX);
    }
    Ok(Backlog { subscription: subscription.key, from, events, oldest_at })
}

/// Places evenly spread over a walk whose length is not known before.
#[derive(Default)]
struct Sample {
    taken: Vec<Seq>,
    /// Each `1 << skip`th is taken.
    skip: u32,
    passed: u64,
}

impl Sample {
    fn take(&mut self, seq: Seq) {
        if self.passed.trailing_zeros() >= self.skip {
            if self.taken.len() >= SAMPLE_MAX {
                self.skip += 1;
                let mut even = false;
                self.taken.retain(|_| {
                    even = !even;
                    even
                });
            }
            if self.passed.trailing_zeros() >= self.skip {
                self.taken.push(seq);
            }
        }
        self.passed += 1;
    }

    /// The part of `all` that `wanted` says yes to, rounded up.
    fn share(
        self,
        all: u64,
        mut wanted: impl FnMut(Seq) -> Result<bool, StoreError>,
    ) -> Result<u64, StoreError> {
        let (mut of, mut yes) = (0, 0);
        for seq in self.taken {
            of += 1;
            yes += u64::from(wanted(seq)?);
        }
        let share = (u128::from(all) * u128::from(yes)).div_ceil(of.max(1));
        Ok(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

fn page(
    subscription: &Subscription,
    from: Seq,
    events: Vec<Arc<Event>>,
    through: Seq,
    end: bool,
    floor: Seq,
) -> SubscriptionPage {
    let expired_below = (from < floor).then_some(floor);
    SubscriptionPage { subscription: subscription.key, from, events, through, end, expired_below }
}

/// Retries of one worker, or of one subscription. Rows of subscriptions that are gone are left to the
/// writer to delete.
pub(super) fn retry_page(
    store: &Store,
    db: &Db,
    index: &Index,
    worker: usize,
    only: Option<SubscriptionKey>,
    (after, until): (Option<RetryKey>, UnixMillis),
) -> Result<RetryPage, StoreError> {
    let lowest = |due| RetryKey { due, subscription: SubscriptionKey(0), seq: Seq(0) };
    let from = Key::Retry(after.unwrap_or(lowest(UnixMillis(0))));
    let range = KeyRange::between(&from, &Key::Retry(lowest(until)));
    let mut rows = Vec::new();
    let mut next = None;
    let mut looked = 0;
    if range.lower >= range.upper {
        return Ok(RetryPage { only, rows, until, next });
    }
    let mut cursor = db.cursor(Family::Retries, &range)?;
    cursor.first();
    while let Some((bytes, value)) = cursor.row()? {
        if let Ok(Key::Retry(key)) = Key::parse(bytes)
            && after != Some(key)
        {
            if rows.len() >= PAGE_RETRIES_MAX || looked >= SCAN_RETRIES_MAX {
                break;
            }
            looked += 1;
            next = Some(key);
            if is_for(store, index, worker, only, key) {
                match decode::<RetryValue>(value) {
                    Ok(RetryValue { attempts, accepted_at, trigger }) => {
                        rows.push(RetryRow { key, attempts, accepted_at, trigger });
                    }
                    Err(error) => report_damage(store.stats(), Family::Retries, bytes, &error),
                }
            }
        }
        cursor.next();
    }
    if cursor.row()?.is_none() {
        next = None;
    }
    Ok(RetryPage { only, rows, until, next })
}

/// Waiting retries of one subscription, whenever they are due.
pub(super) fn heads_page(
    store: &Store,
    db: &Db,
    index: &Index,
    subscription: SubscriptionKey,
    serial: u64,
    after: Option<RetryKey>,
) -> Result<HeadsPage, StoreError> {
    // The worker counts only where all subscriptions are asked for.
    let page = retry_page(store, db, index, 0, Some(subscription), (after, UnixMillis(u64::MAX)))?;
    Ok(HeadsPage { subscription, serial, rows: page.rows, next: page.next })
}

fn is_for(store: &Store, index: &Index, worker: usize, only: Option<SubscriptionKey>, key: RetryKey) -> bool {
    let Some(subscription) = index.subscription(key.subscription) else {
        // Full: whoever reads this window next finds it again.
        let _ = store.orphans.push(key);
        return false;
    };
    match only {
        Some(only) => key.subscription == only,
        None => index.owner(subscription) == worker,
    }
}

/// The events at these places, oldest first, as far as one answer may bring them.
pub(super) fn bodies(
    store: &Store,
    db: &Db,
    wanted: &[(SubscriptionKey, Seq)],
) -> Result<Vec<Body>, StoreError> {
    let mut loader = EventLoader::new(db, store.floor(), store.stats())?;
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_unstable_by_key(|at| wanted.get(*at).map(|(_, seq)| *seq));
    let mut bodies = Vec::with_capacity(wanted.len());
    let mut bytes = 0;
    for (subscription, seq) in order.into_iter().filter_map(|at| wanted.get(at)) {
        let found = if bytes < PAGE_BYTES_MAX { loader.load(*seq)?.into() } else { Found::NotNow };
        if let Found::Event(event) = &found {
            bytes += event.body().len();
        }
        bodies.push(Body { subscription: *subscription, seq: *seq, found });
    }
    Ok(bodies)
}
