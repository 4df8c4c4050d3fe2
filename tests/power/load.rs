//! The load: in a process of its own, under the recording layer, it does to the log what an engine does in
//! days: accepts, settles, changes subscriptions and jobs, seals, drops what is old, flushes, compacts,
//! makes checkpoints. It ends by a kill or in good order, and another life follows on the same directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use postrider::log::api::{Appended, Input, Request};
use postrider::log::db::{Db, Family};
use postrider::log::store::Store;
use postrider::model::{
    Attempt, Disposition, EventMask, Seq, Subscription, SubscriptionKey, Trigger, UnixMillis,
};
use postrider::recover::{Job, JobId, Scope, Which};
use postrider::registry::{Change, Draft, Patch, Registry};
use postrider::settle::{DeadReason, DeadRow, RetryKey, RetryRow, Settlement, Tries};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::events::{account, event};
use crate::facts::{Fact, Settled};
use crate::record::Notes;
use crate::rig::{Clock, Rig, Types, ask, options};
use crate::rng::Rng;

/// Subscriptions to all events, and as many slots in which others come and go.
pub const SUBSCRIPTIONS: u64 = 2;
pub const SLOTS: u64 = 4;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Killed,
    Stopped,
}

/// What a process is told of its life, as text in its environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    pub store: PathBuf,
    pub record: PathBuf,
    pub seed: u64,
    pub number: u64,
    pub clock: u64,
    pub lasts: Duration,
    pub end: End,
}

struct Shared {
    rig: Rig,
    clock: Clock,
    notes: Notes,
    over: AtomicBool,
    next: AtomicU64,
    seed: u64,
}

/// Events of a life have numbers of their own.
const NUMBERS: u64 = 1_000_000;

pub fn live(life: &Life) {
    let notes = Notes::open(&life.record);
    notes.note(&Fact::Life);
    notes.note(&Fact::Clock { now: life.clock });
    let clock = Clock::at(life.clock);
    let rig = Rig::open(&options(&life.store, &clock)).expect("opens");
    let subscriptions = subscribe(&rig, &notes);
    let next = AtomicU64::new(life.number * NUMBERS);
    let shared = Shared { rig, clock, notes, over: AtomicBool::new(false), next, seed: life.seed };
    let (accepted, to_settle) = unbounded();
    for seq in shared.rig.recovered.watermark.next().0..=shared.rig.recovered.head.0 {
        let _ = accepted.send(seq);
    }
    std::thread::scope(|scope| {
        let shared = &shared;
        for thread in 0..2 {
            let accepted = accepted.clone();
            scope.spawn(move || append(shared, thread, &accepted));
        }
        drop(accepted);
        scope.spawn(|| settle(shared, &subscriptions, &to_settle));
        scope.spawn(|| change(shared));
        scope.spawn(|| upkeep(shared));
        let end = Instant::now() + life.lasts;
        while Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if life.end == End::Killed {
            // Does not come back.
            let _ = std::fs::File::open("/power/halt");
        }
        shared.over.store(true, Ordering::SeqCst);
    });
    shared.rig.stop();
}

fn draft(slot: u64, version: u64) -> serde_json::Value {
    json!({"name": format!("v{version}"), "callbackUrl": format!("https://s{slot}.example/"), "events": ["*"]})
}

/// The slot and the version of a subscription.
pub fn slot_of(subscription: &Subscription) -> Option<(u64, u64)> {
    let url = subscription.callback_url.as_str().to_owned();
    let slot = url.strip_prefix("https://s")?.split('.').next()?.parse().ok()?;
    Some((slot, subscription.name.strip_prefix('v')?.parse().ok()?))
}

pub fn subscriptions(registry: &Registry) -> BTreeMap<u64, (u64, std::sync::Arc<Subscription>)> {
    let account = registry.account_key(&account());
    let all = account.map(|account| registry.subscriptions_of(account)).unwrap_or_default();
    let of = |it: &std::sync::Arc<Subscription>| slot_of(it).map(|(slot, v)| (slot, (v, it.clone())));
    all.iter().filter_map(of).collect()
}

