//! One open HTTP/1.1 connection: the task that drives it for as long as it lives.
//!
//! The task owns hyper's connection and polls it; requests are put on it from outside, which wakes it.
//! After each poll it looks whether the answer has come further. Response and body are polled with a
//! waker that does nothing: they change only inside the poll of the connection that this very task
//! has just made, so a wake of their own would only run it once more.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{self, Builder};

use super::host::Connection;
use super::pool::Pool;
use super::request::Body;
use super::socket::{CLOSED, Io};
use crate::model::{AttemptError, ErrorKind};

/// Bytes of an answer's headers at most.
pub const HEAD_LEN_MAX: usize = 32 * 1024;
/// Header lines of an answer at most. This is hyper's own bound: told any bound, it would take memory for
/// that many lines at each answer, twice.
pub const HEAD_LINES_MAX: usize = 100;
/// Bytes that may be read until the head of an answer is there: the head itself, and interim answers (1xx)
/// before it. Each of those costs a microsecond or so, in which the worker does nothing else: a flood of them
/// must be short.
pub(super) const BEFORE_HEAD_LEN_MAX: usize = HEAD_LEN_MAX + HEAD_LEN_MAX / 2;
/// Bytes that may be read from then on beside the body: the framing of chunks, trailers. It ends a flood.
pub(super) const OVERHEAD_LEN_MAX: usize = 3 * HEAD_LEN_MAX;

/// Speaks HTTP/1.1 over `io` until the connection is closed.
pub(super) async fn run(pool: Rc<Pool>, connection: Rc<Connection>, io: Io) {
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_LEN_MAX).max_header_size(HEAD_LEN_MAX);
    match builder.handshake(io).await {
        Ok((send, http)) => {
            pool.opened(&connection, send);
            Drive { pool, connection, http: Some(http) }.await;
        }
        Err(error) => pool.open_failed(&connection, &classify(&connection, &error)),
    }
}

/// Drives an open connection until it is closed from either side.
struct Drive {
    pool: Rc<Pool>,
    connection: Rc<Connection>,
    /// `None` once it has ended; dropping it closes the socket and gives an unsent request back.
    http: Option<http1::Connection<Io, Body>>,
}

impl Future for Drive {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.connection.closed.get() {
            this.connection.note_waker(cx.waker());
            if let Some(http) = &mut this.http {
                // How it ended is told to the request that was on it; on an idle one nobody cares.
                if Pin::new(http).poll(cx).is_ready() {
                    this.http = None;
                }
            }
            this.pool.advance(&this.connection, this.http.is_none());
        }
        if !this.connection.closed.get() {
            return Poll::Pending;
        }
        if let Some(http) = this.http.take() {
            http.into_parts().io.say_goodbye(cx);
        }
        Poll::Ready(())
    }
}

/// What hyper's error means for an attempt whose request was out.
pub(super) fn classify(connection: &Connection, error: &hyper::Error) -> AttemptError {
    if let Some(failure) = connection.failure.borrow().as_ref() {
        return failure.clone();
    }
    let (kind, message) = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        (ErrorKind::Reset, CLOSED.to_owned())
    } else if error.is_parse_too_large() {
        (
            ErrorKind::Protocol,
            format!("the answer's head is longer than {HEAD_LEN_MAX} bytes or {HEAD_LINES_MAX} lines"),
        )
    } else {
        (ErrorKind::Protocol, format!("the answer is not valid HTTP/1.1: {error}"))
    };
    AttemptError { kind, message }
}
