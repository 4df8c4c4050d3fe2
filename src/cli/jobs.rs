//! `postrider jobs`: what runs in the background for an account.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;

use super::api::{Answer, ApiArgs, Session};
use super::table::Table;
use super::{Done, Failure, print, say, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider jobs list --account acme
  postrider jobs cancel job_… --account acme")]
pub(super) struct JobsArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List an account's jobs
    List {
        /// Jobs at most
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one, with how far it is
    Show {
        /// Its id
        #[arg(value_name = "JOB")]
        id: String,
    },
    /// Cancel one: what it has not yet sent stays unsent
    Cancel {
        /// Its id
        #[arg(value_name = "JOB")]
        id: String,
    },
}

/// The API's job (contract §5).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) subscription_id: String,
    pub(super) status: String,
    /// Not known before it has been looked for.
    #[serde(default)]
    pub(super) total: Option<u64>,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) created_at: String,
    pub(super) finished_at: Option<String>,
}

impl Job {
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "running")
    }

    pub(super) fn progress(&self) -> String {
        let total = self.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
        format!("{} of {total}", self.done)
    }

    fn details(self) -> Table {
        let progress = self.progress();
        let mut lines = vec![
            ("id", self.id),
            ("kind", self.kind),
            ("subscription", self.subscription_id),
            ("status", self.status),
            ("done", progress),
            ("failed", self.failed.to_string()),
            ("created", text::time(&self.created_at)),
        ];
        lines.extend(self.finished_at.map(|at| ("finished", text::time(&at))));
        Table::of_pairs(lines.into_iter().map(|(name, value)| (name.to_owned(), value)))
    }
}

pub(super) fn run(args: &JobsArgs) -> Done {
    let session = args.api.session()?;
    match &args.command {
        Command::List { limit } => list(&session, *limit)?,
        Command::Show { id } => show(&session, &session.get(&["jobs", id]).send()?)?,
        Command::Cancel { id } => cancel(&session, id)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(session: &Session, answer: &Answer) -> Result<(), Failure> {
    if session.json {
        return Ok(print(&answer.line())?);
    }
    Ok(answer.read::<Job>()?.details().print()?)
}

pub(super) fn cancel(session: &Session, id: &str) -> Result<(), Failure> {
    let answer = session.call("DELETE", &["jobs", id]).send()?;
    if session.json {
        return Ok(print(&answer.line())?);
    }
    Ok(print(&format!("cancelled {}\n", text::word(id)))?)
}

fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let headings = ["id", "status", "done", "failed", "subscription", "created", "finished", "kind"];
    let mut table = Table::new(&headings).spare(4);
    let more = session.get(&["jobs"]).list(limit, |item| {
        if session.json {
            return Ok(print(&format!("{item}\n"))?);
        }
        let job: Job = serde_json::from_str(item.get())?;
        let progress = job.progress();
        table.row([
            job.id,
            job.status,
            progress,
            job.failed.to_string(),
            job.subscription_id,
            text::time(&job.created_at),
            job.finished_at.map_or_else(|| "-".to_owned(), |at| text::time(&at)),
            job.kind,
        ]);
        Ok(())
    })?;
    if !session.json {
        if table.is_empty() {
            say("postrider: no jobs");
        } else {
            table.print()?;
        }
    }
    if more {
        say("postrider: there are more; see --limit");
    }
    Ok(())
}
