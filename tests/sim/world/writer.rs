//! The writer: commits, settlements, and what it tells the workers.

use super::*;

impl World {
    pub(super) fn write(&mut self) {
        while let Some(ask) = self.asks.pop_front() {
            match ask {
                Ask::Append(items) => self.commit(&items),
                Ask::Change(edit) => self.change(edit),
                Ask::Settle(settlement) => self.settle(settlement),
                Ask::CaughtUp(worker) => {
                    self.live[worker] = true;
                    self.workers[worker].behind = false;
                    let head = self.disk.head();
                    self.push(worker, In::Live(head));
                }
            }
        }
    }

    pub(super) fn commit(&mut self, items: &[(AccountKey, TypeBit)]) {
        let mut events = Vec::new();
        for (account, type_bit) in items {
            let seq = self.disk.head().next();
            let seq = Seq(seq.0 + events.len() as u64);
            let id = format!("e{}", seq.0);
            let padding = usize::try_from(self.rng.below(3000)).expect("small");
            let data = filters::data(self.rng.below(filters::NUMBERS), padding);
            let body = Bytes::from(format!("{{\"id\":\"{id}\",\"data\":{data}}}"));
            let len = u8::try_from(id.len()).expect("short");
            let event = Event::new(seq, *account, *type_bit, self.now().wall, len, body).expect("valid");
            events.push(Arc::new(event));
        }
        self.disk.append(events.clone());
        self.oracle.accepted(&events);
        for worker in 0..self.workers.len() {
            let wanted = events
                .iter()
                .any(|e| self.index.workers_wanting(e.account, e.type_bit, e.seq) & (1 << worker) != 0);
            if !wanted || !self.live[worker] {
                continue;
            }
            if self.workers[worker].commits.len() >= COMMITS_MAX {
                self.workers[worker].behind = true;
                self.live[worker] = false;
            } else {
                self.workers[worker].commits.push_back((events.clone(), self.index.version()));
            }
            self.wake(worker);
        }
        self.head = self.disk.head();
    }

    pub(super) fn settle(&mut self, settlement: Settlement) {
        let (worker, serial) = (settlement.worker, settlement.serial);
        for (key, attempt) in &settlement.attempts {
            self.note(*key, Some(attempt.seq), || {
                format!("worker {worker} writes {:?}", attempt.disposition)
            });
        }
        for (key, cursor) in &settlement.lagging_put {
            self.note(*key, None, || {
                format!("worker {worker} writes cursor {cursor:?} at watermark {:?}", settlement.watermark)
            });
        }
        for key in &settlement.lagging_delete {
            self.note(*key, None, || {
                format!("worker {worker} deletes the cursor at watermark {:?}", settlement.watermark)
            });
        }
        for released in &settlement.released {
            self.note(released.subscription, None, || format!("worker {worker} releases {released:?}"));
            self.oracle.limits.released(released.subscription);
        }
        let released = settlement.released.clone();
        self.disk.settle(settlement);
        self.push(worker, In::Flushed(serial));
        for released in released {
            if let Some(sub) = self.subs.get(&released.subscription) {
                let to = self.index.owner(sub);
                self.push(to, In::Adopt(released));
            }
        }
    }

    pub(super) fn push(&mut self, worker: usize, input: In) {
        self.workers[worker].inbox.push_back(input);
        self.wake(worker);
    }

    pub(super) fn wake(&mut self, worker: usize) {
        let wait = self.rng.below(3);
        self.turn_in(worker, wait);
    }

    pub(super) fn turn_in(&mut self, worker: usize, wait_ms: u64) {
        let at = self.now_ms + wait_ms;
        if self.workers[worker].turn_at.is_none_or(|planned| at < planned) {
            self.workers[worker].turn_at = Some(at);
            self.after(wait_ms, Happening::Turn(worker));
        }
    }
}
