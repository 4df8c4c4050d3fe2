//! An attempt on its way: what the worker asks for, and the outcome as it comes together.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::response;

use super::outcome::{Excerpt, capture_headers, retry_after, verdict};
use super::redact::redact;
use super::request::{Body, Prepared};
use crate::model::{AttemptError, Captured, ErrorKind, Event, Mono, Outcome, Subscription, UnixMillis};

/// One attempt to make.
#[derive(Clone, Debug)]
pub struct Job {
    /// The worker's own number for it, unique among those that are not completed.
    pub id: u64,
    pub subscription: Arc<Subscription>,
    pub event: Arc<Event>,
    /// 1, 2, 3…
    pub attempt: u16,
    /// The machine's wall time: what `webhook-timestamp` says.
    pub started_at: UnixMillis,
    pub started: Mono,
}

impl Job {
    /// The outcome of an attempt that got no answer.
    pub(super) fn failed(&self, error: AttemptError, now: Mono) -> Outcome {
        Outcome {
            started_at: self.started_at,
            duration: now.since(self.started),
            status: None,
            error: Some(error),
            retry_after: None,
            response: None,
        }
    }
}

/// Why a job is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// Its deadline is over.
    Timeout,
    /// The engine stops, or nobody wants the outcome any more.
    Stopping,
}

/// A job with what is prepared for it.
pub(super) struct Flight {
    pub(super) job: Job,
    pub(super) prepared: Rc<Prepared>,
    /// Given back by a connection that had ended before it was sent.
    pub(super) request: Option<Box<Request<Body>>>,
    /// How often it went out again because it surely had not been processed.
    pub(super) resends: u8,
}

/// An answer whose headers are there: the verdict stands, only the excerpt is missing.
pub(super) struct Answer {
    status: u16,
    duration: Duration,
    error: Option<AttemptError>,
    retry_after: Option<Duration>,
    headers: String,
    pub(super) excerpt: Excerpt,
}

impl Answer {
    pub(super) fn new(head: &response::Parts, job: &Job, now: Mono) -> Self {
        let status = head.status.as_u16();
        let duration = now.since(job.started);
        let asked = head.headers.get(RETRY_AFTER).map(HeaderValue::as_bytes);
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Self {
            status,
            duration,
            error: verdict(status),
            retry_after: retry_after(status, asked, job.started_at + duration),
            headers: capture_headers(headers),
            excerpt: Excerpt::default(),
        }
    }

    /// The outcome. `broken`: the body did not end inside cap and deadline.
    pub(super) fn finish(self, job: &Job, broken: bool) -> Outcome {
        let (body, more) = self.excerpt.finish();
        let mut response = Captured { headers: self.headers, body, truncated: more || broken };
        redact(&mut response, &job.subscription.headers);
        Outcome {
            started_at: job.started_at,
            duration: self.duration,
            status: Some(self.status),
            error: self.error,
            retry_after: self.retry_after,
            response: Some(response),
        }
    }
}

/// The error of a job that was cancelled before its answer's headers were there.
pub(super) fn cancelled(why: CancelReason, stage: &str, after: Duration) -> AttemptError {
    match why {
        CancelReason::Timeout => AttemptError {
            kind: ErrorKind::Timeout,
            message: format!("no answer within {} ms; was {stage}", after.as_millis()),
        },
        CancelReason::Stopping => AttemptError {
            kind: ErrorKind::Reset,
            message: format!("given up because the engine stops; was {stage}"),
        },
    }
}
