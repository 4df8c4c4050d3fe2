//! The shard, a rule at a time: receivers that are given up, and order.

use std::collections::HashMap;

use super::*;
use crate::model::subscription::tests::sample;
use crate::schedule::pages::{Body, HeadsPage, SubscriptionPage};
use crate::settle::{RetryKey, RetryRow};

fn disabled(rig: &mut Rig) -> Vec<DisabledReason> {
    let mut reasons = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        if let Action::Disable { reason, announce, .. } = action {
            assert!(announce);
            reasons.push(reason);
        }
    }
    reasons
}

#[test]
fn nothing_but_failure_for_too_long() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    rig.shard.options.disable_after = Some(Duration::from_secs(100));
    let fail = |rig: &mut Rig, error| {
        rig.commit(1, 10);
        let sends = rig.sends();
        let id = sends.first().expect("one is sent").id;
        rig.end(id, error);
    };
    fail(&mut rig, Some(ErrorKind::Status));
    rig.pass(Duration::from_secs(4));
    fail(&mut rig, Some(ErrorKind::Status));
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("outcomes");
    assert_eq!(settlement.failing, [], "not yet worth a row");
    rig.shard.handle_flushed(settlement.serial);
    rig.pass(Duration::from_secs(10));
    fail(&mut rig, Some(ErrorKind::Timeout));
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("outcomes");
    assert_eq!(settlement.failing, [(SubscriptionKey(1), Some(UnixMillis(1_000_000)))]);
    rig.shard.handle_flushed(settlement.serial);
    fail(&mut rig, None);
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("outcomes");
    assert_eq!(settlement.failing, [(SubscriptionKey(1), None)], "one success ends it");
    rig.shard.handle_flushed(settlement.serial);
    // Another run remembers what was written, and needs only what is left.
    rig.shard.recall_failing(&[(SubscriptionKey(1), rig.now.wall)]);
    rig.pass(Duration::from_secs(99));
    fail(&mut rig, Some(ErrorKind::Status));
    assert_eq!(disabled(&mut rig), []);
    rig.pass(Duration::from_secs(1));
    fail(&mut rig, Some(ErrorKind::Status));
    assert_eq!(disabled(&mut rig), [DisabledReason::Failing]);
    rig.commit(1, 10);
    assert!(rig.sends().is_empty(), "nothing more before that has come true");
    rig.pass(Duration::from_secs(10));
    let sends = rig.sends();
    rig.end(sends.first().expect("it was lost").id, Some(ErrorKind::Status));
    assert_eq!(disabled(&mut rig), [DisabledReason::Failing], "asked for again");
}

#[test]
fn what_the_old_place_said_does_not_count_against_the_new_one() {
    let mut rig = Rig::new(&[(1, "http://a.example/old")]);
    rig.shard.options.disable_after = Some(Duration::ZERO);
    rig.commit(2, 10);
    let sends = rig.sends();
    assert_eq!(sends.len(), 2);
    let before = Arc::new(sample(1, "http://a.example/old"));
    let mut after = sample(1, "http://a.example/new");
    after.version = before.version + 1;
    let after = Arc::new(after);
    rig.shard.handle_index(Arc::new(Index::empty(1).with(AccountKey(1), &[Arc::clone(&after)])));
    rig.shard.handle_changed(rig.now, Some(&before), Some(&after));
    rig.end(sends[0].id, Some(ErrorKind::Gone));
    rig.end(sends[1].id, Some(ErrorKind::Status));
    assert_eq!(disabled(&mut rig), [], "they were sent to the old place");
    assert_eq!(rig.shard.health(after.key).and_then(|health| health.failing_since), None);
    rig.commit(1, 10);
    let sends = rig.sends();
    rig.end(sends[0].id, Some(ErrorKind::Gone));
    assert_eq!(disabled(&mut rig), [DisabledReason::Gone]);
    // With the subscription goes what was written down of it.
    rig.shard.handle_index(Arc::new(Index::empty(1)));
    rig.shard.handle_changed(rig.now, Some(&after), None);
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("outcomes");
    assert_eq!(settlement.failing, [(SubscriptionKey(1), None)]);
}

