//! The listener, the connections, and their end.
//!
//! hyper is driven directly because `axum::serve` has no time limit on reading a request's head: a client
//! that sends it byte by byte would hold its connection for ever. hyper-util lends the glue to tokio and
//! the graceful end; it is in the tree through axum already.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::peer::Peer;
use super::routes::router;
use super::state::Admin;
use crate::telemetry::UPKEEP_INTERVAL;

/// Connections at once; further ones wait in the listener's backlog.
pub const CONNECTIONS_MAX: usize = 256;
/// Reading one request's head, and waiting for the next request of a connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes that hyper buffers of one connection, which bounds a request's head (to about twice this).
const HEAD_LEN_MAX: usize = 64 * 1024;
/// What requests in work get at the end.
const GRACE: Duration = Duration::from_secs(5);
/// What reads of the log still in work get after that.
const READS_GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept (no descriptors left): the listener stays readable all the while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Threads of the blocking pool.
const BLOCKING_THREADS_MAX: usize = 8;

/// Why the admin port is not there.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot listen on admin.listen = {address}")]
    Bind { address: String, source: io::Error },
    #[error("cannot start the control thread")]
    Thread(#[source] io::Error),
    #[error("the control thread cannot use its listener")]
    Listener(#[source] io::Error),
}

/// A listener that has its address and serves nobody yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// With the port that the kernel chose, where 0 was asked for.
    pub address: SocketAddr,
}

/// Takes the address (`host:port`), so that a taken one is known before anything else starts.
///
/// # Errors
/// [`AdminError::Bind`].
pub fn bind(address: &str) -> Result<Bound, AdminError> {
    let failed = |source| AdminError::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address: local })
}

/// Runs the admin port on its own thread until `stop` resolves and requests in work have ended.
///
/// # Errors
/// Where the thread or its runtime cannot be made.
pub fn start(
    bound: Bound,
    admin: Arc<Admin>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<Result<(), AdminError>>, AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("control-read")
        .build()
        .map_err(AdminError::Thread)?;
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let ended = runtime.block_on(serve(bound, admin, stop));
            runtime.shutdown_timeout(READS_GRACE);
            ended
        })
        .map_err(AdminError::Thread)
}

/// Serves until `stop` resolves; then takes no more connections and gives requests in work [`GRACE`].
///
/// # Errors
/// [`AdminError::Listener`].
pub async fn serve(
    bound: Bound,
    admin: Arc<Admin>,
    stop: impl Future<Output = ()>,
) -> Result<(), AdminError> {
    let listener = tokio::net::TcpListener::from_std(bound.listener).map_err(AdminError::Listener)?;
    let service = TowerToHyperService::new(router(Arc::clone(&admin)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_LEN_MAX);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = upkeep.tick() => admin.telemetry.upkeep(),
            accepted = accept(&listener, &places) => {
                let Some((stream, place)) = accepted else { continue };
                let (peer, service) = (Peer::of(&stream), service.clone());
                let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    service.call(request)
                });
                let connection = http.serve_connection(TokioIo::new(stream), service);
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // How a connection ends is its client's affair; answers have been counted already.
                    let _ = watched.await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    admin.live.stop();
    // Past the grace, what is left is cut off with the runtime.
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

/// Waits for a place and then for a connection. `None` where accepting failed: try again.
async fn accept(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    if let Ok((stream, _)) = listener.accept().await {
        // Answers are small and written whole; without it the last one waits for an ACK.
        let _ = stream.set_nodelay(true);
        return Some((stream, place));
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
    None
}
