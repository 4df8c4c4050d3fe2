//! Whether the engine can do its work, as flags that its parts set and `/readyz` reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::Mono;

/// A worker that has not run for so long is not well. Idle workers beat at least every second.
pub const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(10);

/// Set by the engine's parts. Begins as "not recovered, all else well".
#[derive(Debug)]
pub struct Readiness {
    recovered: AtomicBool,
    store_failing: AtomicBool,
    disk_low: AtomicBool,
    stopping: AtomicBool,
    /// When each worker last ran, in nanoseconds of [`Mono`].
    heartbeats: Box<[AtomicU64]>,
}

impl Readiness {
    #[must_use]
    pub fn new(workers: usize, now: Mono) -> Self {
        Self {
            recovered: AtomicBool::new(false),
            store_failing: AtomicBool::new(false),
            disk_low: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            heartbeats: (0..workers).map(|_| AtomicU64::new(now.0)).collect(),
        }
    }

    pub fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Relaxed);
    }

    pub fn set_store_failing(&self, failing: bool) {
        self.store_failing.store(failing, Ordering::Relaxed);
    }

    pub fn set_disk_low(&self, low: bool) {
        self.disk_low.store(low, Ordering::Relaxed);
    }

    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// A worker says that it runs. One relaxed store.
    pub fn beat(&self, worker: usize, now: Mono) {
        if let Some(heartbeat) = self.heartbeats.get(worker) {
            heartbeat.store(now.0, Ordering::Relaxed);
        }
    }

    /// What is not well, in words. Empty: ready.
    #[must_use]
    pub fn problems(&self, now: Mono) -> Vec<String> {
        let flag = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let mut problems = Vec::new();
        if !flag(&self.recovered) {
            problems.push("the log is still being recovered".to_owned());
        }
        if flag(&self.store_failing) {
            problems.push("the store does not take writes".to_owned());
        }
        if flag(&self.disk_low) {
            problems.push("the disk is below its reserve".to_owned());
        }
        if flag(&self.stopping) {
            problems.push("the engine is stopping".to_owned());
        }
        for (worker, heartbeat) in self.heartbeats.iter().enumerate() {
            let age = now.since(Mono(heartbeat.load(Ordering::Relaxed)));
            if age > HEARTBEAT_AGE_MAX {
                problems.push(format!("worker {worker} has not run for {} s", age.as_secs()));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_not_well() {
        let at = |secs| Mono(0) + Duration::from_secs(secs);
        let readiness = Readiness::new(2, at(100));
        assert_eq!(readiness.problems(at(100)), ["the log is still being recovered"]);
        readiness.set_recovered();
        assert!(readiness.problems(at(110)).is_empty());
        readiness.beat(0, at(115));
        readiness.beat(7, at(115));
        readiness.set_disk_low(true);
        readiness.set_store_failing(true);
        let problems = readiness.problems(at(121));
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[2], "worker 1 has not run for 21 s");
        readiness.set_disk_low(false);
        readiness.set_store_failing(false);
        readiness.beat(1, at(121));
        assert!(readiness.problems(at(121)).is_empty());
        readiness.set_stopping();
        assert_eq!(readiness.problems(at(121)).len(), 1);
    }
}
