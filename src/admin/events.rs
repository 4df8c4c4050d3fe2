//! Events of an account: a list without their data, and one with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::listing::Page;
use super::ports::EventsQuery;
use super::problem::Problem;
use super::query::{Query, RawQuery, cursor_text};
use super::segments::Segments;
use super::state::Admin;
use crate::model::{Catalogue, Event, EventMask, Seq};

/// Entries of an account's index that one page looks at, at most.
pub const SCAN_MAX: usize = 20_000;

/// What a body holds beside what the event knows of itself.
#[derive(Deserialize)]
struct Body<'b> {
    timestamp: String,
    #[serde(rename = "accountId")]
    account_id: String,
    #[serde(borrow)]
    data: &'b RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView<'e> {
    id: &'e str,
    r#type: &'e str,
    account_id: String,
    timestamp: String,
    accepted_at: String,
    body_size: usize,
    /// Byte for byte as it was sent. Left out of lists, where it could be 250 times 256 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'e RawValue>,
}

fn view<'e>(event: &'e Event, catalogue: &'e Catalogue, with_data: bool) -> Option<EventView<'e>> {
    let body: Body<'e> = serde_json::from_slice(event.body()).ok()?;
    Some(EventView {
        id: event.id(),
        r#type: type_id(catalogue, event),
        account_id: body.account_id,
        timestamp: body.timestamp,
        accepted_at: event.accepted_at.to_rfc3339(),
        body_size: event.body().len(),
        data: with_data.then_some(body.data),
    })
}

/// The type's id. Bits are never given to another type, so it is there unless the catalogue was damaged.
pub fn type_id<'c>(catalogue: &'c Catalogue, event: &Event) -> &'c str {
    catalogue.id(event.type_bit).unwrap_or("unknown")
}

/// The filter `type`: an id, a name, an alias, or a selector such as `user.*`; all types without it.
pub fn read_types(query: &mut Query, catalogue: &Catalogue) -> EventMask {
    let message = "is no known event type";
    let all = catalogue_mask();
    query.read("type", message, |text| catalogue.expand(text)).unwrap_or(all)
}

/// Every bit, those of dropped types included.
fn catalogue_mask() -> EventMask {
    EventMask::of((0..=u8::MAX).map(crate::model::TypeBit))
}

pub async fn list(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?.key;
    let mut query = query.judge(&["type", "since", "until"]);
    let asked = EventsQuery {
        account,
        below: query.cursor(|text| text.parse().ok().map(Seq)),
        types: read_types(&mut query, &admin.catalogue),
        since: query.time("since"),
        until: query.time("until"),
        from: Seq(0),
        limit: query.limit(),
        scan_max: SCAN_MAX,
    };
    query.done()?;
    let page = admin.query(move |log| log.events(&asked)).await?;
    let items = page.events.iter().filter_map(|event| view(event, &admin.catalogue, false)).collect();
    Ok(Page { items, next: page.next.map(|seq| cursor_text(&seq.0.to_string())) }.into_response())
}

pub async fn show(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Response, Problem> {
    let account = path.account(&admin)?.key;
    let id = path.event_id()?;
    let event = admin.query(move |log| log.event(account, &id)).await?.ok_or_else(Problem::not_found)?;
    let view = view(&event, &admin.catalogue, true);
    Ok(Json(view.ok_or_else(|| Problem::internal("the event's body is damaged"))?).into_response())
}
