//! `postrider subscriptions`: who gets which events, and how.
//!
//! A change is made to what was read just before (`If-Match`), so that it never undoes somebody else's.

mod fields;
mod filter;
mod show;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use self::fields::Fields;
use self::filter::TestFilter;
use self::show::{Subscription, print_secret};
use super::api::{Answer, ApiArgs, Session};
use super::deliveries::Attempt;
use super::table::Table;
use super::{Done, Failure, print, say, text};

const EXAMPLES: &str = "\
Examples:
  postrider subscriptions create --account acme --name Relay \\
    --url https://example.com/hook --event 'user.*'
  postrider subscriptions list --account acme
  postrider subscriptions update sub_… --account acme --inactive
  postrider subscriptions secret sub_… --account acme --json | jq -r .secret";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SubscriptionsArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List an account's subscriptions
    List {
        /// Subscriptions at most
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show one, with its headers, options and health
    Show {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
    },
    /// Make one; its signing secret is shown by `subscriptions secret`
    #[command(
        mut_arg("url", |arg| arg.required(true)),
        mut_arg("name", |arg| arg.required(true)),
        mut_arg("events", |arg| arg.required(true)),
        mut_arg("remove_headers", |arg| arg.hide(true)),
        after_help = fields::CREATE_EXAMPLES
    )]
    Create(Box<Fields>),
    /// Change one: what is not named stays as it is
    #[command(after_help = fields::UPDATE_EXAMPLES)]
    Update {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
        #[command(flatten)]
        fields: Box<Fields>,
    },
    /// Delete one; nothing more is sent to it
    Delete {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Send it a sample event now and show what came of it
    Test {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
        /// Which type's sample; the first that it asks for if not said
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
    },
    /// Say whether an event, or a type's sample, would pass a payload filter; nothing is sent or saved
    TestFilter(Box<TestFilter>),
    /// Show the secret that its deliveries are signed with
    Secret {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
    },
    /// Give it a new secret; the old one signs as well for a while
    RotateSecret {
        /// Its id
        #[arg(value_name = "SUBSCRIPTION")]
        id: String,
        /// How long the old secret goes on signing; one day if not said
        #[arg(long, value_name = "DURATION", value_parser = super::duration)]
        overlap: Option<Duration>,
    },
}

pub(super) fn run(args: &SubscriptionsArgs) -> Done {
    let session = args.api.session()?;
    match &args.command {
        Command::List { limit } => list(&session, limit.unwrap_or(usize::MAX))?,
        Command::Show { id } => show(&session, &session.get(&["subscriptions", id]).send()?)?,
        Command::Create(fields) => {
            let body = fields.body(None)?;
            show(&session, &session.call("POST", &["subscriptions"]).body(body).send()?)?;
        }
        Command::Update { id, fields } => update(&session, id, fields)?,
        Command::Delete { id, yes } => return delete(&session, id, *yes),
        Command::Test { id, event_type } => return test(&session, id, event_type.as_deref()),
        Command::TestFilter(asked) => return filter::test(&session, asked),
        Command::Secret { id } => {
            let answer = session.get(&["subscriptions", id, "secret"]).send()?;
            print_secret(&session, &answer)?;
        }
        Command::RotateSecret { id, overlap } => {
            let body = overlap.map_or_else(|| json!({}), |time| json!({"overlapSeconds": time.as_secs()}));
            let answer =
                session.call("POST", &["subscriptions", id, "secret", "rotate"]).body(body).send()?;
            print_secret(&session, &answer)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let mut table = Table::new(&["id", "name", "status", "health", "pending", "events", "callback URL"]);
    let more = session.get(&["subscriptions"]).list(limit, |item| {
        if session.json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let sub: Subscription = serde_json::from_str(item.get())?;
        table.row([
            sub.id,
            sub.name,
            sub.status,
            sub.health.state,
            sub.health.pending.to_string(),
            sub.events.join(", "),
            sub.callback_url,
        ]);
        Ok(())
    })?;
    if !session.json {
        if table.is_empty() {
            say(
                "postrider: no subscriptions yet; `postrider subscriptions create --help` shows how to make one",
            );
        } else {
            table.print()?;
        }
    }
    if more {
        say("postrider: there are more; see --limit");
    }
    Ok(())
}

fn show(session: &Session, answer: &Answer) -> Result<(), Failure> {
    if session.json {
        return Ok(print(&answer.line())?);
    }
    Ok(answer.read::<Subscription>()?.details().print()?)
}

/// What a change and its question need to know of a subscription.
#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

fn update(session: &Session, id: &str, fields: &Fields) -> Result<(), Failure> {
    let present = session.get(&["subscriptions", id]).send()?;
    let body = fields.body(Some(&present.read::<Subscription>()?.headers))?;
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Failure::usage("nothing to change: say what, as `subscriptions update --help` shows"));
    }
    let call = session.call("PATCH", &["subscriptions", id]).body(body).if_match(present.etag);
    show(session, &call.send()?)
}

fn delete(session: &Session, id: &str, yes: bool) -> Done {
    if !yes {
        let named: Named = session.get(&["subscriptions", id]).send()?.read()?;
        let name = text::word(&named.name);
        if !confirmed(&format!("Delete {name:?} ({})? What waits for it is dropped.", text::word(id)))? {
            say("postrider: nothing was deleted");
            return Ok(ExitCode::FAILURE);
        }
    }
    session.call("DELETE", &["subscriptions", id]).send()?;
    if !session.json {
        print(&format!("deleted {}\n", text::word(id)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails where the receiver did.
fn test(session: &Session, id: &str, event_type: Option<&str>) -> Done {
    let body = event_type.map_or_else(|| json!({}), |event_type| json!({"type": event_type}));
    let answer = session.call("POST", &["subscriptions", id, "test"]).body(body).send()?;
    let attempt: Attempt = answer.read()?;
    print(&if session.json { answer.line() } else { attempt.to_string() })?;
    Ok(if attempt.delivered() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks on the terminal; where there is none it must have been said with `--yes`.
pub(super) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("nobody is there to be asked: say --yes"));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
