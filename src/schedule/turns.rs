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
            host.ready.retain(|ready| *ready != subscription);
        }
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
    pub fn front(&mut self, now: Mono) -> Option<(HostKey, SubscriptionKey)> {
        while let Some(key) = self.circle.front().copied() {
            let mut until = None;
            if let Some(host) = self.host(key) {
                match (host.gate(now), host.ready.front()) {
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
    pub fn sent(&mut self, key: HostKey, now: Mono) -> Generation {
        let generation = self.host(key).map(|host| host.start(now)).unwrap_or_default();
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
        }
    }

    /// Takes a subscription out of its line, wherever it stands.
    pub fn withdraw(&mut self, key: HostKey, subscription: SubscriptionKey) {
        if let Some(host) = self.host(key) {
            host.ready.retain(|ready| *ready != subscription);
        }
    }

    /// A request to this host ended. Gives what that did to its breaker.
    pub fn ended(&mut self, key: HostKey, now: Mono, ended: Ended) -> Option<Transition> {
        let Self { hosts, options, .. } = self;
        let host = hosts.get_mut(key.0 as usize)?.as_mut()?;
        debug_assert!(host.in_flight > 0, "more ends than starts at {}", host.authority);
        host.in_flight = host.in_flight.saturating_sub(1);
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
mod tests {
    use super::*;
    use crate::model::{ErrorKind, HostRule};
    use crate::schedule::breaker::Fault;

    fn turns(in_flight_max: u32) -> Turns {
        Turns::new(HostOptions {
            in_flight_max,
            workers: 1,
            breaker: BreakerPolicy {
                window: Duration::from_secs(30),
                min_requests: 2,
                failure_ratio: 0.5,
                open: Duration::from_secs(5),
                open_max: Duration::from_secs(60),
            },
            rules: Arc::default(),
        })
    }

    const NOW: Mono = Mono(0);

    fn end(turns: &mut Turns, host: HostKey, generation: Generation, sign: Sign) -> Option<Transition> {
        turns.ended(host, NOW, Ended { generation, sign })
    }

    fn authority(host: &str) -> Authority {
        Authority { tls: false, host: host.into(), port: 80 }
    }

    #[test]
    fn hosts_take_turns_and_caps_hold() {
        let mut turns = turns(2);
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        let b = turns.join(&authority("b"), SubscriptionKey(2));
        turns.enlist(a, SubscriptionKey(1));
        turns.enlist(b, SubscriptionKey(2));
        let (mut order, mut started) = (Vec::new(), Vec::new());
        while let Some((host, subscription)) = turns.front(NOW) {
            order.push(subscription.0);
            started.push((host, turns.sent(host, NOW)));
        }
        assert_eq!(order, [1, 2, 1, 2], "two each, in turn, then both are at their cap");
        end(&mut turns, a, started[0].1, Sign::Well);
        assert_eq!(turns.front(NOW), Some((a, SubscriptionKey(1))));
    }

    #[test]
    fn a_host_is_forgotten_with_its_last_request() {
        let mut turns = turns(4);
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        turns.enlist(a, SubscriptionKey(1));
        assert!(turns.front(NOW).is_some());
        let generation = turns.sent(a, NOW);
        turns.leave(a, SubscriptionKey(1));
        assert_eq!((turns.front(NOW), turns.hosts_len()), (None, 1));
        end(&mut turns, a, generation, Sign::Well);
        assert_eq!((turns.hosts_len(), turns.next_wake()), (0, None));
    }

    #[test]
    fn sharing_leaves_room() {
        let mut turns = turns(32);
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        assert_eq!(turns.share(a), 32);
        assert_eq!(turns.join(&authority("a"), SubscriptionKey(2)), a);
        assert_eq!(turns.share(a), 24);
        turns.set_cap(a, 200);
        assert_eq!(turns.share(a), 150);
    }

    #[test]
    fn an_open_breaker_takes_its_host_out_of_the_circle() {
        let mut turns = turns(8);
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        turns.enlist(a, SubscriptionKey(1));
        let ill = Sign::Ill(Fault { kind: ErrorKind::Connect, status: None });
        let started: Vec<_> = (0..3).map(|_| turns.sent(a, NOW)).collect();
        assert_eq!(end(&mut turns, a, started[0], ill), None);
        assert_eq!(end(&mut turns, a, started[1], ill).expect("opens").to, BreakerState::Open);
        assert_eq!((turns.front(NOW), turns.breakers()), (None, [0, 1, 0]));
        let at = turns.next_wake().expect("it half-opens");
        assert_eq!(turns.handle_timeout(Mono(at.0 - 1)), None);
        let (host, transition) = turns.handle_timeout(at).expect("now");
        assert_eq!((host, transition.to), (a, BreakerState::HalfOpen));
        assert_eq!((turns.breakers(), turns.next_wake()), ([0, 0, 1], None));
        assert!(turns.front(at).is_some(), "the probe");
        let probe = turns.sent(a, at);
        assert_eq!(turns.front(at), None);
        assert_eq!(end(&mut turns, a, started[2], ill), None, "an old one is no probe");
        assert_eq!(end(&mut turns, a, probe, Sign::Well).expect("closes").to, BreakerState::Closed);
        assert!(turns.front(at).is_some());
        turns.leave(a, SubscriptionKey(1));
        assert_eq!((turns.breakers(), turns.hosts_len()), ([0, 0, 0], 0));
        let changes: Vec<_> = turns.take_changes().iter().map(|change| change.transition.to).collect();
        assert_eq!(changes, [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
        assert_eq!(turns.transitions(), [1, 1, 1]);
    }

    #[test]
    fn leaving_and_coming_back_does_not_get_round_a_breaker() {
        let mut turns = turns(8);
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        let ill = Sign::Ill(Fault { kind: ErrorKind::Connect, status: None });
        for _ in 0..2 {
            let started = turns.sent(a, NOW);
            end(&mut turns, a, started, ill);
        }
        turns.leave(a, SubscriptionKey(1));
        assert_eq!(turns.join(&authority("a"), SubscriptionKey(2)), a);
        assert_eq!(turns.breaker(a), BreakerState::Open);
        turns.leave(a, SubscriptionKey(2));
        let at = turns.next_wake().expect("then it is forgotten");
        assert!(turns.handle_timeout(at).is_some());
        assert_eq!((turns.breakers(), turns.hosts_len()), ([0, 0, 0], 0));
        assert_eq!(turns.take_changes().last().map(|change| change.transition.why), Some(Why::Forgotten));
    }

    #[test]
    fn a_host_waits_for_its_tokens() {
        let mut turns = turns(8);
        let rule = HostRule { rate_per_second: Some(2.0), ..HostRule::DEFAULT };
        turns.options.rules = Arc::new(HostRules::new([("a", rule)]));
        let a = turns.join(&authority("a"), SubscriptionKey(1));
        let b = turns.join(&authority("b"), SubscriptionKey(2));
        turns.enlist(a, SubscriptionKey(1));
        turns.enlist(b, SubscriptionKey(2));
        let mut starts = [0, 0];
        while let Some((host, _)) = turns.front(NOW) {
            let _ = turns.sent(host, NOW);
            starts[usize::from(host == b)] += 1;
        }
        assert_eq!(starts, [1, 8], "one at the rate, the other up to its cap");
        let at = turns.next_wake().expect("the next token");
        assert!(at > Mono(500_000_000) && at < Mono(501_000_000));
        assert_eq!(turns.front(at), None, "not before it is told the time");
        assert_eq!(turns.handle_timeout(at), None);
        assert_eq!(turns.front(at), Some((a, SubscriptionKey(1))));
    }
}
