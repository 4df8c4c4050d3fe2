//! The log as the engine has it, on a directory: opened by its own recovery, with its writer running.
//! Its tables and its write-ahead log are small, so that a few seconds see many of each.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, Sender, unbounded};
use postrider::log::api::{Commit, Input, Outbox, Recovered, Request};
use postrider::log::guard::StoreError;
use postrider::log::options::{LogOptions, Retention};
use postrider::log::recovery::{self, write_registry_rows};
use postrider::log::stats::NoObserver;
use postrider::log::store::Store;
use postrider::log::writer::{self, WriterHandle, WriterParts};
use postrider::model::{
    DeliveryOptions, EventMask, Now, OnBlocked, Ordering as InOrder, SignatureScheme, TypeBit, UnixMillis,
};
use postrider::registry::{Registry, RegistryOptions, Selectors, Vault};
use postrider::rt;
use tokio::sync::oneshot;

/// How long what is kept, and how long an id is known, by the load's own clock.
pub const KEPT: Duration = Duration::from_secs(3600);
pub const START: u64 = 1_795_445_340_000;
pub const WORKERS: usize = 2;

/// `*` is every type.
pub struct Types;

impl Selectors for Types {
    fn expand(&self, selector: &str) -> Option<EventMask> {
        (selector == "*").then(|| EventMask::of((0..39).map(TypeBit)))
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

/// Wall time as the load sets it.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn at(now: u64) -> Self {
        Self(Arc::new(AtomicU64::new(now)))
    }

    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

pub fn options(store: &Path, clock: &Clock) -> LogOptions {
    let mut options = LogOptions::new(store);
    let clock = clock.clone();
    options.clock = Arc::new(move || Now { mono: rt::clock::mono(), wall: UnixMillis(clock.now()) });
    options.disk_reserve_bytes = 0;
    options.retention = Retention { events: KEPT, attempts: KEPT, dead_letters: KEPT, audit: KEPT };
    options.dedupe_window = KEPT;
    options.db.events_buffer_bytes = 512 << 10;
    options.db.other_buffer_bytes = 64 << 10;
    options.db.write_buffers_bytes = 1 << 20;
    options.db.wal_bytes_max = 1 << 20;
    options
}

/// A worker's mailbox that keeps what it is told.
struct Inbox(Sender<Input>);

impl Outbox for Inbox {
    fn try_commit(&self, _commit: &Arc<Commit>) -> bool {
        true
    }

    fn input(&self, input: Input) {
        let _ = self.0.send(input);
    }

    fn wake(&self) {}
}

pub struct Rig {
    pub store: Arc<Store>,
    pub registry: Arc<RwLock<Registry>>,
    pub recovered: Recovered,
    pub requests: Sender<Request>,
    /// By worker.
    pub inputs: Vec<Receiver<Input>>,
    writer: WriterHandle,
}

impl Rig {
    pub fn open(options: &LogOptions) -> Result<Self, StoreError> {
        let opened = recovery::open(options)?;
        let delivery = DeliveryOptions {
            timeout: Duration::from_secs(15),
            max_in_flight: 64,
            rate_per_second: None,
            ordering: InOrder::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        };
        let mut registry = Registry::new(RegistryOptions {
            catalogue: Arc::new(Types),
            webhooks_enabled: true,
            delivery,
            vault: Arc::new(Vault::new(&[4; 32])),
        });
        let next = opened.recovered.head.next();
        let rows = registry
            .load(opened.registry_rows.into_iter(), next, rt::random::bytes())
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        write_registry_rows(&opened.store, &rows)?;
        let index = Arc::new(ArcSwap::from_pointee(registry.index(WORKERS)));
        let registry = Arc::new(RwLock::new(registry));
        let (outboxes, inputs): (Vec<_>, Vec<_>) = (0..WORKERS)
            .map(|_| {
                let (sender, receiver) = unbounded();
                (Arc::new(Inbox(sender)) as Arc<dyn Outbox>, receiver)
            })
            .unzip();
        let writer = writer::start(WriterParts {
            store: Arc::clone(&opened.store),
            state: opened.state,
            options: options.clone(),
            registry: Arc::clone(&registry),
            index,
            outboxes,
            observer: Box::new(NoObserver),
        })?;
        let requests = writer.requests();
        Ok(Self { store: opened.store, registry, recovered: opened.recovered, requests, inputs, writer })
    }

    pub fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
        ask(&self.requests, request)
    }

    /// An ordered end.
    pub fn stop(self) {
        self.ask(|reply| Request::Stop { reply });
        drop(self.requests);
        assert!(self.writer.join());
    }
}

pub fn ask<T>(requests: &Sender<Request>, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
    let (reply, answer) = oneshot::channel();
    requests.send(request(reply)).expect("the writer runs");
    answer.blocking_recv().expect("the writer answers")
}
