//! Turns between hosts, and what takes a host out of them.

use super::*;
use crate::model::{ErrorKind, HostRule};
use crate::schedule::breaker::Fault;

fn turns(in_flight_max: u32) -> Turns {
    Turns::new(HostOptions {
        in_flight_max,
        workers: 1,
        breaker: BreakerPolicy {
            window: Duration::from_secs(30),
            min_requests: 2,
            failure_ratio: 0.5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
        },
        rules: Arc::default(),
    })
}

const NOW: Mono = Mono(0);
const FREE: usize = 1 << 20;

fn fresh(now: Mono) -> Start {
    Start { now, retry: false, bytes: 0 }
}

fn end(turns: &mut Turns, host: HostKey, generation: Generation, sign: Sign) -> Option<Transition> {
    turns.ended(host, NOW, Ended { generation, sign, retry: false, bytes: 0 })
}

fn authority(host: &str) -> Authority {
    Authority { tls: false, host: host.into(), port: 80 }
}

#[test]
fn hosts_take_turns_and_caps_hold() {
    let mut turns = turns(2);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    let b = turns.join(&authority("b"), SubscriptionKey(2));
    turns.enlist(a, SubscriptionKey(1));
    turns.enlist(b, SubscriptionKey(2));
    let (mut order, mut started) = (Vec::new(), Vec::new());
    while let Some((host, subscription)) = turns.front(NOW, FREE) {
        order.push(subscription.0);
        started.push((host, turns.sent(host, fresh(NOW))));
    }
    assert_eq!(order, [1, 2, 1, 2], "two each, in turn, then both are at their cap");
    end(&mut turns, a, started[0].1, Sign::Well);
    assert_eq!(turns.front(NOW, FREE), Some((a, SubscriptionKey(1))));
}

#[test]
fn a_host_is_forgotten_with_its_last_request() {
    let mut turns = turns(4);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    turns.enlist(a, SubscriptionKey(1));
    assert!(turns.front(NOW, FREE).is_some());
    let generation = turns.sent(a, fresh(NOW));
    turns.leave(a, SubscriptionKey(1));
    assert_eq!((turns.front(NOW, FREE), turns.hosts_len()), (None, 1));
    end(&mut turns, a, generation, Sign::Well);
    assert_eq!((turns.hosts_len(), turns.next_wake()), (0, None));
}

#[test]
fn sharing_leaves_room() {
    let mut turns = turns(32);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    assert_eq!(turns.share(a), 32);
    assert_eq!(turns.join(&authority("a"), SubscriptionKey(2)), a);
    assert_eq!(turns.share(a), 24);
    turns.set_cap(a, 200);
    assert_eq!(turns.share(a), 150);
}

#[test]
fn an_open_breaker_takes_its_host_out_of_the_circle() {
    let mut turns = turns(8);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    turns.enlist(a, SubscriptionKey(1));
    let ill = Sign::Ill(Fault { kind: ErrorKind::Connect, status: None });
    let started: Vec<_> = (0..3).map(|_| turns.sent(a, fresh(NOW))).collect();
    assert_eq!(end(&mut turns, a, started[0], ill), None);
    assert_eq!(end(&mut turns, a, started[1], ill).expect("opens").to, BreakerState::Open);
    assert_eq!((turns.front(NOW, FREE), turns.breakers()), (None, [0, 1, 0]));
    let at = turns.next_wake().expect("it half-opens");
    assert_eq!(turns.handle_timeout(Mono(at.0 - 1)), None);
    let (host, transition) = turns.handle_timeout(at).expect("now");
    assert_eq!((host, transition.to), (a, BreakerState::HalfOpen));
    assert_eq!((turns.breakers(), turns.next_wake()), ([0, 0, 1], None));
    assert!(turns.front(at, FREE).is_some(), "the probe");
    let probe = turns.sent(a, fresh(at));
    assert_eq!(turns.front(at, FREE), None);
    assert_eq!(end(&mut turns, a, started[2], ill), None, "an old one is no probe");
    assert_eq!(end(&mut turns, a, probe, Sign::Well).expect("closes").to, BreakerState::Closed);
    assert!(turns.front(at, FREE).is_some());
    turns.leave(a, SubscriptionKey(1));
    assert_eq!((turns.breakers(), turns.hosts_len()), ([0, 0, 0], 0));
    let changes: Vec<_> = turns.take_changes().iter().map(|change| change.transition.to).collect();
    assert_eq!(changes, [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed]);
    assert_eq!(turns.transitions(), [1, 1, 1]);
}

