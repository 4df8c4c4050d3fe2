//! Operational events: the writer makes them itself, in the same write as what they tell of.

use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::commit::{Append, Context, Staged};
use super::writer::Writer;
use crate::model::{NewEvent, UnixMillis};

/// Events that nobody waits for an answer of.
fn unasked(events: Vec<NewEvent>) -> Append {
    let (reply, _) = oneshot::channel();
    Append { events, reply }
}

impl Writer {
    /// What pending settlements tell of, where somebody wants to know. It is made anew with each try: what
    /// was written already is a duplicate then.
    pub(super) fn announcements(&self) -> Option<Append> {
        if self.pending.iter().all(|settlement| settlement.notices.is_empty()) {
            return None;
        }
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let notices = self.pending.iter().flat_map(|settlement| &settlement.notices);
        let events: Vec<NewEvent> = notices.filter_map(|notice| registry.dead_event(notice)).collect();
        (!events.is_empty()).then(|| unasked(events))
    }

    pub(super) fn stage(&self, requests: Vec<Append>, now: UnixMillis) -> Staged {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let context = Context {
            store: &self.store,
            stats: &self.stats,
            registry: &registry,
            dedupe: &self.state.dedupe,
            timeline: &self.state.timeline,
            head: self.state.head,
            now,
        };
        context.stage(requests)
    }

    /// The event that tells of a change.
    pub(super) fn stage_event(&self, event: Option<&NewEvent>, now: UnixMillis) -> Option<Staged> {
        let staged = self.stage(vec![unasked(vec![event?.clone()])], now);
        (!staged.events.is_empty()).then_some(staged)
    }
}
