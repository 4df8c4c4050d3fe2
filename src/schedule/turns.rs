//! Whose turn it is: hosts in a circle, and within a host its subscriptions by deficit round robin
//! (Shreedhar and Varghese, 1996), so that neither many nor large events of one delay another.
//!
//! What a host can take is the business of [`Host`]; here stands which hosts have something to send and
//! room for it, and which wait for a time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;

use super::breaker::{BreakerPolicy, BreakerState, Generation, Sign, Transition, Why};
pub use super::host::Start;
use super::host::{Gate, Host};
use crate::model::{Authority, HostRules, Mono, SubscriptionKey};

/// A host's number within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(pub u32);

/// Bytes that a turn adds to a subscription's credit.
pub const QUANTUM: u32 = 4096;

/// Changes of breakers that wait to be told at most; beyond, they are only counted.
const CHANGES_MAX: usize = 1024;

/// A change of a host's breaker, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerChange {
    pub host: Authority,
    pub transition: Transition,
}

/// What holds for hosts.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Requests in flight to one host, at least 1.
    pub in_flight_max: u32,
    /// How many workers there are.
    pub workers: usize,
    pub breaker: BreakerPolicy,
    /// What holds for single hosts instead.
    pub rules: Arc<HostRules>,
}

/// What a request that ended says about its host.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As it was given when the request was started.
    pub generation: Generation,
    pub sign: Sign,
    /// As they were when it was started.
    pub retry: bool,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Turns {
    options: HostOptions,
    hosts: Vec<Option<Host>>,
    free: Vec<u32>,
    by_authority: HashMap<Authority, HostKey>,
    /// Hosts with something ready and room for it.
    circle: VecDeque<HostKey>,
    /// Hosts that wait for a time.
    due: BTreeSet<(Mono, HostKey)>,
    /// Hosts whose breaker is open, and half-open.
    open: usize,
    half_open: usize,
    changes: Vec<BreakerChange>,
    /// All changes so far, by the state that they came to.
    transitions: [u64; 3],
}

impl Turns {
    #[must_use]
    pub fn new(options: HostOptions) -> Self {
        Self {
            options,
            hosts: Vec::new(),
            free: Vec::new(),
            by_authority: HashMap::default(),
            circle: VecDeque::new(),
            due: BTreeSet::new(),
            open: 0,
            half_open: 0,
            changes: Vec::new(),
            transitions: [0; 3],
        }
    }

