//! What a worker knows of one receiving host, and of each connection to it.
//!
//! Plain state in cells, all on one thread. No borrow is held while anything else runs: that is what
//! keeps `pool` free of borrow panics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use rustls::ClientConfig;

use super::counts::{CloseReason, Protocol};
use super::job::{Answer, Flight};
use super::request::Body;
use super::streams::Streams;
use crate::model::{AttemptError, Authority, Mono};

/// Connections to one scheme, host and port, and jobs that wait for one.
pub(super) struct Host {
    pub(super) authority: Authority,
    /// `None` for plain http.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// HTTP/2 without asking.
    pub(super) http2: bool,
    pub(super) max_connections: usize,
    /// What it is known to speak; `None` until its first answer to what is offered.
    pub(super) protocol: Cell<Option<Protocol>>,
    /// Requests that its connections can carry at once, as was last told.
    pub(super) capacity: Cell<u32>,
    /// Connections of HTTP/2 that take requests, oldest first.
    pub(super) multiplexed: RefCell<Vec<Rc<Connection>>>,
    /// Of HTTP/1.1. Oldest first: the newest is used first, so that the others may age out.
    pub(super) idle: RefCell<Vec<Rc<Connection>>>,
    /// Jobs that take the first connection that is free. As many as the worker started at most.
    pub(super) waiting: RefCell<VecDeque<u64>>,
    /// Jobs whose connection had ended before it could send them: only a new one will do.
    pub(super) waiting_new: RefCell<VecDeque<u64>>,
    /// Connections, with those that are being opened.
    pub(super) open: Cell<usize>,
    pub(super) opening: Cell<usize>,
    /// Is in the pool's list of hosts that wait for room under the total bound.
    pub(super) starved: Cell<bool>,
    /// How far the newest attempt to connect has come.
    pub(super) stage: Cell<Stage>,
}

impl Host {
    pub(super) fn new(
        authority: Authority,
        tls: Option<Arc<ClientConfig>>,
        http2: bool,
        max_connections: usize,
    ) -> Self {
        let protocol = match (http2, authority.tls) {
            (true, _) => Some(Protocol::H2),
            (false, false) => Some(Protocol::H1),
            (false, true) => None,
        };
        Self {
            authority,
            tls,
            http2,
            max_connections,
            protocol: Cell::new(protocol),
            capacity: Cell::new(0),
            multiplexed: RefCell::default(),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            waiting_new: RefCell::default(),
            open: Cell::new(0),
            opening: Cell::new(0),
            starved: Cell::new(false),
            stage: Cell::new(Stage::Resolving),
        }
    }

    /// Whether one more connection should be opened now. Of HTTP/1.1 one for each job; where one may
    /// carry many, or where that is not known yet, one after the other.
    pub(super) fn wants_connection(&self) -> bool {
        let jobs = self.waiting.borrow().len() + self.waiting_new.borrow().len();
        match self.protocol.get() {
            Some(Protocol::H1) => self.opening.get() < jobs,
            Some(Protocol::H2) | None => self.opening.get() == 0 && jobs > 0,
        }
    }

    /// Whether a job waits for a connection.
    pub(super) fn has_waiting(&self) -> bool {
        !(self.waiting.borrow().is_empty() && self.waiting_new.borrow().is_empty())
    }

    /// The oldest connection of HTTP/2 with room for one more request.
    pub(super) fn with_room(&self) -> Option<Rc<Connection>> {
        self.multiplexed.borrow().iter().find(|connection| connection.has_room()).cloned()
    }

    /// Connections that carry no request.
    pub(super) fn resting(&self) -> Vec<Rc<Connection>> {
        let multiplexed = self.multiplexed.borrow();
        let multiplexed = multiplexed.iter().filter(|connection| connection.in_flight.get() == 0);
        self.idle.borrow().iter().chain(multiplexed).cloned().collect()
    }

    pub(super) fn longest_idle(&self) -> Option<Rc<Connection>> {
        let multiplexed = self.multiplexed.borrow();
        let multiplexed = multiplexed.iter().filter(|connection| connection.in_flight.get() == 0);
        let oldest = multiplexed.min_by_key(|connection| connection.idle_since.get()).cloned();
        self.idle.borrow().first().cloned().into_iter().chain(oldest).min_by_key(|it| it.idle_since.get())
    }

