//! A worker's sender: which connection takes which job.
//!
//! One task per connection (`h1`), none per delivery: a job is put on an idle connection at once, and
//! otherwise waits at its host until one is free or newly opened. Everything is on one thread; the
//! worker's loop starts jobs, cancels those whose deadline is over, calls [`Sender::tick`], and drains
//! completions. Deliberately absent: timers of the runtime, which fire only when nothing else runs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::counts::{CloseReason, ConnectionCounts, Protocol};
use super::dial::Dialer;
use super::dns::ResolverHandle;
use super::host::{Connection, Host, Stage, State};
use super::job::{self, Answer, CancelReason, Flight, Job};
use super::proxy::Proxy;
use super::request::{Prepared, PreparedCache, Stamp};
use super::socket::SCRATCH_LEN;
use super::streams::Stream;
use super::target::Egress;
use super::tls::{Tls, Trust};
use crate::model::{
    AttemptError, Authority, ClientIdentity, ErrorKind, HostRules, Mono, Outcome, Subscription,
};

/// How often idle connections are looked through.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);

/// How a worker sends.
#[derive(Clone, Debug)]
pub struct SendOptions {
    pub egress: Egress,
    /// What everything goes through.
    pub proxy: Option<Arc<Proxy>>,
    pub trust: Trust,
    /// Over resolving, connecting and the TLS handshake.
    pub connect_timeout: Duration,
    /// Bytes of a response's body that are read at most.
    pub max_response_size: usize,
    pub max_connections_per_host: usize,
    /// What holds for single hosts instead.
    pub host_rules: Arc<HostRules>,
    /// Of this worker, to all hosts. At the bound idle connections give way, then jobs wait.
    pub max_connections: usize,
    /// An idle connection is closed after this long (and at most 5 s more).
    pub idle_timeout: Duration,
    /// A connection takes no further request after this long.
    pub age_max: Duration,
    /// The same after this many, while streams of HTTP/2 have numbers left.
    pub requests_max: u32,
    pub clock: fn() -> Mono,
}

impl SendOptions {
    /// The defaults of the contract, §2.
    #[must_use]
    pub fn new(clock: fn() -> Mono) -> Self {
        Self {
            egress: Egress::default(),
            proxy: None,
            trust: Trust::built_in(),
            connect_timeout: Duration::from_secs(5),
            max_response_size: 64 * 1024,
            max_connections_per_host: 32,
            host_rules: Arc::default(),
            max_connections: 16 * 1024,
            idle_timeout: Duration::from_secs(60),
            age_max: Duration::from_secs(600),
            requests_max: 1 << 24,
            clock,
        }
    }
}

/// Sends one worker's attempts. Needs the monoio runtime of that worker.
///
/// The worker's loop, each time it runs: [`Self::drain_completions`], [`Self::start`] what is due,
/// [`Self::cancel`] what is over its deadline, [`Self::tick`]; then it sleeps until its waker is woken
/// or the time that `tick` told has come. Dropping it closes all connections; jobs that were in
/// flight then have no outcome.
pub struct Sender(Rc<Pool>);

impl Sender {
    #[must_use]
    pub fn new(options: SendOptions, resolver: ResolverHandle) -> Self {
        Self(Rc::new(Pool {
            dialer: Dialer::new(options.egress.clone(), options.proxy.clone(), resolver, options.clock),
            tls: Tls::new(options.trust.clone()),
            options,
            scratch: Rc::new(RefCell::new(vec![0; SCRATCH_LEN])),
            stamp: RefCell::new(Stamp::new()),
            prepared: RefCell::default(),
            hosts: RefCell::default(),
            jobs: RefCell::default(),
            connections: RefCell::default(),
            opening: RefCell::default(),
            starved: RefCell::default(),
            next_serial: Cell::new(0),
            next_sweep: Cell::new(Mono(0)),
            completions: RefCell::default(),
            capacities: RefCell::default(),
            resending: RefCell::default(),
            ready: Cell::default(),
            waker: RefCell::default(),
            counts: Cell::default(),
        }))
    }

    /// Makes an attempt. Never blocks; its outcome comes among the completions, perhaps at once.
    pub fn start(&self, job: Job) {
        self.0.start(job);
    }

    /// Ends a job now. It completes with [`ErrorKind::Timeout`] (or, where the engine stops, with
    /// [`ErrorKind::Reset`]), whatever it was waiting for; but where the headers of its answer are
    /// there, they decide. Nothing happens where it has completed already.
    pub fn cancel(&self, id: u64, why: CancelReason) {
        self.0.cancel(id, why);
    }

    /// Appends what has completed.
    pub fn drain_completions(&self, into: &mut Vec<(u64, Outcome)>) {
        into.append(&mut self.0.completions.borrow_mut());
    }

    /// Takes the hosts whose connections now carry another number of requests at once than before, each
    /// with that number. Before it is among them a host's is its bound of connections.
    pub fn drain_capacities(&self) -> impl Iterator<Item = (Authority, u32)> + use<> {
        self.0.capacities.take().into_iter()
    }

