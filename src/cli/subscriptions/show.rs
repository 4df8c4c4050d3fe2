//! A subscription and its secret as people read them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cli::api::{Answer, Session};
use crate::cli::table::Table;
use crate::cli::{Failure, print, text};

/// What is shown of the API's subscription (contract §5).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) callback_url: String,
    pub(super) events: Vec<String>,
    pub(super) headers: Vec<Header>,
    pub(super) status: String,
    pub(super) health: Health,
    account_id: String,
    description: String,
    disabled_reason: Option<String>,
    /// By name, so that an option of a newer engine is shown as well.
    delivery: BTreeMap<String, Value>,
    filter: Option<Box<RawValue>>,
    created_at: String,
    updated_at: String,
    version: u64,
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    pub(super) state: String,
    pub(super) pending: u64,
    breaker: String,
    last_success_at: Option<String>,
    last_failure_at: Option<String>,
    oldest_pending_at: Option<String>,
}

impl Subscription {
    /// Everything, a line for each.
    pub(super) fn details(self) -> Table {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
        line("id", self.id);
        line("account", self.account_id);
        line("name", self.name);
        line("callback URL", self.callback_url);
        line("events", self.events.join(", "));
        for Header { name, value } in self.headers {
            line("header", format!("{name}: {value}"));
        }
        if !self.description.is_empty() {
            line("description", self.description);
        }
        let why = self.disabled_reason.map(|why| format!(" ({why})")).unwrap_or_default();
        line("status", self.status + &why);
        for (name, value) in self.delivery {
            line(option_name(&name), option_text(&name, &value));
        }
        if let Some(filter) = self.filter {
            line("filter", filter.to_string());
        }
        line("health", format!("{}, breaker {}", self.health.state, self.health.breaker));
        line("pending", self.health.pending.to_string());
        for (name, at) in [
            ("oldest pending", self.health.oldest_pending_at),
            ("last success", self.health.last_success_at),
            ("last failure", self.health.last_failure_at),
        ] {
            if let Some(at) = at {
                line(name, text::time(&at));
            }
        }
        line("created", text::time(&self.created_at));
        line("updated", format!("{} (version {})", text::time(&self.updated_at), self.version));
        Table::of_pairs(lines)
    }
}

fn option_name(name: &str) -> &str {
    match name {
        "timeoutMs" => "timeout",
        "maxInFlight" => "at once",
        "ratePerSecond" => "rate",
        "onBlocked" => "on blocked",
        other => other,
    }
}

fn option_text(name: &str, value: &Value) -> String {
    match (name, value) {
        ("ratePerSecond", Value::Null) => "unlimited".to_owned(),
        ("ratePerSecond", rate) => format!("{rate} a second"),
        ("timeoutMs", millis) => format!("{millis} ms"),
        ("maxInFlight", many) => format!("{many} requests"),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    #[serde(rename = "secret")]
    text: String,
    public_key: Option<String>,
    previous_expires_at: Option<String>,
}

pub(super) fn print_secret(session: &Session, answer: &Answer) -> Result<(), Failure> {
    if session.json {
        return Ok(print(&answer.line())?);
    }
    let Secret { text: secret, public_key, previous_expires_at } = answer.read()?;
    let mut lines = vec![("secret".to_owned(), secret)];
    lines.extend(public_key.map(|key| ("public key".to_owned(), key)));
    lines.extend(previous_expires_at.map(|at| ("previous signs until".to_owned(), text::time(&at))));
    Ok(Table::of_pairs(lines).print()?)
}
