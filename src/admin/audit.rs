//! The audit trail: an account's, and the operator's, which is of all.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::listing::Page;
use super::problem::Problem;
use super::query::{RawQuery, cursor_text};
use super::segments::Segments;
use super::state::Admin;
use crate::model::AccountKey;
use crate::registry::{Action, AuditEntry, AuditQuery, Word};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    id: String,
    at: String,
    account_id: Option<String>,
    actor: ActorView,
    action: &'static str,
    target: TargetView,
    changes: Vec<String>,
}

#[derive(Serialize)]
struct ActorView {
    kind: &'static str,
    id: Option<String>,
    name: Option<String>,
}

#[derive(Serialize)]
struct TargetView {
    kind: &'static str,
    id: String,
    name: String,
}

impl EntryView {
    fn new(entry: AuditEntry) -> Self {
        let there = |text: Box<str>| (!text.is_empty()).then(|| text.into_string());
        let AuditEntry { serial, at, actor, note, .. } = entry;
        Self {
            id: serial.to_string(),
            at: at.to_rfc3339(),
            account_id: note.account.map(|(_, name)| name.as_str().to_owned()),
            actor: ActorView { kind: actor.kind.word(), id: there(actor.id), name: there(actor.name) },
            action: note.action.word(),
            target: TargetView { kind: note.target.kind.word(), id: note.target.id, name: note.target.name },
            changes: note.changes,
        }
    }
}

pub async fn of_account(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    list(&admin, Some(account.key), query).await
}

pub async fn of_all(State(admin): State<Arc<Admin>>, query: RawQuery) -> Result<Response, Problem> {
    list(&admin, None, query).await
}

async fn list(admin: &Admin, account: Option<AccountKey>, query: RawQuery) -> Result<Response, Problem> {
    let mut query = query.judge(&["since", "until", "action"]);
    let limit = query.limit();
    let below = query.cursor(|text| text.parse().ok());
    let (since, until) = (query.time("since"), query.time("until"));
    let message = format!("must be {}", Action::choices());
    let action = query.read("action", &message, Action::from_word);
    query.done()?;
    let wanted = AuditQuery { account, below, since, until, action, limit };
    let page = admin.query(move |log| log.audit(&wanted)).await?;
    if page.damaged > 0 {
        tracing::error!(rows = page.damaged, "rows of the audit trail are damaged and left out");
    }
    let next = page.next.map(|next| cursor_text(&next.to_string()));
    Ok(Page { items: page.entries.into_iter().map(EntryView::new).collect(), next }.into_response())
}
