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

use monoio::{FusionDriver, LegacyDriver, RuntimeBuilder};
use tokio::sync::{Semaphore, oneshot, watch};

use super::connection::{Listening, Stage, accept};
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

    /// Whether the thread still serves. It ends by itself only through a defect.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
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
    let io_uring = options.io_uring;
    let serving = serve(sockets, options, parts, ready, stop);
    let told = if io_uring {
        let runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().build();
        runtime.and_then(|mut runtime| runtime.block_on(serving))
    } else {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        runtime.and_then(|mut runtime| runtime.block_on(serving))
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
    let (stage, watching) = watch::channel(Stage::Running);
    let open = || Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(usize::MAX)));
    let (open_unix, open_tcp) = (open(), open());

    let listening = Listening::unix(unix)?;
    let mut accepting =
        vec![monoio::spawn(accept(listening, Rc::clone(&shared), Arc::clone(&open_unix), watching.clone()))];
    if let Some(tcp) = tcp {
        let listening = Listening::tcp(tcp)?;
        accepting.push(monoio::spawn(accept(listening, shared, Arc::clone(&open_tcp), watching)));
    }
    // The receiver waits for exactly this.
    let _ = ready.send(Ok(()));

    let grace = stop.await.unwrap_or(Duration::ZERO);
    // Gone from the directory first: who finds no socket knows more than who finds a deaf one.
    drop(file);
    stage.send_replace(Stage::Closing);
    for task in accepting {
        task.await;
    }
    let all_closed = async || {
        for open in [&open_unix, &open_tcp] {
            // Fails only where somebody closed the semaphore; nobody does.
            let _ = open.acquire_many(connections).await;
        }
    };
    if monoio::time::timeout(grace, all_closed()).await.is_err() {
        // The runtime does not drop what is left when it ends: each task must come to its own end.
        stage.send_replace(Stage::Ended);
        all_closed().await;
    }
    Ok(())
}
