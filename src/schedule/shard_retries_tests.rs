//! Due retries of a shard: what stays on disk, what is in memory, and that nothing is sent twice.

use super::*;
use crate::schedule::Body;
use crate::schedule::pages::{Found, RetryPage};
use crate::settle::{RetryKey, RetryRow};

/// What the shard asks of parked retries, whose and from where on.
fn asked_of_parked(rig: &mut Rig) -> Vec<(u64, Option<RetryKey>)> {
    let mut asked = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        if let Action::Read(Read::Retries { only: Some(key), after, .. }) = action {
            asked.push((key.0, after));
        }
    }
    asked
}

fn retry_row(key: u64, due: u64, seq: u64) -> RetryRow {
    RetryRow {
        key: RetryKey { due: UnixMillis(due), subscription: SubscriptionKey(key), seq: Seq(seq) },
        attempts: 1.into(),
        accepted_at: UnixMillis(1),
        trigger: Trigger::Retry,
    }
}

#[test]
fn parked_retries_are_found_behind_those_of_others_and_all_have_their_turn() {
    let mut rig =
        Rig::new(&[(1, "http://a.example/1"), (2, "http://a.example/2"), (3, "http://a.example/3")]);
    rig.commit(1, 10);
    for send in rig.sends() {
        rig.end(send.id, None);
    }
    for key in [1, 2, 3].map(SubscriptionKey) {
        // As after a change of the order: rows of theirs may wait, nobody knows where.
        rig.shard.reorder(key);
        rig.shard.refresh(key);
    }
    let first = asked_of_parked(&mut rig);
    assert_eq!(first.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [1, 2], "two at a time");
    // The page looked at nothing but rows of others.
    let page = |key: u64, rows: Vec<RetryRow>, next| RetryPage {
        only: Some(SubscriptionKey(key)),
        rows,
        until: UnixMillis(2_000_000),
        next,
    };
    let far = retry_row(9, 500, 7).key;
    rig.shard.handle_retry_page(rig.now, &page(1, Vec::new(), Some(far)));
    let second = asked_of_parked(&mut rig);
    assert_eq!(second.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [3], "others first");
    rig.shard.handle_retry_page(rig.now, &page(2, Vec::new(), None));
    assert_eq!(asked_of_parked(&mut rig), [(1, Some(far))], "from where the last page ended");
    // More than it may hold: it goes on with the first that it had no room for.
    let rows: Vec<_> = (0..300).map(|n| retry_row(1, 600 + n, 10 + n)).collect();
    rig.shard.handle_retry_page(rig.now, &page(1, rows.clone(), Some(retry_row(9, 5000, 7).key)));
    assert_eq!(asked_of_parked(&mut rig), [], "it is full");
    let lane = rig.shard.lanes.get(&SubscriptionKey(1)).expect("it has a lane");
    let rest = lane.parked.expect("rows are left");
    assert!(rest >= rows[199].key && rest < rows[200].key, "a quarter of what is free is a fifth: {rest:?}");
}

/// A store with these retries: answers what the shard asks of them, a megabyte at a time, and writes what
/// came of them. Gives what is sent.
fn serve_retries(rig: &mut Rig, events: &[Arc<Event>], rows: &mut Vec<RetryRow>) -> Vec<Send> {
    let mut sends = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        match action {
            Action::Send(send) => sends.push(send),
            Action::Read(Read::Retries { only, after, until, .. }) => {
                let asked = |row: &&RetryRow| {
                    only.is_none_or(|only| row.key.subscription == only)
                        && after.is_none_or(|after| row.key > after)
                        && row.key.due < until
                };
                let rows = rows.iter().filter(asked).copied().collect();
                rig.shard.handle_retry_page(rig.now, &RetryPage { only, rows, until, next: None });
            }
            Action::Read(Read::Bodies { wanted, .. }) => {
                let mut bytes = 0;
                let body = |(subscription, seq): (SubscriptionKey, Seq)| {
                    let event = events.iter().find(|event| event.seq == seq).cloned();
                    bytes += event.as_ref().map_or(0, |event| event.body().len());
                    let found = if bytes > 1 << 20 { Found::NotNow } else { event.into() };
                    Body { subscription, seq, found }
                };
                let bodies: Vec<_> = wanted.into_iter().map(body).collect();
                rig.shard.handle_bodies(rig.now, &bodies);
            }
            Action::Read(_)
            | Action::Cancel(_)
            | Action::CaughtUp(_)
            | Action::Disable { .. }
            | Action::Recovered(_)
            | Action::Replayed(_) => {}
        }
    }
    if let Some(settlement) = rig.shard.poll_settlement(rig.now, true) {
        rows.retain(|row| !settlement.retries_delete.contains(&row.key));
        rig.shard.handle_flushed(settlement.serial);
    }
    sends
}

