//! Tokens of an account: listed, made, taken back. The text of a token is in one answer only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;

use super::auth::digest;
use super::body::Json as JsonBody;
use super::caller::Caller;
use super::listing::Page;
use super::made::Made;
use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use crate::model::UnixMillis;
use crate::registry::access::Principal;
use crate::registry::{Change, FLAGS, SCOPE_EVENTS_WRITE, Token, TokenDraft, Word};
use crate::rt::random;

/// Random bytes of a token.
const TOKEN_LEN: usize = 32;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenView {
    id: String,
    name: String,
    kind: &'static str,
    role: &'static str,
    platform_user: bool,
    scopes: Vec<&'static str>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    /// In the answer to the request that made it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn new(token: &Token, text: Option<String>) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            kind: token.kind.word(),
            role: token.role.word(),
            platform_user: token.platform_user,
            scopes: if token.events_write { vec![SCOPE_EVENTS_WRITE] } else { Vec::new() },
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.expires_at.map(UnixMillis::to_rfc3339),
            last_used_at: token.last_used_at.map(UnixMillis::to_rfc3339),
            token: text,
        }
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
    let last = query.cursor(|text| Some(text.to_owned()));
    query.done()?;
    let registry = admin.registry();
    let all = registry.tokens_of(account.key);
    let start = last.map_or(0, |last| all.partition_point(|token| *token.id <= *last));
    let tokens = all.iter().skip(start);
    Ok(Page::take(tokens, limit, |token| TokenView::new(token, None), |last| last.id.to_string())
        .into_response())
}

pub async fn create(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Made, Problem> {
    let account = path.new_account()?;
    let draft = TokenDraft::parse(&body, (admin.clock)()).map_err(Problem::invalid)?;
    let text = format!("prt_{}", URL_SAFE_NO_PAD.encode(random::bytes::<TOKEN_LEN>()));
    let location = format!("/api/v1/accounts/{account}/tokens/");
    let change = Change::CreateToken { account, draft, digest: digest(&text) };
    admin
        .create(&caller, change, move |changed| {
            let made = changed.tokens.first().and_then(|change| change.after.as_deref());
            let made = made.ok_or_else(|| Problem::internal("no token came of it"))?;
            let location = format!("{location}{}", made.id);
            let view = TokenView::new(made, Some(text.clone()));
            Ok(Made::json(StatusCode::CREATED, &view).with(LOCATION, &location))
        })
        .await
}

pub async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
) -> Result<StatusCode, Problem> {
    let id = path.get("token").into();
    admin.change(&caller, Change::DeleteToken { account: path.account_name()?, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who asks: what a console needs to know to show what its user may do.
pub async fn me(
    State(admin): State<Arc<Admin>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let Principal::Account { account, kind, role, licensed, .. } = principal else {
        return Ok(Json(json!({ "role": "operator" })).into_response());
    };
    let registry = admin.registry();
    let found = registry.account(account).ok_or_else(Problem::not_found)?;
    let features = FLAGS.map(|flag| (flag.to_owned(), registry.feature(Some(account), flag).into()));
    let body = json!({
        "role": role.word(),
        "kind": kind.word(),
        "platformUser": licensed,
        "accountId": found.name.as_str(),
        "features": serde_json::Map::from_iter(features),
    });
    Ok(Json(body).into_response())
}
