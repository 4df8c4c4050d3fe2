//! Ids of events that came without one: `evt_` and 26 characters of Crockford's base32.
//!
//! 48 bits of milliseconds and 80 random bits, the layout of a ULID: ids sort by age, and two servers
//! need not agree on anything. Deliberately no counter: 80 bits need none, and it would be shared state.

use crate::model::{EventId, UnixMillis};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &str = "evt_";
/// 128 bits in groups of five; the first character holds three.
const CHARACTERS: usize = 26;
const MILLIS_BITS: u32 = 48;

/// The id for an event that came at `millis`. Times beyond 48 bits (the year 10889) count as the last.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "thirty characters of the alphabet above are an event id"
)]
pub fn server_id(millis: UnixMillis, random: [u8; 10]) -> EventId {
    let time = u128::from(millis.0.min((1 << MILLIS_BITS) - 1));
    let noise = random.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let bits = time << 80 | noise;
    let five = |place: usize| usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
    let character = |place| ALPHABET.get(five(place)).copied().map_or('0', char::from);
    let mut text = String::with_capacity(PREFIX.len() + CHARACTERS);
    text.push_str(PREFIX);
    text.extend((0..CHARACTERS).rev().map(character));
    EventId::parse(&text).expect("made of the alphabet")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn layout_of_a_ulid() {
        // 1_469_918_176_385 ms is `01ARYZ6S41`, the example of the ulid package.
        let id = server_id(UnixMillis(1_469_918_176_385), [0; 10]);
        assert_eq!(id.as_str(), "evt_01ARYZ6S410000000000000000");
        assert_eq!(server_id(UnixMillis(u64::MAX), [255; 10]).as_str(), "evt_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(server_id(UnixMillis(0), [0; 10]).as_str(), "evt_00000000000000000000000000");
    }

    proptest! {
        #[test]
        fn sorts_by_time(a in 0u64..1 << 48, b in 0u64..1 << 48, x: [u8; 10], y: [u8; 10]) {
            let (first, second) = (server_id(UnixMillis(a), x), server_id(UnixMillis(b), y));
            prop_assert_eq!(first.cmp(&second), (a, x).cmp(&(b, y)));
        }
    }
}
