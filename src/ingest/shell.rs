//! What ingest needs from outside: its options, the log, metrics, and who may write over TCP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::admission::AdmissionLimits;
use super::answer::ProblemKind;
use super::rejection::Code;
use super::request::Limits;
use super::timed_io::Timeouts;
use crate::log::api::{Appended, Refused};
use crate::model::{AccountName, EventId, NewEvent, UnixMillis};

/// The log, as ingest sees it.
pub trait Append: Clone + Send + 'static {
    /// Takes all of `events` or none. Must not block. The answer comes after the fsync, one for each
    /// event in the order of the input.
    ///
    /// # Errors
    /// Nothing was taken.
    fn append(
        &self,
        events: Vec<NewEvent>,
    ) -> Result<oneshot::Receiver<Result<Vec<Appended>, Refused>>, Refused>;
}

/// What is counted. Both reasons are bounded sets, fit for labels.
pub trait IngestMetrics: Send + 'static {
    fn accepted(&self, events: usize);
    fn duplicate(&self, events: usize);
    /// One event.
    fn rejected(&self, reason: Code);
    /// One request, with whatever was in it.
    fn refused(&self, reason: ProblemKind);
}

/// What a token may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// There is no such token, or no longer.
    Unknown,
    /// The token has not the scope `events:write`.
    Forbidden,
    /// Events of any account.
    Everything,
    /// Events of this account.
    Only(AccountName),
}

/// Looks up a token. Called on the ingest thread: must not block.
pub type Authorize = Arc<dyn Fn(&str) -> Access + Send + Sync>;

/// What ingest works with.
pub struct Parts<A, M, T> {
    pub append: A,
    pub metrics: M,
    pub types: Arc<T>,
    pub authorize: Authorize,
}

/// How ingest is to behave.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    pub socket: PathBuf,
    /// Permission bits of the socket file.
    pub socket_mode: u32,
    /// TCP as well, with tokens.
    pub listen: Option<SocketAddr>,
    pub limits: Limits,
    /// What may wait for the log.
    pub waiting: AdmissionLimits,
    pub timeouts: Timeouts,
    /// Connections at a time, on the socket and over TCP each.
    pub connections_max: usize,
    /// Ids of events that come without one.
    pub new_id: fn() -> EventId,
    pub now: fn() -> UnixMillis,
}

/// Connections at a time unless told otherwise.
pub const CONNECTIONS_MAX: usize = 1024;
/// Events that wait for the log, at most, unless told otherwise.
pub const WAITING_EVENTS_MAX: usize = 65_536;
/// Bytes that wait for the log, at most, unless told otherwise.
pub const WAITING_BYTES_MAX: usize = 64 << 20;

impl IngestOptions {
    /// The contract's defaults.
    #[must_use]
    pub fn new(socket: PathBuf, new_id: fn() -> EventId, now: fn() -> UnixMillis) -> Self {
        Self {
            socket,
            socket_mode: 0o660,
            listen: None,
            limits: Limits { max_event_size: 256 << 10, max_batch: 1000, max_request_size: 16 << 20 },
            waiting: AdmissionLimits { events_max: WAITING_EVENTS_MAX, bytes_max: WAITING_BYTES_MAX },
            timeouts: Timeouts::default(),
            connections_max: CONNECTIONS_MAX,
            new_id,
            now,
        }
    }
}
