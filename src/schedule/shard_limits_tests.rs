//! What limits a shard: breakers, rates, retries and memory in flight.

use std::collections::HashSet;

use super::*;
use crate::schedule::{Body, BreakerState};

/// Sends and fails what it can until nothing goes any more; gives how many were sent.
fn fail_all(rig: &mut Rig) -> usize {
    let mut sent = 0;
    loop {
        let sends = rig.sends();
        if sends.is_empty() {
            return sent;
        }
        sent += sends.len();
        for send in sends {
            rig.end(send.id, Some(ErrorKind::Connect));
        }
    }
}

/// Everything that the shard asks for is answered from the log of `events`, of which `done` are settled.
fn serve(rig: &mut Rig, events: &[Arc<Event>], done: &HashSet<Seq>) -> Vec<Send> {
    let mut sends = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        match action {
            Action::Send(send) => sends.push(send),
            Action::Read(Read::Subscription { subscription, from, limit, .. }) => {
                let left = events.iter().filter(|event| event.seq >= from && !done.contains(&event.seq));
                let page: Vec<_> = left.take(limit).cloned().collect();
                let end = page.len() < limit;
                let last = events.last().map_or(Seq(0), |event| event.seq);
                let through = if end { last } else { page.last().map_or(last, |event| event.seq) };
                rig.shard.handle_subscription_page(&SubscriptionPage {
                    subscription: subscription.key,
                    from,
                    events: page,
                    through,
                    end,
                    expired_below: None,
                });
            }
            Action::Read(_)
            | Action::Cancel(_)
            | Action::CaughtUp(_)
            | Action::Disable { .. }
            | Action::Recovered(_)
            | Action::Replayed(_) => {}
        }
    }
    sends
}

#[test]
fn an_open_host_is_left_alone_and_holds_nothing() {
    let mut rig = Rig::new(&[(1, "http://a.example/"), (2, "http://b.example/")]);
    let events: Vec<_> = (0..100).map(|_| rig.event(10)).collect();
    rig.shard.handle_committed(&events, None);
    let (mut spent, mut well) = (HashSet::new(), 0);
    loop {
        let sends = rig.sends();
        if sends.is_empty() {
            break;
        }
        for send in sends {
            let fails = send.subscription.key.0 == 1;
            if fails {
                spent.insert(send.event.seq);
            } else {
                well += 1;
            }
            rig.end(send.id, fails.then_some(ErrorKind::Connect));
        }
    }
    assert_eq!(well, 100, "the other host noticed nothing");
    assert!((10..18).contains(&spent.len()), "{} attempts and what was in flight", spent.len());
    let health = rig.shard.health(SubscriptionKey(1)).expect("it has a lane");
    assert_eq!((health.breaker, health.lagging), (BreakerState::Open, true));
    let wait = health.probe_at.expect("a time").since(rig.now.wall);
    assert!(wait > Duration::from_secs(4) && wait <= Duration::from_millis(5500), "{wait:?}");
    assert_eq!(rig.shard.health(SubscriptionKey(2)).map(|health| health.breaker), Some(BreakerState::Closed));
    let counts = rig.shard.counts();
    assert_eq!((counts.queued, counts.queued_bytes), (0, 0), "nothing waits in memory");
    assert_eq!((counts.breakers, counts.transitions), ([1, 1, 0], [0, 1, 0]));
    let [change] = rig.shard.take_breaker_changes().try_into().expect("one change");
    assert_eq!(
        (change.host.to_string().as_str(), change.transition.to),
        ("http://a.example:80", BreakerState::Open)
    );
    // What comes meanwhile waits in the log, and due retries on disk.
    rig.commit(50, 10);
    rig.pass(Duration::from_millis(4900));
    assert_eq!(rig.sends().iter().filter(|send| send.subscription.key.0 == 1).count(), 0);
    assert!(rig.shard.counts().queued <= 50);
}

