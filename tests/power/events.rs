//! The events that are sent: a number is all that one has to know of an event to know every byte of it.

use bytes::Bytes;
use postrider::model::{AccountName, EventId, NewEvent, TypeBit};

use crate::rng::Rng;

pub const ACCOUNT: &str = "acme";

pub fn account() -> AccountName {
    AccountName::parse(ACCOUNT).unwrap()
}

pub fn body(number: u64) -> Bytes {
    let mut rng = Rng::of(77, number);
    let len = if rng.chance(2) { rng.below(70_000) } else { rng.below(1200) };
    // Does not shrink: so files grow as they would with what people send.
    let noise: String = (0..len / 16 + 1).map(|_| format!("{:016x}", rng.next())).collect();
    format!("{{\"id\":\"e{number}\",\"data\":\"{noise}\"}}").into()
}

pub fn event(number: u64) -> NewEvent {
    NewEvent {
        id: EventId::parse(&format!("e{number}")).unwrap(),
        account: account(),
        type_bit: TypeBit((number % 30) as u8),
        body: body(number),
    }
}

pub fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix('e')?.parse().ok()
}
