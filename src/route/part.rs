//! One account's part of the index.
//!
//! An event newer than the account's last change (every live one) is decided by present masks alone;
//! older ones, which only recovery and catching up bring, are asked of each candidate's epochs. Filters
//! come after masks: one event asks each distinct filter once, and parses its body if there is any.
//! Up to [`LINEAR_MAX`] subscriptions are tested one by one: an account with one of them costs about
//! 100 bytes beside the subscription. Above it each type has the list of those that ever wanted it.

use std::sync::Arc;

use foldhash::HashMap;

use super::owner::Placement;
use crate::model::{Event, EventMask, Filter, Paths, Payload, Seq, Subscription, SubscriptionKey, TypeBit};

/// Subscriptions up to which an account has no list per type.
pub const LINEAR_MAX: usize = 16;

struct Entry {
    subscription: Arc<Subscription>,
    worker: u8,
    /// The place of its present filter in the part's list; [`NO_FILTER`] where it has none.
    filter: u32,
}

const NO_FILTER: u32 = u32::MAX;

/// Those that ever wanted one type.
struct TypeList {
    /// Workers of those that want it now.
    workers: u64,
    /// Places in `entries`: first those that want it now, then the rest; each ordered by worker.
    places: Box<[u32]>,
    /// How many of `places` want it now.
    now: usize,
}

struct Lists {
    ever: EventMask,
    /// One for each type in `ever`, lowest bit first.
    types: Box<[TypeList]>,
}

pub(super) struct Part {
    /// All that any subscription wants now.
    now: EventMask,
    /// Where the youngest epoch began: from here on, present masks are the truth.
    latest: Seq,
    /// Ordered by worker.
    entries: Box<[Entry]>,
    lists: Option<Box<Lists>>,
    /// Those of present epochs, each once.
    filters: Box<[Arc<Filter>]>,
    /// What the filters of any epoch look at.
    paths: Paths,
}

fn present(sub: &Subscription) -> EventMask {
    sub.epochs.last().map_or(EventMask::NONE, |epoch| epoch.mask)
}

/// What the filters of a part say of one event, as far as they were asked.
struct Verdicts<'e> {
    payload: Payload<'e>,
    known: Vec<Option<bool>>,
}

impl Part {
    pub fn new(placement: &Placement, subscriptions: &[Arc<Subscription>]) -> Self {
        let mut filters = Filters::default();
        let mut entries: Vec<Entry> = subscriptions
            .iter()
            .map(|sub| Entry {
                worker: u8::try_from(placement.owner(sub)).unwrap_or(0),
                subscription: Arc::clone(sub),
                filter: filters.place(sub),
            })
            .collect();
        entries.sort_by_key(|entry| entry.worker);
        let now = entries.iter().fold(EventMask::NONE, |all, entry| all.union(&present(&entry.subscription)));
        let latest = entries
            .iter()
            .filter_map(|entry| entry.subscription.epochs.last().map(|epoch| epoch.from))
            .max()
            .unwrap_or_default();
        let lists = (entries.len() > LINEAR_MAX).then(|| Box::new(Lists::new(&entries)));
        let epochs = subscriptions.iter().flat_map(|sub| &sub.epochs);
        let paths = Paths::of(epochs.filter_map(|epoch| epoch.filter.as_deref()));
        Self { now, latest, entries: entries.into(), lists, filters: filters.distinct.into(), paths }
    }

    /// The keys of all subscriptions in it.
    pub fn keys(&self) -> Vec<SubscriptionKey> {
        self.entries.iter().map(|entry| entry.subscription.key).collect()
    }

    pub fn workers_wanting(&self, bit: TypeBit, seq: Seq) -> u64 {
        let live = seq >= self.latest;
        if live && !self.now.contains(bit) {
            return 0;
        }
        match &self.lists {
            Some(lists) if live => lists.of(bit).map_or(0, |list| list.workers),
            _ => {
                let mut workers = 0;
                self.candidates(bit, seq, None, |entry| workers |= 1 << (entry.worker & 63));
                workers
            }
        }
    }

    pub fn for_each(&self, event: &Event, worker: usize, mut f: impl FnMut(&Arc<Subscription>)) {
        let (bit, seq) = (event.type_bit, event.seq);
        if seq >= self.latest && !self.now.contains(bit) {
            return;
        }
        let Ok(worker) = u8::try_from(worker) else { return };
        let mut verdicts = Verdicts { payload: Payload::partial(event, &self.paths), known: Vec::new() };
        self.candidates(bit, seq, Some(worker), |entry| {
            if self.passes(entry, &mut verdicts) && !event.is_about(&entry.subscription.id) {
                f(&entry.subscription);
            }
        });
    }

