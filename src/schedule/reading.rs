//! Questions of the shard to the log: events that it has not taken in, those that a lane lags behind
//! with, retries that are due and their bodies. What comes of them is an input (see `intake`).

use std::sync::Arc;
use std::time::Duration;

use super::lane::Cursor;
use super::pages::{PAGE_EVENTS_MAX, Read};
use super::shard::{Action, Intake, Shard};
use crate::model::{Now, Seq, SubscriptionKey};

/// Lanes that read from the log at once.
const LANES_READING_MAX: usize = 4;
/// Lanes that read parked retries back at once.
const PARKED_READING_MAX: usize = 2;
/// Bodies that one read asks for at most.
const BODIES_MAX: usize = 256;

impl Shard {
    /// Reads a lane's parked retries back, or lets it wait for the next settlement where their rows are
    /// not in the store yet or there is no room for them.
    pub(super) fn read_parked(&mut self, key: SubscriptionKey) {
        let wait = self.is_crowded() || self.parked_reading >= PARKED_READING_MAX;
        let flushed = self.journal.flushed_serial();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if wait || flushed < lane.parked_serial {
            if !lane.parked_waiting {
                lane.parked_waiting = true;
                self.parked.push_back(key);
            }
            return;
        }
        lane.parked_reading = true;
        self.parked_reading += 1;
        self.actions.push_back(Action::Read(Read::Retries {
            worker: self.options.worker,
            only: Some(key),
            after: None,
            until: self.window.until(self.wall),
        }));
    }

    /// Asks the readers for what is wanted and not under way.
    pub(super) fn read_on(&mut self) {
        if let Intake::Reading { asked: false, .. } = self.intake {
            self.intake = match self.intake {
                Intake::Reading { until, .. } => Intake::Reading { asked: true, until },
                Intake::Live => Intake::Live,
            };
            let from = self.watermark.position().next();
            self.actions.push_back(Action::Read(Read::Log { worker: self.options.worker, from }));
        }
        while self.lanes_reading < LANES_READING_MAX && !self.is_crowded() {
            let Some(key) = self.hungry.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.hungry = false;
            let Cursor::Lagging { next, reading: None } = lane.cursor else { continue };
            if !lane.is_open() {
                continue;
            }
            lane.cursor = Cursor::Lagging { next, reading: Some(next) };
            let limit = lane.fresh_max().saturating_sub(lane.fresh.len()).clamp(1, PAGE_EVENTS_MAX);
            let subscription = Arc::clone(&lane.subscription);
            self.lanes_reading += 1;
            self.actions.push_back(Action::Read(Read::Subscription {
                worker: self.options.worker,
                subscription,
                from: next,
                limit,
            }));
        }
    }

    /// Due retries get their bodies; the next page of retries is asked for.
    pub(super) fn wake_retries(&mut self, now: Now) {
        if let Some(ask) = self.window.ask(now.wall) {
            for row in self.journal.take_far(ask.until + Duration::from_millis(1)) {
                self.remember_retry(row);
            }
            self.actions.push_back(Action::Read(Read::Retries {
                worker: self.options.worker,
                only: None,
                after: ask.after,
                until: ask.until,
            }));
        }
        let mut wanted = Vec::new();
        while !self.is_crowded() {
            let Some(row) = self.window.pop_due(now.wall) else { break };
            let (key, seq) = (row.key.subscription, row.key.seq);
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if !lane.is_open() || lane.retries_due >= lane.retries_due_max() {
                lane.retries.remove(&seq);
                lane.parked = true;
                lane.parked_serial = self.journal.last_put();
                self.refresh(key);
                continue;
            }
            lane.retries_due += 1;
            self.queued += 1;
            wanted.push((key, seq));
            if wanted.len() >= BODIES_MAX {
                self.ask_bodies(std::mem::take(&mut wanted));
            }
        }
        if !wanted.is_empty() {
            self.ask_bodies(wanted);
        }
    }

    fn ask_bodies(&mut self, wanted: Vec<(SubscriptionKey, Seq)>) {
        self.actions.push_back(Action::Read(Read::Bodies { worker: self.options.worker, wanted }));
    }
}
