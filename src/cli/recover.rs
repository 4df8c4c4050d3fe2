//! `postrider recover`: sends again what a subscription has missed, and shows how far that is.
//!
//! The job is the engine's and survives its restarts; this only watches. Ctrl-C ends the watching.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::api::{Answer, ApiArgs, ApiError, Session};
use super::jobs::{self, Job};
use super::moment::{Moment, moment};
use super::{Done, Failure, print, say, text};

/// Between two looks at the job.
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row that may get no answer, as while the engine starts again: a minute.
const LOOKS_LOST_MAX: u32 = 120;
/// What a shell says of a command that Ctrl-C ended.
const CODE_INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  postrider recover sub_… --account acme --since 2h --dry-run
  postrider recover sub_… --account acme --since 2026-11-23T08:00:00Z --rate 50
  postrider recover sub_… --account acme --since 24h --status all --detach
  postrider recover --cancel job_… --account acme")]
pub(super) struct RecoverArgs {
    /// What has missed something
    #[arg(value_name = "SUBSCRIPTION", required_unless_present = "cancel")]
    subscription: Option<String>,
    /// Events accepted since: how long ago (2h) or when (2026-11-23T14:49:00Z)
    #[arg(long, value_name = "TIME", value_parser = moment, required_unless_present = "cancel")]
    since: Option<Moment>,
    /// Events accepted before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// `dead` (nothing more is tried), `failed` (those and what is being retried) or `all`
    #[arg(long, default_value = "dead")]
    status: String,
    /// Events of this type alone; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Deliveries a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::recover::RATE_MAX)))]
    rate: Option<u32>,
    /// Only count what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Start it and leave it to itself
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Cancel a job that was started
    #[arg(long, value_name = "JOB", conflicts_with_all = ["subscription", "since", "until", "types", "rate", "dry_run", "detach"])]
    cancel: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

impl RecoverArgs {
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("since", self.since.map(|moment| json!(moment.to_rfc3339())));
        put("until", self.until.map(|moment| json!(moment.to_rfc3339())));
        put("status", Some(json!(self.status)));
        put("types", (!self.types.is_empty()).then(|| json!(self.types)));
        put("ratePerSecond", self.rate.map(Value::from));
        put("dryRun", self.dry_run.then_some(Value::Bool(true)));
        Value::Object(body)
    }
}

#[derive(Deserialize)]
struct Matched {
    matched: u64,
}

pub(super) fn run(args: &RecoverArgs) -> Done {
    let session = args.api.session()?;
    if let Some(job) = &args.cancel {
        jobs::cancel(&session, job)?;
        return Ok(ExitCode::SUCCESS);
    }
    let id = args.subscription.as_deref().unwrap_or_default();
    let answer = session.call("POST", &["subscriptions", id, "recover"]).body(args.body()).send()?;
    if args.dry_run {
        let matched = answer.read::<Matched>()?.matched;
        let deliveries = if matched == 1 { "delivery" } else { "deliveries" };
        let told = format!("{matched} {deliveries} would be sent\n");
        print(&if session.json { answer.line() } else { told })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.detach {
        jobs::show(&session, &answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut signals = Signals::new([SIGINT])?;
    let (stop, stopped) = bounded(1);
    std::thread::spawn(move || {
        signals.forever().next();
        // Nobody asks any more where this has nowhere to go.
        let _ = stop.send(());
    });
    watch(&session, answer, &stopped)
}

/// Until the job ends, or the user has seen enough.
fn watch(session: &Session, mut answer: Answer, stopped: &Receiver<()>) -> Done {
    let bar = if std::io::stderr().is_terminal() && !session.json { bar() } else { ProgressBar::hidden() };
    let mut lost = 0;
    let mut job: Job = answer.read()?;
    loop {
        show(&bar, &job);
        if job.has_ended() {
            bar.finish_and_clear();
            return ended(session, &job, &answer);
        }
        if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
            bar.finish_and_clear();
            let (id, account) = (text::word(&job.id), text::word(&session.account));
            say(&format!(
                "postrider: the job goes on; `postrider jobs show {id} --account {account}` shows it, \
                 `postrider recover --cancel {id} --account {account}` cancels it"
            ));
            return Ok(ExitCode::from(CODE_INTERRUPTED));
        }
        match session.get(&["jobs", &job.id]).send() {
            Ok(next) => {
                lost = 0;
                job = next.read()?;
                answer = next;
            }
            Err(error) if error.may_pass() && lost < LOOKS_LOST_MAX => {
                lost += 1;
                bar.set_message("no answer, asking again");
            }
            Err(error) => return Err(unseen(&job, error)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the job {id} can no longer be seen, and may go on")]
struct Unseen {
    id: String,
    source: ApiError,
}

fn unseen(job: &Job, source: ApiError) -> Failure {
    Unseen { id: text::word(&job.id), source }.into()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bar:30} {pos} of {len}  {msg}");
    let bar = ProgressBar::no_length();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, job: &Job) {
    if let Some(total) = job.total {
        bar.set_length(total);
    }
    bar.set_position(job.done);
    bar.set_message(match job.failed {
        0 => text::word(&job.status),
        failed => format!("{}, {failed} failed", text::word(&job.status)),
    });
}

fn ended(session: &Session, job: &Job, answer: &Answer) -> Done {
    if session.json {
        print(&answer.line())?;
    } else {
        let (id, status) = (text::word(&job.id), text::word(&job.status));
        print(&format!("{status}: {} sent, {} of them failed ({id})\n", job.progress(), job.failed))?;
    }
    Ok(if job.status == "succeeded" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
