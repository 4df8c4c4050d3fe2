//! A store as a month of work leaves it: written by the log's own writer, through the requests that ingest and
//! the workers send it, on a clock that is set five minutes on with each commit.
//!
//! Subscriptions are planned and installed by the registry itself and written a thousand at a time, since a
//! change through the writer has an fsync of its own. Nothing else goes past the writer.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use postrider::log::api::{Appended, Request};
use postrider::log::options::{LogOptions, Retention};
use postrider::log::recovery::{self, write_registry_rows};
use postrider::log::stats::NoObserver;
use postrider::log::writer::{self, WriterParts};
use postrider::model::{
    AccountName, Attempt, AttemptError, Captured, Catalogue, DeliveryOptions, Disposition, ErrorKind,
    EventId, Mono, NewEvent, Now, OnBlocked, Ordering as Order, Seq, SignatureScheme, SubscriptionKey,
    Trigger, TypeBit, UnixMillis,
};
use postrider::recover::{Job, JobId, JobStatus, Scope, Which};
use postrider::registry::{
    Change, Draft, Registry, RegistryOptions, SUBSCRIPTIONS_PER_ACCOUNT_MAX, TokenDigest, TokenDraft, Vault,
};
use postrider::settle::{DeadReason, DeadRow, RetryKey, RetryRow, Settlement};
use serde_json::json;

const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 30;
/// What a rule of the account `hot` is about that one event in all fits.
pub const RARE: &str = "analytics.event.created";
/// What no event is.
pub const NEVER: &str = "user.created";
pub const USUAL: [&str; 9] = [
    "visitor.invitation.created",
    "visitor.checked_in",
    "visitor.checked_out",
    "visitor.invitation.deleted",
    "visitor.invitation.canceled",
    "visitor.invitation.updated",
    "reservation.resource_event.created",
    "reservation.resource_event.updated",
    "reservation.resource_event.ended",
];
/// Subscriptions of an account that is neither `hot` nor `wide`: ten to each type.
const USUAL_SUBSCRIPTIONS: u64 = 90;
const WRITTEN_AT_ONCE: usize = 1000;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Shape {
    pub subscriptions: u64,
    /// Subscriptions of `wide`.
    pub wide: u64,
    /// Events of `hot`, which has one subscription to all of them.
    pub hot_events: u64,
    /// Events of `wide`, each for all of its subscriptions.
    pub wide_events: u64,
    /// Events of all others, each for ten subscriptions.
    pub usual_events: u64,
    pub commits: u64,
}

impl Shape {
    pub fn of(scale: f64) -> Self {
        let part = |whole: u64, least: u64| ((whole as f64 * scale) as u64).max(least);
        Self {
            subscriptions: part(100_000, 1000),
            wide: part(SUBSCRIPTIONS_PER_ACCOUNT_MAX as u64, 100),
            hot_events: part(1_000_000, 2000),
            wide_events: part(300, 30),
            usual_events: part(480_000, 1000),
            commits: part(8640, 300),
        }
    }

    pub fn usual_accounts(&self) -> u64 {
        (self.subscriptions - self.wide) / USUAL_SUBSCRIPTIONS
    }
}

/// What was put in.
#[derive(Default)]
pub struct Filled {
    pub attempts: u64,
    pub events: u64,
}

fn usual_name(number: u64) -> String {
    format!("account-{number:04}")
}

struct Clock(AtomicU64);

impl Clock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

