//! One receiving host within a shard: who lives on it, what is in flight to it, and whether it may be
//! sent to now. Four things can forbid it: its cap, its breaker, its rate, and that retries hold too much
//! of it. The first two and the last end with a request; the rate, and an open breaker, end with time.

use std::collections::VecDeque;

use super::breaker::{Breaker, Generation};
use super::bucket::Bucket;
use crate::model::{Authority, HostRule, Mono, SubscriptionKey};

/// Whether a host may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// Not before a request to it has ended.
    Full,
    /// Not before this time.
    Until(Mono),
}

#[derive(Debug)]
pub struct Host {
    pub authority: Authority,
    /// Spreads what hosts do at the same time.
    pub hash: u64,
    /// Subscriptions that can send, in the order of their turns.
    pub ready: VecDeque<SubscriptionKey>,
    pub in_flight: u32,
    /// Subscriptions that live on this host.
    pub lanes: Vec<SubscriptionKey>,
    /// Whether the host is in the circle.
    pub listed: bool,
    /// When it is looked at again without a request ending, where it is among those that wait for time.
    pub due: Option<Mono>,
    /// Requests that its connections can carry at once.
    pub cap: u32,
    pub breaker: Breaker,
    bucket: Option<Bucket>,
}

impl Host {
    /// `cap`: requests at once where its rule says nothing. `workers`: how many share it at most.
    #[must_use]
    pub fn new(authority: Authority, rule: &HostRule, cap: u32, workers: usize) -> Self {
        // Each of the workers that share the host has its part of the rate.
        let sharers = u32::try_from(rule.spread.clamp(1, workers.max(1))).unwrap_or(u32::MAX);
        Self {
            hash: crate::route::hash_of(&authority),
            authority,
            ready: VecDeque::new(),
            in_flight: 0,
            lanes: Vec::new(),
            listed: false,
            due: None,
            cap: rule.max_connections.unwrap_or(cap).max(1),
            breaker: Breaker::default(),
            bucket: rule.rate_per_second.map(|rate| Bucket::new(rate / f64::from(sharers))),
        }
    }

    /// Whether nothing but time can stand in the way: for this the clock is not needed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.cap && self.breaker.may_start()
    }

    #[must_use]
    pub fn gate(&self, now: Mono) -> Gate {
        if !self.has_room() {
            return self.breaker.next_wake().map_or(Gate::Full, Gate::Until);
        }
        self.bucket.as_ref().and_then(|bucket| bucket.ready_at(now)).map_or(Gate::Open, Gate::Until)
    }

    /// A request is started.
    pub fn start(&mut self, now: Mono) -> Generation {
        self.in_flight += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.breaker.started()
    }

    /// How many requests one subscription may have in flight here: no more than three quarters where
    /// others live here too, so that one whose requests hang leaves room for its neighbours.
    #[must_use]
    pub fn share(&self) -> u32 {
        if self.lanes.len() <= 1 { self.cap } else { (self.cap * 3 / 4).max(1) }
    }
}
