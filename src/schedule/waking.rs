//! Waking retries: those that are due get their bodies, the window reads ahead, and what had to stay on
//! disk for want of room is read back.

use std::time::Duration;

use super::pages::Read;
use super::shard::{Action, Shard};
use crate::model::{Now, Seq, SubscriptionKey};

/// Lanes that read parked retries back at once.
const PARKED_READING_MAX: usize = 2;
/// Bodies that one read asks for at most.
const BODIES_MAX: usize = 256;

impl Shard {
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
        while !self.asks_enough() {
            let Some(row) = self.window.pop_due(now.wall) else { break };
            let (key, seq) = (row.key.subscription, row.key.seq);
            let room = self.lanes.get(&key).map_or(0, |lane| self.retries_room(lane));
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            // In order there is one at a time.
            let full = lane.heads.is_none() && lane.retries_due >= room;
            if !lane.is_open() || full {
                lane.park(row.key, self.journal.last_put());
                self.refresh(key);
                continue;
            }
            let Some(held) = lane.retries.get_mut(&seq) else { continue };
            held.asked = true;
            lane.retries_due += 1;
            self.queued += 1;
            self.bodies_asked += 1;
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

    /// Reads a lane's parked retries back, or lets it wait for the next settlement where their rows are
    /// not in the store yet or there is no room for them.
    pub(super) fn read_parked(&mut self, key: SubscriptionKey) {
        let wait = self.asks_enough() || self.parked_reading >= PARKED_READING_MAX;
        let flushed = self.journal.flushed_serial();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if wait || flushed < lane.parked_serial {
            self.wait_for_flush(key);
            return;
        }
        // What is parked from here on may not be in the page.
        let after = lane.parked.take();
        lane.parked_reading = true;
        self.parked_reading += 1;
        self.actions.push_back(Action::Read(Read::Retries {
            worker: self.options.worker,
            only: Some(key),
            after,
            until: self.window.until(self.wall),
        }));
    }

    /// The lane is refreshed with the next settlement or page.
    pub(super) fn wait_for_flush(&mut self, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !lane.parked_waiting {
            lane.parked_waiting = true;
            self.parked.push_back(key);
        }
    }

    /// Lanes that waited to read their parked retries may try again: as many as can, for there may be
    /// thousands of them when a host is back.
    pub(super) fn retry_parked(&mut self) {
        for _ in 0..self.parked.len() {
            if self.parked_reading >= PARKED_READING_MAX {
                // Each page that comes lets others try.
                return;
            }
            let Some(key) = self.parked.pop_front() else { return };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.parked_waiting = false;
            }
            self.refresh(key);
        }
    }
}
