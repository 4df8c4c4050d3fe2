//! How fast one client may ask: each token has a rate of its own, and so has each address for wrong ones.
//!
//! Only a wrong token is refused for its address: whoever has a right one comes in, whatever others do from
//! behind the same address. Guessing a token is hopeless as it is; this keeps the noise down. The operator
//! has no limit, because nobody else can help where they are locked out; nor has this machine for wrong
//! tokens, behind whose address there may be a proxy with everybody.
//!
//! Both tables are bounded; at the bound, who asked least of late gives way and begins anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::problem::Problem;
use crate::model::bucket::Bucket;
use crate::model::{AccountKey, Mono, UnixMillis};
use crate::registry::ActorKind;
use crate::registry::access::Principal;

/// Clients that are remembered at once, of either kind.
const CLIENTS_MAX: usize = 10_000;
/// Wrong tokens of one address: so many a second, and so many at once.
const WRONG_PER_SECOND: f64 = 1.0;
const WRONG_BURST: u32 = 20;

type Who = (AccountKey, ActorKind, Box<str>);

/// The limits of the admin port.
pub struct Limits {
    requests: Option<Mutex<Table<Who>>>,
    wrong: Mutex<Table<IpAddr>>,
}

impl Limits {
    /// `per_second`: 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let requests = (per_second > 0).then(|| Mutex::new(Table::new(f64::from(per_second), burst)));
        Self { requests, wrong: Mutex::new(Table::new(WRONG_PER_SECOND, WRONG_BURST)) }
    }

    /// Counts a request. `Err` where it is one too many.
    pub(super) fn request(&self, principal: &Principal, now: UnixMillis) -> Result<(), Problem> {
        let (Some(requests), Principal::Account { account, actor, .. }) = (&self.requests, principal) else {
            return Ok(());
        };
        let who = (*account, actor.kind, actor.id.clone());
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.take(who, now).map_err(Problem::rate_limited)
    }

    /// Counts a wrong token. `Err` where there were too many from there.
    pub(super) fn wrong_token(&self, from: Option<IpAddr>, now: UnixMillis) -> Result<(), Problem> {
        let Some(from) = from else { return Ok(()) };
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.take(from, now).map_err(Problem::rate_limited)
    }
}

struct Table<K> {
    per_second: f64,
    burst: Duration,
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash + Clone> Table<K> {
    fn new(per_second: f64, burst: u32) -> Self {
        // A bucket rounds each of its intervals up; this many of them fit all the same.
        let rounding = Duration::from_nanos(u64::from(burst));
        let burst = Duration::try_from_secs_f64(f64::from(burst) / per_second).unwrap_or(Duration::MAX);
        let burst = burst.saturating_add(rounding);
        Self { per_second, burst, buckets: HashMap::new() }
    }

    /// Takes a token of `who`. `Err`: how long until there is one.
    fn take(&mut self, who: K, now: UnixMillis) -> Result<(), Duration> {
        let now = Mono(now.0.saturating_mul(1_000_000));
        if self.buckets.len() >= CLIENTS_MAX && !self.buckets.contains_key(&who) {
            self.make_room(now);
        }
        let bucket = self.buckets.entry(who).or_insert_with(|| Bucket::new(self.per_second));
        // The wall clock may go back; what is owed is never more than a bucket full.
        if bucket.full_at() > now + self.burst + self.burst {
            *bucket = Bucket::new(self.per_second);
        }
        match bucket.ready_within(self.burst, now) {
            None => {
                bucket.take(now);
                Ok(())
            }
            Some(at) => Err(at.since(now)),
        }
    }

    fn make_room(&mut self, now: Mono) {
        self.buckets.retain(|_, bucket| bucket.full_at() > now);
        if self.buckets.len() >= CLIENTS_MAX {
            let least = self.buckets.iter().min_by_key(|(_, bucket)| bucket.full_at());
            let least = least.map(|(who, _)| who.clone());
            least.map(|who| self.buckets.remove(&who));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(table: &mut Table<u32>, who: u32, at: u64, times: usize) -> usize {
        (0..times).take_while(|_| table.take(who, UnixMillis(at)).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut table = Table::new(50.0, 100);
        let start = 1_800_000_000_000;
        assert_eq!(taken(&mut table, 1, start, 1000), 100);
        assert_eq!(taken(&mut table, 2, start, 1000), 100, "another's is another");
        assert_eq!(taken(&mut table, 1, start + 1000, 1000), 49, "never faster");
        let wait = table.take(1, UnixMillis(start + 1000)).expect_err("it is empty");
        assert!(wait <= Duration::from_millis(21), "{wait:?}");
        assert_eq!(taken(&mut table, 1, start + 60_000, 1000), 100);
        assert_eq!(taken(&mut table, 1, start - 3_600_000, 1000), 100, "the clock went back");
        assert_eq!(taken(&mut Table::new(1.0, 1), 1, start, 9), 1);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Table::new(1.0, 2);
        let end = u32::try_from(CLIENTS_MAX).expect("small");
        assert_eq!(taken(&mut table, end + 1, 5000, 9), 2);
        for who in 0..=end {
            assert!(table.take(who, UnixMillis(5000)).is_ok());
        }
        assert_eq!(table.buckets.len(), CLIENTS_MAX);
        assert_eq!(taken(&mut table, end + 1, 5000, 9), 0, "who asked most is remembered");
        assert!(table.take(end + 2, UnixMillis(10_000)).is_ok());
        assert_eq!(table.buckets.len(), 1, "who is full again needs no place");
    }
}
