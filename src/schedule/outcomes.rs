//! Inputs of the shard that end attempts.

use super::breaker::sign;
use super::flight::FlightId;
use super::shard::Shard;
use super::turns::Ended;
use crate::model::{Attempt, Disposition, Now, Outcome, Seq, SubscriptionKey, Trigger};
use crate::settle::{DeadRow, RetryKey, RetryRow, Verdict, verdict};

/// What an outcome meant, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Delivered {
        delay_ms: u64,
    },
    Retried,
    Dead,
    /// The subscription is gone; nothing was recorded.
    Orphan,
}

impl Shard {
    /// An attempt ended. `None` for a flight that was reported before.
    pub fn handle_outcome(&mut self, now: Now, id: FlightId, outcome: Outcome) -> Option<Settled> {
        let flight = self.flights.remove(id)?;
        let bytes = flight.event.body().len();
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        let (generation, retry) = (flight.generation, flight.retry.is_some());
        let ended = Ended { generation, sign: sign(&outcome), retry, bytes };
        if let Some(transition) = self.turns.ended(flight.host, now.mono, ended) {
            self.handle_transition(now, flight.host, transition.to);
        }
        let key = flight.subscription;
        if flight.orphan || !self.lanes.contains_key(&key) {
            return Some(Settled::Orphan);
        }
        let seq = flight.event.seq;
        let announce = !flight.event.type_bit.is_operational();
        let counts = self.lanes.get(&key).is_some_and(|lane| lane.condition.counts(flight.version));
        let verdict = verdict(&self.options.policy, key, seq, flight.tries.counted(), &outcome);
        self.replays.attempted(key, seq);
        match flight.retry {
            Some(old) => {
                self.journal.delete_retry(now.mono, old);
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.retries.remove(&seq);
                    lane.in_flight_retries = lane.in_flight_retries.saturating_sub(1);
                    if let Some(heads) = &mut lane.heads {
                        heads.remove(&old);
                    }
                }
            }
            None => self.settle_pair(key, seq),
        }
        let (disposition, settled) = match verdict {
            Verdict::Delivered => {
                let delay_ms =
                    (outcome.started_at + outcome.duration).0.saturating_sub(flight.event.accepted_at.0);
                (Disposition::Delivered, Settled::Delivered { delay_ms })
            }
            Verdict::Retry(wait) => {
                // Later than the row it replaces, so that the two are never one key.
                let after = flight.retry.map_or(now.wall.0, |old| old.due.0);
                let due = (now.wall + wait).max(crate::model::UnixMillis(after + 1));
                let row = RetryRow {
                    key: RetryKey { due, subscription: key, seq },
                    attempts: flight.tries,
                    accepted_at: flight.event.accepted_at,
                    trigger: Trigger::Retry,
                };
                let near = self.window.covers(due);
                self.journal.put_retry(now.mono, row, near);
                if !self.hold(row) && near {
                    self.remember_retry(row);
                }
                if counts {
                    self.park_if_asked(now, key, announce);
                }
                (Disposition::Retry(due), Settled::Retried)
            }
            Verdict::Dead(reason, disable) => {
                self.journal.dead(now.mono, DeadRow { subscription: key, seq, reason, at: now.wall });
                self.announce_death(now, key, &flight.event, (reason, flight.tries.made));
                if let Some(reason) = disable.filter(|_| counts) {
                    self.give_up(now, key, reason, announce);
                }
                (Disposition::Dead, Settled::Dead)
            }
        };
        if counts {
            self.note_health(now, key, &flight.event, outcome.error.is_none());
        }
        let attempt = Attempt {
            seq,
            number: flight.tries.made,
            trigger: flight.trigger,
            started_at: outcome.started_at,
            duration_ms: u32::try_from(outcome.duration.as_millis()).unwrap_or(u32::MAX),
            status: outcome.status,
            error: outcome.error,
            response: outcome.response,
            disposition,
            body_size: u32::try_from(flight.event.body().len()).unwrap_or(u32::MAX),
        };
        self.journal.attempt(now.mono, key, attempt, flight.event.accepted_at);
        self.landed(now, key);
        Some(settled)
    }

    /// A pending pair needs nothing any more.
    fn settle_pair(&mut self, key: SubscriptionKey, seq: Seq) {
        let covered = self.lanes.get_mut(&key).is_some_and(|lane| lane.covered.remove(&seq));
        if !covered {
            self.watermark.settle(seq);
        }
    }

    /// One request fewer is in flight for this lane.
    fn landed(&mut self, now: Now, key: SubscriptionKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if lane.releasing && lane.in_flight == 0 {
            self.release(now, key);
            return;
        }
        self.refresh(key);
        if !self.hungry.is_empty() {
            self.read_on();
        }
    }
}