    /// Whom to wake when there are completions to drain: once, until they are drained.
    pub fn set_waker(&self, waker: &Waker) {
        let mut mine = self.0.waker.borrow_mut();
        if !mine.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
    }

    /// Gives up attempts to connect that take too long and closes what was idle for too long. To be
    /// called each time the loop runs (it costs next to nothing); tells when it wants to be called again.
    pub fn tick(&self, now: Mono) -> Option<Mono> {
        self.0.tick(now)
    }

    /// Jobs that have not completed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.jobs.borrow().len()
    }

    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        ConnectionCounts { open: self.0.connections.borrow().len(), ..self.0.counts.get() }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        for host in self.0.hosts.borrow().values() {
            host.waiting.borrow_mut().clear();
            host.waiting_new.borrow_mut().clear();
        }
        self.0.starved.borrow_mut().clear();
        let all: Vec<_> = self.0.connections.borrow().values().cloned().collect();
        for connection in all {
            self.0.close(&connection, CloseReason::Shutdown);
        }
        self.0.jobs.borrow_mut().clear();
    }
}

/// What may share connections.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct HostKey {
    authority: Authority,
    identity: Option<Arc<ClientIdentity>>,
}

/// Where a job is.
pub(super) enum Place {
    /// At its host, in one of the two queues.
    Waiting(Box<Flight>),
    /// With its place among the streams, which HTTP/1.1 has not.
    On(Rc<Connection>, usize),
}

/// The state behind a [`Sender`], shared with the tasks of its connections.
pub(super) struct Pool {
    pub(super) options: SendOptions,
    pub(super) dialer: Dialer,
    tls: Tls,
    pub(super) scratch: Rc<RefCell<Vec<u8>>>,
    pub(super) stamp: RefCell<Stamp>,
    prepared: RefCell<PreparedCache>,
    /// Those that have a connection, a waiting job, or a prepared subscription.
    pub(super) hosts: RefCell<HashMap<HostKey, Rc<Host>>>,
    pub(super) jobs: RefCell<HashMap<u64, Place, FixedState>>,
    /// Open or being opened, by serial.
    pub(super) connections: RefCell<HashMap<u64, Rc<Connection>, FixedState>>,
    /// Those being opened, by the time at which that is given up.
    pub(super) opening: RefCell<BTreeMap<(Mono, u64), Rc<Connection>>>,
    /// Hosts that wait for room under `max_connections`, each once.
    pub(super) starved: RefCell<VecDeque<Rc<Host>>>,
    pub(super) next_serial: Cell<u64>,
    pub(super) next_sweep: Cell<Mono>,
    completions: RefCell<Vec<(u64, Outcome)>>,
    /// Hosts whose capacity has changed, until it is asked for.
    pub(super) capacities: RefCell<Vec<(Authority, u32)>>,
    /// Jobs whose request goes out again, until what a connection has brought is all seen.
    pub(super) resending: RefCell<Vec<Flight>>,
    /// Reused by connections of HTTP/2 for the places that have something to read.
    pub(super) ready: Cell<Vec<usize>>,
    waker: RefCell<Option<Waker>>,
    pub(super) counts: Cell<ConnectionCounts>,
}

impl Pool {
    pub(super) fn now(&self) -> Mono {
        (self.options.clock)()
    }

    fn start(self: &Rc<Self>, job: Job) {
        debug_assert!(!self.jobs.borrow().contains_key(&job.id), "job {} was started twice", job.id);
        let prepared = match self.prepare(&job.subscription) {
            Ok(prepared) => prepared,
            Err(error) => return self.complete(job.id, job.failed(error, job.started)),
        };
        let host = prepared.host.clone();
        let flight = Flight { job, prepared, request: None, resends: 0 };
        if let Some(connection) = self.pick(&host, flight.job.started) {
            return self.dispatch(&connection, flight);
        }
        host.waiting.borrow_mut().push_back(flight.job.id);
        self.jobs.borrow_mut().insert(flight.job.id, Place::Waiting(Box::new(flight)));
        self.open_wanted(&host);
    }

    fn prepare(&self, subscription: &Subscription) -> Result<Rc<Prepared>, AttemptError> {
        self.prepared.borrow_mut().get(subscription, || {
            let authority = subscription.callback_url.authority();
            self.options.egress.check_scheme(authority.tls).map_err(|forbidden| AttemptError {
                kind: ErrorKind::Egress,
                message: forbidden.to_string(),
            })?;
            Prepared::new(subscription, self.host(authority, subscription.client_identity.as_ref())?)
        })
    }

