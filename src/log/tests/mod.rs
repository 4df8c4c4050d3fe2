//! The log on a real store in a temporary directory: a writer, readers, and workers that write down what
//! they are told.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which the configuration knows by their attribute only"
)]

mod announcing;
mod appending;
mod auditing;
mod charting;
mod failing;
mod listing;
mod reading;
mod recovering;
mod reopening;
mod retaining;
mod undelivered;
mod verifying;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::api::{Appended, Commit, Input, Outbox, Read, Recovered, Refused, Request};
use super::guard::StoreError;
use super::options::LogOptions;
use super::reader::{self, ReaderHandle, Readers};
use super::recovery::{self, write_registry_rows};
use super::stats::NoObserver;
use super::store::Store;
use super::writer::{self, WriterHandle, WriterParts};
use crate::model::operational::{DEAD, DISABLED, RECOVERED};
use crate::model::{
    AccountName, Attempt, DeliveryOptions, Disposition, EventId, EventMask, Mono, NewEvent, Now, OnBlocked,
    Seq, SignatureScheme, Subscription, SubscriptionKey, Trigger, TypeBit, UnixMillis,
};
use crate::registry::{Change, Changed, Draft, Registry, RegistryOptions, Selectors, Vault};
use crate::route::Index;
use crate::settle::Settlement;

/// How long a test waits for what must come; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every type but the last is wanted by `*`; `one` is type 1.
struct Types;

impl Selectors for Types {
    fn expand(&self, selector: &str) -> Option<EventMask> {
        match selector {
            "*" => Some(EventMask::of((0..39).map(TypeBit))),
            "one" => Some(EventMask::of([TypeBit(1)])),
            "own" => Some(EventMask::of([DISABLED, DEAD, RECOVERED])),
            _ => None,
        }
    }

    fn canonical(&self, selector: &str) -> Option<String> {
        self.expand(selector).map(|_| selector.to_owned())
    }

    fn nearest(&self, _text: &str) -> Option<&str> {
        None
    }

    fn gated_mask(&self) -> EventMask {
        EventMask::NONE
    }

    fn id(&self, bit: TypeBit) -> Option<String> {
        Some(format!("type.{}", bit.0))
    }
}

fn registry() -> Registry {
    let delivery = DeliveryOptions {
        timeout: Duration::from_secs(15),
        max_in_flight: 64,
        rate_per_second: None,
        ordering: crate::model::Ordering::None,
        on_blocked: OnBlocked::Block,
        signature: SignatureScheme::V1,
    };
    Registry::new(RegistryOptions {
        catalogue: Arc::new(Types),
        webhooks_enabled: true,
        delivery,
        vault: Arc::new(Vault::new(&[4; 32])),
    })
}

/// A worker's mailbox that keeps everything.
struct Inbox {
    inputs: Sender<Input>,
    commits: Sender<Arc<Commit>>,
    full: AtomicBool,
    wakes: AtomicU64,
}

impl Outbox for Inbox {
    fn try_commit(&self, commit: &Arc<Commit>) -> bool {
        !self.full.load(Ordering::SeqCst) && self.commits.send(Arc::clone(commit)).is_ok()
    }

    fn input(&self, input: Input) {
        let _ = self.inputs.send(input);
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

struct Worker {
    inbox: Arc<Inbox>,
    inputs: Receiver<Input>,
    commits: Receiver<Arc<Commit>>,
}

/// Wall time that a test sets; the waits are real.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("small"), Ordering::SeqCst);
    }
}

struct Rig {
    dir: PathBuf,
    clock: Clock,
    store: Arc<Store>,
    registry: Arc<RwLock<Registry>>,
    index: Arc<ArcSwap<Index>>,
    recovered: Recovered,
    requests: Sender<Request>,
    writer: Option<WriterHandle>,
    reads: ReaderHandle,
    readers: Option<Readers>,
    workers: Vec<Worker>,
}

