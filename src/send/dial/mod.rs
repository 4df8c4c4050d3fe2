//! Dialling: from a scheme, host and port to an open TCP connection.
//!
//! Resolves, judges every address, and connects to the very address that was judged, so that no second
//! look-up can lead elsewhere: not even through a proxy, which is told the address and never the name.
//! Deliberately absent: deadlines (the caller drops the future, and asks [`Dialer::trouble`] what went
//! wrong until then) and TLS, which is put on top of the stream.

mod alarm;
mod order;
mod race;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use monoio::net::tcp::stream_poll::TcpStreamPoll;

use self::alarm::Alarms;
use self::order::{Families, in_turn};
use super::dns::{DnsError, Lookup, ResolverHandle};
use super::host::Stage;
use super::proxy::Proxy;
use super::target::{Egress, Forbidden};
use crate::model::{AttemptError, Authority, ErrorKind, Mono};

/// Opens one worker's connections.
pub(super) struct Dialer {
    egress: Egress,
    proxy: Option<Arc<Proxy>>,
    resolver: ResolverHandle,
    clock: fn() -> Mono,
    alarms: Alarms,
    families: Families,
    /// What has gone wrong so far with targets that are being dialled. As many as there are dialled.
    troubles: RefCell<HashMap<Authority, String>>,
}

impl Dialer {
    pub(super) fn new(
        egress: Egress,
        proxy: Option<Arc<Proxy>>,
        resolver: ResolverHandle,
        clock: fn() -> Mono,
    ) -> Self {
        Self {
            egress,
            proxy,
            resolver,
            clock,
            alarms: Alarms::default(),
            families: Families::default(),
            troubles: RefCell::default(),
        }
    }

    /// Connects to an address of `target` that is open to deliveries; `stage` follows how far it has
    /// come. Dropping the future gives up.
    ///
    /// # Errors
    /// [`ErrorKind::Dns`], [`ErrorKind::Egress`] or [`ErrorKind::Connect`].
    pub(super) async fn connect(
        &self,
        target: &Authority,
        stage: &Cell<Stage>,
    ) -> Result<TcpStreamPoll, AttemptError> {
        stage.set(Stage::Resolving);
        let forbidden = |why: &Forbidden| AttemptError {
            kind: ErrorKind::Egress,
            message: format!("{}: {why}", target.host),
        };
        self.egress.check_port(target.port).map_err(|why| forbidden(&why))?;
        let addresses = self.resolve(&target.host).await.map_err(|error| AttemptError {
            kind: ErrorKind::Dns,
            message: format!("cannot resolve {}: {error}", target.host),
        })?;
        let mut open = Vec::with_capacity(addresses.len());
        let mut closed = None;
        for address in addresses.iter() {
            match self.egress.check_address(&target.host, *address) {
                Ok(()) => open.push(*address),
                Err(why) => closed = closed.or(Some(why)),
            }
        }
        if let (true, Some(why)) = (open.is_empty(), &closed) {
            return Err(forbidden(why));
        }
        stage.set(Stage::Connecting);
        let addresses = in_turn(&open, self.families.prefers_v4(&target.host, (self.clock)()));
        let _forget = Forget { dialer: self, target };
        let connected = if let Some(proxy) = &self.proxy {
            self.through(proxy, target, &addresses).await
        } else {
            let note = |trouble| self.note(target, trouble);
            self.race(&target.host, target.port, &addresses, note).await
        };
        connected.map_err(|trouble| AttemptError {
            kind: ErrorKind::Connect,
            message: match closed {
                None => format!("cannot connect to {target}: {trouble}"),
                Some(why) => {
                    format!("cannot connect to {target}: {trouble}; another: {why}")
                }
            },
        })
    }

    /// Tells those who wait for a moment that has come. To be called each time the worker's loop runs.
    pub(super) fn tick(&self, now: Mono) {
        self.alarms.ring(now);
    }

    /// What has gone wrong so far with dialling `target`, to be put behind a message; mostly empty.
    pub(super) fn trouble(&self, target: &Authority) -> String {
        self.troubles.borrow().get(target).map_or_else(String::new, |trouble| format!(": {trouble}"))
    }

    fn note(&self, target: &Authority, trouble: String) {
        self.troubles.borrow_mut().insert(target.clone(), trouble);
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

    /// Connects to one of `addresses`, and remembers for `host` which family that took.
    async fn race(
        &self,
        host: &str,
        port: u16,
        addresses: &[IpAddr],
        note: impl FnMut(String),
    ) -> Result<TcpStreamPoll, String> {
        let addresses: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
        let won = race::connect(&addresses, &self.alarms, self.clock, note).await?;
        self.families.note(host, won.address.is_ipv4(), won.is_first, (self.clock)());
        Ok(won.stream)
    }

    /// Has the proxy connect to one of `addresses`, one after the other.
    async fn through(
        &self,
        proxy: &Proxy,
        target: &Authority,
        addresses: &[IpAddr],
    ) -> Result<TcpStreamPoll, String> {
        // It is the operator's choice where the proxy is: no rule judges it.
        let of_proxy = self.resolve(proxy.host()).await;
        let of_proxy = of_proxy.map_err(|error| format!("cannot resolve the proxy: {error}"))?;
        let of_proxy = in_turn(&of_proxy, self.families.prefers_v4(proxy.host(), (self.clock)()));
        let mut troubles = Vec::new();
        for address in addresses {
            // Whoever reads this of an attempt is not to know where the proxy is; the operator is.
            let note = |_| self.note(target, "the proxy does not answer".to_owned());
            let stream = self.race(proxy.host(), proxy.port(), &of_proxy, note).await;
            let mut stream = stream.map_err(|trouble| {
                tracing::warn!(%trouble, "the proxy cannot be reached");
                "the proxy cannot be reached".to_owned()
            })?;
            self.note(target, "the proxy has not answered CONNECT".to_owned());
            match tunnel::open(&mut stream, proxy, SocketAddr::new(*address, target.port)).await {
                Ok(()) => return Ok(stream),
                Err(error) => {
                    troubles.push(format!("{address}: {error}"));
                    if !error.may_be_the_address() {
                        break;
                    }
                }
            }
        }
        Err(troubles.join(", "))
    }
}

/// Takes what went wrong out of the notes when dialling ends, however it ends.
struct Forget<'a> {
    dialer: &'a Dialer,
    target: &'a Authority,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.dialer.troubles.borrow_mut().remove(self.target);
    }
}
