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
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
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

/// A listening socket.
pub trait Listener: 'static {
    type Io: Read + Write + Unpin + 'static;
    const ORIGIN: Origin;
    async fn next(&self) -> io::Result<Self::Io>;
}

impl Listener for UnixListener {
    type Io = MonoioIo<<UnixStream as IntoPollIo>::PollIo>;
    const ORIGIN: Origin = Origin::Local;
    async fn next(&self) -> io::Result<Self::Io> {
        let (stream, _) = self.accept().await?;
        stream.into_poll_io().map(MonoioIo::new)
    }
}

impl Listener for TcpListener {
    type Io = MonoioIo<<TcpStream as IntoPollIo>::PollIo>;
    const ORIGIN: Origin = Origin::Remote;
    async fn next(&self) -> io::Result<Self::Io> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        stream.into_poll_io().map(MonoioIo::new)
    }
}

/// Accepts until `stopping` turns true and the listening socket is shut down, which wakes a waiting
/// accept. The accept itself is never cancelled: the runtime would leak the descriptor that it brings.
pub async fn accept<L, A, M, T>(
    listener: L,
    shared: Rc<Shared<A, M, T>>,
    open: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
) where
    L: Listener,
    A: Append,
    M: IngestMetrics,
    T: Types + 'static,
{
    loop {
        let accepted = listener.next().await;
        if *stopping.borrow() {
            return;
        }
        match accepted {
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                monoio::time::sleep(ACCEPT_PAUSE).await;
            }
            Ok(io) => match Arc::clone(&open).try_acquire_owned() {
                Ok(permit) => {
                    let (shared, stopping) = (Rc::clone(&shared), stopping.clone());
                    monoio::spawn(async move {
                        serve(io, L::ORIGIN, shared, stopping).await;
                        drop(permit);
                    });
                }
                Err(_) => turn_away(io).await,
            },
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
    mut stopping: watch::Receiver<bool>,
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
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
