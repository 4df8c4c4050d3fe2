//! The world around the shards: a writer, readers, receivers and people, all on virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider::model::{
    AccountKey, AccountName, AttemptError, CallbackUrl, DeliveryOptions, ErrorKind, Event, EventMask, Filter,
    HostRule, HostRules, Mono, Now, OnBlocked, Ordering, Outcome, Seq, SignatureScheme, Status, Subscription,
    SubscriptionId, SubscriptionKey, TypeBit, UnixMillis,
};
use postrider::route::{Index, Placement};
use postrider::schedule::breaker::sign;
use postrider::schedule::order::{Census, holds_order};
use postrider::schedule::pages::{
    Backlog, Body, HeadsPage, LogPage, ReplayPage, RetryPage, SubscriptionPage,
};
use postrider::schedule::{Action, FlightId, Options, Read, Replay, Settled, Shard};
use postrider::settle::{Released, RetryPolicy, Settlement};

use crate::disk::Disk;
use crate::filters;
use crate::limits::{BREAKER, IN_FLIGHT_BYTES_MAX};
use crate::oracle::Oracle;
use crate::rng::Rng;

mod people;
mod replays;
mod weather;
mod workers;
mod writer;

/// What a simulated run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Milliseconds of virtual time in which things go wrong; then everything is mended.
    pub chaos_ms: u64,
}

const ACCOUNTS: u64 = 3;
const HOSTS: u64 = 5;
const TYPES: u8 = 6;
/// Requests at once to a host that no rule names, and the rules of two.
const HOST_MAX: u32 = 4;
/// Requests at once of one worker: few enough that it is reached before the bytes in flight are.
const IN_FLIGHT_MAX: usize = 7;
const RULED_HOST: u64 = 3;
/// A host that two workers share.
const SPREAD_HOST: u64 = 4;
const RULED_MAX: u32 = 2;
const RULED_RATE: f64 = 30.0;
const COMMITS_MAX: usize = 3;
const TIMEOUT: Duration = Duration::from_millis(300);
const DISABLE_AFTER: Duration = Duration::from_secs(8);
/// Virtual time after the chaos by which everything must be settled.
const MEND_MS: u64 = 2_000_000;
const WALL_START: u64 = 1_800_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Receiver {
    Well,
    Failing,
    Hanging,
    Limiting,
    Gone,
}

/// Before and after.
type Change = (Option<Arc<Subscription>>, Option<Arc<Subscription>>);

enum In {
    Changed(Vec<Change>, Arc<Index>),
    Log(LogPage),
    Lane(SubscriptionPage),
    Retries(RetryPage),
    Backlog(Backlog),
    Census(Arc<Census>),
    Heads(HeadsPage),
    Bodies(Vec<Body>),
    Again(Replay),
    Known(ReplayPage),
    Flushed(u64),
    Live(Seq),
    Adopt(Released),
}

#[expect(clippy::large_enum_variant, reason = "few are alive at a time")]
enum Ask {
    Append(Vec<(AccountKey, TypeBit)>),
    Change(Edit),
    Settle(Settlement),
    CaughtUp(usize),
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Create,
    Mask(SubscriptionKey),
    Filter(SubscriptionKey),
    Toggle(SubscriptionKey),
    Activate(SubscriptionKey),
    Move(SubscriptionKey),
    Limit(SubscriptionKey),
    Reorder(SubscriptionKey),
    Delete(SubscriptionKey),
    Disable(SubscriptionKey, u64),
}

enum Happening {
    Turn(usize),
    Answer(usize, FlightId, Receiver),
    Serve(usize, Read),
    Census,
    Push(usize, In),
    Write,
    Produce,
    Edit,
    Weather,
    Replay,
    Crash,
}

struct Worker {
    shard: Shard,
    commits: VecDeque<(Vec<Arc<Event>>, u64)>,
    behind: bool,
    inbox: VecDeque<In>,
    flights: HashMap<FlightId, (Arc<Subscription>, Seq, u64)>,
    /// When its next turn is: one is enough.
    turn_at: Option<u64>,
}