#[test]
fn a_host_that_comes_back_gets_its_backlog_slowly_at_first() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let events: Vec<_> = (0..100).map(|_| rig.event(10)).collect();
    rig.shard.handle_committed(&events, None);
    let first = fail_all(&mut rig);
    let mut done: HashSet<_> = events.iter().take(first).map(|event| event.seq).collect();
    let open_until = rig.shard.next_wake(rig.now).expect("it wakes");
    assert!(open_until <= Mono(0) + Duration::from_secs(6));
    // Before retries are due, with nothing but the backlog to try it with.
    rig.pass(Duration::from_millis(5600));
    let probe = serve(&mut rig, &events, &done);
    assert_eq!(probe.len(), 1, "one request tries it");
    assert_eq!(probe[0].event.seq, events[first].seq, "the oldest that was not tried");
    assert!(serve(&mut rig, &events, &done).is_empty());
    assert!(rig.shard.counts().queued <= 4, "two events and two retries at most");
    let mut waves = Vec::new();
    let mut flying = probe;
    while !flying.is_empty() {
        waves.push(flying.len());
        for send in flying.drain(..) {
            done.insert(send.event.seq);
            rig.end(send.id, None);
        }
        flying = serve(&mut rig, &events, &done);
    }
    assert_eq!(waves.iter().sum::<usize>(), 100 - first, "all of it, each once");
    assert_eq!(waves[..4], [1, 2, 4, 8], "it gets up to speed");
    assert_eq!(rig.shard.counts().transitions, [1, 1, 1]);
    assert_eq!(rig.shard.counts().lagging, 0);
}

#[test]
fn a_rate_holds_and_says_when_it_goes_on() {
    let mut rig = Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2")]);
    rig.limit(1, Some(4.0));
    rig.commit(20, 10);
    let mut at = Vec::new();
    let mut other = 0;
    while at.len() < 5 {
        let sends = rig.sends();
        for send in &sends {
            if send.subscription.key.0 == 1 {
                at.push(rig.now.mono);
            } else {
                other += 1;
            }
            rig.end(send.id, None);
        }
        if sends.is_empty() {
            // Whatever else there was to do is done.
            rig.pass(Duration::ZERO);
            let _ = rig.sends();
            let _ = rig.shard.poll_settlement(rig.now, true).map(|s| rig.shard.handle_flushed(s.serial));
            let wake = rig.shard.next_wake(rig.now).expect("a token comes");
            assert!(wake > rig.now.mono, "no busy loop");
            rig.pass(wake.since(rig.now.mono));
        }
    }
    assert_eq!(other, 20, "the neighbour is not limited");
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.iter().all(|gap| (250..251).contains(&gap.as_millis())), "{gaps:?}");
    // Without the limit the rest goes at once.
    rig.limit(1, None);
    assert_eq!(fail_all(&mut rig), 15);
}

/// Bodies that the shard asks for are there at once; gives what it sends.
fn serve_bodies(rig: &mut Rig, events: &[Arc<Event>]) -> Vec<Send> {
    let mut sends = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        match action {
            Action::Send(send) => sends.push(send),
            Action::Read(Read::Bodies { wanted, .. }) => {
                let find = |seq: Seq| events.iter().find(|event| event.seq == seq).cloned();
                let body = |(subscription, seq): (SubscriptionKey, Seq)| Body {
                    subscription,
                    seq,
                    found: find(seq).into(),
                };
                let bodies: Vec<_> = wanted.into_iter().map(body).collect();
                rig.shard.handle_bodies(rig.now, &bodies);
            }
            Action::Read(_)
            | Action::Cancel(_)
            | Action::CaughtUp(_)
            | Action::Disable { .. }
            | Action::Recovered(_)
            | Action::Replayed(_) => {}
        }
    }
    sends
}

#[test]
fn retries_that_hang_leave_room_for_first_attempts() {
    let mut rig =
        Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2"), (3, "http://a.example/3")]);
    let events: Vec<_> = (0..40).map(|_| rig.event(10)).collect();
    rig.shard.handle_committed(&events, None);
    loop {
        let sends = rig.sends();
        if sends.is_empty() {
            break;
        }
        // Not a fault of the host, so that its breaker stays closed.
        for send in sends {
            rig.end(send.id, Some(ErrorKind::Egress));
        }
    }
    rig.pass(Duration::from_secs(5));
    let retries = serve_bodies(&mut rig, &events);
    assert!(retries.iter().all(|send| send.attempt == 2));
    assert_eq!(retries.len(), 6, "three quarters of the eight that the host takes");
    // They hang. What comes now goes at once all the same.
    let late = rig.event(10);
    rig.shard.handle_committed(&[Arc::clone(&late)], None);
    let first = rig.sends();
    assert_eq!(first.iter().map(|send| send.attempt).collect::<Vec<_>>(), [1, 1]);
    for send in first {
        rig.end(send.id, None);
    }
    let third = rig.sends();
    assert_eq!(third.iter().map(|send| (send.attempt, send.event.seq)).collect::<Vec<_>>(), [(1, late.seq)]);
    for send in third {
        rig.end(send.id, None);
    }
    assert!(rig.sends().is_empty(), "the rest of the retries waits for those that hang");
    // And nothing starves: when they end, all of the others go.
    let mut sent = retries.len();
    let mut flying = retries;
    while !flying.is_empty() {
        for send in flying.drain(..) {
            rig.end(send.id, None);
        }
        flying = rig.sends();
        sent += flying.len();
    }
    assert_eq!(sent, 120);
}

