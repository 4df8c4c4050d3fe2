//! The shard, a rule at a time: how it gets at events, and how a subscription changes hands.

use std::collections::HashSet;

use super::*;
use crate::model::subscription::tests::sample;
use crate::schedule::pages::LogPage;
use crate::schedule::watermark::SPAN_MAX;
use crate::settle::Released;

const KEY: SubscriptionKey = SubscriptionKey(1);

/// Subscription 1 at a host that this one of two workers owns.
fn owned_by(worker: usize) -> Arc<Subscription> {
    let index = Index::empty(2);
    let mut all = (0..).map(|n| sample(1, &format!("http://h{n}.example/")));
    Arc::new(all.find(|sub| index.owner(sub) == worker).expect("each owns some"))
}

/// From where on lanes read the log. Other actions are left out.
fn lane_reads(shard: &mut Shard, now: Now) -> Vec<Seq> {
    shard.handle_timeout(now);
    let mut reads = Vec::new();
    while let Some(action) = shard.poll_action(now) {
        if let Action::Read(Read::Subscription { from, .. }) = action {
            reads.push(from);
        }
    }
    reads
}

#[test]
fn what_was_handed_in_is_not_taken_again() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let events: Vec<_> = (0..3).map(|_| rig.event(10)).collect();
    rig.shard.handle_committed(&events, None);
    // As where the log was read past the first commits of a queue.
    rig.shard.handle_committed(&events[1..], None);
    assert_eq!(rig.sends().len(), 3);
}

#[test]
fn lanes_ahead_of_the_position_go_on_when_it_has_come_to_them() {
    let index = Arc::new(Index::empty(1).with(AccountKey(1), &[Arc::new(sample(1, "http://a.example/"))]));
    let now = Now { mono: Mono(0), wall: UnixMillis(1_000_000) };
    let mut shard = Shard::new(options(), index, Seq(0), &[(KEY, Seq(5))]);
    assert_eq!(lane_reads(&mut shard, now), []);
    // Nothing of what was read is for it, and nothing comes after.
    shard.handle_log_page(&LogPage {
        events: Vec::new(),
        settled: HashSet::new(),
        through: Seq(8),
        end: true,
    });
    shard.handle_live(Seq(8));
    assert_eq!(lane_reads(&mut shard, now), [Seq(5)]);
}

#[test]
fn a_ring_that_is_full_puts_the_oldest_under_a_cursor() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(1, 10);
    assert_eq!(rig.sends().len(), 1, "it hangs");
    // The rest comes from the log: the cursor holds it up already.
    let events: Vec<_> = (0..4).map(|_| rig.event(10)).collect();
    rig.shard.handle_position(Seq(5));
    rig.shard.lag(KEY, Seq(2), None);
    assert_eq!(lane_reads(&mut rig.shard, rig.now), [Seq(2)]);
    rig.shard.handle_subscription_page(&SubscriptionPage {
        subscription: KEY,
        from: Seq(2),
        events,
        through: Seq(5),
        end: true,
        expired_below: None,
    });
    rig.seq = SPAN_MAX as u64 + 10;
    rig.shard.handle_position(Seq(rig.seq));
    rig.commit(1, 10);
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("a cursor is to be written");
    assert_eq!(settlement.watermark, Seq(SPAN_MAX as u64 + 10));
    assert_eq!(settlement.lagging_put, [(KEY, Seq(1))]);
}

#[test]
fn what_is_deleted_holds_nothing_up() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.commit(2, 10);
    assert_eq!(rig.sends().len(), 2);
    rig.shard.handle_index(Arc::new(Index::empty(1)));
    rig.shard.handle_changed(rig.now, Some(&Arc::new(sample(1, "http://a.example/"))), None);
    assert_eq!(rig.shard.watermark(), Seq(2));
}

#[test]
fn a_hand_over_is_written_before_it_is_told() {
    let (here, there) = (owned_by(0), owned_by(1));
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.shard = Shard::new(
        Options { workers: 2, ..options() },
        Arc::new(Index::empty(2).with(AccountKey(1), &[Arc::clone(&here)])),
        Seq(0),
        &[],
    );
    rig.shard.handle_live(Seq(0));
    rig.commit(3, 10);
    rig.shard.handle_index(Arc::new(rig.shard.index.with(AccountKey(1), &[Arc::clone(&there)])));
    rig.shard.handle_changed(rig.now, Some(&here), Some(&there));
    assert!(rig.sends().is_empty(), "it is another's");
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("it lets go");
    assert_eq!(settlement.lagging_put, [(KEY, Seq(1))]);
    assert_eq!(settlement.released, [Released { subscription: KEY, cursor: Seq(1) }]);
}

#[test]
fn what_the_old_owner_dealt_with_is_not_sent_by_the_new_one() {
    let (there, here) = (owned_by(1), owned_by(0));
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let index = Index::empty(2).with(AccountKey(1), &[Arc::clone(&there)]);
    let moved = Arc::new(index.with(AccountKey(1), &[Arc::clone(&here)]));
    rig.shard = Shard::new(Options { workers: 2, ..options() }, Arc::new(index), Seq(0), &[]);
    rig.shard.handle_index(moved);
    rig.shard.handle_changed(rig.now, Some(&there), Some(&here));
    rig.shard.handle_adopt(&Released { subscription: KEY, cursor: Seq(6) });
    // A page that was read before the old owner's settlement was written.
    let events: Vec<_> = (0..8).map(|_| rig.event(10)).collect();
    rig.shard.handle_log_page(&LogPage { events, settled: HashSet::new(), through: Seq(8), end: true });
    assert!(rig.sends().is_empty(), "all below the cursor is settled");
}