pub struct World {
    /// `SIM_TRACE=subscription,seq` prints what happens to one pair.
    trace: Option<(u64, u64)>,
    rng: Rng,
    now_ms: u64,
    order: u64,
    /// Rises with each crash: what was on its way before it never arrives.
    life: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, (u64, Happening)>,
    workers: Vec<Worker>,
    disk: Disk,
    asks: VecDeque<Ask>,
    live: Vec<bool>,
    index: Arc<Index>,
    subs: BTreeMap<SubscriptionKey, Arc<Subscription>>,
    receivers: Vec<Receiver>,
    next_key: u64,
    head: Seq,
    chaos_ms: u64,
    rules: Arc<HostRules>,
    /// Requests for deliveries once more so far, and those that are not answered: of what, since when.
    asked: u64,
    replays: HashMap<u64, (SubscriptionKey, UnixMillis)>,
    /// What connections were last said to carry.
    capacities: HashMap<u64, u32>,
    pub oracle: Oracle,
}

fn spread_of(host: u64) -> u32 {
    if host == SPREAD_HOST { 2 } else { 1 }
}

/// Requests at once and a second to a host, from one of `workers`.
fn limits_of(host: u64, workers: usize) -> (u32, Option<f64>) {
    let max = if host == RULED_HOST { RULED_MAX } else { HOST_MAX };
    let sharers = spread_of(host).min(u32::try_from(workers).expect("small"));
    let ruled = host == RULED_HOST || host == SPREAD_HOST;
    (max, ruled.then(|| RULED_RATE / f64::from(sharers)))
}

fn rules() -> Arc<HostRules> {
    let rule = |host: u64| HostRule {
        spread: usize::try_from(spread_of(host)).expect("small"),
        max_connections: (host == RULED_HOST).then_some(RULED_MAX),
        rate_per_second: Some(RULED_RATE),
        ..HostRule::DEFAULT
    };
    let hosts = [RULED_HOST, SPREAD_HOST].map(|host| (format!("host{host}.example"), rule(host)));
    Arc::new(HostRules::new(hosts.iter().map(|(host, rule)| (host.as_str(), rule.clone()))))
}

fn trace() -> Option<(u64, u64)> {
    let text = std::env::var("SIM_TRACE").ok()?;
    let (key, seq) = text.split_once(',')?;
    Some((key.parse().ok()?, seq.parse().ok()?))
}

impl World {
    fn note(&self, key: SubscriptionKey, seq: Option<Seq>, what: impl FnOnce() -> String) {
        if self.trace.is_some_and(|(k, s)| k == key.0 && seq.is_none_or(|seq| seq.0 == s)) {
            println!("{:>8} {key:?} {seq:?}: {}", self.now_ms, what());
        }
    }

    pub fn new(plan: &Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let workers = 1 + usize::try_from(rng.below(3)).expect("small");
        let mut world = Self {
            trace: trace(),
            rng,
            now_ms: 0,
            order: 0,
            life: 0,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            workers: Vec::new(),
            disk: Disk::default(),
            asks: VecDeque::new(),
            live: vec![false; workers],
            index: Arc::new(Index::empty(Placement::new(workers, rules()))),
            subs: BTreeMap::new(),
            receivers: vec![Receiver::Well; usize::try_from(HOSTS).expect("small")],
            next_key: 1,
            head: Seq(0),
            chaos_ms: plan.chaos_ms,
            rules: rules(),
            asked: 0,
            replays: HashMap::new(),
            capacities: HashMap::new(),
            oracle: Oracle::new(plan.seed),
        };
        world.start();
        for _ in 0..4 {
            world.ask(Ask::Change(Edit::Create));
        }
        for happening in
            [Happening::Produce, Happening::Edit, Happening::Weather, Happening::Replay, Happening::Crash]
        {
            let wait = 5 + world.rng.below(500);
            world.after(wait, happening);
        }
        world
    }

