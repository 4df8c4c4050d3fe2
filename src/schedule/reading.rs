//! Reading the log: what the worker has not taken in, and what lanes lag behind with. What comes of it is
//! an input (see `intake`); retries are the business of `waking`.

use std::sync::Arc;

use super::lane::Cursor;
use super::pages::{PAGE_EVENTS_MAX, Read};
use super::shard::{Action, Intake, Shard};

/// Lanes that read from the log at once.
const LANES_READING_MAX: usize = 4;

impl Shard {
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
        while self.lanes_reading < LANES_READING_MAX {
            let Some(key) = self.hungry.pop_front() else { break };
            let limit = self.lanes.get(&key).map_or(0, |lane| self.may_read(lane));
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.hungry = false;
            let Cursor::Lagging { next, reading: None } = lane.cursor else { continue };
            if !lane.is_open() || limit == 0 {
                // It is refreshed when it opens, or sends what it has.
                continue;
            }
            lane.cursor = Cursor::Lagging { next, reading: Some(next) };
            let limit = limit.min(PAGE_EVENTS_MAX);
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
}
