//! An event, before and after it has its place in the log.
//!
//! The body is the exact bytes that every receiver gets on every attempt (contract §4). It is built
//! once, at ingest, and begins with `{"id":"<id>"`, so the id is a slice of it and is stored once.

use bytes::Bytes;

use super::ids::{AccountKey, AccountName, EventId};
use super::mask::TypeBit;
use super::time::UnixMillis;

/// An event's place in the log. The first is 1; 0 means "before everything".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Seq(pub u64);

impl Seq {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What every body begins with; the id follows.
pub const BODY_PREFIX: &[u8] = b"{\"id\":\"";

/// An event that ingest has accepted as well-formed, on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    pub id: EventId,
    pub account: AccountName,
    pub type_bit: TypeBit,
    /// Begins with [`BODY_PREFIX`] and the id.
    pub body: Bytes,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub seq: Seq,
    pub account: AccountKey,
    pub type_bit: TypeBit,
    /// When the log took it.
    pub accepted_at: UnixMillis,
    id_len: u8,
    body: Bytes,
}

impl Event {
    /// `None` where `body` does not begin with [`BODY_PREFIX`] and an id of `id_len` bytes
    /// (a damaged record; nothing that ingest made).
    #[must_use]
    pub fn new(
        seq: Seq,
        account: AccountKey,
        type_bit: TypeBit,
        accepted_at: UnixMillis,
        id_len: u8,
        body: Bytes,
    ) -> Option<Self> {
        let id = body.strip_prefix(BODY_PREFIX)?.get(..usize::from(id_len))?;
        std::str::from_utf8(id).ok().filter(|id| EventId::parse(id).is_ok())?;
        Some(Self { seq, account, type_bit, accepted_at, id_len, body })
    }

    /// The event's id, as receivers see it in `webhook-id`.
    #[must_use]
    pub fn id(&self) -> &str {
        let range = BODY_PREFIX.len()..BODY_PREFIX.len() + usize::from(self.id_len);
        self.body.get(range).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }

    #[must_use]
    pub fn id_len(&self) -> u8 {
        self.id_len
    }

    /// The exact bytes of the request body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_a_slice_of_the_body() {
        let body = Bytes::from_static(b"{\"id\":\"evt-1\",\"data\":{}}");
        let make = |len| Event::new(Seq(1), AccountKey(1), TypeBit(0), UnixMillis(0), len, body.clone());
        assert_eq!(make(5).as_ref().map(Event::id), Some("evt-1"));
        assert_eq!(make(6), None, "a quote is no part of an id");
        assert_eq!(make(0), None);
        assert_eq!(make(200), None);
    }
}
