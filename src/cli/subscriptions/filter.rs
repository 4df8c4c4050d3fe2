//! `subscriptions test-filter`: what a payload filter says of an event, before it is saved.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields;
use crate::cli::api::Session;
use crate::cli::{Done, print};

const EXAMPLES: &str = "\
Examples:
  postrider subscriptions test-filter --account acme --type device.registered \\
    --filter '{\"path\":\"data.floor\",\"gte\":3}' --data '{\"floor\":4}'
  postrider subscriptions test-filter --account acme --filter @filter.json --event @event.json

Exits with 0 where the event matches, with 1 where it does not.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestFilter {
    /// Condition on the event's content; `none` for no condition
    #[arg(long, value_name = "JSON|@FILE", value_parser = fields::filter)]
    filter: Value,
    /// A whole event
    #[arg(long, value_name = "JSON|@FILE", value_parser = fields::json)]
    #[arg(required_unless_present = "event_type", conflicts_with_all = ["event_type", "data"])]
    event: Option<Value>,
    /// An event of this type, by id, name or alias
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Its data; the type's sample if not said
    #[arg(long, value_name = "JSON|@FILE", value_parser = fields::json, requires = "event_type")]
    data: Option<Value>,
}

impl TestFilter {
    /// The filter is there even where it is `null`: that is a filter too, the one that matches everything.
    fn body(&self) -> Value {
        let mut body = Map::from_iter([("filter".to_owned(), self.filter.clone())]);
        let given = [
            ("event", self.event.clone()),
            ("type", self.event_type.as_deref().map(Value::from)),
            ("data", self.data.clone()),
        ];
        body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(body)
    }
}

#[derive(Deserialize)]
struct Verdict {
    matches: bool,
}

/// Fails where the event does not match, as a search does that finds nothing.
pub(super) fn test(session: &Session, asked: &TestFilter) -> Done {
    let answer = session.call("POST", &["subscriptions:test-filter"]).body(asked.body()).send()?;
    let Verdict { matches } = answer.read()?;
    let words = if matches { "matches\n" } else { "does not match\n" };
    print(&if session.json { answer.line() } else { words.to_owned() })?;
    Ok(if matches { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
