//! Every metric: its name, kind, labels and help text (contract §6). Nothing else in the program spells one.
//!
//! Base units; counters end in `_total`; every label's values are bounded.

/// What kind a metric is; a histogram with its upper bounds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

const EVENTS_PER_COMMIT: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
/// Of a disk: 100 µs to 5 s.
const DISK_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Of a receiver: 1 ms to the longest deadline.
const ATTEMPT_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0];
/// Of a delivery with its retries: 1 ms to a week.
const DELAY_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
    21_600.0, 86_400.0, 604_800.0,
];
/// Of one turn of a worker's loop: 10 µs to 1 s.
const LOOP_SECONDS: &[f64] =
    &[0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

macro_rules! metrics_table {
    ($($id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(pub const $id: Metric = Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*
        /// All of them.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics_table! {
    // Ingest
    EVENTS = "postrider_events_total", Kind::Counter, ["result", "reason"],
        "Events by what became of them; rejected ones by reason.";
    REFUSED = "postrider_refused_requests_total", Kind::Counter, ["reason"],
        "Requests to ingest of which nothing was taken, by reason.";
    // Log
    COMMIT_EVENTS = "postrider_commit_events", Kind::Histogram(EVENTS_PER_COMMIT), [],
        "Events in one commit.";
    COMMIT_DURATION = "postrider_commit_duration_seconds", Kind::Histogram(DISK_SECONDS), [],
        "Time of one commit, its fsync included.";
    FSYNC_DURATION = "postrider_fsync_duration_seconds", Kind::Histogram(DISK_SECONDS), [],
        "Time of one write that ends in an fsync.";
    LOG_HEAD = "postrider_log_head", Kind::Gauge, [],
        "Sequence number of the newest event.";
    LOG_LOW_WATERMARK = "postrider_log_low_watermark", Kind::Gauge, [],
        "Every event up to this one is settled or has a row that says what is still to be done.";
    STORE_BYTES = "postrider_store_bytes", Kind::Gauge, ["family"],
        "Bytes on disk by column family.";
    STORE_STALLED = "postrider_store_stalled", Kind::Gauge, [],
        "1 while the store does not take writes, else 0.";
    EXPIRED = "postrider_expired_total", Kind::Counter, ["family"],
        "Rows dropped by retention before they were settled, by column family.";
    RETRIES_WAITING = "postrider_retries_waiting", Kind::Gauge, [],
        "Deliveries that wait for their next attempt, on disk or in memory. Exact.";
    DEAD_LETTERS = "postrider_dead_letters", Kind::Gauge, [],
        "Deliveries given up and kept for recovery.";
    ROLLUPS_LEFT_OUT = "postrider_rollups_left_out_total", Kind::Counter, [],
        "Attempts that no chart shows, because too many subscriptions were attempted at once. They are listed all the same.";
    // Workers
    ATTEMPTS = "postrider_attempts_total", Kind::Counter, ["outcome"],
        "Attempts by outcome: delivered, or the kind of error.";
    ATTEMPT_DURATION = "postrider_attempt_duration_seconds", Kind::Histogram(ATTEMPT_SECONDS), [],
        "Time of one attempt until its response headers, or until it failed.";
    DELIVERY_DELAY = "postrider_delivery_delay_seconds", Kind::Histogram(DELAY_SECONDS), [],
        "Time from acceptance to delivery, retries included.";
    IN_FLIGHT = "postrider_in_flight", Kind::Gauge, [],
        "Requests on the wire.";
    QUEUED = "postrider_queued", Kind::Gauge, [],
        "Deliveries that wait in memory.";
    LAGGING = "postrider_lagging_subscriptions", Kind::Gauge, [],
        "Subscriptions that catch up from the log because their queue was full.";
    BREAKERS = "postrider_breakers", Kind::Gauge, ["state"],
        "Hosts by the state of their breaker.";
    BREAKER_TRANSITIONS = "postrider_breaker_transitions_total", Kind::Counter, ["state"],
        "Changes of breakers by the state they came to.";
    WORKER_BUSY = "postrider_worker_busy_ratio", Kind::Gauge, ["worker"],
        "Share of the last second in which the worker ran, 0 to 1.";
    WORKER_LOOP_DELAY = "postrider_worker_loop_delay_seconds", Kind::Histogram(LOOP_SECONDS), ["worker"],
        "Time from when the worker was due to run until it ran.";
    OLDEST_UNDELIVERED = "postrider_oldest_undelivered_seconds", Kind::Gauge, [],
        "Age of the oldest event that some subscription has not got yet, retries and what lags on disk \
         included; 0 where there is none. Where much waits it may be told a little too old, never too young.";
    SUBSCRIPTION_OLDEST_UNDELIVERED = "postrider_subscription_oldest_undelivered_seconds", Kind::Gauge,
        ["subscription"],
        "The same by subscription, for the worst of those that are not healthy.";
    // Connections
    CONNECTIONS = "postrider_connections_total", Kind::Counter, ["event", "protocol", "reason"],
        "Connections to receivers: opened, reused by one more request, closed (and why).";
    // Control
    ACCOUNTS = "postrider_accounts", Kind::Gauge, [], "Accounts.";
    RECOVER_JOBS = "postrider_recover_jobs", Kind::Gauge, [], "Recover jobs that are queued or running.";
    SUBSCRIPTIONS = "postrider_subscriptions", Kind::Gauge, [], "Subscriptions.";
    ADMIN_REQUESTS = "postrider_admin_requests_total", Kind::Counter, ["status"],
        "Requests to the admin API by class of status.";
    BUILD_INFO = "postrider_build_info", Kind::Gauge, ["version"], "Always 1; the version is in its label.";
    // The process (names of the Prometheus client libraries)
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, [],
        "User and system CPU time spent, in seconds.";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Kind::Gauge, [], "Resident memory in bytes.";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Kind::Gauge, [], "Virtual memory in bytes.";
    PROCESS_OPEN_FDS = "process_open_fds", Kind::Gauge, [], "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Kind::Gauge, [], "File descriptors that may be open.";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [],
        "Start of the process in seconds since 1970.";
    PROCESS_THREADS = "process_threads", Kind::Gauge, [], "Threads of the process.";
}
