//! Who owns a subscription: the worker that its callback authority hashes to.
//!
//! By authority, so that all of a host's connections, its breaker and its caps live in exactly one worker.
//! A host behind which many receivers are can be spread (`[[host]] spread`): then its subscriptions are
//! dealt out to so many neighbouring workers by their key, and each of those treats it as a host of its
//! own. [`Placement`] is the one value that decides it, for routing, scheduling and the log alike.

use std::sync::Arc;

use super::index::WORKERS_MAX;
use crate::model::{Authority, HostRules, Subscription};

/// FNV-1a with a final mix: stable over processes and machines, and good in its low bits.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// A stable hash of an authority.
#[must_use]
pub fn hash_of(authority: &Authority) -> u64 {
    let port = authority.port.to_be_bytes();
    hash(authority.host.bytes().chain([u8::from(authority.tls)]).chain(port))
}

/// The worker, from 0 to `workers` − 1, that owns every subscription to this authority, or is the first of
/// those that do.
fn owner(authority: &Authority, workers: usize) -> usize {
    let workers = u64::try_from(workers.max(1)).unwrap_or(u64::MAX);
    usize::try_from(hash_of(authority) % workers).unwrap_or(0)
}

/// How subscriptions are dealt out to workers.
#[derive(Clone, Debug)]
pub struct Placement {
    workers: usize,
    rules: Arc<HostRules>,
}

impl Placement {
    /// `workers` is held between 1 and [`WORKERS_MAX`].
    #[must_use]
    pub fn new(workers: usize, rules: Arc<HostRules>) -> Self {
        Self { workers: workers.clamp(1, WORKERS_MAX), rules }
    }

    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The worker that owns subscriptions to this authority where it is not spread.
    #[must_use]
    pub fn owner_of_host(&self, authority: &Authority) -> usize {
        owner(authority, self.workers)
    }

    /// The worker, from 0 to `workers` − 1, that owns this subscription.
    #[must_use]
    pub fn owner(&self, subscription: &Subscription) -> usize {
        let authority = subscription.callback_url.authority();
        let first = owner(authority, self.workers);
        let spread = self.rules.of(authority).spread.clamp(1, self.workers);
        if spread == 1 {
            return first;
        }
        let spread = u64::try_from(spread).unwrap_or(1);
        let step = hash(subscription.key.0.to_be_bytes().into_iter()) % spread;
        (first + usize::try_from(step).unwrap_or(0)) % self.workers
    }
}

impl From<usize> for Placement {
    /// With no host spread.
    fn from(workers: usize) -> Self {
        Self::new(workers, Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostRule;
    use crate::model::subscription::tests::sample;

    #[test]
    fn a_host_is_spread_over_as_many_as_its_rule_says() {
        let rule = |spread| HostRule { spread, ..HostRule::DEFAULT };
        let rules = Arc::new(HostRules::new([("a.example", rule(3)), ("b.example", rule(64))]));
        let count = |host: &str, workers: usize| {
            let placement = Placement::new(workers, Arc::clone(&rules));
            let mut counts = vec![0; workers];
            for key in 0..3000 {
                let sub = sample(key, &format!("https://{host}/"));
                assert_eq!(placement.owner(&sub), placement.owner(&sub));
                counts[placement.owner(&sub)] += 1;
            }
            counts.retain(|count| *count > 0);
            counts
        };
        assert_eq!(count("c.example", 8), [3000]);
        let spread = count("a.example", 8);
        assert!(spread.len() == 3 && spread.iter().all(|count| (800..1200).contains(count)), "{spread:?}");
        assert_eq!(count("a.example", 2).len(), 2);
        assert_eq!(count("b.example", 8).len(), 8);
        assert_eq!(count("a.example", 1), [3000]);
    }

    fn authority(n: usize) -> Authority {
        Authority { tls: n.is_multiple_of(2), host: format!("host{n}.example").into(), port: 443 }
    }

    #[test]
    fn stable_and_even() {
        assert_eq!(owner(&authority(0), 0), 0);
        assert_eq!(owner(&authority(7), 16), owner(&authority(7), 16));
        for workers in [1, 2, 3, 8, 64] {
            let mut counts = vec![0usize; workers];
            for n in 0..10_000 {
                counts[owner(&authority(n), workers)] += 1;
            }
            let fair = 10_000 / workers;
            assert!(counts.iter().all(|count| count.abs_diff(fair) < fair / 2), "{workers}: {counts:?}");
        }
    }

    #[test]
    fn scheme_and_port_count() {
        let base = authority(1);
        let others = (0..64).map(|port| Authority { port, ..base.clone() });
        assert!(others.map(|other| owner(&other, 64)).any(|worker| worker != owner(&base, 64)));
    }
}
