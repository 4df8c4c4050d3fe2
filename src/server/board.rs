//! The board: what the workers last said about themselves, for those who ask.
//!
//! A worker writes its part once a second and skips it where somebody is just reading, so it never waits.

use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

use crate::admin;
use crate::model::{SubscriptionKey, UnixMillis};
use crate::schedule::{BreakerState, Health};
use crate::worker::Report;

#[derive(Default)]
struct Part {
    healths: HashMap<SubscriptionKey, Health>,
    oldest: Option<UnixMillis>,
    unwell: Vec<(SubscriptionKey, UnixMillis)>,
}

/// One part for each worker.
pub struct Board {
    parts: Vec<Mutex<Part>>,
}

impl Board {
    pub fn new(workers: usize) -> Self {
        Self { parts: (0..workers).map(|_| Mutex::default()).collect() }
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
        part.unwell.clone_from(&report.unwell);
        true
    }

    /// When the log took the oldest event that is undelivered.
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.parts.iter().filter_map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).oldest).min()
    }

    /// Subscriptions that are behind or failing, with the time of their oldest undelivered event.
    pub fn unwell(&self) -> Vec<(SubscriptionKey, UnixMillis)> {
        let of = |part: &Mutex<Part>| part.lock().unwrap_or_else(PoisonError::into_inner).unwell.clone();
        self.parts.iter().flat_map(of).collect()
    }
}

impl admin::Healths for Board {
    fn health(&self, subscription: SubscriptionKey) -> admin::Health {
        let of = |part: &Mutex<Part>| {
            part.lock().unwrap_or_else(PoisonError::into_inner).healths.get(&subscription).copied()
        };
        let Some(health) = self.parts.iter().find_map(of) else { return admin::Health::default() };
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
            pending: health.pending,
            oldest_pending_at: health.oldest_pending_at,
            breaker: match health.breaker {
                BreakerState::Closed => admin::BreakerState::Closed,
                BreakerState::Open => admin::BreakerState::Open,
                BreakerState::HalfOpen => admin::BreakerState::HalfOpen,
            },
        }
    }
}
