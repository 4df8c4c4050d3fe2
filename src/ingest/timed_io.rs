//! A connection that ends by itself when its peer does nothing: between requests, inside a head, or when
//! it does not read what it is sent.
//!
//! hyper has one time limit for waiting for a request and reading its head together, and none for
//! writing; a client that keeps a connection for later is not one that sends a byte a second, so the
//! phases are told apart here. The time for a body is the handler's business.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use monoio::time::Sleep;

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head. Also for the first byte on a new
    /// connection.
    pub head: Duration,
    /// For a body, from the end of the head.
    pub body: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Without taking a single byte of an answer.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request is there.
    Idle,
    /// Part of a head is there, or ought to be.
    Head,
    /// A handler has the request.
    Busy,
}

/// Where a connection stands. The connection and its handler share it.
pub struct Progress {
    phase: Cell<Phase>,
    /// Grows with each phase, so that a timer of an earlier one is told apart.
    turn: Cell<u64>,
}

impl Progress {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { phase: Cell::new(Phase::Head), turn: Cell::new(0) })
    }

    /// A handler takes over.
    pub fn busy(&self) {
        self.enter(Phase::Busy);
    }

    /// The answer is made; the next request may come.
    pub fn idle(&self) {
        self.enter(Phase::Idle);
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.turn.set(self.turn.get().wrapping_add(1));
    }
}

/// `inner` with limits to its peer's patience.
pub struct TimedIo<T> {
    inner: T,
    timeouts: Timeouts,
    progress: Rc<Progress>,
    /// The timer of reading and the turn it belongs to. Made when first needed, then used again.
    read: Option<(u64, Pin<Box<Sleep>>)>,
    /// The timer of writing, while a write waits.
    write: Option<Pin<Box<Sleep>>>,
}

impl<T> TimedIo<T> {
    pub fn new(inner: T, timeouts: Timeouts, progress: Rc<Progress>) -> Self {
        Self { inner, timeouts, progress, read: None, write: None }
    }

    /// Called where a read has to wait: fails when the phase has lasted too long.
    fn poll_read_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = match self.progress.phase.get() {
            Phase::Idle => self.timeouts.idle,
            Phase::Head => self.timeouts.head,
            Phase::Busy => return Poll::Pending,
        };
        let turn = self.progress.turn.get();
        let (armed, timer) = self.read.get_or_insert_with(|| (turn, Box::pin(monoio::time::sleep(limit))));
        if *armed != turn {
            *armed = turn;
            timer.as_mut().set(monoio::time::sleep(limit));
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_write_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.timeouts.write;
        let timer = self.write.get_or_insert_with(|| Box::pin(monoio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn limit_write<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write = None;
            return written;
        }
        self.poll_write_limit(cx).map(Err)
    }
}

impl<T: Read + Unpin> Read for TimedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if this.progress.phase.get() == Phase::Idle {
                    this.progress.enter(Phase::Head);
                }
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_read_limit(cx),
        }
    }
}

impl<T: Write + Unpin> Write for TimedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.limit_write(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.limit_write(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.limit_write(cx, written)
    }
}
