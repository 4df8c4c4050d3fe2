//! What the writer does once a second beside writing: room on the disk, opening the store again after an
//! error, sealing deduplication partitions, retention, watermarks of idle workers, samples for metrics.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::auditing::oldest_noted;
use super::commit::put_registry_rows;
use super::db::Family;
use super::guard::{StoreError, free_bytes};
use super::key::Key;
use super::publish::Doubt;
use super::record::encode;
use super::retention::{drop_files, floors, put_floors};
use super::rollups::Span;
use super::sealing::Sealing;
use super::settling::{put_rollups, put_watermark};
use super::stats::LogStats;
use super::writer::Writer;
use crate::model::{Now, Seq, UnixMillis};

/// Ticks between two looks at retention: its floors are a minute apart anyway.
const RETENTION_TICKS: u64 = 60;
/// Ticks between two samples of the store's sizes.
const SAMPLE_TICKS: u64 = 5;
/// Ticks between two times at which what charts are drawn from is written.
const ROLLUP_TICKS: u64 = 60;
/// Rows of that in one second, a few milliseconds' work.
const ROLLUPS_AT_ONCE: usize = 4096;

impl Writer {
    pub(super) fn tick(&mut self, now: Now) {
        self.census.paused = false;
        self.look_at_disk();
        if self.failed.is_some() {
            self.try_reopen();
        }
        if self.failed.is_none() {
            if self.ticks.is_multiple_of(ROLLUP_TICKS) || self.store.rollups().is_full() {
                self.store.rollups().begin(now.wall);
            }
            let rollups = |writer: &mut Self, _| writer.write_rollups(ROLLUPS_AT_ONCE);
            for work in [Self::seal, Self::raise_idle_watermarks, Self::forget_noted, rollups] {
                if let Err(error) = work(self, now.wall) {
                    tracing::error!(code = error.code(), %error, "upkeep of the store failed");
                }
            }
            if self.ticks.is_multiple_of(RETENTION_TICKS)
                && let Err(error) = self.retain(now.wall)
            {
                tracing::error!(code = error.code(), %error, "retention failed");
            }
        }
        self.state.dedupe.expire(now.wall);
        if self.ticks.is_multiple_of(SAMPLE_TICKS) {
            self.sample();
        }
        self.ticks += 1;
    }

    /// Writes what charts are drawn from, a part each second until all is written.
    pub(super) fn write_rollups(&mut self, most: usize) -> Result<(), StoreError> {
        let counters = &mut self.state.counters;
        let rows = self.store.rollups().take(most, || {
            counters.attempts_serial += 1;
            counters.attempts_serial
        });
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.store.with(|db| {
            let mut batch = db.batch()?;
            put_rollups(&mut batch, &rows)?;
            batch.put(Family::Meta, Key::Counters.encode().as_ref(), &encode(&self.state.counters)?);
            db.write(batch, false)
        });
        if written.is_err() {
            self.store.rollups().give_back(&rows);
        }
        written.map(|_| ())
    }

    fn look_at_disk(&mut self) {
        let Some(free) = free_bytes(self.store.path()) else { return };
        LogStats::set(&self.stats.disk_free_bytes, free);
        let low = free < self.options.disk_reserve_bytes;
        if low != self.disk_low {
            self.disk_low = low;
            self.stats.disk_low.store(low, Ordering::Relaxed);
            if low {
                tracing::error!(
                    free,
                    reserve = self.options.disk_reserve_bytes,
                    "the disk is below its reserve"
                );
            } else {
                tracing::info!(free, "the disk has room again");
            }
        }
    }

    /// Closing and opening is the only way out of RocksDB's background error. Not while the disk is full:
    /// as long as the store is not closed, it can be read.
    fn try_reopen(&mut self) {
        if self.disk_low {
            return;
        }
        if let Err(error) = self.store.reopen() {
            tracing::error!(code = error.code(), %error, "the store does not open again");
            return;
        }
        let Some(doubt) = self.failed.take() else { return };
        match self.resolve(doubt) {
            Ok(()) => {
                self.stats.failed.store(false, Ordering::Relaxed);
                tracing::info!("the store takes writes again");
                // Its failure is dealt with inside.
                self.commit_events(Vec::new());
                let _ = self.write(false, |_| Ok(()));
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the store opened again and cannot be read");
                self.failed = Some(Doubt::Settlements);
            }
        }
    }

