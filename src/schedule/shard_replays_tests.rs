//! The shard, a rule at a time: what is asked for by hand.

use super::*;
use crate::schedule::pages::{Body, Known, ReplayPage, RetryPage};
use crate::schedule::{Again, Replay};
use crate::settle::RetryRow;

fn replayed(rig: &mut Rig) -> Vec<Replayed> {
    let mut answers = Vec::new();
    while let Some(action) = rig.shard.poll_action(rig.now) {
        if let Action::Replayed(answer) = action {
            answers.push(answer);
        }
    }
    answers
}

/// Sends the retry of this row, which lies in the store alone.
fn send_from_the_store(rig: &mut Rig, row: RetryRow, event: &Arc<Event>) -> Send {
    rig.pass(Duration::from_millis(1));
    for _ in 0..10 {
        match rig.shard.poll_action(rig.now) {
            Some(Action::Send(send)) => return send,
            Some(Action::Read(Read::Retries { only, until, .. })) => {
                let page = RetryPage { only, rows: vec![row], until, next: None };
                rig.shard.handle_retry_page(rig.now, &page);
            }
            Some(Action::Read(Read::Bodies { wanted, .. })) => {
                let body = |(subscription, seq)| {
                    let found = Some(Arc::clone(event)).into();
                    Body { subscription, seq, found }
                };
                let bodies: Vec<_> = wanted.into_iter().map(body).collect();
                rig.shard.handle_bodies(rig.now, &bodies);
            }
            _ => {}
        }
    }
    panic!("it is not sent");
}

#[test]
fn a_dead_letter_is_alive_durably_before_it_is_answered_and_begins_anew() {
    let key = SubscriptionKey(1);
    let mut rig = Rig::new(&[(1, "http://a.example/")]);
    let event = rig.event(10);
    rig.shard.handle_position(Seq(1));
    rig.shard.handle_replay(Replay {
        id: 7,
        subscription: key,
        seqs: vec![Seq(1)],
        trigger: Trigger::Resend,
    });
    assert_eq!(replayed(&mut rig), [], "the store is asked");
    let known = Known::Delivery { accepted_at: UnixMillis(5), attempts: 4, row: None, dead: true };
    let page = ReplayPage { subscription: key, found: vec![(Seq(1), known)] };
    rig.shard.handle_replay_page(rig.now, &page);
    assert_eq!(replayed(&mut rig), [], "it is not written");
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("a row");
    assert!(settlement.sync, "the answer must be true after a loss of power");
    assert_eq!(settlement.dead_delete, [(key, Seq(1))]);
    let row = settlement.retries_put[0];
    assert_eq!((row.attempts, row.trigger), (Tries { made: 4, before: 4 }, Trigger::Resend));
    rig.shard.handle_flushed(settlement.serial);
    let done = Some(vec![(Seq(1), Again::Due)]);
    assert_eq!(replayed(&mut rig), [Replayed { id: 7, done }]);
    // Three waits are in the schedule, and all are its own.
    let send = send_from_the_store(&mut rig, row, &event);
    assert_eq!(send.attempt, 5);
    rig.end(send.id, Some(ErrorKind::Status));
    let settlement = rig.shard.poll_settlement(rig.now, true).expect("an attempt");
    assert_eq!((settlement.dead_put.len(), settlement.retries_put.len()), (0, 1));
}
