//! The writer: the one thread that changes the store.
//!
//! It takes what is waiting, makes one commit of it, syncs where events or configuration are in it, and
//! only then says so. Memory is changed after the disk, never before: a write that fails leaves nothing
//! to take back, and its askers are told that nothing was taken.
//!
//! When a write has failed, RocksDB takes no more (see [`super::store`]). The writer then refuses what is
//! new, keeps settlements, and opens the store again once a second while there is room. Whether the
//! write that failed is on disk after all is *in doubt* until then; if it is, it counts as made, since
//! its rows cannot be told from others any more.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::api::{Commit, Input, Outbox, Refused, Request};
use super::commit::{Append, Context, Staged, put_registry_rows};
use super::db::{Batch, Family};
use super::guard::StoreError;
use super::key::Key;
use super::options::{COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, LogOptions, REQUESTS_MAX};
use super::record::encode;
use super::recovery::LogState;
use super::sealing::Sealing;
use super::settling::{delete_retries, delete_subscription, put_settlement};
use super::stats::{CommitMeasure, LogStats, Observer};
use super::store::Store;
use crate::model::{Mono, Seq, SubscriptionKey};
use crate::registry::{Change, ChangeError, Changed, Plan, Registry};
use crate::route::{Index, owner};
use crate::rt;
use crate::settle::{RetryKey, Settlement};

/// How often the writer looks after itself, busy or idle.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What the writer is given.
pub struct WriterParts {
    pub store: Arc<Store>,
    pub state: LogState,
    pub options: LogOptions,
    /// Loaded with the rows that recovery found.
    pub registry: Arc<RwLock<Registry>>,
    /// Built from the registry. The writer alone changes it from here on.
    pub index: Arc<ArcSwap<Index>>,
    /// One per worker.
    pub outboxes: Vec<Arc<dyn Outbox>>,
    pub observer: Box<dyn Observer>,
}

/// A running writer.
pub struct WriterHandle {
    requests: Sender<Request>,
    thread: JoinHandle<()>,
}

impl WriterHandle {
    /// Where to send requests; bounded by [`REQUESTS_MAX`]. Full means busy: `try_send` and say so.
    #[must_use]
    pub fn requests(&self) -> Sender<Request> {
        self.requests.clone()
    }

    /// Waits for the thread to end, after [`Request::Stop`]. False where it panicked.
    #[must_use]
    pub fn join(self) -> bool {
        drop(self.requests);
        self.thread.join().is_ok()
    }