    /// What a job that waits here is waiting for, in words.
    pub(super) fn stage_text(&self) -> &'static str {
        match (self.opening.get(), self.stage.get()) {
            (0, _) => "waiting for a free connection",
            (_, Stage::Resolving) => "resolving the host's name",
            (_, Stage::Connecting) => "connecting",
            (_, Stage::Securing) => "in the TLS handshake",
            (_, Stage::Greeting) => "waiting for the receiver's HTTP/2 settings",
            (_, Stage::Admission) => "waiting for the receiver to allow a request",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Resolving,
    Connecting,
    /// In the TLS handshake.
    Securing,
    /// Waiting for HTTP/2's first frame.
    Greeting,
    /// HTTP/2's settings are there and allow no request.
    Admission,
}

pub(super) type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<hyper::Request<Body>>>>>>;

/// What a connection is doing.
pub(super) enum State {
    /// Resolving and connecting; or closed; or just being worked on.
    Nothing,
    Idle,
    /// The request is out, the headers of the answer are not yet there.
    Head {
        flight: Flight,
        response: ResponseFuture,
    },
    /// The headers are there.
    Body {
        flight: Flight,
        answer: Box<Answer>,
        body: Incoming,
    },
}

pub(super) struct Connection {
    pub(super) serial: u64,
    pub(super) host: Rc<Host>,
    pub(super) opened: Cell<Mono>,
    pub(super) idle_since: Cell<Mono>,
    /// When opening it is given up; `None` once it is open.
    pub(super) opening_until: Cell<Option<Mono>>,
    pub(super) protocol: Cell<Protocol>,
    pub(super) requests: Cell<u32>,
    /// Requests on it now.
    pub(super) in_flight: Cell<usize>,
    /// It takes no further request, and why.
    pub(super) draining: Cell<Option<CloseReason>>,
    /// Bytes that may still be read for what is on it.
    pub(super) read_budget: Cell<usize>,
    /// Bytes that may be read before others have their turn.
    pub(super) read_allowance: Cell<usize>,
    /// How often something was read, below which TLS is not counted.
    pub(super) reads: Cell<u64>,
    /// How often something was written.
    pub(super) writes: Cell<u64>,
    /// Why the socket failed, if it has.
    pub(super) failure: RefCell<Option<AttemptError>>,
    pub(super) closed: Cell<bool>,
    pub(super) state: RefCell<State>,
    pub(super) send: RefCell<Option<SendRequest<Body>>>,
    /// What is on it where it speaks HTTP/2; `state` and `send` are HTTP/1.1's.
    pub(super) streams: RefCell<Option<Streams>>,
    /// Of the task that drives the connection.
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(serial: u64, host: Rc<Host>, opening_until: Mono) -> Self {
        let protocol = host.protocol.get().unwrap_or(Protocol::H1);
        Self {
            serial,
            host,
            opened: Cell::default(),
            idle_since: Cell::default(),
            opening_until: Cell::new(Some(opening_until)),
            protocol: Cell::new(protocol),
            requests: Cell::new(0),
            in_flight: Cell::new(0),
            draining: Cell::new(None),
            // One byte is enough to see that an idle connection was closed, or is being abused.
            read_budget: Cell::new(1),
            read_allowance: Cell::new(usize::MAX),
            reads: Cell::new(0),
            writes: Cell::new(0),
            failure: RefCell::default(),
            closed: Cell::new(false),
            state: RefCell::new(State::Nothing),
            send: RefCell::default(),
            streams: RefCell::default(),
            waker: RefCell::default(),
        }
    }

    /// Whether a request may be put on it now.
    pub(super) fn is_ready(&self) -> bool {
        !self.closed.get() && self.send.borrow().as_ref().is_some_and(SendRequest::is_ready)
    }

    pub(super) fn note_waker(&self, waker: &Waker) {
        let mut mine = self.waker.borrow_mut();
        if !mine.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