/// The subscriptions whose deliveries are settled: made in the first life.
fn subscribe(rig: &Rig, notes: &Notes) -> Vec<SubscriptionKey> {
    for slot in 0..SUBSCRIPTIONS {
        if !subscriptions(&rig.registry.read().unwrap()).contains_key(&slot) {
            create(&rig.requests, notes, slot, 0);
        }
    }
    let all = subscriptions(&rig.registry.read().unwrap());
    (0..SUBSCRIPTIONS).map(|slot| all[&slot].1.key).collect()
}

fn create(requests: &Sender<Request>, notes: &Notes, slot: u64, version: u64) {
    notes.note(&Fact::Changing { slot, to: Some(version) });
    let draft = Draft::parse(&draft(slot, version), &Types).unwrap();
    let change = Change::CreateSubscription { account: account(), draft };
    ask(requests, |reply| Request::Change { change: change.into(), reply }).expect("is made");
    notes.note(&Fact::Changed { slot, to: Some(version) });
}

fn append(shared: &Shared, thread: u64, accepted: &Sender<u64>) {
    let mut rng = Rng::of(shared.seed, thread);
    while !shared.over.load(Ordering::SeqCst) {
        let count = if rng.chance(30) { 1 } else { 1 + rng.below(40) as u64 };
        let first = shared.next.fetch_add(count, Ordering::SeqCst);
        let events = (first..first + count).map(event).collect();
        let at = shared.clock.now();
        shared.notes.note(&Fact::Sending { first, count });
        let answer = shared.rig.ask(|reply| Request::Append { events, reply }).expect("is taken");
        let seq = |it: &Appended| match it {
            Appended::Accepted(seq) => seq.0,
            Appended::Duplicate => panic!("a new event is a duplicate"),
        };
        let seqs: Vec<u64> = answer.iter().map(seq).collect();
        for seq in &seqs {
            accepted.send(*seq).unwrap();
        }
        shared.notes.note(&Fact::Accepted { first, seqs, at });
        std::thread::park_timeout(Duration::from_micros(rng.below(4000) as u64));
    }
}

/// What a worker does, for both: one settlement after the other, each of all that came meanwhile.
fn settle(shared: &Shared, subscriptions: &[SubscriptionKey], accepted: &Receiver<u64>) {
    let mut rng = Rng::of(shared.seed, 10);
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    let mut retries: Vec<(usize, RetryRow)> = Vec::new();
    for (worker, subscription) in subscriptions.iter().enumerate() {
        let rows = shared.rig.store.retries_of(*subscription, usize::MAX).unwrap();
        retries.extend(rows.into_iter().map(|row| (worker, row)));
    }
    let mut serial = 0;
    let mut settled = shared.rig.recovered.watermark.0;
    while let Ok(seq) = accepted.recv() {
        waiting.insert(seq);
        waiting.extend(accepted.try_iter());
        let mut new = Vec::new();
        while waiting.first() == Some(&(settled + 1)) {
            waiting.pop_first();
            settled += 1;
            new.push(Seq(settled));
        }
        serial += 1;
        for (worker, own) in subscriptions.iter().copied().enumerate() {
            let (due, later) = retries.drain(..).partition(|(owner, _)| *owner == worker && rng.chance(30));
            retries = later;
            let mut it = Settlement { worker, serial, watermark: Seq(settled), ..Default::default() };
            for seq in &new {
                deliver(shared, &mut rng, &mut it, own, *seq, 1);
            }
            for (_, row) in due {
                it.retries_delete.push(row.key);
                deliver(shared, &mut rng, &mut it, own, row.key.seq, row.attempts.made + 1);
            }
            // Where there is nothing to write there is nothing to sync.
            it.sync = !it.attempts.is_empty() && rng.chance(15);
            retries.extend(it.retries_put.iter().map(|row| (worker, *row)));
            let attempts =
                it.attempts.iter().map(|(key, attempt)| ((key.0, attempt.seq.0), attempt.number)).collect();
            let done = Settled { watermark: settled, attempts };
            shared.notes.note(&Fact::Settling { worker: worker as u64, serial, done });
            let synced = it.sync;
            shared.rig.requests.send(Request::Settle(it)).unwrap();
            let flushed = |input: &Input| matches!(input, Input::Flushed { serial: it } if *it == serial);
            while !flushed(&shared.rig.inputs[worker].recv().unwrap()) {}
            shared.notes.note(&Fact::Flushed { worker: worker as u64, serial, synced });
        }
    }
}

