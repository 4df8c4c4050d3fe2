//! A 64-bit fingerprint of (account, event id), the same in every version and on every machine, since
//! it lies on disk for as long as the deduplication window.
//!
//! It is the head of a SHA-256: already a dependency, pinned for ever by its standard, about 80 ns
//! with the CPU's SHA instructions (`benches/` has the figure), and hard to collide on purpose. A
//! collision is harmless all the same: every hit is settled by comparing the event itself.

use sha2::{Digest, Sha256};

use crate::model::AccountKey;

/// What stands for an event id of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    #[must_use]
    pub fn of(account: AccountKey, id: &str) -> Self {
        let digest = Sha256::new().chain_update(account.0.to_be_bytes()).chain_update(id).finalize();
        let head = digest.first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These numbers are on disks. (`printf '\0\0\0\1evt-1' | sha256sum | head -c16`)
    #[test]
    fn golden() {
        assert_eq!(Fingerprint::of(AccountKey(1), "evt-1").0, GOLDEN);
        assert_ne!(Fingerprint::of(AccountKey(2), "evt-1").0, GOLDEN);
    }

    const GOLDEN: u64 = 0x0efd_5ba9_48f9_f775;
}