    /// `subscription` lives at `authority` from now on.
    pub fn join(&mut self, authority: &Authority, subscription: SubscriptionKey) -> HostKey {
        if let Some(key) = self.by_authority.get(authority).copied() {
            if let Some(host) = self.host(key) {
                host.lanes.push(subscription);
            }
            return key;
        }
        let HostOptions { in_flight_max, workers, rules, .. } = &self.options;
        let mut host = Host::new(authority.clone(), rules.of(authority), *in_flight_max, *workers);
        host.lanes.push(subscription);
        let index = self.free.pop().unwrap_or_else(|| {
            self.hosts.push(None);
            u32::try_from(self.hosts.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.hosts.get_mut(index as usize) {
            *slot = Some(host);
        }
        self.by_authority.insert(authority.clone(), HostKey(index));
        HostKey(index)
    }

    /// `subscription` lives at `key` no longer. The host is forgotten when nothing is left of it.
    pub fn leave(&mut self, key: HostKey, subscription: SubscriptionKey) {
        if let Some(host) = self.host(key) {
            if let Some(at) = host.lanes.iter().position(|lane| *lane == subscription) {
                host.lanes.swap_remove(at);
            }
            host.withdraw(subscription);
        }
        self.list(key);
        self.forget_if_unused(key);
    }

    /// A host that is left alone is remembered until then, or who makes a subscription anew would get
    /// round it.
    fn forget_if_unused(&mut self, key: HostKey) {
        let Some(slot) = self.hosts.get_mut(key.0 as usize) else { return };
        let unused = |host: &Host| {
            host.lanes.is_empty() && host.in_flight == 0 && host.breaker.state() != BreakerState::Open
        };
        if slot.as_ref().is_some_and(unused)
            && let Some(host) = slot.take()
        {
            self.by_authority.remove(&host.authority);
            self.circle.retain(|listed| *listed != key);
            if let Some(at) = host.due {
                self.due.remove(&(at, key));
            }
            self.free.push(key.0);
            let from = host.breaker.state();
            if from != BreakerState::Closed {
                let to = BreakerState::Closed;
                let transition = Transition { to, why: Why::Forgotten, open_for: Duration::ZERO };
                self.note(&host.authority, from, transition);
            }
        }
    }

    fn host(&mut self, key: HostKey) -> Option<&mut Host> {
        self.hosts.get_mut(key.0 as usize)?.as_mut()
    }

    #[must_use]
    pub fn get(&self, key: HostKey) -> Option<&Host> {
        self.hosts.get(key.0 as usize)?.as_ref()
    }

    #[must_use]
    pub fn find(&self, authority: &Authority) -> Option<HostKey> {
        self.by_authority.get(authority).copied()
    }

    /// How many requests one subscription may have in flight at this host.
    #[must_use]
    pub fn share(&self, key: HostKey) -> u32 {
        self.get(key).map_or(1, Host::share)
    }

    #[must_use]
    pub fn breaker(&self, key: HostKey) -> BreakerState {
        self.get(key).map_or(BreakerState::Closed, |host| host.breaker.state())
    }

    /// Hosts by the state of their breaker, in the order of [`BreakerState::ALL`].
    #[must_use]
    pub fn breakers(&self) -> [usize; 3] {
        let closed = self.by_authority.len().saturating_sub(self.open + self.half_open);
        [closed, self.open, self.half_open]
    }

    #[must_use]
    pub fn transitions(&self) -> [u64; 3] {
        self.transitions
    }

    /// Changes since the last call.
    pub fn take_changes(&mut self) -> Vec<BreakerChange> {
        std::mem::take(&mut self.changes)
    }

    fn note(&mut self, host: &Authority, from: BreakerState, transition: Transition) {
        let to = transition.to;
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(BreakerChange { host: host.clone(), transition });
        }
        for (state, count) in BreakerState::ALL.into_iter().zip(&mut self.transitions) {
            *count += u64::from(state == to);
        }
        for (state, number) in
            [(BreakerState::Open, &mut self.open), (BreakerState::HalfOpen, &mut self.half_open)]
        {
            *number -= usize::from(from == state && *number > 0);
            *number += usize::from(to == state);
        }
    }

    /// So many requests a host's connections can carry at once now, at least one.
    pub fn set_cap(&mut self, key: HostKey, cap: u32) {
        if let Some(host) = self.host(key) {
            host.cap = cap.max(1);
        }
        self.list(key);
    }

    /// `subscription` has something to send and may. It must not be in line already.
    pub fn enlist(&mut self, key: HostKey, subscription: SubscriptionKey) {
        if let Some(host) = self.host(key) {
            debug_assert!(!host.ready.contains(&subscription) || host.ready.len() > 64);
            host.ready.push_back(subscription);
        }
        self.list(key);
    }

    /// Puts a host into the circle where it has something to send and room for it.
    fn list(&mut self, key: HostKey) {
        if let Some(host) = self.host(key)
            && !host.listed
            && !host.ready.is_empty()
            && host.has_room()
            && host.due.is_none()
        {
            host.listed = true;
            self.circle.push_back(key);
        }
    }

    /// The host and subscription whose turn it is. It stays first in its host's line.
    /// `free_bytes`: of bodies, that may still go out.
    pub fn front(&mut self, now: Mono, free_bytes: usize) -> Option<(HostKey, SubscriptionKey)> {
        while let Some(key) = self.circle.front().copied() {
            let mut until = None;
            if let Some(host) = self.host(key) {
                match (host.gate(now, free_bytes), host.ready.front()) {
                    (Gate::Open, Some(subscription)) => return Some((key, *subscription)),
                    (Gate::Until(at), Some(_)) => until = Some(at),
                    _ => {}
                }
                host.listed = false;
            }
            self.circle.pop_front();
            if let Some(at) = until {
                self.wait_until(key, at);
            }
        }
        None
    }

    fn wait_until(&mut self, key: HostKey, at: Mono) {
        let old = self.host(key).and_then(|host| host.due.replace(at));
        if let Some(old) = old {
            self.due.remove(&(old, key));
        }
        self.due.insert((at, key));
    }

    /// When [`Turns::handle_timeout`] has to be called.
    #[must_use]
    pub fn next_wake(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Time has passed: hosts that waited for it are looked at again. Call it until it gives `None`; what
    /// it gives is a host whose breaker has changed.
    pub fn handle_timeout(&mut self, now: Mono) -> Option<(HostKey, Transition)> {
        while let Some((_, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_first();
            let Some(host) = self.host(key) else { continue };
            host.due = None;
            let change = host.breaker.handle_timeout(now).map(|change| (host.authority.clone(), change));
            if change.is_some() && host.lanes.len() > 1 {
                // Another lane is woken first each time, so that each may send the probe.
                host.lanes.rotate_left(1);
            }
            self.list(key);
            if let Some((authority, transition)) = change {
                self.note(&authority, BreakerState::Open, transition);
                self.forget_if_unused(key);
                return Some((key, transition));
            }
        }
        None
    }

    /// The front one sent a request; the next host has its turn. What is given back comes back with
    /// [`Turns::ended`].
    pub fn sent(&mut self, key: HostKey, start: Start) -> Generation {
        let generation = self.host(key).map(|host| host.start(start)).unwrap_or_default();
        if self.circle.len() > 1 && self.circle.front() == Some(&key) {
            self.circle.rotate_left(1);
        }
        generation
    }

    /// The front subscription of this host has spent its credit: the next one's turn.
    pub fn rotate(&mut self, key: HostKey) {
        if let Some(host) = self.host(key)
            && host.ready.len() > 1
        {
            host.ready.rotate_left(1);
        }
    }

    /// The front subscription of this host cannot send now.
    pub fn unlist(&mut self, key: HostKey) {
        if let Some(host) = self.host(key) {
            host.ready.pop_front();
            host.admit();
        }
    }

    /// The front subscription of this host has but retries, and [`Turns::may_retry`] says no.
    pub fn hold(&mut self, key: HostKey) {
        if let Some(host) = self.host(key) {
            host.hold();
        }
    }

    /// Whether one more retry may go to this host.
    #[must_use]
    pub fn may_retry(&self, key: HostKey) -> bool {
        self.get(key).is_some_and(Host::may_retry)
    }

    /// First attempts wait in this lane of the host, or no longer.
    pub fn fresh_waits(&mut self, key: HostKey, subscription: SubscriptionKey, waits: bool) {
        if let Some(host) = self.host(key) {
            host.fresh_waits(subscription, waits);
        }
        self.list(key);
    }

    /// A request to this host ended. Gives what that did to its breaker.
    pub fn ended(&mut self, key: HostKey, now: Mono, ended: Ended) -> Option<Transition> {
        let Self { hosts, options, .. } = self;
        let host = hosts.get_mut(key.0 as usize)?.as_mut()?;
        host.end(ended.retry, ended.bytes);
        let before = host.breaker.state();
        let transition =
            host.breaker.ended(&options.breaker, now, host.hash, ended.generation, ended.sign, host.cap);
        let wake = host.breaker.next_wake();
        if let Some(transition) = transition {
            let authority = host.authority.clone();
            self.note(&authority, before, transition);
            if let Some(at) = wake {
                self.wait_until(key, at);
            }
        }
        self.list(key);
        self.forget_if_unused(key);
        transition
    }

    /// Hosts that are known, for tests of boundedness.
    #[must_use]
    pub fn hosts_len(&self) -> usize {
        self.by_authority.len()
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