    /// The connections to a host. A client certificate has connections of its own.
    fn host(
        &self,
        authority: &Authority,
        identity: Option<&Arc<ClientIdentity>>,
    ) -> Result<Rc<Host>, AttemptError> {
        let rule = self.options.host_rules.of(authority);
        let identity = identity.or(rule.identity.as_ref()).filter(|_| authority.tls).cloned();
        let key = HostKey { authority: authority.clone(), identity };
        if let Some(host) = self.hosts.borrow().get(&key) {
            return Ok(host.clone());
        }
        let tls = if authority.tls {
            let config = self
                .tls
                .config(key.identity.as_deref())
                .map_err(|error| AttemptError { kind: ErrorKind::Tls, message: error.to_string() })?;
            Some(config)
        } else {
            None
        };
        let own = rule.max_connections.and_then(|max| usize::try_from(max).ok());
        let max_connections = own.unwrap_or(self.options.max_connections_per_host).max(1);
        let host = Rc::new(Host::new(authority.clone(), tls, rule.http2, max_connections));
        self.hosts.borrow_mut().insert(key, host.clone());
        Ok(host)
    }

    fn cancel(self: &Rc<Self>, id: u64, why: CancelReason) {
        let Some(place) = self.jobs.borrow_mut().remove(&id) else { return };
        let now = self.now();
        match place {
            Place::Waiting(flight) => {
                let host = &flight.prepared.host;
                let after = now.since(flight.job.started);
                let error = job::cancelled(why, host.stage_text(), after);
                remove(&mut host.waiting.borrow_mut(), id);
                remove(&mut host.waiting_new.borrow_mut(), id);
                self.complete(id, flight.job.failed(error, now));
            }
            Place::On(connection, place) if connection.protocol.get() == Protocol::H2 => {
                let (flight, answer) = match self.cancel_h2(&connection, place) {
                    Some(Stream::Head(head)) => (head.flight, None),
                    Some(Stream::Body { flight, answer, .. }) => (flight, Some(answer)),
                    Some(Stream::Free) | None => return,
                };
                self.complete(id, cancelled(&flight.job, answer, why, now));
            }
            Place::On(connection, _) => {
                let (flight, answer) = match connection.state.replace(State::Nothing) {
                    State::Head { flight, .. } => (flight, None),
                    State::Body { flight, answer, .. } => (flight, Some(answer)),
                    State::Nothing | State::Idle => return,
                };
                self.complete(id, cancelled(&flight.job, answer, why, now));
                self.close(&connection, CloseReason::Cancelled);
            }
        }
    }

    pub(super) fn complete(&self, id: u64, outcome: Outcome) {
        self.jobs.borrow_mut().remove(&id);
        let mut completions = self.completions.borrow_mut();
        completions.push((id, outcome));
        if completions.len() == 1 {
            self.wake_owner();
        }
    }

    /// Wakes the worker's loop.
    pub(super) fn wake_owner(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn tick(self: &Rc<Self>, now: Mono) -> Option<Mono> {
        self.dialer.tick(now);
        loop {
            let late = self.opening.borrow().first_key_value().map(|((until, _), c)| (*until, c.clone()));
            let Some((_, connection)) = late.filter(|(until, _)| *until <= now) else { break };
            let within = format!("within {} ms", self.options.connect_timeout.as_millis());
            let authority = &connection.host.authority;
            let error = match connection.host.stage.get() {
                Stage::Resolving => AttemptError {
                    kind: ErrorKind::Dns,
                    message: format!("cannot resolve {} {within}", authority.host),
                },
                Stage::Connecting => AttemptError {
                    kind: ErrorKind::Connect,
                    message: format!(
                        "cannot connect to {authority} {within}{}",
                        self.dialer.trouble(authority)
                    ),
                },
                Stage::Securing => AttemptError {
                    kind: ErrorKind::Tls,
                    message: format!("{authority} did not end the TLS handshake {within}"),
                },
                Stage::Greeting if connection.reads.get() > 0 => AttemptError {
                    kind: ErrorKind::Protocol,
                    message: format!("{authority} did not begin with HTTP/2 settings {within}"),
                },
                Stage::Greeting => AttemptError {
                    kind: ErrorKind::Timeout,
                    message: format!("{authority} did not send its HTTP/2 settings {within}"),
                },
                Stage::Admission => AttemptError {
                    kind: ErrorKind::Timeout,
                    message: format!("{authority} did not allow a request {within}"),
                },
            };
            self.open_failed(&connection, &error);
        }
        if self.next_sweep.get() <= now {
            self.sweep(now);
            self.next_sweep.set(now + SWEEP_PERIOD);
        }
        let until = self.opening.borrow().first_key_value().map(|((until, _), _)| *until);
        let sweep = (!self.connections.borrow().is_empty()).then(|| self.next_sweep.get());
        until.into_iter().chain(sweep).min()
    }
}

/// The outcome of a job that is ended now: the headers of its answer decide, if they are there.
fn cancelled(job: &Job, answer: Option<Box<Answer>>, why: CancelReason, now: Mono) -> Outcome {
    match answer {
        Some(answer) => answer.finish(job, true),
        None => job.failed(job::cancelled(why, "waiting for the answer", now.since(job.started)), now),
    }
}

/// Takes `id` out of a queue. What is cancelled is mostly the oldest, so it is found early.
fn remove(queue: &mut VecDeque<u64>, id: u64) {
    if let Some(at) = queue.iter().position(|other| *other == id) {
        queue.remove(at);
    }
}
