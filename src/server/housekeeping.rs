//! Once a second: what the parts know goes to the metrics and to `/readyz`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use super::board::Board;
use super::recover::Table;
use crate::admin::{Pulse, Readiness, Sample};
use crate::log::store::Store;
use crate::model::{Mono, UnixMillis};
use crate::registry::Registry;
use crate::rt::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::handles::{ControlMetrics, LogMetrics};
use crate::worker::Mailbox;

const TICK: Duration = Duration::from_secs(1);
/// Until the workers have recovered, so that `/readyz` says so at once.
const TICK_RECOVERING: Duration = Duration::from_millis(50);

pub struct Parts {
    pub store: Arc<Store>,
    pub pulse: Arc<Pulse>,
    pub board: Arc<Board>,
    pub jobs: Arc<Table>,
    pub registry: Arc<RwLock<Registry>>,
    pub mailboxes: Vec<Arc<Mailbox>>,
    pub readiness: Arc<Readiness>,
    pub telemetry: Arc<Telemetry>,
    pub log: LogMetrics,
    pub control: ControlMetrics,
}

pub struct Housekeeping {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Housekeeping {
    pub fn stop(self) {
        drop(self.stop);
        // Its panic, if it had one, was reported by itself.
        let _ = self.thread.join();
    }
}

pub fn start(parts: Parts) -> std::io::Result<Housekeeping> {
    let (stop, stopped) = bounded::<()>(0);
    let thread = std::thread::Builder::new().name("housekeeping".to_owned()).spawn(move || {
        loop {
            parts.tick();
            let recovered = parts.mailboxes.iter().all(|mailbox| mailbox.is_recovered());
            if recovered {
                parts.readiness.set_recovered();
            }
            let wait = if recovered { TICK } else { TICK_RECOVERING };
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(Housekeeping { stop, thread })
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point; counts beyond 2^53 do not occur")]
fn gauge(value: u64) -> f64 {
    value as f64
}

impl Parts {
    /// For the operator's overview.
    fn beat(&self, at: UnixMillis, oldest: Option<UnixMillis>) {
        let stats = self.store.stats();
        let [queued, in_flight, lagging_subscriptions] = self.board.totals();
        self.pulse.beat(Sample {
            at,
            accepted: stats.accepted.load(Ordering::Relaxed),
            attempts: self.store.rolled_up(),
            queued,
            in_flight,
            lagging_subscriptions,
            retries_waiting: stats.retries_waiting.load(Ordering::Relaxed),
            dead_letters: stats.dead_letters.load(Ordering::Relaxed),
            oldest,
        });
    }

    fn tick(&self) {
        let stats = self.store.stats();
        let load = |value: &std::sync::atomic::AtomicU64| gauge(value.load(Ordering::Relaxed));
        self.log.head.set(load(&stats.head));
        self.log.low_watermark.set(load(&stats.low_watermark));
        self.log.retries_waiting.set(load(&stats.retries_waiting));
        self.log.dead_letters.set(load(&stats.dead_letters));
        self.log.stalled.set(if stats.stalled.load(Ordering::Relaxed) { 1.0 } else { 0.0 });
        for (gauge, bytes) in self.log.bytes.iter().zip(&stats.family_bytes) {
            gauge.set(load(bytes));
        }
        self.log.rollups_left_out.absolute(self.store.left_out_of_charts());
        self.readiness.set_store_failing(stats.failed.load(Ordering::Relaxed));
        self.readiness.set_disk_low(stats.disk_low.load(Ordering::Relaxed));
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            self.readiness.beat(worker, Mono(mailbox.beat_ms().saturating_mul(1_000_000)));
        }
        let now = clock::now().wall;
        let oldest = self.board.oldest();
        self.control.oldest_undelivered.set(oldest.map_or(0.0, |at| now.since(at).as_secs_f64()));
        self.beat(now, oldest);
        self.control.recover_jobs.set(gauge(self.jobs.open()));
        let unwell = self.board.unwell();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        self.control.accounts.set(gauge(registry.account_count() as u64));
        self.control.subscriptions.set(gauge(registry.subscription_count() as u64));
        let ages = unwell
            .into_iter()
            .filter_map(|(key, at)| {
                Some((registry.subscription(key)?.id.clone(), now.since(at).as_secs_f64()))
            })
            .collect();
        drop(registry);
        self.telemetry.set_subscriptions(ages);
    }
}
