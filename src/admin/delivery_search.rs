//! The search behind the list of deliveries.
//!
//! There is no row per delivery (acceptance must cost the same whatever the fan-out), so a list is
//! computed. Dead and retrying ones have rows, which are merged over the subscriptions. Otherwise the
//! account's events are walked, newest first, and joined with the subscriptions that wanted them: who did is
//! known from epochs, and what became of it from attempt rows, read a bucket at a time. What is pending lies
//! above a seq that is known. A page looks at a bounded number of pairs and may be short; `next` goes on
//! where it ended.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::events::type_id;
use super::ports::{EventsQuery, Lasts, Place, Queries, QueryError, Standing, StandingQuery};
use crate::model::{
    Catalogue, Disposition, Event, EventId, LastAttempt, Payload, Seq, Subscription, SubscriptionKey,
    UnixMillis,
};

/// Pairs of event and subscription that one page looks at, at most.
const PAIRS_MAX: usize = 2_000;
/// Buckets of attempts that one page reads, at most.
const BUCKETS_MAX: usize = 128;
/// Events of deliveries with a row of their own that one page reads, at most.
const STANDING_MAX: usize = 256;
/// Pages of events that one page of deliveries reads, at most.
const EVENT_PAGES_MAX: usize = 32;
/// Events read at once.
pub(super) const EVENTS_AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryStatus {
    Pending,
    Delivered,
    Retrying,
    Dead,
}

const STATUSES: [(&str, DeliveryStatus); 4] = [
    ("pending", DeliveryStatus::Pending),
    ("delivered", DeliveryStatus::Delivered),
    ("retrying", DeliveryStatus::Retrying),
    ("dead", DeliveryStatus::Dead),
];

impl DeliveryStatus {
    pub fn parse(text: &str) -> Option<Self> {
        STATUSES.iter().find(|row| row.0 == text).map(|row| row.1)
    }

    /// A retry that waits says more than what was last: it may have been asked for by hand.
    fn of(last: Option<&LastAttempt>, due: Option<UnixMillis>) -> Self {
        match (last.map(|last| last.disposition), due) {
            (None, _) => Self::Pending,
            (Some(_), Some(_)) | (Some(Disposition::Retry(_)), None) => Self::Retrying,
            (Some(Disposition::Delivered), None) => Self::Delivered,
            (Some(Disposition::Dead), None) => Self::Dead,
        }
    }

    fn word(self) -> &'static str {
        STATUSES.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    event_id: String,
    subscription_id: String,
    r#type: String,
    status: &'static str,
    attempts: u16,
    accepted_at: String,
    last_attempt_at: Option<String>,
    next_attempt_at: Option<String>,
}

fn view(
    catalogue: &Catalogue,
    event: &Event,
    sub: &Subscription,
    last: Option<&LastAttempt>,
    due: Option<UnixMillis>,
) -> DeliveryView {
    let status = DeliveryStatus::of(last, due);
    let next = due.or(last.and_then(|last| match last.disposition {
        Disposition::Retry(at) => Some(at),
        Disposition::Delivered | Disposition::Dead => None,
    }));
    DeliveryView {
        event_id: event.id().to_owned(),
        subscription_id: sub.id.to_string(),
        r#type: type_id(catalogue, event).to_owned(),
        status: status.word(),
        attempts: last.map_or(0, |last| last.number),
        accepted_at: event.accepted_at.to_rfc3339(),
        last_attempt_at: last.map(|last| last.started_at.to_rfc3339()),
        next_attempt_at: next.map(UnixMillis::to_rfc3339),
    }
}

pub(super) fn read_place(text: &str) -> Option<Place> {
    let (seq, key) = text.split_once('.')?;
    Some((Seq(seq.parse().ok()?), SubscriptionKey(key.parse().ok()?)))
}

/// One page of the list, being made on the blocking pool.
pub(super) struct Search {
    pub events: EventsQuery,
    pub event_id: Option<EventId>,
    pub status: Option<DeliveryStatus>,
    /// By key.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// The last place that the page before looked at.
    pub after: Option<Place>,
    pub limit: usize,
    pub items: Vec<DeliveryView>,
    pub spent: Spent,
}

/// What a page has used of its bounds, and what it has read.
#[derive(Default)]
pub(super) struct Spent {
    pairs: usize,
    buckets: usize,
    lasts: HashMap<SubscriptionKey, Lasts>,
}

