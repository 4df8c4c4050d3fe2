//! `postrider token`: who may use the API of an account, and in which role.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{ApiArgs, Session};
use super::subscriptions::confirmed;
use super::table::Table;
use super::{Done, Failure, print, say, text};

const EXAMPLES: &str = "\
Examples:
  postrider token create --account acme --name CRM --role account_owner --platform-user
  postrider token create --account acme --name Ingest --scope events:write
  postrider token list --account acme
  postrider token delete tok_… --account acme --yes";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    /// A person, who may sign in to the console
    User,
    /// A program
    ServiceAccount,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Role {
    /// Manages subscriptions, where it is licensed (--platform-user)
    AccountOwner,
    /// Reads
    Viewer,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List an account's tokens, without their text
    List,
    /// Make a token; its text is printed this once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// Who holds it
        #[arg(long, value_enum, default_value_t = Kind::ServiceAccount)]
        kind: Kind,
        /// What it may do
        #[arg(long, value_enum, default_value_t = Role::Viewer)]
        role: Role,
        /// With the Platform User licence, which managing subscriptions needs
        #[arg(long)]
        platform_user: bool,
        /// What else it may do, such as events:write (sending events over TCP); may be repeated
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// When it ends: a time as in RFC 3339
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Take a token back; it is refused from then on
    Delete {
        /// Its id, as `token list` shows it
        #[arg(value_name = "TOKEN-ID")]
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// What is shown of the API's token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    name: String,
    kind: String,
    role: String,
    platform_user: bool,
    #[serde(default)]
    scopes: Vec<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    token: Option<String>,
}

pub(super) fn run(args: &TokenArgs) -> Done {
    let session = args.api.session()?;
    match &args.command {
        Command::List => list(&session)?,
        Command::Create { name, kind, role, platform_user, scopes, expires_at } => {
            let body = json!({
                "name": name,
                "kind": word(kind),
                "role": word(role),
                "platformUser": platform_user,
                "scopes": scopes,
                "expiresAt": expires_at,
            });
            create(&session, body)?;
        }
        Command::Delete { id, yes } => {
            if !yes && !confirmed(&format!("Delete the token {}?", text::word(id)))? {
                say("postrider: nothing was deleted");
                return Ok(ExitCode::FAILURE);
            }
            session.call("DELETE", &["tokens", id]).send()?;
            if !session.json {
                print(&format!("deleted {}\n", text::word(id)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn list(session: &Session) -> Result<(), Failure> {
    let headings = ["id", "name", "role", "licensed", "kind", "expires", "last used", "scopes"];
    let mut table = Table::new(&headings).spare(4);
    session.get(&["tokens"]).list(usize::MAX, |item| {
        if session.json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let token: Shown = serde_json::from_str(item.get())?;
        let or = |at: Option<String>, other: &str| at.map_or_else(|| other.to_owned(), |at| text::time(&at));
        table.row([
            token.id,
            token.name,
            token.role,
            if token.platform_user { "yes" } else { "no" }.to_owned(),
            token.kind,
            or(token.expires_at, "never"),
            or(token.last_used_at, "never"),
            if token.scopes.is_empty() { "-".to_owned() } else { token.scopes.join(", ") },
        ]);
        Ok(())
    })?;
    if session.json {
        return Ok(());
    }
    if table.is_empty() {
        say("postrider: no tokens yet; `postrider token create --help` shows how to make one");
        return Ok(());
    }
    Ok(table.print()?)
}

/// The text alone on stdout, so that it can go straight to where it is kept.
fn create(session: &Session, body: Value) -> Result<(), Failure> {
    let answer = session.call("POST", &["tokens"]).body(body).send()?;
    if session.json {
        return Ok(print(&answer.line())?);
    }
    let made: Shown = answer.read()?;
    say(&format!("postrider: made {}; this is its text, which is not shown again:", text::word(&made.id)));
    Ok(print(&format!("{}\n", made.token.unwrap_or_default()))?)
}
