//! The log's writer alone, without socket and parsing, beside bare RocksDB: where acceptance misses its
//! bar, this says on which side of the writer's queue to look.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use postrider::log::api::{Appended, Request};
use postrider::log::options::LogOptions;
use postrider::log::stats::NoObserver;
use postrider::log::writer::{self, WriterParts};
use postrider::log::{reader, recovery};
use postrider::model::{
    AccountName, DeliveryOptions, EventId, EventMask, NewEvent, OnBlocked, Ordering, SignatureScheme, TypeBit,
};
use postrider::registry::{Registry, RegistryOptions, Selectors, Vault};

use crate::acceptance::Bare;
use crate::child::directory;
use crate::load::{BATCH, BODY_LEN, data};
use crate::table::{Row, Table, median, round};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// Requests that wait for the writer at once, and threads of the reference.
const DEPTHS: [usize; 2] = [1, 8];

struct NoTypes;

impl Selectors for NoTypes {
    fn expand(&self, _selector: &str) -> Option<EventMask> {
        None
    }

    fn canonical(&self, _selector: &str) -> Option<String> {
        None
    }

    fn nearest(&self, _text: &str) -> Option<&str> {
        None
    }

    fn gated_mask(&self) -> EventMask {
        EventMask::NONE
    }
}

struct Log {
    requests: crossbeam::channel::Sender<Request>,
    _readers: reader::Readers,
}

impl Log {
    fn open(path: &Path) -> Self {
        let options = LogOptions::new(path);
        let opened = recovery::open(&options).expect("opens");
        let registry = Registry::new(RegistryOptions {
            catalogue: Arc::new(NoTypes),
            webhooks_enabled: true,
            delivery: DeliveryOptions {
                timeout: Duration::from_secs(15),
                max_in_flight: 64,
                rate_per_second: None,
                ordering: Ordering::None,
                on_blocked: OnBlocked::Block,
                signature: SignatureScheme::V1,
            },
            vault: Arc::new(Vault::new(&[1; 32])),
        });
        let index = Arc::new(ArcSwap::from_pointee(registry.index(1)));
        let (_, readers) = reader::start(&opened.store, &index, &[]).expect("starts");
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
        Self { requests: writer.requests(), _readers: readers }
    }

    /// Keeps `depth` requests waiting; they are made before the clock runs. Gives events and time.
    fn run(&self, batches: Vec<Vec<NewEvent>>, depth: usize) -> (u64, Duration) {
        let count = batches.iter().map(Vec::len).sum::<usize>() as u64;
        let start = Instant::now();
        let mut waiting = VecDeque::new();
        let check = |answer: tokio::sync::oneshot::Receiver<_>| {
            let results: Result<Vec<Appended>, _> = answer.blocking_recv().expect("an answer");
            let fresh = |result: &Appended| matches!(result, Appended::Accepted(_));
            assert!(results.expect("is taken").iter().all(fresh));
        };
        for events in batches {
            let (reply, answer) = tokio::sync::oneshot::channel();
            self.requests.send(Request::Append { events, reply }).expect("the writer runs");
            waiting.push_back(answer);
            if waiting.len() >= depth {
                waiting.pop_front().into_iter().for_each(check);
            }
        }
        waiting.into_iter().for_each(check);
        (count, start.elapsed())
    }
}

fn events(round: usize, batch: usize) -> Vec<NewEvent> {
    let account = AccountName::parse("acme").expect("a name");
    (0..BATCH)
        .map(|n| {
            let id = format!("evt-{round:04}-{batch:06}-{n:03}");
            let start = format!("{{\"id\":\"{id}\",\"type\":\"device.in_sync\",\"data\":");
            let body = format!("{start}{}}}", data((batch * BATCH + n) as u64, BODY_LEN - start.len() - 1));
            NewEvent {
                id: EventId::parse(&id).expect("an id"),
                account: account.clone(),
                type_bit: TypeBit(1),
                body: Bytes::from(body),
            }
        })
        .collect()
}

pub fn run(table: &mut Table) {
    for depth in DEPTHS {
        let directory = directory();
        let (log, bare) = (Log::open(directory.path()), Bare::open());
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..=ROUNDS {
            let (count, time) = bare.run(depth, ROUND);
            let reference = count as f64 / time.as_secs_f64();
            // As many as the reference wrote, so that both rounds are about as long.
            let batches = (0..count as usize / BATCH).map(|batch| events(n, batch)).collect();
            let (count, time) = log.run(batches, depth);
            // The first round is the warm-up: files are made, logs are extended.
            if n > 0 {
                let per_s = count as f64 / time.as_secs_f64();
                theirs.push(reference);
                ours.push(per_s);
                ratios.push(per_s / reference);
            }
        }
        let ratio = median(&ratios);
        table.add(Row {
            figure: format!("the log's writer alone, {depth} batches of {BATCH} waiting"),
            measured: format!("{}/s", round(median(&ours))),
            reference: format!("bare RocksDB, threads: {depth}: {}/s", round(median(&theirs))),
            ratio: format!("{ratio:.2}"),
            bar: "–".to_owned(),
            holds: None,
        });
    }
}
