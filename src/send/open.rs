//! Opening a connection: resolve, connect, TLS, then whichever HTTP was agreed on.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio_rustls::TlsConnector;

use super::counts::Protocol;
use super::h1;
use super::h2;
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
        Some(Ok((io, Protocol::H1))) => h1::run(pool, connection, io).await,
        Some(Ok((io, Protocol::H2))) => h2::run(pool, connection, io).await,
        Some(Err(error)) => pool.open_failed(&connection, &error),
    }
}

async fn open(pool: &Pool, connection: &Rc<Connection>) -> Result<(Io, Protocol), AttemptError> {
    let host = &connection.host;
    let stream = pool.dialer.connect(&host.authority, &host.stage).await?;
    let socket = Socket::new(stream, connection.clone());
    let Some(config) = host.tls.clone() else {
        let protocol = if host.http2 { Protocol::H2 } else { Protocol::H1 };
        return Ok((Io::plain(socket, pool.scratch.clone()), protocol));
    };
    let authority = &host.authority;
    host.stage.set(Stage::Securing);
    connection.read_budget.set(OPENING_LEN_MAX);
    let connector = TlsConnector::from(config);
    let connector = connector.with_alpn(tls::offer(host.http2));
    let connected = connector.connect(tls::server_name(authority)?, socket).await;
    let stream = connected.map_err(|error| tls::handshake_failed(&error, authority))?;
    let protocol = tls::chosen(stream.get_ref().1.alpn_protocol());
    if host.http2 && protocol == Protocol::H1 {
        let message = format!("{authority} does not speak HTTP/2");
        return Err(AttemptError { kind: ErrorKind::Protocol, message });
    }
    Ok((Io::tls(stream, pool.scratch.clone()), protocol))
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
