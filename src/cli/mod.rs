//! The command line: one file per command, each a thin layer over the engine, its socket or its API.
//!
//! What a command prints for programs and people goes to stdout; what goes wrong is one clear line each
//! on stderr and an exit code: 1 for a failure, 2 for a command that was written wrongly.

mod accounts;
mod api;
mod backup;
mod check_config;
mod completions;
mod deliveries;
mod demo;
mod event_types;
mod jobs;
mod listen;
mod moment;
mod pretty;
mod recover;
mod restore;
mod send;
mod serve;
mod subscriptions;
mod table;
mod text;
mod token;
mod verify_store;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::parse_duration;

#[derive(Debug, Parser)]
#[command(name = "postrider", version, about = "Delivers events to webhooks: durably, in one binary.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine
    Serve {
        /// Configuration; without it ./config.toml if it is there, else the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// See the whole product at work, with a receiver and realistic events
    Demo(demo::DemoArgs),
    /// Send one event, or a file of events, to a running engine
    Send(send::SendArgs),
    /// Receive deliveries and print them, for developing and testing
    Listen(listen::ListenArgs),
    /// Print the configuration that is in effect, or everything that is wrong with it
    CheckConfig {
        /// Configuration; without it ./config.toml if it is there, else the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List the event types
    EventTypes(event_types::EventTypesArgs),
    /// Make, list, change and delete subscriptions
    Subscriptions(subscriptions::SubscriptionsArgs),
    /// List deliveries and show each attempt with request and response
    Deliveries(deliveries::DeliveriesArgs),
    /// Send again what a subscription has missed
    Recover(recover::RecoverArgs),
    /// List, show and cancel what runs in the background
    Jobs(jobs::JobsArgs),
    /// Make, list and delete accounts, and turn their features on and off
    Accounts(accounts::AccountsArgs),
    /// Make, list and take back tokens of an account
    Token(token::TokenArgs),
    /// Back up the store, of a running engine or of a stopped one
    Backup(backup::BackupArgs),
    /// Put a backup into a new data directory
    Restore(restore::RestoreArgs),
    /// Check every row of a store, or of a backup
    VerifyStore(verify_store::VerifyStoreArgs),
    /// Print a script that completes commands in your shell
    Completions(completions::CompletionsArgs),
}

/// Reads the process's arguments, does what they say, and says how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let done = match cli.command {
        Command::Serve { config } => serve::run(config.as_deref()),
        Command::Demo(args) => demo::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::CheckConfig { config } => check_config::run(config.as_deref()),
        Command::EventTypes(args) => event_types::run(&args),
        Command::Subscriptions(args) => subscriptions::run(&args),
        Command::Deliveries(args) => deliveries::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Jobs(args) => jobs::run(&args),
        Command::Accounts(args) => accounts::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::VerifyStore(args) => verify_store::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    done.unwrap_or_else(|failure| {
        for line in failure.lines {
            say(&line);
        }
        ExitCode::from(failure.code)
    })
}

/// Help and version as clap prints them; an error in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    {
        say(&usage_line(&error.render().to_string()));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What clap says before it goes on about usage: one paragraph, and tips in others.
fn usage_line(rendered: &str) -> String {
    let text = rendered.trim_start_matches("error: ");
    let said = text.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more information").next().unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().collect();
    format!("postrider: {} (see --help)", words.join(" "))
}

/// What a command comes to.
pub(crate) type Done = Result<ExitCode, Failure>;

/// Why a command failed, in lines for people. Not an [`Error`] itself, so that `?` makes it of any.
#[derive(Debug)]
pub(crate) struct Failure {
    lines: Vec<String>,
    code: u8,
}

/// What was asked for could not be done.
const CODE_FAILED: u8 = 1;
/// It was not asked for in the right way.
const CODE_USAGE: u8 = 2;

impl Failure {
    pub(crate) fn new(line: impl Display) -> Self {
        Self { lines: vec![format!("postrider: {line}")], code: CODE_FAILED }
    }

    /// For what clap cannot see is missing.
    pub(crate) fn usage(line: impl Display) -> Self {
        Self { code: CODE_USAGE, ..Self::new(line) }
    }

    /// For lines that say themselves what they are about, such as a file and a line of it.
    pub(crate) fn lines(lines: impl IntoIterator<Item = String>) -> Self {
        Self { lines: lines.into_iter().collect(), code: CODE_FAILED }
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(in_one_line(&error))
    }
}

/// The error and what caused it.
fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a line to stderr, if anybody listens.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// For clap: `500ms`, `15s`, `5m`, `2h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it as 500ms, 15s, 5m, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Cli::command().debug_assert();
        let check = |line: &str, fine: bool| {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), fine, "{line}: {parsed:?}");
        };
        check("postrider serve", true);
        check("postrider serve --config x.toml", true);
        check("postrider demo --for 10s --rate 100", true);
        check("postrider send --account a --type t --data {}", true);
        check("postrider send --socket s --account a --type t --data {} --id i --timestamp t", true);
        check("postrider send --file -", true);
        check("postrider send", false);
        check("postrider send --account a", false);
        check("postrider send --file - --account a", false);
        check("postrider listen --port 0 --status 500 --delay 2s", true);
        check("postrider listen --status 99", false);
        check("postrider listen --delay 2", false);
        check("postrider listen --secret abc", false);
        check("postrider listen --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true);
        check("postrider listen --secret whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", true);
        check("postrider check-config", true);
        check("postrider event-types --json", true);
        check("postrider subscriptions create --url u --name n --event *", true);
        check("postrider subscriptions create --url u --name n", false);
        check("postrider --json subscriptions list", false);
        check("postrider subscriptions --json list --server http://h", true);
        check("postrider subscriptions list --server h:1", false);
        check("postrider recover sub_1 --since 2h --status all --rate 5 --type a,b", true);
        check("postrider recover sub_1", false);
        check("postrider recover --since 2h", false);
        check("postrider recover --cancel job_1", true);
        check("postrider recover sub_1 --cancel job_1", false);
        check("postrider recover sub_1 --since 2h --dry-run --detach", false);
        check("postrider token create --name n --kind robot", false);
        check("postrider", false);
        check("postrider unknown", false);
    }

    #[test]
    fn an_error_in_the_arguments_is_one_line() {
        let check = |line: &str, want: &str| {
            let error = Cli::try_parse_from(line.split(' ')).expect_err("wrong arguments");
            assert_eq!(usage_line(&error.render().to_string()), want);
        };
        check("postrider nope", "postrider: unrecognized subcommand 'nope' (see --help)");
        check(
            "postrider serve --confg x",
            "postrider: unexpected argument '--confg' found tip: a similar argument exists: '--config' (see --help)",
        );
        check("postrider send --account a", {
            "postrider: the following required arguments were not provided: --type <TYPE> --data <JSON> (see --help)"
        });
        check("postrider listen --status 99", {
            "postrider: invalid value '99' for '--status <CODE>': 99 is not in 200..=599 (see --help)"
        });
    }

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot start")]
        struct Outer(#[source] io::Error);
        let failure = Failure::from(Outer(io::Error::other("no disk")));
        assert_eq!(failure.lines, ["postrider: cannot start: no disk"]);
    }
}
