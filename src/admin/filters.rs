//! Trying a payload filter before it is saved: whether an event, or the sample of a type, fulfils it.
//!
//! Nothing is stored or sent. Types are not asked: which of them are wanted is another field of the
//! subscription. The account need not be there yet, as for its first subscription.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::Json as JsonBody;
use super::problem::Problem;
use super::replay::members;
use super::segments::Segments;
use super::state::Admin;
use crate::model::{AccountName, Filter, FilterError};
use crate::registry::FieldError;

const KNOWN: [&str; 4] = ["filter", "event", "type", "data"];

#[derive(Serialize)]
struct Verdict {
    matches: bool,
}

pub async fn test(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let account = path.new_account()?;
    let body = members(&body, &KNOWN)?;
    let filter = filter(body)?;
    let event = event(&admin, &account, body)?;
    let matches = filter.is_none_or(|filter| filter.matches(&event));
    Ok(axum::Json(Verdict { matches }).into_response())
}

fn filter(body: &Map<String, Value>) -> Result<Option<Filter>, Problem> {
    let given =
        body.get("filter").ok_or_else(|| Problem::field("filter", "is required; null matches everything"))?;
    if given.is_null() {
        return Ok(None);
    }
    let told = |FilterError { field, message }| FieldError::new(field, message);
    let filter = Filter::parse(given, "filter");
    filter.map(Some).map_err(|errors| Problem::invalid(errors.into_iter().map(told).collect()))
}

/// The event as it is given, or one of a type, with the type's sample where there is no data.
fn event(admin: &Admin, account: &AccountName, body: &Map<String, Value>) -> Result<Value, Problem> {
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let object = |name: &str, value: &Value| {
        if value.is_object() { Ok(value.clone()) } else { Err(Problem::field(name, "must be an object")) }
    };
    if let Some(event) = given("event") {
        for other in ["type", "data"] {
            if given(other).is_some() {
                return Err(Problem::field(other, "must be left out where the whole event is given"));
            }
        }
        return object("event", event);
    }
    let name =
        given("type").ok_or_else(|| Problem::field("type", "is required, or the whole event as event"))?;
    let name = name.as_str().ok_or_else(|| Problem::field("type", "must be a string"))?;
    let found = admin.catalogue.find(name).ok_or_else(|| Problem::field("type", "is no event type"))?;
    let data = match given("data") {
        Some(data) => object("data", data)?,
        None => serde_json::from_str(found.sample.as_str()).unwrap_or_default(),
    };
    Ok(json!({
        "id": "evt_sample",
        "type": found.id,
        "timestamp": (admin.clock)().to_rfc3339(),
        "accountId": account.as_str(),
        "data": data,
    }))
}
