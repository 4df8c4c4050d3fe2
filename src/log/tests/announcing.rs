//! Operational events: in the same write as what they tell of, and never twice.

use super::*;
use crate::model::Status;
use crate::model::subscription::DisabledReason;
use crate::settle::{DeadReason, DeadRow, Notice};

fn notice(subscription: &Subscription, seq: u64) -> Notice {
    Notice {
        subscription: subscription.key,
        seq: Seq(seq),
        event_id: format!("evt-{seq}").into(),
        type_bit: TypeBit(1),
        reason: DeadReason::Exhausted,
        attempts: 3,
        at: UnixMillis(START),
        omitted: 2,
    }
}

fn ids(rig: &Rig) -> Vec<(u8, String)> {
    let events = (1..=rig.store.head().0).filter_map(|seq| rig.store.event(Seq(seq)).expect("reads"));
    events.map(|event| (event.type_bit.0, event.id().to_owned())).collect()
}

#[test]
fn deaths_become_events_with_their_settlement() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let bad = rig.subscribe("acme", "https://one.example/", "one");
    rig.accept("acme", 1..=2);
    let mut dead = settlement(0, 1, Seq(0));
    dead.dead_put = vec![DeadRow {
        subscription: bad.key,
        seq: Seq(1),
        reason: DeadReason::Exhausted,
        at: UnixMillis(START),
    }];
    dead.notices = vec![notice(&bad, 1)];
    rig.settle(dead.clone());
    assert_eq!(rig.store.head(), Seq(2), "nobody asks for them");
    let watcher = rig.subscribe("acme", "https://two.example/", "own");
    rig.live(rig.owner(&watcher));
    dead.serial = 2;
    dead.notices = vec![notice(&bad, 1), notice(&watcher, 2)];
    rig.settle(dead.clone());
    let told = format!("{}-dead-1", bad.id);
    eventually(|| (rig.store.head() == Seq(3)).then_some(())).expect("the head rises");
    assert_eq!(ids(&rig)[2..], [(DEAD.0, told.clone())], "about the watcher there is nobody to tell");
    let commit = rig.workers[rig.owner(&watcher)].commits.recv_timeout(PATIENCE).expect("is handed over");
    let event = &commit.events[0];
    assert!(event.is_about(&bad.id) && !event.is_about(&watcher.id));
    let body: serde_json::Value = serde_json::from_slice(event.body()).expect("is JSON");
    assert_eq!((&body["type"], &body["accountId"]), (&json!("type.113"), &json!("acme")));
    let data = json!({"subscriptionId": bad.id.as_str(), "subscriptionName": "test", "eventId": "evt-1",
        "eventType": "type.1", "reason": "exhausted", "attempts": 3,
        "diedAt": UnixMillis(START).to_rfc3339(), "omitted": 2});
    assert_eq!(body["data"], data);
    // The same death once more, as after a failed write.
    dead.serial = 3;
    rig.settle(dead);
    assert_eq!(rig.store.head(), Seq(3));
    let killed = rig.crash_image();
    rig.stop();
    let rig = Rig::at(killed.path());
    assert_eq!(ids(&rig)[2..], [(DEAD.0, told)]);
    rig.stop();
}

#[test]
fn disabled_and_recovered_are_told_once_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let bad = rig.subscribe("acme", "https://one.example/", "one");
    rig.subscribe("acme", "https://two.example/", "own");
    let disable = |version, reason, announce| Change::Disable { key: bad.key, version, reason, announce };
    let old = rig.change(disable(7, DisabledReason::Gone, true));
    assert_eq!(old, Changed::default(), "it was judged by a record that is no more");
    let changed = rig.change(disable(1, DisabledReason::Gone, true));
    let after = changed.subscriptions[0].after.clone().expect("is there");
    assert_eq!((after.status, after.announced), (Status::Inactive, true));
    assert!(!after.may_want(DISABLED, rig.store.head()));
    rig.change(disable(2, DisabledReason::Gone, true));
    // Inactive still: it cannot have recovered.
    rig.change(Change::Recovered { key: bad.key });
    let patch = crate::registry::Patch::parse(&json!({"status": "active"}), &Types).expect("a good patch");
    let account = AccountName::parse("acme").expect("a name");
    rig.change(Change::PatchSubscription { account, id: bad.id.clone(), patch, if_match: None });
    let killed = rig.crash_image();
    rig.stop();
    let rig = Rig::at(killed.path());
    rig.change(Change::Recovered { key: bad.key });
    rig.change(Change::Recovered { key: bad.key });
    let told: Vec<u8> = ids(&rig).into_iter().map(|(bit, _)| bit).collect();
    assert_eq!(told, [DISABLED.0, RECOVERED.0]);
    let quiet =
        Change::Disable { key: bad.key, version: 3, reason: DisabledReason::Failing, announce: false };
    let changed = rig.change(quiet);
    assert_eq!(changed.subscriptions[0].after.as_ref().map(|after| after.announced), Some(false));
    assert_eq!(rig.store.head(), Seq(2), "not to be announced");
    rig.stop();
}
