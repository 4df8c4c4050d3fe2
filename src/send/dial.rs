//! Dialling: from a scheme, host and port to an open TCP connection.
//!
//! Resolves, judges every address, and connects to the very address that was judged, so that no second
//! look-up can lead elsewhere. Deliberately absent: deadlines (the caller drops the future) and TLS,
//! which is put on top of the stream.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use monoio::net::TcpStream;
use monoio::net::tcp::stream_poll::TcpStreamPoll;

use super::dns::{DnsError, Lookup, ResolverHandle};
use super::host::Stage;
use super::target::Egress;
use crate::model::{AttemptError, Authority, ErrorKind};

/// Opens one worker's connections.
pub(super) struct Dialer {
    egress: Egress,
    resolver: ResolverHandle,
}

impl Dialer {
    pub(super) fn new(egress: Egress, resolver: ResolverHandle) -> Self {
        Self { egress, resolver }
    }

    /// Connects to the first address of `target` that is open to deliveries and accepts; `stage` follows
    /// how far it has come. Dropping the future gives up.
    ///
    /// # Errors
    /// [`ErrorKind::Dns`], [`ErrorKind::Egress`] or [`ErrorKind::Connect`].
    pub(super) async fn connect(
        &self,
        target: &Authority,
        stage: &Cell<Stage>,
    ) -> Result<TcpStreamPoll, AttemptError> {
        stage.set(Stage::Resolving);
        let unresolved = |error: DnsError| AttemptError {
            kind: ErrorKind::Dns,
            message: format!("cannot resolve {}: {error}", target.host),
        };
        let addresses = self.resolve(&target.host).await.map_err(unresolved)?;
        stage.set(Stage::Connecting);
        let mut last = None;
        for address in addresses.iter() {
            if let Err(forbidden) = self.egress.check_address(*address) {
                let message = format!("{}: {forbidden}", target.host);
                last = last.or(Some(AttemptError { kind: ErrorKind::Egress, message }));
                continue;
            }
            match connect(SocketAddr::new(*address, target.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let message = format!("cannot connect to {target}: {error}");
                    last = Some(AttemptError { kind: ErrorKind::Connect, message });
                }
            }
        }
        Err(last.unwrap_or_else(|| unresolved(DnsError::NoAddress)))
    }

    async fn resolve(&self, host: &str) -> Result<Arc<[IpAddr]>, DnsError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::new([address]));
        }
        match self.resolver.resolve(host) {
            Lookup::Known(answer) => answer,
            Lookup::Asked(answer) => answer.await.unwrap_or(Err(DnsError::Stopped)),
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStreamPoll> {
    let stream = TcpStream::connect_addr(address).await?;
    stream.set_nodelay(true)?;
    stream.try_into_poll_io().map_err(|(error, _)| error)
}