    /// Whether the thread has ended. Without [`Request::Stop`], that is a bug.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts the writer.
///
/// # Errors
/// The store cannot be written, or no thread can be had.
pub fn start(parts: WriterParts) -> Result<WriterHandle, StoreError> {
    let (requests, queue) = bounded(REQUESTS_MAX);
    let mut writer = Writer::new(parts, queue);
    writer.claim_watermarks()?;
    let thread = thread::Builder::new()
        .name("log-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Unusable(error.to_string()))?;
    Ok(WriterHandle { requests, thread })
}

/// One worker, as the writer sees it.
pub(super) struct Worker {
    outbox: Arc<dyn Outbox>,
    /// Gets commits as they come. Otherwise it reads the log.
    pub live: bool,
    /// The newest event that it was given, or told to read.
    pub pushed: Seq,
    touched: bool,
}

/// A write that failed.
pub(super) enum Doubt {
    Settlements,
    Events(Box<Staged>),
    Change(Box<Plan>),
}

pub(super) struct Writer {
    pub store: Arc<Store>,
    pub stats: Arc<LogStats>,
    pub state: LogState,
    pub options: LogOptions,
    registry: Arc<RwLock<Registry>>,
    index: Arc<ArcSwap<Index>>,
    pub workers: Vec<Worker>,
    observer: Box<dyn Observer>,
    queue: Receiver<Request>,
    /// Settlements that are not written yet; at most one of each worker.
    pending: Vec<Settlement>,
    /// Subscriptions whose rows are to go with the next write.
    deleted: Vec<SubscriptionKey>,
    pub sealing: Option<Sealing>,
    pub failed: Option<Doubt>,
    pub disk_low: bool,
    pub ticks: u64,
    next_tick: Mono,
}

/// What one burst gathers.
#[derive(Default)]
struct Burst {
    appends: Vec<Append>,
    events: usize,
    bytes: usize,
    stop: Option<oneshot::Sender<()>>,
}

impl Writer {
    fn new(parts: WriterParts, queue: Receiver<Request>) -> Self {
        let worker = |outbox| Worker { outbox, live: false, pushed: Seq(0), touched: false };
        Self {
            stats: Arc::clone(parts.store.stats()),
            store: parts.store,
            state: parts.state,
            options: parts.options,
            registry: parts.registry,
            index: parts.index,
            workers: parts.outboxes.into_iter().map(worker).collect(),
            observer: parts.observer,
            queue,
            pending: Vec::new(),
            deleted: Vec::new(),
            sealing: None,
            failed: None,
            disk_low: false,
            ticks: 0,
            next_tick: Mono(0),
        }
    }

    /// Gives each worker of this run the lowest watermark of all that were, and forgets those that are no
    /// more: subscriptions may have moved between any of them.
    fn claim_watermarks(&mut self) -> Result<(), StoreError> {
        let low = self.state.watermarks.values().copied().min().unwrap_or_default();
        let gone: Vec<u16> = self.state.watermarks.keys().copied().collect();
        self.state.watermarks = (0u16..).zip(&self.workers).map(|(worker, _)| (worker, low)).collect();
        self.store.with(|db| {
            let mut batch = db.batch()?;
            for worker in gone {
                batch.delete(Family::Meta, Key::Watermark { worker }.encode().as_ref());
            }
            for worker in self.state.watermarks.keys() {
                put_watermark(&mut batch, *worker, low)?;
            }
            db.write(batch, true).map(|_| ())
        })
    }

    fn run(mut self) {
        loop {
            let wait = self.next_tick.since((self.options.clock)().mono);
            match self.queue.recv_timeout(wait) {
                Ok(first) => {
                    if let Some(stopped) = self.burst(first) {
                        return self.finish(Some(stopped));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Everybody who could ask is gone; what was asked is done.
                Err(RecvTimeoutError::Disconnected) => return self.finish(None),
            }
            let now = (self.options.clock)();
            if now.mono >= self.next_tick {
                self.next_tick = now.mono + TICK;
                self.tick(now);
            }
            self.wake();
        }
    }

    /// Takes what is waiting, within bounds, and makes commits of it.
    fn burst(&mut self, first: Request) -> Option<oneshot::Sender<()>> {
        let mut burst = Burst::default();
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Append { events, reply } => {
                    burst.events += events.len();
                    burst.bytes += events.iter().map(|event| event.body.len()).sum::<usize>();
                    burst.appends.push(Append { events, reply });
                }
                // A change sees everything before it: its effect begins behind those events.
                Request::Change { change, reply } => {
                    self.commit_events(std::mem::take(&mut burst.appends));
                    let answer = self.commit_change(change);
                    let _ = reply.send(answer);
                }
                Request::Settle(settlement) => self.pending.push(settlement),
                Request::CaughtUp { worker, position } => self.caught_up(worker, position),
                Request::Stop { reply } => burst.stop = Some(reply),
            }
            if burst.stop.is_none() && burst.events < COMMIT_EVENTS_MAX && burst.bytes < COMMIT_BYTES_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        self.commit_events(std::mem::take(&mut burst.appends));
        if !self.pending.is_empty() && self.failed.is_none() {
            // Its failure is dealt with inside; nobody waits for an answer to a settlement.
            let _ = self.write(false, |_| Ok(()));
        }
        burst.stop
    }

    fn refusal(&self) -> Option<Refused> {
        if self.failed.is_some() {
            Some(Refused::Store("an earlier write failed".to_owned()))
        } else if self.disk_low {
            Some(Refused::DiskReserve)
        } else {
            None
        }
    }

    fn commit_events(&mut self, requests: Vec<Append>) {
        if requests.is_empty() {
            return;
        }
        if let Some(refused) = self.refusal() {
            for request in requests {
                let _ = request.reply.send(Err(refused.clone()));
            }
            return;
        }
        let now = (self.options.clock)();
        let mut staged = {
            let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
            let context = Context {
                store: &self.store,
                stats: &self.stats,
                registry: &registry,
                dedupe: &self.state.dedupe,
                timeline: &self.state.timeline,
                head: self.state.head,
                now: now.wall,
            };
            context.stage(requests)
        };
        let replies = std::mem::take(&mut staged.replies);
        if !staged.events.is_empty() {
            match self.write(true, |batch| staged.put(batch, now.wall)) {
                Ok(fsync) => {
                    self.observer.commit(CommitMeasure {
                        events: staged.events.len(),
                        bytes: staged.bytes,
                        duration: (self.options.clock)().mono.since(now.mono),
                        fsync,
                    });
                }
                Err(error) => {
                    self.failed = Some(Doubt::Events(Box::new(staged)));
                    for (reply, _) in replies {
                        let _ = reply.send(Err(Refused::Store(error.to_string())));
                    }
                    return;
                }
            }
        }
        LogStats::add(&self.stats.duplicates, staged.duplicates);
        // Accounts first: who has the answer may ask for what it names.
        let events = self.install_events(staged);
        for (reply, results) in replies {
            let _ = reply.send(Ok(results));
        }
        self.hand_over(events);
        if (self.sealing.is_some() || self.state.dedupe.wants_seal(now.wall))
            && let Err(error) = self.seal(now.wall)
        {
            tracing::error!(code = error.code(), %error, "a deduplication partition could not be sealed");
        }
    }

    /// Makes true in memory what is on disk.
    fn install_events(&mut self, staged: Staged) -> Vec<Arc<crate::model::Event>> {
        if let Some(newest) = staged.events.last() {
            let plan = staged.plan;
            if !plan.rows().is_empty() {
                let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
                let _ = registry.install(plan);
            }
            for (print, event) in staged.prints.iter().zip(&staged.events) {
                self.state.dedupe.insert(*print, event.seq, event.accepted_at);
            }
            if staged.opens {
                self.state.partitions.insert(staged.partition, None);
            }
            if let Some(point) = staged.point {
                // Rows of minutes that went are deleted with the next floor; until then they are read
                // and thinned again.
                let _ = self.state.timeline.push(point);
            }
            self.state.head = newest.seq;
            LogStats::add(&self.stats.accepted, staged.events.len() as u64);
            LogStats::add(&self.stats.commits, 1);
        }
        staged.events
    }

    fn hand_over(&mut self, events: Vec<Arc<crate::model::Event>>) {
        let Some(last) = events.last().map(|event| event.seq) else { return };
        let index = self.index.load();
        let wanting = |event: &Arc<crate::model::Event>| {
            index.workers_wanting(event.account, event.type_bit, event.seq)
        };
        let wanted = events.iter().fold(0, |wanted, event| wanted | wanting(event));
        let bytes = events.iter().map(|event| event.body().len()).sum();
        let commit = Arc::new(Commit { events, index_version: index.version(), bytes });
        for (bit, worker) in self.workers.iter_mut().enumerate() {
            if worker.live && (wanted >> bit) & 1 == 1 {
                worker.touched = true;
                worker.live = worker.outbox.try_commit(&commit);
                if worker.live {
                    worker.pushed = last;
                }
            }
        }
        self.store.set_head(last);
    }

    fn commit_change(&mut self, change: Change) -> Result<Changed, ChangeError> {
        if let Some(refused) = self.refusal() {
            return Err(refused.into());
        }
        let now = (self.options.clock)();
        let plan = {
            let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
            let next = self.state.head.next();
            registry.plan(change, next, self.store.floor(), now.wall, rt::random::bytes())?
        };
        if !plan.rows().is_empty()
            && let Err(error) = self.write(true, |batch| {
                put_registry_rows(batch, plan.rows());
                Ok(())
            })
        {
            self.failed = Some(Doubt::Change(Box::new(plan)));
            return Err(Refused::Store(error.to_string()).into());
        }
        Ok(self.install_change(plan))
    }

    /// Registry, index, workers, in this order: whoever gets a commit routed by the new index has been
    /// told of it before.
    fn install_change(&mut self, plan: Plan) -> Changed {
        let (changed, index) = {
            let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
            let changed = registry.install(plan);
            let mut accounts: Vec<_> = changed
                .subscriptions
                .iter()
                .filter_map(|change| change.after.as_ref().or(change.before.as_ref()).map(|sub| sub.account))
                .collect();
            accounts.sort_unstable();
            accounts.dedup();
            let mut index = Index::clone(&self.index.load());
            for account in accounts {
                index = index.with(account, registry.subscriptions_of(account));
            }
            (changed, Arc::new(index))
        };
        self.index.store(Arc::clone(&index));
        let gone = changed.subscriptions.iter().filter(|change| change.after.is_none());
        self.deleted.extend(gone.filter_map(|change| change.before.as_ref().map(|sub| sub.key)));
        let told = Arc::new(changed.clone());
        for worker in &mut self.workers {
            worker.outbox.input(Input::Changed { changed: Arc::clone(&told), index: Arc::clone(&index) });
            worker.touched = true;
        }
        changed
    }

    fn caught_up(&mut self, worker: usize, position: Seq) {
        let head = self.state.head;
        debug_assert!(position <= head, "a worker is at {position:?}, the log at {head:?}");
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.live = true;
            worker.pushed = worker.pushed.max(head);
            worker.outbox.input(Input::Live { after: head });
            worker.touched = true;
        }
    }

    /// Writes what is pending and what `add` adds, in one piece. Gives the time of the write-ahead log.
    pub(super) fn write(
        &mut self,
        sync: bool,
        add: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<Duration, StoreError> {
        let mut counters = self.state.counters;
        let mut orphans: Vec<RetryKey> = std::iter::from_fn(|| self.store.orphans.pop()).collect();
        orphans.sort_unstable();
        orphans.dedup();
        let written = self.store.with(|db| {
            let mut batch = db.batch()?;
            for settlement in &self.pending {
                put_settlement(&mut batch, settlement, &mut counters)?;
                let worker = u16::try_from(settlement.worker).unwrap_or(u16::MAX);
                if self.state.watermarks.get(&worker).is_none_or(|held| *held < settlement.watermark) {
                    put_watermark(&mut batch, worker, settlement.watermark)?;
                }
            }
            for subscription in &self.deleted {
                delete_subscription(&mut batch, *subscription);
            }
            // Found once, read twice: only what is still there counts.
            for key in &orphans {
                if db.get(Family::Retries, Key::Retry(*key).encode().as_ref())?.is_some() {
                    delete_retries(&mut batch, &[*key], &mut counters);
                }
            }
            if counters != self.state.counters {
                batch.put(Family::Meta, Key::Counters.encode().as_ref(), &encode(&counters)?);
            }
            add(&mut batch)?;
            if batch.is_empty() { Ok(0) } else { db.write(batch, sync) }
        });
        match written {
            Ok(fsync) => {
                self.state.counters = counters;
                self.deleted.clear();
                LogStats::set(&self.stats.retries_waiting, counters.retries);
                self.settled();
                Ok(Duration::from_nanos(fsync))
            }
            Err(error) => {
                LogStats::add(&self.stats.write_errors, 1);
                self.stats.failed.store(true, std::sync::atomic::Ordering::Relaxed);
                tracing::error!(code = error.code(), %error, "the store does not take a write");
                self.failed.get_or_insert(Doubt::Settlements);
                Err(error)
            }
        }
    }

    /// What was pending is written: says so, and hands released subscriptions to their owners.
    fn settled(&mut self) {
        let index = self.index.load();
        for settlement in std::mem::take(&mut self.pending) {
            let worker = u16::try_from(settlement.worker).unwrap_or(u16::MAX);
            let mark = self.state.watermarks.entry(worker).or_default();
            *mark = settlement.watermark.max(*mark);
            if let Some(worker) = self.workers.get_mut(settlement.worker) {
                worker.outbox.input(Input::Flushed { serial: settlement.serial });
                worker.touched = true;
            }
            for released in settlement.released {
                let Some(subscription) = index.subscription(released.subscription) else { continue };
                let to = owner(subscription.callback_url.authority(), index.workers());
                if let Some(worker) = self.workers.get_mut(to) {
                    worker.outbox.input(Input::Adopt(released));
                    worker.touched = true;
                }
            }
        }
    }

    /// The store is open again: finds out whether the write that failed was made after all.
    pub(super) fn resolve(&mut self, doubt: Doubt) -> Result<(), StoreError> {
        match doubt {
            Doubt::Settlements => {}
            Doubt::Events(staged) => {
                let newest = self.store.with(super::rows::last_seq)?;
                if newest > self.state.head {
                    let events = self.install_events(*staged);
                    self.hand_over(events);
                }
            }
            Doubt::Change(plan) => {
                let made = self.store.with(|db| {
                    let Some(row) = plan.rows().first() else { return Ok(false) };
                    Ok(db.get(Family::Meta, &row.key)? == row.value)
                })?;
                if made {
                    let _ = self.install_change(*plan);
                }
            }
        }
        Ok(())
    }

    fn wake(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| worker.touched) {
            worker.touched = false;
            worker.outbox.wake();
        }
    }

    /// Makes durable what is written, answers, and refuses the rest.
    fn finish(mut self, reply: Option<oneshot::Sender<()>>) {
        if self.failed.is_none() {
            let counters = self.state.counters;
            // Where this fails nothing is lost but the last settlements, which are made again.
            let _ = self.write(true, |batch| {
                batch.put(Family::Meta, Key::Counters.encode().as_ref(), &encode(&counters)?);
                Ok(())
            });
        }
        self.wake();
        while let Ok(request) = self.queue.try_recv() {
            match request {
                Request::Append { reply, .. } => drop(reply.send(Err(Refused::Stopping))),
                Request::Change { reply, .. } => drop(reply.send(Err(Refused::Stopping.into()))),
                Request::Stop { reply } => drop(reply.send(())),
                Request::Settle(_) | Request::CaughtUp { .. } => {}
            }
        }
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }
}

pub(super) fn put_watermark(batch: &mut Batch<'_>, worker: u16, mark: Seq) -> Result<(), StoreError> {
    batch.put(Family::Meta, Key::Watermark { worker }.encode().as_ref(), &encode(&mark)?);
    Ok(())
}
