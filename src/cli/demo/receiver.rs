//! The demo's receiver: checks every signature, counts every delivery once, and is flaky where it says so.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cli::Failure;
use crate::model::{Catalogue, TypeBit, UnixMillis};
use crate::rt::clock;
use crate::send::verify::{decode_secret, is_fresh, verify};

/// Bytes of a delivery that are read.
const BODY_LEN_MAX: usize = 1 << 20;
/// The flaky one refuses the first attempt of one delivery in this many.
const FLAKY_EVERY: usize = 4;
/// Deliveries that are remembered for the screen.
const RECENT_MAX: usize = 8;

/// Events that the engine accepted, by type.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    by_type: BTreeMap<TypeBit, u64>,
}

impl Tally {
    /// All of a batch, or (where the engine took fewer) as many of it.
    pub(super) fn add(&mut self, kinds: &[TypeBit], accepted: u64) {
        let accepted = usize::try_from(accepted).unwrap_or(usize::MAX);
        for kind in kinds.iter().take(accepted) {
            *self.by_type.entry(*kind).or_default() += 1;
            self.events += 1;
        }
    }

    /// How many deliveries the demo's three subscriptions make of them.
    pub(super) fn expected(&self) -> u64 {
        self.of("*") + self.of("visitor.*") + self.of("user.*")
    }

    /// How many events a selector wants.
    pub(super) fn of(&self, selector: &str) -> u64 {
        let Some(mask) = Catalogue::builtin().expand(selector) else { return 0 };
        self.by_type.iter().filter(|(bit, _)| mask.contains(**bit)).map(|(_, count)| count).sum()
    }

    pub(super) fn types(&self) -> usize {
        self.by_type.len()
    }
}

/// One subscription, as its receiver sees it.
pub(super) struct Endpoint {
    pub(super) name: String,
    path: String,
    key: Vec<u8>,
    seen: HashSet<String>,
    refused_once: HashSet<String>,
    /// Deliveries, each counted once.
    pub(super) delivered: u64,
    pub(super) verified: u64,
    pub(super) repeated: u64,
    pub(super) refused: u64,
}

/// A delivery for the screen.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) at: UnixMillis,
    pub(super) endpoint: String,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) attempt: String,
    pub(super) verified: bool,
    pub(super) status: u16,
}

#[derive(Default)]
pub(super) struct Seen {
    endpoints: BTreeMap<String, Endpoint>,
    pub(super) recent: VecDeque<Arrival>,
    pub(super) types: HashSet<String>,
}

pub(super) struct Receiver {
    address: SocketAddr,
    seen: Rc<RefCell<Seen>>,
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Receiver {
    /// Listens on any free port of loopback. Lives on the runtime of whoever calls.
    pub(super) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Rc::new(RefCell::new(Seen::default()));
        let receiver = Self { address, seen: Rc::clone(&seen) };
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Rc::clone(&seen);
                tokio::task::spawn_local(async move {
                    let service = service_fn(move |request| answer(Rc::clone(&seen), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // How a connection ends is the engine's affair.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(receiver)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deliveries to `path` come for this subscription and are signed with this secret.
    pub(super) fn expect(&self, id: &str, path: &str, name: &str, secret: &str) -> Result<(), Failure> {
        let key = decode_secret(secret).ok_or_else(|| Failure::new("the secret cannot be read"))?;
        let endpoint = Endpoint {
            name: name.to_owned(),
            path: format!("/{path}"),
            key,
            seen: HashSet::new(),
            refused_once: HashSet::new(),
            delivered: 0,
            verified: 0,
            repeated: 0,
            refused: 0,
        };
        self.seen.borrow_mut().endpoints.insert(id.to_owned(), endpoint);
        Ok(())
    }

    pub(super) fn delivered(&self) -> u64 {
        self.seen.borrow().endpoints.values().map(|endpoint| endpoint.delivered).sum()
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.borrow())
    }
}

impl Seen {
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }
}

async fn answer(
    seen: Rc<RefCell<Seen>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = match Limited::new(body, BODY_LEN_MAX).collect().await {
        Ok(body) => seen.borrow_mut().take(head.uri.path(), &head.headers, &body.to_bytes()),
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

impl Seen {
    fn take(&mut self, path: &str, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let Some(endpoint) = self.endpoints.get_mut(header(headers, "postrider-subscription")) else {
            return StatusCode::NOT_FOUND;
        };
        if endpoint.path != path {
            return StatusCode::NOT_FOUND;
        }
        let id = header(headers, "webhook-id");
        let timestamp = header(headers, "webhook-timestamp");
        let signature = header(headers, "webhook-signature");
        let verified =
            verify(&endpoint.key, id, timestamp, body, signature) && is_fresh(timestamp, clock::wall());
        let status = endpoint.judge(id, verified);
        let kind = serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|event| Some(event.get("type")?.as_str()?.to_owned()))
            .unwrap_or_default();
        self.types.insert(kind.clone());
        self.recent.push_back(Arrival {
            at: clock::wall(),
            endpoint: endpoint.name.clone(),
            kind,
            id: id.to_owned(),
            attempt: header(headers, "postrider-attempt").to_owned(),
            verified,
            status: status.as_u16(),
        });
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        status
    }
}

impl Endpoint {
    fn judge(&mut self, id: &str, verified: bool) -> StatusCode {
        if !verified {
            self.refused += 1;
            return StatusCode::UNAUTHORIZED;
        }
        let number: usize = id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let flaky = self.path == "/flaky" && (number / 39).is_multiple_of(FLAKY_EVERY);
        if flaky && self.refused_once.insert(id.to_owned()) {
            self.refused += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if self.seen.insert(id.to_owned()) {
            self.delivered += 1;
            self.verified += 1;
        } else {
            self.repeated += 1;
        }
        StatusCode::NO_CONTENT
    }
}
