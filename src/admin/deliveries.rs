//! The list of deliveries, and the attempts of one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::delivery_search::{DeliveryStatus, DeliveryView, EVENTS_AT_ONCE, Search, Spent, read_place};
use super::events::{SCAN_MAX, read_types};
use super::listing::Page;
use super::ports::EventsQuery;
use super::problem::Problem;
use super::query::{Query, RawQuery, cursor_text};
use super::segments::Segments;
use super::state::Admin;
use super::subscription_view::{HeaderView, masked};
use crate::model::{Attempt, Event, EventId, EventMask, Payload, Seq, Subscription, SubscriptionId};

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
        items: Vec::new(),
        spent: Spent::default(),
        events: EventsQuery {
            account,
            below: None,
            types: read_types(&mut query, &admin.catalogue),
            since: query.time("since"),
            until: query.time("until"),
            from: Seq(0),
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
    /// The subscription was changed since: URL and custom headers may have been others.
    changed_since: bool,
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
/// subscription has now, and it is told where that may be another thing. The signature is not kept and not
/// shown.
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
            changed_since: sub.updated_at > attempt.started_at,
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
    if attempts.is_empty() && !sub.wants(&Payload::new(&event)) {
        return Err(Problem::not_found());
    }
    let count = attempts.len();
    let rest = attempts.into_iter().skip(after).take(limit);
    let items: Vec<_> = rest.map(|attempt| attempt_view(&sub, &event, attempt)).collect();
    let end = after.saturating_add(items.len());
    Ok(Page { items, next: (end < count).then(|| cursor_text(&end.to_string())) }.into_response())
}
