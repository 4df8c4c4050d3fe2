//! Which deliveries a recover job is about.

use super::*;
use crate::recover::{Scope, Which};
use crate::settle::{DeadReason, DeadRow, RetryKey, RetryRow};

const MANY: u64 = 5000;

fn scope(sub: &Subscription, which: Which) -> Scope {
    Scope {
        account: sub.account,
        subscription: sub.key,
        subscription_id: sub.id.clone(),
        which,
        since: UnixMillis(0),
        until: UnixMillis(u64::MAX),
        types: None,
        rate: 1,
    }
}

#[test]
fn many_are_found_in_one_look_and_as_few_as_are_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "*");
    rig.accept("acme", [0]);
    rig.clock.advance(Duration::from_secs(600));
    rig.accept("acme", 1..=MANY);
    rig.clock.advance(Duration::from_secs(600));
    rig.accept("acme", [MANY + 1]);
    let dead = |seq| DeadRow {
        subscription: sub.key,
        seq: Seq(seq),
        reason: DeadReason::Exhausted,
        at: UnixMillis(7),
    };
    let retry = |seq| RetryRow {
        key: RetryKey { due: UnixMillis(u64::MAX), subscription: sub.key, seq: Seq(seq) },
        attempts: 1.into(),
        accepted_at: UnixMillis(START),
        trigger: Trigger::Retry,
    };
    let mut done = settlement(0, 1, Seq(0));
    done.dead_put = (1..=MANY).filter(|seq| seq % 2 == 0).map(dead).collect();
    done.retries_put = (1..=MANY).filter(|seq| seq % 5 == 1).map(retry).collect();
    rig.settle(done);

    let find = |scope: &Scope, limit| {
        rig.store.candidates(&sub, scope, (Seq(1), rig.store.head()), limit).expect("reads")
    };
    let all = usize::try_from(MANY).expect("small");
    for (which, want) in [(Which::Dead, all / 2), (Which::Failed, all / 2 + all / 10), (Which::All, all + 2)]
    {
        let whole = find(&scope(&sub, which), 100_000);
        assert_eq!((whole.seqs.len(), whole.next), (want, None), "{which:?}");
        let part = find(&scope(&sub, which), 10);
        assert_eq!(Some(&part.seqs[..]), whole.seqs.get(..10), "{which:?}");
        assert!(part.next.is_some(), "{which:?} goes on");
        // The account's events have type 1.
        for (bit, want) in [(TypeBit(1), want), (TypeBit(2), 0)] {
            let typed = Scope { types: Some(EventMask::of([bit])), ..scope(&sub, which) };
            assert_eq!(find(&typed, 100_000).seqs.len(), want, "{which:?} {bit:?}");
        }
    }
    // Times are kept to, also where no event is read.
    let second = UnixMillis(START + 600_000);
    let timed = |since, until| find(&Scope { since, until, ..scope(&sub, Which::All) }, 100_000).seqs.len();
    assert_eq!(timed(second, UnixMillis(u64::MAX)), all + 1);
    assert_eq!(timed(UnixMillis(second.0 + 1), UnixMillis(u64::MAX)), 1);
    assert_eq!(timed(UnixMillis(0), second), 1);
    assert_eq!(timed(UnixMillis(0), UnixMillis(second.0 + 1)), all + 1);
    rig.stop();
}
