//! What the admin port needs of the rest of the engine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::{
    AccountKey, Attempt, Event, EventId, EventMask, Refused, Rollup, Seq, SubscriptionKey, UnixMillis,
};
use crate::registry::{Change, ChangeError, Changed};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes durable changes. Bounded: refuses with `QueueFull` where too many wait.
pub trait Changes: Send + Sync + 'static {
    /// Resolves when the change is durable and the registry shows it.
    fn change(&self, change: Change) -> BoxFuture<'_, Result<Changed, ChangeError>>;
}

/// Why the log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Part of an account's events, newest first.
#[derive(Clone, Debug)]
pub struct EventsQuery {
    pub account: AccountKey,
    /// Only events below this; `None`: from the newest.
    pub below: Option<Seq>,
    /// Only these types.
    pub types: EventMask,
    /// Accepted at or after.
    pub since: Option<UnixMillis>,
    /// Accepted before.
    pub until: Option<UnixMillis>,
    /// Events at most in the page.
    pub limit: usize,
    /// Entries of the account's index looked at, at most; a page may be short for it.
    pub scan_max: usize,
}

#[derive(Clone, Debug, Default)]
pub struct EventsPage {
    pub events: Vec<Arc<Event>>,
    /// `below` of the next page; `None` where nothing older is left that could match.
    pub next: Option<Seq>,
}

/// Reads the log. All of it blocks and is called on a blocking pool.
pub trait Queries: Send + Sync + 'static {
    fn events(&self, query: &EventsQuery) -> Result<EventsPage, QueryError>;
    /// The account's newest event of this id.
    fn event(&self, account: AccountKey, id: &EventId) -> Result<Option<Arc<Event>>, QueryError>;
    /// The events at these places, as far as the log has them.
    fn events_at(&self, seqs: &[Seq]) -> Result<Vec<Arc<Event>>, QueryError>;
    /// What came of a subscription's attempts, by the beginning of each span of five minutes, oldest
    /// first: from `range.0` on, before `range.1`. Empty ones are left out.
    fn rollups(
        &self,
        subscription: SubscriptionKey,
        range: (UnixMillis, UnixMillis),
    ) -> Result<Vec<(UnixMillis, Rollup)>, QueryError>;
    /// All attempts kept of one delivery, oldest first.
    fn attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Vec<Attempt>, QueryError>;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthState {
    #[default]
    Healthy,
    /// Its newest attempt failed.
    Failing,
    /// It catches up from the log.
    Lagging,
}

impl HealthState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Lagging => "lagging",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How a subscription does. The default is that of one that nothing has happened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub state: HealthState,
    pub last_success_at: Option<UnixMillis>,
    pub last_failure_at: Option<UnixMillis>,
    /// Deliveries not yet settled: first attempts as of the worker's last report (a second ago at most),
    /// and waiting retries, which are exact. Of what lags on disk since before this run, an estimate
    /// where it is very much.
    pub pending: u64,
    pub oldest_pending_at: Option<UnixMillis>,
    pub breaker: BreakerState,
}

/// Knows how subscriptions do. Answers from memory.
pub trait Healths: Send + Sync + 'static {
    fn health(&self, subscription: SubscriptionKey) -> Health;
}
