//! What values may be, alone and beside one another.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::document::Given;
use super::error::{Found, Problem};
use super::value::write_duration;
use super::{Config, Host, Size};
use crate::model::Catalogue;

/// A request is held in memory whole.
const REQUEST_SIZE_MAX: Size = Size(64 << 20);
/// Events in one request at most: each has its result in the answer.
const BATCH_MAX: u32 = 100_000;
/// Workers are sets of bits in one word.
pub const WORKERS_MAX: u32 = 64;
/// Retries of a delivery at most.
pub const RETRIES_MAX: usize = 100;
/// Ranges and hosts are looked through one by one.
const NETWORKS_MAX: usize = 1000;
const HOSTS_MAX: usize = 1000;
/// A name that nobody answers for is asked of all of them.
const NAMESERVERS_MAX: usize = 8;
/// They stand in a header of every page.
const FRAMES_MAX: usize = 16;
/// Bytes of a Unix socket's path (`sun_path`, with its end).
const SOCKET_PATH_LEN_MAX: usize = 107;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Keys whose default follows another key's value: what is wrong with it is said of the other.
const FOLLOWERS: [&str; 5] = [
    "ingest.socket",
    "ingest.max_event_size",
    "delivery.connect_timeout",
    "breaker.open",
    "retention.dedupe_window",
];

/// Lets defaults follow what was given, so that one key can be set without its neighbours.
pub(super) fn follow(config: &mut Config, given: &Given) {
    if given.has("data_dir") && !given.has("ingest.socket") {
        config.ingest.socket = config.data_dir.join("ingest.sock");
    }
    if !given.has("ingest.max_event_size") {
        config.ingest.max_event_size = config.ingest.max_event_size.min(config.ingest.max_request_size);
    }
    if !given.has("delivery.connect_timeout") {
        config.delivery.connect_timeout = config.delivery.connect_timeout.min(config.delivery.timeout);
    }
    if !given.has("breaker.open") {
        config.breaker.open = config.breaker.open.min(config.breaker.open_max);
    }
    if !given.has("retention.dedupe_window") {
        config.retention.dedupe_window = config.retention.dedupe_window.min(config.retention.events);
    }
}

struct Checker<'a> {
    given: &'a Given,
    found: Vec<Found>,
}

impl Checker<'_> {
    fn wrong(&mut self, key: &str, problem: Problem) {
        if self.given.is_unread(key) || (FOLLOWERS.contains(&key) && !self.given.has(key)) {
            return;
        }
        // A key that is missing from a table is reported where the table begins.
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let place = self.given.place(key).or_else(|| self.given.place(table));
        self.found.push(Found { place, key: key.to_owned(), problem });
    }

    fn range<T: PartialOrd>(&mut self, key: &str, value: &T, min: &T, max: &T, show: impl Fn(&T) -> String) {
        if value < min || value > max {
            self.wrong(key, Problem::Range { value: show(value), min: show(min), max: show(max) });
        }
    }

    fn number<T: PartialOrd + Display + Copy>(&mut self, key: &str, value: T, min: T, max: T) {
        self.range(key, &value, &min, &max, T::to_string);
    }

    fn duration(&mut self, key: &str, value: Duration, min: Duration, max: Duration) {
        self.range(key, &value, &min, &max, |duration| write_duration(*duration));
    }

    fn at_most<T: PartialOrd>(
        &mut self,
        (key, value): (&str, &T),
        (other, limit): (&'static str, &T),
        show: impl Fn(&T) -> String,
    ) {
        if value > limit && !self.given.is_unread(other) {
            self.wrong(key, Problem::Over { value: show(value), other, limit: show(limit) });
        }
    }

    fn count(&mut self, key: &str, len: usize, max: usize) {
        if len > max {
            self.wrong(key, Problem::TooMany { len, max });
        }
    }
}

pub(super) fn check(config: &Config, given: &Given) -> Vec<Found> {
    let mut checker = Checker { given, found: Vec::new() };
    check_ingest(config, &mut checker);
    check_delivery(config, &mut checker);
    check_rest(config, &mut checker);
    check_hosts(&config.hosts, &mut checker);
    if let Err(errors) = Catalogue::with_custom(&config.event_types) {
        for error in errors {
            let key = format!("event_type[{}].{}", error.index, error.field);
            checker.wrong(&key, Problem::EventType(error.problem));
        }
    }
    checker.found
}

fn check_ingest(config: &Config, c: &mut Checker<'_>) {
    let ingest = &config.ingest;
    let len = ingest.socket.as_os_str().as_bytes().len();
    if len > SOCKET_PATH_LEN_MAX {
        let key = if c.given.has("ingest.socket") { "ingest.socket" } else { "data_dir" };
        c.wrong(key, Problem::TooLong { len, max: SOCKET_PATH_LEN_MAX });
    }
    c.number("ingest.max_event_size", ingest.max_event_size, Size(1 << 10), REQUEST_SIZE_MAX);
    c.number("ingest.max_request_size", ingest.max_request_size, Size(1 << 10), REQUEST_SIZE_MAX);
    c.at_most(
        ("ingest.max_event_size", &ingest.max_event_size),
        ("ingest.max_request_size", &ingest.max_request_size),
        Size::to_string,
    );
    c.number("ingest.max_batch", ingest.max_batch, 1, BATCH_MAX);
    c.number("workers.count", config.workers.count, 0, WORKERS_MAX);
}

