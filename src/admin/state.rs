//! What every handler can reach.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Semaphore;

use super::auth::Operator;
use super::live::Live;
use super::ports::{Changes, Healths, Jobs, Queries, QueryError, Replays};
use super::problem::Problem;
use super::readiness::Readiness;
use super::session::Sessions;
use crate::model::{Catalogue, UnixMillis};
use crate::registry::{Change, Changed, Registry};
use crate::telemetry::Telemetry;
use crate::telemetry::handles::ControlMetrics;

/// Reads of the log that run at once; others wait for their turn until the request's deadline.
const QUERIES_AT_ONCE_MAX: usize = 4;

/// The admin port's view of the engine.
pub struct Admin {
    pub operator: Operator,
    pub sessions: Sessions,
    pub registry: Arc<RwLock<Registry>>,
    pub catalogue: Arc<Catalogue>,
    pub changes: Arc<dyn Changes>,
    pub queries: Arc<dyn Queries>,
    pub healths: Arc<dyn Healths>,
    pub replays: Arc<dyn Replays>,
    pub jobs: Arc<dyn Jobs>,
    pub live: Arc<Live>,
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

    pub async fn change(&self, change: Change) -> Result<Changed, Problem> {
        Ok(self.changes.change(change).await?)
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
