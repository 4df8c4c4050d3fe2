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

use super::job::{Answer, Flight};
use super::request::Body;
use crate::model::{AttemptError, Authority, Mono};

/// Connections to one scheme, host and port, and jobs that wait for one.
pub(super) struct Host {
    pub(super) authority: Authority,
    /// `None` for plain http.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Oldest first: the newest is used first, so that the others may age out.
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
    pub(super) fn new(authority: Authority, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            authority,
            tls,
            idle: RefCell::default(),
            waiting: RefCell::default(),
            waiting_new: RefCell::default(),
            open: Cell::new(0),
            opening: Cell::new(0),
            starved: Cell::new(false),
            stage: Cell::new(Stage::Resolving),
        }
    }

    /// Whether there are more jobs without a connection than connections on their way.
    pub(super) fn wants_connection(&self) -> bool {
        self.opening.get() < self.waiting.borrow().len() + self.waiting_new.borrow().len()
    }

    /// What a job that waits here is waiting for, in words.
    pub(super) fn stage_text(&self) -> &'static str {
        match (self.opening.get(), self.stage.get()) {
            (0, _) => "waiting for a free connection",
            (_, Stage::Resolving) => "resolving the host's name",
            (_, Stage::Connecting) => "connecting",
            (_, Stage::Securing) => "in the TLS handshake",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Resolving,
    Connecting,
    Securing,
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
    pub(super) requests: Cell<u32>,
    /// Bytes that may still be read for the present answer.
    pub(super) read_budget: Cell<usize>,
    /// Why the socket failed, if it has.
    pub(super) failure: RefCell<Option<AttemptError>>,
    pub(super) closed: Cell<bool>,
    pub(super) state: RefCell<State>,
    pub(super) send: RefCell<Option<SendRequest<Body>>>,
    /// Of the task that drives the connection.
    pub(super) waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(serial: u64, host: Rc<Host>, opening_until: Mono) -> Self {
        Self {
            serial,
            host,
            opened: Cell::default(),
            idle_since: Cell::default(),
            opening_until: Cell::new(Some(opening_until)),
            requests: Cell::new(0),
            // One byte is enough to see that an idle connection was closed, or is being abused.
            read_budget: Cell::new(1),
            failure: RefCell::default(),
            closed: Cell::new(false),
            state: RefCell::new(State::Nothing),
            send: RefCell::default(),
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

/// Why a connection was closed. Its text is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It could not be opened.
    Connect,
    /// The receiver closed it, or allows no further request on it.
    Peer,
    /// It was idle for too long.
    Idle,
    /// It was open for too long.
    Age,
    /// It was idle and gave way to another host's.
    Evicted,
    /// Its request was cancelled.
    Cancelled,
    /// Its answer was broken, or longer than what is read.
    Error,
    /// The sender is gone.
    Shutdown,
}

impl CloseReason {
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Peer,
        Self::Idle,
        Self::Age,
        Self::Evicted,
        Self::Cancelled,
        Self::Error,
        Self::Shutdown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Peer => "peer",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Evicted => "evicted",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What a sender's connections did, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now, with those that are being opened.
    pub open: usize,
    /// Opened since the start.
    pub opened: u64,
    /// Requests on a connection that had served another before.
    pub reused: u64,
    /// Closed since the start, in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

impl ConnectionCounts {
    pub(super) fn close(&mut self, reason: CloseReason) {
        for (count, this) in self.closed.iter_mut().zip(CloseReason::ALL) {
            *count += u64::from(this == reason);
        }
    }

    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed.iter().zip(CloseReason::ALL).find(|(_, this)| *this == reason).map_or(0, |(n, _)| *n)
    }
}
