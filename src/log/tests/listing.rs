//! What lists of deliveries ask of the store.

use super::*;
use crate::log::listing::{Place, Standing};
use crate::settle::{DeadReason, DeadRow, RetryKey, RetryRow};

#[test]
fn the_dead_and_the_retrying_of_many_newest_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let one = rig.subscribe("acme", "https://one.example/", "*").key;
    let two = rig.subscribe("acme", "https://two.example/", "*").key;
    let none = rig.subscribe("acme", "https://none.example/", "*").key;
    rig.accept("acme", 1..=300);
    let dead = |subscription, seq| DeadRow {
        subscription,
        seq: Seq(seq),
        reason: DeadReason::Exhausted,
        at: UnixMillis(7),
    };
    let retry = |subscription, seq, due| RetryRow {
        key: RetryKey { due: UnixMillis(due), subscription, seq: Seq(seq) },
        attempts: 1.into(),
        accepted_at: UnixMillis(5),
        trigger: Trigger::Retry,
    };
    let mut done = settlement(0, 1, Seq(0));
    done.dead_put = vec![dead(one, 3), dead(two, 3), dead(one, 299), dead(two, 7)];
    done.retries_put = vec![retry(two, 8, 50), retry(one, 9, 40)];
    done.attempts = vec![
        (one, Attempt { number: 1, ..attempt(Seq(9), Disposition::Retry(UnixMillis(40))) }),
        (one, Attempt { number: 2, ..attempt(Seq(9), Disposition::Retry(UnixMillis(40))) }),
        (one, attempt(Seq(299), Disposition::Dead)),
    ];
    rig.settle(done);

    let keys = [one, two, none];
    let list = |standing, after, limit| {
        let times = (None, None);
        rig.store.standing(standing, &keys, after, times, limit).expect("reads")
    };
    let all: [Place; 4] = [(Seq(299), one), (Seq(7), two), (Seq(3), one), (Seq(3), two)];
    assert_eq!(list(Standing::Dead, None, 10), all);
    // However a list is cut into pages, it is the same list.
    for size in 1..=3 {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = list(Standing::Dead, after, size);
            let Some(last) = page.last() else { break };
            after = Some(*last);
            pages.extend(page);
        }
        assert_eq!(pages, all, "{size} at a time");
    }
    assert_eq!(list(Standing::Retrying, None, 10), [(Seq(9), one), (Seq(8), two)]);
    let only_two = rig.store.standing(Standing::Dead, &[two], None, (None, None), 10).expect("reads");
    assert_eq!(only_two, [(Seq(7), two), (Seq(3), two)]);

    assert_eq!(rig.store.due(one, Seq(9)).expect("reads"), Some(UnixMillis(40)));
    assert_eq!(rig.store.due(one, Seq(8)).expect("reads"), None);
    let lasts = rig.store.last_attempts(one, Seq(200)).expect("reads");
    assert!(lasts.from <= Seq(9) && Seq(200) <= lasts.through && lasts.through < Seq(299));
    assert_eq!(lasts.of.get(&Seq(9)).map(|last| last.number), Some(2));
    assert_eq!(lasts.of.len(), 1, "another bucket's are not read");
    rig.stop();
}

#[test]
fn times_bound_the_walk_and_pending_begins_where_it_is_known_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "*").key;
    rig.accept("acme", 1..=5);
    rig.clock.advance(Duration::from_secs(600));
    rig.accept("acme", 6..=9);
    let mut done = settlement(0, 1, Seq(0));
    let dead =
        |seq| DeadRow { subscription: sub, seq: Seq(seq), reason: DeadReason::Gone, at: UnixMillis(7) };
    done.dead_put = vec![dead(2), dead(7)];
    done.lagging_put = vec![(sub, Seq(4))];
    rig.settle(done);
    let later = UnixMillis(START + 300_000);
    let list =
        |since, until| rig.store.standing(Standing::Dead, &[sub], None, (since, until), 10).expect("reads");
    assert_eq!(list(Some(later), None).first(), Some(&(Seq(7), sub)));
    assert_eq!(list(None, Some(later)), [(Seq(2), sub)]);
    assert!(rig.store.first_pending(&[sub]).expect("reads") <= Seq(4));
    rig.stop();
}
