//! Opens what a power cut has left, by the engine's own recovery, and compares it with the truth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use postrider::log::api::{Appended, Request};
use postrider::log::db::Family;
use postrider::log::guard::StoreError;
use postrider::log::key::Key;
use postrider::log::record::{EventsRow, decode_borrowed};
use postrider::log::verify::verify;
use postrider::model::{Seq, SubscriptionKey};

use crate::events::{event, number_of};
use crate::load::{SUBSCRIPTIONS, subscriptions};
use crate::rig::{Clock, KEPT, Rig, options};
use crate::truth::Truth;

/// A number that the load does not reach.
const FRESH: u64 = u64::MAX / 2;

/// What must not be.
#[allow(dead_code, reason = "shown whole where a test fails")]
#[derive(Debug)]
pub enum Violation {
    /// It does not open without somebody's help.
    Refused(StoreError),
    /// Its own check finds damage.
    Damaged(String),
    /// Acknowledged and not there.
    Lost {
        number: u64,
        seq: u64,
    },
    NeverSent(String),
    /// There, and not as it was sent.
    Other {
        number: u64,
        seq: u64,
    },
    Twice {
        number: u64,
    },
    /// A seq between others has no event.
    Gap {
        seq: u64,
    },
    /// An attempt that was reported as durable.
    NoAttempt {
        subscription: u64,
        seq: u64,
        number: u16,
    },
    Watermark {
        is: u64,
        was: u64,
    },
    /// The watermark says that it is settled, and nothing says how.
    Forgotten {
        subscription: u64,
        seq: u64,
    },
    Subscription {
        slot: u64,
        version: Option<u64>,
    },
    Job {
        id: u64,
        done: Option<u64>,
    },
    /// It was not taken for what it is: a duplicate, or the next event.
    Append(String),
}

/// Bodies by number, of all events that a load has sent.
pub type Bodies = HashMap<u64, Bytes>;

/// Whether what lies in `store` is what `truth` allows. It is verified before the engine has touched it
/// (`as_it_lies`), or afterwards.
pub fn check(store: &Path, truth: &Truth, bodies: &Bodies, as_it_lies: bool) -> Vec<Violation> {
    let _open = crate::opening();
    let mut wrong = Vec::new();
    let options = options(store, &Clock::at(truth.now));
    let as_it_lies = as_it_lies && !truth.accepted.is_empty();
    if as_it_lies {
        verified(verify(&options.db, &mut |_| {}), &mut wrong);
    }
    let rig = match Rig::open(&options) {
        Ok(rig) => rig,
        Err(error) => return vec![Violation::Refused(error)],
    };
    if let Err(error) = look(&rig, truth, bodies, &mut wrong) {
        wrong.push(Violation::Damaged(error.to_string()));
    }
    append(&rig, truth, &mut wrong);
    rig.stop();
    if !as_it_lies {
        verified(verify(&options.db, &mut |_| {}), &mut wrong);
    }
    wrong
}

fn verified(report: Result<postrider::log::verify::Report, StoreError>, wrong: &mut Vec<Violation>) {
    match report {
        Ok(report) if report.damages == 0 => {}
        Ok(report) => wrong.push(Violation::Damaged(format!("{} places", report.damages))),
        Err(error) => wrong.push(Violation::Damaged(error.to_string())),
    }
}

fn look(rig: &Rig, truth: &Truth, bodies: &Bodies, wrong: &mut Vec<Violation>) -> Result<(), StoreError> {
    events(rig, truth, bodies, wrong)?;
    settlements(rig, truth, wrong)?;
    let held = subscriptions(&rig.registry.read().unwrap());
    for (slot, known) in &truth.slots {
        let version = held.get(slot).map(|(version, _)| *version);
        if !known.allows(version) {
            wrong.push(Violation::Subscription { slot: *slot, version });
        }
    }
    if let Some(slot) = held.keys().find(|slot| !truth.slots.contains_key(slot)) {
        wrong.push(Violation::NeverSent(format!("slot {slot}")));
    }
    let jobs: BTreeMap<u64, u64> = rig.store.jobs()?.into_iter().map(|job| (job.id.0, job.done)).collect();
    for (id, known) in &truth.jobs {
        let done = jobs.get(id).copied();
        if !known.allows(done) {
            wrong.push(Violation::Job { id: *id, done });
        }
    }
    let damaged = rig.store.stats().damaged_rows.load(std::sync::atomic::Ordering::SeqCst);
    if damaged > 0 {
        wrong.push(Violation::Damaged(format!("{damaged} rows were left out")));
    }
    Ok(())
}

/// Whether what was accepted at this time must still be there.
fn is_kept(truth: &Truth, at: u64) -> bool {
    at + KEPT.as_millis() as u64 >= truth.now
}

