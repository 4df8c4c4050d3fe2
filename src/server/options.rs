//! From the configuration to each component's own options.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::ingest::{IngestOptions, Limits, server_id};
use crate::log::options::{LogOptions, Retention};
use crate::model::{Catalogue, DeliveryOptions, HostRules, OnBlocked, Ordering, SignatureScheme};
use crate::registry::{RegistryOptions, Vault};
use crate::rt::{clock, random};
use crate::schedule;
use crate::send::proxy::Proxy;
use crate::send::target::Egress;
use crate::send::tls::{Trust, TrustError, TrustOptions};
use crate::send::{ResolverOptions, SendOptions};
use crate::settle::RetryPolicy;

/// Events that wait in one worker's memory at most.
const QUEUED_MAX: usize = 64 * 1024;
/// Bytes of bodies that wait in one worker's memory at most.
const QUEUED_BYTES_MAX: usize = 48 << 20;
/// Requests that one worker has in flight at most.
const IN_FLIGHT_MAX: usize = 4096;
/// Bytes of bodies that one worker has in flight at most: what its sockets may have to hold.
const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;
/// The store, inside the data directory.
pub const STORE_DIRECTORY: &str = "store";

pub fn workers(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = usize::try_from(config.workers.count).unwrap_or(1);
    (if count == 0 { cores } else { count }).clamp(1, crate::route::WORKERS_MAX)
}

/// The core for a worker; more workers than cores share them in turn.
pub fn core_of(worker: usize) -> usize {
    worker % std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub fn log(config: &Config) -> LogOptions {
    LogOptions {
        retention: Retention {
            events: config.retention.events,
            attempts: config.retention.attempts,
            dead_letters: config.retention.dead_letters,
            audit: config.retention.audit,
        },
        dedupe_window: config.retention.dedupe_window,
        ..LogOptions::new(config.data_dir.join(STORE_DIRECTORY))
    }
}

pub fn registry(config: &Config, catalogue: &Arc<Catalogue>, vault: Vault) -> RegistryOptions {
    RegistryOptions {
        catalogue: Arc::clone(catalogue) as _,
        webhooks_enabled: config.features.webhooks,
        delivery: DeliveryOptions {
            timeout: config.delivery.timeout,
            max_in_flight: config.delivery.max_in_flight_per_subscription,
            rate_per_second: None,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        },
        vault: Arc::new(vault),
    }
}

pub fn shard(config: &Config, rules: &Arc<HostRules>, worker: usize, workers: usize) -> schedule::Options {
    schedule::Options {
        worker,
        workers,
        policy: RetryPolicy {
            schedule: config.delivery.retry_schedule.clone(),
            jitter: config.delivery.retry_jitter,
        },
        disable_after: Some(config.delivery.disable_after).filter(|after| !after.is_zero()),
        host_in_flight_max: config.delivery.max_connections_per_host,
        breaker: schedule::BreakerPolicy {
            window: config.breaker.window,
            min_requests: config.breaker.min_requests,
            failure_ratio: config.breaker.failure_ratio,
            open: config.breaker.open,
            open_max: config.breaker.open_max,
        },
        in_flight_max: IN_FLIGHT_MAX,
        queued_max: QUEUED_MAX,
        queued_bytes_max: QUEUED_BYTES_MAX,
        in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
        host_rules: Arc::clone(rules),
    }
}

/// The roots that receivers' certificates must lead to. Reads files: once, for all workers.
pub fn trust(config: &Config) -> Result<Trust, TrustError> {
    Trust::load(&TrustOptions {
        ca_file: config.egress.ca_file.clone(),
        system_roots: config.egress.system_roots,
    })
}

/// The key of `[egress]` that a failure of [`trust`] is about.
pub fn trust_key(error: &TrustError) -> &'static str {
    if matches!(error, TrustError::System) { "system_roots" } else { "ca_file" }
}

pub fn send(config: &Config, rules: &Arc<HostRules>, trust: &Trust) -> SendOptions {
    SendOptions {
        egress: egress(&config.egress),
        proxy: config.egress.proxy.as_ref().map(|proxy| {
            let credentials = proxy.credentials.as_ref();
            let credentials = credentials.map(|(user, password)| (user.as_str(), password.as_str()));
            Arc::new(Proxy::new(&proxy.host, proxy.port, credentials))
        }),
        trust: trust.clone(),
        connect_timeout: config.delivery.connect_timeout,
        max_response_size: config.delivery.max_response_size.bytes(),
        max_connections_per_host: usize::try_from(config.delivery.max_connections_per_host).unwrap_or(1),
        host_rules: Arc::clone(rules),
        ..SendOptions::new(clock::mono)
    }
}

/// Both sides check the same syntax; what only the configuration knows opens nothing.
fn egress(config: &config::Egress) -> Egress {
    Egress {
        allow_http: config.allow_http,
        allow_networks: config
            .allow_networks
            .iter()
            .filter_map(|cidr| cidr.to_string().parse().ok())
            .collect(),
        allow_hosts: config.allow_hosts.iter().filter_map(|host| host.0.parse().ok()).collect(),
        refuse_ports: config.refuse_ports.iter().map(|port| port.0).collect(),
    }
}

pub fn resolver(config: &Config) -> ResolverOptions {
    ResolverOptions { nameservers: config.egress.nameservers.clone(), ..ResolverOptions::new(clock::mono) }
}

pub fn ingest(config: &Config) -> IngestOptions {
    IngestOptions {
        socket_mode: config.ingest.socket_mode.0,
        listen: config.ingest.listen,
        limits: Limits {
            max_event_size: config.ingest.max_event_size.bytes(),
            max_batch: usize::try_from(config.ingest.max_batch).unwrap_or(usize::MAX),
            max_request_size: config.ingest.max_request_size.bytes(),
        },
        ..IngestOptions::new(
            config.ingest.socket.clone(),
            || server_id(clock::wall(), random::bytes()),
            clock::wall,
        )
    }
}

/// The keys with which the platform vouches for its people, where there are any.
pub fn jwt(given: &config::Jwt) -> Result<Option<crate::admin::Jwt>, crate::admin::JwtError> {
    let files = crate::admin::JwtFiles { key: given.key_file.clone(), set: given.jwks_file.clone() };
    let claims = crate::registry::Claims {
        issuer: given.issuer.clone(),
        audience: given.audience.clone(),
        account: given.account_claim.clone(),
        role: given.role_claim.clone(),
        licence: given.licence_claim.clone(),
        leeway: given.leeway,
        lifetime_max: given.max_lifetime,
    };
    files.any().then(|| crate::admin::Jwt::open(files, claims, clock::wall())).transpose()
}

/// What one client of the admin port may ask for.
pub fn limits(config: &Config) -> crate::admin::Limits {
    crate::admin::Limits::new(config.admin.requests_per_second, config.admin.burst)
}
