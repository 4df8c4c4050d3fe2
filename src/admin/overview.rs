//! The operator's overview: how the whole engine does now, and has done for the last minutes.
//!
//! Everything is in memory already: totals that the log counts, what the workers report, sampled once a
//! second by housekeeping into a ring ([`Pulse`]). No scan, no wait for a worker. Hosts are those of the
//! subscriptions that are unwell, of which each worker names a bounded number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::charts::Delay;
use super::ports::{BreakerState, HealthState};
use super::problem::Problem;
use super::query::RawQuery;
use super::state::Admin;
use crate::model::{Rollup, UnixMillis};

/// Samples kept: three minutes, and the one that the first difference needs.
const SAMPLES_MAX: usize = 181;
const SAMPLES_APART_MIN: Duration = Duration::from_millis(700);
/// Seconds over which the present rates are means.
const RATE_SECS: usize = 10;
/// Seconds whose deliveries the present delay speaks of.
const DELAY_SECS: usize = 60;
/// Hosts that are told of, those that have waited longest.
const HOSTS_MAX: usize = 20;

/// How the engine does at one moment. Totals are since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: UnixMillis,
    pub accepted: u64,
    pub attempts: Rollup,
    /// In memory, waiting to be sent.
    pub queued: u64,
    pub in_flight: u64,
    pub lagging_subscriptions: u64,
    pub retries_waiting: u64,
    pub dead_letters: u64,
    /// When the log took the oldest event that is undelivered.
    pub oldest: Option<UnixMillis>,
}

/// The last samples.
#[derive(Default)]
pub struct Pulse(Mutex<VecDeque<Sample>>);