fn check_delivery(config: &Config, c: &mut Checker<'_>) {
    let delivery = &config.delivery;
    c.duration("delivery.timeout", delivery.timeout, MS, 5 * MINUTE);
    c.duration("delivery.connect_timeout", delivery.connect_timeout, MS, 5 * MINUTE);
    c.at_most(
        ("delivery.connect_timeout", &delivery.connect_timeout),
        ("delivery.timeout", &delivery.timeout),
        |duration| write_duration(*duration),
    );
    c.number("delivery.max_response_size", delivery.max_response_size, Size(0), Size(16 << 20));
    c.count("delivery.retry_schedule", delivery.retry_schedule.len(), RETRIES_MAX);
    for wait in &delivery.retry_schedule {
        c.duration("delivery.retry_schedule", *wait, MS, 30 * DAY);
    }
    c.number("delivery.retry_jitter", delivery.retry_jitter, 0.0, 1.0);
    let key = "delivery.max_in_flight_per_subscription";
    c.number(key, delivery.max_in_flight_per_subscription, 1, 1024);
    c.number("delivery.max_connections_per_host", delivery.max_connections_per_host, 1, 1024);
    if !delivery.disable_after.is_zero() {
        c.duration("delivery.disable_after", delivery.disable_after, SECOND, 365 * DAY);
    }
}

fn check_rest(config: &Config, c: &mut Checker<'_>) {
    let breaker = &config.breaker;
    c.duration("breaker.window", breaker.window, SECOND, 60 * MINUTE);
    c.number("breaker.min_requests", breaker.min_requests, 1, 1_000_000);
    if breaker.failure_ratio <= 0.0 || breaker.failure_ratio > 1.0 {
        let want = "above 0 and at most 1";
        let text = breaker.failure_ratio.to_string();
        c.wrong("breaker.failure_ratio", Problem::Format { want, text });
    }
    c.duration("breaker.open", breaker.open, MS, DAY);
    c.duration("breaker.open_max", breaker.open_max, MS, DAY);
    c.at_most(("breaker.open", &breaker.open), ("breaker.open_max", &breaker.open_max), |duration| {
        write_duration(*duration)
    });

    let egress = &config.egress;
    c.count("egress.allow_networks", egress.allow_networks.len(), NETWORKS_MAX);
    c.count("egress.allow_hosts", egress.allow_hosts.len(), NETWORKS_MAX);
    c.count("egress.refuse_ports", egress.refuse_ports.len(), NETWORKS_MAX);
    c.count("egress.nameservers", egress.nameservers.len(), NAMESERVERS_MAX);

    let admin = &config.admin;
    c.number("admin.requests_per_second", admin.requests_per_second, 0, 100_000);
    c.number("admin.burst", admin.burst, 1, 100_000);
    c.count("admin.frame_ancestors", admin.frame_ancestors.len(), FRAMES_MAX);

    let jwt = &config.jwt;
    if jwt.key_file.is_some() || jwt.jwks_file.is_some() {
        // Without them a token that the same keys signed for something else would be as good.
        for (key, value) in [
            ("jwt.issuer", &jwt.issuer),
            ("jwt.audience", &jwt.audience),
            ("jwt.account_claim", &jwt.account_claim),
            ("jwt.role_claim", &jwt.role_claim),
            ("jwt.licence_claim", &jwt.licence_claim),
        ] {
            if value.is_empty() {
                c.wrong(key, Problem::Empty);
            }
        }
    }
    c.duration("jwt.leeway", jwt.leeway, Duration::ZERO, 10 * MINUTE);
    c.duration("jwt.max_lifetime", jwt.max_lifetime, SECOND, 30 * DAY);

    let retention = &config.retention;
    for (key, value) in [
        ("retention.events", retention.events),
        ("retention.attempts", retention.attempts),
        ("retention.dead_letters", retention.dead_letters),
        ("retention.audit", retention.audit),
        ("retention.dedupe_window", retention.dedupe_window),
    ] {
        c.duration(key, value, SECOND, 3650 * DAY);
    }
    // A repeated id is recognised by looking at the event that had it first.
    c.at_most(
        ("retention.dedupe_window", &retention.dedupe_window),
        ("retention.events", &retention.events),
        |duration| write_duration(*duration),
    );
}

fn check_hosts(hosts: &[Host], c: &mut Checker<'_>) {
    c.count("host", hosts.len(), HOSTS_MAX);
    let mut seen = BTreeSet::new();
    for (index, host) in hosts.iter().enumerate() {
        let key = |name: &str| format!("host[{index}].{name}");
        if host.host.is_empty() {
            c.wrong(&key("host"), Problem::Empty);
        } else if !is_host(&host.host) {
            let want = "a name or address, with a port if only that is meant, such as \"example.com:8443\"";
            c.wrong(&key("host"), Problem::Format { want, text: host.host.clone() });
        } else if !seen.insert(host.host.to_lowercase()) {
            c.wrong(&key("host"), Problem::Repeated { text: host.host.clone() });
        }
        c.number(&key("spread"), host.spread, 1, WORKERS_MAX);
        if let Some(most) = host.max_connections {
            c.number(&key("max_connections"), most, 1, 1024);
        }
        if let Some(rate) = host.rate_per_second {
            c.number(&key("rate_per_second"), rate, 0.001, 1_000_000.0);
        }
        match (&host.client_certificate, &host.client_key) {
            (Some(_), None) => c.wrong(&key("client_certificate"), Problem::Alone { other: "client_key" }),
            (None, Some(_)) => c.wrong(&key("client_key"), Problem::Alone { other: "client_certificate" }),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// `example.com`, `192.0.2.1:443`, `[2001:db8::1]:443`
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    url::Host::parse(host).is_ok() && port.is_none_or(is_port)
}
