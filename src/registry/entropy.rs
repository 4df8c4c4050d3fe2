//! Randomness for one plan or one load: 64 bytes from the shell, stretched as far as is needed.
//!
//! The registry is pure and reads no random source, and how much a change needs depends on how many rows
//! it writes. So each draw is SHA-256 over the shell's bytes and a counter: with 512 random bits below it,
//! what comes out cannot be told from the source itself, and tests can repeat it.

use sha2::{Digest, Sha256};

use super::vault::Vault;

/// What writing a subscription's row takes: the key, and nonces that are used once.
pub(super) struct Sealer<'a> {
    pub vault: &'a Vault,
    pub entropy: Entropy,
}

/// Draws that never repeat.
pub(super) struct Entropy {
    seed: [u8; 64],
    drawn: u64,
}

impl Entropy {
    pub fn new(seed: [u8; 64]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next `N` bytes, at most 32.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32, "a digest has no more") }
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(self.drawn.to_be_bytes());
        self.drawn += 1;
        let mut bytes = [0; N];
        for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_depend_on_the_seed() {
        let mut one = Entropy::new([1; 64]);
        let (first, second) = (one.draw::<32>(), one.draw::<32>());
        assert_ne!(first, second);
        assert_eq!(Entropy::new([1; 64]).draw::<24>(), first[..24]);
        assert_ne!(Entropy::new([2; 64]).draw::<32>(), first);
    }
}