pub fn fill(path: &Path, shape: Shape) -> Filled {
    let now = postrider::rt::clock::wall();
    let start = now.0 - DAYS * DAY_MS;
    let clock = Arc::new(Clock(AtomicU64::new(start)));
    let data = path.join("data");
    std::fs::create_dir_all(&data).expect("a directory");
    let key = postrider::rt::random::bytes();
    std::fs::write(data.join("secrets.key"), key).expect("the key is written");
    let mut options = LogOptions::new(data.join(postrider::server::STORE_DIRECTORY));
    let month = Duration::from_secs(40 * 86_400);
    options.retention = Retention { events: month, attempts: month, dead_letters: month, audit: 3 * month };
    let theirs = Arc::clone(&clock);
    options.clock = Arc::new(move || {
        let wall = theirs.wall();
        Now { mono: Mono((wall.0 - start) * 1_000_000), wall }
    });

    let opened = recovery::open(&options).expect("opens");
    let catalogue = Arc::new(Catalogue::builtin());
    let mut registry = Registry::new(RegistryOptions {
        catalogue: Arc::clone(&catalogue) as _,
        webhooks_enabled: true,
        delivery: DeliveryOptions {
            timeout: Duration::from_secs(15),
            max_in_flight: 64,
            rate_per_second: None,
            ordering: Order::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        },
        vault: Arc::new(Vault::new(&key)),
    });
    let mut rows = Vec::new();
    for (n, change) in configuration(&catalogue, shape, UnixMillis(start)).into_iter().enumerate() {
        // Ids are in order of time.
        let at = UnixMillis(start + n as u64);
        let plan =
            registry.plan(change, Seq(1), Seq(0), at, postrider::rt::random::bytes()).expect("is fine");
        rows.extend_from_slice(plan.rows());
        let _ = registry.install(plan);
        if rows.len() >= WRITTEN_AT_ONCE {
            write_registry_rows(&opened.store, &rows).expect("are written");
            rows.clear();
        }
    }
    write_registry_rows(&opened.store, &rows).expect("are written");

    let month = Month::new(&registry, &catalogue, shape, now);
    let jobs = month.jobs(&registry);
    let index = Arc::new(ArcSwap::from_pointee(registry.index(1)));
    let writer = writer::start(WriterParts {
        store: opened.store,
        state: opened.state,
        options,
        registry: Arc::new(RwLock::new(registry)),
        index,
        outboxes: Vec::new(),
        observer: Box::new(NoObserver),
    })
    .expect("starts");
    let requests = writer.requests();
    let (reply, answer) = tokio::sync::oneshot::channel();
    requests
        .send(Request::Jobs { put: jobs, delete: Vec::new(), note: None, reply })
        .expect("the writer runs");
    answer.blocking_recv().expect("an answer").expect("are taken");
    let filled = month.live(&clock, &requests);
    let (reply, answer) = tokio::sync::oneshot::channel();
    requests.send(Request::Stop { reply }).expect("the writer runs");
    answer.blocking_recv().expect("it stops");
    drop(requests);
    assert!(writer.join(), "the writer ended well");
    filled
}

fn configuration(catalogue: &Catalogue, shape: Shape, now: UnixMillis) -> Vec<Change> {
    let subscription = |account: &str, name: &str, host: u64, rest: serde_json::Value| {
        let mut body =
            json!({"name": name, "callbackUrl": format!("https://h{host}.receiver.example/hooks/{account}")});
        body.as_object_mut().expect("an object").extend(rest.as_object().cloned().unwrap_or_default());
        let draft = Draft::parse(&body, catalogue).expect("a good draft");
        Change::CreateSubscription { account: AccountName::parse(account).expect("a name"), draft }
    };
    let mut changes = vec![
        subscription("hot", "all", 0, json!({"events": ["*"]})),
        subscription("hot", "rare", 1, json!({"events": [RARE]})),
        subscription("hot", "never", 2, json!({"events": [NEVER]})),
        subscription("hot", "line", 3, json!({"events": ["*"], "delivery": {"ordering": "fifo"}})),
    ];
    for n in 0..shape.wide {
        changes.push(subscription("wide", &format!("wide {n}"), n % 977, json!({"events": ["*"]})));
    }
    for account in 0..shape.usual_accounts() {
        for n in 0..USUAL_SUBSCRIPTIONS {
            let events = USUAL[(n % USUAL.len() as u64) as usize];
            let (host, name) = ((account * 7 + n) % 4999, format!("subscription {n}"));
            changes.push(subscription(&usual_name(account), &name, host, json!({"events": [events]})));
        }
    }
    for n in 0..1000u64 {
        let body = json!({"name": format!("token {n}"), "kind": "service_account", "role": "account_owner"});
        let draft = TokenDraft::parse(&body, now).expect("a good draft");
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        let account = AccountName::parse("hot").expect("a name");
        changes.push(Change::CreateToken { account, draft, digest: TokenDigest(digest) });
    }
    changes
}

/// Who gets what, and what comes of it.
struct Month {
    shape: Shape,
    now: UnixMillis,
    bits: Vec<TypeBit>,
    rare: TypeBit,
    hot: [SubscriptionKey; 4],
    wide: Vec<SubscriptionKey>,
    /// By account and type.
    usual: Vec<[Vec<SubscriptionKey>; USUAL.len()]>,
}

