//! Accepting connections, and serving each until it ends.
//!
//! A connection beyond the bound is accepted, told 503 and closed: a client that hangs in the backlog
//! would not learn why. The Unix socket and TCP are counted apart, so that strangers on TCP cannot take
//! the platform's place.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use monoio::io::IntoPollIo;
use monoio::net::{TcpStream, UnixStream};
use monoio_compat::hyper::MonoioIo;
use tokio::sync::{Semaphore, watch};

use super::answer::{Problem, ProblemKind};
use super::handler::{Origin, Shared, handle};
use super::timed_io::{Progress, TimedIo};
use super::{Append, IngestMetrics, Types};

/// Bytes of a connection's read buffer at most; a head must fit.
const BUFFER_SIZE_MAX: usize = 128 << 10;
/// Bytes of a head at most.
const HEAD_SIZE_MAX: usize = 16 << 10;
/// The pause after an accept that failed (out of descriptors, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Running,
    /// Nothing new is taken; what is in flight may end.
    Closing,
    /// What is still there is dropped.
    Ended,
}

/// A listening socket: one handle to take connections from, one to wait with. An accept that the runtime
/// does itself leaks the new descriptor when it is cancelled; waiting for readiness has nothing to leak.
pub struct Listening<S, W> {
    socket: S,
    waiting: W,
}

impl Listening<std::os::unix::net::UnixListener, monoio::net::UnixListener> {
    pub fn unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let waiting = monoio::net::UnixListener::from_std(socket.try_clone()?)?;
        Ok(Self { socket, waiting })
    }
}

impl Listening<std::net::TcpListener, monoio::net::TcpListener> {
    pub fn tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let waiting = monoio::net::TcpListener::from_std(socket.try_clone()?)?;
        Ok(Self { socket, waiting })
    }
}

/// What both kinds of listening sockets can do.
pub trait Listener: 'static {
    type Io: Read + Write + Unpin + 'static;
    const ORIGIN: Origin;
    /// Takes a connection that waits; `WouldBlock` where none does.
    fn take(&self) -> io::Result<Self::Io>;
    /// Waits until there may be one.
    async fn readable(&self) -> io::Result<()>;
}

impl Listener for Listening<std::os::unix::net::UnixListener, monoio::net::UnixListener> {
    type Io = MonoioIo<<UnixStream as IntoPollIo>::PollIo>;
    const ORIGIN: Origin = Origin::Local;

    fn take(&self) -> io::Result<Self::Io> {
        let (stream, _) = self.socket.accept()?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)?.into_poll_io().map(MonoioIo::new)
    }

    async fn readable(&self) -> io::Result<()> {
        self.waiting.readable(false).await
    }
}

impl Listener for Listening<std::net::TcpListener, monoio::net::TcpListener> {
    type Io = MonoioIo<<TcpStream as IntoPollIo>::PollIo>;
    const ORIGIN: Origin = Origin::Remote;

    fn take(&self) -> io::Result<Self::Io> {
        let (stream, _) = self.socket.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        TcpStream::from_std(stream)?.into_poll_io().map(MonoioIo::new)
    }

    async fn readable(&self) -> io::Result<()> {
        self.waiting.readable(false).await
    }
}

/// Accepts until `stage` leaves [`Stage::Running`].
pub async fn accept<L, A, M, T>(
    listener: L,
    shared: Rc<Shared<A, M, T>>,
    open: Arc<Semaphore>,
    mut stage: watch::Receiver<Stage>,
) where
    L: Listener,
    A: Append,
    M: IngestMetrics,
    T: Types + 'static,
{
    while *stage.borrow() == Stage::Running {
        match listener.take() {
            Ok(io) => match Arc::clone(&open).try_acquire_owned() {
                Ok(permit) => {
                    let (shared, stage) = (Rc::clone(&shared), stage.clone());
                    monoio::spawn(async move {
                        serve(io, L::ORIGIN, shared, stage).await;
                        drop(permit);
                    });
                }
                Err(_) => turn_away(io).await,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::select! {
                    // An error shows again, and is told, when a connection is taken.
                    _ = listener.readable() => {}
                    _ = stage.wait_for(|stage| *stage > Stage::Running) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                monoio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A new connection's send buffer is empty, so this does not wait.
async fn turn_away(mut io: impl Write + Unpin) {
    let problem = Problem::new(ProblemKind::TooManyConnections, "close some, or try again later");
    let body = problem.body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: {}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        problem.kind.retry_after().unwrap_or(1),
        body.len()
    );
    // A peer that is gone needs no answer.
    let answer = [head.into_bytes(), body].concat();
    let _ = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, &answer)).await;
}

async fn serve<I, A, M, T>(
    io: I,
    origin: Origin,
    shared: Rc<Shared<A, M, T>>,
    mut stage: watch::Receiver<Stage>,
) where
    I: Read + Write + Unpin + 'static,
    A: Append,
    M: IngestMetrics,
    T: Types + 'static,
{
    let progress = Progress::new();
    let io = TimedIo::new(io, shared.options.timeouts, Rc::clone(&progress));
    let service = service_fn(|request| handle(request, Rc::clone(&shared), origin, Rc::clone(&progress)));
    let connection = Builder::new()
        // A client may close its side once it has asked.
        .half_close(true)
        .max_buf_size(BUFFER_SIZE_MAX)
        .max_header_size(HEAD_SIZE_MAX)
        // TimedIo has the time limits.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What ends a connection is its peer's doing, and of no interest to an operator.
        _ = connection.as_mut() => return,
        _ = stage.wait_for(|stage| *stage > Stage::Running) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        _ = stage.wait_for(|stage| *stage == Stage::Ended) => {}
    }
}
