//! The thread "ingest": starts, serves, and stops in order.
//!
//! Sockets are bound by the caller's thread, so that whatever is wrong with them is an error of
//! [`start`]. Once it returns, connections are taken.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use monoio::{FusionDriver, RuntimeBuilder};
use socket2::SockRef;
use tokio::sync::{Semaphore, oneshot, watch};

use super::connection::accept;
use super::handler::Shared;
use super::listener::{ListenError, SocketFile, bind_tcp, bind_unix};
use super::{Append, IngestMetrics, IngestOptions, Parts, Types};

/// Why ingest could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the ingest thread: {0}")]
    Thread(#[source] io::Error),
    #[error("cannot start the ingest runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// A running ingest. Dropped without [`Ingest::stop`], it stops at once and does not wait.
#[derive(Debug)]
pub struct Ingest {
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<()>,
    address: Option<SocketAddr>,
}

impl Ingest {
    /// The TCP address, where there is one, with the port that the system chose for port 0.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Accepts nothing more, lets the requests in flight end for at most `grace`, removes the socket and
    /// ends the thread. Blocks until that is done. The log must go on answering meanwhile.
    pub fn stop(self, grace: Duration) {
        // A thread that is gone already has nothing to stop, and its panic was reported by itself.
        let _ = self.stop.send(grace);
        let _ = self.thread.join();
    }
}

struct Sockets {
    unix: UnixListener,
    tcp: Option<TcpListener>,
    file: SocketFile,
}

/// Binds the sockets and starts the thread.
///
/// # Errors
/// See [`StartError`].
pub fn start<A, M, T>(options: IngestOptions, parts: Parts<A, M, T>) -> Result<Ingest, StartError>
where
    A: Append,
    M: IngestMetrics,
    T: Types + Send + Sync + 'static,
{
    let (unix, file) = bind_unix(&options.socket, options.socket_mode)?;
    let tcp = options.listen.map(bind_tcp).transpose()?;
    let address = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let (stop, stopped) = oneshot::channel();
    let (ready, readiness) = mpsc::channel();
    let sockets = Sockets { unix, tcp, file };
    let thread = thread::Builder::new()
        .name("ingest".to_owned())
        .spawn(move || run(sockets, options, parts, &ready, stopped))
        .map_err(StartError::Thread)?;
    match readiness.recv() {
        Ok(Ok(())) => Ok(Ingest { stop, thread, address }),
        Ok(Err(error)) => Err(StartError::Runtime(error)),
        Err(mpsc::RecvError) => Err(StartError::Runtime(io::Error::other("the thread ended"))),
    }
}

fn run<A, M, T>(
    sockets: Sockets,
    options: IngestOptions,
    parts: Parts<A, M, T>,
    ready: &mpsc::Sender<io::Result<()>>,
    stop: oneshot::Receiver<Duration>,
) where
    A: Append,
    M: IngestMetrics,
    T: Types + Send + Sync + 'static,
{
    let runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().build();
    let told = match runtime {
        Ok(mut runtime) => runtime.block_on(serve(sockets, options, parts, ready, stop)),
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        // Whoever started the thread is gone only if it panicked.
        let _ = ready.send(Err(error));
    }
}

async fn serve<A, M, T>(
    sockets: Sockets,
    options: IngestOptions,
    parts: Parts<A, M, T>,
    ready: &mpsc::Sender<io::Result<()>>,
    stop: oneshot::Receiver<Duration>,
) -> io::Result<()>
where
    A: Append,
    M: IngestMetrics,
    T: Types + Send + Sync + 'static,
{
    let Sockets { unix, tcp, file } = sockets;
    let connections = u32::try_from(options.connections_max).unwrap_or(u32::MAX);
    let shared = Rc::new(Shared::new(options, parts));
    let (stopping, watching) = watch::channel(false);
    let open = || Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(usize::MAX)));
    let (open_unix, open_tcp) = (open(), open());

    // epoll wants sockets that do not block; io_uring would answer such an accept at once with EAGAIN.
    unix.set_nonblocking(monoio::utils::is_legacy())?;
    let unix_again = unix.try_clone()?;
    let listener = monoio::net::UnixListener::from_std(unix)?;
    let mut accepting =
        vec![monoio::spawn(accept(listener, Rc::clone(&shared), Arc::clone(&open_unix), watching.clone()))];
    let tcp_again = tcp.as_ref().map(TcpListener::try_clone).transpose()?;
    if let Some(tcp) = tcp {
        tcp.set_nonblocking(monoio::utils::is_legacy())?;
        let listener = monoio::net::TcpListener::from_std(tcp)?;
        accepting.push(monoio::spawn(accept(listener, shared, Arc::clone(&open_tcp), watching)));
    }
    // The receiver waits for exactly this.
    let _ = ready.send(Ok(()));

    let grace = stop.await.unwrap_or(Duration::ZERO);
    // A reader of this flag goes away with its connection; there may be none.
    let _ = stopping.send(true);
    SockRef::from(&unix_again).shutdown(std::net::Shutdown::Both)?;
    if let Some(tcp) = &tcp_again {
        SockRef::from(tcp).shutdown(std::net::Shutdown::Both)?;
    }
    for task in accepting {
        task.await;
    }
    drop(file);
    let all_closed = async {
        for open in [open_unix, open_tcp] {
            // Fails only where somebody closed the semaphore; nobody does.
            let _ = open.acquire_many(connections).await;
        }
    };
    let _ = monoio::time::timeout(grace, all_closed).await;
    Ok(())
}
