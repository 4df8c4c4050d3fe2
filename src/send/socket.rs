//! A connection's bytes: the socket, plain or under TLS, as hyper and h2 want it.
//!
//! What may be read is bounded at the socket itself, so that a flood of anything (interim answers, frames
//! of control, records of TLS) ends by the same rule. What ends a connection is kept, typed, in the
//! connection: HTTP libraries hand errors of IO on as text.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use monoio::net::tcp::stream_poll::TcpStreamPoll;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::host::Connection;
use super::tls;
use crate::model::{AttemptError, ErrorKind};

/// What is said where a connection ends in place of an answer.
pub(super) const CLOSED: &str = "the receiver closed the connection before its answer was there";
/// Bytes that one read takes at most.
pub(super) const SCRATCH_LEN: usize = 16 * 1024;

/// The bound on what is read was reached.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more before and around its body than is read")]
struct Flood;

/// The TCP socket with the bound on what may be read.
pub(super) struct Socket {
    stream: TcpStreamPoll,
    connection: Rc<Connection>,
}

impl Socket {
    pub(super) fn new(stream: TcpStreamPoll, connection: Rc<Connection>) -> Self {
        Self { stream, connection }
    }

    /// Reads into a part of `buf` that is as long as the bound allows; tells how much.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let budget = &self.connection.read_budget;
        if budget.get() == 0 {
            return Poll::Ready(Err(io::Error::other(Flood)));
        }
        let allowance = &self.connection.read_allowance;
        if allowance.get() == 0 {
            // Whoever set the bound polls again when others have had their turn.
            return Poll::Pending;
        }
        let len = buf.len().min(budget.get()).min(allowance.get());
        let mut read = ReadBuf::new(buf.get_mut(..len).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        let len = read.filled().len();
        budget.set(budget.get() - len);
        allowance.set(allowance.get() - len);
        Poll::Ready(Ok(len))
    }
}

/// For TLS, whose buffers are initialised, so that nothing is filled with zeros here.
impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let len = ready!(self.get_mut().poll_fill(cx, buf.initialize_unfilled()))?;
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

/// A receiver that refuses a request early and closes has said why: what it does not take any more is let go,
/// so that its answer is read. Where it said nothing, the read tells that the connection has ended.
fn unless_gone(written: Poll<io::Result<usize>>, len: usize) -> Poll<io::Result<usize>> {
    match written {
        Poll::Ready(Err(error))
            if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
        {
            Poll::Ready(Ok(len))
        }
        written => written,
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        unless_gone(Pin::new(&mut self.get_mut().stream).poll_write(cx, buf), buf.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        unless_gone(Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs), len)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

enum Layer {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// What HTTP is spoken over.
pub(super) struct Io {
    layer: Layer,
    /// Plain reads pass through a buffer that all connections of the pool share: a bounded copy of what
    /// is mostly a few hundred bytes, in place of unsafe code over uninitialised memory.
    scratch: Rc<RefCell<Vec<u8>>>,
    connection: Rc<Connection>,
}

impl Io {
    pub(super) fn plain(socket: Socket, scratch: Rc<RefCell<Vec<u8>>>) -> Self {
        let connection = socket.connection.clone();
        Self { layer: Layer::Plain(socket), scratch, connection }
    }

    pub(super) fn tls(stream: TlsStream<Socket>, scratch: Rc<RefCell<Vec<u8>>>) -> Self {
        let connection = stream.get_ref().0.connection.clone();
        Self { layer: Layer::Tls(Box::new(stream)), scratch, connection }
    }

    /// Tells a TLS receiver that this is the end (close_notify), if that can be said without waiting.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if let Layer::Tls(stream) = &mut self.layer {
            // Whether it was heard changes nothing.
            let _ = Pin::new(stream.as_mut()).poll_shutdown(cx);
        }
    }

    /// Reads some bytes and hands them to `put`; `room` is what it can take.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        put: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Layer::Plain(socket) => {
                let mut scratch = self.scratch.borrow_mut();
                let len = scratch.len().min(room);
                let buf = scratch.get_mut(..len).unwrap_or_default();
                let len = ready!(socket.poll_fill(cx, buf))?;
                put(buf.get(..len).unwrap_or_default());
            }
            Layer::Tls(stream) => {
                let mut stream = Pin::new(stream.as_mut());
                let got = ready!(stream.as_mut().poll_fill_buf(cx))?;
                let len = got.len().min(room);
                put(got.get(..len).unwrap_or_default());
                stream.consume(len);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps why the connection ends, for the requests that it ends with it.
    fn noted<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            let mut failure = self.connection.failure.borrow_mut();
            failure.get_or_insert_with(|| explain(error));
        }
        polled
    }
}

/// What an error of the socket means for the requests that were on it.
fn explain(error: &io::Error) -> AttemptError {
    if let Some(failed) = tls::failed(error) {
        return failed;
    }
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Flood>) {
        return AttemptError { kind: ErrorKind::Protocol, message: error.to_string() };
    }
    let message = match error.kind() {
        // TLS that ends without its own end; rustls says so to programmers.
        io::ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        _ => format!("the connection failed: {error}"),
    };
    AttemptError { kind: ErrorKind::Reset, message }
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.poll_take(cx, buf.remaining(), |bytes| buf.put_slice(bytes));
        this.noted(polled)
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self, cx)
    }

    fn is_write_vectored(&self) -> bool {
        AsyncWrite::is_write_vectored(self)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, cx, bufs)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = this.poll_take(cx, buf.remaining(), |bytes| buf.put_slice(bytes));
        if buf.filled().len() > before {
            this.connection.reads.set(this.connection.reads.get() + 1);
        }
        this.noted(polled)
    }
}

/// Hands a call on to the layer that is there.
macro_rules! layered {
    ($io:expr, |$stream:ident| $call:expr) => {{
        let this = $io.get_mut();
        let polled = match &mut this.layer {
            Layer::Plain(socket) => {
                let $stream = Pin::new(socket);
                $call
            }
            Layer::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        };
        this.noted(polled)
    }};
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.writes.set(self.connection.writes.get() + 1);
        layered!(self, |stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        layered!(self, |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What fails here is no news: the connection was at its end.
        match &mut self.get_mut().layer {
            Layer::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Layer::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.writes.set(self.connection.writes.get() + 1);
        layered!(self, |stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.layer {
            Layer::Plain(socket) => socket.is_write_vectored(),
            Layer::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
