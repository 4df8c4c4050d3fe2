//! The life of a pool's connections: opened when jobs want them, given jobs, read, parked, closed.
//!
//! Bounds: per host and in total. At the total bound the connection that was idle for longest gives
//! way; where none is idle, hosts wait in line until one closes or becomes idle.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;

use super::counts::{CloseReason, ConnectionCounts, Protocol};
use super::h1::{BEFORE_HEAD_LEN_MAX, OVERHEAD_LEN_MAX, classify};
use super::host::{Connection, Host, ResponseFuture, State};
use super::job::{Answer, Flight};
use super::open;
use super::pool::{Place, Pool};
use super::request::Body;
use crate::model::{AttemptError, ErrorKind, Mono};

/// Requests at once to a host that speaks HTTP/2, however many its connections could carry.
const HOST_REQUESTS_MAX: usize = 1024;

/// How far a body has come.
enum Progress {
    Ended,
    /// Longer than what is read, or cut off.
    Broken,
    Pending,
}

impl Pool {
    pub(super) fn count(&self, change: impl FnOnce(&mut ConnectionCounts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// The newest idle connection to `host` that may be used, closing those that may not.
    pub(super) fn pop_idle(self: &Rc<Self>, host: &Host, now: Mono) -> Option<Rc<Connection>> {
        loop {
            let connection = host.idle.borrow_mut().pop()?;
            match self.worn_out(&connection, now) {
                None => return Some(connection),
                Some(reason) => self.close(&connection, reason),
            }
        }
    }

    /// Why an idle connection should take no further request.
    fn worn_out(&self, connection: &Connection, now: Mono) -> Option<CloseReason> {
        if !connection.is_ready() {
            Some(CloseReason::Peer)
        } else if now.since(connection.idle_since.get()) >= self.options.idle_timeout {
            Some(CloseReason::Idle)
        } else if now.since(connection.opened.get()) >= self.options.age_max {
            Some(CloseReason::Age)
        } else {
            None
        }
    }

    /// A connection that takes one more request now: of HTTP/2 the oldest with room, so that as few as
    /// possible are kept busy; of HTTP/1.1 the newest idle one.
    pub(super) fn pick(self: &Rc<Self>, host: &Host, now: Mono) -> Option<Rc<Connection>> {
        while let Some(connection) = host.with_room() {
            match self.outlived(&connection, now) {
                None => return Some(connection),
                Some(reason) => self.drain(&connection, reason),
            }
        }
        self.pop_idle(host, now)
    }

    /// Why a connection of HTTP/2 should take no further request.
    fn outlived(&self, connection: &Connection, now: Mono) -> Option<CloseReason> {
        let idle = connection.in_flight.get() == 0
            && now.since(connection.idle_since.get()) >= self.options.idle_timeout;
        let old = now.since(connection.opened.get()) >= self.options.age_max;
        if idle { Some(CloseReason::Idle) } else { old.then_some(CloseReason::Age) }
    }

    /// Opens as many connections as `host` has jobs for and the bounds leave.
    pub(super) fn open_wanted(self: &Rc<Self>, host: &Rc<Host>) {
        while host.wants_connection() && host.open.get() < host.max_connections {
            if self.connections.borrow().len() >= self.options.max_connections.max(1) && !self.evict() {
                if !host.starved.replace(true) {
                    self.starved.borrow_mut().push_back(host.clone());
                }
                return;
            }
            self.open(host);
        }
    }

    fn open(self: &Rc<Self>, host: &Rc<Host>) {
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let until = self.now() + self.options.connect_timeout;
        let connection = Rc::new(Connection::new(serial, host.clone(), until));
        host.open.set(host.open.get() + 1);
        host.opening.set(host.opening.get() + 1);
        self.connections.borrow_mut().insert(serial, connection.clone());
        self.opening.borrow_mut().insert((until, serial), connection.clone());
        monoio::spawn(open::run(self.clone(), connection));
    }

    /// Closes the connection that was idle for longest. `false` where none is idle.
    fn evict(self: &Rc<Self>) -> bool {
        let hosts = self.hosts.borrow();
        let evicted =
            hosts.values().filter_map(|host| host.longest_idle()).min_by_key(|c| c.idle_since.get());
        drop(hosts);
        evicted.map(|connection| self.close(&connection, CloseReason::Evicted)).is_some()
    }

    pub(super) fn opened(self: &Rc<Self>, connection: &Rc<Connection>, send: SendRequest<Body>) {
        let now = self.note_opened(connection);
        *connection.send.borrow_mut() = Some(send);
        self.note_capacity(&connection.host);
        match self.next_waiting(&connection.host) {
            Some(flight) => self.dispatch(connection, flight),
            None => Self::park(connection, now),
        }
        // Now that it is known that each takes one request at a time.
        self.open_wanted(&connection.host);
    }

    /// Books a connection that is open, with what it speaks.
    pub(super) fn note_opened(&self, connection: &Connection) -> Mono {
        self.leave_opening(connection);
        let protocol = connection.protocol.get();
        connection.host.protocol.set(Some(protocol));
        self.count(|counts| counts.of(protocol).opened += 1);
        let now = self.now();
        connection.opened.set(now);
        now
    }

    /// The job that waits for longest.
    pub(super) fn next_waiting(&self, host: &Host) -> Option<Flight> {
        loop {
            let first = host.waiting_new.borrow_mut().pop_front();
            let id = first.or_else(|| host.waiting.borrow_mut().pop_front())?;
            if let Some(flight) = self.take_waiting(id) {
                return Some(flight);
            }
        }
    }

    /// A connection that could not be opened: the job that waited for longest fails with it. Where one
    /// connection would have served all jobs, and there is no other, all of them do.
    pub(super) fn open_failed(self: &Rc<Self>, connection: &Rc<Connection>, error: &AttemptError) {
        if connection.closed.get() {
            return;
        }
        let host = &connection.host;
        let all = host.protocol.get() != Some(Protocol::H1) && host.open.get() == 1;
        let now = self.now();
        while let Some(flight) = self.next_waiting(host) {
            self.complete(flight.job.id, flight.job.failed(error.clone(), now));
            if !all {
                break;
            }
        }
        self.close(connection, CloseReason::Connect);
    }

    fn take_waiting(&self, id: u64) -> Option<Flight> {
        match self.jobs.borrow_mut().remove(&id) {
            Some(Place::Waiting(flight)) => Some(*flight),
            Some(Place::On(..)) | None => None,
        }
    }

    /// Puts a job on a connection that is ready for one.
    pub(super) fn dispatch(self: &Rc<Self>, connection: &Rc<Connection>, mut flight: Flight) {
        if connection.protocol.get() == Protocol::H2 {
            return self.dispatch_h2(connection, flight);
        }
        let job = &flight.job;
        let request = if let Some(request) = flight.request.take() {
            *request
        } else {
            let mut stamp = self.stamp.borrow_mut();
            stamp.set(job.started_at);
            flight.prepared.request(&job.event, job.attempt, &mut stamp)
        };
        let response: ResponseFuture = match connection.send.borrow_mut().as_mut() {
            Some(send) => Box::pin(send.try_send_request(request)),
            None => return debug_assert!(false, "a job was put on a connection that is not open"),
        };
        let requests = connection.requests.get() + 1;
        connection.requests.set(requests);
        if requests > 1 {
            self.count(|counts| counts.h1.reused += 1);
        }
        connection.read_budget.set(BEFORE_HEAD_LEN_MAX);
        self.jobs.borrow_mut().insert(flight.job.id, Place::On(connection.clone(), 0));
        *connection.state.borrow_mut() = State::Head { flight, response };
    }

    /// Takes the answer as far as it has come. `ended`: nothing more will be read or written.
    pub(super) fn advance(self: &Rc<Self>, connection: &Rc<Connection>, ended: bool) {
        let cx = &mut Context::from_waker(Waker::noop());
        // Head and end of an answer mostly come together: one look at the clock is enough for both.
        let mut seen_at = None;
        loop {
            let next = match connection.state.replace(State::Nothing) {
                State::Nothing => return,
                State::Idle if ended => return self.close(connection, CloseReason::Peer),
                State::Idle => State::Idle,
                State::Head { flight, mut response } => match response.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        let (head, body) = response.into_parts();
                        let budget = &connection.read_budget;
                        budget.set(budget.get() + OVERHEAD_LEN_MAX + self.options.max_response_size);
                        let now = *seen_at.insert(self.now());
                        let answer = Box::new(Answer::new(&head, &flight.job, now));
                        *connection.state.borrow_mut() = State::Body { flight, answer, body };
                        continue;
                    }
                    Poll::Ready(Err(error)) => return self.unanswered(connection, flight, error),
                    Poll::Pending => State::Head { flight, response },
                },
                State::Body { flight, mut answer, mut body } => {
                    let progress = match self.read_body(&mut answer, &mut body, cx) {
                        Progress::Pending if ended => Progress::Broken,
                        progress => progress,
                    };
                    match progress {
                        Progress::Pending => State::Body { flight, answer, body },
                        Progress::Ended => {
                            self.complete(flight.job.id, answer.finish(&flight.job, false));
                            let now = seen_at.unwrap_or_else(|| self.now());
                            return self.released(connection, ended, now);
                        }
                        Progress::Broken => {
                            self.complete(flight.job.id, answer.finish(&flight.job, true));
                            return self.close(connection, CloseReason::Error);
                        }
                    }
                }
            };
            *connection.state.borrow_mut() = next;
            return;
        }
    }

