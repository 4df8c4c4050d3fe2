//! What was wanted when, and what is left of it at the bounds.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::subscription::tests::sample;
use super::*;
use crate::model::{AccountKey, Event, Payload, Subscription, TypeBit, UnixMillis};

fn filter(value: &Value) -> Arc<Filter> {
    Arc::new(Filter::parse(value, "filter").expect("a valid filter"))
}

fn floor_is(floor: u64) -> Arc<Filter> {
    filter(&json!({"path": "data.floor", "eq": floor}))
}

fn event(seq: u64, bit: u8, data: &str) -> Event {
    let body = format!(r#"{{"id":"e-1","type":"t","data":{data}}}"#);
    Event::new(Seq(seq), AccountKey(1), TypeBit(bit), UnixMillis(0), 3, Bytes::from(body))
        .expect("well-formed")
}

fn wants(sub: &Subscription, seq: u64, bit: u8, data: &str) -> bool {
    sub.wants(&Payload::new(&event(seq, bit, data)))
}

#[test]
fn wants_what_was_wanted_then() {
    let mut sub = sample(1, "http://localhost/");
    let a = EventMask::of([TypeBit(1)]);
    let b = EventMask::of([TypeBit(2)]);
    sub.epochs.clear();
    sub.begin_epoch(Seq(10), a, Seq(0));
    sub.begin_epoch(Seq(20), EventMask::NONE, Seq(0));
    sub.begin_epoch(Seq(30), b, Seq(0));
    let check = |seq, bit, want| {
        assert_eq!(sub.may_want(TypeBit(bit), Seq(seq)), want, "{seq} {bit}");
        assert_eq!(wants(&sub, seq, bit, "{}"), want, "{seq} {bit}");
    };
    check(9, 1, false);
    check(10, 1, true);
    check(19, 1, true);
    check(20, 1, false);
    check(30, 1, false);
    check(30, 2, true);
    assert_eq!(sub.mask_ever(), a.union(&b));
}

#[test]
fn a_filter_holds_from_its_place_on() {
    let mut sub = sample(1, "http://localhost/");
    let all = EventMask::of([TypeBit(1)]);
    sub.epochs.clear();
    sub.begin_epoch(Seq(10), all, Seq(0));
    sub.filter = Some(floor_is(3));
    sub.begin_epoch(Seq(20), all, Seq(0));
    sub.begin_epoch(Seq(25), all, Seq(0));
    sub.filter = Some(floor_is(4));
    sub.begin_epoch(Seq(30), all, Seq(0));
    assert_eq!(sub.epochs.len(), 3, "the same is no new epoch");
    let check = |seq, floor: u64, want| {
        assert_eq!(wants(&sub, seq, 1, &format!(r#"{{"floor":{floor}}}"#)), want, "{seq} {floor}");
    };
    check(19, 5, true);
    check(20, 5, false);
    check(20, 3, true);
    check(29, 4, false);
    check(30, 3, false);
    check(30, 4, true);
    assert!(!wants(&sub, 30, 2, r#"{"floor":4}"#), "the type comes first");
    assert!(wants(&sub, 30, 1, r#"{"floor":1e999}"#), "what cannot be read is sent");
}

#[test]
fn epochs_are_bounded_and_lose_nothing() {
    let mut sub = sample(1, "http://localhost/");
    sub.epochs = vec![Epoch { from: Seq(1), mask: EventMask::of([TypeBit(0)]), filter: None }];
    for n in 1..=200u64 {
        let bit = TypeBit(u8::try_from(n % 200).expect("small"));
        sub.begin_epoch(Seq(n * 10), EventMask::of([bit]), Seq(0));
    }
    assert_eq!(sub.epochs.len(), EPOCHS_MAX);
    assert!(sub.may_want(TypeBit(0), Seq(5)), "the merged epoch still wants what the first wanted");
    sub.begin_epoch(Seq(3000), EventMask::NONE, Seq(2999));
    assert_eq!(sub.epochs.len(), 2);
}

#[test]
fn filters_are_bounded_and_lose_nothing() {
    let mut sub = sample(1, "http://localhost/");
    let all = EventMask::of([TypeBit(1)]);
    sub.epochs.clear();
    let long = "x".repeat(1000);
    for n in 1..=30u64 {
        sub.filter = Some(filter(&json!({"or": [
            {"path": "data.floor", "eq": n},
            {"path": "data.name", "in": (0..12).map(|at| format!("{n}-{at}-{long}")).collect::<Vec<_>>()},
        ]})));
        sub.begin_epoch(Seq(n * 10), all, Seq(0));
        assert!(filters_len(&sub.epochs) <= FILTERS_LEN_MAX);
        for then in 1..=n {
            assert!(wants(&sub, then * 10 + 5, 1, &format!(r#"{{"floor":{then}}}"#)), "{then} at {n}");
        }
        assert!(!wants(&sub, n * 10, 1, r#"{"floor":0}"#), "the present one is never widened");
    }
    assert!(sub.epochs.len() < 12, "{}", sub.epochs.len());
}

#[test]
fn merging_keeps_a_filter_that_speaks_for_both() {
    let epoch = |from, bits: &[u8], filter: Option<&Arc<Filter>>| Epoch {
        from: Seq(from),
        mask: EventMask::of(bits.iter().copied().map(TypeBit)),
        filter: filter.cloned(),
    };
    let (three, four) = (floor_is(3), floor_is(4));
    let check = |older: &Epoch, newer: &Epoch, want: Option<&Arc<Filter>>| {
        let merged = Epoch::merged(older, newer);
        assert_eq!((merged.from, merged.mask), (older.from, older.mask.union(&newer.mask)));
        assert_eq!(merged.filter.as_ref(), want, "{older:?} {newer:?}");
    };
    check(&epoch(1, &[1], Some(&three)), &epoch(2, &[2], Some(&three)), Some(&three));
    check(&epoch(1, &[1], Some(&three)), &epoch(2, &[1], Some(&four)), None);
    check(&epoch(1, &[1], Some(&three)), &epoch(2, &[1], None), None);
    check(&epoch(1, &[1], Some(&three)), &epoch(2, &[], None), Some(&three));
    check(&epoch(1, &[], None), &epoch(2, &[1], Some(&four)), Some(&four));
}
