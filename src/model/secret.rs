//! What a subscription signs with: one generation of keys, and those that were rotated out and still count.
//!
//! While the overlap of a rotation lasts, each delivery carries the signatures of all that are valid, so
//! that a receiver may change over when it likes. What is valid is asked with the time of the attempt:
//! nothing has to happen at the moment a secret expires, and a restart changes nothing.

use std::fmt;
use std::time::Duration;

use super::time::UnixMillis;

/// Rotated-out generations kept at most. A third one that is still valid makes the oldest end early, which
/// bounds the signatures of a delivery; a receiver two rotations behind is better off fetching the newest.
pub const PREVIOUS_MAX: usize = 2;

/// The keys of one generation. `Debug` never shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeys {
    /// Raw bytes of the `whsec_` secret, 24 to 64: signs `v1`.
    pub secret: Box<[u8]>,
    /// Seed of the Ed25519 key: signs `v1a`. Independent of the secret, so that whoever checks with the
    /// secret cannot sign in the other scheme.
    pub seed: [u8; 32],
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(…)")
    }
}

/// Keys that were rotated out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousKeys {
    pub keys: SigningKeys,
    /// They sign before this, not at it.
    pub expires_at: UnixMillis,
}

/// All keys of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub current: SigningKeys,
    /// Newest first, at most [`PREVIOUS_MAX`].
    pub previous: Vec<PreviousKeys>,
}

impl Secrets {
    #[must_use]
    pub fn new(current: SigningKeys) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// When the last of the previous keys expires; `None` where none is valid at `now`.
    #[must_use]
    pub fn previous_expires_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.previous.iter().map(|previous| previous.expires_at).filter(|at| *at > now).max()
    }

    /// Signs with `next` from now on, and with the present keys too while `overlap` lasts. Nothing older
    /// outlives that overlap: with none, `next` signs alone.
    pub fn rotate(&mut self, next: SigningKeys, now: UnixMillis, overlap: Duration) {
        let until = now + overlap;
        let keys = std::mem::replace(&mut self.current, next);
        self.previous.insert(0, PreviousKeys { keys, expires_at: until });
        for previous in &mut self.previous {
            previous.expires_at = previous.expires_at.min(until);
        }
        self.forget_expired(now);
        self.previous.truncate(PREVIOUS_MAX);
    }

    /// Drops keys that sign no more.
    pub fn forget_expired(&mut self, now: UnixMillis) {
        self.previous.retain(|previous| previous.expires_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> SigningKeys {
        SigningKeys { secret: [byte; 32].into(), seed: [byte; 32] }
    }

    /// The first bytes of what is kept beside the current keys, with when it ends.
    fn kept(secrets: &Secrets) -> Vec<(u8, u64)> {
        secrets.previous.iter().map(|previous| (previous.keys.seed[0], previous.expires_at.0)).collect()
    }

    #[test]
    fn rotations_overlap_within_bounds() {
        let mut secrets = Secrets::new(keys(1));
        let mut rotate = |byte, now, overlap, want: &[(u8, u64)]| {
            secrets.rotate(keys(byte), UnixMillis(now), Duration::from_millis(overlap));
            assert_eq!((secrets.current.seed[0], kept(&secrets)), (byte, want.to_vec()));
            let last = want.iter().map(|(_, at)| UnixMillis(*at)).max();
            assert_eq!(secrets.previous_expires_at(UnixMillis(now)), last);
        };
        rotate(2, 1000, 500, &[(1, 1500)]);
        rotate(3, 1100, 500, &[(2, 1600), (1, 1500)]);
        rotate(4, 1200, 500, &[(3, 1700), (2, 1600)]);
        rotate(5, 1650, 500, &[(4, 2150), (3, 1700)]);
        rotate(6, 1660, 10, &[(5, 1670), (4, 1670)]);
        rotate(7, 1665, 0, &[]);
    }

    #[test]
    fn the_end_is_the_first_moment_without() {
        let mut secrets = Secrets::new(keys(1));
        secrets.rotate(keys(2), UnixMillis(0), Duration::from_millis(10));
        assert_eq!(secrets.previous_expires_at(UnixMillis(9)), Some(UnixMillis(10)));
        assert_eq!(secrets.previous_expires_at(UnixMillis(10)), None);
        secrets.forget_expired(UnixMillis(10));
        assert!(secrets.previous.is_empty());
    }

    #[test]
    fn debug_shows_nothing() {
        let mut secrets = Secrets::new(keys(0xab));
        secrets.rotate(keys(0xab), UnixMillis(0), Duration::from_millis(10));
        let text = format!("{secrets:?}");
        assert!(text.contains("SigningKeys(…)") && !text.contains("171"), "{text}");
    }
}