impl Month {
    fn new(registry: &Registry, catalogue: &Catalogue, shape: Shape, now: UnixMillis) -> Self {
        let of = |name: &str| {
            let key = registry.account_key(&AccountName::parse(name).expect("a name")).expect("is there");
            registry.subscriptions_of(key)
        };
        let bit = |id: &str| catalogue.resolve(id).expect("a type");
        let named = |name: &str| of("hot").iter().find(|sub| sub.name == name).expect("is there").key;
        let usual = |account| {
            let mut by_type: [Vec<SubscriptionKey>; USUAL.len()] = Default::default();
            for sub in of(&usual_name(account)) {
                let at = USUAL.iter().position(|id| sub.events.iter().any(|event| event == id));
                by_type[at.expect("a usual type")].push(sub.key);
            }
            by_type
        };
        Self {
            shape,
            now,
            bits: USUAL.iter().map(|id| bit(id)).collect(),
            rare: bit(RARE),
            hot: ["all", "rare", "never", "line"].map(named),
            wide: of("wide").iter().map(|sub| sub.key).collect(),
            usual: (0..shape.usual_accounts()).map(usual).collect(),
        }
    }

    fn jobs(&self, registry: &Registry) -> Vec<Job> {
        let sub = registry.subscription(self.hot[0]).expect("is there");
        let scope = Scope {
            account: sub.account,
            subscription: sub.key,
            subscription_id: sub.id.clone(),
            which: Which::Dead,
            since: UnixMillis(0),
            until: self.now,
            types: None,
            rate: 100,
        };
        let job = |n| {
            let at = UnixMillis(self.now.0 - 1000);
            let mut job = Job::new(JobId(n), scope.clone(), Seq(1), at);
            job.finish(JobStatus::Succeeded, at);
            job
        };
        (1..=1000).map(job).collect()
    }

    /// A month of commits, each settled with the next.
    fn live(&self, clock: &Clock, requests: &crossbeam::channel::Sender<Request>) -> Filled {
        let (shape, mut filled) = (self.shape, Filled::default());
        let step = DAYS * DAY_MS / shape.commits - 1;
        let (mut serial, mut next) = (0, Outcomes::default());
        let mut line = None;
        // How many of `all` there are after so many commits.
        let until =
            |all: u64, commit: u64| (u128::from(all) * u128::from(commit) / u128::from(shape.commits)) as u64;
        for commit in 0..shape.commits {
            let span = |all| until(all, commit)..until(all, commit + 1);
            let (mut events, mut wanted): (Vec<NewEvent>, Vec<&[SubscriptionKey]>) = (Vec::new(), Vec::new());
            for n in span(shape.hot_events) {
                let rare = n == 0;
                let bit = if rare { self.rare } else { self.bits[(n % 9) as usize] };
                events.push(event("hot", n, bit));
                wanted.push(&self.hot[..if rare { 2 } else { 1 }]);
            }
            for n in span(shape.wide_events) {
                events.push(event("wide", n, self.bits[(n % 9) as usize]));
                wanted.push(&self.wide);
            }
            for n in span(shape.usual_events) {
                let account = n % self.usual.len() as u64;
                let of_type = ((n / self.usual.len() as u64) % 9) as usize;
                events.push(event(&usual_name(account), n, self.bits[of_type]));
                wanted.push(&self.usual[account as usize][of_type]);
            }
            clock.0.fetch_add(step, Ordering::Relaxed);
            let (reply, answer) = tokio::sync::oneshot::channel();
            requests.send(Request::Append { events, reply }).expect("the writer runs");
            let seqs = answer.blocking_recv().expect("an answer").expect("are taken");
            let mut outcomes = std::mem::take(&mut next);
            let accepted = clock.wall();
            for (appended, subscriptions) in seqs.iter().zip(wanted) {
                let Appended::Accepted(seq) = *appended else { unreachable!("ids are all different") };
                filled.events += 1;
                outcomes.settlement.watermark = seq;
                for subscription in subscriptions {
                    outcomes.deliver(&mut next, (*subscription, seq), accepted, self.now);
                }
                if line.is_none() {
                    // Its head waits for its retry, the rest behind it.
                    line = Some(seq);
                    outcomes.fail((self.hot[3], seq), 1, accepted, Some(UnixMillis(self.now.0 + DAY_MS)));
                    outcomes.settlement.lagging_put.push((self.hot[3], seq.next()));
                }
            }
            serial += 1;
            filled.attempts += outcomes.settlement.attempts.len() as u64;
            outcomes.settlement.serial = serial;
            requests.send(Request::Settle(outcomes.settlement)).expect("the writer runs");
        }
        next.settlement.serial = serial + 1;
        next.settlement.watermark = Seq(filled.events);
        filled.attempts += next.settlement.attempts.len() as u64;
        requests.send(Request::Settle(next.settlement)).expect("the writer runs");
        filled
    }
}