    /// Takes what the sealing thread has made, and begins with the next partition where it is time.
    pub(super) fn seal(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let wait = self.state.dedupe.overfull();
        if let Some(done) = self.sealing.as_ref().and_then(|sealing| sealing.poll(wait)) {
            let merged = self.sealing.take().map(Sealing::into_merged).unwrap_or_default();
            let written = done.and_then(|sealed| {
                self.store.with(|db| {
                    let mut batch = db.batch()?;
                    sealed.put(&mut batch, &merged)?;
                    db.write(batch, false)
                })?;
                Ok(sealed)
            });
            let sealed = match written {
                Ok(sealed) => sealed,
                Err(error) => {
                    self.state.dedupe.unseal();
                    return Err(error);
                }
            };
            for partition in merged {
                self.state.partitions.remove(&partition);
            }
            self.state.partitions.insert(sealed.partition, Some(sealed.sealed_at()));
            self.state.dedupe.sealed(sealed.partition, sealed.newest_at, sealed.ids, sealed.filter);
            LogStats::set(&self.stats.dedupe_forgotten, self.state.dedupe.forgotten());
        }
        if self.sealing.is_none()
            && self.state.dedupe.wants_seal(now)
            && let Some(job) = self.state.dedupe.seal()
        {
            let open = self.state.partitions.iter().filter(|(_, sealed)| sealed.is_none());
            let merged = open.map(|(partition, _)| *partition).collect();
            self.sealing = Some(Sealing::begin(job, merged));
        }
        Ok(())
    }

    /// A worker that was given nothing since its watermark has nothing to settle: everything up to the
    /// head is settled for it. Without this, one idle worker would make every start read the whole log.
    fn raise_idle_watermarks(&mut self, _now: UnixMillis) -> Result<(), StoreError> {
        let head = self.state.head;
        let idle = |(number, mark): (&u16, &Seq)| {
            let worker = self.workers.get(usize::from(*number))?;
            (worker.live && *mark >= worker.pushed && *mark < head).then_some(*number)
        };
        let raised: Vec<u16> = self.state.watermarks.iter().filter_map(idle).collect();
        if !raised.is_empty() {
            self.write(false, |batch| {
                raised.iter().try_for_each(|worker| put_watermark(batch, *worker, head))
            })?;
            for worker in raised {
                self.state.watermarks.insert(worker, head);
            }
        }
        let low = self.state.watermarks.values().copied().min().unwrap_or_default();
        LogStats::set(&self.stats.low_watermark, low.0);
        Ok(())
    }

    /// Answers to requests and the audit trail have their time. What a power cut brings back goes again.
    fn forget_noted(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let keep = self.options.retention.audit;
        let oldest = self.store.with(oldest_noted)?.into_iter();
        let plan =
            self.registry.read().unwrap_or_else(PoisonError::into_inner).plan_upkeep(now, keep, oldest);
        if !plan.rows().is_empty() {
            self.write(false, |batch| {
                put_registry_rows(batch, plan.rows());
                Ok(())
            })?;
            let _ = self.install_change(plan);
        }
        Ok(())
    }

    pub(super) fn retain(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let present = self.store.floors.get();
        self.store.floors.set_rollups(Span::of(now - self.options.retention.attempts));
        let window = self.options.dedupe_window;
        let state = &mut self.state;
        let next = floors(&state.timeline, &state.partitions, &self.options.retention, window, now, present);
        if next == present && self.minutes_gone.is_empty() {
            return Ok(());
        }
        let mut gone = state.timeline.forget_below(next.attempts.min(next.dead));
        gone.append(&mut self.minutes_gone);
        self.store.with(|db| put_floors(db, next, &gone))?;
        self.store.floors.raise(&next);
        self.state.partitions = self.state.partitions.split_off(&next.ids);
        LogStats::set(&self.stats.floor, next.events.0);
        self.store.with(|db| drop_files(db, next))
    }

    fn sample(&self) {
        let sampled = self.store.with(|db| {
            for (family, bytes) in Family::ALL.into_iter().zip(&self.stats.family_bytes) {
                LogStats::set(bytes, db.bytes(family));
            }
            LogStats::set(&self.stats.dead_letters, db.rows_estimate(Family::Dead));
            self.stats.stalled.store(db.is_stalled(), Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = sampled {
            tracing::debug!(%error, "no sample of the store's sizes");
        }
    }
}
