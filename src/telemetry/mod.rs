//! Metrics: every name in one table, handles for those who count, and the text that Prometheus reads.
//!
//! Components hold handles ([`handles`]), because naming a metric anew costs ten times as much as counting.
//! All are registered before anything runs, so that a first scrape has every name, at zero. What changes
//! its labels over time (gauges of single subscriptions) and what the kernel knows (`process_*`) is not
//! registered but written at each scrape, so nothing stays behind. A scrape reads memory and /proc only.

pub mod handles;
pub mod names;
mod process;
mod text;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use self::names::{ALL, Kind};
use crate::model::SubscriptionId;

/// How often [`Telemetry::upkeep`] is to be called: samples of histograms wait in memory until then.
pub const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Subscriptions at most that have a gauge of their own; the worst ones where there are more.
pub const SUBSCRIPTION_GAUGES_MAX: usize = 100;

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the metrics recorder cannot be built")]
    Build(#[from] BuildError),
    #[error("another metrics recorder is installed in this process")]
    Installed,
}

/// What a scrape is answered from.
pub struct Telemetry {
    handle: PrometheusHandle,
    subscriptions: Mutex<Vec<(SubscriptionId, f64)>>,
}

impl Telemetry {
    /// Installs the process's recorder and registers every metric. Call it before any handle is made.
    ///
    /// # Errors
    /// Where there is a recorder already.
    pub fn install(version: &str) -> Result<Self, TelemetryError> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Installed)?;
        handles::register(version);
        Ok(Self::over(handle))
    }

    fn over(handle: PrometheusHandle) -> Self {
        Self { handle, subscriptions: Mutex::new(Vec::new()) }
    }

    /// Replaces the gauges of single subscriptions: the age in seconds of the oldest event that each has
    /// not got yet, for those that are not healthy.
    pub fn set_subscriptions(&self, mut ages: Vec<(SubscriptionId, f64)>) {
        ages.sort_by(|a, b| b.1.total_cmp(&a.1));
        ages.truncate(SUBSCRIPTION_GAUGES_MAX);
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner) = ages;
    }

    /// Moves waiting samples into their histograms.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The exposition format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = self.handle.render();
        let ages = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        text::family(&mut out, &names::SUBSCRIPTION_OLDEST_UNDELIVERED, |line| {
            for (id, age) in &ages {
                line(&[("subscription", id.as_str())], *age);
            }
        });
        process::write(&mut out);
        out
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
pub(crate) mod tests;
