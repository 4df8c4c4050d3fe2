//! One connection of HTTP/2: opening it, and the task that drives it for as long as it lives.
//!
//! h2 is used as it is, without hyper around it: its errors say whether a request was processed, which
//! decides whether it may go out again, and nothing is spawned for a request. A connection counts as open
//! when the receiver's SETTINGS are there, so that its limit of streams is never guessed.
//!
//! What a receiver can make this side hold or do is bounded: headers, interim answers, bytes per request
//! beside its body (whatever frames they are), bytes per turn of the loop. Server push is refused.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::Reason;
use h2::client::{Builder, Connection as Http, SendRequest};

use super::counts::Protocol;
use super::h1::HEAD_LEN_MAX;
use super::host::{Connection, Stage};
use super::pool::Pool;
use super::socket::{CLOSED, Io};
use super::streams::Upload;
use crate::model::{AttemptError, ErrorKind};

/// What h2 has for the receiver's limit of streams until it is told. None go out before.
const UNGREETED: usize = usize::MAX - 1;
/// Bytes that one turn reads from a connection; then others have theirs. One record of TLS; more would be
/// thousands of frames in a flood of small ones.
const READ_PER_TURN: usize = 16 * 1024;
/// Bytes that may be read while nothing is asked for: PING, SETTINGS, GOAWAY, tickets.
pub(super) const IDLE_LEN_MAX: usize = 64 * 1024;
/// Bytes of bodies that a receiver may send before it is told to go on, per stream and in all. What comes
/// is kept or thrown away at once, so this holds no memory.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams that were reset here are remembered for frames that were on their way.
const RESETS_KEPT: usize = 256;
const RESETS_KEPT_FOR: Duration = Duration::from_secs(5);

/// Speaks HTTP/2 over `io` until the connection is closed.
pub(super) async fn run(pool: Rc<Pool>, connection: Rc<Connection>, io: Io) {
    connection.protocol.set(Protocol::H2);
    connection.host.stage.set(Stage::Greeting);
    connection.read_budget.set(connection.read_budget.get().max(IDLE_LEN_MAX));
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNGREETED)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(HEAD_LEN_MAX).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(RESETS_KEPT)
        .reset_stream_duration(RESETS_KEPT_FOR);
    match builder.handshake(io).await {
        Ok((send, http)) => Drive { pool, connection, greeting: Some(send), http: Some(http) }.await,
        Err(error) => pool.open_failed(&connection, &no_http2(&connection, &error)),
    }
}

/// Drives a connection until it is closed from either side.
struct Drive {
    pool: Rc<Pool>,
    connection: Rc<Connection>,
    /// Until the receiver's SETTINGS are there.
    greeting: Option<SendRequest<Upload>>,
    /// `None` once it has ended.
    http: Option<Http<Io, Upload>>,
}

impl Future for Drive {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let connection = &this.connection;
        if !connection.closed.get() {
            connection.note_waker(cx.waker());
            connection.read_allowance.set(READ_PER_TURN);
            let ended = this.http.as_mut().and_then(|http| match Pin::new(http).poll(cx) {
                Poll::Ready(ended) => Some(ended),
                Poll::Pending => None,
            });
            if ended.is_none() {
                this.greet();
            }
            let connection = &this.connection;
            match (ended, this.greeting.take()) {
                (Some(ended), Some(greeting)) => {
                    this.http = None;
                    this.pool.ended_early(connection, greeting, ended.err());
                }
                (None, Some(greeting)) => this.greeting = Some(greeting),
                (Some(_), None) => {
                    this.http = None;
                    this.pool.advance_h2(connection, true);
                }
                (None, None) => this.pool.advance_h2(connection, false),
            }
            if connection.read_allowance.get() == 0 {
                // Not by waking itself: that would put it before all others.
                let waker = cx.waker().clone();
                monoio::spawn(async move { waker.wake() });
            }
        }
        if !this.connection.closed.get() {
            return Poll::Pending;
        }
        // Nothing refers to it any more, so it says GOAWAY, if that can be said without waiting.
        this.greeting = None;
        if let Some(mut http) = this.http.take() {
            let _ = Pin::new(&mut http).poll(cx);
        }
        Poll::Ready(())
    }
}

impl Drive {
    /// Opens the connection for requests once the receiver has said how many it takes, and takes any.
    fn greet(&mut self) {
        let streams = self.greeting.as_ref().map(SendRequest::current_max_send_streams);
        match streams {
            None | Some(UNGREETED) => {}
            Some(0) => self.connection.host.stage.set(Stage::Admission),
            Some(_) => {
                if let Some(send) = self.greeting.take() {
                    self.pool.opened_h2(&self.connection, send);
                }
            }
        }
    }
}

impl Pool {
    /// A connection that ended before it was open.
    fn ended_early(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        mut greeting: SendRequest<Upload>,
        error: Option<h2::Error>,
    ) {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(Err(told)) = greeting.poll_ready(cx)
            && told.is_go_away()
            && told.is_remote()
        {
            return self.open_refused(connection, &explain(connection, &told));
        }
        self.open_failed(connection, &error.map_or_else(silent, |error| no_http2(connection, &error)));
    }
}

/// What h2's error means for an attempt whose request was out.
pub(super) fn explain(connection: &Connection, error: &h2::Error) -> AttemptError {
    if let Some(failure) = connection.failure.borrow().as_ref() {
        return failure.clone();
    }
    if error.is_io() {
        return cut_off();
    }
    let reason = name(error.reason().unwrap_or(Reason::PROTOCOL_ERROR));
    let (kind, message) = match (error.is_remote(), error.is_go_away()) {
        (true, true) => (ErrorKind::Reset, format!("the receiver closed the connection ({reason})")),
        (true, false) => (ErrorKind::Reset, format!("the receiver reset the request ({reason})")),
        (false, _) => (ErrorKind::Protocol, format!("the answer is not valid HTTP/2 ({reason})")),
    };
    AttemptError { kind, message }
}

/// A code by its name, where it has one.
fn name(reason: Reason) -> String {
    let known = u32::from(reason) <= u32::from(Reason::HTTP_1_1_REQUIRED);
    if known { format!("{reason:?}") } else { format!("code {}", u32::from(reason)) }
}

pub(super) fn cut_off() -> AttemptError {
    AttemptError { kind: ErrorKind::Reset, message: CLOSED.to_owned() }
}

/// A connection that ended before the receiver's SETTINGS came.
fn no_http2(connection: &Connection, error: &h2::Error) -> AttemptError {
    if error.is_library() {
        let message = "the receiver's greeting is not HTTP/2".to_owned();
        return AttemptError { kind: ErrorKind::Protocol, message };
    }
    explain(connection, error)
}

fn silent() -> AttemptError {
    let message = "the receiver closed the connection before a request could be sent".to_owned();
    AttemptError { kind: ErrorKind::Reset, message }
}
