//! What machines ask without a token: metrics, whether the process lives, whether it can work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::Admin;
use crate::rt::clock;

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 accounts are out of reach")]
pub async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let (accounts, subscriptions) = {
        let registry = admin.registry();
        (registry.account_count(), registry.subscription_count())
    };
    admin.metrics.accounts.set(accounts as f64);
    admin.metrics.subscriptions.set(subscriptions as f64);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.telemetry.render()).into_response()
}

pub async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

pub async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let problems = admin.readiness.problems(clock::mono());
    if problems.is_empty() {
        Json(json!({"status": "ready"})).into_response()
    } else {
        let body = Json(json!({"status": "not_ready", "problems": problems}));
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}
