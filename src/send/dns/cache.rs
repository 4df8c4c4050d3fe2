//! What is known of names: how long an answer holds, when it is asked for again, who waits for it.
//!
//! An answer holds for its time to live and is asked for again ahead of its end, while it is in use, so
//! that nobody waits. Where that fails for want of an answer, the old one goes on being used for a
//! bounded time (RFC 8767): receivers mostly are where they were, and each address is judged at each
//! connection. That a name does not exist is an answer, and ends the old one at once.
//! Deliberately absent: a clock and look-ups; `W` is whatever waits.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, DnsError, Found};
use crate::model::Mono;

/// Names kept. At the bound what is out of date goes, then an eighth of all: those unused for longest.
pub const NAMES_MAX: usize = 8192;
/// Names that are being looked up. At the bound a question fails at once, which is an attempt's failure.
pub const LOOKUPS_MAX: usize = 1024;
/// An answer holds for at least this long: a time to live of zero would ask for each connection.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// And at most for this long, so that an absurd one is not for ever.
pub const TTL_MAX: Duration = Duration::from_secs(60 * 60);
/// That there is no such name, or that it has no address, holds for at most this long.
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(30);
/// And for this long where its source does not say.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// After a failure to get any answer, the name is left alone for this long; doubling each time, but never
/// for longer than [`NEGATIVE_TTL_MAX`].
const FAILURE_WAIT: Duration = Duration::from_secs(5);
/// How long an answer is used after its end while no new one can be had.
pub const STALE_MAX: Duration = Duration::from_secs(60 * 60);
/// What it is asked for again at: this part of the time for which it holds has passed.
const REFRESH_PERCENT: u32 = 80;

struct Kept {
    answer: Answer,
    /// From then on it is asked for again by whoever uses it.
    refresh_at: Mono,
    /// Until then it is given without asking first.
    until: Mono,
    /// Until then it is better than no answer.
    stale_until: Mono,
}

struct Entry<W> {
    kept: Option<Kept>,
    is_asked: bool,
    waiting: Vec<W>,
    used: Mono,
    failures: u32,
}

/// What a question gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// `None`: it waits.
    pub answer: Option<Answer>,
    /// A name that is to be looked up now; the outcome goes to [`Cache::answered`].
    pub look_up: Option<Arc<str>>,
}

/// Names, their answers, and who waits for them.
pub struct Cache<W> {
    names: HashMap<Arc<str>, Entry<W>>,
    asked: usize,
}

impl<W> Default for Cache<W> {
    fn default() -> Self {
        Self { names: HashMap::new(), asked: 0 }
    }
}

impl<W> Cache<W> {
    /// Asks for `name`. `waiter` is made only where the answer must be waited for; those that
    /// `is_gone` says nobody waits for any more are forgotten.
    pub fn ask(
        &mut self,
        name: &str,
        now: Mono,
        waiter: impl FnOnce() -> W,
        is_gone: impl Fn(&W) -> bool,
    ) -> Reply {
        let is_full = self.asked >= LOOKUPS_MAX;
        let Some(entry) = self.names.get_mut(name) else {
            if is_full {
                return Reply { answer: Some(Err(DnsError::Busy)), look_up: None };
            }
            self.make_room(now);
            let name: Arc<str> = name.into();
            let entry = Entry { kept: None, is_asked: true, waiting: vec![waiter()], used: now, failures: 0 };
            self.names.insert(Arc::clone(&name), entry);
            self.asked += 1;
            return Reply { answer: None, look_up: Some(name) };
        };
        entry.used = now;
        let known = entry.kept.as_ref().filter(|kept| now < kept.until);
        let answer = known.map(|kept| kept.answer.clone());
        let is_fresh = known.is_some_and(|kept| now < kept.refresh_at);
        let must_ask = !is_fresh && !entry.is_asked;
        if must_ask && is_full {
            // A refresh can wait, and what is stale is better than nothing.
            let stale = entry.stale(now);
            return Reply { answer: answer.or(stale).or(Some(Err(DnsError::Busy))), look_up: None };
        }
        if answer.is_none() {
            entry.waiting.retain(|waiter| !is_gone(waiter));
            entry.waiting.push(waiter());
        }
        if must_ask {
            entry.is_asked = true;
            self.asked += 1;
        }
        let look_up =
            if must_ask { self.names.get_key_value(name).map(|(name, _)| name.clone()) } else { None };
        Reply { answer, look_up }
    }

