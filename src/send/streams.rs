//! The requests on one connection of HTTP/2: a place for each, and which of them have something to read.
//!
//! A place has a waker of its own, made once, that puts its number on a list; so a connection with a
//! hundred requests looks only at those whose frames came.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};

use super::job::{Answer, Flight};

/// Streams on one connection at most, however many the receiver allows.
pub(super) const STREAMS_MAX: usize = 128;

/// A request's body on its way out: a slice of the event's, and the knowledge that h2 still has it.
pub(super) struct Upload {
    bytes: Bytes,
    _held: Rc<()>,
}

/// This side's end of a stream.
pub(super) struct Sending {
    stream: SendStream<Upload>,
    held: Rc<()>,
}

impl Buf for Upload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, by: usize) {
        self.bytes.advance(by);
    }
}

impl Sending {
    /// Gives a stream its body. What the window does not let out yet takes no memory of its own.
    pub(super) fn new(mut stream: SendStream<Upload>, bytes: Bytes) -> Result<Self, h2::Error> {
        let held = Rc::new(());
        stream.send_data(Upload { bytes, _held: held.clone() }, true)?;
        Ok(Self { stream, held })
    }

    /// The answer is complete. Where the receiver has not taken the whole request by then, the rest is not
    /// kept for it: h2 does not do that by itself once both sides have said their last word (RFC 9113
    /// §8.1 lets an answer come early).
    pub(super) fn end(&mut self) {
        if Rc::strong_count(&self.held) > 1 {
            self.stream.send_reset(h2::Reason::CANCEL);
        }
    }
}

/// What a place is doing. Dropping a request that has not ended resets its stream.
pub(super) enum Stream {
    Free,
    /// The request is out, the headers of the answer are not yet there.
    Head(Head),
    /// The headers are there.
    Body {
        flight: Flight,
        answer: Box<Answer>,
        body: RecvStream,
        sending: Sending,
    },
}

pub(super) struct Head {
    pub(super) flight: Flight,
    pub(super) response: ResponseFuture,
    pub(super) sending: Sending,
    /// Interim answers (1xx) that came.
    pub(super) interim: usize,
    /// How often something had been read from the connection when the request was put on it.
    pub(super) reads_before: u64,
    /// The same of writing.
    pub(super) writes_before: u64,
}

struct Place {
    stream: Stream,
    wake: Arc<PlaceWake>,
    waker: Waker,
}

pub(super) struct Streams {
    pub(super) send: SendRequest<Upload>,
    /// What the receiver has shown to bear, where that is less than it said.
    pub(super) refused_above: usize,
    places: Vec<Place>,
    free: Vec<usize>,
    ready: Arc<Ready>,
}

impl Streams {
    pub(super) fn new(send: SendRequest<Upload>) -> Self {
        Self { send, refused_above: STREAMS_MAX, places: Vec::new(), free: Vec::new(), ready: Arc::default() }
    }

    /// Requests that may be on the connection at once.
    pub(super) fn limit(&self) -> usize {
        self.send.current_max_send_streams().min(STREAMS_MAX).min(self.refused_above)
    }

    /// A place for one more request, which is looked at when the connection is polled next.
    pub(super) fn put(&mut self, head: Head) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            let number = self.places.len();
            let wake =
                Arc::new(PlaceWake { number, listed: AtomicBool::new(false), ready: self.ready.clone() });
            self.places.push(Place { stream: Stream::Free, waker: wake.clone().into(), wake });
            number
        });
        if let Some(place) = self.places.get_mut(number) {
            place.stream = Stream::Head(head);
            // The first look leaves the waker in the stream.
            place.waker.wake_by_ref();
        }
        number
    }

    /// Takes what a place holds, to look at it or for good, with the waker to look with.
    pub(super) fn take(&mut self, number: usize) -> Option<(Stream, Waker)> {
        let place = self.places.get_mut(number)?;
        match std::mem::replace(&mut place.stream, Stream::Free) {
            Stream::Free => None,
            stream => Some((stream, place.waker.clone())),
        }
    }

    /// Puts back what was taken to look at it.
    pub(super) fn put_back(&mut self, number: usize, stream: Stream) {
        if let Some(place) = self.places.get_mut(number) {
            place.stream = stream;
        }
    }

    /// Gives a place up whose request was taken for good.
    pub(super) fn free(&mut self, number: usize) {
        self.free.push(number);
    }

    /// Appends the places that have something to read, and forgets them.
    pub(super) fn drain_ready(&mut self, into: &mut Vec<usize>) {
        let mut list = self.ready.list();
        into.append(&mut list);
        drop(list);
        for place in into.iter().filter_map(|number| self.places.get(*number)) {
            place.wake.listed.store(false, Ordering::Relaxed);
        }
    }

    /// All places that hold a request.
    pub(super) fn taken(&self) -> Vec<usize> {
        let taken = |place: &&Place| !matches!(place.stream, Stream::Free);
        self.places.iter().filter(taken).map(|place| place.wake.number).collect()
    }
}

#[derive(Default)]
struct Ready(Mutex<Vec<usize>>);

impl Ready {
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        // A list of numbers is whole after every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes nobody: frames come in while the connection's own task polls, and it looks at the list after.
struct PlaceWake {
    number: usize,
    listed: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for PlaceWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::Relaxed) {
            self.ready.list().push(self.number);
        }
    }
}
