//! `postrider deliveries tail`: attempts as they happen, one a line.
//!
//! A stream that ends is opened again, at growing intervals; what came in between is in the list. A thread
//! reads, so that Ctrl-C is answered at once.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use serde::Deserialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::api::sse::{Parser, Piece};
use crate::cli::api::{ApiError, Session};
use crate::cli::{Done, Failure, say, text};

/// Waits between two tries to open the stream: the first (if the server names no other), and at most.
const WAIT_FIRST: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Pieces that wait to be printed. At the bound the reader waits, and the server says what it left out.
const PIECES_MAX: usize = 256;

/// What the reader tells.
enum Told {
    /// From now on attempts are seen.
    Open,
    Piece(Piece),
    /// The stream ended, and will be opened again after this time.
    Ended(Duration),
    /// It cannot be opened.
    Refused(ApiError),
}

pub(super) fn run(session: Session, subscription: Option<String>) -> Done {
    let json = session.json;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (stop, stopped) = bounded(1);
    std::thread::spawn(move || {
        signals.forever().next();
        // Nobody asks any more where this has nowhere to go.
        let _ = stop.send(());
    });
    let (sender, told) = bounded(PIECES_MAX);
    std::thread::spawn(move || read(&session, subscription.as_deref(), &sender));
    show(json, &told, &stopped)
}

fn show(json: bool, told: &Receiver<Told>, stopped: &Receiver<()>) -> Done {
    let mut opened = false;
    loop {
        let told = crossbeam::channel::select! {
            recv(stopped) -> _ => return Ok(ExitCode::SUCCESS),
            recv(told) -> told => told,
        };
        match told {
            Ok(Told::Open) if opened => {
                say("postrider: connected again; `postrider deliveries list` has what came in between");
            }
            Ok(Told::Open) => {
                opened = true;
                say("postrider: waiting for attempts; Ctrl-C ends");
            }
            Ok(Told::Piece(Piece::Event { name, data })) if name == "attempt" => {
                let line = if json { data } else { line(&data)? };
                if !write_line(&line)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Ok(Told::Piece(Piece::Event { name, .. })) if name == "gap" => {
                say("postrider: more happened than could be shown; `postrider deliveries list` has all");
            }
            Ok(Told::Piece(_)) => {}
            Ok(Told::Ended(wait)) => {
                say(&format!("postrider: the stream ended; connecting again in {} s", wait.as_secs()));
            }
            Ok(Told::Refused(error)) => return Err(error.into()),
            Err(_) => return Err(Failure::new("the reader of the stream has ended")),
        }
    }
}

/// `false` where nobody reads any more (`| head`).
fn write_line(line: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Opens the stream again and again, for as long as there is somebody to be told.
fn read(session: &Session, subscription: Option<&str>, told: &Sender<Told>) {
    let (mut first, mut named, mut wait) = (true, WAIT_FIRST, WAIT_FIRST);
    loop {
        let call = session.get(&["deliveries", "stream"]).query("subscriptionId", subscription);
        match call.stream() {
            Ok(stream) => {
                first = false;
                if told.send(Told::Open).is_err() || !follow(stream, told, &mut named) {
                    return;
                }
                wait = named;
            }
            // It may be a mistake, and later it is the engine that is not there.
            Err(error) if first || !error.may_pass() => {
                let _ = told.send(Told::Refused(error));
                return;
            }
            Err(_) => wait = (wait * 2).min(WAIT_MAX),
        }
        if told.send(Told::Ended(wait)).is_err() {
            return;
        }
        std::thread::park_timeout(wait);
    }
}

/// Reads a stream to its end. `false` where nobody is told any more.
fn follow(mut stream: impl Read, told: &Sender<Told>, named: &mut Duration) -> bool {
    let mut parser = Parser::default();
    let mut buffer = [0; 8192];
    loop {
        let Ok(read) = stream.read(&mut buffer) else { return true };
        let bytes = buffer.get(..read).unwrap_or_default();
        let Ok(pieces) = parser.push(bytes) else { return true };
        if bytes.is_empty() {
            return true;
        }
        for piece in pieces {
            if let Piece::Retry(wait) = piece {
                *named = wait.clamp(Duration::from_millis(100), WAIT_MAX);
            } else if told.send(Told::Piece(piece)).is_err() {
                return false;
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    event_id: String,
    subscription_id: String,
    r#type: String,
    status: String,
    attempt: Attempt,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    number: u32,
    trigger: String,
    started_at: String,
    duration_ms: u64,
    status_code: Option<u16>,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Error {
    kind: String,
    message: String,
}

fn line(data: &str) -> Result<String, serde_json::Error> {
    let Seen { event_id, subscription_id, r#type, status, attempt } = serde_json::from_str(data)?;
    let Attempt { number, trigger, started_at, duration_ms, status_code, error } = attempt;
    let code = status_code.map(|code| format!("  {code}")).unwrap_or_default();
    let error = error.map(|Error { kind, message }| format!("  {kind}: {message}")).unwrap_or_default();
    let line = format!(
        "{}  {status:9}  {event_id}  {type}  {subscription_id}  attempt {number} ({trigger})  \
         {duration_ms} ms{code}{error}",
        text::time(&started_at)
    );
    Ok(text::line(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_a_line() {
        let check = |error: &str, code: &str, want: &str| {
            let data = format!(
                r#"{{"eventId":"evt-1","subscriptionId":"sub_1","type":"user.created","status":"retrying",
                "attempts":2,"acceptedAt":"2026-11-23T14:49:00.000Z","attempt":{{"number":2,"trigger":"retry",
                "startedAt":"2026-11-23T14:49:05.000Z","durationMs":12,"statusCode":{code},"error":{error}}}}}"#
            );
            assert_eq!(line(&data).unwrap(), want);
        };
        check(
            r#"{"kind":"status","message":"answered\u001b[2J 500"}"#,
            "500",
            "2026-11-23 14:49:05Z  retrying   evt-1  user.created  sub_1  attempt 2 (retry)  12 ms  500  status: answered[2J 500",
        );
        check(
            "null",
            "null",
            "2026-11-23 14:49:05Z  retrying   evt-1  user.created  sub_1  attempt 2 (retry)  12 ms",
        );
    }

    #[test]
    fn a_stream_is_followed_to_its_end() {
        let (sender, told) = bounded(8);
        let mut named = WAIT_FIRST;
        assert!(follow(&b"retry: 300\n\n:\n\nevent: attempt\ndata: {}\n\n"[..], &sender, &mut named));
        assert_eq!(named, Duration::from_millis(300));
        let want = Piece::Event { name: "attempt".to_owned(), data: "{}".to_owned() };
        assert!(matches!(told.try_recv(), Ok(Told::Piece(piece)) if piece == want));
        drop(told);
        assert!(!follow(&b"data: x\n\n"[..], &sender, &mut named));
    }
}
