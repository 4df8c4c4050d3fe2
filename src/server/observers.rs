//! From what components tell about themselves to metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::Live;
use crate::ingest::answer::ProblemKind;
use crate::ingest::rejection::Code;
use crate::log::stats::{CommitMeasure, Observer as LogObserverTrait};
use crate::model::{Attempt, ErrorKind, SubscriptionKey, UnixMillis};
use crate::schedule::Counts;
use crate::send::{CloseReason, ConnectionCounts};
use crate::telemetry::handles::{FAMILIES, IngestMetrics, LogMetrics, SendMetrics, WorkerMetrics};
use crate::worker::{Observer, Report};

use super::board::Board;
use super::recover::Table;

pub struct LogObserver {
    metrics: LogMetrics,
    live: Arc<Live>,
    jobs: Arc<Table>,
}

impl LogObserver {
    pub fn new(live: Arc<Live>, jobs: Arc<Table>) -> Self {
        Self { metrics: LogMetrics::new(), live, jobs }
    }
}

impl LogObserverTrait for LogObserver {
    fn commit(&mut self, measure: CommitMeasure) {
        self.metrics.commit_events.record(u32::try_from(measure.events).unwrap_or(u32::MAX));
        self.metrics.commit_duration.record(measure.duration);
        self.metrics.fsync_duration.record(measure.fsync);
    }

    fn settled(&mut self, attempts: Vec<(SubscriptionKey, Attempt)>, accepted: Vec<UnixMillis>) {
        self.jobs.attempted(&attempts);
        self.live.tell(attempts, accepted);
    }
}

pub struct IngestObserver(IngestMetrics);

impl IngestObserver {
    pub fn new() -> Self {
        Self(IngestMetrics::new())
    }
}

fn count(events: usize) -> u64 {
    u64::try_from(events).unwrap_or(u64::MAX)
}

impl crate::ingest::IngestMetrics for IngestObserver {
    fn accepted(&self, events: usize) {
        self.0.accepted.increment(count(events));
    }

    fn duplicate(&self, events: usize) {
        self.0.duplicate.increment(count(events));
    }

    fn rejected(&self, reason: Code) {
        self.0.rejected(reason.as_str());
    }

    fn refused(&self, reason: ProblemKind) {
        self.0.rejected(reason.code());
    }
}

pub struct WorkerObserver {
    worker: usize,
    metrics: WorkerMetrics,
    send: SendMetrics,
    board: Arc<Board>,
    /// Connections are counted by the sender; metrics want what has come since.
    told: std::cell::Cell<ConnectionCounts>,
    log: LogMetrics,
    expired: std::cell::Cell<(u64, u64)>,
    transitions: std::cell::Cell<[u64; 3]>,
}

impl WorkerObserver {
    pub fn new(worker: usize, board: Arc<Board>) -> Self {
        Self {
            worker,
            metrics: WorkerMetrics::new(worker),
            send: SendMetrics::new(),
            board,
            told: std::cell::Cell::default(),
            log: LogMetrics::new(),
            expired: std::cell::Cell::default(),
            transitions: std::cell::Cell::default(),
        }
    }

    fn connections(&self, now: &ConnectionCounts) {
        let told = self.told.replace(*now);
        for (protocol, (now, told)) in [(now.h1, told.h1), (now.h2, told.h2)].into_iter().enumerate() {
            if let (Some(opened), Some(reused)) =
                (self.send.opened.get(protocol), self.send.reused.get(protocol))
            {
                opened.increment(now.opened - told.opened);
                reused.increment(now.reused - told.reused);
            }
            for reason in CloseReason::ALL {
                self.send.closed(protocol == 1, reason.as_str(), now.closed(reason) - told.closed(reason));
            }
        }
    }
}

impl WorkerObserver {
    fn breakers(&self, counts: &Counts) {
        for (gauge, count) in self.metrics.breakers.iter().zip(counts.breakers) {
            gauge.set(count);
        }
        let told = self.transitions.replace(counts.transitions);
        let counters = self.metrics.breaker_transitions.iter();
        for ((counter, now), told) in counters.zip(counts.transitions).zip(told) {
            counter.increment(now - told);
        }
    }

    fn expired(&self, counts: &Counts) {
        let (retries, cursors) = self.expired.replace((counts.expired_retries, counts.expired_cursors));
        for (family, more) in
            [("retries", counts.expired_retries - retries), ("lagging", counts.expired_cursors - cursors)]
        {
            let place = FAMILIES.iter().position(|known| *known == family);
            if let Some(counter) = place.and_then(|place| self.log.expired.get(place)) {
                counter.increment(more);
            }
        }
    }
}

impl Observer for WorkerObserver {
    fn attempt(&self, error: Option<ErrorKind>, duration: Duration, delay: Option<Duration>) {
        match error {
            None => self.metrics.delivered.increment(1),
            Some(kind) => self.metrics.failed(kind),
        }
        self.metrics.attempt_duration.record(duration);
        if let Some(delay) = delay {
            self.metrics.delivery_delay.record(delay);
        }
    }

    fn report(&self, report: &Report) -> bool {
        self.metrics.in_flight.set(report.counts.in_flight);
        self.metrics.queued.set(report.counts.queued);
        self.metrics.lagging.set(report.counts.lagging);
        self.metrics.busy_ratio.set(report.busy_ratio);
        self.metrics.loop_delay.record(report.loop_delay);
        self.connections(&report.connections);
        self.expired(&report.counts);
        self.breakers(&report.counts);
        self.board.put(self.worker, report)
    }
}
