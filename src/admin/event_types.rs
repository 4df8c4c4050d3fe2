//! The catalogue, as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::listing::Page;
use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use crate::model::EventType;

/// The platform's types; with `operational=true` those that the engine makes itself as well, which a form
/// that offers every event has no place for. The order is that of bits, which is stable; the cursor is the
/// last item's bit.
pub async fn list(State(admin): State<Arc<Admin>>, query: RawQuery) -> Result<Response, Problem> {
    let mut query = query.judge(&["operational"]);
    let limit = query.limit();
    let after = query.cursor(|text| text.parse::<u8>().ok());
    let operational =
        query.read("operational", "must be true or false", |text| text.parse().ok()).unwrap_or(false);
    query.done()?;
    let wanted = |event_type: &&EventType| operational || !event_type.bit.is_operational();
    let types = admin.catalogue.all().filter(wanted);
    let types = types.filter(|event_type| after.is_none_or(|bit| event_type.bit.0 > bit));
    let cursor = |event_type: &&EventType| event_type.bit.0.to_string();
    Ok(Page::take(types, limit, |event_type| *event_type, cursor).into_response())
}

pub async fn show(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Response, Problem> {
    let found = admin.catalogue.find(path.get("type")).ok_or_else(Problem::not_found)?;
    Ok(Json(found).into_response())
}
