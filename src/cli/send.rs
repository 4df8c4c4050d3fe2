//! `postrider send`: events from the command line or from a file of NDJSON, over the ingest socket.
//!
//! One request is under way at a time: the engine says how fast it goes by how fast it answers.

mod batch;
pub(super) mod client;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;

use self::batch::{Batch, Batches, LINE_LEN_MAX};
use self::client::{Answer, Client, SendError, Status};
use super::{Done, print, say};

/// Rejected events that are described one by one; the rest are only counted.
const ERRORS_SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct SendArgs {
    /// The engine's ingest socket
    #[arg(long, value_name = "PATH", env = "POSTRIDER_INGEST__SOCKET", default_value = "data/ingest.sock")]
    socket: PathBuf,
    /// Account that the event belongs to
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "file")]
    account: Option<String>,
    /// Event type: its id, name or alias
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    event_type: Option<String>,
    /// What the event says: a JSON object
    #[arg(long, value_name = "JSON", required_unless_present = "file")]
    data: Option<String>,
    /// Id of the event; made by the engine if missing
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// When it happened (RFC 3339); the time of sending if missing
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Send each line of a file as an event; - reads standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["account", "event_type", "data", "id", "timestamp"]
    )]
    file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("--data must be a JSON object")]
    Data(#[source] serde_json::Error),
    #[error(
        "{source}, on the way {}; before that {tally}",
        if lines.0 == lines.1 { format!("was line {}", lines.0) } else { format!("were lines {} to {}", lines.0, lines.1) }
    )]
    Stopped { lines: (u64, u64), tally: String, source: SendError },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    account_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    data: &'a RawValue,
}

/// What came of the events so far.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    /// The first errors, in words.
    errors: Vec<String>,
}

impl Tally {
    fn text(&self) -> String {
        format!("accepted {}, duplicate {}, rejected {}", self.accepted, self.duplicates, self.rejected)
    }

    fn reject(&mut self, error: impl FnOnce() -> String) {
        self.rejected += 1;
        if self.errors.len() < ERRORS_SHOWN_MAX {
            self.errors.push(error());
        }
    }

    /// Takes an answer to events that stood in `lines` (none for a single event).
    fn add(&mut self, answer: &Answer, lines: &[u64]) {
        self.accepted += answer.accepted;
        self.duplicates += answer.duplicates;
        let mut seen = 0;
        let rejected = |(_, item): &(usize, &client::Item)| item.status == Status::Rejected;
        for (index, item) in answer.results.iter().enumerate().filter(rejected) {
            let place = lines.get(index).map(|line| format!("line {line}: ")).unwrap_or_default();
            self.reject(|| format!("{place}{item}"));
            seen += 1;
        }
        // An answer without results still counts.
        self.rejected += answer.rejected.saturating_sub(seen);
    }
}

pub(super) fn run(args: &SendArgs) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = Client::new(&args.socket);
    let tally = match &args.file {
        Some(path) => runtime.block_on(send_file(&mut client, path))?,
        None => runtime.block_on(send_one(&mut client, args))?,
    };
    for error in &tally.errors {
        say(&format!("postrider: {error}"));
    }
    let unshown = tally.rejected.saturating_sub(tally.errors.len() as u64);
    if unshown > 0 && !tally.errors.is_empty() {
        say(&format!("postrider: and {unshown} more"));
    }
    print(&(tally.text() + "\n"))?;
    Ok(if tally.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn send_one(client: &mut Client, args: &SendArgs) -> Result<Tally, super::Failure> {
    let data = args.data.as_deref().unwrap_or_default();
    let _object: serde_json::Map<_, _> = serde_json::from_str(data).map_err(InputError::Data)?;
    let event = Event {
        id: args.id.as_deref(),
        account_id: args.account.as_deref().unwrap_or_default(),
        kind: args.event_type.as_deref().unwrap_or_default(),
        timestamp: args.timestamp.as_deref(),
        data: serde_json::from_str(data).map_err(InputError::Data)?,
    };
    let body = Bytes::from(serde_json::to_vec(&event)?);
    let mut tally = Tally::default();
    tally.add(&client.post("application/json", &body).await?, &[]);
    Ok(tally)
}

async fn send_file(client: &mut Client, path: &Path) -> Result<Tally, InputError> {
    let unreadable = |source| InputError::Read { path: path.to_owned(), source };
    let (input, len): (Box<dyn Read>, Option<u64>) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).map_err(unreadable)?;
        let len = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
        (Box::new(file), len)
    };
    let bar = progress(len);
    let mut batches = Batches::new(BufReader::with_capacity(1 << 16, input));
    let mut tally = Tally::default();
    while let Some(batch) = batches.next().map_err(unreadable)? {
        send_batch(client, batch, &mut tally, &bar).await?;
    }
    bar.finish_and_clear();
    Ok(tally)
}

async fn send_batch(
    client: &mut Client,
    batch: Batch,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), InputError> {
    for line in batch.too_long {
        tally.reject(|| format!("line {line}: longer than {} MiB", LINE_LEN_MAX >> 20));
    }
    if let (Some(first), Some(last)) = (batch.lines.first(), batch.lines.last()) {
        let answer =
            client.post("application/x-ndjson", &Bytes::from(batch.body)).await.map_err(|source| {
                bar.finish_and_clear();
                InputError::Stopped { lines: (*first, *last), tally: tally.text(), source }
            })?;
        tally.add(&answer, &batch.lines);
    }
    bar.inc(batch.bytes_read);
    bar.set_message(tally.text());
    Ok(())
}

/// A bar on stderr where that is a terminal; otherwise one that shows nothing.
fn progress(len: Option<u64>) -> ProgressBar {
    let style = match len {
        Some(_) => "{bar:30} {percent:>3}% {decimal_bytes_per_sec} {msg}",
        None => "{spinner} {decimal_bytes} {msg}",
    };
    let bar = len.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests;
