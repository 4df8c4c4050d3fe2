//! Bounds what waits for the log: events and bytes, and what part of that one account may take.
//!
//! An account may have at most as much waiting as is still free for everybody. So a lone flooding
//! account comes to rest at half, two of them at a third each, and there is always room left for those
//! who have nothing waiting: their acceptance goes on. (The rule is the "dynamic threshold" of shared
//! switch buffers, Choudhury and Hahne 1998, with a factor of one.) Below half a single account is
//! never refused.
//!
//! Deliberately absent: rates. What waits here is what the disk has not taken yet, so its speed is the
//! rate, and no number has to be configured.

use std::collections::HashMap;

use crate::model::{AccountName, NewEvent};

/// Bytes that an event takes beside its body while it waits.
const EVENT_OVERHEAD: usize = 128;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    pub events_max: usize,
    pub bytes_max: usize,
}

/// Events and bytes that wait, of one account or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    events: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.events = self.events.saturating_sub(other.events);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Why a request may not wait now. Nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too much is waiting to be written")]
    All,
    #[error("too many events of account `{0}` are waiting to be written")]
    Account(AccountName),
}

/// What one admitted request holds. Must go back through [`Admission::release`].
#[derive(Debug)]
#[must_use = "what is admitted and not released is never free again"]
pub struct Ticket {
    shares: Vec<(AccountName, Load)>,
}

/// What waits for the log, by account.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    total: Load,
    accounts: HashMap<AccountName, Load, foldhash::fast::RandomState>,
}

impl Admission {
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self { limits, total: Load::default(), accounts: HashMap::default() }
    }

    /// Takes all of `events` or none. Where nothing waits, anything is taken: a request larger than the
    /// bound must not be refused for ever.
    ///
    /// # Errors
    /// There is no room for all of them, or not for those of one account.
    pub fn try_admit(&mut self, events: &[NewEvent]) -> Result<Ticket, Full> {
        let shares = shares(events);
        if self.total.events > 0 {
            self.check(&shares)?;
        }
        for (account, load) in &shares {
            self.total.add(*load);
            match self.accounts.get_mut(account) {
                Some(waiting) => waiting.add(*load),
                None => drop(self.accounts.insert(account.clone(), *load)),
            }
        }
        self.check_invariants();
        Ok(Ticket { shares })
    }

    fn check(&self, shares: &[(AccountName, Load)]) -> Result<(), Full> {
        let mut after = self.total;
        for (_, load) in shares {
            after.add(*load);
        }
        if after.events > self.limits.events_max || after.bytes > self.limits.bytes_max {
            return Err(Full::All);
        }
        let free = Load {
            events: self.limits.events_max.saturating_sub(self.total.events),
            bytes: self.limits.bytes_max.saturating_sub(self.total.bytes),
        };
        for (account, load) in shares {
            let mut waiting = self.accounts.get(account).copied().unwrap_or_default();
            waiting.add(*load);
            if waiting.events > free.events || waiting.bytes > free.bytes {
                return Err(Full::Account(account.clone()));
            }
        }
        Ok(())
    }

    /// The log has taken or refused what the ticket stands for.
    pub fn release(&mut self, ticket: Ticket) {
        for (account, load) in ticket.shares {
            self.total.take(load);
            if let Some(waiting) = self.accounts.get_mut(&account) {
                waiting.take(load);
                if waiting.events == 0 {
                    self.accounts.remove(&account);
                }
            }
        }
        self.check_invariants();
    }

    /// Events that wait.
    #[must_use]
    pub fn waiting_events(&self) -> usize {
        self.total.events
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.total.bytes
    }

    #[cfg(debug_assertions)]
    fn check_invariants(&self) {
        // Accounts are as many as one likes: only small sets are added up, to keep tests quick.
        if self.accounts.len() <= 16 {
            let mut sum = Load::default();
            self.accounts.values().for_each(|load| sum.add(*load));
            assert_eq!(sum, self.total, "the accounts' loads are the total");
        }
        assert!(self.accounts.values().take(16).all(|load| load.events > 0), "no empty accounts are kept");
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "same call in both builds")]
    fn check_invariants(&self) {}
}

/// What each account brings. Neighbours of one account, the usual case, cost one comparison.
fn shares(events: &[NewEvent]) -> Vec<(AccountName, Load)> {
    let mut shares: Vec<(AccountName, Load)> = Vec::with_capacity(1);
    for event in events {
        let load = Load { events: 1, bytes: event.body.len() + EVENT_OVERHEAD };
        match shares.last_mut() {
            Some((account, sum)) if *account == event.account => sum.add(load),
            _ => shares.push((event.account.clone(), load)),
        }
    }
    if shares.len() > 1 {
        merge(&mut shares);
    }
    shares
}

