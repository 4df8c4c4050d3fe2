//! The world around the shards: a writer, readers, receivers and people, all on virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider::model::{
    AccountKey, AccountName, AttemptError, CallbackUrl, DeliveryOptions, Epoch, ErrorKind, Event, EventMask,
    Mono, Now, OnBlocked, Ordering, Outcome, Seq, SignatureScheme, Status, Subscription, SubscriptionId,
    SubscriptionKey, TypeBit, UnixMillis,
};
use postrider::route::{Index, owner};
use postrider::schedule::pages::{Body, LogPage, RetryPage, SubscriptionPage};
use postrider::schedule::{Action, FlightId, Options, Read, Shard};
use postrider::settle::{Released, RetryPolicy, Settlement};

use crate::disk::Disk;
use crate::oracle::Oracle;
use crate::rng::Rng;

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
const COMMITS_MAX: usize = 3;
const TIMEOUT: Duration = Duration::from_millis(300);
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

enum In {
    Changed(Vec<(Option<Arc<Subscription>>, Option<Arc<Subscription>>)>, Arc<Index>),
    Log(LogPage),
    Lane(SubscriptionPage),
    Retries(RetryPage),
    Bodies(Vec<Body>),
    Flushed(u64),
    Live(Seq),
    Adopt(Released),
}

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
    Toggle(SubscriptionKey),
    Activate(SubscriptionKey),
    Move(SubscriptionKey),
    Delete(SubscriptionKey),
    Disable(SubscriptionKey),
}

enum Happening {
    Turn(usize),
    Answer(usize, FlightId, Receiver),
    Serve(usize, Read),
    Push(usize, In),
    Write,
    Produce,
    Edit,
    Weather,
    Crash,
}

