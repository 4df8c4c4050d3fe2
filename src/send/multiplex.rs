//! The requests on a host's connections of HTTP/2: put on them side by side, answered, cancelled, and put
//! on another where a receiver surely did not process them.

use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;

use super::counts::CloseReason;
use super::h1::{BEFORE_HEAD_LEN_MAX, OVERHEAD_LEN_MAX};
use super::h2::{IDLE_LEN_MAX, cut_off, explain};
use super::host::{Connection, Host};
use super::job::{Answer, Flight};
use super::pool::{Place, Pool};
use super::streams::{Head, Stream, Streams};
use crate::model::{AttemptError, ErrorKind, Mono};

/// Interim answers (1xx) to one request at most.
const INTERIM_MAX: usize = 100;
/// How often a request that surely was not processed goes out again within its attempt.
const REFUSALS_MAX: u8 = 2;
/// The same of one that stood behind a GOAWAY. More, because those before it were taken: its turn comes.
const GOAWAYS_MAX: u8 = 5;

impl Connection {
    fn with_streams<T>(&self, act: impl FnOnce(&mut Streams) -> T) -> Option<T> {
        self.streams.borrow_mut().as_mut().map(act)
    }

    /// Why it takes no further request.
    fn error(&self) -> Option<h2::Error> {
        let cx = &mut Context::from_waker(Waker::noop());
        match self.with_streams(|streams| streams.send.poll_ready(cx)) {
            Some(Poll::Ready(Err(error))) => Some(error),
            Some(Poll::Ready(Ok(())) | Poll::Pending) | None => None,
        }
    }

    fn why_ended(&self) -> CloseReason {
        let failed = self.failure.borrow().as_ref().is_some_and(|it| it.kind != ErrorKind::Reset);
        match self.error() {
            Some(error) if error.is_go_away() && error.is_remote() => CloseReason::GoAway,
            Some(error) if failed || !error.is_io() => CloseReason::Error,
            Some(_) | None => CloseReason::Peer,
        }
    }

    /// Requests that it may carry at once.
    pub(super) fn limit(&self) -> usize {
        self.streams.borrow().as_ref().map_or(0, Streams::limit)
    }

    /// Whether one more request may be put on it.
    pub(super) fn has_room(&self) -> bool {
        !self.closed.get() && self.draining.get().is_none() && self.in_flight.get() < self.limit()
    }
}

impl Connection {
    fn refuse_more(self: &Rc<Self>, reason: CloseReason) {
        if self.draining.get().is_none() {
            self.draining.set(Some(reason));
            self.host.multiplexed.borrow_mut().retain(|other| !Rc::ptr_eq(other, self));
        }
    }
}

impl Pool {
    pub(super) fn opened_h2(self: &Rc<Self>, connection: &Rc<Connection>, send: SendRequest<Bytes>) {
        let now = self.note_opened(connection);
        *connection.streams.borrow_mut() = Some(Streams::new(send));
        connection.idle_since.set(now);
        let host = &connection.host;
        host.multiplexed.borrow_mut().push(connection.clone());
        self.note_capacity(host);
        self.fill(connection);
        self.open_wanted(host);
    }

    /// Puts waiting jobs on a connection for as long as it has room.
    fn fill(self: &Rc<Self>, connection: &Rc<Connection>) {
        while connection.has_room() {
            let Some(flight) = self.next_waiting(&connection.host) else { return };
            self.dispatch_h2(connection, flight);
        }
    }

    /// Lets a connection of HTTP/2 take no further request. Closes it if it carries none.
    pub(super) fn drain(self: &Rc<Self>, connection: &Rc<Connection>, reason: CloseReason) {
        connection.refuse_more(reason);
        if connection.in_flight.get() == 0 {
            self.close(connection, connection.draining.get().unwrap_or(reason));
        }
    }

    pub(super) fn dispatch_h2(self: &Rc<Self>, connection: &Rc<Connection>, mut flight: Flight) {
        flight.request = None;
        let job = &flight.job;
        let request = {
            let mut stamp = self.stamp.borrow_mut();
            stamp.set(job.started_at);
            flight.prepared.request_h2(&job.event, job.attempt, &mut stamp)
        };
        let body = job.event.body().clone();
        let sent = connection.with_streams(|streams| {
            let (response, mut sending) = streams.send.send_request(request, false)?;
            // The body is a slice of the event's: what the window does not let out yet takes no memory.
            sending.send_data(body, true)?;
            Ok::<_, h2::Error>(response)
        });
        let response = match sent {
            Some(Ok(response)) => response,
            Some(Err(error)) if error.is_go_away() || error.is_io() => {
                // Nothing of it has gone out.
                let host = connection.host.clone();
                self.drain(connection, connection.why_ended());
                self.resend(flight, GOAWAYS_MAX, || explain(connection, &error));
                self.requeue(&host);
                return self.serve_waiting(&host);
            }
            Some(Err(error)) => {
                let message = format!("the request cannot be sent over HTTP/2: {error}");
                let error = AttemptError { kind: ErrorKind::Protocol, message };
                return self.complete(flight.job.id, flight.job.failed(error, self.now()));
            }
            None => return debug_assert!(false, "a job was put on a connection that is not open"),
        };
        connection.read_budget.set(connection.read_budget.get().saturating_add(self.request_budget()));
        connection.in_flight.set(connection.in_flight.get() + 1);
        let requests = connection.requests.get() + 1;
        connection.requests.set(requests);
        if requests > 1 {
            self.count(|counts| counts.h2.reused += 1);
        }
        let id = flight.job.id;
        let (reads_before, writes_before) = (connection.reads.get(), connection.writes.get());
        let head = Head { flight, response, interim: 0, reads_before, writes_before };
        if let Some(place) = connection.with_streams(|streams| streams.put(head)) {
            self.jobs.borrow_mut().insert(id, Place::On(connection.clone(), place));
        }
        connection.wake();
        if requests >= self.options.requests_max {
            self.drain(connection, CloseReason::Requests);
        }
    }

