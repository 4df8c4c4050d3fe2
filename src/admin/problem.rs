//! Errors as RFC 9457 problem bodies, each with a stable `code`.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::ports::{JobError, QueryError, ReplayError};
use crate::model::Refused;
use crate::registry::{ChangeError, FieldError};

/// An answer that says what is wrong.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    hint: Hint,
}

/// What a client is told in a header as well.
#[derive(Clone, Copy, Debug)]
enum Hint {
    None,
    /// How to authenticate.
    Challenge,
    /// After how many seconds to try again.
    RetryAfter(u64),
}

impl Hint {
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::None => None,
            Self::Challenge => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"postrider\"")))
            }
            Self::RetryAfter(secs) => Some((RETRY_AFTER, HeaderValue::from(secs))),
        }
    }
}

#[derive(Serialize)]
struct Body<'p> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'p str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'p [FieldError],
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), hint: Hint::None }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
    }

    pub fn method_not_allowed() -> Self {
        let detail = "this path does not know the method; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub fn unauthorized(detail: &str) -> Self {
        Self { hint: Hint::Challenge, ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail) }
    }

    pub fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long")
    }

    /// Too much at present: to be tried again soon.
    pub fn busy(status: StatusCode, code: &'static str, detail: &str) -> Self {
        Self { hint: Hint::RetryAfter(5), ..Self::new(status, code, detail) }
    }

    /// Too much of one client.
    pub fn rate_limited(wait: Duration) -> Self {
        let detail = "too many requests; see the Retry-After header";
        // A part of a second is a whole one: this header knows no other.
        let secs = wait.as_millis().div_ceil(1000).max(1);
        let hint = Hint::RetryAfter(u64::try_from(secs).unwrap_or(u64::MAX));
        Self { hint, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail) }
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are not valid", many.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", detail) }
    }

    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, message)])
    }

    pub fn internal(detail: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (code, secs) = match refused {
            Refused::QueueFull => ("queue_full", 1),
            Refused::DiskReserve => ("disk_reserve", 30),
            Refused::Store(_) => ("store_unavailable", 5),
            Refused::Stopping => ("stopping", 5),
        };
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, refused.to_string());
        Self { hint: Hint::RetryAfter(secs), ..problem }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Refused(refused) => refused.into(),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let detail = error.to_string();
        match error {
            JobError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "too_many_jobs", detail),
            JobError::Refused(refused) => refused.into(),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Busy => {
                let detail = "too much is being sent by hand; try again in a moment";
                Self::busy(StatusCode::SERVICE_UNAVAILABLE, "replays_busy", detail)
            }
            ReplayError::Stopping => Refused::Stopping.into(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::NotFound => Self::not_found(),
            ChangeError::VersionMismatch { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", detail)
            }
            ChangeError::Invalid(errors) => Self::invalid(errors),
            ChangeError::TooManySubscriptions { .. } => {
                Self::new(StatusCode::CONFLICT, "too_many_subscriptions", detail)
            }
            ChangeError::TooManyTokens { .. } => Self::new(StatusCode::CONFLICT, "too_many_tokens", detail),
            ChangeError::Answered => Self::new(StatusCode::CONFLICT, "idempotency_in_progress", detail),
            ChangeError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, "registry_full", detail),
            ChangeError::Store(refused) => refused.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.errors,
        };
        // These plain fields always become JSON; were they not to, the status still says what matters.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.hint.header());
        (self.status, headers, body).into_response()
    }
}
