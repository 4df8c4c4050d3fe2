//! Handles by component. Making one registers its metrics at zero; keep it, and clone it where needed.

use std::cell::Cell;

use metrics::{Counter, Gauge, Histogram, Unit};

use super::names::{self as n, ALL, Kind, Metric};
use crate::model::{ErrorKind, Refused};

/// Describes every metric and makes every handle once, so that each name is there from the first scrape.
/// Those of worker 0 stand for all workers' until they make their own.
pub fn register(version: &str) {
    for metric in ALL {
        let unit = if metric.name.contains("_seconds") { Unit::Seconds } else { Unit::Count };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
    let _ = (IngestMetrics::new(), LogMetrics::new(), WorkerMetrics::new(0), SendMetrics::new());
    let _ = ControlMetrics::new();
    metrics::gauge!(n::BUILD_INFO.name, "version" => version.to_owned()).set(1.0);
}

fn counter(metric: &Metric, labels: &[(&'static str, &'static str)]) -> Counter {
    debug_assert!(labels.iter().map(|label| label.0).eq(metric.labels.iter().copied()), "{}", metric.name);
    let counter = metrics::counter!(metric.name, labels);
    counter.increment(0);
    counter
}

fn gauge(metric: &Metric, labels: &[(&'static str, &'static str)]) -> Gauge {
    debug_assert!(labels.iter().map(|label| label.0).eq(metric.labels.iter().copied()), "{}", metric.name);
    let gauge = metrics::gauge!(metric.name, labels);
    gauge.increment(0.0);
    gauge
}

/// A gauge that several workers share: each says how much of it is its own.
pub struct Share {
    gauge: Gauge,
    own: Cell<f64>,
}

impl Share {
    fn new(metric: &Metric, labels: &[(&'static str, &'static str)]) -> Self {
        Self { gauge: gauge(metric, labels), own: Cell::new(0.0) }
    }

    pub fn set(&self, value: usize) {
        #[expect(clippy::cast_precision_loss, reason = "counts of things in memory")]
        let value = value as f64;
        let change = value - self.own.replace(value);
        if change != 0.0 {
            self.gauge.increment(change);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Reasons for which an event is rejected; any other is counted as the last.
pub const REJECT_REASONS: [&str; 9] = [
    "malformed",
    "missing_field",
    "unknown_field",
    "wrong_type",
    "invalid_value",
    "unknown_type",
    "too_large",
    "account_limit",
    "other",
];

/// Why ingest took nothing, as a label.
#[must_use]
pub fn refused_label(refused: &Refused) -> &'static str {
    match refused {
        Refused::QueueFull => "queue_full",
        Refused::DiskReserve => "disk_reserve",
        Refused::Store(_) => "store",
        Refused::Stopping => "stopping",
    }
}

const REFUSED_LABELS: [&str; 4] = ["queue_full", "disk_reserve", "store", "stopping"];

#[derive(Clone)]
pub struct IngestMetrics {
    pub accepted: Counter,
    pub duplicate: Counter,
    rejected: [Counter; REJECT_REASONS.len()],
    refused: [Counter; REFUSED_LABELS.len()],
}

impl Default for IngestMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl IngestMetrics {
    #[must_use]
    pub fn new() -> Self {
        let events = |result, reason| counter(&n::EVENTS, &[("result", result), ("reason", reason)]);
        Self {
            accepted: events("accepted", ""),
            duplicate: events("duplicate", ""),
            rejected: REJECT_REASONS.map(|reason| events("rejected", reason)),
            refused: REFUSED_LABELS.map(|reason| counter(&n::REFUSED, &[("reason", reason)])),
        }
    }

    pub fn rejected(&self, reason: &str) {
        let known = REJECT_REASONS.iter().position(|known| *known == reason);
        if let Some(counter) = self.rejected.get(known.unwrap_or(REJECT_REASONS.len() - 1)) {
            counter.increment(1);
        }
    }

    pub fn refused(&self, refused: &Refused) {
        let label = refused_label(refused);
        let counters = REFUSED_LABELS.iter().zip(&self.refused);
        counters.filter(|(known, _)| **known == label).for_each(|(_, counter)| counter.increment(1));
    }
}

/// Column families that have metrics of their own.
pub const FAMILIES: [&str; 8] =
    ["events", "by_account", "ids", "attempts", "retries", "lagging", "dead", "meta"];

#[derive(Clone)]
pub struct LogMetrics {
    pub commit_events: Histogram,
    pub commit_duration: Histogram,
    pub fsync_duration: Histogram,
    pub head: Gauge,
    pub low_watermark: Gauge,
    pub stalled: Gauge,
    pub retries_waiting: Gauge,
    pub dead_letters: Gauge,
    /// In the order of [`FAMILIES`].
    pub bytes: [Gauge; FAMILIES.len()],
    /// In the order of [`FAMILIES`].
    pub expired: [Counter; FAMILIES.len()],
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl LogMetrics {
    #[must_use]
    pub fn new() -> Self {
        Self {
            commit_events: metrics::histogram!(n::COMMIT_EVENTS.name),
            commit_duration: metrics::histogram!(n::COMMIT_DURATION.name),
            fsync_duration: metrics::histogram!(n::FSYNC_DURATION.name),
            head: gauge(&n::LOG_HEAD, &[]),
            low_watermark: gauge(&n::LOG_LOW_WATERMARK, &[]),
            stalled: gauge(&n::STORE_STALLED, &[]),
            retries_waiting: gauge(&n::RETRIES_WAITING, &[]),
            dead_letters: gauge(&n::DEAD_LETTERS, &[]),
            bytes: FAMILIES.map(|family| gauge(&n::STORE_BYTES, &[("family", family)])),
            expired: FAMILIES.map(|family| counter(&n::EXPIRED, &[("family", family)])),
        }
    }
}

/// States of a breaker, as labels.
pub const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];

/// One worker's. Not shared between threads: its gauges know the worker's own part.
pub struct WorkerMetrics {
    pub delivered: Counter,
    failed: [Counter; ErrorKind::ALL.len()],
    pub attempt_duration: Histogram,
    pub delivery_delay: Histogram,
    pub in_flight: Share,
    pub queued: Share,
    pub lagging: Share,
    /// In the order of [`BREAKER_STATES`].
    pub breakers: [Share; BREAKER_STATES.len()],
    /// In the order of [`BREAKER_STATES`].
    pub breaker_transitions: [Counter; BREAKER_STATES.len()],
    pub busy_ratio: Gauge,
    pub loop_delay: Histogram,
}

impl WorkerMetrics {
    #[must_use]
    pub fn new(worker: usize) -> Self {
        let outcome = |outcome| counter(&n::ATTEMPTS, &[("outcome", outcome)]);
        Self {
            delivered: outcome("delivered"),
            failed: ErrorKind::ALL.map(|kind| outcome(kind.as_str())),
            attempt_duration: metrics::histogram!(n::ATTEMPT_DURATION.name),
            delivery_delay: metrics::histogram!(n::DELIVERY_DELAY.name),
            in_flight: Share::new(&n::IN_FLIGHT, &[]),
            queued: Share::new(&n::QUEUED, &[]),
            lagging: Share::new(&n::LAGGING, &[]),
            breakers: BREAKER_STATES.map(|state| Share::new(&n::BREAKERS, &[("state", state)])),
            breaker_transitions: BREAKER_STATES
                .map(|state| counter(&n::BREAKER_TRANSITIONS, &[("state", state)])),
            busy_ratio: metrics::gauge!(n::WORKER_BUSY.name, "worker" => worker.to_string()),
            loop_delay: metrics::histogram!(n::WORKER_LOOP_DELAY.name, "worker" => worker.to_string()),
        }
    }

    pub fn failed(&self, kind: ErrorKind) {
        let counters = ErrorKind::ALL.iter().zip(&self.failed);
        counters.filter(|(known, _)| **known == kind).for_each(|(_, counter)| counter.increment(1));
    }
}

/// Protocols of connections, as labels.
pub const PROTOCOLS: [&str; 2] = ["h1", "h2"];
/// Why a connection was closed; any other reason is counted as the last.
pub const CLOSE_REASONS: [&str; 6] = ["idle", "peer", "error", "body", "shutdown", "other"];

/// Connections to receivers; arrays in the order of [`PROTOCOLS`].
#[derive(Clone)]
pub struct SendMetrics {
    pub opened: [Counter; PROTOCOLS.len()],
    pub reused: [Counter; PROTOCOLS.len()],
    closed: [[Counter; CLOSE_REASONS.len()]; PROTOCOLS.len()],
}

impl Default for SendMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl SendMetrics {
    #[must_use]
    pub fn new() -> Self {
        let count = |event, protocol, reason| {
            counter(&n::CONNECTIONS, &[("event", event), ("protocol", protocol), ("reason", reason)])
        };
        Self {
            opened: PROTOCOLS.map(|protocol| count("opened", protocol, "")),
            reused: PROTOCOLS.map(|protocol| count("reused", protocol, "")),
            closed: PROTOCOLS.map(|protocol| CLOSE_REASONS.map(|reason| count("closed", protocol, reason))),
        }
    }

    /// `h2`: over HTTP/2.
    pub fn closed(&self, h2: bool, reason: &str) {
        let known = CLOSE_REASONS.iter().position(|known| *known == reason);
        let place = known.unwrap_or(CLOSE_REASONS.len() - 1);
        if let Some(counter) = self.closed.get(usize::from(h2)).and_then(|reasons| reasons.get(place)) {
            counter.increment(1);
        }
    }
}

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the control thread knows.
#[derive(Clone)]
pub struct ControlMetrics {
    pub oldest_undelivered: Gauge,
    pub accounts: Gauge,
    pub subscriptions: Gauge,
    requests: [Counter; STATUS_CLASSES.len()],
}

impl Default for ControlMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ControlMetrics {
    #[must_use]
    pub fn new() -> Self {
        Self {
            oldest_undelivered: gauge(&n::OLDEST_UNDELIVERED, &[]),
            accounts: gauge(&n::ACCOUNTS, &[]),
            subscriptions: gauge(&n::SUBSCRIPTIONS, &[]),
            requests: STATUS_CLASSES.map(|class| counter(&n::ADMIN_REQUESTS, &[("status", class)])),
        }
    }

    /// Counts an answer of the admin API.
    pub fn answered(&self, status: u16) {
        if let Some(counter) = self.requests.get(usize::from((status / 100).saturating_sub(1))) {
            counter.increment(1);
        }
    }
}
