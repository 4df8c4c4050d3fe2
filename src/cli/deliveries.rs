//! `postrider deliveries`: what became of each event at each subscription, and why.

mod attempt;
mod tail;

use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

pub(super) use self::attempt::Attempt;
use super::api::{ApiArgs, Session};
use super::moment::{Moment, moment};
use super::table::Table;
use super::{Done, Failure, print, say, text};

const EXAMPLES: &str = "\
Examples:
  postrider deliveries list --account acme --status dead --since 24h
  postrider deliveries list --account acme --subscription sub_… --all --json | jq -r .eventId
  postrider deliveries show sub_… evt-000123 --account acme
  postrider deliveries tail --account acme --subscription sub_…";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeliveriesArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries, newest event first
    List(Filters),
    /// Show every attempt of one, with request and response
    Show {
        /// Id of the subscription
        #[arg(value_name = "SUBSCRIPTION")]
        subscription: String,
        /// Id of the event
        #[arg(value_name = "EVENT")]
        event: String,
    },
    /// Send one again, whatever became of it
    Resend {
        /// Id of the subscription
        #[arg(value_name = "SUBSCRIPTION")]
        subscription: String,
        /// Id of the event
        #[arg(value_name = "EVENT")]
        event: String,
    },
    /// Show attempts as they happen, until Ctrl-C
    Tail {
        /// Of this subscription alone
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Filters {
    /// Of this subscription alone
    #[arg(long, value_name = "SUBSCRIPTION")]
    subscription: Option<String>,
    /// Of this event alone
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Of events of this type alone
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// `pending`, `delivered`, `retrying` or `dead`
    #[arg(long)]
    status: Option<String>,
    /// Accepted since: how long ago (2h) or when (2026-11-23T14:49:00Z)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Accepted before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Deliveries at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// However many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// What is shown of the API's delivery.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    event_id: String,
    subscription_id: String,
    r#type: String,
    status: String,
    attempts: u32,
    accepted_at: String,
    last_attempt_at: Option<String>,
    next_attempt_at: Option<String>,
}

pub(super) fn run(args: &DeliveriesArgs) -> Done {
    let session = args.api.session()?;
    match &args.command {
        Command::List(filters) => list(&session, filters)?,
        Command::Tail { subscription } => return tail::run(session, subscription.clone()),
        Command::Show { subscription, event } => show(&session, subscription, event)?,
        Command::Resend { subscription, event } => resend(&session, subscription, event)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, filters: &Filters) -> Result<(), Failure> {
    let call = session
        .get(&["deliveries"])
        .query("subscriptionId", filters.subscription.as_ref())
        .query("eventId", filters.event.as_ref())
        .query("type", filters.event_type.as_ref())
        .query("status", filters.status.as_ref())
        .query("since", filters.since.map(Moment::to_rfc3339))
        .query("until", filters.until.map(Moment::to_rfc3339));
    let headings =
        ["event", "subscription", "status", "attempts", "type", "accepted", "next", "last attempt"];
    let mut table = Table::new(&headings).spare(4);
    let limit = if filters.all { usize::MAX } else { filters.limit };
    let more = call.list(limit, |item| {
        if session.json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let delivery: Delivery = serde_json::from_str(item.get())?;
        let or_dash = |at: Option<String>| at.map_or_else(|| "-".to_owned(), |at| text::time(&at));
        table.row([
            delivery.event_id,
            delivery.subscription_id,
            delivery.status,
            delivery.attempts.to_string(),
            delivery.r#type,
            text::time(&delivery.accepted_at),
            or_dash(delivery.next_attempt_at),
            or_dash(delivery.last_attempt_at),
        ]);
        Ok(())
    })?;
    if !session.json {
        if table.is_empty() {
            say("postrider: no such deliveries");
        } else {
            table.print()?;
        }
    }
    if more {
        say("postrider: there are more; see --limit and --all");
    }
    Ok(())
}

fn show(session: &Session, subscription: &str, event: &str) -> Result<(), Failure> {
    let path = ["subscriptions", subscription, "deliveries", event, "attempts"];
    let mut none = true;
    session.get(&path).list(usize::MAX, |item| {
        if session.json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let attempt: Attempt = serde_json::from_str(item.get())?;
        let gap = if none { "" } else { "\n" };
        none = false;
        Ok(print(&format!("{gap}{attempt}"))?)
    })?;
    if none && !session.json {
        say("postrider: nothing was attempted yet");
    }
    Ok(())
}

/// What becomes of it is seen with `show` and `tail`: it is sent as its turn comes.
fn resend(session: &Session, subscription: &str, event: &str) -> Result<(), Failure> {
    let call = session.call("POST", &["subscriptions", subscription, "resend"]);
    let answer = call.body(json!({"eventId": event})).send()?;
    if session.json {
        return Ok(print(&answer.line())?);
    }
    Ok(print(&format!("sending {} again\n", text::word(event)))?)
}
