//! Every route of the admin port, on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use super::problem::Problem;
use super::state::Admin;
use super::{accounts, auth, deliveries, event_types, events, probes, subscriptions};

/// One deadline over reading a request and answering it.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

pub fn router(admin: Arc<Admin>) -> Router {
    let subscription = "/accounts/{account}/subscriptions/{subscription}";
    let api = Router::new()
        .route("/event-types", get(event_types::list))
        .route("/event-types/{type}", get(event_types::show))
        .route("/accounts", get(accounts::list))
        .route("/accounts/{account}", get(accounts::show).put(accounts::put).delete(accounts::delete))
        .route("/accounts/{account}/features", get(accounts::features))
        .route("/accounts/{account}/features/{flag}", put(accounts::set_feature))
        .route("/accounts/{account}/subscriptions", get(subscriptions::list).post(subscriptions::create))
        .route(
            subscription,
            get(subscriptions::show).patch(subscriptions::patch).delete(subscriptions::delete),
        )
        .route(&format!("{subscription}/secret"), get(subscriptions::secret))
        .route(&format!("{subscription}/secret/rotate"), post(subscriptions::rotate_secret))
        .route(&format!("{subscription}/deliveries/{{event}}/attempts"), get(deliveries::attempts))
        .route("/accounts/{account}/deliveries", get(deliveries::list))
        .route("/accounts/{account}/events", get(events::list))
        .route("/accounts/{account}/events/{event}", get(events::show))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), auth::require));
    Router::new()
        .nest("/api/v1", api)
        .route("/metrics", get(probes::metrics))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/", get(probes::index))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), around))
        .with_state(admin)
}

async fn not_found() -> Problem {
    Problem::not_found()
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

/// What holds for every request: a deadline, headers that keep browsers careful, a count.
async fn around(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| Problem::timeout().into_response());
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    admin.metrics.answered(response.status().as_u16());
    response
}