    /// Bytes that may be read for one request. They are the connection's: which request a frame of control
    /// is for cannot be told.
    fn request_budget(&self) -> usize {
        BEFORE_HEAD_LEN_MAX + OVERHEAD_LEN_MAX + self.options.max_response_size
    }

    /// A request that surely was not processed goes out again within its attempt, so often at most. It is
    /// put aside for [`Self::requeue`].
    fn resend(&self, mut flight: Flight, max: u8, why: impl FnOnce() -> AttemptError) {
        flight.resends += 1;
        if flight.resends > max {
            self.complete(flight.job.id, flight.job.failed(why(), self.now()));
        } else {
            self.resending.borrow_mut().push(flight);
        }
    }

    /// Lets what was put aside wait before all others, in its order.
    fn requeue(&self, host: &Host) {
        let mut flights = self.resending.take();
        flights.sort_by_key(|flight| flight.job.started);
        for flight in flights.into_iter().rev() {
            host.waiting.borrow_mut().push_front(flight.job.id);
            self.jobs.borrow_mut().insert(flight.job.id, Place::Waiting(Box::new(flight)));
        }
    }

    /// Finds another connection for what waits.
    fn serve_waiting(self: &Rc<Self>, host: &Rc<Host>) {
        match host.with_room() {
            Some(connection) => self.fill(&connection),
            None => self.open_wanted(host),
        }
    }

    /// A connection that the receiver gave up before it carried anything: what waits may try another.
    pub(super) fn open_refused(self: &Rc<Self>, connection: &Rc<Connection>, error: &AttemptError) {
        if connection.closed.get() {
            return;
        }
        while let Some(flight) = self.next_waiting(&connection.host) {
            self.resend(flight, REFUSALS_MAX, || error.clone());
        }
        self.requeue(&connection.host);
        self.close(connection, CloseReason::GoAway);
    }

    /// Takes what has come as far as it goes. `ended`: nothing more will be read or written.
    pub(super) fn advance_h2(self: &Rc<Self>, connection: &Rc<Connection>, ended: bool) {
        let mut places = self.ready.take();
        places.clear();
        connection.with_streams(|streams| {
            if ended {
                places.extend(streams.taken());
            } else {
                streams.drain_ready(&mut places);
            }
        });
        if ended {
            // Before its requests look for another.
            connection.refuse_more(connection.why_ended());
        }
        let mut now = None;
        for place in places.drain(..) {
            self.advance_stream(connection, place, ended, &mut now);
        }
        self.ready.set(places);
        if !self.resending.borrow().is_empty() {
            self.requeue(&connection.host);
            self.serve_waiting(&connection.host);
        }
        if connection.closed.get() {
            return;
        }
        if ended {
            return self.close(connection, connection.draining.get().unwrap_or(CloseReason::Peer));
        }
        match connection.error() {
            Some(_) => self.drain(connection, connection.why_ended()),
            None => self.fill(connection),
        }
    }

    fn advance_stream(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        place: usize,
        ended: bool,
        seen_at: &mut Option<Mono>,
    ) {
        let Some(Some((mut stream, waker))) = connection.with_streams(|streams| streams.take(place)) else {
            return;
        };
        let cx = &mut Context::from_waker(&waker);
        loop {
            stream = match stream {
                Stream::Free => return,
                Stream::Head(mut head) => match poll_head(&mut head, cx) {
                    Poll::Pending if ended => {
                        return self.unanswered_h2(connection, place, head, &Unanswered::Ended);
                    }
                    Poll::Pending => {
                        connection.with_streams(|streams| streams.put_back(place, Stream::Head(head)));
                        return;
                    }
                    Poll::Ready(Ok(response)) => {
                        let (parts, body) = response.into_parts();
                        let now = *seen_at.get_or_insert_with(|| self.now());
                        let answer = Box::new(Answer::new(&parts, &head.flight.job, now));
                        Stream::Body { flight: head.flight, answer, body }
                    }
                    Poll::Ready(Err(unanswered)) => {
                        return self.unanswered_h2(connection, place, head, &unanswered);
                    }
                },
                Stream::Body { flight, mut answer, mut body } => {
                    let broken = match self.read_body_h2(&mut answer, &mut body, cx) {
                        Poll::Ready(broken) => broken,
                        Poll::Pending if ended => true,
                        Poll::Pending => {
                            let stream = Stream::Body { flight, answer, body };
                            connection.with_streams(|streams| streams.put_back(place, stream));
                            return;
                        }
                    };
                    self.complete(flight.job.id, answer.finish(&flight.job, broken));
                    drop(body);
                    return self.vacate(connection, place);
                }
            };
        }
    }

