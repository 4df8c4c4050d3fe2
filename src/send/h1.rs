//! One HTTP/1.1 connection: opening it, and the task that drives it for as long as it lives.
//!
//! The task owns hyper's connection and polls it; requests are put on it from outside, which wakes it.
//! After each poll it looks whether the answer has come further. Response and body are polled with a
//! waker that does nothing: they change only inside the poll of the connection that this very task
//! has just made, so a wake of their own would only run it once more.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::client::conn::http1::{self, Builder};
use hyper::rt::{Read, ReadBufCursor, Write};
use monoio::io::poll_io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use monoio::net::tcp::stream_poll::TcpStreamPoll;

use super::host::Connection;
use super::pool::Pool;
use super::request::Body;
use crate::model::{AttemptError, ErrorKind};

/// Bytes of an answer's headers at most.
pub const HEAD_LEN_MAX: usize = 32 * 1024;
/// Header lines of an answer at most. This is hyper's own bound: told any bound, it would take memory for
/// that many lines at each answer, twice.
pub const HEAD_LINES_MAX: usize = 100;
/// Bytes that may be read for one answer beside its body: its head, interim answers (1xx) before it,
/// the framing of chunks. It ends a flood of any of them.
pub(super) const OVERHEAD_LEN_MAX: usize = 4 * HEAD_LEN_MAX;
/// Bytes that one read takes at most.
pub(super) const SCRATCH_LEN: usize = 16 * 1024;

/// Opens `connection` and drives it until it is closed.
pub(super) async fn run(pool: Rc<Pool>, connection: Rc<Connection>) {
    let host = connection.host.clone();
    let opened = unless_closed(&connection, pool.dialer.connect(&host.authority, &host.stage)).await;
    let stream = match opened {
        None => return,
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return pool.open_failed(&connection, error),
    };
    let io = Io { stream, scratch: pool.scratch.clone(), connection: connection.clone() };
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_LEN_MAX).max_header_size(HEAD_LEN_MAX);
    match builder.handshake(io).await {
        Ok((send, http)) => {
            pool.opened(&connection, send);
            Drive { pool, connection, http: Some(http) }.await;
        }
        Err(error) => pool.open_failed(&connection, classify(&error)),
    }
}

/// Runs `future` until it is done or the connection is closed by somebody else.
async fn unless_closed<T>(connection: &Rc<Connection>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        if connection.closed.get() {
            return Poll::Ready(None);
        }
        connection.note_waker(cx.waker());
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// The socket as hyper wants it, with a bound on what one answer may make it read.
///
/// Reads pass through a buffer that all connections of the pool share: a bounded copy of what is
/// mostly a few hundred bytes, in place of unsafe code over uninitialised memory.
pub(super) struct Io {
    stream: TcpStreamPoll,
    scratch: Rc<RefCell<Vec<u8>>>,
    connection: Rc<Connection>,
}

/// The bound of [`OVERHEAD_LEN_MAX`] was reached.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more before and around its body than is read")]
struct Flood;

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let budget = &this.connection.read_budget;
        if budget.get() == 0 {
            return Poll::Ready(Err(io::Error::other(Flood)));
        }
        let mut scratch = this.scratch.borrow_mut();
        let len = scratch.len().min(buf.remaining()).min(budget.get());
        let mut read = ReadBuf::new(scratch.get_mut(..len).unwrap_or_default());
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
        budget.set(budget.get() - read.filled().len());
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
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
        if this.connection.closed.get() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What hyper's error means for an attempt whose request was out.
pub(super) fn classify(error: &hyper::Error) -> AttemptError {
    let cause = std::error::Error::source(error);
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let flood =
        io.and_then(io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<Flood>);
    let (kind, message) = match io {
        Some(io) if flood => (ErrorKind::Protocol, io.to_string()),
        Some(io) => (ErrorKind::Reset, format!("the connection failed: {io}")),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            (ErrorKind::Reset, "the receiver closed the connection before its answer was there".to_owned())
        }
        None if error.is_parse_too_large() => {
            (ErrorKind::Protocol, format!("the answer's headers are longer than {HEAD_LEN_MAX} bytes"))
        }
        None => (ErrorKind::Protocol, format!("the answer is not valid HTTP/1.1: {error}")),
    };
    AttemptError { kind, message }
}