fn event(account: &str, number: u64, bit: TypeBit) -> NewEvent {
    let id = format!("evt-{account}-{number:09}");
    let body = format!(
        "{{\"id\":\"{id}\",\"type\":\"t\",\"timestamp\":\"2026-11-23T14:49:00.000Z\",\"accountId\":\"{account}\",\
         \"data\":{}}}",
        crate::load::data(number, 256)
    );
    NewEvent {
        id: EventId::parse(&id).expect("an id"),
        account: AccountName::parse(account).expect("a name"),
        type_bit: bit,
        body: Bytes::from(body),
    }
}

/// A settlement in the making.
#[derive(Default)]
struct Outcomes {
    settlement: Settlement,
}

impl Outcomes {
    /// Of a hundred deliveries 91 succeed at once, six the second time; two die at the fifth attempt, and one
    /// waits for its third. What comes later is `next`'s.
    fn deliver(
        &mut self,
        next: &mut Self,
        (sub, seq): (SubscriptionKey, Seq),
        at: UnixMillis,
        now: UnixMillis,
    ) {
        let draw =
            (seq.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ sub.0.wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 33;
        let soon = UnixMillis(at.0 + 300_000);
        match draw % 100 {
            0..=5 => {
                self.fail((sub, seq), 1, at, None);
                next.succeed((sub, seq), 2, soon, at);
            }
            6 | 7 => {
                self.fail((sub, seq), 1, at, None);
                (2..=4).for_each(|number| next.fail((sub, seq), number, soon, None));
                let mut last = attempt(seq, 5, soon);
                failed(&mut last, Disposition::Dead);
                next.put(sub, last, at);
                let dead = DeadRow { subscription: sub, seq, reason: DeadReason::Exhausted, at: soon };
                next.settlement.dead_put.push(dead);
            }
            8 => {
                self.fail((sub, seq), 1, at, None);
                // From two hours to twenty: none comes while anything is measured.
                next.fail((sub, seq), 2, soon, Some(UnixMillis(now.0 + 7_200_000 + draw % 64_800_000)));
            }
            _ => self.succeed((sub, seq), 1, at, at),
        }
    }

    fn put(&mut self, sub: SubscriptionKey, attempt: Attempt, accepted: UnixMillis) {
        self.settlement.attempts.push((sub, attempt));
        self.settlement.accepted.push(accepted);
    }

    fn succeed(
        &mut self,
        (sub, seq): (SubscriptionKey, Seq),
        number: u16,
        at: UnixMillis,
        accepted: UnixMillis,
    ) {
        self.put(sub, attempt(seq, number, at), accepted);
    }

    /// `due`: it waits.
    fn fail(
        &mut self,
        (sub, seq): (SubscriptionKey, Seq),
        number: u16,
        at: UnixMillis,
        due: Option<UnixMillis>,
    ) {
        let mut made = attempt(seq, number, at);
        failed(&mut made, Disposition::Retry(due.unwrap_or(at)));
        self.put(sub, made, at);
        if let Some(due) = due {
            self.settlement.retries_put.push(RetryRow {
                key: RetryKey { due, subscription: sub, seq },
                attempts: number.into(),
                accepted_at: at,
                trigger: Trigger::Retry,
            });
        }
    }
}

fn attempt(seq: Seq, number: u16, at: UnixMillis) -> Attempt {
    let headers = "content-type: application/json\nserver: nginx/1.27.3\ndate: Mon, 23 Nov 2026 14:49:00 GMT\n\
                   connection: keep-alive\n";
    Attempt {
        seq,
        number,
        trigger: if number == 1 { Trigger::Event } else { Trigger::Retry },
        started_at: UnixMillis(at.0 + 3 + seq.0 % 97),
        duration_ms: 5 + (seq.0 % 200) as u32,
        status: Some(200),
        error: None,
        response: Some(Captured {
            headers: headers.to_owned(),
            body: b"{\"ok\":true}".to_vec(),
            truncated: false,
        }),
        disposition: Disposition::Delivered,
        body_size: 400,
    }
}

fn failed(attempt: &mut Attempt, disposition: Disposition) {
    attempt.status = Some(503);
    attempt.error = Some(AttemptError { kind: ErrorKind::Status, message: "answered 503".to_owned() });
    if let Some(response) = &mut attempt.response {
        response.body =
            b"<html><head><title>503 Service Temporarily Unavailable</title></head><body><center>\
            <h1>503 Service Temporarily Unavailable</h1></center><hr><center>nginx</center></body></html>"
                .to_vec();
    }
    attempt.disposition = disposition;
}