    /// Reads a body to its end. `true`: it is longer than what is read, or cut off.
    fn read_body_h2(
        &self,
        answer: &mut Answer,
        body: &mut h2::RecvStream,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        loop {
            match body.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(data))) => {
                    answer.excerpt.push(&data);
                    if answer.excerpt.len() > self.options.max_response_size {
                        return Poll::Ready(true);
                    }
                    // Refused only where the stream has ended, which the next poll tells.
                    let _ = body.flow_control().release_capacity(data.len());
                }
            }
        }
    }

    /// A request without an answer: it fails, or goes out again where it surely was not processed.
    fn unanswered_h2(
        self: &Rc<Self>,
        connection: &Rc<Connection>,
        place: usize,
        head: Head,
        unanswered: &Unanswered,
    ) {
        let again: Option<u8> = match unanswered {
            Unanswered::Failed(error) if error.is_remote() && error.is_go_away() => {
                // It stands behind the last request that the receiver has taken.
                connection.refuse_more(CloseReason::GoAway);
                Some(GOAWAYS_MAX)
            }
            Unanswered::Failed(error)
                if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) =>
            {
                let left = connection.in_flight.get().saturating_sub(1);
                connection.with_streams(|streams| streams.refused_above = left.min(streams.refused_above));
                if left == 0 {
                    connection.refuse_more(CloseReason::Refused);
                }
                Some(REFUSALS_MAX)
            }
            Unanswered::Failed(error) if !error.is_io() => None,
            // Nothing was written after it had been put on the connection.
            Unanswered::Failed(_) | Unanswered::Ended => {
                let reset = connection.failure.borrow().as_ref().is_none_or(|it| it.kind == ErrorKind::Reset);
                (reset && head.writes_before == connection.writes.get()).then_some(REFUSALS_MAX)
            }
            Unanswered::Interim => None,
        };
        let why = || match unanswered {
            Unanswered::Interim => AttemptError {
                kind: ErrorKind::Protocol,
                message: format!("the receiver sent more than {INTERIM_MAX} interim answers"),
            },
            Unanswered::Failed(error) => explain(connection, error),
            Unanswered::Ended => connection.failure.borrow().clone().unwrap_or_else(cut_off),
        };
        let Head { flight, .. } = head;
        if let Some(max) = again {
            self.vacate(connection, place);
            self.resend(flight, max, why);
        } else {
            self.complete(flight.job.id, flight.job.failed(why(), self.now()));
            self.vacate(connection, place);
        }
    }

    /// Cancels what is at a place: its stream is reset, the connection goes on. One on which nothing has
    /// come since the request was put on it is taken for dead.
    pub(super) fn cancel_h2(self: &Rc<Self>, connection: &Rc<Connection>, place: usize) -> Option<Stream> {
        let (stream, _) = connection.with_streams(|streams| streams.take(place))??;
        let silent = match &stream {
            Stream::Head(head) => head.reads_before == connection.reads.get(),
            Stream::Body { .. } | Stream::Free => false,
        };
        if silent {
            connection.refuse_more(CloseReason::Cancelled);
        }
        self.vacate(connection, place);
        // What waits may take the place.
        connection.wake();
        Some(stream)
    }

    /// A place whose request is done: its connection may be done as well, or rest. What waits is put on it
    /// by whoever polls it.
    fn vacate(self: &Rc<Self>, connection: &Rc<Connection>, place: usize) {
        connection.with_streams(|streams| streams.free(place));
        let left = connection.in_flight.get().saturating_sub(1);
        connection.in_flight.set(left);
        let budget = left.saturating_mul(self.request_budget()).saturating_add(IDLE_LEN_MAX);
        connection.read_budget.set(connection.read_budget.get().min(budget));
        if left > 0 {
            return;
        }
        if let Some(reason) = connection.draining.get() {
            return self.close(connection, reason);
        }
        connection.idle_since.set(self.now());
        if connection.host.waiting.borrow().is_empty() && !self.starved.borrow().is_empty() {
            self.close(connection, CloseReason::Evicted);
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    /// Too many interim answers.
    Interim,
    /// The connection ended without a word.
    Ended,
    Failed(h2::Error),
}

type Answered = Result<hyper::Response<h2::RecvStream>, Unanswered>;

fn poll_head(head: &mut Head, cx: &mut Context<'_>) -> Poll<Answered> {
    // Each interim answer is kept by h2 until it is taken.
    while let Poll::Ready(Some(Ok(_))) = head.response.poll_informational(cx) {
        head.interim += 1;
        if head.interim > INTERIM_MAX {
            return Poll::Ready(Err(Unanswered::Interim));
        }
    }
    Pin::new(&mut head.response).poll(cx).map_err(Unanswered::Failed)
}
