//! Sending again by hand: a delivery that is delivered, dead or waiting becomes a retry that is due now.
//!
//! It goes the way of every retry from there on: a row on disk holds it up, order, limits and breakers hold
//! for it, and where it fails, the schedule begins anew. Only the store knows of deliveries that are not in
//! memory, so it is asked, for one request at a time and only once everything settled so far is in it. What
//! happens to a delivery after that happens here: an attempt that ends meanwhile is what was asked for.
//!
//! The row is put, what it replaces is deleted and a dead letter is taken from the dead in one settlement,
//! which is synced; the answer is given when that is in the store. A delivery that is being sent, or was
//! never tried and waits for its turn, is left alone: it will be sent, and must not be twice.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashSet;

use super::lane::{Cursor, Lane};
use super::pages::{Known, Read, ReplayPage};
use super::shard::{Action, Shard};
use crate::model::{Now, Seq, Subscription, SubscriptionKey, Trigger, UnixMillis};
use crate::settle::{RetryKey, RetryRow, Tries};

/// Deliveries of one subscription that are to be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The shell's own number for it.
    pub id: u64,
    pub subscription: SubscriptionKey,
    /// At most [`super::pages::PAGE_EVENTS_MAX`].
    pub seqs: Vec<Seq>,
    /// What the attempts will say made them.
    pub trigger: Trigger,
}

/// What was done about one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is a retry that is due now.
    Due,
    /// It is being sent, or waits for its first attempt, or was attempted since it was asked for.
    UnderWay,
    /// The event is not in the log any more.
    Gone,
    /// The subscription did not want it when the log took it.
    Unwanted,
}

/// The answer to a [`Replay`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub id: u64,
    /// `None` where the subscription is not this worker's: it is gone, or another's by now.
    pub done: Option<Vec<(Seq, Again)>>,
}

#[derive(Debug)]
enum Stage {
    /// The store is asked when this settlement is in it.
    Waiting(u64),
    Reading,
    /// Answered when this settlement is in the store.
    Writing(u64, Vec<(Seq, Again)>),
}

#[derive(Debug)]
struct Current {
    replay: Replay,
    stage: Stage,
    /// What an attempt ended of while the store was asked.
    attempted: HashSet<Seq>,
    /// The subscription was somebody else's while the store was asked.
    disturbed: bool,
}

/// What is asked for and not answered. The shell bounds how much that is.
#[derive(Debug, Default)]
pub struct Replays {
    waiting: VecDeque<Replay>,
    current: Option<Current>,
}

impl Replays {
    fn of(&mut self, key: SubscriptionKey) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.replay.subscription == key)
    }

    /// An attempt ended, or the delivery was given up.
    pub fn attempted(&mut self, key: SubscriptionKey, seq: Seq) {
        if let Some(current) = self.of(key) {
            current.attempted.insert(seq);
        }
    }

    /// What the store says of this subscription may be out of date.
    pub fn disturbed(&mut self, key: SubscriptionKey) {
        if let Some(current) = self.of(key) {
            current.disturbed = true;
        }
    }
}

/// Whether replays of a subscription can be decided now.
enum Ready {
    Yes(Arc<Subscription>),
    /// Its lane is moving, or looks for its heads.
    NotYet,
    NotOurs,
}

impl Shard {
    /// Deliveries are asked for by hand. Answered by [`Action::Replayed`], except where the shard stops.
    pub fn handle_replay(&mut self, replay: Replay) {
        self.replays.waiting.push_back(replay);
        self.replay_on();
    }

    fn ready(&self, key: SubscriptionKey) -> Ready {
        let Some(subscription) = self.index.subscription(key) else { return Ready::NotOurs };
        if self.index.owner(subscription) != self.options.worker {
            return Ready::NotOurs;
        }
        let unknown = |lane: &Lane| {
            lane.releasing
                || lane.cursor == Cursor::Awaiting
                || lane.heads.as_ref().is_some_and(|heads| !heads.is_known())
        };
        let unknown = match self.lanes.get(&key) {
            Some(lane) => unknown(lane),
            None => self.heads_of_new(subscription).is_some_and(|heads| !heads.is_known()),
        };
        if unknown { Ready::NotYet } else { Ready::Yes(Arc::clone(subscription)) }
    }

    /// Goes on with what is asked for, as far as it can now.
    pub(super) fn replay_on(&mut self) {
        // Each is looked at once: one whose lane is not ready lets others go before it.
        for _ in 0..=self.replays.waiting.len() {
            let flushed = self.journal.flushed_serial();
            let current = match self.replays.current.take() {
                Some(current) => current,
                None if self.stopping => return,
                None => {
                    let Some(replay) = self.replays.waiting.pop_front() else { return };
                    let stage = Stage::Waiting(self.journal.newest());
                    Current { replay, stage, attempted: HashSet::default(), disturbed: false }
                }
            };
            let key = current.replay.subscription;
            match current.stage {
                Stage::Waiting(serial) if flushed >= serial => match self.ready(key) {
                    Ready::Yes(subscription) => {
                        let seqs = current.replay.seqs.clone();
                        let worker = self.options.worker;
                        let read = Read::Replay { worker, subscription, seqs };
                        self.actions.push_back(Action::Read(read));
                        let attempted = HashSet::default();
                        let replay = current.replay;
                        self.replays.current =
                            Some(Current { replay, stage: Stage::Reading, attempted, disturbed: false });
                        return;
                    }
                    Ready::NotYet => self.replays.waiting.push_back(current.replay),
                    Ready::NotOurs => self.answer(current.replay.id, None),
                },
                Stage::Writing(serial, done) if flushed >= serial => {
                    self.answer(current.replay.id, Some(done));
                }
                Stage::Waiting(_) | Stage::Reading | Stage::Writing(..) => {
                    self.replays.current = Some(current);
                    return;
                }
            }
        }
    }

