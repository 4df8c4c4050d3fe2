//! Operational events: what the engine itself tells an account's subscriptions about one of them.
//!
//! Three rules keep them from going round in circles. `*` does not mean them: who wants them names them.
//! Nothing that happens to the delivery of an operational event makes another. And a subscription never
//! gets one about itself, which is why the subject stands in the event's id: whoever routes an event can
//! tell without reading its body.

use super::event::Event;
use super::ids::{EventId, SubscriptionId};
use super::mask::TypeBit;

/// Bits that are kept for operational types; those of configured types begin where they end.
const BITS: std::ops::Range<u8> = 112..128;

/// A subscription was made inactive.
pub const DISABLED: TypeBit = TypeBit(112);
/// A delivery was given up.
pub const DEAD: TypeBit = TypeBit(113);
/// A subscription that had been announced as disabled delivers again.
pub const RECOVERED: TypeBit = TypeBit(114);

/// What the names of operational types begin with.
pub const PREFIX: &str = "postrider.";

impl TypeBit {
    #[must_use]
    pub fn is_operational(self) -> bool {
        BITS.contains(&self.0)
    }
}

/// The id of an operational event: one happening has one id, however often it is written down. `None`
/// where the subject's id is longer than ours are.
#[must_use]
pub fn event_id(subject: &SubscriptionId, what: &str, number: u64) -> Option<EventId> {
    EventId::parse(&format!("{subject}-{what}-{number}")).ok()
}

impl Event {
    /// Whether this is an operational event about that subscription.
    #[must_use]
    pub fn is_about(&self, subscription: &SubscriptionId) -> bool {
        self.type_bit.is_operational()
            && self.id().rsplitn(3, '-').nth(2).is_some_and(|subject| subject == subscription.as_str())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{AccountKey, Seq, UnixMillis};

    #[test]
    fn the_subject_stands_in_the_id() {
        let id = |text: &str| SubscriptionId::parse(text).expect("an id");
        let longest = id("sub_01KB3M5Y7R8V4W2X6Z9A0C1D2E");
        let event = |bit, id: &EventId| {
            let body = Bytes::from(format!("{{\"id\":\"{id}\"}}"));
            let len = u8::try_from(id.as_str().len()).expect("short");
            Event::new(Seq(1), AccountKey(1), bit, UnixMillis(0), len, body).expect("valid")
        };
        let made = event_id(&longest, "recovered", u64::MAX / 10).expect("fits");
        assert!(event(RECOVERED, &made).is_about(&longest));
        assert!(!event(RECOVERED, &made).is_about(&id("sub_1")));
        assert!(!event(TypeBit(3), &made).is_about(&longest), "a client may call its event as it likes");
        let odd = EventId::parse("x").expect("an id");
        assert!(!event(DEAD, &odd).is_about(&longest));
    }
}
