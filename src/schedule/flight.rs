//! Deliveries in flight: a slab with generations, and their deadlines.
//!
//! Deadlines need no heap: a lower bound of the earliest one is kept, and only when time passes it is
//! the slab looked through. With one timeout for most requests that happens about once a timeout, where
//! a heap would pay on every delivery and keep the entries of those that ended long ago.

use std::sync::Arc;

use crate::model::{Event, Mono, SubscriptionKey, Trigger};
use crate::settle::{RetryKey, Tries};

use super::breaker::Generation;
use super::turns::HostKey;

/// Names one flight; a number is never used for two flights of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub u64);

#[derive(Debug)]
pub struct Flight {
    pub subscription: SubscriptionKey,
    pub host: HostKey,
    /// Of the host's breaker when this was started.
    pub generation: Generation,
    /// Of the record that it was sent by.
    pub version: u64,
    pub event: Arc<Event>,
    /// Attempts at it, with this one.
    pub tries: Tries,
    pub trigger: Trigger,
    /// The row that waits on disk for this attempt's outcome, where it is a retry.
    pub retry: Option<RetryKey>,
    pub deadline: Mono,
    /// The cancel has been asked for.
    pub cancelled: bool,
    /// The subscription is gone: the outcome is recorded nowhere.
    pub orphan: bool,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    flight: Option<Flight>,
}

#[derive(Debug, Default)]
pub struct Flights {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    /// No deadline lies before this.
    earliest: Option<Mono>,
}

impl Flights {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn insert(&mut self, flight: Flight) -> FlightId {
        self.earliest = Some(self.earliest.map_or(flight.deadline, |at| at.min(flight.deadline)));
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            generation = slot.generation;
            slot.flight = Some(flight);
        }
        FlightId(u64::from(generation) << 32 | u64::from(index))
    }

    /// Takes a flight out; `None` for one that ended before.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the id are what is wanted")]
    pub fn remove(&mut self, id: FlightId) -> Option<Flight> {
        let (generation, index) = ((id.0 >> 32) as u32, id.0 as u32);
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)?;
        let flight = slot.flight.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
        if self.len == 0 {
            self.earliest = None;
        }
        Some(flight)
    }

    /// Marks every flight whose deadline has come as cancelled and names it, once.
    pub fn expire(&mut self, now: Mono, expired: &mut Vec<FlightId>) {
        if self.earliest.is_none_or(|at| now < at) {
            return;
        }
        let mut earliest = None::<Mono>;
        for (index, slot) in (0u64..).zip(&mut self.slots) {
            let Some(flight) = slot.flight.as_mut().filter(|flight| !flight.cancelled) else { continue };
            if flight.deadline <= now {
                flight.cancelled = true;
                expired.push(FlightId(u64::from(slot.generation) << 32 | index));
            } else {
                earliest = Some(earliest.map_or(flight.deadline, |at| at.min(flight.deadline)));
            }
        }
        self.earliest = earliest;
    }

    /// The same for every flight, whatever its deadline.
    pub fn expire_all(&mut self, expired: &mut Vec<FlightId>) {
        for flight in self.slots.iter_mut().filter_map(|slot| slot.flight.as_mut()) {
            flight.deadline = Mono(0);
        }
        self.earliest = Some(Mono(0));
        self.expire(Mono(0), expired);
    }

    /// When [`Flights::expire`] has to be called next: never too late, sometimes too early.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.earliest
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.slots.iter_mut().filter_map(|slot| slot.flight.as_mut())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.slots.iter().filter_map(|slot| slot.flight.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{AccountKey, Seq, TypeBit, UnixMillis};

    fn flight(deadline: u64) -> Flight {
        let body = Bytes::from_static(b"{\"id\":\"e\"}");
        let event = Event::new(Seq(1), AccountKey(1), TypeBit(0), UnixMillis(0), 1, body).expect("valid");
        Flight {
            subscription: SubscriptionKey(1),
            host: HostKey(0),
            generation: Generation::default(),
            version: 1,
            event: Arc::new(event),
            tries: 1.into(),
            trigger: Trigger::Event,
            retry: None,
            deadline: Mono(deadline),
            cancelled: false,
            orphan: false,
        }
    }

    #[test]
    fn expires_each_once_and_only_when_due() {
        let mut flights = Flights::default();
        let late = flights.insert(flight(30));
        let early = flights.insert(flight(10));
        let mut expired = Vec::new();
        flights.expire(Mono(9), &mut expired);
        assert!(expired.is_empty());
        flights.expire(Mono(10), &mut expired);
        assert_eq!(expired, [early]);
        flights.expire(Mono(29), &mut expired);
        assert_eq!(expired, [early]);
        assert_eq!(flights.next_deadline(), Some(Mono(30)));
        flights.expire(Mono(31), &mut expired);
        assert_eq!(expired, [early, late]);
    }

    #[test]
    fn a_later_deadline_does_not_hide_an_earlier_one() {
        let mut flights = Flights::default();
        let early = flights.insert(flight(10));
        flights.insert(flight(30));
        let mut expired = Vec::new();
        flights.expire(Mono(10), &mut expired);
        assert_eq!(expired, [early]);
    }

    #[test]
    fn an_old_id_names_nothing() {
        let mut flights = Flights::default();
        let first = flights.insert(flight(10));
        assert!(flights.remove(first).is_some());
        let second = flights.insert(flight(10));
        assert_ne!(first, second);
        assert!(flights.remove(first).is_none());
        assert_eq!(flights.len(), 1);
        assert!(flights.remove(second).is_some());
        assert!(flights.is_empty());
    }
}
