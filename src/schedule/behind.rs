//! What a lagging lane has still to read from the log, as far as it is known. Only told, never decided by.
//!
//! Every event passes by its lane once, so what lags is counted as it passes. What had passed before this
//! run, or went by another worker, is asked of the readers once: exact where it is little, else an
//! estimate from a sample (see [`super::pages::Backlog`]).

use crate::model::{Seq, SubscriptionKey, UnixMillis};

use super::lane::Cursor;
use super::pages::{Backlog, Read};
use super::shard::{Action, Shard};

#[derive(Clone, Copy, Debug, Default)]
pub struct Behind {
    pub events: u64,
    /// When the log took the oldest of them, or one shortly before.
    pub oldest_at: Option<UnixMillis>,
    asked: Option<Asked>,
}

/// A count that is under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    from: Seq,
    through: Seq,
    /// What the lane has read of it meanwhile.
    read: u64,
}

impl Behind {
    /// Events that the lane does not take in now, `at` the first of them.
    pub fn pass(&mut self, events: u64, at: UnixMillis) {
        self.events += events;
        self.oldest_at = Some(self.oldest_at.map_or(at, |oldest| oldest.min(at)));
    }

    /// The lane has read these; what is still to be read is younger.
    pub fn read(&mut self, events: impl Iterator<Item = (Seq, UnixMillis)>) {
        for (seq, at) in events {
            self.events = self.events.saturating_sub(1);
            self.oldest_at = Some(at);
            if let Some(asked) = self.asked.as_mut().filter(|asked| seq <= asked.through) {
                asked.read += 1;
            }
        }
    }

    fn counted(&mut self, backlog: &Backlog) {
        let Some(asked) = self.asked.filter(|asked| asked.from == backlog.from) else { return };
        self.asked = None;
        self.events += backlog.events.saturating_sub(asked.read);
        if asked.read == 0 {
            self.oldest_at = [self.oldest_at, backlog.oldest_at].into_iter().flatten().min();
        }
    }
}

impl Shard {
    /// What the lane has to read up to the worker's position is not known: it is asked.
    pub(super) fn count_behind(&mut self, key: SubscriptionKey) {
        let through = self.watermark.position();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Cursor::Lagging { next, .. } = lane.cursor else { return };
        if next <= through {
            lane.behind.asked = Some(Asked { from: next, through, read: 0 });
            self.uncounted.push_back(key);
            self.count_next();
        }
    }

    /// One count at a time: nothing waits for it.
    fn count_next(&mut self) {
        while !self.counting
            && let Some(key) = self.uncounted.pop_front()
        {
            let Some(lane) = self.lanes.get(&key) else { continue };
            let Some(Asked { from, through, .. }) = lane.behind.asked else { continue };
            self.counting = true;
            let (worker, subscription) = (self.options.worker, lane.subscription.clone());
            self.actions.push_back(Action::Read(Read::Backlog { worker, subscription, from, through }));
        }
    }

    /// The count that was asked for.
    pub fn handle_backlog(&mut self, backlog: &Backlog) {
        self.counting = false;
        if let Some(lane) = self.lanes.get_mut(&backlog.subscription) {
            lane.behind.counted(backlog);
        }
        self.touch(backlog.subscription);
        self.count_next();
    }
}
