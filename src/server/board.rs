//! The board: what the workers last said about themselves, for those who ask.
//!
//! A worker writes its part once a second and skips it where somebody is just reading, so it never waits.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;

use crate::admin;
use crate::log::waiting::Waiting;
use crate::model::{SubscriptionKey, UnixMillis};
use crate::schedule::{Counts, Health};
use crate::worker::{Report, UNWELL_MAX};

#[derive(Default)]
struct Part {
    healths: HashMap<SubscriptionKey, Health>,
    oldest: Option<UnixMillis>,
    unwell: Vec<(SubscriptionKey, UnixMillis)>,
    counts: Counts,
}

/// One part for each worker; retries are counted by who writes their rows.
pub struct Board {
    parts: Vec<Mutex<Part>>,
    waiting: Arc<Waiting>,
}

impl Board {
    pub fn new(workers: usize, waiting: Arc<Waiting>) -> Self {
        Self { parts: (0..workers).map(|_| Mutex::default()).collect(), waiting }
    }

    /// `false` where the part was being read; the worker tells it again with the next report.
    pub fn put(&self, worker: usize, report: &Report) -> bool {
        let Some(Ok(mut part)) = self.parts.get(worker).map(Mutex::try_lock) else { return false };
        for (key, health) in &report.healths {
            match health {
                Some(health) => drop(part.healths.insert(*key, *health)),
                None => drop(part.healths.remove(key)),
            }
        }
        part.oldest = report.oldest;
        part.counts = report.counts;
        part.unwell.clone_from(&report.unwell);
        true
    }

    /// Of all workers: queued, in flight, lagging subscriptions.
    pub fn totals(&self) -> [u64; 3] {
        self.parts.iter().fold([0; 3], |[queued, in_flight, lagging], part| {
            let counts = part.lock().unwrap_or_else(PoisonError::into_inner).counts;
            let sum = |all: u64, more: usize| all + u64::try_from(more).unwrap_or(u64::MAX);
            [sum(queued, counts.queued), sum(in_flight, counts.in_flight), sum(lagging, counts.lagging)]
        })
    }

    /// When the log took the oldest event that is undelivered.
    pub fn oldest(&self) -> Option<UnixMillis> {
        let told = |part: &Mutex<Part>| part.lock().unwrap_or_else(PoisonError::into_inner).oldest;
        let waiting = self.waiting.oldest(1).into_iter().map(|(_, at)| at);
        self.parts.iter().filter_map(told).chain(waiting).min()
    }

    /// Subscriptions that are behind, failing or have retries waiting, with the time of their oldest
    /// undelivered event: for each part, the [`UNWELL_MAX`] that are worst.
    pub fn unwell(&self) -> Vec<(SubscriptionKey, UnixMillis)> {
        let of = |part: &Mutex<Part>| part.lock().unwrap_or_else(PoisonError::into_inner).unwell.clone();
        let mut all: HashMap<SubscriptionKey, UnixMillis> = HashMap::default();
        for (key, at) in self.parts.iter().flat_map(of).chain(self.waiting.oldest(UNWELL_MAX)) {
            all.entry(key).and_modify(|old| *old = (*old).min(at)).or_insert(at);
        }
        all.into_iter().collect()
    }
}

impl admin::Healths for Board {
    fn unwell(&self) -> Vec<(SubscriptionKey, UnixMillis)> {
        self.unwell()
    }

    fn health(&self, subscription: SubscriptionKey) -> admin::Health {
        let of = |part: &Mutex<Part>| {
            part.lock().unwrap_or_else(PoisonError::into_inner).healths.get(&subscription).copied()
        };
        let health = self.parts.iter().find_map(of).unwrap_or_default();
        let (retries, oldest_retry_at) = self.waiting.of(subscription);
        let state = if health.failing_since.is_some() {
            admin::HealthState::Failing
        } else if health.lagging {
            admin::HealthState::Lagging
        } else {
            admin::HealthState::Healthy
        };
        admin::Health {
            state,
            last_success_at: health.last_success_at,
            last_failure_at: health.last_failure_at,
            pending: health.pending.saturating_add(retries),
            oldest_pending_at: [health.oldest_pending_at, oldest_retry_at].into_iter().flatten().min(),
            breaker: health.breaker,
            next_probe_at: health.probe_at,
        }
    }
}
