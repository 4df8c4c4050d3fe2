//! A shard is driven through whatever the input says: commits, answers, pages in any order, edits, a full queue, kills,
//! time. Its own books must add up after each turn and its limits hold; at the end everything is mended, and what was
//! wanted is delivered or dead. One worker, small figures; the store is the simulation's, which has all the rest.
#![no_main]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider::model::{
    AccountKey, AccountName, AttemptError, CallbackUrl, DeliveryOptions, Disposition, ErrorKind, Event,
    EventMask, HostRules, Mono, Now, OnBlocked, Ordering, Outcome, Secrets, Seq, SignatureScheme,
    SigningKeys, Status, Subscription, SubscriptionId, SubscriptionKey, Trigger, TypeBit, UnixMillis,
};
use postrider::route::{Index, Placement};
use postrider::schedule::order::holds_order;
use postrider::schedule::{Action, BreakerPolicy, Census, FlightId, Options, Read, Replay, Send, Shard};
use postrider::settle::{RetryPolicy, Settlement};

#[path = "../../tests/sim/disk.rs"]
mod disk;
#[path = "../../tests/sim/filters.rs"]
mod filters;

#[path = "shard_ops/people.rs"]
mod people;

use disk::Disk;

const ACCOUNT: AccountKey = AccountKey(1);
const SUBSCRIPTIONS: usize = 4;
const HOST_MAX: u32 = 3;
const IN_FLIGHT_MAX: usize = 6;
const COMMITS_MAX: usize = 2;
const BYTES_MAX: usize = 1000;
const BODY_MAX: usize = 400;
const WALL_START: u64 = 1_800_000_000_000;
/// Turns in which everything must be settled once nothing goes wrong any more.
const MENDS_MAX: usize = 400;

struct World<'b> {
    bytes: &'b [u8],
    now_ms: u64,
    disk: Disk,
    shard: Shard,
    index: Arc<Index>,
    subs: BTreeMap<SubscriptionKey, Arc<Subscription>>,
    next_key: u64,
    live: bool,
    behind: bool,
    commits: VecDeque<(Vec<Arc<Event>>, u64)>,
    reads: VecDeque<Read>,
    flights: Vec<Send>,
    /// Written and not yet told.
    flushed: VecDeque<u64>,
    unwritten: VecDeque<Settlement>,
    caught_up: bool,
    watermark: Seq,
    capacities: HashMap<u64, u32>,
    asked: u64,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new(bytes);
    while !world.bytes.is_empty() {
        world.step();
    }
    world.mend();
});

fn options() -> Options {
    Options {
        worker: 0,
        workers: 1,
        policy: RetryPolicy {
            schedule: vec![Duration::from_millis(100), Duration::from_secs(45)],
            jitter: 0.2,
        },
        disable_after: None,
        host_in_flight_max: HOST_MAX,
        breaker: BreakerPolicy {
            window: Duration::from_secs(2),
            min_requests: 3,
            failure_ratio: 0.5,
            open: Duration::from_millis(200),
            open_max: Duration::from_secs(3),
        },
        in_flight_max: IN_FLIGHT_MAX,
        queued_max: 24,
        queued_bytes_max: 1 << 16,
        in_flight_bytes_max: BYTES_MAX,
        host_rules: Arc::default(),
    }
}

fn host_of(sub: &Subscription) -> u64 {
    sub.callback_url.authority().host.bytes().nth(1).map_or(0, |digit| u64::from(digit - b'0'))
}

fn outcome(now: Now, kind: u8) -> Outcome {
    let (status, error) = match kind % 8 {
        0..=3 => (Some(204), None),
        4 => (Some(500), Some(ErrorKind::Status)),
        5 => (Some(429), Some(ErrorKind::Status)),
        6 => (None, Some(ErrorKind::Timeout)),
        _ => (Some(410), Some(ErrorKind::Gone)),
    };
    Outcome {
        started_at: now.wall,
        duration: Duration::from_millis(1),
        status,
        error: error.map(|kind| AttemptError { kind, message: String::new() }),
        retry_after: (kind % 8 == 5).then(|| Duration::from_secs(u64::from(kind >> 3))),
        response: None,
    }
}