    fn read_body(&self, answer: &mut Answer, body: &mut Incoming, cx: &mut Context<'_>) -> Progress {
        loop {
            if body.is_end_stream() {
                return Progress::Ended;
            }
            match std::pin::Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => return Progress::Ended,
                Poll::Ready(Some(Err(_))) => return Progress::Broken,
                Poll::Ready(Some(Ok(frame))) => {
                    answer.excerpt.push(frame.data_ref().map_or(&[], |data| data));
                    if answer.excerpt.len() > self.options.max_response_size {
                        return Progress::Broken;
                    }
                }
                Poll::Pending => return Progress::Pending,
            }
        }
    }

    /// No answer: a request that surely was not sent goes out again on a new connection, once.
    fn unanswered(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        mut flight: Flight,
        mut error: TrySendError<Request<Body>>,
    ) {
        let unsent = error.take_message();
        let reason = if unsent.is_some() { CloseReason::Peer } else { CloseReason::Error };
        match unsent {
            Some(request) if connection.requests.get() > 1 => {
                let id = flight.job.id;
                flight.request = Some(Box::new(request));
                self.jobs.borrow_mut().insert(id, Place::Waiting(Box::new(flight)));
                connection.host.waiting_new.borrow_mut().push_back(id);
            }
            Some(_) => {
                let message = "the receiver closed the connection before the request was sent".to_owned();
                let error = AttemptError { kind: ErrorKind::Reset, message };
                self.complete(flight.job.id, flight.job.failed(error, self.now()));
            }
            None => {
                let error = classify(connection, error.error());
                self.complete(flight.job.id, flight.job.failed(error, self.now()));
            }
        }
        self.close(connection, reason);
    }

    /// A connection whose answer is complete: the next job, a rest, or the end.
    fn released(self: &Rc<Self>, connection: &Rc<Connection>, ended: bool, now: Mono) {
        if ended || !connection.is_ready() {
            return self.close(connection, CloseReason::Peer);
        }
        if now.since(connection.opened.get()) >= self.options.age_max {
            return self.close(connection, CloseReason::Age);
        }
        let id = connection.host.waiting.borrow_mut().pop_front();
        match id.and_then(|id| self.take_waiting(id)) {
            Some(flight) => self.dispatch(connection, flight),
            None if !self.starved.borrow().is_empty() => self.close(connection, CloseReason::Evicted),
            None => Self::park(connection, now),
        }
    }

    fn park(connection: &Rc<Connection>, now: Mono) {
        connection.idle_since.set(now);
        *connection.state.borrow_mut() = State::Idle;
        connection.host.idle.borrow_mut().push(connection.clone());
    }

    fn leave_opening(&self, connection: &Connection) {
        if let Some(until) = connection.opening_until.take() {
            self.opening.borrow_mut().remove(&(until, connection.serial));
            connection.host.opening.set(connection.host.opening.get() - 1);
        }
    }

    /// Takes a connection out of everything. Its task drops the socket when it runs next.
    pub(super) fn close(self: &Rc<Self>, connection: &Rc<Connection>, reason: CloseReason) {
        if connection.closed.replace(true) {
            return;
        }
        self.leave_opening(connection);
        self.count(|counts| counts.close(connection.protocol.get(), reason));
        let host = &connection.host;
        host.open.set(host.open.get() - 1);
        host.idle.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
        host.multiplexed.borrow_mut().retain(|other| !Rc::ptr_eq(other, connection));
        self.connections.borrow_mut().remove(&connection.serial);
        *connection.send.borrow_mut() = None;
        drop(connection.streams.take());
        connection.wake();
        self.open_wanted(host);
        while self.connections.borrow().len() < self.options.max_connections.max(1) {
            let Some(next) = self.starved.borrow_mut().pop_front() else { break };
            next.starved.set(false);
            self.open_wanted(&next);
        }
    }

    /// Closes what was idle for too long, and forgets hosts that nobody speaks of.
    pub(super) fn sweep(self: &Rc<Self>, now: Mono) {
        let idle: Vec<_> = self.hosts.borrow().values().flat_map(|host| host.resting()).collect();
        for connection in idle {
            let reason = match connection.protocol.get() {
                Protocol::H1 => self.worn_out(&connection, now),
                Protocol::H2 => self.outlived(&connection, now),
            };
            if let Some(reason) = reason {
                self.close(&connection, reason);
            }
        }
        self.hosts.borrow_mut().retain(|_, host| Rc::strong_count(host) > 1);
    }

    /// Notes how many requests a host's connections carry at once, where that has changed.
    pub(super) fn note_capacity(&self, host: &Host) {
        let each = match host.protocol.get() {
            None | Some(Protocol::H1) => 1,
            Some(Protocol::H2) => host.multiplexed.borrow().iter().map(|it| it.limit()).max().unwrap_or(1),
        };
        let all = host.max_connections.saturating_mul(each).min(HOST_REQUESTS_MAX.max(host.max_connections));
        let capacity = u32::try_from(all).unwrap_or(u32::MAX);
        if host.capacity.replace(capacity) != capacity {
            self.capacities.borrow_mut().push((host.authority.clone(), capacity));
            self.wake_owner();
        }
    }
}