fn events(rig: &Rig, truth: &Truth, bodies: &Bodies, wrong: &mut Vec<Violation>) -> Result<(), StoreError> {
    let mut found: HashMap<u64, u64> = HashMap::new();
    rig.store.with(|db| {
        let mut cursor = db.cursor_between(Family::Events, &[], &[u8::MAX])?;
        cursor.first();
        let mut next = None;
        while let Some((key, value)) = cursor.row()? {
            let Ok(Key::Events { first: Seq(mut seq) }) = Key::parse(key) else { panic!("a key of {key:?}") };
            let row: EventsRow<'_> = decode_borrowed(value)?;
            for packed in &row {
                if next.is_some_and(|next| next != seq) && seq > rig.store.floor().0 {
                    wrong.push(Violation::Gap { seq });
                }
                let whole = packed.to_event(Seq(seq))?;
                match number_of(whole.id()).filter(|number| truth.was_sent(*number)) {
                    None => wrong.push(Violation::NeverSent(whole.id().to_owned())),
                    Some(number) => {
                        let acknowledged = truth.accepted.get(&number).is_none_or(|(at, _)| *at == seq);
                        if bodies[&number] != *whole.body() || !acknowledged {
                            wrong.push(Violation::Other { number, seq });
                        }
                        if found.insert(number, seq).is_some() {
                            wrong.push(Violation::Twice { number });
                        }
                    }
                }
                seq += 1;
                next = Some(seq);
            }
            cursor.next();
        }
        Ok(())
    })?;
    let lost =
        truth.accepted.iter().filter(|(number, (_, at))| is_kept(truth, *at) && !found.contains_key(number));
    wrong.extend(lost.map(|(number, (seq, _))| Violation::Lost { number: *number, seq: *seq }));
    Ok(())
}

fn settlements(rig: &Rig, truth: &Truth, wrong: &mut Vec<Violation>) -> Result<(), StoreError> {
    let (mark, low) =
        (rig.recovered.watermark.0, truth.accepted.values().filter(|(_, at)| is_kept(truth, *at)));
    let low = low.map(|(seq, _)| *seq).min().unwrap_or(u64::MAX);
    if mark < truth.watermark {
        wrong.push(Violation::Watermark { is: mark, was: truth.watermark });
    }
    let held = subscriptions(&rig.registry.read().unwrap());
    for key in (0..SUBSCRIPTIONS).filter_map(|slot| held.get(&slot)).map(|(_, it)| it.key) {
        let attempts = rig.store.attempts_in(key, (Seq(low), Seq(u64::MAX)))?;
        let numbers: HashSet<(u64, u16)> =
            attempts.values().flatten().map(|attempt| (attempt.seq.0, attempt.number)).collect();
        let durable = truth.attempts.iter().filter(|((of, seq), _)| *of == key.0 && *seq >= low);
        let gone = durable.filter(|((_, seq), number)| !numbers.contains(&(*seq, *number)));
        wrong.extend(gone.map(|((subscription, seq), number)| Violation::NoAttempt {
            subscription: *subscription,
            seq: *seq,
            number: *number,
        }));
        answers(rig, key, (low, mark), &attempts, wrong)?;
    }
    Ok(())
}

/// At or below the watermark each delivery was made, waits for its next attempt, or is dead.
fn answers(
    rig: &Rig,
    key: SubscriptionKey,
    (low, mark): (u64, u64),
    attempts: &BTreeMap<Seq, Vec<postrider::model::Attempt>>,
    wrong: &mut Vec<Violation>,
) -> Result<(), StoreError> {
    use postrider::model::Disposition::Delivered;
    let retries = rig.store.retries_of(key, usize::MAX)?.into_iter().map(|row| row.key.seq);
    let dead = rig.store.dead(key, Seq(0), usize::MAX)?.into_iter().map(|row| row.seq);
    let waits: HashSet<Seq> = retries.chain(dead).collect();
    for seq in (low..=mark).map(Seq) {
        let delivered = |made: &Vec<postrider::model::Attempt>| {
            made.iter().any(|attempt| attempt.disposition == Delivered)
        };
        if !waits.contains(&seq) && !attempts.get(&seq).is_some_and(delivered) {
            wrong.push(Violation::Forgotten { subscription: key.0, seq: seq.0 });
        }
    }
    Ok(())
}

/// It goes on where it was: what it has is known to it, what is new gets the next number.
fn append(rig: &Rig, truth: &Truth, wrong: &mut Vec<Violation>) {
    let known = truth.accepted.iter().filter(|(_, (_, at))| is_kept(truth, *at)).map(|(number, _)| *number);
    let mut events: Vec<_> = known
        .max()
        .into_iter()
        .chain(truth.accepted.keys().copied().filter(|number| is_kept(truth, truth.accepted[number].1)).min())
        .collect();
    events.dedup();
    let mut wants = vec![Appended::Duplicate; events.len()];
    events.push(FRESH);
    wants.push(Appended::Accepted(rig.recovered.head.next()));
    let answer =
        rig.ask(|reply| Request::Append { events: events.iter().copied().map(event).collect(), reply });
    if answer.as_ref().ok() != Some(&wants) {
        wrong.push(Violation::Append(format!("{answer:?}, not {wants:?}")));
    }
}