impl<'b> World<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        let index = Arc::new(Index::empty(Placement::new(1, Arc::<HostRules>::default())));
        let mut disk = Disk::default();
        let watermark = disk.begin(1);
        Self {
            bytes,
            now_ms: 0,
            shard: Shard::new(options(), Arc::clone(&index), watermark, &[]),
            disk,
            index,
            subs: BTreeMap::new(),
            next_key: 1,
            live: false,
            behind: false,
            commits: VecDeque::new(),
            reads: VecDeque::new(),
            flights: Vec::new(),
            flushed: VecDeque::new(),
            unwritten: VecDeque::new(),
            caught_up: false,
            watermark,
            capacities: HashMap::new(),
            asked: 0,
        }
    }

    fn now(&self) -> Now {
        Now { mono: Mono(self.now_ms * 1_000_000), wall: UnixMillis(WALL_START + self.now_ms) }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn step(&mut self) {
        let op = self.byte();
        let by = op >> 4;
        match op & 0xf {
            0 | 1 => self.commit(by),
            2 => {
                self.now_ms +=
                    [0, 1, 5, 20, 60, 100, 200, 300, 700, 1500, 3000, 9000, 20_000, 31_000, 46_000, 90_000]
                        [usize::from(by)]
            }
            3 | 4 => self.answer(by),
            5 => drop(self.serve(by)),
            6 => self.write(),
            7 => self.flush(),
            8 => self.catch_up(),
            9 => self.create(),
            10 | 11 => self.edit(by),
            12 => self.again(by),
            13 => self.census(),
            14 if by == 0 => self.crash(),
            14 => self.reconnect(by),
            _ => {}
        }
        self.turn();
    }

    fn commit(&mut self, by: u8) {
        let mut events = Vec::new();
        for at in 0..=u64::from(by & 3) {
            let seq = Seq(self.disk.head().0 + 1 + at);
            let body = format!(
                "{{\"id\":\"e{}\",\"data\":{}}}",
                seq.0,
                filters::data(u64::from(by), usize::from(by) * 20)
            );
            let len = u8::try_from(seq.0.to_string().len() + 1).expect("short");
            let event = Event::new(seq, ACCOUNT, TypeBit(by >> 2), self.now().wall, len, Bytes::from(body));
            events.push(Arc::new(event.expect("valid")));
        }
        self.disk.append(events.clone());
        let wanted = events.iter().any(|e| self.index.workers_wanting(e.account, e.type_bit, e.seq) & 1 != 0);
        if wanted && self.live {
            if self.commits.len() < COMMITS_MAX {
                self.commits.push_back((events, self.index.version()));
            } else {
                (self.behind, self.live) = (true, false);
            }
        }
    }

    fn turn(&mut self) {
        let (now, head) = (self.now(), self.disk.head());
        for _ in 0..2 {
            if !self.shard.wants_commits() {
                break;
            }
            match self.commits.pop_front() {
                Some((events, _)) => self.shard.handle_committed(&events, None),
                None if self.behind => self.shard.handle_behind(),
                None => self.shard.handle_position(head),
            }
        }
        self.shard.handle_timeout(now);
        while let Some(action) = self.shard.poll_action(now) {
            self.perform(action);
        }
        if let Some(settlement) = self.shard.poll_settlement(now, false) {
            assert!(settlement.watermark >= self.watermark, "the watermark went back");
            self.watermark = settlement.watermark;
            self.unwritten.push_back(settlement);
        }
        self.check();
    }

    fn check(&mut self) {
        if let Some(miscount) = self.shard.miscount() {
            panic!("{miscount}");
        }
        assert_eq!(self.shard.counts().in_flight, self.flights.len());
        assert!(self.shard.watermark() <= self.disk.head());
        // A lane may hold sixteen events and four retries however full the rest is, and pages are under way.
        assert!(self.shard.counts().queued <= 24 + SUBSCRIPTIONS * 40);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(send) => self.sent(send),
            Action::Cancel(id) => self.end(id, 6),
            Action::Read(read) => self.reads.push_back(read),
            Action::CaughtUp(_) => self.caught_up = true,
            Action::Disable { key, version, .. } => self.change(key, |sub| {
                sub.version == version && sub.status == Status::Active && {
                    sub.status = Status::Inactive;
                    true
                }
            }),
            Action::Recovered(_) | Action::Replayed(_) => {}
        }
    }

    fn sent(&mut self, send: Send) {
        let (key, host) = (send.subscription.key, host_of(&send.subscription));
        assert!(filters::wants(&send.subscription, &send.event), "it was never wanted");
        assert_eq!(send.subscription.status, Status::Active);
        let of =
            |flights: &[Send], fits: &dyn Fn(&Send) -> bool| flights.iter().filter(|one| fits(one)).count();
        let twice = of(&self.flights, &|one| one.subscription.key == key && one.event.seq == send.event.seq);
        assert_eq!(twice, 0, "{key:?} {:?} is in flight twice", send.event.seq);
        self.flights.push(send);
        let send = self.flights.last().expect("just put there");
        let bytes: usize = self.flights.iter().map(|one| one.event.body().len()).sum();
        let host_max = self.capacities.get(&host).copied().unwrap_or(0).max(HOST_MAX);
        assert!(self.flights.len() <= IN_FLIGHT_MAX && bytes < BYTES_MAX + BODY_MAX);
        assert!(of(&self.flights, &|one| host_of(&one.subscription) == host) <= host_max as usize);
        let own = send.subscription.delivery.max_in_flight as usize;
        assert!(of(&self.flights, &|one| one.subscription.key == key) <= own);
    }

    fn end(&mut self, id: FlightId, kind: u8) {
        let at = self.flights.iter().position(|one| one.id == id).expect("it is in flight");
        self.flights.swap_remove(at);
        let now = self.now();
        assert!(self.shard.handle_outcome(now, id, outcome(now, kind)).is_some());
    }

    fn answer(&mut self, by: u8) {
        if !self.flights.is_empty() {
            let id = self.flights[usize::from(by) % self.flights.len()].id;
            let kind = self.byte();
            self.end(id, kind);
        }
    }

    /// One of the reads that are under way is answered. Pages of the log come in the order they were asked for.
    fn serve(&mut self, by: u8) -> bool {
        if self.reads.is_empty() {
            return false;
        }
        let at = usize::from(by) % self.reads.len();
        let Some(read) = self.reads.remove(at) else { return false };
        let (now, index) = (self.now(), Arc::clone(&self.index));
        let shard = &mut self.shard;
        match &read {
            Read::Log { from, .. } => shard.handle_log_page(&self.disk.read_log(&index, 0, *from)),
            Read::Subscription { .. } => {
                if let Some(page) = self.disk.read_subscription(&index, &read) {
                    shard.handle_subscription_page(&page);
                }
            }
            Read::Retries { only, after, until, .. } => {
                shard.handle_retry_page(now, &self.disk.read_retries(&index, 0, *only, *after, *until));
            }
            Read::Heads { subscription, serial, after, .. } => {
                shard.handle_heads(&self.disk.heads(*subscription, *serial, *after));
            }
            Read::Backlog { subscription, from, through, .. } => {
                shard.handle_backlog(&self.disk.backlog(subscription, *from, *through));
            }
            Read::Replay { subscription, seqs, .. } => {
                shard.handle_replay_page(now, &self.disk.known(subscription, seqs));
            }
            Read::Bodies { wanted, .. } => shard.handle_bodies(now, &self.disk.read_bodies(wanted)),
        }
        true
    }

    fn write(&mut self) {
        if let Some(settlement) = self.unwritten.pop_front() {
            self.flushed.push_back(settlement.serial);
            self.disk.settle(settlement);
        }
    }

    fn flush(&mut self) {
        if let Some(serial) = self.flushed.pop_front() {
            self.shard.handle_flushed(serial);
        }
    }

    fn catch_up(&mut self) {
        if std::mem::take(&mut self.caught_up) {
            (self.live, self.behind) = (true, false);
            self.shard.handle_live(self.disk.head());
        }
    }

    fn census(&mut self) {
        let mut census = Census::default();
        for (key, row) in &self.disk.retries {
            if self.subs.get(&key.subscription).is_some_and(|sub| holds_order(sub)) {
                census.entry(key.subscription).or_default().insert(*row);
            }
        }
        self.shard.handle_census(&Arc::new(census));
    }

    fn crash(&mut self) {
        self.unwritten.clear();
        if self.byte() & 1 != 0 {
            let keep = usize::from(self.byte()) % (self.disk.unsynced() + 1);
            self.disk.power_cut(keep);
        }
        self.flushed.clear();
        self.flights.clear();
        self.reads.clear();
        self.commits.clear();
        self.capacities.clear();
        (self.live, self.behind, self.caught_up) = (false, false, false);
        self.watermark = self.disk.begin(1);
        let all: Vec<_> = self.subs.values().cloned().collect();
        let empty = Index::empty(Placement::new(1, Arc::<HostRules>::default()));
        self.index = Arc::new(empty.with(ACCOUNT, &all));
        let lagging: Vec<_> = self.disk.lagging.iter().map(|(key, cursor)| (*key, *cursor)).collect();
        self.shard = Shard::new(options(), Arc::clone(&self.index), self.watermark, &lagging);
        let failing: Vec<_> = self.disk.failing.iter().map(|(key, since)| (*key, *since)).collect();
        self.shard.recall_failing(&failing);
    }

    /// Nothing goes wrong any more, and all is settled.
    fn mend(&mut self) {
        self.census();
        for _ in 0..MENDS_MAX {
            let inactive = self.subs.values().filter(|sub| sub.status == Status::Inactive);
            let inactive: Vec<_> = inactive.map(|sub| sub.key).collect();
            for key in inactive {
                let next = self.disk.head().next();
                self.change(key, |sub| {
                    sub.status = Status::Active;
                    sub.begin_epoch(next, Self::mask(0xf), Seq(0));
                    true
                });
            }
            self.turn();
            while !self.flights.is_empty() || !self.reads.is_empty() || self.caught_up {
                while let Some(id) = self.flights.first().map(|send| send.id) {
                    self.end(id, 0);
                }
                while self.serve(0) {}
                self.catch_up();
                self.turn();
            }
            while !self.unwritten.is_empty() || !self.flushed.is_empty() {
                self.write();
                self.flush();
            }
            let now = self.now();
            if self.open().is_none() && !self.waits() {
                return;
            }
            let wake = self.shard.next_wake(now).map_or(0, |at| at.0 / 1_000_000);
            self.now_ms = wake.max(self.now_ms + 1);
        }
        panic!("not settled: {:?}, {:?}, waits {}", self.open(), self.shard.counts(), self.waits());
    }

    fn waits(&self) -> bool {
        let mine = |key: &SubscriptionKey| self.subs.contains_key(key);
        self.disk.retries.keys().any(|key| mine(&key.subscription)) || self.disk.lagging.keys().any(mine)
    }

    /// What was wanted when it was accepted and is neither delivered nor dead.
    fn open(&self) -> Option<(SubscriptionKey, Seq)> {
        let is_final = |pair: &(SubscriptionKey, Seq)| {
            let ends = |disposition| matches!(disposition, Disposition::Delivered | Disposition::Dead);
            self.disk.attempts.get(pair).is_some_and(|all| all.iter().any(|one| ends(one.disposition)))
        };
        let pairs = self.disk.events.iter().flat_map(|event| {
            self.subs.values().filter(|sub| filters::wants(sub, event)).map(|sub| (sub.key, event.seq))
        });
        pairs.filter(|pair| !is_final(pair)).next()
    }
}
