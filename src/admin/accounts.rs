//! Accounts and their feature flags: the operator's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::body::{Json as JsonBody, OptionalJson};
use super::caller::Caller;
use super::listing::Page;
use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use crate::model::AccountKey;
use crate::registry::{Account, Change, FLAGS, FieldError};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountView<'a> {
    id: &'a str,
    name: Option<&'a str>,
    created_at: String,
}

#[derive(Serialize)]
struct FeatureView {
    flag: &'static str,
    enabled: bool,
    /// Nothing was set for this account: the configuration's default holds.
    default: bool,
}

fn view(account: &Account) -> AccountView<'_> {
    AccountView {
        id: account.name.as_str(),
        name: account.title.as_deref(),
        created_at: account.created_at.to_rfc3339(),
    }
}

pub async fn list(State(admin): State<Arc<Admin>>, query: RawQuery) -> Result<Response, Problem> {
    let mut query = query.judge(&[]);
    let limit = query.limit();
    let after = query.cursor(|text| text.parse().ok().map(AccountKey));
    query.done()?;
    let registry = admin.registry();
    let accounts = registry.accounts_after(after);
    Ok(Page::take(accounts, limit, |account| view(account), |last| last.key.0.to_string()).into_response())
}

pub async fn show(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Response, Problem> {
    Ok(Json(view(&*path.account(&admin)?)).into_response())
}

/// Makes the account or names it anew; without a body it is made without a name.
pub async fn put(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Problem> {
    let account = path.new_account()?;
    let name = match &body {
        None => None,
        Some(body) => read_name(body)?,
    };
    let changed = admin.change(&caller, Change::PutAccount { account, name }).await?;
    let change = changed.accounts.first().ok_or_else(|| Problem::internal("no account came of it"))?;
    let status = if change.before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    let after = change.after.as_deref().ok_or_else(Problem::not_found)?;
    Ok((status, Json(view(after))).into_response())
}

fn read_name(body: &Value) -> Result<Option<String>, Problem> {
    match members(body, &["name"])?.get("name") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(Problem::field("name", "must be a string or null")),
    }
}

/// The members of an object that may have these and no others.
fn members<'b>(body: &'b Value, known: &[&str]) -> Result<&'b serde_json::Map<String, Value>, Problem> {
    let Value::Object(members) = body else { return Err(Problem::field("body", "must be an object")) };
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    let message = format!("is no known field; known is {}", known.join(", "));
    let errors: Vec<_> =
        unknown.take(crate::registry::ERRORS_MAX).map(|name| FieldError::new(name, &message)).collect();
    if errors.is_empty() { Ok(members) } else { Err(Problem::invalid(errors)) }
}

pub async fn delete(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
) -> Result<StatusCode, Problem> {
    admin.change(&caller, Change::DeleteAccount { account: path.account_name()? }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn features(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    let registry = admin.registry();
    let view = |flag: &'static str| FeatureView {
        flag,
        enabled: registry.feature(Some(account.key), flag).unwrap_or(false),
        default: !account.features.contains_key(flag),
    };
    Ok(Page::whole(FLAGS.map(view).into()).into_response())
}

pub async fn set_feature(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let flag = FLAGS.into_iter().find(|flag| *flag == path.get("flag")).ok_or_else(Problem::not_found)?;
    let account = path.new_account()?;
    let enabled = match members(&body, &["enabled"])?.get("enabled") {
        Some(Value::Bool(enabled)) => *enabled,
        Some(_) => return Err(Problem::field("enabled", "must be true or false")),
        None => return Err(Problem::field("enabled", "is required")),
    };
    admin.change(&caller, Change::SetFeature { account, flag: flag.to_owned(), enabled }).await?;
    Ok(Json(FeatureView { flag, enabled, default: false }).into_response())
}