impl Pulse {
    pub fn beat(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // While the engine recovers it looks more often.
        if samples.back().is_some_and(|last| sample.at.since(last.at) < SAMPLES_APART_MIN) {
            return;
        }
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    at: String,
    accounts: usize,
    subscriptions: usize,
    accepted_per_second: f64,
    delivered_per_second: f64,
    failed_per_second: f64,
    delay_ms: Option<Quantiles>,
    queued: u64,
    in_flight: u64,
    retries_waiting: u64,
    lagging_subscriptions: u64,
    dead_letters: u64,
    oldest_undelivered_at: Option<String>,
    hosts: Vec<HostView>,
    history: Vec<Second>,
}

/// The longest of a time is not known from totals, so it is not here.
#[derive(Serialize)]
struct Quantiles {
    avg: u64,
    p50: u64,
    p99: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Second {
    at: String,
    accepted: u64,
    delivered: u64,
    failed: u64,
    waiting: u64,
    delay_ms: Option<Quantiles>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HostView {
    host: String,
    breaker: &'static str,
    subscriptions: usize,
    pending: u64,
    oldest_pending_at: Option<String>,
    last_failure_at: Option<String>,
}

fn quantiles(rollup: &Rollup) -> Option<Quantiles> {
    let Delay { avg, p50, p99, .. } = Delay::of(rollup)?;
    Some(Quantiles { avg, p50, p99 })
}

fn second(earlier: &Sample, later: &Sample) -> Second {
    let came = later.attempts.since(&earlier.attempts);
    Second {
        at: later.at.to_rfc3339(),
        accepted: later.accepted.saturating_sub(earlier.accepted),
        delivered: came.delivered,
        failed: came.failed,
        waiting: later.queued + later.retries_waiting,
        delay_ms: quantiles(&came),
    }
}

/// What has come in the last samples, and in how many seconds.
fn lately(samples: &[Sample], most: usize) -> (u64, Rollup, f64) {
    let Some(last) = samples.last() else { return (0, Rollup::default(), 1.0) };
    let first = samples.iter().rev().nth(most).or(samples.first()).unwrap_or(last);
    let seconds = last.at.since(first.at).as_secs_f64().max(1.0);
    (last.accepted.saturating_sub(first.accepted), last.attempts.since(&first.attempts), seconds)
}

#[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

/// Hosts of subscriptions that are unwell, longest waiting first.
fn hosts(admin: &Admin) -> Vec<HostView> {
    #[derive(Default)]
    struct Host {
        breaker: BreakerState,
        subscriptions: usize,
        pending: u64,
        oldest: Option<UnixMillis>,
        failed: Option<UnixMillis>,
    }
    let unwell = admin.healths.unwell();
    let registry = admin.registry();
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    for (key, oldest) in unwell {
        let Some(sub) = registry.subscription(key) else { continue };
        let health = admin.healths.health(key);
        if health.state == HealthState::Healthy && health.breaker == BreakerState::Closed {
            continue;
        }
        let host = hosts.entry(sub.callback_url.authority().to_string()).or_default();
        if health.breaker != BreakerState::Closed {
            host.breaker = health.breaker;
        }
        host.subscriptions += 1;
        host.pending += health.pending;
        host.oldest = [host.oldest, Some(oldest)].into_iter().flatten().min();
        host.failed = host.failed.max(health.last_failure_at);
    }
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, host)| host.oldest);
    let view = |(name, host): (String, Host)| HostView {
        host: name,
        breaker: host.breaker.as_str(),
        subscriptions: host.subscriptions,
        pending: host.pending,
        oldest_pending_at: host.oldest.map(UnixMillis::to_rfc3339),
        last_failure_at: host.failed.map(UnixMillis::to_rfc3339),
    };
    hosts.into_iter().take(HOSTS_MAX).map(view).collect()
}

pub async fn show(State(admin): State<Arc<Admin>>, query: RawQuery) -> Result<Response, Problem> {
    query.judge(&[]).done()?;
    let samples = admin.pulse.samples();
    let last = samples.last().copied().unwrap_or_default();
    let (accepted, attempts, seconds) = lately(&samples, RATE_SECS);
    let (_, recent, _) = lately(&samples, DELAY_SECS);
    let (accounts, subscriptions) = {
        let registry = admin.registry();
        (registry.account_count(), registry.subscription_count())
    };
    let overview = Overview {
        at: last.at.to_rfc3339(),
        accounts,
        subscriptions,
        accepted_per_second: rate(accepted, seconds),
        delivered_per_second: rate(attempts.delivered, seconds),
        failed_per_second: rate(attempts.failed, seconds),
        delay_ms: quantiles(&recent),
        queued: last.queued,
        in_flight: last.in_flight,
        retries_waiting: last.retries_waiting,
        lagging_subscriptions: last.lagging_subscriptions,
        dead_letters: last.dead_letters,
        oldest_undelivered_at: last.oldest.map(UnixMillis::to_rfc3339),
        hosts: hosts(&admin),
        history: samples.iter().zip(samples.iter().skip(1)).map(|(one, next)| second(one, next)).collect(),
    };
    Ok(Json(overview).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: u64, accepted: u64) -> Sample {
        Sample { at: UnixMillis(secs * 1000), accepted, ..Sample::default() }
    }

    #[test]
    fn samples_are_a_second_apart_and_bounded() {
        let pulse = Pulse::default();
        for millis in (0..400_000).step_by(500) {
            pulse.beat(Sample { at: UnixMillis(millis), ..Sample::default() });
        }
        let samples = pulse.samples();
        assert_eq!(samples.len(), SAMPLES_MAX);
        let apart = samples.iter().zip(samples.iter().skip(1)).map(|(one, next)| next.at.since(one.at));
        assert!(apart.into_iter().all(|apart| apart == Duration::from_secs(1)));
    }

    #[test]
    fn rates_are_means_of_the_last_seconds() {
        let near = |have: f64, want: f64| assert!((have - want).abs() < 1e-9, "{have} for {want}");
        near(lately(&[], 10).2, 1.0);
        near(lately(&[sample(5, 7)], 10).2, 1.0);
        let samples: Vec<_> = (0..30).map(|n| sample(n, n * n)).collect();
        let (accepted, _, seconds) = lately(&samples, 10);
        assert_eq!(accepted, 29 * 29 - 19 * 19);
        near(seconds, 10.0);
        near(lately(&samples, 60).2, 29.0);
        near(rate(accepted, seconds), 48.0);
    }
}
