//! Who owns a subscription: the worker that its callback authority hashes to.
//!
//! By authority, so that all of a host's connections, its breaker and its caps live in exactly one worker.

use crate::model::Authority;

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

/// The worker, from 0 to `workers` − 1, that owns every subscription to this authority.
#[must_use]
pub fn owner(authority: &Authority, workers: usize) -> usize {
    let workers = u64::try_from(workers.max(1)).unwrap_or(u64::MAX);
    usize::try_from(hash_of(authority) % workers).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
