//! What every handler can reach.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Semaphore;

use super::auth::Operator;
use super::caller::Caller;
use super::idempotency::InWork;
use super::jwt::Jwt;
use super::limits::Limits;
use super::live::Live;
use super::made::Made;
use super::origin::Frames;
use super::overview::Pulse;
use super::ports::{Changes, Checkpoints, Healths, Jobs, Queries, QueryError, Replays};
use super::problem::Problem;
use super::readiness::Readiness;
use super::session::Sessions;
use crate::model::{Catalogue, Subscription, UnixMillis};
use crate::registry::access::Principal;
use crate::registry::{Action, Asked, Change, Changed, Note, Origin, Registry, Target, TargetKind};
use crate::telemetry::Telemetry;
use crate::telemetry::handles::ControlMetrics;

/// Reads of the log that run at once; others wait for their turn until the request's deadline.
const QUERIES_AT_ONCE_MAX: usize = 4;

/// The admin port's view of the engine.
pub struct Admin {
    pub operator: Operator,
    pub sessions: Sessions,
    pub in_work: InWork,
    pub limits: Limits,
    /// Where the platform may vouch for its people.
    pub jwt: Option<Jwt>,
    pub frames: Frames,
    pub registry: Arc<RwLock<Registry>>,
    pub catalogue: Arc<Catalogue>,
    pub changes: Arc<dyn Changes>,
    pub queries: Arc<dyn Queries>,
    pub checkpoints: Arc<dyn Checkpoints>,
    pub healths: Arc<dyn Healths>,
    pub replays: Arc<dyn Replays>,
    pub jobs: Arc<dyn Jobs>,
    pub live: Arc<Live>,
    pub pulse: Arc<Pulse>,
    pub readiness: Arc<Readiness>,
    pub telemetry: Arc<Telemetry>,
    pub metrics: ControlMetrics,
    /// The machine's wall time.
    pub clock: fn() -> UnixMillis,
}

impl Admin {
    /// Never held over an await: the writer waits for it.
    pub fn registry(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change in the name of who asks.
    pub async fn change(&self, caller: &Caller, change: Change) -> Result<Changed, Problem> {
        Ok(self.changes.change(caller.asks(change)).await?)
    }

    /// Notes what somebody does to a subscription, before it is done.
    pub async fn note(&self, caller: &Caller, sub: &Subscription, action: Action) -> Result<(), Problem> {
        self.changes.change(caller.notes(sub, action)).await?;
        Ok(())
    }

    /// Makes a change that creates something, and answers it. Where the request has an
    /// `Idempotency-Key`, the answer is remembered in one piece with the change.
    pub async fn create(
        &self,
        caller: &Caller,
        change: Change,
        answer: impl Fn(&Changed) -> Result<Made, Problem> + Send + Sync + 'static,
    ) -> Result<Made, Problem> {
        let answer = Arc::new(answer);
        let remember = caller.once.as_ref().map(|once| {
            let answer = Arc::clone(&answer);
            once.remember(Arc::new(move |changed| answer(changed).ok()?.remembered()))
        });
        let origin = Origin { actor: caller.actor.clone(), remember };
        let changed = self.changes.change(Asked { change, origin }).await?;
        if let Some(once) = &caller.once {
            once.done();
        }
        answer(&changed)
    }

    /// That somebody signed in. Where it cannot be written they come in all the same: whoever is to free a
    /// full disk must be able to look.
    pub async fn note_sign_in(&self, principal: &Principal) {
        let account = principal.account().and_then(|key| {
            let name = self.registry().account(key)?.name.clone();
            Some((key, name))
        });
        let actor = principal.actor();
        let target =
            Target { kind: TargetKind::Session, id: actor.id.to_string(), name: actor.name.to_string() };
        let note = Note { account, action: Action::SessionBegin, target, changes: Vec::new() };
        let asked = Asked { change: Change::Note(note), origin: Origin { actor, remember: None } };
        if let Err(error) = self.changes.change(asked).await {
            tracing::warn!(%error, "a sign-in is not in the audit trail");
        }
    }

    /// Runs a blocking read of the log on the blocking pool.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Queries) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Problem> {
        static TURNS: Semaphore = Semaphore::const_new(QUERIES_AT_ONCE_MAX);
        let turn = TURNS.acquire().await.map_err(|_| Problem::internal("reads have ended"))?;
        let queries = Arc::clone(&self.queries);
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&*queries)
        });
        Ok(task.await.map_err(|_| Problem::internal("a read ended early"))??)
    }
}
