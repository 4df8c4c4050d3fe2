//! The breaker, by scripts: what happens at which second, and what it says then.

use super::*;
use crate::model::{AttemptError, UnixMillis};

const CAP: u32 = 8;
const HOST: u64 = 0xfeed;

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        window: Duration::from_secs(30),
        min_requests: 10,
        failure_ratio: 0.5,
        open: Duration::from_secs(5),
        open_max: Duration::from_secs(60),
    }
}

fn at(secs: f64) -> Mono {
    Mono(0) + Duration::from_secs_f64(secs)
}

const ILL: Sign = Sign::Ill(Fault { kind: ErrorKind::Timeout, status: None });

/// One request, start and end.
fn one(breaker: &mut Breaker, secs: f64, sign: Sign) -> Option<Transition> {
    assert!(breaker.may_start(), "at {secs}");
    let generation = breaker.started();
    breaker.ended(&policy(), at(secs), HOST, generation, sign, CAP)
}

/// Runs steps such as `8+` (eight successes), `3-` (failures), `2.` (not asked) and `@12.5` (a time to go
/// to); gives the state after the last.
fn run(breaker: &mut Breaker, script: &str) -> BreakerState {
    let mut now = 0.0;
    for step in script.split_whitespace() {
        if let Some(time) = step.strip_prefix('@') {
            now = time.parse().expect("a time");
            breaker.handle_timeout(at(now));
            continue;
        }
        let (count, sign) = step.split_at(step.len() - 1);
        let sign = match sign {
            "+" => Sign::Well,
            "-" => ILL,
            "." => Sign::Nothing,
            other => panic!("{other} is no step"),
        };
        for _ in 0..count.parse::<u32>().expect("a count") {
            one(breaker, now, sign);
        }
    }
    breaker.state()
}

#[test]
fn opens_by_ratio_and_number() {
    use BreakerState::{Closed, HalfOpen, Open};
    let check = |script: &str, want| assert_eq!(run(&mut Breaker::default(), script), want, "{script}");
    check("", Closed);
    check("9-", Closed);
    check("10-", Open);
    check("5+ 5-", Open);
    check("6+ 5-", Closed);
    check("6+ 6-", Open);
    check("100+ 99-", Closed);
    check("100+ 100-", Open);
    check("9- 50.", Closed);
    // What is older than the window is forgotten, a tenth of it at a time.
    check("9- @29 1-", Open);
    check("9- @30 1-", Closed);
    check("100+ @15 9- @33 1-", Open);
    check("5- @10 3- @28 1+ 1-", Open);
    check("5- @10 3- @31 1+ 1-", Closed);
    check("9- @100000 9-", Closed);
    // Open, then one may try.
    check("10- @4.9", Open);
    check("10- @5.6", HalfOpen);
    check("10- @5.6 1-", Open);
    check("10- @5.6 1- @15", Open);
    check("10- @5.6 1- @17", HalfOpen);
    check("10- @5.6 1+", Closed);
    check("10- @5.6 1.", HalfOpen);
    check("10- @5.6 3. 1+", Closed);
    // Slow start: a failure halves what is allowed, and at one it opens again.
    check("10- @5.6 1+ 1-", Closed);
    check("10- @5.6 1+ 2-", Open);
    check("10- @5.6 1+ 2+ 2-", Closed);
    check("10- @5.6 1+ 2+ 3-", Open);
    // At full speed the window alone counts, and it was begun anew.
    check("10- @5.6 1+ 6+ 5-", Closed);
    check("10- @5.6 1+ 6+ 6-", Open);
}

#[test]
fn the_open_time_doubles_up_to_its_most() {
    let mut breaker = Breaker::default();
    run(&mut breaker, "9-");
    let mut now = 0.0;
    let mut seen = Vec::new();
    for _ in 0..8 {
        let opened = one(&mut breaker, now, ILL).expect("it opens");
        assert_eq!(opened.to, BreakerState::Open);
        seen.push(opened.open_for.as_secs_f64());
        let until = breaker.next_wake().expect("it is open");
        assert_eq!(until, at(now) + opened.open_for);
        assert_eq!(breaker.handle_timeout(Mono(until.0 - 1)), None);
        let half = breaker.handle_timeout(until).expect("the time is over");
        assert_eq!((half.to, half.why), (BreakerState::HalfOpen, Why::Waited));
        assert_eq!(breaker.next_wake(), None);
        now += opened.open_for.as_secs_f64();
    }
    for (got, want) in seen.iter().zip([5.0, 10.0, 20.0, 40.0]) {
        assert!((want..want * 1.1).contains(got), "{seen:?}");
    }
    assert!(seen[4..].iter().all(|got| (54.0..=60.0).contains(got)), "{seen:?}");
    let wholes: std::collections::BTreeSet<_> = seen[4..].iter().map(|secs| secs.to_bits()).collect();
    assert!(wholes.len() > 1, "each is a little different: {seen:?}");
    // At full speed it has forgotten.
    run(&mut breaker, "@100000 1+ 6+");
    run(&mut breaker, "@200000 9-");
    let opened = one(&mut breaker, 200_000.0, ILL).expect("it opens");
    assert!(opened.open_for < Duration::from_secs(6));
}

