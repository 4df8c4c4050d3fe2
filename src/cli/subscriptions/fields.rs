//! Flags of `subscriptions create` and `update`, as the API's JSON. What they may be is the API's to say:
//! the one judgement of a callback URL or an event's name is there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::show::Header;
use crate::cli::Failure;

pub(super) const CREATE_EXAMPLES: &str = "\
Examples:
  postrider subscriptions create --account acme --name Relay \\
    --url https://example.com/hook --event '*'
  postrider subscriptions create --account acme --name Sensors \\
    --url https://example.com/hook --event sensor.triggered --event 'device.*' \\
    --header 'X-Api-Key: s3cret' --ordering fifo --rate 10
  postrider subscriptions create --account acme --name Upstairs \\
    --url https://example.com/hook --event 'device.*' --filter '{\"path\":\"data.floor\",\"gte\":3}'";

pub(super) const UPDATE_EXAMPLES: &str = "\
Examples:
  postrider subscriptions update sub_… --account acme --inactive
  postrider subscriptions update sub_… --account acme \\
    --url https://example.com/new --header 'X-Api-Key: other'
  postrider subscriptions update sub_… --account acme --rate none --filter none";

#[derive(Debug, Default, clap::Args)]
pub(super) struct Fields {
    /// Where deliveries are posted to
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Event type by id, name or alias, `user.*` for all that begin so, `*` for all; may be repeated
    #[arg(long = "event", value_name = "TYPE", value_delimiter = ',')]
    events: Vec<String>,
    /// Header that is sent along; may be repeated. On update the others stay
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Header that is no longer sent; may be repeated
    #[arg(long = "remove-header", value_name = "NAME")]
    remove_headers: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Send to it
    #[arg(long)]
    active: bool,
    /// Send nothing to it: events that come meanwhile are not for it
    #[arg(long, conflicts_with = "active")]
    inactive: bool,
    /// Condition on the event's content; `none` for no condition
    #[arg(long, value_name = "JSON|@FILE", value_parser = filter)]
    filter: Option<Value>,
    /// `none` (as fast as can be) or `fifo` (one after the other, in the order of acceptance)
    #[arg(long, value_name = "ORDER", help_heading = "Delivery")]
    ordering: Option<String>,
    /// What fifo does with what fails: `block` the rest, `skip` it, or `park` it
    #[arg(long, value_name = "POLICY", help_heading = "Delivery")]
    on_blocked: Option<String>,
    /// Attempts a second; `none` for no limit
    #[arg(long, value_name = "N", help_heading = "Delivery", value_parser = number_or_none)]
    rate: Option<Value>,
    /// Deadline of one attempt, such as 15s
    #[arg(long, value_name = "DURATION", help_heading = "Delivery", value_parser = crate::cli::duration)]
    timeout: Option<Duration>,
    /// Requests at once
    #[arg(long, value_name = "N", help_heading = "Delivery")]
    max_in_flight: Option<u32>,
    /// `v1` (HMAC-SHA256), `v1a` (ed25519) or `v1,v1a`
    #[arg(long, value_name = "SCHEME", help_heading = "Delivery")]
    signature: Option<String>,
    /// PEM, shown to a receiver that asks for a client certificate
    #[arg(long, value_name = "FILE", help_heading = "Delivery", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM, the private key that belongs to it
    #[arg(long, value_name = "FILE", help_heading = "Delivery", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

fn read(path: &Path) -> Result<String, Unreadable> {
    std::fs::read_to_string(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn number_or_none(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        text => text.parse::<f64>().map(Value::from).map_err(|_| "is a number, or none".to_owned()),
    }
}

pub(super) fn filter(text: &str) -> Result<Value, String> {
    if text == "none" { Ok(Value::Null) } else { json(text) }
}

/// JSON as it stands there, or `@` and the file that it is in.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let text = match text.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| format!("is no JSON: {error}"))
}

impl Fields {
    /// The document for a new subscription, or the merge patch for one that has `present` headers.
    pub(super) fn body(&self, present: Option<&[Header]>) -> Result<Value, Failure> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("callbackUrl", self.url.as_deref().map(Value::from));
        put("name", self.name.as_deref().map(Value::from));
        put("events", (!self.events.is_empty()).then(|| json!(self.events)));
        put("headers", self.headers(present.unwrap_or_default()));
        put("description", self.description.as_deref().map(Value::from));
        put("status", self.inactive.then(|| json!("inactive")));
        put("status", self.active.then(|| json!("active")));
        put("filter", self.filter.clone());
        put("delivery", self.delivery());
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            let identity = json!({"certificate": read(certificate)?, "key": read(key)?});
            put("clientCertificate", Some(identity));
        }
        Ok(Value::Object(body))
    }

    /// All headers as they are to be, since a merge patch can only replace the list. The masked value of
    /// one that stays keeps what is stored.
    fn headers(&self, present: &[Header]) -> Option<Value> {
        if self.headers.is_empty() && self.remove_headers.is_empty() {
            return None;
        }
        let named = |name: &str| {
            let given = self.headers.iter().map(|(given, _)| given);
            given.chain(&self.remove_headers).any(|given| given.eq_ignore_ascii_case(name))
        };
        let kept = present.iter().filter(|header| !named(&header.name));
        let kept = kept.map(|Header { name, value }| json!({"name": name, "value": value}));
        let given = self.headers.iter().map(|(name, value)| json!({"name": name, "value": value}));
        Some(kept.chain(given).collect())
    }

    fn delivery(&self) -> Option<Value> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let options = [
            ("timeoutMs", self.timeout.map(|time| json!(millis(time)))),
            ("maxInFlight", self.max_in_flight.map(Value::from)),
            ("ratePerSecond", self.rate.clone()),
            ("ordering", self.ordering.as_deref().map(Value::from)),
            ("onBlocked", self.on_blocked.as_deref().map(Value::from)),
            ("signature", self.signature.as_deref().map(Value::from)),
        ];
        let set: Map<_, _> =
            options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        (!set.is_empty()).then_some(Value::Object(set))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fields: Fields,
    }

    fn body(line: &[&str], present: Option<&[Header]>) -> Value {
        let line = Line::try_parse_from([&["x"], line].concat()).map_err(|error| error.to_string()).unwrap();
        line.fields.body(present).map_err(|_| "no body").unwrap()
    }

    #[test]
    fn flags_become_the_document() {
        let check = |line: &[&str], want: Value| assert_eq!(body(line, None), want, "{line:?}");
        check(&[], json!({}));
        check(
            &["--url", "https://x", "--name", "n", "--event", "a,b", "--event", "c.*", "--inactive"],
            json!({"callbackUrl": "https://x", "name": "n", "events": ["a", "b", "c.*"], "status": "inactive"}),
        );
        check(&["--header", "X-A: b: c"], json!({"headers": [{"name": "X-A", "value": "b: c"}]}));
        check(
            &["--rate", "none", "--timeout", "2s", "--ordering", "fifo"],
            json!({"delivery": {"timeoutMs": 2000, "ratePerSecond": null, "ordering": "fifo"}}),
        );
        check(&["--rate", "0.5"], json!({"delivery": {"ratePerSecond": 0.5}}));
        check(&["--filter", r#"{"path":"type","eq":"x"}"#], json!({"filter": {"path": "type", "eq": "x"}}));
        check(&["--filter", "none"], json!({"filter": null}));
    }

    #[test]
    fn other_headers_stay() {
        let header = |name: &str| Header { name: name.to_owned(), value: "••••••".to_owned() };
        let present = [header("X-A"), header("X-B"), header("X-C")];
        let line = ["--header", "x-b: new", "--remove-header", "X-C", "--header", "X-D: d"];
        let want = json!({"headers": [
            {"name": "X-A", "value": "••••••"}, {"name": "x-b", "value": "new"}, {"name": "X-D", "value": "d"},
        ]});
        assert_eq!(body(&line, Some(&present)), want);
        assert_eq!(body(&["--name", "n"], Some(&present)), json!({"name": "n"}));
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        for line in [
            &["--header", "novalue"][..],
            &["--rate", "fast"],
            &["--filter", "{"],
            &["--active", "--inactive"],
            &["--client-key", "k.pem"],
        ] {
            assert!(Line::try_parse_from([&["x"], line].concat()).is_err(), "{line:?}");
        }
    }
}
