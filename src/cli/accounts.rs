//! `postrider accounts`: the operator's accounts and their feature flags.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::api::{Client, ServerArgs};
use super::subscriptions::confirmed;
use super::table::Table;
use super::{Done, Failure, print, say, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Accounts are also made by their first event, subscription or token.

Examples:
  postrider accounts create acme --name 'Acme Ltd'
  postrider accounts features acme
  postrider accounts disable acme feature.integrations.webhooks")]
pub(super) struct AccountsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the API's JSON: one document, or one a line for lists
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all accounts
    List,
    /// Make one, or name it anew
    Create {
        /// What it is called in events and paths
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
    },
    /// Delete one, with its subscriptions and tokens
    Delete {
        /// The account
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List its feature flags
    Features {
        /// The account
        #[arg(value_name = "ACCOUNT")]
        account: String,
    },
    /// Turn a feature flag on
    Enable(Flag),
    /// Turn a feature flag off
    Disable(Flag),
}

#[derive(Debug, clap::Args)]
struct Flag {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// The flag, such as feature.integrations.webhooks
    #[arg(value_name = "FLAG")]
    flag: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    id: String,
    name: Option<String>,
    created_at: String,
}

#[derive(Deserialize)]
struct Feature {
    flag: String,
    enabled: bool,
    default: bool,
}

pub(super) fn run(args: &AccountsArgs) -> Done {
    let client = args.server.client()?;
    let json = args.json;
    let told = |line: String| if json { String::new() } else { line };
    match &args.command {
        Command::List => list(&client, json)?,
        Command::Create { account, name } => {
            let answer = client.call("PUT", &["accounts", account]).body(json!({"name": name})).send()?;
            print(&if json { answer.line() } else { format!("made {}\n", text::word(account)) })?;
        }
        Command::Delete { account, yes } => {
            let question = format!("Delete the account {} with all it has?", text::word(account));
            if !yes && !confirmed(&question)? {
                say("postrider: nothing was deleted");
                return Ok(ExitCode::FAILURE);
            }
            client.call("DELETE", &["accounts", account]).send()?;
            print(&told(format!("deleted {}\n", text::word(account))))?;
        }
        Command::Features { account } => features(&client, account, json)?,
        Command::Enable(flag) => set(&client, flag, true, json)?,
        Command::Disable(flag) => set(&client, flag, false, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let mut table = Table::new(&["account", "name", "created"]);
    client.call("GET", &["accounts"]).list(usize::MAX, |item| {
        if json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let Account { id, name, created_at } = serde_json::from_str(item.get())?;
        table.row([id, name.unwrap_or_else(|| "-".to_owned()), text::time(&created_at)]);
        Ok(())
    })?;
    match (json, table.is_empty()) {
        (true, _) => {}
        (false, true) => say("postrider: no accounts yet; they are made by their first event as well"),
        (false, false) => table.print()?,
    }
    Ok(())
}

fn on_off(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

fn features(client: &Client, account: &str, json: bool) -> Result<(), Failure> {
    let mut table = Table::new(&["flag", "state", "set by"]);
    client.call("GET", &["accounts", account, "features"]).list(usize::MAX, |item| {
        if json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let Feature { flag, enabled, default } = serde_json::from_str(item.get())?;
        let by = if default { "configuration" } else { "operator" };
        table.row([flag, on_off(enabled).to_owned(), by.to_owned()]);
        Ok(())
    })?;
    if json { Ok(()) } else { Ok(table.print()?) }
}

fn set(client: &Client, Flag { account, flag }: &Flag, enabled: bool, json: bool) -> Result<(), Failure> {
    let call = client.call("PUT", &["accounts", account, "features", flag]);
    let answer = call.body(json!({"enabled": enabled})).send()?;
    let line = format!("{} is {} for {}\n", text::word(flag), on_off(enabled), text::word(account));
    Ok(print(&if json { answer.line() } else { line })?)
}