fn merge(shares: &mut Vec<(AccountName, Load)>) {
    shares.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    shares.dedup_by(|(next, load), (kept, sum)| {
        let same = next == kept;
        if same {
            sum.add(*load);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{EventId, TypeBit};

    fn events(account: &str, count: usize, body: usize) -> Vec<NewEvent> {
        let event = NewEvent {
            id: EventId::parse("e").unwrap(),
            account: AccountName::parse(account).unwrap(),
            type_bit: TypeBit(0),
            body: Bytes::from(vec![b'x'; body]),
        };
        vec![event; count]
    }

    fn admission(events_max: usize, bytes_max: usize) -> Admission {
        Admission::new(AdmissionLimits { events_max, bytes_max })
    }

    /// Admits one by one until refused; how many were taken.
    fn flood(admission: &mut Admission, account: &str) -> usize {
        std::iter::from_fn(|| admission.try_admit(&events(account, 1, 0)).ok()).count()
    }

    #[test]
    fn one_flooding_account_leaves_half_to_the_others() {
        let mut admission = admission(1200, usize::MAX);
        assert_eq!(flood(&mut admission, "flood"), 600);
        assert_eq!(flood(&mut admission, "second"), 300);
        assert_eq!(flood(&mut admission, "third"), 150);
        assert_eq!(
            admission.try_admit(&events("flood", 1, 0)).unwrap_err(),
            Full::Account(AccountName::parse("flood").unwrap())
        );
        assert!(admission.try_admit(&events("quiet", 100, 0)).is_ok());
    }

    #[test]
    fn what_is_released_is_free_again() {
        let mut admission = admission(10, usize::MAX);
        let ticket = admission.try_admit(&events("a", 5, 10)).unwrap();
        assert!(admission.try_admit(&events("a", 5, 10)).is_err());
        admission.release(ticket);
        assert_eq!((admission.waiting_events(), admission.waiting_bytes()), (0, 0));
        assert!(admission.try_admit(&events("a", 5, 10)).is_ok());
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let mut admission = admission(1000, 10_000);
        assert!(admission.try_admit(&events("a", 1, 4_000)).is_ok());
        assert!(admission.try_admit(&events("a", 1, 4_000)).is_err());
        assert!(admission.try_admit(&events("b", 1, 4_000)).is_ok());
        assert_eq!(admission.try_admit(&events("c", 1, 4_000)).unwrap_err(), Full::All);
    }

    #[test]
    fn a_request_larger_than_the_bound_is_taken_alone() {
        let mut admission = admission(10, 10);
        let ticket = admission.try_admit(&events("a", 50, 100)).unwrap();
        assert_eq!(admission.try_admit(&events("b", 1, 0)).unwrap_err(), Full::All);
        admission.release(ticket);
        assert!(admission.try_admit(&events("b", 1, 0)).is_ok());
    }

    #[test]
    fn a_batch_of_many_accounts_is_all_or_nothing() {
        let mut admission = admission(8, usize::MAX);
        let first = admission.try_admit(&events("a", 4, 0)).unwrap();
        let mut mixed = events("b", 1, 0);
        mixed.extend(events("a", 1, 0));
        mixed.extend(events("b", 1, 0));
        assert!(admission.try_admit(&mixed).is_err());
        assert_eq!(admission.waiting_events(), 4);
        admission.release(first);
        let ticket = admission.try_admit(&mixed).unwrap();
        assert_eq!(ticket.shares.len(), 2);
        admission.release(ticket);
        assert_eq!(admission.waiting_events(), 0);
    }

    proptest! {
        /// Whatever others do, one who has nothing waiting is refused only where the whole is full.
        #[test]
        fn newcomers_are_not_refused_for_others(steps in prop::collection::vec((0..4usize, 1..9usize, any::<bool>()), 1..200)) {
            let mut admission = admission(64, usize::MAX);
            let mut held = Vec::new();
            for (account, count, release) in steps {
                if release && !held.is_empty() {
                    admission.release(held.swap_remove(count % held.len()));
                } else if let Ok(ticket) = admission.try_admit(&events(&format!("a{account}"), count, 0)) {
                    held.push(ticket);
                }
                prop_assert!(admission.waiting_events() <= 64);
                let refused = admission.check(&shares(&events("new", 1, 0)));
                prop_assert!(refused.is_ok() || admission.waiting_events() == 64);
            }
            for ticket in held {
                admission.release(ticket);
            }
            prop_assert_eq!(admission.waiting_events(), 0);
            prop_assert_eq!(admission.accounts.len(), 0);
        }
    }
}