#[test]
fn an_edit_that_has_nothing_to_do_with_it_does_not_save_it() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let change = |rig: &mut Rig, before: &Arc<Subscription>, change: &dyn Fn(&mut Subscription)| {
        let mut after = (**before).clone();
        after.version += 1;
        change(&mut after);
        let after = Arc::new(after);
        rig.shard.handle_index(Arc::new(Index::empty(1).with(AccountKey(1), &[Arc::clone(&after)])));
        rig.shard.handle_changed(rig.now, Some(before), Some(&after));
        after
    };
    rig.commit(1, 10);
    let sends = rig.sends();
    rig.end(sends[0].id, Some(ErrorKind::Gone));
    assert_eq!(disabled(&mut rig), [DisabledReason::Gone]);
    // The writer refused: it had another version by then.
    let first = Arc::new(sample(1, "http://a.example/"));
    let named = change(&mut rig, &first, &|after| after.delivery.max_in_flight += 1);
    assert_eq!(disabled(&mut rig), [DisabledReason::Gone]);
    let moved = change(&mut rig, &named, &|after| {
        after.callback_url = crate::model::CallbackUrl::parse("http://a.example/new").expect("valid");
    });
    assert_eq!(disabled(&mut rig), [], "what was said of the old place is forgotten");
    change(&mut rig, &moved, &|after| after.delivery.max_in_flight += 1);
    assert_eq!(disabled(&mut rig), []);
}

/// Rows of heads as a store has them, by due time, in pages of a hundred.
fn heads(rows: &[RetryRow], serial: u64, after: Option<RetryKey>) -> HeadsPage {
    let rest = rows.iter().filter(|row| after.is_none_or(|after| row.key > after));
    let rows: Vec<_> = rest.take(100).copied().collect();
    let next = (rows.len() == 100).then(|| rows[99].key);
    HeadsPage { subscription: SubscriptionKey(1), serial, rows, next }
}

#[test]
fn in_order_goes_by_seq_however_many_wait() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let before = Arc::new(sample(1, "http://a.example/"));
    let mut after = (*before).clone();
    after.delivery.ordering = crate::model::Ordering::Fifo;
    let after = Arc::new(after);
    rig.shard.handle_index(Arc::new(Index::empty(1).with(AccountKey(1), &[Arc::clone(&after)])));
    // Due in the opposite order, and more than a lane remembers.
    let row = |seq: u64| RetryRow {
        key: RetryKey { due: UnixMillis(900_000 - seq), subscription: SubscriptionKey(1), seq: Seq(seq) },
        attempts: 1.into(),
        accepted_at: UnixMillis(1),
        trigger: Trigger::Retry,
    };
    let events: HashMap<Seq, Arc<Event>> = (0..700).map(|_| rig.event(10)).map(|e| (e.seq, e)).collect();
    rig.shard.handle_position(Seq(700));
    let mut rows: Vec<RetryRow> = (1..=700).map(row).collect();
    rows.sort_by_key(|row| row.key);
    rig.shard.handle_changed(rig.now, Some(&before), Some(&after));
    let last = rig.event(10);
    rig.shard.handle_committed(&[Arc::clone(&last)], None);
    let mut sent = Vec::new();
    for _ in 0..20_000 {
        rig.pass(Duration::from_millis(1));
        let Some(action) = rig.shard.poll_action(rig.now) else {
            if let Some(settlement) = rig.shard.poll_settlement(rig.now, true) {
                rows.retain(|row| !settlement.retries_delete.contains(&row.key));
                rig.shard.handle_flushed(settlement.serial);
            }
            continue;
        };
        match action {
            Action::Send(send) => {
                sent.push(send.event.seq.0);
                rig.end(send.id, None);
            }
            Action::Read(Read::Heads { serial, after, .. }) => {
                rig.shard.handle_heads(&heads(&rows, serial, after));
            }
            Action::Read(Read::Bodies { wanted, .. }) => {
                let body = |(subscription, seq): (SubscriptionKey, Seq)| Body {
                    subscription,
                    seq,
                    found: events.get(&seq).cloned().into(),
                };
                rig.shard.handle_bodies(rig.now, &wanted.into_iter().map(body).collect::<Vec<_>>());
            }
            Action::Read(Read::Subscription { from, .. }) => {
                let page = SubscriptionPage {
                    subscription: SubscriptionKey(1),
                    from,
                    events: vec![Arc::clone(&last)],
                    through: Seq(701),
                    end: true,
                    expired_below: None,
                };
                rig.shard.handle_subscription_page(&page);
            }
            Action::Read(_)
            | Action::Cancel(_)
            | Action::CaughtUp(_)
            | Action::Disable { .. }
            | Action::Recovered(_)
            | Action::Replayed(_) => {}
        }
        if sent.len() == 701 {
            break;
        }
    }
    assert_eq!(sent, (1..=701).collect::<Vec<_>>());
}