    /// Whether a look-up that waited for its turn is still wanted; where it is not, it counts as not
    /// asked for. A refresh is, for as long as what it refreshes is used.
    pub fn is_wanted(&mut self, name: &str, now: Mono, is_gone: impl Fn(&W) -> bool) -> bool {
        let Some(entry) = self.names.get_mut(name) else { return false };
        entry.waiting.retain(|waiter| !is_gone(waiter));
        if !entry.waiting.is_empty() || entry.kept.as_ref().is_some_and(|kept| now < kept.until) {
            return true;
        }
        if take(&mut entry.is_asked) {
            self.asked -= 1;
        }
        if entry.kept.is_none() {
            self.names.remove(name);
        }
        false
    }

    /// The look-up takes long: whoever waits gets what was known before, if that is not too old. Until
    /// the look-up ends, so does whoever asks.
    pub fn is_late(&mut self, name: &str, now: Mono) -> Option<(Vec<W>, Answer)> {
        let entry = self.names.get_mut(name)?;
        let answer = entry.stale(now)?;
        entry.keep_stale(now);
        Some((take(&mut entry.waiting), answer))
    }

    /// Takes the outcome of a look-up. Gives who waits for it, and what they get.
    pub fn answered(&mut self, name: &str, found: Found, now: Mono) -> (Vec<W>, Answer) {
        let Some(entry) = self.names.get_mut(name) else { return (Vec::new(), found.answer) };
        if take(&mut entry.is_asked) {
            self.asked -= 1;
        }
        let waiting = take(&mut entry.waiting);
        let (keep, stale) = match &found.answer {
            Ok(_) => (found.ttl.unwrap_or(TTL_MIN).clamp(TTL_MIN, TTL_MAX), STALE_MAX),
            Err(error) if error.is_final() => {
                (found.ttl.unwrap_or(NEGATIVE_TTL).clamp(TTL_MIN, NEGATIVE_TTL_MAX), Duration::ZERO)
            }
            Err(_) => {
                entry.failures = entry.failures.saturating_add(1);
                if let Some(answer) = entry.stale(now) {
                    entry.keep_stale(now);
                    return (waiting, answer);
                }
                (entry.failure_wait(), Duration::ZERO)
            }
        };
        let refresh_at = match &found.answer {
            Ok(_) => {
                entry.failures = 0;
                now + keep * REFRESH_PERCENT / 100
            }
            Err(_) => now + keep,
        };
        let until = now + keep;
        let answer = found.answer;
        entry.kept = Some(Kept { answer: answer.clone(), refresh_at, until, stale_until: until + stale });
        (waiting, answer)
    }

    /// Names that are known or asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn make_room(&mut self, now: Mono) {
        if self.names.len() < NAMES_MAX {
            return;
        }
        self.names.retain(|_, entry| {
            entry.is_asked || entry.kept.as_ref().is_some_and(|kept| now < kept.stale_until)
        });
        let Some(spare) = self.names.len().checked_sub(NAMES_MAX * 7 / 8) else { return };
        let mut used: Vec<Mono> = self.names.values().filter(|e| !e.is_asked).map(|e| e.used).collect();
        used.sort_unstable();
        let Some(last) = used.get(spare.min(used.len().saturating_sub(1))).copied() else { return };
        self.names.retain(|_, entry| entry.is_asked || entry.used > last);
    }
}

impl<W> Entry<W> {
    /// Addresses that are better than no answer.
    fn stale(&self, now: Mono) -> Option<Answer> {
        let kept = self.kept.as_ref().filter(|kept| kept.answer.is_ok() && now < kept.stale_until)?;
        Some(kept.answer.clone())
    }

    /// Lets the answer stand in until the name is asked for again.
    fn keep_stale(&mut self, now: Mono) {
        let wait = self.failure_wait();
        if let Some(kept) = &mut self.kept {
            kept.until = kept.until.max((now + wait).min(kept.stale_until));
            kept.refresh_at = now + wait;
        }
    }

