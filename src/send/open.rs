//! Opening a connection: resolve, connect, TLS, then whichever HTTP was agreed on.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use monoio::net::TcpStream;
use monoio::net::tcp::stream_poll::TcpStreamPoll;
use tokio_rustls::TlsConnector;

use super::dns::{DnsError, Lookup};
use super::h1;
use super::host::{Connection, Stage};
use super::pool::Pool;
use super::socket::{Io, Socket};
use super::tls;
use crate::model::{AttemptError, ErrorKind};

/// Bytes that may be read before the first request: the TLS handshake with its certificates.
const OPENING_LEN_MAX: usize = 128 * 1024;

/// Opens `connection` and drives it until it is closed.
pub(super) async fn run(pool: Rc<Pool>, connection: Rc<Connection>) {
    match unless_closed(&connection, open(&pool, &connection)).await {
        None => {}
        Some(Ok(io)) => h1::run(pool, connection, io).await,
        Some(Err(error)) => pool.open_failed(&connection, error),
    }
}

async fn open(pool: &Pool, connection: &Rc<Connection>) -> Result<Io, AttemptError> {
    let stream = dial(pool, connection).await?;
    let socket = Socket::new(stream, connection.clone());
    let Some(config) = connection.host.tls.clone() else {
        return Ok(Io::plain(socket, pool.scratch.clone()));
    };
    let authority = &connection.host.authority;
    connection.host.stage.set(Stage::Securing);
    connection.read_budget.set(OPENING_LEN_MAX);
    let connected = TlsConnector::from(config).connect(tls::server_name(authority)?, socket).await;
    let stream = connected.map_err(|error| tls::handshake_failed(&error, authority))?;
    if !tls::speaks_http1(stream.get_ref().1.alpn_protocol()) {
        let message = format!("{authority} chose a protocol that was not offered");
        return Err(AttemptError { kind: ErrorKind::Tls, message });
    }
    Ok(Io::tls(stream, pool.scratch.clone()))
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

/// Resolves, judges, connects: to the first address that is open to deliveries and accepts.
async fn dial(pool: &Pool, connection: &Connection) -> Result<TcpStreamPoll, AttemptError> {
    let host = &connection.host;
    host.stage.set(Stage::Resolving);
    let addresses = resolve(pool, &host.authority.host).await.map_err(|error| AttemptError {
        kind: ErrorKind::Dns,
        message: format!("cannot resolve {}: {error}", host.authority.host),
    })?;
    host.stage.set(Stage::Connecting);
    let mut last = None;
    for address in addresses.iter() {
        if let Err(forbidden) = pool.options.egress.check_address(*address) {
            let message = format!("{}: {forbidden}", host.authority.host);
            last = last.or(Some(AttemptError { kind: ErrorKind::Egress, message }));
            continue;
        }
        match connect(SocketAddr::new(*address, host.authority.port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let message = format!("cannot connect to {}: {error}", host.authority);
                last = Some(AttemptError { kind: ErrorKind::Connect, message });
            }
        }
    }
    Err(last.unwrap_or_else(|| AttemptError {
        kind: ErrorKind::Dns,
        message: format!("cannot resolve {}: {}", host.authority.host, DnsError::Empty),
    }))
}

async fn resolve(pool: &Pool, host: &str) -> Result<Arc<[IpAddr]>, DnsError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Arc::new([address]));
    }
    match pool.resolver.resolve(host) {
        Lookup::Known(answer) => answer,
        Lookup::Asked(answer) => answer.await.unwrap_or(Err(DnsError::Stopped)),
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStreamPoll> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    stream.try_into_poll_io().map_err(|(error, _)| error)
}
