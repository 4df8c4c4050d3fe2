//! What a receiver does with the signature of a delivery: Standard Webhooks 1.0.0, schemes `v1` and `v1a`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! Written apart from signing on purpose: each then tests the other.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::model::UnixMillis;

/// How far the time of a delivery may be from the receiver's, in both directions.
pub const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(300);

const SECRET_PREFIX: &str = "whsec_";
const PUBLIC_PREFIX: &str = "whpk_";

/// The key bytes of a `whsec_…` secret; `None` where it is none.
#[must_use]
pub fn decode_secret(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok().filter(|key| !key.is_empty())
}

/// Whether one of the signatures in `header` (space-separated, `v1,<base64>`) is that of the message.
/// Compares in constant time.
#[must_use]
pub fn verify(key: &[u8], id: &str, timestamp: &str, body: &[u8], header: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signatures = header.split_ascii_whitespace().filter_map(|one| one.strip_prefix("v1,"));
    signatures
        .filter_map(|text| STANDARD.decode(text).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok())
}

/// What a receiver checks with: the shared secret for `v1`, or the sender's public key for `v1a`. Signatures
/// of the other scheme are passed over, like those of any scheme that is not known.
#[derive(Clone)]
pub enum Key {
    Secret(Vec<u8>),
    Public(VerifyingKey),
}

impl Key {
    /// Reads `whsec_…` or `whpk_…`; `None` where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) else {
            return decode_secret(text).map(Self::Secret);
        };
        let bytes = STANDARD.decode(encoded).ok()?;
        VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok().map(Self::Public)
    }

    /// Whether one of the signatures in `header` is that of the message.
    #[must_use]
    pub fn verify(&self, id: &str, timestamp: &str, body: &[u8], header: &str) -> bool {
        match self {
            Self::Secret(key) => verify(key, id, timestamp, body, header),
            Self::Public(key) => {
                let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
                let signatures = header.split_ascii_whitespace().filter_map(|one| one.strip_prefix("v1a,"));
                signatures
                    .filter_map(|text| Signature::from_slice(&STANDARD.decode(text).ok()?).ok())
                    .any(|signature| key.verify_strict(&message, &signature).is_ok())
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Whether `timestamp` (unix seconds) is close enough to `now` that the delivery is no replay.
#[must_use]
pub fn is_fresh(timestamp: &str, now: UnixMillis) -> bool {
    let seconds: Option<u64> = timestamp.parse().ok();
    seconds.is_some_and(|seconds| seconds.abs_diff(now.as_secs()) <= TIMESTAMP_TOLERANCE.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn vector_of_the_standard() {
        let key = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let check = |id: &str, timestamp: &str, body: &[u8], header: &str, want: bool| {
            assert_eq!(verify(&key, id, timestamp, body, header), want, "{header}");
        };
        check(ID, TIMESTAMP, BODY, SIGNATURE, true);
        check(ID, TIMESTAMP, BODY, &format!("v1a,xx v1,AAAA {SIGNATURE} v2,x"), true);
        check(ID, TIMESTAMP, BODY, "", false);
        check(ID, TIMESTAMP, BODY, &SIGNATURE.replace("v1", "v2"), false);
        check(ID, TIMESTAMP, BODY, &SIGNATURE.replace("g0", "h0"), false);
        check(ID, "1614265331", BODY, SIGNATURE, false);
        check("msg_x", TIMESTAMP, BODY, SIGNATURE, false);
        check(ID, TIMESTAMP, b"{}", SIGNATURE, false);
    }

    #[test]
    fn public_vector_of_the_asymmetric_scheme() {
        const SIGNATURE: &str =
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        let key = Key::parse("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=").unwrap();
        let check = |id: &str, body: &[u8], header: &str, want: bool| {
            assert_eq!(key.verify(id, TIMESTAMP, body, header), want, "{header}");
        };
        check(ID, BODY, SIGNATURE, true);
        check(ID, BODY, &format!("v1,xx v1a,AAAA {SIGNATURE}"), true);
        check(ID, BODY, &SIGNATURE.replace("v1a", "v1"), false);
        check(ID, BODY, &SIGNATURE.replace("hn", "hm"), false);
        check("msg_x", BODY, SIGNATURE, false);
        check(ID, b"{}", SIGNATURE, false);
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn keys() {
        let check = |text: &str, want: Option<bool>| {
            assert_eq!(Key::parse(text).map(|key| matches!(key, Key::Public(_))), want, "{text}");
        };
        check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(false));
        check("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", Some(true));
        check("whpk_1SiA", None);
        check("whpk_", None);
        check("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=", None);
    }

    #[test]
    fn secrets() {
        assert_eq!(decode_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), None);
        assert_eq!(decode_secret("whsec_"), None);
        assert_eq!(decode_secret("whsec_%"), None);
    }

    #[test]
    fn age() {
        let check = |timestamp: &str, now_s: u64, want: bool| {
            assert_eq!(is_fresh(timestamp, UnixMillis(now_s * 1000)), want, "{timestamp} {now_s}");
        };
        check(TIMESTAMP, 1_614_265_330, true);
        check(TIMESTAMP, 1_614_265_630, true);
        check(TIMESTAMP, 1_614_265_631, false);
        check(TIMESTAMP, 1_614_265_030, true);
        check(TIMESTAMP, 1_614_265_029, false);
        check("now", 0, false);
    }
}