    fn failure_wait(&self) -> Duration {
        let doubled = FAILURE_WAIT * 2u32.saturating_pow(self.failures.saturating_sub(1).min(8));
        doubled.min(NEGATIVE_TTL_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn found(last: u8, ttl_s: u64) -> Found {
        Found { answer: address(last), ttl: Some(Duration::from_secs(ttl_s)) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is an answer like others")]
    fn address(last: u8) -> Answer {
        Ok(vec![IpAddr::from([192, 0, 2, last])].into())
    }

    /// Asks at a second; gives the answer and whether to look up.
    fn ask(cache: &mut Cache<u32>, name: &str, at_s: u64) -> (Option<Answer>, bool) {
        let reply = cache.ask(name, Mono(at_s * S), || 7, |_| false);
        (reply.answer, reply.look_up.is_some())
    }

    #[test]
    fn asked_once_and_all_that_wait_are_told() {
        let mut cache = Cache::default();
        assert_eq!(ask(&mut cache, "a", 0), (None, true));
        assert_eq!(ask(&mut cache, "a", 0), (None, false));
        let (waiting, answer) = cache.answered("a", found(1, 10), Mono(S));
        assert_eq!((waiting.len(), answer), (2, address(1)));
        assert_eq!(ask(&mut cache, "a", 2), (Some(address(1)), false));
    }

    #[test]
    fn refreshed_ahead_then_waited_for() {
        let mut cache = Cache::default();
        ask(&mut cache, "a", 0);
        let _ = cache.answered("a", found(1, 10), Mono(0));
        assert_eq!(ask(&mut cache, "a", 7), (Some(address(1)), false));
        assert_eq!(ask(&mut cache, "a", 8), (Some(address(1)), true));
        assert_eq!(ask(&mut cache, "a", 9), (Some(address(1)), false), "once");
        assert_eq!(ask(&mut cache, "a", 10), (None, false), "it is over, and still asked for");
        let (waiting, _) = cache.answered("a", found(2, 10), Mono(11 * S));
        assert_eq!(waiting.len(), 1);
        assert_eq!(ask(&mut cache, "a", 30), (None, true));
    }

    #[test]
    fn times_to_live_are_bounded() {
        let check = |found: Found, holds_s: u64| {
            let mut cache = Cache::default();
            ask(&mut cache, "a", 0);
            let _ = cache.answered("a", found.clone(), Mono(0));
            let just = cache.ask("a", Mono(holds_s * S - 1), || 7, |_| false);
            assert_eq!(just.answer, Some(found.answer.clone()), "{found:?}");
            assert_eq!(ask(&mut cache, "a", holds_s), (None, just.look_up.is_none()), "{found:?}");
        };
        let error = |error: DnsError, ttl: Option<u64>| Found::error(error, ttl.map(Duration::from_secs));
        check(found(1, 0), 1);
        check(found(1, 300), 300);
        check(found(1, 1_000_000), 3600);
        check(error(DnsError::NoName, Some(0)), 1);
        check(error(DnsError::NoName, Some(20)), 20);
        check(error(DnsError::NoAddress, Some(3600)), 30);
        check(error(DnsError::NoName, None), 5);
        check(error(DnsError::Timeout, None), 5);
        check(error(DnsError::Failure("SERVFAIL".into()), None), 5);
    }

    #[test]
    fn failures_are_asked_for_less_and_less() {
        let mut cache = Cache::default();
        let mut now = 0;
        for wait in [5, 10, 20, 30, 30, 30] {
            assert_eq!(ask(&mut cache, "a", now), (None, true));
            let _ = cache.answered("a", Found::error(DnsError::Timeout, None), Mono(now * S));
            assert_eq!(ask(&mut cache, "a", now + wait - 1), (Some(Err(DnsError::Timeout)), false), "{wait}");
            now += wait;
        }
        assert_eq!(ask(&mut cache, "a", now), (None, true));
        let _ = cache.answered("a", found(1, 10), Mono(now * S));
        now += 4000;
        assert_eq!(ask(&mut cache, "a", now), (None, true));
        let _ = cache.answered("a", Found::error(DnsError::Timeout, None), Mono(now * S));
        assert_eq!(ask(&mut cache, "a", now + 5), (None, true), "a success ended the doubling");
    }

    #[test]
    fn what_is_stale_bridges_a_failure_but_not_a_denial() {
        let timeout = || Found::error(DnsError::Timeout, None);
        let mut cache = Cache::default();
        ask(&mut cache, "a", 0);
        let _ = cache.answered("a", found(1, 10), Mono(0));
        // While it still holds, a failed refresh changes nothing.
        ask(&mut cache, "a", 8);
        let _ = cache.answered("a", timeout(), Mono(8 * S));
        assert_eq!(ask(&mut cache, "a", 9), (Some(address(1)), false));
        assert_eq!(ask(&mut cache, "a", 13), (None, true));
        let (waiting, answer) = cache.answered("a", timeout(), Mono(15 * S));
        assert_eq!((waiting.len(), answer), (1, address(1)));
        assert_eq!(ask(&mut cache, "a", 24), (Some(address(1)), false), "left alone for a while");
        assert_eq!(ask(&mut cache, "a", 25), (None, true));
        let (waiting, answer) = cache.is_late("a", Mono(27 * S)).expect("something is known");
        assert_eq!((waiting.len(), answer), (1, address(1)));
        assert_eq!(ask(&mut cache, "a", 28), (Some(address(1)), false), "it is still being asked for");
        let _ = cache.answered("a", timeout(), Mono(30 * S));
        assert_eq!(ask(&mut cache, "a", 3609), (None, true));
        let _ = cache.answered("a", timeout(), Mono(3609 * S));
        assert_eq!(ask(&mut cache, "a", 3610), (None, true), "not for ever");
        let (_, answer) = cache.answered("a", timeout(), Mono(3611 * S));
        assert_eq!(answer, Err(DnsError::Timeout));

        ask(&mut cache, "b", 0);
        let _ = cache.answered("b", found(1, 10), Mono(0));
        ask(&mut cache, "b", 20);
        let (_, answer) = cache.answered("b", Found::error(DnsError::NoName, None), Mono(20 * S));
        assert_eq!(answer, Err(DnsError::NoName));
        assert!(cache.is_late("b", Mono(20 * S)).is_none());
        assert!(cache.is_late("never heard of", Mono(20 * S)).is_none());
    }

    #[test]
    fn who_has_given_up_is_forgotten() {
        let mut cache = Cache::default();
        ask(&mut cache, "a", 0);
        assert!(cache.is_wanted("a", Mono(0), |_| false));
        assert!(!cache.is_wanted("a", Mono(0), |_| true));
        assert_eq!(cache.len(), 0);
        assert_eq!(ask(&mut cache, "a", 0), (None, true));
        let _ = cache.answered("a", found(1, 10), Mono(0));
        ask(&mut cache, "a", 8);
        assert!(cache.is_wanted("a", Mono(9 * S), |_| true), "a refresh is for whoever comes");
        assert!(!cache.is_wanted("a", Mono(10 * S), |_| true), "but not once it is over");
        assert_eq!(ask(&mut cache, "a", 10), (None, true));
    }

    #[test]
    fn bounds() {
        let mut cache = Cache::default();
        for n in 0..LOOKUPS_MAX {
            assert_eq!(ask(&mut cache, &n.to_string(), 0), (None, true));
        }
        assert_eq!(ask(&mut cache, "more", 0), (Some(Err(DnsError::Busy)), false));
        assert_eq!(ask(&mut cache, "3", 0), (None, false), "what is asked for can be waited for");
        let _ = cache.answered("3", found(3, 10), Mono(0));
        assert_eq!(ask(&mut cache, "more", 0), (None, true));
        assert_eq!(ask(&mut cache, "3", 9), (Some(address(3)), false), "a refresh can wait");
        assert_eq!(ask(&mut cache, "3", 11), (Some(address(3)), false), "stale is better than nothing");

        let mut cache = Cache::default();
        for n in 0..NAMES_MAX {
            let name = n.to_string();
            ask(&mut cache, &name, n as u64);
            let _ = cache.answered(&name, found(1, 100_000), Mono(n as u64 * S));
        }
        assert_eq!(cache.len(), NAMES_MAX);
        ask(&mut cache, "0", NAMES_MAX as u64);
        // Those that are out of date by an hour go first.
        assert_eq!(ask(&mut cache, "more", NAMES_MAX as u64), (None, true));
        assert!(cache.len() <= NAMES_MAX * 7 / 8 + 1, "{}", cache.len());
        let newest = (NAMES_MAX - 1).to_string();
        assert!(ask(&mut cache, &newest, NAMES_MAX as u64).0.is_some());
    }

    proptest! {
        /// Whatever happens in whatever order: one look-up of a name at a time, an answer only as long as
        /// it may be used, and all that wait are told in the end.
        #[test]
        fn any_order(steps in proptest::collection::vec((0u8..5, 0u8..3, 0u64..2000), 1..200)) {
            let names = ["a", "b", "c"];
            let mut cache: Cache<u32> = Cache::default();
            let mut now = Mono(0);
            let (mut asked, mut given, mut told) = (BTreeSet::new(), 0u32, 0usize);
            for (what, which, ms) in steps {
                let name = names[usize::from(which)];
                now = now + Duration::from_millis(ms * ms / 100);
                let told_now = match what {
                    0 | 1 => {
                        let mut made = 0;
                        let reply = cache.ask(name, now, || { made += 1; given }, |_| false);
                        prop_assert_eq!(reply.answer.is_none(), made == 1);
                        given += made;
                        if let Some(name) = reply.look_up {
                            prop_assert!(asked.insert(name.to_string()), "asked twice");
                        }
                        0
                    }
                    2 if asked.contains(name) => cache.is_late(name, now).map_or(0, |(all, _)| all.len()),
                    3 if asked.remove(name) => {
                        let error = if ms % 2 == 0 { DnsError::Timeout } else { DnsError::NoName };
                        cache.answered(name, Found::error(error, None), now).0.len()
                    }
                    4 if asked.remove(name) => cache.answered(name, found(which, ms), now).0.len(),
                    _ => 0,
                };
                told += told_now;
                prop_assert_eq!(cache.asked, asked.len());
            }
            for name in &asked {
                told += cache.answered(name, found(1, 1), now).0.len();
            }
            prop_assert_eq!(told, given as usize);
        }
    }
}