const START: u64 = 1_795_445_340_000;

fn options(dir: &Path, clock: &Clock) -> LogOptions {
    let mut options = LogOptions::new(dir);
    let wall = Arc::clone(&clock.0);
    options.clock = Arc::new(move || Now {
        mono: Mono(crate::rt::clock::mono().0),
        wall: UnixMillis(wall.load(Ordering::SeqCst)),
    });
    options.disk_reserve_bytes = 0;
    options
}

impl Rig {
    fn at(dir: &Path) -> Self {
        let clock = Clock(Arc::new(AtomicU64::new(START)));
        Self::with(&options(dir, &clock), clock).expect("opens")
    }

    fn with(options: &LogOptions, clock: Clock) -> Result<Self, StoreError> {
        let opened = recovery::open(options)?;
        let mut registry = registry();
        let rows = registry
            .load(opened.registry_rows.into_iter(), opened.recovered.head.next(), [3; 64])
            .expect("the registry's rows are well");
        write_registry_rows(&opened.store, &rows)?;
        let index = Arc::new(ArcSwap::from_pointee(registry.index(2)));
        let registry = Arc::new(RwLock::new(registry));
        let workers: Vec<Worker> = (0..2)
            .map(|_| {
                let (inputs, inputs_out) = unbounded();
                let (commits, commits_out) = unbounded();
                let (full, wakes) = (AtomicBool::new(false), AtomicU64::new(0));
                let inbox = Arc::new(Inbox { inputs, commits, full, wakes });
                Worker { inbox, inputs: inputs_out, commits: commits_out }
            })
            .collect();
        let outboxes: Vec<Arc<dyn Outbox>> =
            workers.iter().map(|worker| Arc::clone(&worker.inbox) as Arc<dyn Outbox>).collect();
        let (reads, readers) = reader::start(&opened.store, &index, &outboxes)?;
        let writer = writer::start(WriterParts {
            store: Arc::clone(&opened.store),
            state: opened.state,
            options: options.clone(),
            registry: Arc::clone(&registry),
            index: Arc::clone(&index),
            outboxes,
            observer: Box::new(NoObserver),
        })?;
        Ok(Self {
            dir: options.db.path.clone(),
            clock,
            store: opened.store,
            registry,
            index,
            recovered: opened.recovered,
            requests: writer.requests(),
            writer: Some(writer),
            reads,
            readers: Some(readers),
            workers,
        })
    }

    fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).expect("the writer runs");
        answer.blocking_recv().expect("the writer answers")
    }

    fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, Refused> {
        self.ask(|reply| Request::Append { events, reply })
    }

    /// Appends events that must all be new.
    fn accept(&self, account: &str, ids: impl IntoIterator<Item = u64>) -> Vec<Seq> {
        let events = ids.into_iter().map(|id| event(account, &format!("evt-{id}"), 1)).collect();
        let accepted = |appended| match appended {
            Appended::Accepted(seq) => seq,
            Appended::Duplicate => panic!("a duplicate"),
        };
        let seqs: Vec<Seq> = self.append(events).expect("is taken").into_iter().map(accepted).collect();
        // The answer comes a moment before readers see them.
        let seen = || (Some(self.store.head()) >= seqs.last().copied()).then_some(());
        eventually(seen).expect("the head rises");
        seqs
    }

    fn subscribe(&self, account: &str, url: &str, events: &str) -> Arc<Subscription> {
        self.subscribe_filtered(account, url, events, &Value::Null)
    }

    fn subscribe_filtered(
        &self,
        account: &str,
        url: &str,
        events: &str,
        filter: &Value,
    ) -> Arc<Subscription> {
        let draft = json!({"name": "test", "callbackUrl": url, "events": [events], "filter": filter});
        let draft = Draft::parse(&draft, &Types).expect("a good draft");
        let account = AccountName::parse(account).expect("a name");
        let changed = self.change(Change::CreateSubscription { account, draft });
        changed.subscriptions[0].after.clone().expect("is there")
    }

    fn change(&self, change: Change) -> Changed {
        self.ask(|reply| Request::Change { change: change.into(), reply }).expect("is made")
    }

    fn settle(&self, settlement: Settlement) {
        let (worker, serial) = (settlement.worker, settlement.serial);
        self.requests.send(Request::Settle(settlement)).expect("the writer runs");
        loop {
            if let Input::Flushed { serial: flushed } = self.input(worker)
                && flushed == serial
            {
                return;
            }
        }
    }

    /// The next input that was asked for.
    fn input(&self, worker: usize) -> Input {
        loop {
            match self.workers[worker].inputs.recv_timeout(PATIENCE).expect("an input comes") {
                Input::Changed { .. } | Input::Census(_) => {}
                other => return other,
            }
        }
    }

    fn live(&self, worker: usize) -> Seq {
        let position = self.store.head();
        self.requests.send(Request::CaughtUp { worker, position }).expect("the writer runs");
        match self.input(worker) {
            Input::Live { after } => after,
            _ => panic!("another input than Live"),
        }
    }

    fn read(&self, worker: usize, read: Read) -> Input {
        assert!(self.reads.ask(read).is_ok());
        self.input(worker)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: the rig's two workers")]
    fn owner(&self, subscription: &Subscription) -> usize {
        crate::route::Placement::from(2).owner(subscription)
    }

    fn account(&self, name: &str) -> crate::model::AccountKey {
        let name = AccountName::parse(name).expect("a name");
        self.registry.read().expect("unharmed").account_key(&name).expect("is there")
    }

    /// The store's files as they are now: what a kill of the process would leave.
    fn crash_image(&self) -> TempDir {
        let image = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(&self.dir).expect("is there") {
            let entry = entry.expect("is there");
            std::fs::copy(entry.path(), image.path().join(entry.file_name())).expect("copies");
        }
        image
    }

    /// An ordered end.
    fn stop(mut self) {
        self.ask(|reply| Request::Stop { reply });
        self.end();
    }

    fn end(&mut self) {
        if let (Some(writer), Some(readers)) = (self.writer.take(), self.readers.take()) {
            let (requests, _) = crossbeam::channel::bounded(1);
            self.requests = requests;
            assert!(readers.stop() & writer.join());
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// Asks again and again, for as long as a test is patient, until there is an answer.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let over = crossbeam::channel::after(PATIENCE);
    let again = crossbeam::channel::tick(Duration::from_millis(5));
    loop {
        if let Some(answer) = look() {
            return Some(answer);
        }
        crossbeam::channel::select! {
            recv(over) -> _ => return None,
            recv(again) -> _ => {}
        }
    }
}

fn event(account: &str, id: &str, bit: u8) -> NewEvent {
    sized(account, id, bit, 20)
}

fn sized(account: &str, id: &str, bit: u8, len: usize) -> NewEvent {
    let body = format!("{{\"id\":\"{id}\",\"data\":\"{}\"}}", "x".repeat(len));
    NewEvent {
        id: EventId::parse(id).expect("an id"),
        account: AccountName::parse(account).expect("a name"),
        type_bit: TypeBit(bit),
        body: Bytes::from(body),
    }
}

fn attempt(seq: Seq, disposition: Disposition) -> Attempt {
    Attempt {
        seq,
        number: 1,
        trigger: Trigger::Event,
        started_at: UnixMillis(START),
        duration_ms: 3,
        status: Some(204),
        error: None,
        response: None,
        disposition,
        body_size: 20,
    }
}

fn settlement(worker: usize, serial: u64, watermark: Seq) -> Settlement {
    Settlement { worker, serial, watermark, ..Settlement::default() }
}

fn delivered(subscription: SubscriptionKey, seq: Seq) -> (SubscriptionKey, Attempt) {
    (subscription, attempt(seq, Disposition::Delivered))
}