#[test]
fn leaving_and_coming_back_does_not_get_round_a_breaker() {
    let mut turns = turns(8);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    let ill = Sign::Ill(Fault { kind: ErrorKind::Connect, status: None });
    for _ in 0..2 {
        let started = turns.sent(a, fresh(NOW));
        end(&mut turns, a, started, ill);
    }
    turns.leave(a, SubscriptionKey(1));
    assert_eq!(turns.join(&authority("a"), SubscriptionKey(2)), a);
    assert_eq!(turns.breaker(a), BreakerState::Open);
    turns.leave(a, SubscriptionKey(2));
    let at = turns.next_wake().expect("then it is forgotten");
    assert!(turns.handle_timeout(at).is_some());
    assert_eq!((turns.breakers(), turns.hosts_len()), ([0, 0, 0], 0));
    assert_eq!(turns.take_changes().last().map(|change| change.transition.why), Some(Why::Forgotten));
}

#[test]
fn a_host_waits_for_its_tokens() {
    let mut turns = turns(8);
    let rule = HostRule { rate_per_second: Some(2.0), ..HostRule::DEFAULT };
    turns.options.rules = Arc::new(HostRules::new([("a", rule)]));
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    let b = turns.join(&authority("b"), SubscriptionKey(2));
    turns.enlist(a, SubscriptionKey(1));
    turns.enlist(b, SubscriptionKey(2));
    let mut starts = [0, 0];
    while let Some((host, _)) = turns.front(NOW, FREE) {
        let _ = turns.sent(host, fresh(NOW));
        starts[usize::from(host == b)] += 1;
    }
    assert_eq!(starts, [1, 8], "one at the rate, the other up to its cap");
    let at = turns.next_wake().expect("the next token");
    assert!(at > Mono(500_000_000) && at < Mono(501_000_000));
    assert_eq!(turns.front(at, FREE), None, "not before it is told the time");
    assert_eq!(turns.handle_timeout(at), None);
    assert_eq!(turns.front(at, FREE), Some((a, SubscriptionKey(1))));
}

#[test]
fn hosts_that_hang_with_large_bodies_leave_room() {
    let mut turns = turns(8);
    let hosts = ["a", "b", "c", "d"].map(|name| turns.join(&authority(name), SubscriptionKey(1)));
    let mut free = 1000;
    let mut starts = [0; 4];
    for (at, host) in hosts.into_iter().enumerate() {
        turns.enlist(host, SubscriptionKey(1));
        while free > 0 && turns.front(NOW, free).is_some() {
            let _ = turns.sent(host, Start { now: NOW, retry: false, bytes: 100 });
            free -= 100;
            starts[at] += 1;
        }
    }
    assert_eq!(starts, [6, 3, 1, 0], "each has what is left of the others, one always");
}

#[test]
fn retries_leave_room_for_first_attempts() {
    let mut turns = turns(8);
    let a = turns.join(&authority("a"), SubscriptionKey(1));
    for key in 1..=3 {
        turns.join(&authority("a"), SubscriptionKey(key));
        turns.enlist(a, SubscriptionKey(key));
    }
    let retry = Start { now: NOW, retry: true, bytes: 0 };
    let mut started = Vec::new();
    while turns.front(NOW, FREE).is_some() {
        if turns.may_retry(a) {
            started.push(turns.sent(a, retry));
        } else {
            turns.hold(a);
        }
    }
    assert_eq!(started.len(), 6, "a quarter is kept");
    // First attempts come: now half is theirs, and retries that end do not come back before that.
    turns.join(&authority("a"), SubscriptionKey(9));
    turns.enlist(a, SubscriptionKey(9));
    turns.fresh_waits(a, SubscriptionKey(9), true);
    assert_eq!(turns.front(NOW, FREE), Some((a, SubscriptionKey(9))));
    let _ = (turns.sent(a, fresh(NOW)), turns.sent(a, fresh(NOW)));
    let mut ends =
        started.into_iter().map(|generation| Ended { generation, sign: Sign::Well, retry: true, bytes: 0 });
    for _ in 0..2 {
        turns.ended(a, NOW, ends.next().expect("six"));
        assert_eq!(turns.front(NOW, FREE), Some((a, SubscriptionKey(9))), "no retry yet");
    }
    turns.ended(a, NOW, ends.next().expect("six"));
    turns.unlist(a);
    assert_eq!(turns.front(NOW, FREE), Some((a, SubscriptionKey(1))), "one that was held");
    assert!(turns.may_retry(a));
    // Nothing of retries is left in flight: all that were held come again, one after the other.
    turns.fresh_waits(a, SubscriptionKey(9), false);
    for ended in ends {
        turns.ended(a, NOW, ended);
    }
    let mut seen = Vec::new();
    while let Some((_, key)) = turns.front(NOW, FREE) {
        seen.push(key.0);
        turns.unlist(a);
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
}
