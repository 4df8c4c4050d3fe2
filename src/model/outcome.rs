//! What came of one attempt, as data: from the sender to `settle`, and from `settle` to the log.

use std::fmt;
use std::time::Duration;

use super::event::Seq;
use super::time::UnixMillis;

/// Bytes of a response body that are kept with the attempt (contract §2).
pub const EXCERPT_LEN_MAX: usize = 4096;
/// Bytes of response headers that are kept with the attempt.
pub const EXCERPT_HEADERS_LEN_MAX: usize = 2048;

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum Trigger {
    Event,
    Retry,
    Resend,
    Recover,
    Test,
}

impl Trigger {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Retry => "retry",
            Self::Resend => "resend",
            Self::Recover => "recover",
            Self::Test => "test",
        }
    }
}

/// The stage or answer that failed an attempt. Its text is a metric label and an API value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum ErrorKind {
    /// The name did not resolve.
    Dns,
    /// The egress rules forbid the address or the scheme.
    Egress,
    /// No connection: refused, unreachable.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The deadline ended before the response headers were there.
    Timeout,
    /// The connection ended under the request.
    Reset,
    /// Bytes that are not HTTP.
    Protocol,
    /// An answer other than 2xx and 410.
    Status,
    /// 410: the receiver wants no more.
    Gone,
}

impl ErrorKind {
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Egress,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Protocol,
        Self::Status,
        Self::Gone,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Egress => "egress",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt's reason; `message` is one line for people, with no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct AttemptError {
    pub kind: ErrorKind,
    pub message: String,
}

/// What is kept of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Captured {
    /// `name: value` lines, each ended by `\n`; at most [`EXCERPT_HEADERS_LEN_MAX`] bytes.
    pub headers: String,
    /// The first [`EXCERPT_LEN_MAX`] bytes at most, exactly as they came.
    pub body: Vec<u8>,
    /// The body was longer than what is kept, or did not end inside cap and deadline.
    pub truncated: bool,
}

/// What the sender reports of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Wall time at which the attempt began.
    pub started_at: UnixMillis,
    /// Until the response headers were there, or until it failed.
    pub duration: Duration,
    /// The response's status, where there was one.
    pub status: Option<u16>,
    /// Set exactly where the attempt failed (so: `None` means 2xx).
    pub error: Option<AttemptError>,
    /// `Retry-After` of a 429 or 503, already turned into a wait.
    pub retry_after: Option<Duration>,
    pub response: Option<Captured>,
}

/// What an attempt means for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Disposition {
    Delivered,
    /// Tried again at this time.
    Retry(UnixMillis),
    /// Lies among the dead letters.
    Dead,
}

/// One attempt as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Attempt {
    pub seq: Seq,
    /// 1, 2, 3…
    pub number: u16,
    pub trigger: Trigger,
    pub started_at: UnixMillis,
    pub duration_ms: u32,
    pub status: Option<u16>,
    pub error: Option<AttemptError>,
    pub response: Option<Captured>,
    pub disposition: Disposition,
    /// Bytes of the request's body.
    pub body_size: u32,
}

/// What a list shows of a delivery's newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    pub number: u16,
    pub started_at: UnixMillis,
    pub disposition: Disposition,
}

impl From<&Attempt> for LastAttempt {
    fn from(attempt: &Attempt) -> Self {
        Self { number: attempt.number, started_at: attempt.started_at, disposition: attempt.disposition }
    }
}
