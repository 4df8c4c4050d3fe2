//! The store as it is shared: by the writer, the readers and the admin API's queries.
//!
//! RocksDB keeps to itself once a write has failed (a full disk, an IO error), and its Rust binding has
//! no way to say "go on". So the writer closes and opens it again, behind this: a reader holds the store
//! for a page at most, and meets [`StoreError::Closed`] in between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crossbeam::queue::ArrayQueue;

use super::db::{Db, DbOptions};
use super::floor::Floors;
use super::guard::{DirectoryLock, StoreError};
use super::rollups::Rollups;
use super::stats::LogStats;
use super::waiting::Waiting;
use crate::model::Seq;
use crate::settle::RetryKey;

/// Retries of deleted subscriptions that wait for the writer to delete their rows. At the bound more
/// are let be: whoever reads their window next finds them again.
pub const ORPHANS_MAX: usize = 4096;

/// Everything that threads share of the log.
pub struct Store {
    options: DbOptions,
    db: RwLock<Option<Db>>,
    head: Arc<AtomicU64>,
    pub(super) floors: Arc<Floors>,
    pub(super) orphans: ArrayQueue<RetryKey>,
    stats: Arc<LogStats>,
    waiting: Arc<Waiting>,
    rollups: Mutex<Rollups>,
    /// The last field, so that the directory is given up after the store is closed.
    _lock: DirectoryLock,
}

impl Store {
    pub(super) fn open(options: DbOptions) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(&options.path)?;
        let floors = Arc::new(Floors::default());
        let db = Db::open(&options, &floors)?;
        Ok(Self {
            options,
            _lock: lock,
            db: RwLock::new(Some(db)),
            head: Arc::default(),
            floors,
            orphans: ArrayQueue::new(ORPHANS_MAX),
            stats: Arc::default(),
            waiting: Arc::default(),
            rollups: Mutex::default(),
        })
    }

    /// Runs `work` on the open store. Hold it for a page, never across a wait.
    ///
    /// # Errors
    /// [`StoreError::Closed`] while the writer opens it again; whatever `work` says.
    pub fn with<T>(&self, work: impl FnOnce(&Db) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let guard = self.db.read().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref().map_or(Err(StoreError::Closed), work)
    }

    /// Closes the store and opens it again. It stays closed where that fails.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut guard = self.db.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
        *guard = Some(Db::open(&self.options, &self.floors)?);
        Ok(())
    }

    /// The newest event that is durable; 0 where there is none.
    #[must_use]
    pub fn head(&self) -> Seq {
        Seq(self.head.load(Ordering::Acquire))
    }

    /// [`Store::head`] for those who must not have the store: workers read it before they drain their
    /// queue, since it is raised after a commit was handed to them.
    #[must_use]
    pub fn head_cell(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.head)
    }

    pub(super) fn set_head(&self, head: Seq) {
        self.head.store(head.0, Ordering::Release);
        self.stats.head.store(head.0, Ordering::Relaxed);
    }

    /// The lowest event that retention has left.
    #[must_use]
    pub fn floor(&self) -> Seq {
        self.floors.events()
    }

    #[must_use]
    pub fn stats(&self) -> &Arc<LogStats> {
        &self.stats
    }

    /// Retries that wait, by subscription.
    #[must_use]
    pub fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// Counts of attempts that are not over. Hold it for a look.
    pub(super) fn rollups(&self) -> MutexGuard<'_, Rollups> {
        self.rollups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.options.path
    }
}
