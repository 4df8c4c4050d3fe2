//! Subscriptions: made, listed, shown, changed, deleted; and their secret.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ETAG, HeaderValue, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::{Json as JsonBody, OptionalJson};
use super::caller::Caller;
use super::listing::Page;
use super::made::Made;
use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use super::subscription_view::SubscriptionView;
use crate::model::{ClientIdentity, SignatureScheme, Subscription, SubscriptionId, UnixMillis};
use crate::registry::{
    Action, Change, ChangeError, Changed, Draft, Field, Patch, parse_overlap, secret_text,
};
use crate::send::ed25519::KeyPair;
use crate::send::tls::{IdentityError, check_identity};

fn view(admin: &Admin, sub: &Subscription) -> SubscriptionView {
    SubscriptionView::new(sub, admin.healths.health(sub.key))
}

/// The subscription with its version as `ETag`.
fn shown(admin: &Admin, status: StatusCode, sub: &Subscription) -> Made {
    Made::json(status, &view(admin, sub)).with(ETAG, &format!("\"{}\"", sub.version))
}

fn after(changed: &Changed) -> Result<&Subscription, Problem> {
    let change = changed.subscriptions.first().and_then(|change| change.after.as_deref());
    change.ok_or_else(|| Problem::internal("no subscription came of it"))
}

/// The version that a change is for, from `If-Match` (RFC 9110 §13.1.1: strong comparison).
fn if_match(headers: &HeaderMap, sub: &Subscription) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let present = format!("\"{}\"", sub.version);
    let named = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default();
        tags.split(',').any(|tag| tag.trim() == "*" || tag.trim() == present)
    };
    if values.any(named) {
        // Named again to the registry, since the version may have gone on by the time it decides.
        Ok(Some(sub.version))
    } else {
        Err(ChangeError::VersionMismatch { present: sub.version }.into())
    }
}

pub async fn list(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    let mut query = query.judge(&[]);
    let limit = query.limit();
    let last = query.cursor(|text| SubscriptionId::parse(text).ok());
    query.done()?;
    let subs = {
        let registry = admin.registry();
        let all = registry.subscriptions_of(account.key);
        let start = last.map_or(0, |last| all.partition_point(|sub| sub.id <= last));
        all.iter().skip(start).take(limit + 1).cloned().collect::<Vec<_>>()
    };
    let page = Page::take(subs.into_iter(), limit, |sub| view(&admin, sub), |last| last.id.to_string());
    Ok(page.into_response())
}

pub async fn create(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Made, Problem> {
    let account = path.new_account()?;
    let draft = Draft::parse(&body, &*admin.catalogue).map_err(Problem::invalid)?;
    if let Some(identity) = &draft.client_identity {
        showable(identity)?;
    }
    let theirs = Arc::clone(&admin);
    admin
        .create(&caller, Change::CreateSubscription { account, draft }, move |changed| {
            let sub = after(changed)?;
            // An account's name has no character that a path would not carry as it is.
            let location = format!("/api/v1/accounts/{}/subscriptions/{}", sub.account_name, sub.id);
            Ok(shown(&theirs, StatusCode::CREATED, sub).with(LOCATION, &location))
        })
        .await
}

pub async fn show(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Made, Problem> {
    Ok(shown(&admin, StatusCode::OK, &*path.subscription(&admin)?))
}

pub async fn patch(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Made, Problem> {
    let sub = path.subscription(&admin)?;
    let if_match = if_match(&headers, &sub)?;
    let mut patch = Patch::parse(&body, &*admin.catalogue).map_err(Problem::invalid)?;
    if let Field::Set(given) = &patch.client_identity {
        let stored = sub.client_identity.as_deref();
        let identity = given.complete(stored).map_err(|error| Problem::invalid(vec![error]))?;
        showable(&identity)?;
        // The very pair that was checked, should the stored key be another by the time it is decided.
        patch.client_identity = Field::Set(identity.into());
    }
    let (account, id) = (sub.account_name.clone(), sub.id.clone());
    let changed = admin.change(&caller, Change::PatchSubscription { account, id, patch, if_match }).await?;
    Ok(shown(&admin, StatusCode::OK, after(&changed)?))
}

/// Whether the TLS library takes a client certificate with its key.
fn showable(identity: &ClientIdentity) -> Result<(), Problem> {
    check_identity(identity).map_err(|error| {
        let field = match error {
            IdentityError::Certificate => "clientCertificate.certificate",
            IdentityError::Key | IdentityError::Pair => "clientCertificate.key",
        };
        Problem::field(field, error.to_string())
    })
}

pub async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let sub = path.subscription(&admin)?;
    let if_match = if_match(&headers, &sub)?;
    let (account, id) = (sub.account_name.clone(), sub.id.clone());
    admin.change(&caller, Change::DeleteSubscription { account, id, if_match }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn secret(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
) -> Result<Made, Problem> {
    let sub = path.subscription(&admin)?;
    // First the note, then the secret: nobody sees it unnoted.
    admin.note(&caller, &sub, Action::SecretReveal).await?;
    Ok(shown_secret(&admin, &sub))
}

pub async fn rotate_secret(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson,
) -> Result<Made, Problem> {
    let sub = path.subscription(&admin)?;
    let if_match = if_match(&headers, &sub)?;
    let overlap = parse_overlap(body.as_ref()).map_err(Problem::invalid)?;
    let (account, id) = (sub.account_name.clone(), sub.id.clone());
    let change = Change::RotateSecret { account, id, overlap, if_match };
    let theirs = Arc::clone(&admin);
    admin.create(&caller, change, move |changed| Ok(shown_secret(&theirs, after(changed)?))).await
}

/// The one answer in which a secret is shown.
fn shown_secret(admin: &Admin, sub: &Subscription) -> Made {
    let asymmetric = sub.delivery.signature != SignatureScheme::V1;
    let public_key = asymmetric.then(|| KeyPair::from_seed(&sub.secrets.current.seed).public_text());
    let body = json!({
        "secret": secret_text(&sub.secrets.current.secret),
        "publicKey": public_key,
        "previousExpiresAt": sub.secrets.previous_expires_at((admin.clock)()).map(UnixMillis::to_rfc3339),
    });
    Made::json(StatusCode::OK, &body)
}
