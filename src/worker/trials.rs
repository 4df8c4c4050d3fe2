//! Test events: requests that people asked for, beside everything that is scheduled.
//!
//! They go through the worker's own connections, so what is tried is what deliveries use. The shard does
//! not know of them: they count for no breaker, no rate, no order and no health, and nothing of them is
//! written. A bounded number is on its way at once; beyond, the asker is told so at once.

use foldhash::HashMap;
use tokio::sync::oneshot;

use crate::log::api::{TestRefused, TestSend};
use crate::model::{Mono, Now, Outcome};
use crate::send::Job;

/// Test events on their way at once, of one worker.
pub const TRIALS_MAX: usize = 16;

/// The half of a job's number that says that it is none of the shard's flights: a shard has never so many.
const MARK: u64 = u32::MAX as u64;

struct Trial {
    deadline: Mono,
    cancelled: bool,
    reply: oneshot::Sender<Result<Outcome, TestRefused>>,
}

#[derive(Default)]
pub struct Trials {
    under_way: HashMap<u64, Trial>,
    count: u32,
}

impl Trials {
    /// The job to start, unless there are too many.
    pub fn begin(&mut self, test: TestSend, now: Now) -> Option<Job> {
        let TestSend { subscription, event, timeout, reply } = test;
        if self.under_way.len() >= TRIALS_MAX {
            // Who asked may have gone.
            let _ = reply.send(Err(TestRefused::Busy));
            return None;
        }
        self.count = self.count.wrapping_add(1);
        let id = u64::from(self.count) << 32 | MARK;
        self.under_way.insert(id, Trial { deadline: now.mono + timeout, cancelled: false, reply });
        Some(Job { id, subscription, event, attempt: 1, started_at: now.wall, started: now.mono })
    }

    /// Whether a job that ended was one of these; its asker has the answer then.
    pub fn ended(&mut self, id: u64, outcome: &Outcome) -> bool {
        if id & MARK != MARK {
            return false;
        }
        if let Some(trial) = self.under_way.remove(&id) {
            let _ = trial.reply.send(Ok(outcome.clone()));
        }
        true
    }

    /// Jobs whose deadline has come, each once.
    pub fn expired(&mut self, now: Mono) -> Vec<u64> {
        let due = |trial: &Trial| !trial.cancelled && trial.deadline <= now;
        let ids = self.under_way.iter_mut().filter(|(_, trial)| due(trial)).map(|(id, trial)| {
            trial.cancelled = true;
            *id
        });
        ids.collect()
    }

    pub fn next_deadline(&self) -> Option<Mono> {
        self.under_way.values().filter(|trial| !trial.cancelled).map(|trial| trial.deadline).min()
    }

    /// Nobody gets an answer any more.
    pub fn give_up(&mut self) -> Vec<u64> {
        self.under_way.drain().map(|(id, _)| id).collect()
    }
}