#[test]
fn bodies_in_flight_are_bounded_and_one_always_goes() {
    let mut rig = Rig::new(&[(1, "http://a.example/"), (2, "http://b.example/"), (3, "http://c.example/")]);
    rig.commit(4, 300_000);
    let mut by_host = HashMap::new();
    let mut flying = rig.sends();
    for send in &flying {
        *by_host.entry(send.subscription.key.0).or_insert(0) += 1;
    }
    let bytes: usize = flying.iter().map(|send| send.event.body().len()).sum();
    assert!(bytes < (1 << 20) + 300_100, "{bytes} in flight");
    assert!(by_host.len() == 3, "no host keeps the others out: {by_host:?}");
    let mut sent = flying.len();
    while let Some(send) = flying.pop() {
        rig.end(send.id, None);
        let more = rig.sends();
        sent += more.len();
        flying.extend(more);
    }
    assert_eq!(sent, 12);
    // One that is larger than the bound goes alone.
    rig.commit(1, 2 << 20);
    let mut sizes = Vec::new();
    loop {
        let sends = rig.sends();
        if sends.is_empty() {
            break;
        }
        sizes.push(sends.len());
        for send in sends {
            rig.end(send.id, None);
        }
    }
    assert_eq!(sizes, [1; 3]);
}

#[test]
fn a_host_takes_what_its_connections_carry() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(100, 10);
    assert_eq!(rig.sends().len(), 8, "what holds for hosts that nothing is said of");
    let url = crate::model::CallbackUrl::parse("http://a.example/").expect("valid");
    rig.shard.handle_host_capacity(url.authority(), 40);
    assert_eq!(rig.sends().len(), 32);
    rig.shard.handle_host_capacity(url.authority(), 0);
    assert!(rig.sends().is_empty(), "less than what is in flight");
    let other = crate::model::CallbackUrl::parse("http://nobody.example/").expect("valid");
    rig.shard.handle_host_capacity(other.authority(), 5);
}

#[test]
fn one_that_only_fails_does_not_keep_a_host_closed_off() {
    let mut rig = Rig::new(&[(1, "http://a.example/bad"), (2, "http://a.example/good")]);
    let events: Vec<_> = (0..100).map(|_| rig.event(10)).collect();
    rig.shard.handle_committed(&events, None);
    fail_all(&mut rig);
    assert_eq!(rig.shard.counts().breakers, [0, 1, 0]);
    let mut good = 0;
    for _ in 0..3 {
        rig.pass(Duration::from_secs(61));
        loop {
            let sends = serve(&mut rig, &events, &HashSet::new());
            if sends.is_empty() {
                break;
            }
            for send in sends {
                let bad = send.subscription.key.0 == 1;
                good += u32::from(!bad);
                rig.end(send.id, bad.then_some(ErrorKind::Connect));
            }
        }
    }
    assert!(good >= 1, "three probes, and all of the one that fails");
}

#[test]
fn slow_lanes_with_large_events_leave_the_log_to_others() {
    let urls: Vec<_> = (1..=9).map(|key| (key, format!("http://host{key}.example/"))).collect();
    let urls: Vec<_> = urls.iter().map(|(key, url)| (*key, url.as_str())).collect();
    let mut rig = Rig::new(&urls);
    for key in 1..=8 {
        rig.limit(key, Some(0.01));
    }
    let events: Vec<_> = (0..100).map(|_| rig.event(250_000)).collect();
    rig.shard.handle_committed(&events, None);
    let mut sent = 0;
    let mut rounds = 0;
    while sent < 100 && rounds < 500 {
        rounds += 1;
        for send in serve(&mut rig, &events, &HashSet::new()) {
            sent += usize::from(send.subscription.key.0 == 9);
            rig.end(send.id, None);
        }
    }
    assert_eq!(sent, 100, "all of the one that is quick");
    assert!(rig.shard.is_crowded(), "the slow ones have taken what they may");
    for key in 1..=8 {
        let lane = rig.shard.lanes.get(&SubscriptionKey(key)).expect("it has a lane");
        assert!(lane.fresh_bytes < (4 << 20) + 250_100, "{} bytes", lane.fresh_bytes);
    }
}