impl Search {
    /// Returns where to go on.
    pub fn run(&mut self, log: &dyn Queries, catalogue: &Catalogue) -> Result<Option<Place>, QueryError> {
        if let Some(id) = self.event_id.clone() {
            let event = log.event(self.events.account, &id)?;
            return match event.filter(|event| self.asked_for(event)) {
                Some(event) => self.join(log, catalogue, &event),
                None => Ok(None),
            };
        }
        match self.status {
            Some(DeliveryStatus::Dead) => return self.run_standing(log, catalogue, Standing::Dead),
            Some(DeliveryStatus::Retrying) => return self.run_standing(log, catalogue, Standing::Retrying),
            Some(DeliveryStatus::Pending) => self.events.from = log.first_pending(&self.keys())?,
            Some(DeliveryStatus::Delivered) | None => {}
        }
        // The event of the last place may have further subscriptions: it is read again.
        self.events.below = self.after.map(|(seq, _)| Seq(seq.0.saturating_add(1)));
        for _ in 0..EVENT_PAGES_MAX {
            let page = log.events(&self.events)?;
            for event in &page.events {
                if let Some(next) = self.join(log, catalogue, event)? {
                    return Ok(Some(next));
                }
            }
            let Some(below) = page.next else { return Ok(None) };
            self.events.below = Some(below);
        }
        // Everything at or above `below` has been looked at, for every subscription.
        Ok(self.events.below.map(|below| (below, SubscriptionKey(u64::MAX))))
    }

    fn keys(&self) -> Vec<SubscriptionKey> {
        self.subscriptions.iter().map(|sub| sub.key).collect()
    }

    /// Merges the rows of those that have rows.
    fn run_standing(
        &mut self,
        log: &dyn Queries,
        catalogue: &Catalogue,
        standing: Standing,
    ) -> Result<Option<Place>, QueryError> {
        let places = log.standing(&StandingQuery {
            standing,
            subscriptions: &self.keys(),
            after: self.after,
            since: self.events.since,
            until: self.events.until,
            limit: STANDING_MAX,
        })?;
        let mut events: Vec<Arc<Event>> = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let (seq, key) = *place;
            if number.is_multiple_of(EVENTS_AT_ONCE) {
                let mut seqs: Vec<Seq> =
                    places.iter().skip(number).take(EVENTS_AT_ONCE).map(|place| place.0).collect();
                seqs.dedup();
                events = log.events_at(&seqs)?;
            }
            // Newest first, as the places are; some may be gone.
            let event = events.iter().find(|event| event.seq == seq).cloned();
            let at = self.subscriptions.binary_search_by_key(&key, |sub| sub.key).ok();
            let sub = at.and_then(|at| self.subscriptions.get(at)).cloned();
            if let (Some(event), Some(sub)) = (&event, sub)
                && self.asked_for(event)
            {
                self.look_at(log, catalogue, event, &sub)?;
            }
            if self.items.len() >= self.limit || self.spent.buckets >= BUCKETS_MAX {
                return Ok(Some(*place));
            }
        }
        Ok(places.last().copied().filter(|_| places.len() >= STANDING_MAX))
    }

    /// Takes a delivery into the page, if it stands as asked for.
    fn look_at(
        &mut self,
        log: &dyn Queries,
        catalogue: &Catalogue,
        event: &Event,
        sub: &Subscription,
    ) -> Result<(), QueryError> {
        self.spent.pairs += 1;
        let held = self.spent.lasts.get(&sub.key);
        if held.is_none_or(|held| event.seq < held.from || held.through < event.seq) {
            self.spent.buckets += 1;
            self.spent.lasts.insert(sub.key, log.last_attempts(sub.key, event.seq)?);
        }
        let last = self.spent.lasts.get(&sub.key).and_then(|lasts| lasts.of.get(&event.seq)).copied();
        let due = log.due(sub.key, event.seq)?;
        if self.status.is_none_or(|status| status == DeliveryStatus::of(last.as_ref(), due)) {
            self.items.push(view(catalogue, event, sub, last.as_ref(), due));
        }
        Ok(())
    }

    fn asked_for(&self, event: &Event) -> bool {
        self.events.types.contains(event.type_bit)
            && self.events.since.is_none_or(|since| event.accepted_at >= since)
            && self.events.until.is_none_or(|until| event.accepted_at < until)
    }

    /// Joins one event with its subscriptions; returns where to go on if the page is full.
    fn join(
        &mut self,
        log: &dyn Queries,
        catalogue: &Catalogue,
        event: &Event,
    ) -> Result<Option<Place>, QueryError> {
        let payload = Payload::new(event);
        let wanting: Vec<_> = self.subscriptions.iter().filter(|sub| sub.wants(&payload)).cloned().collect();
        for sub in wanting {
            let before = |(seq, key): Place| event.seq > seq || (event.seq == seq && sub.key <= key);
            if self.after.is_some_and(before) {
                continue;
            }
            self.look_at(log, catalogue, event, &sub)?;
            let spent = self.spent.pairs >= PAIRS_MAX || self.spent.buckets >= BUCKETS_MAX;
            if self.items.len() >= self.limit || spent {
                return Ok(Some((event.seq, sub.key)));
            }
        }
        Ok(None)
    }
}
