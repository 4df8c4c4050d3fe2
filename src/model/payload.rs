//! An event's body as filters see it: read once, at the first filter that asks.
//!
//! Most events meet no filter and are never parsed. A body that cannot be read here fulfils every filter, since
//! it is sooner sent too much than lost: ingest lets through JSON alone, of bounded depth, but also numbers that
//! no double can hold. Of members of the same name the last one counts.

use std::cell::OnceCell;

use serde_json::Value;

use super::event::Event;
use super::filter::Filter;
use super::paths::Paths;

pub struct Payload<'e> {
    event: &'e Event,
    paths: Option<&'e Paths>,
    parsed: OnceCell<Option<Value>>,
}

impl<'e> Payload<'e> {
    /// For any filter.
    #[must_use]
    pub fn new(event: &'e Event) -> Self {
        Self { event, paths: None, parsed: OnceCell::new() }
    }

    /// For the filters that `paths` is of, and no others.
    #[must_use]
    pub fn partial(event: &'e Event, paths: &'e Paths) -> Self {
        Self { event, paths: Some(paths), parsed: OnceCell::new() }
    }

    #[must_use]
    pub fn event(&self) -> &'e Event {
        self.event
    }

    #[must_use]
    pub fn fulfils(&self, filter: &Filter) -> bool {
        let parsed = self.parsed.get_or_init(|| match self.paths {
            Some(paths) => paths.read(self.event.body()),
            None => serde_json::from_slice(self.event.body()).ok(),
        });
        parsed.as_ref().is_none_or(|body| filter.matches(body))
    }
}
