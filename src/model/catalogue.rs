//! The catalogue: every event type there is, by bit and by each of its names.
//!
//! The built-in types are data (`catalogue/*.json`, embedded); the account's operator can add more in
//! the configuration. A type's bit stands in stored masks and in the log, so it is given once: built-in
//! bits are written in the data files, those of configured types are remembered by the caller and come
//! back through [`Catalogue::assign`]. A configured type that was dropped keeps its bit as *retired*:
//! nobody can send or newly subscribe to it, but what is stored of it still has a name.
//!
//! Deliberately absent: checking events against the schemas. They describe `data` for receivers; the
//! platform is trusted to send what it says.

mod builtin;
mod custom;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::fast::FixedState;
use serde::Serialize;

pub use custom::{Assignment, CUSTOM_BIT_FIRST, CustomProblem, CustomType, CustomTypeError};

use super::json::JsonObject;
use super::mask::{EventMask, TYPES_MAX, TypeBit};
use super::nearest::nearest;

/// One type of event. Serialises to what the admin API shows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventType {
    #[serde(skip)]
    pub bit: TypeBit,
    /// What events and subscriptions call it, e.g. `device.registered`.
    pub id: Box<str>,
    /// What people call it, e.g. `Device Registered Event`.
    pub name: Box<str>,
    pub group: Box<str>,
    /// Other names by which it may be sent and subscribed to.
    pub aliases: Vec<Box<str>>,
    /// Delivered only to accounts that have the feature flag.
    pub gated: bool,
    /// JSON Schema 2020-12 of `data`.
    pub schema: JsonObject,
    /// A `data` that the schema allows.
    pub sample: JsonObject,
}

#[derive(Clone, Debug)]
enum Slot {
    Free,
    Type(Box<EventType>),
    /// The id of a configured type that was dropped.
    Retired(Box<str>),
}

/// All event types. Immutable once made.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// At the place of its bit, each type; always [`TYPES_MAX`] long.
    slots: Vec<Slot>,
    /// Ids, names and aliases. The hash is not seeded: only trusted configuration gets in here.
    names: HashMap<Box<str>, TypeBit, FixedState>,
}

impl Catalogue {
    /// The built-in types alone.
    #[must_use]
    pub fn builtin() -> Self {
        let mut catalogue = Self { slots: vec![Slot::Free; TYPES_MAX], names: HashMap::default() };
        for event_type in builtin::types() {
            catalogue.put(event_type);
        }
        catalogue
    }

    fn put(&mut self, event_type: EventType) {
        let bit = event_type.bit;
        let names = [&event_type.id, &event_type.name].into_iter().chain(&event_type.aliases);
        self.names.extend(names.map(|name| (name.clone(), bit)));
        self.set(bit, Slot::Type(Box::new(event_type)));
    }

    fn set(&mut self, bit: TypeBit, slot: Slot) {
        if let Some(place) = self.slots.get_mut(usize::from(bit.0)) {
            *place = slot;
        }
    }

    /// The type that an id, a name or an alias stands for. One hash look-up, no allocation.
    #[must_use]
    pub fn resolve(&self, text: &str) -> Option<TypeBit> {
        self.names.get(text).copied()
    }

    /// The type at `bit`; `None` also where it is retired.
    #[must_use]
    pub fn get(&self, bit: TypeBit) -> Option<&EventType> {
        match self.slots.get(usize::from(bit.0))? {
            Slot::Type(event_type) => Some(event_type),
            Slot::Free | Slot::Retired(_) => None,
        }
    }

    /// The type that an id, a name or an alias stands for, with all that is known of it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&EventType> {
        self.get(self.resolve(text)?)
    }

    /// The id that `bit` has or, if it is retired, had.
    #[must_use]
    pub fn id(&self, bit: TypeBit) -> Option<&str> {
        match self.slots.get(usize::from(bit.0))? {
            Slot::Type(event_type) => Some(&event_type.id),
            Slot::Retired(id) => Some(id),
            Slot::Free => None,
        }
    }

    /// Every type that events can be sent as, lowest bit first.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.all().filter(|event_type| !event_type.bit.is_operational())
    }

    /// Every type that is not retired, those that the engine makes itself included, lowest bit first.
    pub fn all(&self) -> impl Iterator<Item = &EventType> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Type(event_type) => Some(&**event_type),
            Slot::Free | Slot::Retired(_) => None,
        })
    }

    /// The types that a selector of a subscription means: an id, a name, an alias, `*`, or `prefix.*`.
    /// `None` where it means none. `*` does not mean the engine's own.
    #[must_use]
    pub fn expand(&self, selector: &str) -> Option<EventMask> {
        if let Some(bit) = self.resolve(selector) {
            return Some(EventMask::of([bit]));
        }
        let wanted = self.all().filter(|event_type| {
            is_covered(&event_type.id, selector) && !(selector == "*" && event_type.bit.is_operational())
        });
        let mask = EventMask::of(wanted.map(|event_type| event_type.bit));
        (!mask.is_empty()).then_some(mask)
    }

    /// As [`Self::expand`] for a selector that was accepted earlier: retired types count too, so that
    /// stored subscriptions keep what they wanted. Empty where nothing is left of it.
    #[must_use]
    pub fn expand_stored(&self, selector: &str) -> EventMask {
        let retired = (0..=u8::MAX).map(TypeBit).filter(|bit| {
            self.get(*bit).is_none()
                && self.id(*bit).is_some_and(|id| id == selector || is_covered(id, selector))
        });
        self.expand(selector).unwrap_or_default().union(&EventMask::of(retired))
    }

    /// How a selector is stored and shown: the id for an id, a name or an alias; `*` and `prefix.*` as
    /// they are. `None` where it means no type.
    #[must_use]
    pub fn canonical<'a>(&'a self, selector: &'a str) -> Option<&'a str> {
        match self.resolve(selector) {
            Some(bit) => self.id(bit),
            None => self.expand(selector).map(|_| selector),
        }
    }

    /// The types that only accounts with the feature flag get.
    #[must_use]
    pub fn gated_mask(&self) -> EventMask {
        EventMask::of(self.iter().filter(|event_type| event_type.gated).map(|event_type| event_type.bit))
    }

    /// The known id, name or alias that is most like an unknown one.
    #[must_use]
    pub fn nearest(&self, text: &str) -> Option<&str> {
        nearest(text, self.names.keys().map(|name| &**name))
    }
}

/// Whether `selector` is `*`, or a prefix such as `user.*` of `id`.
fn is_covered(id: &str, selector: &str) -> bool {
    match selector.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.len() > 1 && prefix.ends_with('.') && id.starts_with(prefix),
        None => false,
    }
}
