//! What the check of a store finds, and that it finds nothing where all is well.

use super::*;
use crate::log::db::{Batch, Db, DbOptions, Family};
use crate::log::floor::Floors;
use crate::log::key::Key;
use crate::log::record::{RetryValue, encode};
use crate::log::verify::{Report, verify};
use crate::settle::{DeadRow, RetryKey, RetryRow};

/// A store with something in every family.
fn fill(dir: &Path) -> SubscriptionKey {
    let rig = Rig::at(dir);
    let sub = rig.subscribe("acme", "https://one.example/", "one").key;
    rig.accept("acme", 1..=5);
    rig.accept("other", 6..=9);
    let key = RetryKey { due: UnixMillis(START + 5000), subscription: sub, seq: Seq(3) };
    let retry = RetryRow { key, attempts: 1.into(), accepted_at: UnixMillis(START), trigger: Trigger::Event };
    let mut done = settlement(0, 1, Seq(3));
    done.attempts = vec![delivered(sub, Seq(1)), delivered(sub, Seq(4))];
    done.retries_put = vec![retry];
    done.lagging_put = vec![(sub, Seq(5))];
    done.failing = vec![(sub, Some(UnixMillis(START)))];
    done.dead_put = vec![DeadRow {
        subscription: sub,
        seq: Seq(2),
        reason: crate::settle::DeadReason::Exhausted,
        at: UnixMillis(START),
    }];
    rig.settle(done);
    rig.settle(settlement(1, 1, Seq(9)));
    rig.stop();
    sub
}

fn look(dir: &Path) -> (Report, Vec<String>) {
    let mut found = Vec::new();
    let report = verify(&DbOptions::new(dir), &mut |damage| found.push(damage.to_string())).expect("is read");
    assert_eq!(report.damages, found.len() as u64);
    (report, found)
}

/// What is found after a change to a good store.
fn after(change: impl FnOnce(&mut Batch<'_>, SubscriptionKey)) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let sub = fill(dir.path());
    {
        let db = Db::open(&DbOptions::new(dir.path()), &Arc::new(Floors::default())).expect("opens");
        let mut batch = db.batch().expect("a batch");
        change(&mut batch, sub);
        db.write(batch, true).expect("is written");
    }
    look(dir.path()).1
}

#[test]
fn a_good_store_has_no_damage_and_is_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path());
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .expect("is there")
            .map(|entry| entry.expect("is there"))
            .map(|entry| (entry.file_name(), entry.metadata().expect("is there").len()))
            .collect();
        names.sort();
        names
    };
    let before = files();
    let (report, found) = look(dir.path());
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((report.events, report.head, report.floor), (9, Seq(9), Seq(0)));
    assert!(report.rows.iter().all(|(_, rows)| *rows > 0), "each family has been looked at: {report:?}");
    assert_eq!(report.rows.len(), Family::ALL.len());
    assert_eq!(files(), before);
}

#[test]
fn nobody_serves_from_it_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let error = verify(&DbOptions::new(dir.path()), &mut |_| {}).expect_err("is in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    rig.stop();
}

#[test]
fn every_kind_of_damage_is_found() {
    let events = |first| Key::Events { first: Seq(first) }.encode();
    let check = |change: &dyn Fn(&mut Batch<'_>, SubscriptionKey), want: &[&str]| {
        let found = after(change);
        assert_eq!(found.len(), want.len(), "{found:?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.contains(want), "{found} must say {want}");
        }
    };
    check(
        &|batch, _| batch.put(Family::Events, events(6).as_ref(), b"\x01rubbish"),
        &["events 400000000000000006: a record whose checksum does not hold"],
    );
    check(&|batch, _| batch.put(Family::Dead, events(6).as_ref(), b""), &["a key of the family events"]);
    check(&|batch, _| batch.put(Family::Lagging, b"\xf0", b""), &["a key of unknown kind 240"]);
    check(
        &|batch, _| batch.put(Family::Meta, &[3, 0, 0, 0, 0, 0, 0, 0, 1], b"\x01abcdefg"),
        &["a row of the registry: the checksum does not hold"],
    );
    // Without the first row, which was one commit.
    check(
        &|batch, _| batch.delete(Family::Events, events(1).as_ref()),
        &["events 400000000000000006: events 1 to 5 are missing before it", "retries 47"],
    );
    check(
        &|batch, sub| {
            let key = RetryKey { due: UnixMillis(1), subscription: sub, seq: Seq(77) };
            let value =
                RetryValue { attempts: 1.into(), accepted_at: UnixMillis(1), trigger: Trigger::Event };
            let value = encode(&value).expect("encodes");
            batch.put(Family::Retries, Key::Retry(key).encode().as_ref(), &value);
            let mark = encode(&Seq(10)).expect("encodes");
            batch.put(Family::Meta, Key::Watermark { worker: 0 }.encode().as_ref(), &mark);
        },
        &["speaks of event 10, and the log ends with 9", "speaks of event 77, and the log ends with 9"],
    );
    check(
        &|batch, sub| {
            let key = Key::Attempts { subscription: sub, bucket: 1, serial: 1 }.encode();
            let row = encode(&vec![delivered(sub, Seq(4)).1]).expect("encodes");
            batch.put(Family::Attempts, key.as_ref(), &row);
            let key = Key::Attempts { subscription: sub, bucket: 0, serial: 99 }.encode();
            batch.put(Family::Attempts, key.as_ref(), &row);
        },
        &["was written after the highest number", "belongs into another row"],
    );
    check(
        &|batch, _| batch.delete(Family::Ids, Key::Partition { partition: Seq(1) }.encode().as_ref()),
        &["has no partition", "has no partition"],
    );
    check(
        &|batch, _| {
            let key = Key::ByAccount { account: crate::model::AccountKey(77), first: Seq(1) }.encode();
            let row = encode(&vec![(0u32, TypeBit(1))]).expect("encodes");
            batch.put(Family::ByAccount, key.as_ref(), &row);
        },
        &["by_account: 10 entries where the log has 9 events"],
    );
}
