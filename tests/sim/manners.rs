//! What the oracle knows of manners: order, and the times that receivers asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use postrider::model::{Event, OnBlocked, Ordering, Seq, Subscription, SubscriptionKey, UnixMillis};
use postrider::schedule::order::holds_order;

use crate::disk::Disk;
use crate::filters;

type Pair = (SubscriptionKey, Seq);

/// Part of the oracle. A shard hears of a change a moment after it is durable, so what it sends is judged
/// by the record that it sends with.
#[derive(Default)]
pub struct Manners {
    seed: u64,
    /// Dead as far as the shards know.
    dead: HashSet<Pair>,
    /// By subscription, how many of all events are done or were never for it.
    done: HashMap<SubscriptionKey, usize>,
    /// When a pair may be sent again.
    not_before: HashMap<Pair, UnixMillis>,
    /// When a subscription last did well or was made anew: success, activation, another URL.
    well_at: HashMap<SubscriptionKey, UnixMillis>,
    /// How often one was given up for nothing but failure.
    pub given_up: u64,
    /// Requests of subscriptions in order.
    pub in_order: u64,
    /// The record under which a parking subscription failed.
    parked: HashMap<SubscriptionKey, u64>,
}

impl Manners {
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Everything older that a subscription in order wants must be delivered or dead.
    pub fn sent(
        &mut self,
        now: UnixMillis,
        (sub, seq): (&Subscription, Seq),
        events: &[Arc<Event>],
        delivered: &HashSet<Pair>,
    ) {
        let (seed, pair) = (self.seed, (sub.key, seq));
        let asked = self.not_before.get(&pair).copied().unwrap_or_default();
        assert!(now >= asked, "seed {seed}: {pair:?} is sent before the time that its receiver named");
        let parked = self.parked.get(&sub.key) == Some(&sub.version);
        assert!(!parked, "seed {seed}: {pair:?} is sent after a failure that parks");
        if !holds_order(sub) {
            return;
        }
        self.in_order += 1;
        let done = self.done.entry(sub.key).or_default();
        let is_done = |event: &Event| {
            let pair = (sub.key, event.seq);
            !filters::wants(sub, event) || delivered.contains(&pair) || self.dead.contains(&pair)
        };
        while events.get(*done).is_some_and(|event| event.seq < seq && is_done(event)) {
            *done += 1;
        }
        if let Some(first) = events.get(*done).filter(|event| event.seq < seq) {
            panic!("seed {seed}: {pair:?} is sent before {:?}, which is older and open", first.seq);
        }
    }

    /// A failed attempt that is to be repeated.
    pub fn failed(&mut self, pair: Pair, sub: &Subscription, not_before: UnixMillis) {
        self.not_before.insert(pair, not_before);
        if sub.delivery.ordering == Ordering::Fifo && sub.delivery.on_blocked == OnBlocked::Park {
            self.parked.insert(sub.key, sub.version);
        }
    }

    /// Somebody wants it now, whatever its receiver asked for.
    pub fn asked_again(&mut self, pair: Pair) {
        self.not_before.remove(&pair);
    }

    /// It succeeded, or begins anew.
    pub fn well(&mut self, now: UnixMillis, key: SubscriptionKey) {
        self.well_at.insert(key, now);
    }

    /// A shard gives a subscription up that saw nothing but failures for `after`.
    pub fn gives_up(&mut self, now: UnixMillis, key: SubscriptionKey, after: Duration) {
        self.given_up += 1;
        let well_at = self.well_at.get(&key).copied().unwrap_or_default();
        let seed = self.seed;
        assert!(now.since(well_at) >= after, "seed {seed}: {key:?} is given up, and was well at {well_at:?}");
    }

    pub fn died(&mut self, pair: Pair) {
        self.dead.insert(pair);
    }

    /// What was not written down is forgotten.
    pub fn crashed(&mut self, disk: &Disk) {
        self.dead.retain(|pair| disk.dead.contains_key(pair));
        self.done.clear();
        self.parked.clear();
        // A success that was not written down never was.
        for (key, since) in &disk.failing {
            self.well_at.entry(*key).and_modify(|at| *at = (*at).min(*since));
        }
        let due: HashMap<Pair, UnixMillis> =
            disk.retries.keys().map(|key| ((key.subscription, key.seq), key.due)).collect();
        self.not_before.retain(|pair, at| due.get(pair).is_some_and(|due| due >= at));
    }
}