    fn now(&self) -> Now {
        Now { mono: Mono(self.now_ms * 1_000_000), wall: UnixMillis(WALL_START + self.now_ms) }
    }

    fn after(&mut self, wait_ms: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((self.now_ms + wait_ms, self.order)));
        self.happenings.insert(self.order, (self.life, happening));
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
        let wait = self.rng.below(4);
        self.after(wait, Happening::Write);
    }

    /// Runs until everything is settled. Panics where the oracle finds a fault.
    pub fn run(&mut self) {
        let mut mended = false;
        let mut checked_ms = 0;
        while let Some(Reverse((at, order))) = self.queue.pop() {
            let Some((life, happening)) = self.happenings.remove(&order) else { continue };
            self.now_ms = at;
            if !mended && at >= self.chaos_ms {
                mended = true;
                self.mend();
            }
            if mended && at >= checked_ms + 1000 {
                checked_ms = at;
                if self.is_settled() {
                    return self.finish();
                }
                assert!(
                    at < self.chaos_ms + MEND_MS,
                    "seed {}: not settled {} s after everything was mended: {}",
                    self.oracle.seed,
                    MEND_MS / 1000,
                    self.open_pairs()
                );
            }
            let world_own = matches!(
                happening,
                Happening::Produce
                    | Happening::Edit
                    | Happening::Weather
                    | Happening::Replay
                    | Happening::Crash
            );
            if life == self.life || world_own {
                self.happen(happening);
            }
        }
        self.finish();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn(worker) => self.turn(worker),
            Happening::Answer(worker, id, receiver) => self.answer(worker, id, receiver),
            Happening::Serve(worker, read) => self.serve(worker, &read),
            Happening::Push(worker, input) => self.push(worker, input),
            Happening::Census => self.take_census(),
            Happening::Write => self.write(),
            Happening::Produce => self.produce(),
            Happening::Edit => self.edit(),
            Happening::Weather => self.weather(),
            Happening::Replay => self.replay(),
            Happening::Crash => self.crash(),
        }
    }

    fn is_settled(&mut self) -> bool {
        // A 410 that was on its way when all was mended may still have made one inactive.
        let inactive: Vec<_> =
            self.subs.values().filter(|sub| sub.status == Status::Inactive).map(|sub| sub.key).collect();
        for key in &inactive {
            self.ask(Ask::Change(Edit::Activate(*key)));
        }
        // The cheap questions first: the last one walks every pair.
        inactive.is_empty()
            && self.workers.iter().all(|worker| worker.flights.is_empty())
            && self.replays.is_empty()
            && self.disk.retries.keys().all(|key| !self.subs.contains_key(&key.subscription))
            && self.oracle.open(&self.subs, &self.disk).next().is_none()
            && self.disk.lagging.keys().all(|key| !self.subs.contains_key(key))
    }

    fn open_pairs(&self) -> String {
        let open: Vec<_> = self.oracle.open(&self.subs, &self.disk).take(5).collect();
        let lagging: Vec<_> =
            self.disk.lagging.iter().filter(|(key, _)| self.subs.contains_key(key)).collect();
        let counts: Vec<_> = self.workers.iter().map(|worker| worker.shard.counts()).collect();
        format!("{open:?}; lagging {lagging:?}; retries {:?}; {counts:?}", self.disk.retries.len())
    }

    fn finish(&mut self) {
        self.oracle.finish(&self.subs, &self.disk);
        let owner = |sub: &Subscription| self.index.owner(sub);
        for sub in self.subs.values() {
            let health = self.workers[owner(sub)].shard.health(sub.key).unwrap_or_default();
            let told = (health.pending, health.oldest_pending_at);
            assert_eq!(told, (0, None), "seed {}: {:?} says it has work", self.oracle.seed, sub.key);
        }
    }
}
