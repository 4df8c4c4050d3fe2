//! What the log is told at its start. Durations and sizes come from the configuration; the bounds here
//! have reasons of their own.

use std::sync::Arc;
use std::time::Duration;

use super::db::DbOptions;
use crate::model::Now;
use crate::rt;

/// Requests that wait for the writer at most. Where it is full, ingest answers 503.
pub const REQUESTS_MAX: usize = 4096;
/// Events after which a commit takes no further request.
pub const COMMIT_EVENTS_MAX: usize = 4096;
/// Bytes of bodies after which a commit takes no further request.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;

/// How long what is kept. A zero keeps nothing longer than a minute or so.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub events: Duration,
    /// At least as long as `events`: what was delivered must be known for as long as it could be sent.
    pub attempts: Duration,
    pub dead_letters: Duration,
    /// Entries of the audit trail.
    pub audit: Duration,
}

/// See the fields.
#[derive(Clone)]
pub struct LogOptions {
    pub db: DbOptions,
    pub retention: Retention,
    pub dedupe_window: Duration,
    /// Nothing new is accepted while the disk has less than this free. What is accepted already goes on
    /// being settled from it.
    pub disk_reserve_bytes: u64,
    /// Replaced in tests of what time does.
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
}

impl LogOptions {
    #[must_use]
    pub fn new(path: impl Into<std::path::PathBuf>) -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            db: DbOptions::new(path),
            retention: Retention {
                events: 7 * day,
                attempts: 30 * day,
                dead_letters: 30 * day,
                audit: 90 * day,
            },
            dedupe_window: day,
            disk_reserve_bytes: 64 << 20,
            clock: Arc::new(rt::clock::now),
        }
    }
}
