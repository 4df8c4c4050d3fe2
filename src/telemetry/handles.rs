//! Handles by component. Making one registers its metrics at zero; keep it, and clone it where needed.

use std::cell::Cell;

use metrics::{Counter, Gauge, Histogram, Unit};

use super::names::{self as n, ALL, Kind, Metric};
use crate::model::ErrorKind;

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

/// One counter for each value of a label that is bounded; what is not in the table counts as its last.
#[derive(Clone)]
struct Labelled {
    known: &'static [&'static str],
    counters: Vec<Counter>,
}

impl Labelled {
    fn new(known: &'static [&'static str], make: impl Fn(&'static str) -> Counter) -> Self {
        Self { known, counters: known.iter().copied().map(make).collect() }
    }

    fn count(&self, label: &str, more: u64) {
        let place = self.known.iter().position(|known| *known == label);
        if let Some(counter) = self.counters.get(place.unwrap_or(self.known.len().saturating_sub(1))) {
            counter.increment(more);
        }
    }
}

/// Codes with which ingest rejects an event.
pub(super) const REJECTED: &[&str] = &[
    "not_json",
    "not_an_object",
    "event_too_large",
    "data_too_deep",
    "unknown_field",
    "duplicate_field",
    "missing_field",
    "wrong_type",
    "invalid_id",
    "invalid_account_id",
    "invalid_timestamp",
    "unknown_type",
    "forbidden_account",
    "invalid_specversion",
    "invalid_source",
    "invalid_datacontenttype",
    "invalid_data_base64",
    "other",
];

/// Codes with which ingest refuses a whole request.
pub(super) const REFUSED: &[&str] = &[
    "malformed_json",
    "empty_request",
    "body_incomplete",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "body_timeout",
    "request_too_large",
    "batch_too_large",
    "unsupported_media_type",
    "internal",
    "queue_full",
    "too_many_connections",
    "disk_reserve",
    "store_unavailable",
    "stopping",
    "other",
];

#[derive(Clone)]
pub struct IngestMetrics {
    pub accepted: Counter,
    pub duplicate: Counter,
    rejected: Labelled,
    refused: Labelled,
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
            rejected: Labelled::new(REJECTED, |reason| events("rejected", reason)),
            refused: Labelled::new(REFUSED, |reason| counter(&n::REFUSED, &[("reason", reason)])),
        }
    }

    /// One event.
    pub fn rejected(&self, reason: &str) {
        self.rejected.count(reason, 1);
    }

    /// One request, with whatever was in it.
    pub fn refused(&self, reason: &str) {
        self.refused.count(reason, 1);
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
    pub rollups_left_out: Counter,
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
            rollups_left_out: counter(&n::ROLLUPS_LEFT_OUT, &[]),
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
/// Why a connection was closed.
pub(super) const CLOSED: &[&str] = &[
    "connect",
    "peer",
    "goaway",
    "refused",
    "idle",
    "age",
    "requests",
    "evicted",
    "cancelled",
    "error",
    "shutdown",
    "other",
];

/// Connections to receivers; arrays in the order of [`PROTOCOLS`].
#[derive(Clone)]
pub struct SendMetrics {
    pub opened: [Counter; PROTOCOLS.len()],
    pub reused: [Counter; PROTOCOLS.len()],
    closed: [Labelled; PROTOCOLS.len()],
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
        let closed = |protocol| Labelled::new(CLOSED, |reason| count("closed", protocol, reason));
        Self {
            opened: PROTOCOLS.map(|protocol| count("opened", protocol, "")),
            reused: PROTOCOLS.map(|protocol| count("reused", protocol, "")),
            closed: PROTOCOLS.map(closed),
        }
    }

    /// `more` connections were closed; `h2`: over HTTP/2.
    pub fn closed(&self, h2: bool, reason: &str, more: u64) {
        if let Some(reasons) = self.closed.get(usize::from(h2)) {
            reasons.count(reason, more);
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
    pub recover_jobs: Gauge,
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
            recover_jobs: gauge(&n::RECOVER_JOBS, &[]),
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