#[test]
fn large_retries_of_one_that_hangs_leave_memory_to_others() {
    let mut rig = Rig::new(&[(1, "http://a.example/"), (2, "http://b.example/")]);
    let events: Vec<_> = (0..150).map(|_| rig.event(100_000)).collect();
    rig.shard.handle_position(Seq(150));
    let mut rows: Vec<_> = [1, 2]
        .into_iter()
        .flat_map(|key| (1..=150).map(move |seq| retry_row(key, key * 1000 + seq, seq)))
        .collect();
    rows.sort_unstable_by_key(|row| row.key);
    let mut sent = Vec::new();
    for _ in 0..2000 {
        rig.pass(Duration::from_millis(1));
        for send in serve_retries(&mut rig, &events, &mut rows) {
            // Nothing of the first one ever ends.
            if send.subscription.key.0 == 2 {
                sent.push(send.event.seq.0);
                rig.end(send.id, None);
            }
        }
        let bytes = rig.shard.counts().queued_bytes;
        assert!(bytes <= 2 << 20, "{bytes} bytes wait");
        if sent.len() == 150 {
            break;
        }
    }
    sent.sort_unstable();
    assert_eq!(sent, (1..=150).collect::<Vec<_>>(), "each once");
}

#[test]
fn a_retry_that_was_forgotten_and_found_again_is_sent_once() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let event = rig.event(10);
    rig.shard.handle_position(Seq(1));
    let row = retry_row(1, 500, 1);
    let key = row.key.subscription;
    let asks = |rig: &mut Rig| {
        let mut asks = 0;
        while let Some(action) = rig.shard.poll_action(rig.now) {
            match action {
                Action::Read(Read::Bodies { .. }) => asks += 1,
                Action::Read(Read::Retries { only, until, .. }) => {
                    let page = RetryPage { only, rows: vec![row], until, next: None };
                    rig.shard.handle_retry_page(rig.now, &page);
                }
                _ => {}
            }
        }
        asks
    };
    rig.pass(Duration::from_millis(1));
    assert_eq!(asks(&mut rig), 1);
    // Out of order and in order again, or to another worker and back, before the event is there.
    rig.shard.reorder(key);
    rig.shard.refresh(key);
    assert_eq!(asks(&mut rig), 1);
    let body = || [Body { subscription: key, seq: Seq(1), found: Found::Event(Arc::clone(&event)) }];
    rig.shard.handle_bodies(rig.now, &body());
    rig.shard.handle_bodies(rig.now, &body());
    assert_eq!(rig.sends().len(), 1);
    assert_eq!(rig.shard.counts().queued, 0);
}

#[test]
fn an_open_host_holds_no_due_retries() {
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let events: Vec<_> = (0..60).map(|_| rig.event(10)).collect();
    rig.shard.handle_position(Seq(60));
    let mut rows: Vec<_> = (1..=60).map(|seq| retry_row(1, 1000 + seq, seq)).collect();
    let mut waited = 0;
    for _ in 0..10 {
        rig.pass(Duration::from_millis(1));
        let sends = serve_retries(&mut rig, &events, &mut rows);
        waited = waited.max(rig.shard.counts().queued);
        for send in sends {
            rig.end(send.id, Some(ErrorKind::Timeout));
        }
        if rig.shard.counts().breakers[1] == 1 {
            break;
        }
    }
    assert_eq!(rig.shard.counts().breakers, [0, 1, 0]);
    assert!(waited > 10, "{waited} waited while it was closed");
    assert_eq!(rig.shard.counts().queued, 0);
}
