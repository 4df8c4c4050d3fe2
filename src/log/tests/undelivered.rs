//! What is undelivered and on disk only is counted: waiting retries, and what lags.

use super::*;
use crate::registry::Change;
use crate::settle::{RetryKey, RetryRow};

fn retry(due: u64, subscription: SubscriptionKey, seq: u64) -> RetryRow {
    RetryRow {
        key: RetryKey { due: UnixMillis(due), subscription, seq: Seq(seq) },
        attempts: 1.into(),
        accepted_at: UnixMillis(1000 + seq),
        trigger: Trigger::Retry,
    }
}

/// Waiting retries as all, and as each subscription's, once they are counted.
fn counted(rig: &Rig, subscriptions: &[SubscriptionKey]) -> (u64, Vec<(u64, Option<UnixMillis>)>) {
    let waiting = rig.store.waiting();
    let rows = eventually(|| waiting.rows()).expect("counts by itself");
    assert_eq!(rig.store.stats().retries_waiting.load(Ordering::SeqCst), rows);
    (rows, subscriptions.iter().map(|key| waiting.of(*key)).collect())
}

#[test]
fn retries_are_counted_as_they_come_and_go_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let acme = AccountName::parse("acme").expect("a name");
    let subs = [1, 2, 3].map(|n| rig.subscribe("acme", &format!("https://{n}.example/"), "one"));
    let keys = [subs[0].key, subs[1].key, subs[2].key];
    let mut put = settlement(0, 1, Seq(0));
    // More than a page of the census, all of them far away.
    put.retries_put = (1..=3000).map(|seq| retry(u64::MAX - seq, keys[0], seq)).collect();
    put.retries_put.extend([retry(u64::MAX - 9, keys[1], 7), retry(u64::MAX - 8, keys[2], 8)]);
    rig.settle(put);
    let mut delete = settlement(0, 2, Seq(0));
    // One is put and deleted in one settlement, one is replaced by its next.
    delete.retries_put = vec![retry(5, keys[1], 9), retry(u64::MAX - 1, keys[1], 7)];
    delete.retries_delete = vec![retry(5, keys[1], 9).key, retry(u64::MAX - 9, keys[1], 7).key];
    delete.retries_delete.extend((1..=10).map(|seq| retry(u64::MAX - seq, keys[0], seq).key));
    rig.settle(delete);
    let second = (1, Some(UnixMillis(1007)));
    let (rows, each) = counted(&rig, &keys);
    assert_eq!((rows, each[1], each[2]), (2992, second, (1, Some(UnixMillis(1008)))));
    assert_eq!(each[0].0, 2990);
    assert!(each[0].1.is_some_and(|at| at <= UnixMillis(1011)), "{each:?} is never too young");
    rig.change(Change::DeleteSubscription { account: acme, id: subs[2].id.clone(), if_match: None });
    rig.settle(settlement(0, 3, Seq(0)));
    assert_eq!(counted(&rig, &keys).0, 2991);
    let killed = rig.crash_image();
    rig.stop();
    for path in [dir.path(), killed.path()] {
        let rig = Rig::at(path);
        // Before, while and after the rows are read: who deletes one must not lose count.
        let mut delete = settlement(0, 1, Seq(0));
        delete.retries_delete = vec![retry(u64::MAX - 11, keys[0], 11).key];
        delete.retries_put = vec![retry(3, keys[0], 11)];
        rig.settle(delete);
        let (rows, each) = counted(&rig, &keys);
        assert_eq!((rows, each[0].0, each[1], each[2]), (2991, 2990, second, (0, None)));
        assert_eq!(rig.store.waiting().oldest(1), [(keys[1], UnixMillis(1007))]);
        rig.stop();
    }
}

#[test]
fn a_backlog_is_counted_without_what_is_settled() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    rig.accept("acme", 1..=20);
    rig.clock.advance(Duration::from_secs(60));
    rig.accept("nobody", 21..=30);
    rig.accept("acme", 31..=50);
    let worker = rig.owner(&sub);
    let mut done = settlement(worker, 1, Seq(0));
    done.attempts = (5..=20).chain([35]).map(|seq| delivered(sub.key, Seq(seq))).collect();
    rig.settle(done);
    let count = |from, through| {
        let subscription = Arc::clone(&sub);
        let read = Read::Backlog { worker, subscription, from: Seq(from), through: Seq(through) };
        let Input::Backlog(backlog) = rig.read(worker, read) else { panic!("another page") };
        assert_eq!((backlog.subscription, backlog.from), (sub.key, Seq(from)));
        (backlog.events, backlog.oldest_at.map(|at| at.0 - START))
    };
    assert_eq!(count(1, 50), (4 + 20 - 1, Some(0)));
    assert_eq!(count(5, 50), (20 - 1, Some(60_000)));
    assert_eq!(count(5, 33), (3, Some(60_000)));
    assert_eq!(count(21, 30), (0, None));
    rig.stop();
}
