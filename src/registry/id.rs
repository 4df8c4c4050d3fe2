//! Public ids and secrets, from time and randomness that the shell gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::{SubscriptionId, UnixMillis};

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 26 characters of Crockford base32: 48 bits of milliseconds, then 80 random ones, so that ids sort by
/// age (the layout of a ULID).
fn ulid(at: UnixMillis, random: [u8; 10]) -> String {
    let mut bits = u128::from(at.0 & 0xffff_ffff_ffff);
    for byte in random {
        bits = bits << 8 | u128::from(byte);
    }
    (0..26)
        .rev()
        .filter_map(|digit| {
            let value = usize::try_from(bits >> (digit * 5) & 31).ok()?;
            CROCKFORD.get(value).map(|byte| char::from(*byte))
        })
        .collect()
}

/// `sub_` and 26 characters. `None` never comes: the alphabet is that of an id.
#[must_use]
pub fn subscription_id(at: UnixMillis, random: [u8; 10]) -> Option<SubscriptionId> {
    SubscriptionId::parse(&format!("sub_{}", ulid(at, random))).ok()
}

/// `tok_` and 26 characters.
#[must_use]
pub fn token_id(at: UnixMillis, random: [u8; 10]) -> Box<str> {
    format!("tok_{}", ulid(at, random)).into()
}

/// A secret as Standard Webhooks writes it: `whsec_` and base64 of the key's bytes.
#[must_use]
pub fn secret_text(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_age() {
        let id = |at, byte| subscription_id(UnixMillis(at), [byte; 10]).expect("valid").to_string();
        assert_eq!(id(0, 0), "sub_00000000000000000000000000");
        assert_eq!(id((1 << 48) - 1, 255), "sub_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(
            id(1_469_918_176_385, 0),
            "sub_01ARYZ6S410000000000000000",
            "the example of the ULID text"
        );
        assert!(id(1, 255) < id(2, 0));
    }

    #[test]
    fn secrets() {
        assert_eq!(secret_text(&[0; 24]), format!("whsec_{}", "A".repeat(32)));
    }
}
