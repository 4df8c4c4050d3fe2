//! What charts are drawn from, over stops, kills and deletions.

use super::*;
use crate::log::rollups::Span;
use crate::model::{Rollup, ended_at};

fn settle(rig: &Rig, serial: u64, attempts: Vec<(SubscriptionKey, Attempt)>) {
    let mut done = settlement(0, serial, Seq(0));
    done.accepted = attempts.iter().map(|(_, attempt)| UnixMillis(ended_at(attempt).0 - 40)).collect();
    done.attempts = attempts;
    rig.settle(done);
}

fn sum(rig: &Rig, sub: SubscriptionKey) -> Rollup {
    let mut sum = Rollup::default();
    let found = rig.store.rollups_of(sub, (Span(0), Span(u32::MAX))).expect("reads");
    for rollup in found.values() {
        sum.add(rollup);
    }
    sum
}

#[test]
fn counts_survive_a_stop_and_add_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let (sub, other) = (
        rig.subscribe("acme", "https://one.example/", "one").key,
        rig.subscribe("acme", "https://two.example/", "one").key,
    );
    rig.accept("acme", 1..=5);
    let failed = (sub, attempt(Seq(2), Disposition::Dead));
    settle(&rig, 1, vec![delivered(sub, Seq(1)), failed, delivered(other, Seq(1))]);
    let seen = sum(&rig, sub);
    assert_eq!((seen.delivered, seen.failed, seen.delay_mean_ms()), (1, 1, Some(40)), "before any row");
    assert_eq!(rig.store.rolled_up().delivered, 2);
    rig.stop();
    let rig = Rig::at(dir.path());
    settle(&rig, 1, vec![delivered(sub, Seq(3))]);
    let seen = sum(&rig, sub);
    assert_eq!((seen.delivered, seen.failed), (2, 1), "rows of before and what is in memory");
    assert_eq!(sum(&rig, other).delivered, 1);
    rig.stop();
    let rig = Rig::at(dir.path());
    assert_eq!((sum(&rig, sub).delivered, rig.store.rolled_up().delivered), (2, 0));
    rig.stop();
}

#[test]
fn counts_go_with_their_subscription() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    rig.accept("acme", 1..=2);
    settle(&rig, 1, vec![delivered(sub.key, Seq(1))]);
    rig.stop();
    let rig = Rig::at(dir.path());
    settle(&rig, 1, vec![delivered(sub.key, Seq(2))]);
    assert_eq!(sum(&rig, sub.key).delivered, 2);
    let account = crate::model::AccountName::parse("acme").expect("a name");
    rig.change(Change::DeleteSubscription { account, id: sub.id.clone(), if_match: None });
    rig.stop();
    let rig = Rig::at(dir.path());
    assert_eq!(sum(&rig, sub.key), Rollup::default());
    rig.stop();
}
