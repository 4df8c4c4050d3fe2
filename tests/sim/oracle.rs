//! The oracle: it was told every accepted event and sees every request, and knows what must be true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use postrider::model::{
    Disposition, ErrorKind, Event, Seq, Status, Subscription, SubscriptionKey, UnixMillis,
};
use postrider::schedule::Counts;
use postrider::schedule::Send;

use crate::disk::Disk;
use crate::filters;
use crate::limits::Limits;
use crate::manners::Manners;
use crate::replays::Replays;

type Pair = (SubscriptionKey, Seq);

/// Queue bound as `world` sets it.
const QUEUED_MAX: usize = 160;

pub struct Oracle {
    pub seed: u64,
    events: Vec<Arc<Event>>,
    /// The present record of each subscription; `None` for a deleted one.
    subs: HashMap<SubscriptionKey, Option<Arc<Subscription>>>,
    delivered: HashSet<Pair>,
    /// In flight now, and whether a crash may have hidden the outcome of an earlier request.
    in_flight: HashMap<Pair, u32>,
    may_repeat: HashSet<Pair>,
    pub limits: Limits,
    by_sub: HashMap<SubscriptionKey, u32>,
    watermarks: HashMap<usize, Seq>,
    pub manners: Manners,
    pub replays: Replays,
    pub requests: u64,
    pub crashes: u64,
}

impl Oracle {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            events: Vec::new(),
            subs: HashMap::new(),
            delivered: HashSet::new(),
            in_flight: HashMap::new(),
            may_repeat: HashSet::new(),
            limits: Limits::new(seed),
            by_sub: HashMap::new(),
            watermarks: HashMap::new(),
            manners: Manners::new(seed),
            replays: Replays::default(),
            requests: 0,
            crashes: 0,
        }
    }

    pub fn accepted(&mut self, events: &[Arc<Event>]) {
        self.events.extend(events.iter().cloned());
    }

    pub fn changed(&mut self, key: SubscriptionKey, after: Option<&Arc<Subscription>>) {
        self.subs.insert(key, after.cloned());
    }

    pub fn sent(&mut self, now: UnixMillis, send: &Send) {
        self.requests += 1;
        let key = send.subscription.key;
        let pair = (key, send.event.seq);
        let seed = self.seed;
        // A shard hears of a change a moment after it is durable: what it sends is judged by what it had.
        assert_eq!(send.subscription.status, Status::Active, "seed {seed}: sent for an inactive {pair:?}");
        if let Some(Some(present)) = self.subs.get(&key) {
            let wanted = filters::wants(present, &send.event);
            assert!(wanted, "seed {seed}: {pair:?} was never wanted");
        }
        assert_eq!(send.subscription.account, send.event.account, "seed {seed}: another account's event");
        let repeated =
            self.delivered.contains(&pair) && !self.replays.sent(&pair) && !self.may_repeat.contains(&pair);
        assert!(!repeated, "seed {seed}: {pair:?} was sent again after it was delivered");
        self.manners.sent(now, (&send.subscription, send.event.seq), &self.events, &self.delivered);
        let flying = self.in_flight.entry(pair).or_default();
        *flying += 1;
        assert_eq!(*flying, 1, "seed {seed}: {pair:?} is in flight twice");
        let of_sub = self.by_sub.entry(key).or_default();
        *of_sub += 1;
        let max = send.subscription.delivery.max_in_flight;
        assert!(*of_sub <= max, "seed {seed}: {of_sub} requests of {key:?}, which may have {max}");
    }

    pub fn ended(&mut self, key: SubscriptionKey, seq: Seq, error: Option<ErrorKind>) {
        self.in_flight.remove(&(key, seq));
        *self.by_sub.get_mut(&key).expect("was sent") -= 1;
        if error.is_none() {
            self.delivered.insert((key, seq));
            self.replays.delivered(&(key, seq));
        }
    }

    /// The process died. What was in flight, or had ended and is not in the store, may be sent again.
    pub fn crashed(&mut self, disk: &Disk) {
        self.crashes += 1;
        self.manners.crashed(disk);
        let stored = |pair: &Pair| {
            disk.attempts
                .get(pair)
                .is_some_and(|all| all.iter().any(|attempt| attempt.disposition == Disposition::Delivered))
        };
        self.may_repeat.extend(self.delivered.iter().filter(|pair| !stored(pair)));
        self.may_repeat.extend(self.replays.pairs());
        self.in_flight.clear();
        self.limits.crashed();
        self.by_sub.clear();
        self.watermarks.clear();
    }

    pub fn watermark(&mut self, worker: usize, watermark: Seq) {
        let last = self.watermarks.insert(worker, watermark).unwrap_or_default();
        assert!(watermark >= last, "seed {}: the watermark of {worker} went back", self.seed);
    }

    pub fn bounds(&self, counts: &Counts) {
        // Every lane may hold sixteen however full the rest is, and a page may be under way for some.
        assert!(counts.queued <= QUEUED_MAX + 200, "seed {}: {} events queued", self.seed, counts.queued);
    }

    /// Pairs that were wanted when their event was accepted and are neither delivered nor dead.
    pub fn open<'a>(
        &'a self,
        subs: &'a BTreeMap<SubscriptionKey, Arc<Subscription>>,
        disk: &'a Disk,
    ) -> impl Iterator<Item = Pair> + 'a {
        self.events.iter().flat_map(move |event| {
            subs.values()
                .filter(|sub| filters::wants(sub, event))
                .map(|sub| (sub.key, event.seq))
                .filter(|pair| !Self::is_final(disk, pair))
        })
    }

    fn is_final(disk: &Disk, pair: &Pair) -> bool {
        disk.attempts.get(pair).is_some_and(|all| {
            all.iter().any(|a| matches!(a.disposition, Disposition::Delivered | Disposition::Dead))
        })
    }

    pub fn finish(&mut self, subs: &BTreeMap<SubscriptionKey, Arc<Subscription>>, disk: &Disk) {
        let seed = self.seed;
        self.replays.finish(seed, subs, disk);
        let open: Vec<_> = self.open(subs, disk).take(5).collect();
        assert!(open.is_empty(), "seed {seed}: accepted and never settled: {open:?}");
        for (pair, attempts) in &disk.attempts {
            if !subs.contains_key(&pair.0) {
                continue;
            }
            let stored = attempts.iter().filter(|a| a.disposition == Disposition::Delivered).count();
            if stored > 0 {
                assert!(self.delivered.contains(pair), "seed {seed}: {pair:?} is noted and never happened");
            }
            assert!(
                stored <= 1 + self.replays.times(pair),
                "seed {seed}: {pair:?} is noted as delivered {stored} times"
            );
            let dead = disk.dead.contains_key(pair);
            let died = attempts.last().is_some_and(|last| last.disposition == Disposition::Dead);
            assert_eq!(dead, died, "seed {seed}: whether {pair:?} is among the dead letters");
            let spent = attempts.iter().any(|a| a.number >= 5 || a.status == Some(410));
            assert!(!dead || spent, "seed {seed}: {pair:?} is dead before its time");
            assert!(stored > 0 || dead, "seed {seed}: {pair:?} has no end");
        }
        let waiting = disk.retries.keys().find(|key| subs.contains_key(&key.subscription));
        assert_eq!(waiting, None, "seed {seed}: a retry waits for ever");
    }
}
