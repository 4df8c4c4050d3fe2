//! What a worker tells about itself: to metrics, whatever they are made of.

use std::time::Duration;

use crate::model::{ErrorKind, SubscriptionKey, UnixMillis};
use crate::schedule::Counts;
use crate::schedule::Health;
use crate::send::ConnectionCounts;

/// Lanes that a report names at most.
pub const UNWELL_MAX: usize = 100;

/// How a worker does, about once a second.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub counts: Counts,
    pub connections: ConnectionCounts,
    /// When the log took the oldest event that is undelivered and in memory.
    pub oldest: Option<UnixMillis>,
    /// Subscriptions that are behind or failing, with the time of their oldest, at most [`UNWELL_MAX`].
    pub unwell: Vec<(SubscriptionKey, UnixMillis)>,
    /// Lanes that something happened to since the last report; `None` for those that are gone.
    pub healths: Vec<(SubscriptionKey, Option<Health>)>,
    /// CPU time of the worker's thread as part of the time since the last report, 0 to 1.
    pub busy_ratio: f64,
    /// The longest that a turn of the loop came too late or took.
    pub loop_delay: Duration,
}

/// Where a worker's figures go. Called on the worker's thread: must not block.
pub trait Observer: Send {
    /// An attempt ended. `delay`: from acceptance to delivery, where it was delivered.
    fn attempt(&self, error: Option<ErrorKind>, duration: Duration, delay: Option<Duration>);
    /// `false` where the healths could not be taken now: they are told again.
    fn report(&self, report: &Report) -> bool;
}
