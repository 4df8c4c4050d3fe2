//! What the admin port needs of the rest of the engine.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use crate::log::listing::{Lasts, Place, Standing};
pub use crate::model::BreakerState;
use crate::model::{
    AccountKey, Attempt, Event, EventId, EventMask, Outcome, Refused, Rollup, Seq, Subscription,
    SubscriptionKey, UnixMillis,
};
use crate::recover::{Job, JobId, Scope};
use crate::registry::{Asked, AuditPage, AuditQuery, ChangeError, Changed};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes durable changes. Bounded: refuses with `QueueFull` where too many wait.
pub trait Changes: Send + Sync + 'static {
    /// Resolves when the change is durable and the registry shows it.
    fn change(&self, change: Asked) -> BoxFuture<'_, Result<Changed, ChangeError>>;
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
    /// Not below.
    pub from: Seq,
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
    /// How many deliveries from `from` on are asked for, as far as one look goes, and where to go on.
    fn matching(
        &self,
        subscription: &Subscription,
        scope: &Scope,
        from: Seq,
    ) -> Result<(usize, Option<Seq>), QueryError>;
    /// Part of the audit trail.
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, QueryError>;
    /// A row of the registry that is not kept in memory.
    fn registry_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, QueryError>;
    /// All attempts kept of one delivery, oldest first.
    fn attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Vec<Attempt>, QueryError>;
    /// What became last of this delivery and of its neighbours, as far as they lie together.
    fn last_attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Lasts, QueryError>;
    /// When this delivery's waiting retry is due.
    fn due(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Option<UnixMillis>, QueryError>;
    /// Deliveries that stand so, newest first, behind a place and inside a time, at most `limit`.
    fn standing(&self, query: &StandingQuery<'_>) -> Result<Vec<Place>, QueryError>;
    /// The lowest seq of which a first attempt may still be to come.
    fn first_pending(&self, subscriptions: &[SubscriptionKey]) -> Result<Seq, QueryError>;
}

/// Which deliveries with a row of their own are asked for.
#[derive(Clone, Copy, Debug)]
pub struct StandingQuery<'a> {
    pub standing: Standing,
    pub subscriptions: &'a [SubscriptionKey],
    pub after: Option<Place>,
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
    pub limit: usize,
}

/// Why a job was not begun or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("the account has {max} jobs that are not over; wait for one, or cancel it")]
    TooMany { max: usize },
    #[error("{max} jobs of all accounts are not over; try again later")]
    TooManyInAll { max: usize },
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Recover jobs. What changes is durable when it resolves.
pub trait Jobs: Send + Sync + 'static {
    /// `note`: for the audit trail, written with it.
    fn start(&self, scope: Scope, note: Asked) -> BoxFuture<'_, Result<Job, JobError>>;
    /// An account's jobs, newest first.
    fn of(&self, account: AccountKey) -> Vec<Job>;
    fn get(&self, account: AccountKey, id: JobId) -> Option<Job>;
    /// Nothing more of it is handed over; one that is over stays as it is, and is not noted.
    fn cancel(
        &self,
        account: AccountKey,
        id: JobId,
        note: Asked,
    ) -> BoxFuture<'_, Result<Option<Job>, JobError>>;
}

/// Makes copies of the store for backups. Blocks, and is called on a blocking pool.
pub trait Checkpoints: Send + Sync + 'static {
    /// The store as it is now, in a directory beside it, in place of an earlier one; and the newest event
    /// that is surely in it.
    fn make(&self) -> Result<(PathBuf, Seq), QueryError>;
    fn drop(&self) -> Result<(), QueryError>;
}

/// Why a worker did not do at once what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Too much of this kind is under way.
    Busy,
    /// It stops, or does not answer.
    Stopping,
}

/// What was done about a delivery that was asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is due now: that is on disk.
    Due,
    /// It is being sent anyway.
    UnderWay,
    /// The event is not in the log any more.
    Gone,
    /// The subscription did not want it when the log took it.
    Unwanted,
}

/// Sends by hand, through the worker that owns the subscription.
pub trait Replays: Send + Sync + 'static {
    /// Sends a test event now and waits for what came of it, for as long as `timeout`.
    fn test(
        &self,
        subscription: Arc<Subscription>,
        event: Arc<Event>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Outcome, ReplayError>>;

    /// Makes a delivery again. Resolves when that is durable, not when it was attempted.
    fn resend(&self, subscription: SubscriptionKey, seq: Seq) -> BoxFuture<'_, Result<Again, ReplayError>>;
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
    /// When an open one lets a request through, as far as it is known.
    pub next_probe_at: Option<UnixMillis>,
}

/// Knows how subscriptions do. Answers from memory.
pub trait Healths: Send + Sync + 'static {
    fn health(&self, subscription: SubscriptionKey) -> Health;
    /// Those that are behind, failing or have retries waiting, with the time of their oldest undelivered
    /// event: a bounded number, the worst.
    fn unwell(&self) -> Vec<(SubscriptionKey, UnixMillis)>;
}
