//! Whose turn it is: hosts in a circle, and within a host its subscriptions by deficit round robin
//! (Shreedhar and Varghese, 1996), so that neither many nor large events of one delay another.
//!
//! A host's cap bounds connections; no subscription that shares a host gets more than three quarters
//! of it, so that one whose requests hang leaves room for its neighbours.

use std::collections::VecDeque;

use foldhash::HashMap;

use crate::model::{Authority, SubscriptionKey};

/// A host's number within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(pub u32);

/// Bytes that a turn adds to a subscription's credit.
pub const QUANTUM: u32 = 4096;

#[derive(Debug)]
struct Host {
    authority: Authority,
    /// Subscriptions that can send, in the order of their turns.
    ready: VecDeque<SubscriptionKey>,
    in_flight: u32,
    /// Subscriptions that live on this host.
    lanes: u32,
    /// Whether the host is in the circle.
    listed: bool,
}

#[derive(Debug)]
pub struct Turns {
    hosts: Vec<Option<Host>>,
    free: Vec<u32>,
    by_authority: HashMap<Authority, HostKey>,
    /// Hosts with something ready and room for it.
    circle: VecDeque<HostKey>,
    cap: u32,
}

impl Turns {
    /// `cap`: requests in flight to one host, at least 1.
    #[must_use]
    pub fn new(cap: u32) -> Self {
        Self {
            hosts: Vec::new(),
            free: Vec::new(),
            by_authority: HashMap::default(),
            circle: VecDeque::new(),
            cap: cap.max(1),
        }
    }

    /// One more subscription lives at `authority`.
    pub fn join(&mut self, authority: &Authority) -> HostKey {
        if let Some(key) = self.by_authority.get(authority).copied() {
            if let Some(host) = self.host(key) {
                host.lanes += 1;
            }
            return key;
        }
        let host = Host {
            authority: authority.clone(),
            ready: VecDeque::new(),
            in_flight: 0,
            lanes: 1,
            listed: false,
        };
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

    /// One subscription fewer lives at `key`. The host is forgotten when nothing is left of it.
    pub fn leave(&mut self, key: HostKey, subscription: SubscriptionKey) {
        if let Some(host) = self.host(key) {
            host.lanes = host.lanes.saturating_sub(1);
            host.ready.retain(|ready| *ready != subscription);
        }
        self.forget_if_unused(key);
    }

    fn forget_if_unused(&mut self, key: HostKey) {
        let Some(slot) = self.hosts.get_mut(key.0 as usize) else { return };
        if slot.as_ref().is_some_and(|host| host.lanes == 0 && host.in_flight == 0)
            && let Some(host) = slot.take()
        {
            self.by_authority.remove(&host.authority);
            self.circle.retain(|listed| *listed != key);
            self.free.push(key.0);
        }
    }

    fn host(&mut self, key: HostKey) -> Option<&mut Host> {
        self.hosts.get_mut(key.0 as usize)?.as_mut()
    }

    /// How many requests one subscription may have in flight at this host.
    #[must_use]
    pub fn share(&self, key: HostKey) -> u32 {
        let alone =
            self.hosts.get(key.0 as usize).and_then(Option::as_ref).is_none_or(|host| host.lanes <= 1);
        if alone { self.cap } else { (self.cap * 3 / 4).max(1) }
    }

    /// `subscription` has something to send and may. It must not be in line already.
    pub fn enlist(&mut self, key: HostKey, subscription: SubscriptionKey) {
        if let Some(host) = self.host(key) {
            debug_assert!(!host.ready.contains(&subscription) || host.ready.len() > 64);
            host.ready.push_back(subscription);
        }
        self.list(key);
    }

    fn list(&mut self, key: HostKey) {
        let cap = self.cap;
        if let Some(host) = self.host(key)
            && !host.listed
            && !host.ready.is_empty()
            && host.in_flight < cap
        {
            host.listed = true;
            self.circle.push_back(key);
        }
    }

    /// The host and subscription whose turn it is. It stays first in its host's line.
    pub fn front(&mut self) -> Option<(HostKey, SubscriptionKey)> {
        while let Some(key) = self.circle.front().copied() {
            let cap = self.cap;
            if let Some(host) = self.host(key) {
                if host.in_flight < cap
                    && let Some(subscription) = host.ready.front()
                {
                    return Some((key, *subscription));
                }
                host.listed = false;
            }
            self.circle.pop_front();
        }
        None
    }

    /// The front one sent a request; the next host has its turn.
    pub fn sent(&mut self, key: HostKey) {
        if let Some(host) = self.host(key) {
            host.in_flight += 1;
        }
        if self.circle.len() > 1 && self.circle.front() == Some(&key) {
            self.circle.rotate_left(1);
        }
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

    /// A request to this host ended.
    pub fn ended(&mut self, key: HostKey) {
        if let Some(host) = self.host(key) {
            debug_assert!(host.in_flight > 0, "more ends than starts at {}", host.authority);
            host.in_flight = host.in_flight.saturating_sub(1);
        }
        self.list(key);
        self.forget_if_unused(key);
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

    fn authority(host: &str) -> Authority {
        Authority { tls: false, host: host.into(), port: 80 }
    }

    #[test]
    fn hosts_take_turns_and_caps_hold() {
        let mut turns = Turns::new(2);
        let (a, b) = (turns.join(&authority("a")), turns.join(&authority("b")));
        turns.enlist(a, SubscriptionKey(1));
        turns.enlist(b, SubscriptionKey(2));
        let mut order = Vec::new();
        while let Some((host, subscription)) = turns.front() {
            order.push(subscription.0);
            turns.sent(host);
        }
        assert_eq!(order, [1, 2, 1, 2], "two each, in turn, then both are at their cap");
        turns.ended(a);
        assert_eq!(turns.front(), Some((a, SubscriptionKey(1))));
    }

    #[test]
    fn a_host_is_forgotten_with_its_last_request() {
        let mut turns = Turns::new(4);
        let a = turns.join(&authority("a"));
        turns.enlist(a, SubscriptionKey(1));
        assert!(turns.front().is_some());
        turns.sent(a);
        turns.leave(a, SubscriptionKey(1));
        assert_eq!((turns.front(), turns.hosts_len()), (None, 1));
        turns.ended(a);
        assert_eq!(turns.hosts_len(), 0);
    }

    #[test]
    fn sharing_leaves_room() {
        let mut turns = Turns::new(32);
        let a = turns.join(&authority("a"));
        assert_eq!(turns.share(a), 32);
        assert_eq!(turns.join(&authority("a")), a);
        assert_eq!(turns.share(a), 24);
    }
}
