//! Deliveries: an account's events, newest first, joined with the subscriptions that want them; and the
//! attempts of one.
//!
//! There is no row per delivery (acceptance must cost the same whatever the fan-out), so a list is
//! computed: who wanted an event is known from epochs, and what became of it from attempt rows. A page
//! looks at a bounded number of pairs and may be short; `next` goes on where it ended.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::events::{SCAN_MAX, read_types, type_id};
use super::listing::Page;
use super::ports::{EventsQuery, Queries, QueryError};
use super::problem::Problem;
use super::query::{Query, RawQuery, cursor_text};
use super::segments::Segments;
use super::state::Admin;
use super::subscription_view::{HeaderView, masked};
use crate::model::{
    Attempt, Catalogue, Disposition, Event, EventId, EventMask, Seq, Subscription, SubscriptionId,
    SubscriptionKey,
};

/// Pairs of event and subscription that one page asks the log about, at most.
const PAIRS_MAX: usize = 2_000;
/// Pages of events that one page of deliveries reads, at most.
const EVENT_PAGES_MAX: usize = 32;
/// Events read at once.
const EVENTS_AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryStatus {
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
    fn parse(text: &str) -> Option<Self> {
        STATUSES.iter().find(|row| row.0 == text).map(|row| row.1)
    }

    fn of(attempts: &[Attempt]) -> Self {
        match attempts.last().map(|last| last.disposition) {
            None => Self::Pending,
            Some(Disposition::Delivered) => Self::Delivered,
            Some(Disposition::Retry(_)) => Self::Retrying,
            Some(Disposition::Dead) => Self::Dead,
        }
    }

    fn word(self) -> &'static str {
        STATUSES.iter().find(|row| row.1 == self).map_or("", |row| row.0)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryView {
    event_id: String,
    subscription_id: String,
    r#type: String,
    status: &'static str,
    attempts: u16,
    accepted_at: String,
    last_attempt_at: Option<String>,
    next_attempt_at: Option<String>,
}

fn view(catalogue: &Catalogue, event: &Event, sub: &Subscription, attempts: &[Attempt]) -> DeliveryView {
    let last = attempts.last();
    let next = last.and_then(|last| match last.disposition {
        Disposition::Retry(at) => Some(at.to_rfc3339()),
        Disposition::Delivered | Disposition::Dead => None,
    });
    DeliveryView {
        event_id: event.id().to_owned(),
        subscription_id: sub.id.to_string(),
        r#type: type_id(catalogue, event).to_owned(),
        status: DeliveryStatus::of(attempts).word(),
        attempts: last.map_or(0, |last| last.number),
        accepted_at: event.accepted_at.to_rfc3339(),
        last_attempt_at: last.map(|last| last.started_at.to_rfc3339()),
        next_attempt_at: next,
    }
}

/// A delivery's place in the list: newest event first, then by subscription.
type Place = (Seq, SubscriptionKey);

fn read_place(text: &str) -> Option<Place> {
    let (seq, key) = text.split_once('.')?;
    Some((Seq(seq.parse().ok()?), SubscriptionKey(key.parse().ok()?)))
}

/// One page of the list, being made on the blocking pool.
struct Search {
    events: EventsQuery,
    event_id: Option<EventId>,
    status: Option<DeliveryStatus>,
    /// By key.
    subscriptions: Vec<Arc<Subscription>>,
    /// The last place that the page before looked at.
    after: Option<Place>,
    limit: usize,
    pairs: usize,
    items: Vec<DeliveryView>,
}

impl Search {
    /// Returns where to go on.
    fn run(&mut self, log: &dyn Queries, catalogue: &Catalogue) -> Result<Option<Place>, QueryError> {
        if let Some(id) = self.event_id.clone() {
            let event = log.event(self.events.account, &id)?;
            return match event.filter(|event| self.asked_for(event)) {
                Some(event) => self.join(log, catalogue, &event),
                None => Ok(None),
            };
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
        let wants = |sub: &Subscription| sub.wants(event.type_bit, event.seq) && !event.is_about(&sub.id);
        for sub in self.subscriptions.iter().filter(|sub| wants(sub)) {
            let before = |(seq, key): Place| event.seq > seq || (event.seq == seq && sub.key <= key);
            if self.after.is_some_and(before) {
                continue;
            }
            let attempts = log.attempts(sub.key, event.seq)?;
            self.pairs += 1;
            if self.status.is_none_or(|status| status == DeliveryStatus::of(&attempts)) {
                self.items.push(view(catalogue, event, sub, &attempts));
            }
            if self.items.len() >= self.limit || self.pairs >= PAIRS_MAX {
                return Ok(Some((event.seq, sub.key)));
            }
        }
        Ok(None)
    }
}

fn read_status(query: &mut Query) -> Option<DeliveryStatus> {
    let message = "must be pending, delivered, retrying or dead";
    query.read("status", message, DeliveryStatus::parse)
}

pub async fn list(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?.key;
    let filters = ["subscriptionId", "eventId", "type", "status", "since", "until"];
    let mut query = query.judge(&filters);
    let only = query.read("subscriptionId", "is no subscription's id", |id| SubscriptionId::parse(id).ok());
    let mut search = Search {
        event_id: query.read("eventId", "is no event's id", |id| EventId::parse(id).ok()),
        status: read_status(&mut query),
        subscriptions: Vec::new(),
        after: query.cursor(read_place),
        limit: query.limit(),
        pairs: 0,
        items: Vec::new(),
        events: EventsQuery {
            account,
            below: None,
            types: read_types(&mut query, &admin.catalogue),
            since: query.time("since"),
            until: query.time("until"),
            limit: EVENTS_AT_ONCE,
            scan_max: SCAN_MAX,
        },
    };
    query.done()?;
    search.subscriptions = {
        let registry = admin.registry();
        let all = registry.subscriptions_of(account).iter();
        all.filter(|sub| only.as_ref().is_none_or(|only| sub.id == *only)).cloned().collect()
    };
    search.subscriptions.sort_by_key(|sub| sub.key);
    let wanted = search.subscriptions.iter().fold(EventMask::NONE, |all, sub| all.union(&sub.mask_ever()));
    search.events.types = search.events.types.intersection(&wanted);
    if search.events.types.is_empty() {
        return Ok(Page::<DeliveryView>::whole(Vec::new()).into_response());
    }
    let catalogue = Arc::clone(&admin.catalogue);
    let (items, next) = admin
        .query(move |log| {
            let next = search.run(log, &catalogue)?;
            Ok((search.items, next))
        })
        .await?;
    let next = next.map(|(seq, key)| cursor_text(&format!("{}.{}", seq.0, key.0)));
    Ok(Page { items, next }.into_response())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptView {
    number: u16,
    trigger: &'static str,
    started_at: String,
    duration_ms: u32,
    status_code: Option<u16>,
    error: Option<ErrorView>,
    request: RequestView,
    response: Option<ResponseView>,
}

#[derive(Serialize)]
struct ErrorView {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestView {
    url: String,
    headers: Vec<HeaderView>,
    body_size: u32,
}

#[derive(Serialize)]
struct ResponseView {
    headers: Vec<HeaderView>,
    body: String,
    truncated: bool,
}

fn header(name: &str, value: impl Into<String>) -> HeaderView {
    HeaderView { name: name.to_owned(), value: value.into() }
}

/// An attempt's row keeps what differs from attempt to attempt; URL and custom headers are those that the
/// subscription has now. The signature is not kept and not shown.
pub(super) fn attempt_view(sub: &Subscription, event: &Event, attempt: Attempt) -> AttemptView {
    let mut headers = vec![
        header("content-type", "application/json"),
        header("user-agent", concat!("Postrider/", env!("CARGO_PKG_VERSION"))),
        header("webhook-id", event.id()),
        header("webhook-timestamp", attempt.started_at.as_secs().to_string()),
        header("postrider-subscription", sub.id.as_str()),
        header("postrider-attempt", attempt.number.to_string()),
    ];
    // A custom header takes the place of one that stands here, as it does in the request.
    headers.retain(|own| !sub.headers.iter().any(|custom| custom.name.eq_ignore_ascii_case(&own.name)));
    headers.extend(masked(sub));
    let response = attempt.response.map(|response| ResponseView {
        headers: response
            .headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| header(name, value.trim()))
            .collect(),
        body: String::from_utf8_lossy(&response.body).into_owned(),
        truncated: response.truncated,
    });
    AttemptView {
        number: attempt.number,
        trigger: attempt.trigger.as_str(),
        started_at: attempt.started_at.to_rfc3339(),
        duration_ms: attempt.duration_ms,
        status_code: attempt.status,
        error: attempt.error.map(|error| ErrorView { kind: error.kind.as_str(), message: error.message }),
        request: RequestView {
            url: sub.callback_url.as_str().to_owned(),
            headers,
            body_size: attempt.body_size,
        },
        response,
    }
}

pub async fn attempts(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let sub = path.subscription(&admin)?;
    let id = path.event_id()?;
    let mut query = query.judge(&[]);
    let limit = query.limit();
    let after = query.cursor(|text| text.parse::<usize>().ok()).unwrap_or(0);
    query.done()?;
    let (account, key) = (sub.account, sub.key);
    let found = admin
        .query(move |log| {
            let Some(event) = log.event(account, &id)? else { return Ok(None) };
            let attempts = log.attempts(key, event.seq)?;
            Ok(Some((event, attempts)))
        })
        .await?;
    let (event, attempts) = found.ok_or_else(Problem::not_found)?;
    let wants = sub.wants(event.type_bit, event.seq) && !event.is_about(&sub.id);
    if attempts.is_empty() && !wants {
        return Err(Problem::not_found());
    }
    let count = attempts.len();
    let rest = attempts.into_iter().skip(after).take(limit);
    let items: Vec<_> = rest.map(|attempt| attempt_view(&sub, &event, attempt)).collect();
    let end = after.saturating_add(items.len());
    Ok(Page { items, next: (end < count).then(|| cursor_text(&end.to_string())) }.into_response())
}
