//! Signatures by Standard Webhooks 1.0.0: `v1,<base64 HMAC-SHA256>` over `id.timestamp.body`.
//!
//! A [`Signer`] holds the HMAC state after the key was mixed in, so that an attempt pays only for its
//! own bytes. Several signatures (a rotated secret that is still valid, `v1a` beside `v1`) stand side by
//! side in one header value, separated by a space: see [`Signers`]. Deliberately absent: making secrets, which needs
//! randomness, and checking signatures, which is the receiver's work (`verify`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::ed25519::KeyPair;
use crate::model::{Secrets, SignatureScheme, UnixMillis};

/// What a secret's text begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// Key bytes at least (contract §4).
pub const SECRET_LEN_MIN: usize = 24;
/// Key bytes at most (contract §4).
pub const SECRET_LEN_MAX: usize = 64;
/// Bytes of one `v1` signature: `v1,` and 44 characters of base64.
pub const SIGNATURE_V1_LEN: usize = 3 + 44;

/// Why a secret was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("must begin with `whsec_`")]
    Prefix,
    #[error("must be base64 after `whsec_`")]
    Base64,
    #[error("must hold 24 to 64 bytes, has {0}")]
    Length(usize),
}

/// A signing secret: 24 to 64 bytes. `Debug` never shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// # Errors
    /// Fewer than 24 or more than 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        if (SECRET_LEN_MIN..=SECRET_LEN_MAX).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }

    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// Everything that [`SecretError`] names.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SecretError::Prefix)?;
        Self::from_bytes(&STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?)
    }

    /// `whsec_` and base64: for the one who may see it, and for nothing else.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from(SECRET_PREFIX);
        STANDARD.encode_string(&self.0, &mut text);
        text
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes of a block of SHA-256: what HMAC pads its key to.
const BLOCK_LEN: usize = 64;

