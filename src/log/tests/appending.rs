//! Taking events: places in the log, duplicates, hand-over to workers.

use Appended::{Accepted, Duplicate};

use super::*;
use crate::log::db::Family;

#[test]
fn append_and_read_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    assert_eq!(rig.accept("acme", 1..=3), [Seq(1), Seq(2), Seq(3)]);
    assert_eq!(rig.accept("other", [9]), [Seq(4)]);
    let event = rig.store.event(Seq(2)).expect("reads").expect("is there");
    assert_eq!((event.id(), event.seq, event.account), ("evt-2", Seq(2), rig.account("acme")));
    assert_eq!(event.accepted_at, UnixMillis(START));
    assert!(event.body().starts_with(b"{\"id\":\"evt-2\",\"data\":"));
    assert_eq!(rig.store.event(Seq(5)).expect("reads"), None);
    rig.stop();
}

#[test]
fn duplicates() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let check = |events: &[(&str, &str)], want: &[Appended]| {
        let events = events.iter().map(|(account, id)| event(account, id, 1)).collect();
        assert_eq!(rig.append(events).expect("is taken"), want);
    };
    check(&[("a", "x"), ("a", "y"), ("a", "x")], &[Accepted(Seq(1)), Accepted(Seq(2)), Duplicate]);
    check(&[("a", "y"), ("b", "y"), ("a", "z")], &[Duplicate, Accepted(Seq(3)), Accepted(Seq(4))]);
    check(&[("a", "x")], &[Duplicate]);
    // The window is exact, although partitions leave as a whole.
    rig.clock.advance(Duration::from_secs(86_400));
    check(&[("a", "x")], &[Duplicate]);
    rig.clock.advance(Duration::from_millis(1));
    check(&[("a", "x"), ("a", "x")], &[Accepted(Seq(5)), Duplicate]);
    let stats = rig.store.stats();
    assert_eq!(stats.accepted.load(Ordering::SeqCst), 5);
    assert_eq!(stats.duplicates.load(Ordering::SeqCst), 5);
    rig.stop();
}

#[test]
fn large_commits_are_split_into_rows() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sizes = [10, 300_000, 40_000, 40_000, 10, 70_000];
    let events = sizes.iter().enumerate().map(|(n, len)| sized("acme", &format!("e{n}"), 1, *len)).collect();
    assert_eq!(rig.append(events).expect("is taken").len(), 6);
    for (n, len) in sizes.iter().enumerate() {
        let event = rig.store.event(Seq(n as u64 + 1)).expect("reads").expect("is there");
        assert_eq!(event.id(), format!("e{n}"));
        assert!(event.body().len() > *len);
    }
    rig.stop();
}

#[test]
fn workers_get_what_they_want_once_they_are_live() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    let owner = rig.owner(&sub);
    rig.accept("acme", [1]);
    assert!(rig.workers[owner].commits.is_empty(), "behind at the start");
    assert_eq!(rig.live(owner), Seq(1));
    rig.live(1 - owner);
    rig.accept("acme", [2]);
    rig.accept("nobody-wants-it", [3]);
    let commit = rig.workers[owner].commits.recv_timeout(PATIENCE).expect("comes");
    assert_eq!(commit.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [Seq(2)]);
    assert_eq!(commit.index_version, rig.index.load().version());
    assert_eq!(commit.bytes, commit.events[0].body().len());
    // A full queue: behind again, nothing more until it has caught up.
    rig.workers[owner].inbox.full.store(true, Ordering::SeqCst);
    rig.accept("acme", [4]);
    // The answer comes before the hand-over; this one comes after it.
    rig.live(1 - owner);
    rig.workers[owner].inbox.full.store(false, Ordering::SeqCst);
    rig.accept("acme", [5]);
    assert!(rig.workers[owner].commits.is_empty());
    assert_eq!(rig.live(owner), Seq(5));
    rig.accept("acme", [6]);
    let commit = rig.workers[owner].commits.recv_timeout(PATIENCE).expect("comes");
    assert_eq!(commit.events[0].seq, Seq(6));
    assert!(rig.workers[1 - owner].commits.is_empty(), "nothing for it");
    assert!(rig.workers[owner].inbox.wakes.load(Ordering::SeqCst) > 0);
    rig.stop();
}

#[test]
fn changes_reach_all_workers_before_commits_that_they_route() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    rig.live(0);
    rig.live(1);
    let sub = rig.subscribe("acme", "https://one.example/", "*");
    rig.accept("acme", [1]);
    for worker in &rig.workers {
        let (changed, index) = loop {
            match worker.inputs.recv_timeout(PATIENCE).expect("comes") {
                Input::Changed { changed, index } => break (changed, index),
                Input::Census(_) => {}
                other => panic!("another input: {:?}", std::mem::discriminant(&other)),
            }
        };
        assert_eq!(changed.subscriptions[0].after.as_ref(), Some(&sub));
        assert!(index.subscription(sub.key).is_some());
    }
    let commit = rig.workers[rig.owner(&sub)].commits.recv_timeout(PATIENCE).expect("comes");
    assert_eq!(commit.index_version, rig.index.load().version());
    rig.stop();
}

#[test]
fn stopping_refuses_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let (stop, stopped) = oneshot::channel();
    let (reply, answer) = oneshot::channel();
    // Both wait before the writer looks: it must not leave the second without an answer.
    rig.requests.send(Request::Stop { reply: stop }).expect("sends");
    let late = rig.requests.send(Request::Append { events: vec![event("a", "x", 1)], reply });
    stopped.blocking_recv().expect("stops");
    if late.is_ok() {
        assert!(!matches!(answer.blocking_recv(), Ok(Ok(_))), "nothing is taken after the stop");
    }
    drop(rig);
}

#[test]
fn the_time_of_an_fsync_is_measured_on_any_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let write = || {
        rig.store.with(|db| {
            let mut batch = db.batch()?;
            batch.put(Family::Meta, b"\xfftest", b"x");
            db.write(batch, true)
        })
    };
    let nanos = std::thread::scope(|scope| scope.spawn(write).join().expect("no panic")).expect("is written");
    assert!(nanos > 0);
    rig.stop();
}
