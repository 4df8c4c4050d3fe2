//! Every route of the admin port, on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::auth::Need;
use super::problem::Problem;
use super::state::Admin;
use super::{
    accounts, audit, auth, charts, checkpoint, console, deliveries, event_types, events, filters,
    idempotency, jobs, openapi, overview, probes, replay, session, stream, subscriptions, tokens,
};
use crate::registry::access::Right;

/// One deadline over reading a request and answering it.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

pub fn router(admin: Arc<Admin>) -> Router {
    let needs = |right, gated, routes: MethodRouter<Arc<Admin>>| {
        let need = Need { admin: Arc::clone(&admin), right, gated };
        routes
            .route_layer(middleware::from_fn_with_state(Arc::clone(&admin), idempotency::once))
            .route_layer(middleware::from_fn_with_state(need, auth::authorize))
    };
    // What a method needs: the operator, or a right in the account that the path names. Reading and
    // managing what the feature flag gates are closed where it is off.
    let operate = |routes| needs(Right::Operate, false, routes);
    let read = |routes| needs(Right::Read, false, routes);
    let manage = |routes| needs(Right::Manage, false, routes);
    let read_gated = |routes| needs(Right::Read, true, routes);
    let manage_gated = |routes| needs(Right::Manage, true, routes);

    let account = "/accounts/{account}";
    let subscription = "/accounts/{account}/subscriptions/{subscription}";
    let api = Router::new()
        // These are for whoever has a token.
        .route("/event-types", get(event_types::list))
        .route("/event-types/{type}", get(event_types::show))
        .route("/me", get(tokens::me))
        .route("/checkpoint", operate(post(checkpoint::make).delete(checkpoint::drop)))
        .route("/audit", operate(get(audit::of_all)))
        .route(&format!("{account}/audit"), manage(get(audit::of_account)))
        .route("/overview", operate(get(overview::show)))
        .route("/accounts", operate(get(accounts::list)))
        .route(account, operate(get(accounts::show).put(accounts::put).delete(accounts::delete)))
        .route(&format!("{account}/features"), operate(get(accounts::features)))
        .route(&format!("{account}/features/{{flag}}"), operate(put(accounts::set_feature)))
        .route(&format!("{account}/tokens"), manage(get(tokens::list).post(tokens::create)))
        .route(&format!("{account}/tokens/{{token}}"), manage(delete(tokens::delete)))
        .route(
            &format!("{account}/subscriptions"),
            read_gated(get(subscriptions::list)).merge(manage_gated(post(subscriptions::create))),
        )
        .route(&format!("{account}/subscriptions:test-filter"), read_gated(post(filters::test)))
        .route(
            subscription,
            read_gated(get(subscriptions::show))
                .merge(manage_gated(patch(subscriptions::patch).delete(subscriptions::delete))),
        )
        .route(&format!("{subscription}/secret"), manage_gated(get(subscriptions::secret)))
        .route(&format!("{subscription}/secret/rotate"), manage_gated(post(subscriptions::rotate_secret)))
        .route(&format!("{subscription}/stats"), read_gated(get(charts::stats)))
        .route(
            &format!("{subscription}/deliveries/{{event}}/attempts"),
            read_gated(get(deliveries::attempts)),
        )
        .route(&format!("{subscription}/recover"), manage_gated(post(jobs::recover)))
        .route(&format!("{account}/jobs"), read_gated(get(jobs::list)))
        .route(
            &format!("{account}/jobs/{{job}}"),
            read_gated(get(jobs::show)).merge(manage_gated(delete(jobs::cancel))),
        )
        .route(&format!("{subscription}/resend"), manage_gated(post(replay::resend)))
        .route(&format!("{subscription}/test"), manage_gated(post(replay::test)))
        .route(&format!("{account}/deliveries"), read_gated(get(deliveries::list)))
        .route(&format!("{account}/deliveries/stream"), read_gated(get(stream::stream)))
        .route(&format!("{account}/events"), read(get(events::list)))
        .route(&format!("{account}/events/{{event}}"), read(get(events::show)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), auth::identify));
    Router::new()
        .nest(openapi::BASE, api)
        // Needs no token: it tells nothing that the source does not.
        .route("/api/v1/openapi.json", get(openapi::document_json))
        .route("/metrics", get(probes::metrics))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/", get(console::root))
        .route("/docs", get(console::docs))
        .route("/console/", get(console::index))
        .route("/console/{file}", get(console::file))
        .route("/console/session", get(session::show).post(session::begin).delete(session::end))
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
    admin.frames.allow(headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    admin.metrics.answered(response.status().as_u16());
    response
}