/// An attempt, and what comes of it.
fn deliver(shared: &Shared, rng: &mut Rng, it: &mut Settlement, to: SubscriptionKey, seq: Seq, number: u16) {
    let now = UnixMillis(shared.clock.now());
    let disposition = match rng.below(20) {
        0 => Disposition::Dead,
        1..5 => Disposition::Retry(now + Duration::from_millis(1 + rng.below(60_000) as u64)),
        _ => Disposition::Delivered,
    };
    it.attempts.push((
        to,
        Attempt {
            seq,
            number,
            trigger: Trigger::Event,
            started_at: now,
            duration_ms: 3,
            status: Some(200),
            error: None,
            response: None,
            disposition,
            body_size: 20,
        },
    ));
    it.accepted.push(now);
    match disposition {
        Disposition::Delivered => {}
        Disposition::Dead => {
            let dead = DeadRow { subscription: to, seq, reason: DeadReason::Exhausted, at: now };
            it.dead_put.push(dead);
        }
        Disposition::Retry(due) => it.retries_put.push(RetryRow {
            key: RetryKey { due, subscription: to, seq },
            attempts: Tries::from(number),
            accepted_at: now,
            trigger: Trigger::Event,
        }),
    }
}

/// Subscriptions come, change and go; so do jobs.
fn change(shared: &Shared) {
    let mut rng = Rng::of(shared.seed, 20);
    let requests = &shared.rig.requests;
    let mut version = shared.next.load(Ordering::SeqCst);
    while !shared.over.load(Ordering::SeqCst) {
        version += 1;
        let slot = SUBSCRIPTIONS + rng.below(SLOTS as usize) as u64;
        let present = subscriptions(&shared.rig.registry.read().unwrap()).remove(&slot);
        match present {
            None => create(requests, &shared.notes, slot, version),
            Some((_, held)) => {
                let to = (!rng.chance(30)).then_some(version);
                shared.notes.note(&Fact::Changing { slot, to });
                let (account, id) = (account(), held.id.clone());
                let change = match to {
                    Some(version) => {
                        let patch = Patch::parse(&json!({"name": format!("v{version}")}), &Types).unwrap();
                        Change::PatchSubscription { account, id, patch, if_match: None }
                    }
                    None => Change::DeleteSubscription { account, id, if_match: None },
                };
                ask(requests, |reply| Request::Change { change: change.into(), reply }).expect("is made");
                shared.notes.note(&Fact::Changed { slot, to });
            }
        }
        let (id, done) = (1 + rng.below(5) as u64, (!rng.chance(25)).then_some(version));
        shared.notes.note(&Fact::JobChanging { id, done });
        let put = done.map(|done| Job { done, ..job(shared, id) }).into_iter().collect();
        let delete = if done.is_none() { vec![JobId(id)] } else { Vec::new() };
        ask(requests, |reply| Request::Jobs { put, delete, note: None, reply }).expect("is written");
        shared.notes.note(&Fact::JobChanged { id, done });
        std::thread::park_timeout(Duration::from_millis(rng.below(30) as u64));
    }
}

fn job(shared: &Shared, id: u64) -> Job {
    let registry = shared.rig.registry.read().unwrap();
    let held = &subscriptions(&registry)[&0].1;
    let now = UnixMillis(shared.clock.now());
    let scope = Scope {
        account: held.account,
        subscription: held.key,
        subscription_id: held.id.clone(),
        which: Which::Dead,
        since: UnixMillis(0),
        until: now,
        types: None::<EventMask>,
        rate: 10,
    };
    Job::new(JobId(id), scope, Seq(1), now)
}

/// Time goes fast; the store is flushed, compacted and checkpointed.
fn upkeep(shared: &Shared) {
    let mut rng = Rng::of(shared.seed, 30);
    let store: &Store = &shared.rig.store;
    // Each in turn, so that every life has seen them all.
    for turn in rng.below(4).. {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let now = shared.clock.now() + 20_000 + rng.below(40_000) as u64;
        shared.notes.note(&Fact::Clock { now });
        shared.clock.set(now);
        match turn % 8 {
            0 => store.with(Db::flush).unwrap(),
            2 => {
                let family = Family::ALL[rng.below(Family::ALL.len())];
                store.with(|db| db.compact(family)).unwrap();
            }
            4 => {
                store.checkpoint().unwrap();
            }
            6 => store.drop_checkpoint().unwrap(),
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(20 + rng.below(40) as u64));
    }
}
