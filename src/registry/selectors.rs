//! What the registry must know of the catalogue: how a selector such as `user.*` becomes types.

use crate::model::{Catalogue, EventMask, TypeBit};

/// Reads the selectors of a subscription's `events`: an id, a seed name, an alias, `*`, or `prefix.*`.
pub trait Selectors: Send + Sync {
    /// The types that a selector means; `None` where it means none that is known.
    fn expand(&self, selector: &str) -> Option<EventMask>;
    /// The types that a selector accepted earlier means now; none where nothing is left of it.
    fn expand_stored(&self, selector: &str) -> EventMask {
        self.expand(selector).unwrap_or(EventMask::NONE)
    }
    /// How a selector is kept and shown: ids for names and aliases.
    fn canonical(&self, selector: &str) -> Option<String>;
    /// The known selector that a mistyped one was most likely meant to be.
    fn nearest(&self, text: &str) -> Option<&str>;
    /// The types that `feature.integrations.webhooks` gates.
    fn gated_mask(&self) -> EventMask;
    /// What a type is called.
    fn id(&self, bit: TypeBit) -> Option<String> {
        let _ = bit;
        None
    }
}

impl Selectors for Catalogue {
    fn expand(&self, selector: &str) -> Option<EventMask> {
        self.expand(selector)
    }

    fn expand_stored(&self, selector: &str) -> EventMask {
        self.expand_stored(selector)
    }

    fn canonical(&self, selector: &str) -> Option<String> {
        self.canonical(selector).map(str::to_owned)
    }

    fn nearest(&self, text: &str) -> Option<&str> {
        self.nearest(text)
    }

    fn gated_mask(&self) -> EventMask {
        self.gated_mask()
    }

    fn id(&self, bit: TypeBit) -> Option<String> {
        self.id(bit).map(str::to_owned)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Selectors;
    use crate::model::{EventMask, TypeBit};

    /// A small vocabulary for tests: three types, of which the last is gated.
    pub(crate) struct Types;

    const IDS: [&str; 3] = ["user.created", "user.deleted", "device.registered"];

    impl Selectors for Types {
        fn expand(&self, selector: &str) -> Option<EventMask> {
            let canonical = self.canonical(selector)?;
            let wanted = |id: &str| match canonical.strip_suffix('*') {
                Some(prefix) => id.starts_with(prefix),
                None => id == canonical,
            };
            let bits = (0u8..).zip(IDS).filter(|(_, id)| wanted(id)).map(|(bit, _)| TypeBit(bit));
            Some(EventMask::of(bits))
        }

        fn canonical(&self, selector: &str) -> Option<String> {
            let canonical = match selector {
                "User Created Event" => "user.created",
                "device.added" => "device.registered",
                "*" | "user.*" | "device.*" => selector,
                id if IDS.contains(&id) => id,
                _ => return None,
            };
            Some(canonical.to_owned())
        }

        fn nearest(&self, text: &str) -> Option<&str> {
            IDS.into_iter().find(|id| strsim::levenshtein(id, text) < 4)
        }

        fn gated_mask(&self) -> EventMask {
            EventMask::of([TypeBit(2)])
        }
    }
}