/// One key, ready to sign.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self::from_key(secret.as_bytes())
    }

    /// From raw key bytes of any length (a key longer than a block is hashed first, as HMAC says).
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_LEN];
        let hashed;
        let short = if key.len() > BLOCK_LEN {
            hashed = Sha256::digest(key);
            hashed.as_slice()
        } else {
            key
        };
        for (to, from) in block.iter_mut().zip(short) {
            *to = *from;
        }
        Self(Hmac::new(&block.into()))
    }

    /// The HMAC over `id.timestamp.body`.
    #[must_use]
    pub fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    /// Appends `v1,<base64>` to `out`.
    pub fn sign_into(&self, id: &str, timestamp: &str, body: &[u8], out: &mut String) {
        out.push_str("v1,");
        STANDARD.encode_string(self.mac(id, timestamp, body), out);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

/// One key of either scheme.
#[derive(Clone, Debug)]
enum Key {
    V1(Signer),
    V1a(KeyPair),
}

/// All keys whose signatures a delivery carries, in the order in which they are written: the current ones,
/// then those that were rotated out, newest first; of one generation `v1` before `v1a`.
#[derive(Clone, Debug)]
pub struct Signers(Vec<(Key, UnixMillis)>);

impl Signers {
    #[must_use]
    pub fn of(secrets: &Secrets, scheme: SignatureScheme) -> Self {
        let current = (&secrets.current, UnixMillis(u64::MAX));
        let previous = secrets.previous.iter().map(|previous| (&previous.keys, previous.expires_at));
        let mut signers = Vec::with_capacity(1 + secrets.previous.len());
        for (keys, until) in std::iter::once(current).chain(previous) {
            if scheme != SignatureScheme::V1a {
                signers.push((Key::V1(Signer::from_key(&keys.secret)), until));
            }
            if scheme != SignatureScheme::V1 {
                signers.push((Key::V1a(KeyPair::from_seed(&keys.seed)), until));
            }
        }
        Self(signers)
    }

    /// Appends the value of `webhook-signature` of an attempt at `now` to `out`: what has expired by then
    /// does not sign it. `message` is room to work in, so that it need not be found anew each time.
    pub fn sign_into(&self, now: UnixMillis, signed: &Signed<'_>, message: &mut Vec<u8>, out: &mut String) {
        let start = out.len();
        message.clear();
        for (key, _) in self.0.iter().filter(|(_, until)| now < *until) {
            if out.len() > start {
                out.push(' ');
            }
            match key {
                Key::V1(signer) => signer.sign_into(signed.id, signed.timestamp, signed.body, out),
                Key::V1a(pair) => {
                    if message.is_empty() {
                        signed.write(message);
                    }
                    pair.sign_into(message, out);
                }
            }
        }
    }
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub body: &'a [u8],
}

impl Signed<'_> {
    fn write(&self, message: &mut Vec<u8>) {
        for part in [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body] {
            message.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::SigningKeys;
    use proptest::prelude::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn public_vector() {
        let signer = Signer::new(&Secret::parse(SECRET).expect("valid"));
        let mut out = String::new();
        signer.sign_into(ID, "1614265330", BODY, &mut out);
        assert_eq!(out, SIGNATURE);
        assert_eq!(out.len(), SIGNATURE_V1_LEN);
    }

    const SIGNED: Signed<'_> = Signed { id: ID, timestamp: "1614265330", body: BODY };

    #[test]
    fn several_signatures_stand_side_by_side() {
        let keys = |secret: &[u8], seed| SigningKeys { secret: secret.into(), seed: [seed; 32] };
        let old = Secret::parse(SECRET).expect("valid");
        let mut secrets = Secrets::new(keys(old.as_bytes(), 1));
        secrets.rotate(keys(&[9; 32], 2), UnixMillis(1000), Duration::from_millis(10));
        let mut v1 = String::new();
        Signer::from_key(&[9; 32]).sign_into(ID, "1614265330", BODY, &mut v1);
        let v1a = |seed| {
            let mut message = Vec::new();
            SIGNED.write(&mut message);
            let mut out = String::new();
            KeyPair::from_seed(&[seed; 32]).sign_into(&message, &mut out);
            out
        };
        let check = |scheme, now, want: &[&str]| {
            let (mut message, mut out) = (b"left from before".to_vec(), String::new());
            Signers::of(&secrets, scheme).sign_into(UnixMillis(now), &SIGNED, &mut message, &mut out);
            assert_eq!(out, want.join(" "), "{scheme:?} at {now}");
        };
        check(SignatureScheme::V1, 1000, &[&v1, SIGNATURE]);
        check(SignatureScheme::V1, 1009, &[&v1, SIGNATURE]);
        check(SignatureScheme::V1, 1010, &[&v1]);
        check(SignatureScheme::V1a, 1009, &[&v1a(2), &v1a(1)]);
        check(SignatureScheme::V1a, 1010, &[&v1a(2)]);
        check(SignatureScheme::Both, 1009, &[&v1, &v1a(2), SIGNATURE, &v1a(1)]);
        check(SignatureScheme::Both, 1010, &[&v1, &v1a(2)]);
    }

    #[test]
    fn secrets() {
        let check = |text: &str, want: Result<usize, SecretError>| {
            assert_eq!(Secret::parse(text).map(|secret| secret.as_bytes().len()), want, "{text}");
        };
        check(SECRET, Ok(24));
        check("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err(SecretError::Prefix));
        check("whsec_", Err(SecretError::Length(0)));
        check("whsec_!!!!", Err(SecretError::Base64));
        check("whsec_AAAA", Err(SecretError::Length(3)));
        check(&format!("whsec_{}", STANDARD.encode([1; 64])), Ok(64));
        check(&format!("whsec_{}", STANDARD.encode([1; 65])), Err(SecretError::Length(65)));
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::parse(SECRET).expect("valid");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{:?}", Signer::new(&secret)), "Signer(…)");
    }

    proptest! {
        #[test]
        fn text_and_bytes_both_ways(bytes in proptest::collection::vec(any::<u8>(), 24..=64)) {
            let secret = Secret::from_bytes(&bytes).expect("in bounds");
            prop_assert_eq!(Secret::parse(&secret.to_text()), Ok(secret));
        }

        #[test]
        fn any_key_signs_as_hmac_does(key in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&key).expect("any length");
            mac.update(b"a.1.b");
            let want: [u8; 32] = mac.finalize().into_bytes().into();
            prop_assert_eq!(Signer::from_key(&key).mac("a", "1", b"b"), want);
        }
    }
}