#[test]
fn a_host_that_fails_in_its_slow_start_is_left_alone_for_longer() {
    let mut breaker = Breaker::default();
    run(&mut breaker, "10- @5.6 1+ 1-");
    let opened = one(&mut breaker, 5.6, ILL).expect("it opens again");
    assert!(matches!(opened.why, Why::FailedAgain(_)));
    assert!(opened.open_for >= Duration::from_secs(10));
}

#[test]
fn one_that_flaps_at_full_speed_is_left_alone_for_longer() {
    for cap in [1, 2, CAP] {
        let mut breaker = Breaker::default();
        let mut now = 0.0;
        let mut seen = Vec::new();
        let one = |breaker: &mut Breaker, now: f64, sign| {
            let generation = breaker.started();
            breaker.ended(&policy(), at(now), HOST, generation, sign, cap)
        };
        for _ in 0..3 {
            let opened = (0..200).find_map(|_| one(&mut breaker, now, ILL)).expect("it opens");
            seen.push(opened.open_for.as_secs_f64());
            now += opened.open_for.as_secs_f64();
            breaker.handle_timeout(at(now));
            for _ in 0..7 {
                one(&mut breaker, now, Sign::Well);
            }
            now += 20.0;
        }
        for (got, want) in seen.iter().zip([5.0, 10.0, 20.0]) {
            assert!((want..want * 1.1).contains(got), "{seen:?} with {cap} at once");
        }
        one(&mut breaker, now + 31.0, Sign::Well);
        let opened = (0..200).find_map(|_| one(&mut breaker, now + 31.0, ILL)).expect("it opens");
        assert!(opened.open_for.as_secs_f64() < 6.0, "it had been well for a while");
    }
}

#[test]
fn one_probe_at_a_time_and_then_more_with_each_success() {
    let mut breaker = Breaker::default();
    run(&mut breaker, "10-");
    assert!(!breaker.may_start());
    run(&mut breaker, "@5.6");
    let probe = breaker.started();
    assert!(!breaker.may_start(), "one probe");
    breaker.ended(&policy(), at(6.0), HOST, probe, Sign::Well, CAP);
    let mut allowed = Vec::new();
    for _ in 0..CAP {
        let mut flights = Vec::new();
        while breaker.may_start() && flights.len() < 100 {
            flights.push(breaker.started());
        }
        allowed.push(flights.len());
        for (n, flight) in flights.into_iter().enumerate() {
            // One succeeds, the others say nothing.
            let sign = if n == 0 { Sign::Well } else { Sign::Nothing };
            breaker.ended(&policy(), at(7.0), HOST, flight, sign, CAP);
        }
    }
    assert_eq!(allowed, [2, 3, 4, 5, 6, 7, 100, 100]);
}

#[test]
fn what_was_started_before_is_no_probe() {
    let mut breaker = Breaker::default();
    let old: Vec<_> = (0..30).map(|_| breaker.started()).collect();
    let mut ends = old.into_iter();
    let mut end = |breaker: &mut Breaker, secs: f64, sign| {
        let generation = ends.next().expect("thirty are there");
        breaker.ended(&policy(), at(secs), HOST, generation, sign, CAP)
    };
    for _ in 0..9 {
        assert_eq!(end(&mut breaker, 0.0, ILL), None);
    }
    let Some(Transition { why: Why::Failing { failed: 10, requests: 10, .. }, .. }) =
        end(&mut breaker, 0.0, ILL)
    else {
        panic!("the tenth opens it")
    };
    // Neither a success nor a failure of the old ones moves it now.
    for sign in [Sign::Well, ILL] {
        assert_eq!(end(&mut breaker, 1.0, sign), None);
    }
    breaker.handle_timeout(at(5.6));
    for sign in [Sign::Well, ILL] {
        assert_eq!(end(&mut breaker, 5.7, sign), None);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.may_start(), "an old one does not stand in the way of the probe");
    }
    one(&mut breaker, 6.0, Sign::Well);
    assert_eq!(end(&mut breaker, 6.0, ILL), None);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn signs() {
    let outcome = |kind: Option<ErrorKind>, status| Outcome {
        started_at: UnixMillis(0),
        duration: Duration::ZERO,
        status,
        error: kind.map(|kind| AttemptError { kind, message: String::new() }),
        retry_after: None,
        response: None,
    };
    assert_eq!(sign(&outcome(None, Some(204))), Sign::Well);
    let well = [301, 400, 404, 408, 429, 499].map(|status| (ErrorKind::Status, Some(status)));
    for (kind, status) in well.into_iter().chain([(ErrorKind::Gone, Some(410))]) {
        assert_eq!(sign(&outcome(Some(kind), status)), Sign::Well, "{kind} {status:?}");
    }
    let ill = [ErrorKind::Dns, ErrorKind::Connect, ErrorKind::Tls, ErrorKind::Timeout]
        .into_iter()
        .chain([ErrorKind::Reset, ErrorKind::Protocol])
        .map(|kind| (kind, None))
        .chain([500, 503, 599].map(|status| (ErrorKind::Status, Some(status))));
    for (kind, status) in ill {
        assert_eq!(sign(&outcome(Some(kind), status)), Sign::Ill(Fault { kind, status }), "{kind}");
    }
    assert_eq!(sign(&outcome(Some(ErrorKind::Egress), None)), Sign::Nothing);
}
