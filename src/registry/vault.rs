//! Sealing what is secret before it is written: XChaCha20-Poly1305 under the key of the key file.
//!
//! A sealed value is a 24-byte nonce, the ciphertext and a 16-byte tag. Nonces are random, which that many
//! bytes allow for. The row that a value belongs to is authenticated with it, so that a value that was put
//! into another row does not open. All that is secret of a subscription is sealed in one piece, so neither
//! can parts of it be exchanged.
//!
//! It protects what is read without the key: a copy of the store, a backup, a disk. It does not protect from
//! somebody who can read the key file or the process's memory. Deliberately absent: where the key comes from
//! (the server knows the file).

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::model::{AccountKey, SubscriptionKey};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub(super) const NONCE_LEN: usize = 24;

/// Seals and opens with one key. `Debug` never shows it.
pub struct Vault(XChaCha20Poly1305);

/// Where a sealed value belongs.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Subscription {
        account: AccountKey,
        subscription: SubscriptionKey,
    },
    /// The answer to the request of this key.
    Answer([u8; 32]),
}

impl Owner {
    fn associated_data(self) -> Vec<u8> {
        match self {
            Self::Subscription { account, subscription } => [
                &b"postrider subscription secrets 1 "[..],
                &account.0.to_be_bytes(),
                &subscription.0.to_be_bytes(),
            ]
            .concat(),
            Self::Answer(key) => [&b"postrider remembered answer 1 "[..], &key].concat(),
        }
    }
}

impl Vault {
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// The sealed value. A nonce seals one value and no other.
    pub(super) fn seal(&self, nonce: [u8; NONCE_LEN], owner: Owner, plain: &[u8]) -> Vec<u8> {
        let aad = owner.associated_data();
        let sealed = self.0.encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: &aad });
        // Fails on gigabytes alone; were it to, the row would be refused when it is read.
        [&nonce[..], &sealed.unwrap_or_default()].concat()
    }

    /// What was sealed; `None` where the key is another, or the value is not what it was, or not there where
    /// it was.
    pub(super) fn open(&self, owner: Owner, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
        let aad = owner.associated_data();
        self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: &aad }).ok()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(account: u32, subscription: u64) -> Owner {
        Owner::Subscription { account: AccountKey(account), subscription: SubscriptionKey(subscription) }
    }

    #[test]
    fn opens_where_it_was_sealed_and_nowhere_else() {
        let vault = Vault::new(&[1; KEY_LEN]);
        let sealed = vault.seal([2; NONCE_LEN], owner(3, 4), b"secret");
        assert_eq!(sealed.len(), NONCE_LEN + 6 + 16);
        assert_eq!(vault.open(owner(3, 4), &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(vault.open(owner(3, 5), &sealed), None);
        assert_eq!(vault.open(owner(4, 4), &sealed), None);
        assert_eq!(Vault::new(&[9; KEY_LEN]).open(owner(3, 4), &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(vault.open(owner(3, 4), &other), None, "byte {at}");
            assert_eq!(vault.open(owner(3, 4), &sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(format!("{vault:?}"), "Vault(…)");
    }

    /// draft-irtf-cfrg-xchacha, A.3.1.
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let key: [u8; KEY_LEN] = std::array::from_fn(|n| 0x80 + u8::try_from(n).expect("small"));
        let nonce: [u8; NONCE_LEN] = std::array::from_fn(|n| 0x40 + u8::try_from(n).expect("small"));
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let msg = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                    future, sunscreen would be it.";
        let payload = Payload { msg: &msg[..], aad: &aad };
        let sealed = Vault::new(&key).0.encrypt(XNonce::from_slice(&nonce), payload).expect("seals");
        assert_eq!(sealed[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(sealed[sealed.len() - 16..][..4], [0xc0, 0x87, 0x59, 0x24]);
    }
}