    /// Whether the body of an event whose type is wanted fulfils the entry's filter.
    fn passes(&self, entry: &Entry, verdicts: &mut Verdicts<'_>) -> bool {
        let payload = &verdicts.payload;
        if payload.event().seq < self.latest {
            let then = entry.subscription.epoch_at(payload.event().seq);
            let filter = then.and_then(|epoch| epoch.filter.as_ref());
            return filter.is_none_or(|filter| payload.fulfils(filter));
        }
        let place = usize::try_from(entry.filter).unwrap_or(usize::MAX);
        let Some(filter) = self.filters.get(place) else { return true };
        verdicts.known.resize(self.filters.len(), None);
        match verdicts.known.get_mut(place) {
            Some(known) => *known.get_or_insert_with(|| payload.fulfils(filter)),
            None => payload.fulfils(filter),
        }
    }

    /// Calls `f` with each entry that may want the event, of one worker or of all.
    fn candidates(&self, bit: TypeBit, seq: Seq, worker: Option<u8>, mut f: impl FnMut(&Entry)) {
        let Some(lists) = &self.lists else {
            for entry in run(&self.entries, worker, |entry| entry.worker) {
                if entry.subscription.may_want(bit, seq) {
                    f(entry);
                }
            }
            return;
        };
        let Some(list) = lists.of(bit) else { return };
        let place = |place: &u32| usize::try_from(*place).ok().and_then(|place| self.entries.get(place));
        let worker_at = |at: &u32| place(at).map_or(u8::MAX, |entry| entry.worker);
        let (now, rest) = list.places.split_at_checked(list.now).unwrap_or_default();
        let live = seq >= self.latest;
        for entry in run(now, worker, worker_at).iter().filter_map(place) {
            if live || entry.subscription.may_want(bit, seq) {
                f(entry);
            }
        }
        if !live {
            let older = run(rest, worker, worker_at).iter().filter_map(place);
            older.filter(|entry| entry.subscription.may_want(bit, seq)).for_each(f);
        }
    }
}

/// Gives each distinct filter a place.
#[derive(Default)]
struct Filters<'s> {
    distinct: Vec<Arc<Filter>>,
    places: HashMap<&'s str, u32>,
}

impl<'s> Filters<'s> {
    fn place(&mut self, sub: &'s Subscription) -> u32 {
        let Some(filter) = sub.epochs.last().and_then(|epoch| epoch.filter.as_ref()) else {
            return NO_FILTER;
        };
        *self.places.entry(filter.as_str()).or_insert_with(|| {
            self.distinct.push(Arc::clone(filter));
            u32::try_from(self.distinct.len() - 1).unwrap_or(NO_FILTER)
        })
    }
}

/// The part of a slice ordered by worker that is one worker's; all of it for `None`.
fn run<T>(slice: &[T], worker: Option<u8>, worker_of: impl Fn(&T) -> u8) -> &[T] {
    let Some(worker) = worker else { return slice };
    let start = slice.partition_point(|item| worker_of(item) < worker);
    let end = slice.partition_point(|item| worker_of(item) <= worker);
    slice.get(start..end).unwrap_or_default()
}

impl Lists {
    fn new(entries: &[Entry]) -> Self {
        let ever = entries.iter().fold(EventMask::NONE, |all, e| all.union(&e.subscription.mask_ever()));
        let masks: Vec<(EventMask, EventMask)> =
            entries.iter().map(|e| (present(&e.subscription), e.subscription.mask_ever())).collect();
        let types = ever.bits().map(|bit| TypeList::new(bit, entries, &masks)).collect();
        Self { ever, types }
    }

    fn of(&self, bit: TypeBit) -> Option<&TypeList> {
        if self.ever.contains(bit) { self.types.get(self.ever.rank(bit)) } else { None }
    }
}

impl TypeList {
    fn new(bit: TypeBit, entries: &[Entry], masks: &[(EventMask, EventMask)]) -> Self {
        let (mut now, mut rest, mut workers) = (Vec::new(), Vec::new(), 0);
        for (place, (entry, (present, ever))) in (0u32..).zip(entries.iter().zip(masks)) {
            if present.contains(bit) {
                now.push(place);
                workers |= 1 << (entry.worker & 63);
            } else if ever.contains(bit) {
                rest.push(place);
            }
        }
        let count = now.len();
        now.append(&mut rest);
        Self { workers, places: now.into(), now: count }
    }
}
