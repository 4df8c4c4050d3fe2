//! One receiving host within a shard: who lives on it, what is in flight to it, and whether it may be
//! sent to now. Its cap, its breaker, its rate and the memory of what is in flight can forbid it. The rate
//! and an open breaker end with time, the others with a request.

use std::collections::VecDeque;

use super::breaker::{Breaker, BreakerState, Generation};
use super::room::retries_max;
use crate::model::bucket::Bucket;
use crate::model::{Authority, HostRule, Mono, SubscriptionKey};

/// A request that goes out.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub now: Mono,
    pub retry: bool,
    /// Of its body.
    pub bytes: usize,
}

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
    /// Those of the line that have but retries, while retries hold all of the host that they may.
    held: VecDeque<SubscriptionKey>,
    pub in_flight: u32,
    /// Of those, how many are retries, and the bytes of the bodies of all.
    in_flight_retries: u32,
    in_flight_bytes: usize,
    /// Lanes in which first attempts wait.
    fresh_waiting: u32,
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
            held: VecDeque::new(),
            in_flight: 0,
            in_flight_retries: 0,
            in_flight_bytes: 0,
            fresh_waiting: 0,
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

    /// `free_bytes`: what may still go out to all hosts together. No host has more than is left for the
    /// others, so that hosts that hang with large bodies do not stop the rest.
    #[must_use]
    pub fn gate(&self, now: Mono, free_bytes: usize) -> Gate {
        if self.has_room() && self.in_flight_bytes > free_bytes {
            return Gate::Full;
        }
        if !self.has_room() {
            return self.breaker.next_wake().map_or(Gate::Full, Gate::Until);
        }
        self.bucket.as_ref().and_then(|bucket| bucket.ready_at(now)).map_or(Gate::Open, Gate::Until)
    }

    /// A request is started.
    pub fn start(&mut self, start: Start) -> Generation {
        let Start { now, retry, bytes } = start;
        self.in_flight += 1;
        self.in_flight_retries += u32::from(retry);
        self.in_flight_bytes += bytes;
        self.admit();
        if self.breaker.state() == BreakerState::HalfOpen && self.ready.len() > 1 {
            // The next probe is another's: one subscription that only fails must not keep a host closed off.
            self.ready.rotate_left(1);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.breaker.started()
    }

    /// A request ended.
    pub fn end(&mut self, retry: bool, bytes: usize) {
        debug_assert!(self.in_flight > 0, "more ends than starts at {}", self.authority);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.in_flight_retries = self.in_flight_retries.saturating_sub(u32::from(retry));
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        self.admit();
    }

    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.in_flight_retries < retries_max(self.cap, self.fresh_waiting > 0)
    }

    /// First attempts wait in the lane of `subscription`, or no longer.
    pub fn fresh_waits(&mut self, subscription: SubscriptionKey, waits: bool) {
        if waits {
            self.fresh_waiting += 1;
            // It has not only retries any more.
            if let Some(at) = self.held.iter().position(|held| *held == subscription) {
                self.ready.extend(self.held.remove(at));
            }
        } else {
            self.fresh_waiting = self.fresh_waiting.saturating_sub(1);
            self.admit();
        }
    }

    /// The first of the line has but retries, and they hold all that they may.
    pub fn hold(&mut self) {
        self.held.extend(self.ready.pop_front());
    }

    /// One that was held is in line again, where retries hold less than they may. As long as there is one
    /// there are retries in flight, or somebody is in line: each that ends or leaves the line lets one in.
    pub fn admit(&mut self) {
        if self.may_retry() {
            self.ready.extend(self.held.pop_front());
        }
    }

    /// `subscription` is in no line any more.
    pub fn withdraw(&mut self, subscription: SubscriptionKey) {
        self.ready.retain(|ready| *ready != subscription);
        self.held.retain(|held| *held != subscription);
        self.admit();
    }

    /// How many requests one subscription may have in flight here: no more than three quarters where
    /// others live here too, so that one whose requests hang leaves room for its neighbours.
    #[must_use]
    pub fn share(&self) -> u32 {
        if self.lanes.len() <= 1 { self.cap } else { (self.cap * 3 / 4).max(1) }
    }
}
