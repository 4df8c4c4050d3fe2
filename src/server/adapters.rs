//! The log, as ingest and the admin port see it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam::channel::{Sender, TrySendError};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot};

use crate::admin::{
    BoxFuture, Changes, Checkpoints, EventsPage, EventsQuery, Lasts, Place, Queries, QueryError,
    StandingQuery,
};
use crate::ingest::{Access, Append, Authorize};
use crate::log::api::{Appended, Refused, Request};
use crate::log::guard::StoreError;
use crate::log::query::EventFilter;
use crate::log::rollups::Span;
use crate::log::store::Store;
use crate::model::{
    AccountKey, Attempt, Event, EventId, NewEvent, Rollup, Seq, Subscription, SubscriptionKey, UnixMillis,
};
use crate::recover::Scope;
use crate::registry::{Asked, AuditPage, AuditQuery, ChangeError, Changed, Registry, TokenDigest};
use crate::rt::clock;

/// Deliveries that one look for them finds at most, where their events must be read for it.
const MATCHING_AT_ONCE: usize = 1024;
/// And where the index says enough: some milliseconds' work.
const COUNTED_AT_ONCE: usize = 256 * 1024;
/// Changes of the configuration that wait for the log at most.
const CHANGES_MAX: usize = 64;

#[derive(Clone)]
pub struct WriterAppend(Sender<Request>);

impl WriterAppend {
    pub fn new(writer: Sender<Request>) -> Self {
        Self(writer)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
pub(super) fn refused<T>(error: TrySendError<T>) -> Refused {
    match error {
        TrySendError::Full(_) => Refused::QueueFull,
        TrySendError::Disconnected(_) => Refused::Stopping,
    }
}

impl Append for WriterAppend {
    fn append(
        &self,
        events: Vec<NewEvent>,
    ) -> Result<oneshot::Receiver<Result<Vec<Appended>, Refused>>, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Request::Append { events, reply }).map_err(refused)?;
        Ok(answer)
    }
}

pub struct WriterChanges {
    writer: Sender<Request>,
    places: Semaphore,
}

impl WriterChanges {
    pub fn new(writer: Sender<Request>) -> Self {
        Self { writer, places: Semaphore::new(CHANGES_MAX) }
    }
}

impl Changes for WriterChanges {
    fn change(&self, change: Asked) -> BoxFuture<'_, Result<Changed, ChangeError>> {
        Box::pin(async move {
            let _place = self.places.try_acquire().map_err(|_| ChangeError::Store(Refused::QueueFull))?;
            let (reply, answer) = oneshot::channel();
            self.writer.try_send(Request::Change { change, reply }).map_err(refused)?;
            answer.await.unwrap_or(Err(ChangeError::Store(Refused::Stopping)))
        })
    }
}

pub struct LogQueries(Arc<Store>);

impl LogQueries {
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

fn unreadable(error: &StoreError) -> QueryError {
    tracing::warn!(%error, "the log cannot be read");
    QueryError::Refused(Refused::Store(error.to_string()))
}

impl Queries for LogQueries {
    fn events(&self, query: &EventsQuery) -> Result<EventsPage, QueryError> {
        let filter = EventFilter {
            types: Some(query.types),
            since: query.since,
            until: query.until,
            from: query.from,
        };
        let page = self
            .0
            .account_events(query.account, query.below, query.limit, &filter)
            .map_err(|error| unreadable(&error))?;
        Ok(EventsPage { events: page.items, next: page.next })
    }

    fn event(&self, account: AccountKey, id: &EventId) -> Result<Option<Arc<Event>>, QueryError> {
        self.0.find_event(account, id.as_str()).map_err(|error| unreadable(&error))
    }

    fn events_at(&self, seqs: &[Seq]) -> Result<Vec<Arc<Event>>, QueryError> {
        self.0.events_at(seqs).map_err(|error| unreadable(&error))
    }

    fn rollups(
        &self,
        subscription: SubscriptionKey,
        range: (UnixMillis, UnixMillis),
    ) -> Result<Vec<(UnixMillis, Rollup)>, QueryError> {
        let spans = (Span::of(range.0), Span::of(range.1));
        let found = self.0.rollups_of(subscription, spans).map_err(|error| unreadable(&error))?;
        Ok(found.into_iter().map(|(span, rollup)| (span.begins_at(), rollup)).collect())
    }

    fn matching(
        &self,
        subscription: &Subscription,
        scope: &Scope,
        from: Seq,
    ) -> Result<(usize, Option<Seq>), QueryError> {
        let range = (from, self.0.head());
        let most = if subscription.has_filter() { MATCHING_AT_ONCE } else { COUNTED_AT_ONCE };
        let found = self.0.candidates(subscription, scope, range, most);
        let found = found.map_err(|error| unreadable(&error))?;
        Ok((found.seqs.len(), found.next))
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, QueryError> {
        self.0.audit(query).map_err(|error| unreadable(&error))
    }

    fn registry_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, QueryError> {
        self.0.registry_row(key).map_err(|error| unreadable(&error))
    }

    fn attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Vec<Attempt>, QueryError> {
        self.0.attempts(subscription, seq).map_err(|error| unreadable(&error))
    }

    fn last_attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Lasts, QueryError> {
        self.0.last_attempts(subscription, seq).map_err(|error| unreadable(&error))
    }

    fn due(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Option<UnixMillis>, QueryError> {
        self.0.due(subscription, seq).map_err(|error| unreadable(&error))
    }

    fn standing(&self, query: &StandingQuery<'_>) -> Result<Vec<Place>, QueryError> {
        let times = (query.since, query.until);
        self.0
            .standing(query.standing, query.subscriptions, query.after, times, query.limit)
            .map_err(|error| unreadable(&error))
    }

    fn first_pending(&self, subscriptions: &[SubscriptionKey]) -> Result<Seq, QueryError> {
        self.0.first_pending(subscriptions).map_err(|error| unreadable(&error))
    }
}

pub struct StoreCheckpoints(Arc<Store>);

impl StoreCheckpoints {
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl Checkpoints for StoreCheckpoints {
    fn make(&self) -> Result<(PathBuf, Seq), QueryError> {
        self.0.checkpoint().map_err(|error| unreadable(&error))
    }

    fn drop(&self) -> Result<(), QueryError> {
        self.0.drop_checkpoint().map_err(|error| unreadable(&error))
    }
}

/// Over TCP the operator's token writes events of any account, and an account's own those of its account
/// where it has the scope `events:write`.
pub fn authorize(operator: &str, registry: Arc<RwLock<Registry>>) -> Authorize {
    let operator: [u8; 32] = Sha256::digest(operator.as_bytes()).into();
    Arc::new(move |text| {
        let given: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let differing = operator.iter().zip(given).fold(0, |all, (mine, theirs)| all | (mine ^ theirs));
        if differing == 0 {
            return Access::Everything;
        }
        let registry = registry.read().unwrap_or_else(PoisonError::into_inner);
        let token = registry.token(&TokenDigest(given)).filter(|token| token.is_valid(clock::wall()));
        let Some(token) = token else { return Access::Unknown };
        match registry.account(token.account) {
            Some(account) if token.events_write => Access::Only(account.name.clone()),
            _ => Access::Forbidden,
        }
    })
}