struct Worker {
    shard: Shard,
    commits: VecDeque<(Vec<Arc<Event>>, u64)>,
    behind: bool,
    inbox: VecDeque<In>,
    flights: HashMap<FlightId, (SubscriptionKey, Seq, u64)>,
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
    pub oracle: Oracle,
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
            index: Arc::new(Index::empty(workers)),
            subs: BTreeMap::new(),
            receivers: vec![Receiver::Well; usize::try_from(HOSTS).expect("small")],
            next_key: 1,
            head: Seq(0),
            chaos_ms: plan.chaos_ms,
            oracle: Oracle::new(plan.seed),
        };
        world.start();
        for _ in 0..4 {
            world.ask(Ask::Change(Edit::Create));
        }
        for happening in [Happening::Produce, Happening::Edit, Happening::Weather, Happening::Crash] {
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
                Happening::Produce | Happening::Edit | Happening::Weather | Happening::Crash
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
            Happening::Write => self.write(),
            Happening::Produce => self.produce(),
            Happening::Edit => self.edit(),
            Happening::Weather => self.weather(),
            Happening::Crash => self.crash(),
        }
    }

    // ---- the writer ----

    fn write(&mut self) {
        while let Some(ask) = self.asks.pop_front() {
            match ask {
                Ask::Append(items) => self.commit(&items),
                Ask::Change(edit) => self.change(edit),
                Ask::Settle(settlement) => self.settle(settlement),
                Ask::CaughtUp(worker) => {
                    self.live[worker] = true;
                    self.workers[worker].behind = false;
                    let head = self.disk.head();
                    self.push(worker, In::Live(head));
                }
            }
        }
    }

    fn commit(&mut self, items: &[(AccountKey, TypeBit)]) {
        let mut events = Vec::new();
        for (account, type_bit) in items {
            let seq = self.disk.head().next();
            let seq = Seq(seq.0 + events.len() as u64);
            let id = format!("e{}", seq.0);
            let padding = "x".repeat(usize::try_from(self.rng.below(3000)).expect("small"));
            let body = Bytes::from(format!("{{\"id\":\"{id}\",\"data\":\"{padding}\"}}"));
            let len = u8::try_from(id.len()).expect("short");
            let event = Event::new(seq, *account, *type_bit, self.now().wall, len, body).expect("valid");
            events.push(Arc::new(event));
        }
        self.disk.append(events.clone());
        self.oracle.accepted(&events);
        for worker in 0..self.workers.len() {
            let wanted = events
                .iter()
                .any(|e| self.index.workers_wanting(e.account, e.type_bit, e.seq) & (1 << worker) != 0);
            if !wanted || !self.live[worker] {
                continue;
            }
            if self.workers[worker].commits.len() >= COMMITS_MAX {
                self.workers[worker].behind = true;
                self.live[worker] = false;
            } else {
                self.workers[worker].commits.push_back((events.clone(), self.index.version()));
            }
            self.wake(worker);
        }
        self.head = self.disk.head();
    }

    fn settle(&mut self, settlement: Settlement) {
        let (worker, serial) = (settlement.worker, settlement.serial);
        for (key, attempt) in &settlement.attempts {
            self.note(*key, Some(attempt.seq), || {
                format!("worker {worker} writes {:?}", attempt.disposition)
            });
        }
        for (key, cursor) in &settlement.lagging_put {
            self.note(*key, None, || {
                format!("worker {worker} writes cursor {cursor:?} at watermark {:?}", settlement.watermark)
            });
        }
        for key in &settlement.lagging_delete {
            self.note(*key, None, || {
                format!("worker {worker} deletes the cursor at watermark {:?}", settlement.watermark)
            });
        }
        for released in &settlement.released {
            self.note(released.subscription, None, || format!("worker {worker} releases {released:?}"));
        }
        let released = settlement.released.clone();
        self.disk.settle(settlement);
        self.push(worker, In::Flushed(serial));
        for released in released {
            if let Some(sub) = self.subs.get(&released.subscription) {
                let to = owner(sub.callback_url.authority(), self.workers.len());
                self.push(to, In::Adopt(released));
            }
        }
    }

    fn push(&mut self, worker: usize, input: In) {
        self.workers[worker].inbox.push_back(input);
        self.wake(worker);
    }

    fn wake(&mut self, worker: usize) {
        let wait = self.rng.below(3);
        self.after(wait, Happening::Turn(worker));
    }

    // ---- configuration ----

    fn mask(&mut self) -> EventMask {
        let bits = self.rng.next();
        EventMask::of((0..TYPES).filter(|bit| bits & (1 << bit) != 0).map(TypeBit).chain([TypeBit(0)]))
    }

    fn url(&mut self) -> CallbackUrl {
        let host = self.rng.below(HOSTS);
        CallbackUrl::parse(&format!("http://host{host}.example/hook")).expect("valid")
    }

    fn change(&mut self, edit: Edit) {
        let next = self.disk.head().next();
        let (key, before) = match edit {
            Edit::Create => (SubscriptionKey(self.next_key), None),
            Edit::Mask(key)
            | Edit::Toggle(key)
            | Edit::Activate(key)
            | Edit::Move(key)
            | Edit::Delete(key)
            | Edit::Disable(key) => match self.subs.get(&key).cloned() {
                Some(before) => (key, Some(before)),
                None => return,
            },
        };
        let mut after = match &before {
            Some(before) => (**before).clone(),
            None => self.make(key, next),
        };
        after.version += 1;
        match edit {
            Edit::Create => self.next_key += 1,
            Edit::Mask(_) if after.status == Status::Active => {
                let mask = self.mask();
                after.begin_epoch(next, mask, Seq(0));
            }
            Edit::Toggle(_) | Edit::Activate(_) | Edit::Disable(_) => {
                let to = match edit {
                    Edit::Disable(_) => Status::Inactive,
                    Edit::Activate(_) => Status::Active,
                    _ if after.status == Status::Active => Status::Inactive,
                    _ => Status::Active,
                };
                if to == after.status {
                    return;
                }
                after.status = to;
                let mask = if to == Status::Active { self.mask() } else { EventMask::NONE };
                after.begin_epoch(next, mask, Seq(0));
            }
            Edit::Move(_) => after.callback_url = self.url(),
            Edit::Delete(_) | Edit::Mask(_) => {}
        }
        let after = (!matches!(edit, Edit::Delete(_))).then(|| Arc::new(after));
        match &after {
            Some(after) => drop(self.subs.insert(key, Arc::clone(after))),
            None => drop(self.subs.remove(&key)),
        }
        let account = before.as_ref().or(after.as_ref()).expect("one of them").account;
        let of_account: Vec<_> = self.subs.values().filter(|sub| sub.account == account).cloned().collect();
        self.index = Arc::new(self.index.with(account, &of_account));
        self.note(key, None, || {
            format!(
                "{edit:?} at {next:?}: owner {:?} -> {:?}",
                before.as_ref().map(|s| owner(s.callback_url.authority(), self.live.len())),
                after.as_ref().map(|s| owner(s.callback_url.authority(), self.live.len()))
            )
        });
        self.oracle.changed(key, after.as_ref());
        for worker in 0..self.workers.len() {
            let change = (before.clone(), after.clone());
            self.push(worker, In::Changed(vec![change], Arc::clone(&self.index)));
        }
    }

    fn make(&mut self, key: SubscriptionKey, from: Seq) -> Subscription {
        let account = AccountKey(u32::try_from(1 + self.rng.below(ACCOUNTS)).expect("small"));
        Subscription {
            key,
            id: SubscriptionId::parse(&format!("sub_{}", key.0)).expect("valid"),
            account,
            account_name: AccountName::parse("acme").expect("valid"),
            name: "sim".to_owned(),
            callback_url: self.url(),
            events: vec!["*".to_owned()],
            headers: Vec::new(),
            description: String::new(),
            status: Status::Active,
            disabled_reason: None,
            delivery: DeliveryOptions {
                timeout: TIMEOUT,
                max_in_flight: 1 + u32::try_from(self.rng.below(6)).expect("small"),
                rate_per_second: None,
                ordering: Ordering::None,
                on_blocked: OnBlocked::Block,
                signature: SignatureScheme::V1,
            },
            secret: vec![1; 32],
            created_at: self.now().wall,
            updated_at: self.now().wall,
            version: 0,
            epochs: vec![Epoch { from, mask: self.mask() }],
        }
    }

    // ---- workers ----

    fn start(&mut self) {
        let workers = self.live.len();
        let watermark = self.disk.watermark(workers);
        self.workers.clear();
        for worker in 0..workers {
            let options = Options {
                worker,
                workers,
                policy: RetryPolicy {
                    schedule: [100, 1_000, 45_000, 70_000].map(Duration::from_millis).to_vec(),
                    jitter: 0.2,
                },
                host_in_flight_max: 4,
                in_flight_max: 12,
                queued_max: 160,
                queued_bytes_max: 1 << 20,
            };
            let lagging: Vec<_> = self
                .disk
                .lagging
                .iter()
                .filter(|(key, _)| {
                    self.subs
                        .get(key)
                        .is_some_and(|sub| owner(sub.callback_url.authority(), workers) == worker)
                })
                .map(|(key, cursor)| (*key, *cursor))
                .collect();
            let shard = Shard::new(options, Arc::clone(&self.index), watermark, &lagging);
            self.workers.push(Worker {
                shard,
                commits: VecDeque::new(),
                behind: false,
                inbox: VecDeque::new(),
                flights: HashMap::new(),
            });
            self.live[worker] = false;
            self.wake(worker);
        }
    }

    fn turn(&mut self, at: usize) {
        let now = self.now();
        let head = self.head;
        self.take_inputs(at);
        for _ in 0..2 {
            let worker = &mut self.workers[at];
            if !worker.shard.wants_commits() {
                break;
            }
            let Some((events, version)) = worker.commits.pop_front() else {
                if worker.behind {
                    worker.shard.handle_behind();
                } else {
                    worker.shard.handle_position(head);
                }
                break;
            };
            if version > worker.shard.index_version() {
                self.take_inputs(at);
            }
            self.workers[at].shard.handle_committed(&events, None);
        }
        self.workers[at].shard.handle_timeout(now);
        while let Some(action) = self.workers[at].shard.poll_action(now) {
            self.perform(at, action);
        }
        if let Some(settlement) = self.workers[at].shard.poll_settlement(now, false) {
            self.oracle.watermark(at, settlement.watermark);
            self.ask(Ask::Settle(settlement));
        }
        let worker = &self.workers[at];
        self.oracle.bounds(&worker.shard.counts());
        if !worker.commits.is_empty() {
            self.after(1, Happening::Turn(at));
        } else if let Some(wake) = worker.shard.next_wake(now) {
            let wait = (wake.0 / 1_000_000).saturating_sub(self.now_ms) + 1;
            self.after(wait, Happening::Turn(at));
        }
    }

    fn take_inputs(&mut self, at: usize) {
        let now = self.now();
        let worker = &mut self.workers[at];
        while let Some(input) = worker.inbox.pop_front() {
            match input {
                In::Changed(changes, index) => {
                    worker.shard.handle_index(index);
                    for (before, after) in &changes {
                        worker.shard.handle_changed(now, before.as_ref(), after.as_ref());
                    }
                }
                In::Log(page) => worker.shard.handle_log_page(&page),
                In::Lane(page) => worker.shard.handle_subscription_page(&page),
                In::Retries(page) => worker.shard.handle_retry_page(now, &page),
                In::Bodies(bodies) => worker.shard.handle_bodies(now, &bodies),
                In::Flushed(serial) => worker.shard.handle_flushed(serial),
                In::Live(after) => worker.shard.handle_live(after),
                In::Adopt(released) => worker.shard.handle_adopt(&released),
            }
        }
    }

    fn perform(&mut self, at: usize, action: Action) {
        match action {
            Action::Send(send) => {
                let host =
                    send.subscription.callback_url.authority().host[4..5].parse().expect("host number");
                self.note(send.subscription.key, Some(send.event.seq), || {
                    format!("worker {at} sends {send:?}")
                });
                self.oracle.sent(&send, host);
                let place = (send.subscription.key, send.event.seq, host);
                let old = self.workers[at].flights.insert(send.id, place);
                assert!(old.is_none(), "seed {}: two flights of one id", self.oracle.seed);
                let receiver = self.receivers[usize::try_from(host).expect("small")];
                if receiver != Receiver::Hanging {
                    let wait = 1 + self.rng.below(40);
                    self.after(wait, Happening::Answer(at, send.id, receiver));
                }
            }
            Action::Cancel(id) => self.after(0, Happening::Answer(at, id, Receiver::Hanging)),
            Action::Read(read) => {
                let wait = self.rng.below(6);
                self.after(wait, Happening::Serve(at, read));
            }
            Action::CaughtUp(_) => self.ask(Ask::CaughtUp(at)),
            Action::Disable(key, _) => self.ask(Ask::Change(Edit::Disable(key))),
        }
    }

    fn serve(&mut self, at: usize, read: &Read) {
        let workers = self.workers.len();
        let input = match read {
            Read::Log { worker, from } => In::Log(self.disk.read_log(&self.index, *worker, *from)),
            Read::Subscription { .. } => match self.disk.read_subscription(read) {
                Some(page) => In::Lane(page),
                None => return,
            },
            Read::Retries { worker, only, after, until } => {
                In::Retries(self.disk.read_retries(&self.index, *worker, workers, *only, *after, *until))
            }
            Read::Bodies { wanted, .. } => In::Bodies(self.disk.read_bodies(wanted)),
        };
        let wait = self.rng.below(5);
        self.after(wait, Happening::Push(at, input));
    }

    fn answer(&mut self, at: usize, id: FlightId, receiver: Receiver) {
        let Some((key, seq, host)) = self.workers[at].flights.remove(&id) else { return };
        let (status, kind) = match receiver {
            Receiver::Well => (Some(204), None),
            Receiver::Failing => (Some(500), Some(ErrorKind::Status)),
            Receiver::Limiting => (Some(429), Some(ErrorKind::Status)),
            Receiver::Gone => (Some(410), Some(ErrorKind::Gone)),
            Receiver::Hanging => (None, Some(ErrorKind::Timeout)),
        };
        let outcome = Outcome {
            started_at: self.now().wall,
            duration: Duration::from_millis(1),
            status,
            error: kind.map(|kind| AttemptError { kind, message: String::new() }),
            retry_after: (receiver == Receiver::Limiting).then(|| Duration::from_secs(self.rng.below(50))),
            response: None,
        };
        self.note(key, Some(seq), || format!("worker {at} hears {receiver:?}"));
        self.oracle.ended(key, seq, host, kind);
        let now = self.now();
        self.workers[at].shard.handle_outcome(now, id, outcome);
        self.wake(at);
    }

    // ---- weather ----

    fn produce(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let burst = if self.rng.chance(4) { 120 } else { 6 };
        let count = 1 + self.rng.below(burst);
        let items = (0..count)
            .map(|_| {
                let account = AccountKey(u32::try_from(1 + self.rng.below(ACCOUNTS)).expect("small"));
                (account, TypeBit(u8::try_from(self.rng.below(u64::from(TYPES))).expect("small")))
            })
            .collect();
        self.ask(Ask::Append(items));
        let wait = self.rng.below(120);
        self.after(wait, Happening::Produce);
    }

    fn edit(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let keys: Vec<_> = self.subs.keys().copied().collect();
        let edit = if keys.is_empty() || (keys.len() < 9 && self.rng.chance(20)) {
            Edit::Create
        } else {
            let key = *self.rng.pick(&keys);
            match self.rng.below(10) {
                0..=2 => Edit::Mask(key),
                3..=5 => Edit::Toggle(key),
                6..=8 => Edit::Move(key),
                _ => Edit::Delete(key),
            }
        };
        self.ask(Ask::Change(edit));
        let wait = 20 + self.rng.below(2500);
        self.after(wait, Happening::Edit);
    }

    fn weather(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let host = usize::try_from(self.rng.below(HOSTS)).expect("small");
        self.receivers[host] = match self.rng.below(20) {
            0..=9 => Receiver::Well,
            10..=13 => Receiver::Failing,
            14..=16 => Receiver::Hanging,
            17..=18 => Receiver::Limiting,
            _ => Receiver::Gone,
        };
        let wait = 100 + self.rng.below(4000);
        self.after(wait, Happening::Weather);
    }

    fn crash(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        self.life += 1;
        if let Some((key, _)) = self.trace {
            self.note(SubscriptionKey(key), None, || "crash".to_owned());
        }
        // What the log had not taken is gone with the process; it was never acknowledged.
        self.asks.clear();
        if self.rng.chance(50) {
            let keep = self.rng.below(self.disk.unsynced() as u64 + 1);
            self.disk.power_cut(usize::try_from(keep).expect("small"));
        }
        self.head = self.disk.head();
        let done: HashSet<_> = self.disk.attempts.keys().copied().collect();
        self.oracle.crashed(&self.disk.attempts, &done);
        let workers = if self.rng.chance(20) { 1 + self.rng.below(3) } else { self.live.len() as u64 };
        self.live = vec![false; usize::try_from(workers).expect("small")];
        let mut index = Index::empty(self.live.len());
        for account in 1..=ACCOUNTS {
            let account = AccountKey(u32::try_from(account).expect("small"));
            let of_account: Vec<_> =
                self.subs.values().filter(|sub| sub.account == account).cloned().collect();
            index = index.with(account, &of_account);
        }
        self.index = Arc::new(index);
        self.start();
        let wait = 1500 + self.rng.below(20_000);
        self.after(wait, Happening::Crash);
    }

    fn mend(&mut self) {
        self.receivers.fill(Receiver::Well);
        for key in self.subs.keys().copied().collect::<Vec<_>>() {
            self.ask(Ask::Change(Edit::Activate(key)));
        }
    }

    // ---- the end ----

    fn is_settled(&mut self) -> bool {
        // A 410 that was on its way when all was mended may still have made one inactive.
        let inactive: Vec<_> =
            self.subs.values().filter(|sub| sub.status == Status::Inactive).map(|sub| sub.key).collect();
        for key in &inactive {
            self.ask(Ask::Change(Edit::Activate(*key)));
        }
        inactive.is_empty()
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
    }
}
