//! Sending by hand: a test event, and a delivery once more.
//!
//! A test event is a real, signed request with the type's sample as its data, through the connections that
//! deliveries use. It is sent once, whatever comes of it, also for a subscription that is inactive: people
//! try a receiver before they switch it on. It is in no list afterwards and counts for nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::body::{Json as JsonBody, OptionalJson};
use super::caller::Caller;
use super::deliveries::attempt_view;
use super::ports::Again;
use super::problem::Problem;
use super::segments::Segments;
use super::state::Admin;
use crate::model::json::JsonObject;
use crate::model::{
    Attempt, Catalogue, Disposition, Event, EventId, EventType, Outcome, Seq, Status, Subscription, Trigger,
    UnixMillis,
};
use crate::registry::{Action, FieldError};
use crate::rt;

/// A test event has the subscription's deadline, but ends before the request that asked for it does.
const TEST_TIMEOUT_MAX: Duration = Duration::from_secs(25);

/// A JSON object's members, of which only `known` may be there.
pub(super) fn members<'v>(
    body: &'v Value,
    known: &[&str],
) -> Result<&'v serde_json::Map<String, Value>, Problem> {
    let object = body.as_object().ok_or_else(|| Problem::field("", "must be an object"))?;
    let unknown = |name: &&String| !known.contains(&name.as_str());
    let errors: Vec<_> = object
        .keys()
        .filter(unknown)
        .take(crate::registry::ERRORS_MAX)
        .map(|name| FieldError::new(name.clone(), "is no known field"))
        .collect();
    if errors.is_empty() { Ok(object) } else { Err(Problem::invalid(errors)) }
}

fn wanted_type<'c>(
    catalogue: &'c Catalogue,
    sub: &Subscription,
    body: Option<&Value>,
) -> Result<&'c EventType, Problem> {
    let asked = match body {
        Some(body) => members(body, &["type"])?.get("type").filter(|value| !value.is_null()),
        None => None,
    };
    if let Some(asked) = asked {
        let name = asked.as_str().ok_or_else(|| Problem::field("type", "must be a string"))?;
        return catalogue.find(name).ok_or_else(|| Problem::field("type", "is no event type"));
    }
    // By its selectors, since an inactive one wants nothing at present.
    let first =
        |selector: &String| catalogue.expand_stored(selector).bits().find_map(|bit| catalogue.get(bit));
    let wanted = sub.events.iter().find_map(first);
    wanted.ok_or_else(|| Problem::field("type", "is needed: the subscription wants no type that is left"))
}

/// What receivers get, as every event looks (contract §4).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: &'a str,
    r#type: &'a str,
    timestamp: String,
    account_id: &'a str,
    data: &'a JsonObject,
}

fn sample_event(sub: &Subscription, event_type: &EventType, now: UnixMillis) -> Option<Event> {
    let random: [u8; 12] = rt::random::bytes();
    let digits = random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let id = format!("evt_test_{digits}");
    let body = serde_json::to_vec(&Body {
        id: &id,
        r#type: &event_type.id,
        timestamp: now.to_rfc3339(),
        account_id: sub.account_name.as_str(),
        data: &event_type.sample,
    });
    let id_len = u8::try_from(id.len()).ok()?;
    Event::new(Seq(0), sub.account, event_type.bit, now, id_len, Bytes::from(body.ok()?))
}

/// An attempt that was made once, and is not made again.
fn attempt(event: &Event, outcome: Outcome) -> Attempt {
    Attempt {
        seq: event.seq,
        number: 1,
        trigger: Trigger::Test,
        started_at: outcome.started_at,
        duration_ms: u32::try_from(outcome.duration.as_millis()).unwrap_or(u32::MAX),
        status: outcome.status,
        disposition: if outcome.error.is_none() { Disposition::Delivered } else { Disposition::Dead },
        error: outcome.error,
        response: outcome.response,
        body_size: u32::try_from(event.body().len()).unwrap_or(u32::MAX),
    }
}

pub async fn test(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let sub = path.subscription(&admin)?;
    let event_type = wanted_type(&admin.catalogue, &sub, body.as_ref())?;
    let event = sample_event(&sub, event_type, (admin.clock)())
        .ok_or_else(|| Problem::internal("the sample makes no event"))?;
    let event = Arc::new(event);
    let timeout = sub.delivery.timeout.min(TEST_TIMEOUT_MAX);
    admin.note(&caller, &sub, Action::SubscriptionTest).await?;
    let outcome = admin.replays.test(Arc::clone(&sub), Arc::clone(&event), timeout).await?;
    let attempt = attempt(&event, outcome);
    Ok(axum::Json(attempt_view(&sub, &event, attempt)).into_response())
}

pub(super) fn inactive() -> Problem {
    let detail = "the subscription is inactive: nothing is sent to it; make it active first";
    Problem::new(StatusCode::CONFLICT, "subscription_inactive", detail)
}

/// The answer to a resend: it is on disk that the delivery is made again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResendView {
    event_id: String,
    subscription_id: String,
    status: &'static str,
}

pub async fn resend(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let sub = path.subscription(&admin)?;
    let id = members(&body, &["eventId"])?.get("eventId").and_then(Value::as_str);
    let id = id.ok_or_else(|| Problem::field("eventId", "must be a string"))?;
    let id = EventId::parse(id).map_err(|error| Problem::field("eventId", error.to_string()))?;
    if sub.status != Status::Active {
        return Err(inactive());
    }
    let account = sub.account;
    let event = admin.query(move |log| log.event(account, &id)).await?;
    let event = event.ok_or_else(gone)?;
    admin.note(&caller, &sub, Action::SubscriptionResend).await?;
    match admin.replays.resend(sub.key, event.seq).await? {
        Again::Due | Again::UnderWay => {
            let view = ResendView {
                event_id: event.id().to_owned(),
                subscription_id: sub.id.to_string(),
                status: "pending",
            };
            Ok((StatusCode::ACCEPTED, axum::Json(view)).into_response())
        }
        Again::Gone => Err(gone()),
        Again::Unwanted => {
            let detail =
                "the subscription did not want this event when it came, so there is no delivery of it";
            Err(Problem::unfit("not_wanted", "eventId", detail))
        }
    }
}

fn gone() -> Problem {
    let detail = "the account has no such event, or retention has dropped it";
    Problem::new(StatusCode::NOT_FOUND, "event_not_found", detail)
}