    fn answer(&mut self, id: u64, done: Option<Vec<(Seq, Again)>>) {
        self.actions.push_back(Action::Replayed(Replayed { id, done }));
    }

    /// What the store has of the deliveries that are asked for.
    pub fn handle_replay_page(&mut self, now: Now, page: &ReplayPage) {
        let Some(mut current) = self.replays.current.take() else { return };
        let key = page.subscription;
        if !matches!(current.stage, Stage::Reading) || current.replay.subscription != key {
            self.replays.current = Some(current);
            return;
        }
        if current.disturbed || !matches!(self.ready(key), Ready::Yes(_)) {
            // From the beginning: it may have been another's meanwhile.
            current.stage = Stage::Waiting(self.journal.newest());
            self.replays.current = Some(current);
            self.replay_on();
            return;
        }
        let in_flight: HashSet<Seq> = self
            .flights
            .iter()
            .filter(|flight| flight.subscription == key && !flight.orphan)
            .map(|flight| flight.event.seq)
            .collect();
        let mut done = Vec::with_capacity(page.found.len());
        let mut put = false;
        for (seq, known) in &page.found {
            let again = match known {
                _ if current.attempted.contains(seq) || in_flight.contains(seq) => Again::UnderWay,
                Known::Gone => Again::Gone,
                Known::Unwanted => Again::Unwanted,
                Known::Delivery { accepted_at, attempts, row, dead } => {
                    let made = row.map_or(0, |row| row.attempts.made).max(*attempts);
                    let next = Next { seq: *seq, accepted_at: *accepted_at, made, old: *row, dead: *dead };
                    self.send_again(now, key, next, current.replay.trigger)
                }
            };
            put |= again == Again::Due;
            done.push((*seq, again));
        }
        let serial = if put { self.journal.sync() } else { self.journal.flushed_serial() };
        current.stage = Stage::Writing(serial, done);
        self.replays.current = Some(current);
        self.refresh(key);
        self.replay_on();
    }

    fn send_again(&mut self, now: Now, key: SubscriptionKey, next: Next, trigger: Trigger) -> Again {
        let Some(subscription) = self.index.subscription(key).cloned() else { return Again::Gone };
        let position = self.watermark.position();
        let Some(lane) = self.lane(&subscription, Cursor::Live) else { return Again::Gone };
        let seq = next.seq;
        let held = lane.retries.get(&seq).copied();
        let ready = lane.retry_ready.iter().any(|ready| ready.row.key.seq == seq);
        if ready || held.is_some_and(|held| held.asked) {
            return Again::UnderWay;
        }
        let old = held.map(|held| held.row).or(next.old);
        if old.is_none() {
            let unread = match lane.cursor {
                Cursor::Lagging { next, .. } => seq >= next,
                Cursor::Live | Cursor::Awaiting => false,
            };
            let waits = lane.fresh.binary_search_by_key(&seq, |event| event.seq).is_ok();
            if waits || (next.made == 0 && (unread || seq > position)) {
                return Again::UnderWay;
            }
        }
        if let Some(old) = old {
            self.journal.delete_retry(now.mono, old.key);
            self.window.remove(&old.key);
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.retries.remove(&seq);
                if let Some(heads) = &mut lane.heads {
                    heads.remove(&old.key);
                }
            }
        }
        if next.dead {
            self.journal.revive(now.mono, key, seq);
        }
        let row = RetryRow {
            key: self.free_key(now.wall, key, seq),
            attempts: Tries::anew(next.made),
            accepted_at: next.accepted_at,
            trigger,
        };
        let near = self.window.covers(row.key.due);
        self.journal.put_retry(now.mono, row, near);
        if !self.hold(row) && near {
            self.remember_retry(row);
        }
        Again::Due
    }

    /// A key that is due now and that nothing is still to delete.
    fn free_key(&self, now: UnixMillis, subscription: SubscriptionKey, seq: Seq) -> RetryKey {
        let mut key = RetryKey { due: now, subscription, seq };
        while self.journal.is_deleted(&key) {
            key.due = UnixMillis(key.due.0 + 1);
        }
        key
    }
}

/// A delivery that is to be made again, as it is on disk.
#[derive(Clone, Copy)]
struct Next {
    seq: Seq,
    accepted_at: UnixMillis,
    made: u16,
    old: Option<RetryRow>,
    dead: bool,
}
