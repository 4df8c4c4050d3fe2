//! What must hold of a shard's own books, whatever happened to it: that what is counted as it changes is what
//! counting it now gives.
//!
//! The simulation and the fuzzer ask after every turn. The shell never does: everything is looked at.

use std::fmt;

use super::lane::{Cursor, Lane};
use super::shard::Shard;
use crate::model::SubscriptionKey;

/// Two figures that should agree.
#[derive(Debug)]
pub struct Miscount {
    /// Of one lane, or of the shard.
    pub lane: Option<SubscriptionKey>,
    pub what: &'static str,
    pub kept: usize,
    pub found: usize,
}

impl fmt::Display for Miscount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, what, kept, found } = self;
        write!(f, "{what}: {kept} kept, {found} found")?;
        lane.map_or(Ok(()), |key| write!(f, " in {key:?}"))
    }
}

impl Shard {
    /// The first of the shard's figures that is wrong.
    #[must_use]
    pub fn miscount(&self) -> Option<Miscount> {
        let sum = |of: fn(&Lane) -> usize| self.lanes.values().map(of).sum::<usize>();
        let fresh = sum(|lane| lane.fresh.len());
        let fresh_bytes = sum(|lane| lane.fresh_bytes);
        let ready = sum(|lane| lane.retry_ready.len());
        let ready_bytes = sum(|lane| lane.retry_bytes);
        let reading =
            sum(|lane| usize::from(matches!(lane.cursor, Cursor::Lagging { reading: Some(_), .. })));
        let parked_reading = sum(|lane| usize::from(lane.parked_reading));
        let in_flight_bytes = self.flights.iter().map(|flight| flight.event.body().len()).sum();
        // A body that was asked for has its place until it comes, even where its lane is gone by then; and so
        // may a page be under way for a lane that is gone.
        [
            ("first attempts that wait", self.queued_fresh, fresh),
            ("their bytes", self.queued_fresh_bytes, fresh_bytes),
            ("events that wait", self.queued, fresh + ready + self.bodies_asked),
            ("bytes that wait", self.queued_bytes, fresh_bytes + ready_bytes),
            ("bytes in flight", self.in_flight_bytes, in_flight_bytes),
            ("lanes that read", self.lanes_reading, reading.max(self.lanes_reading)),
            ("lanes that read retries", self.parked_reading, parked_reading.max(self.parked_reading)),
        ]
        .into_iter()
        .find(|(_, kept, found)| kept != found)
        .map(|(what, kept, found)| Miscount { lane: None, what, kept, found })
        .or_else(|| self.lanes.iter().find_map(|(key, lane)| self.miscount_of(*key, lane)))
    }

    fn miscount_of(&self, key: SubscriptionKey, lane: &Lane) -> Option<Miscount> {
        let flights = || self.flights.iter().filter(|flight| flight.subscription == key && !flight.orphan);
        let retries = flights().filter(|flight| flight.retry.is_some()).count();
        let asked = lane.retries.values().filter(|held| held.asked).count();
        let due = asked + lane.retry_ready.len();
        let bytes = |events: &mut dyn Iterator<Item = usize>| events.sum::<usize>();
        let fresh_bytes = bytes(&mut lane.fresh.iter().map(|event| event.body().len()));
        let ready_bytes = bytes(&mut lane.retry_ready.iter().map(|ready| ready.event.body().len()));
        let of = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let unheld = {
            // What waits for a first attempt or is on it, and is held up by neither watermark nor cursor.
            let waiting = lane.fresh.iter().map(|event| event.seq);
            let flying = flights().filter(|flight| flight.retry.is_none()).map(|flight| flight.event.seq);
            let settled = self.watermark.get();
            waiting.chain(flying).filter(|seq| *seq <= settled && !lane.covered.contains(seq)).count()
        };
        [
            ("requests in flight", of(lane.in_flight), flights().count()),
            ("retries in flight", of(lane.in_flight_retries), retries),
            ("due retries", lane.retries_due, due),
            ("bytes of first attempts that wait", lane.fresh_bytes, fresh_bytes),
            ("bytes of retries that wait", lane.retry_bytes, ready_bytes),
            ("pairs that the watermark passed", 0, unheld),
        ]
        .into_iter()
        .find(|(_, kept, found)| kept != found)
        .map(|(what, kept, found)| Miscount { lane: Some(key), what, kept, found })
    }
}
