//! The thread that drives recover jobs: it hands deliveries to their workers, and writes down how far it is.
//!
//! What is decided is decided in [`crate::recover`]. Here: rows go to the writer before what they name goes
//! to a worker, attempts come back from the writer when they are in the store, and a bounded number of jobs
//! run at once, the oldest first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::Sender;
use tokio::sync::oneshot;

use super::replays::WorkerReplays;
use crate::admin::{BoxFuture, JobError, Jobs};
use crate::log::api::{Again, Refused, Request};
use crate::log::guard::StoreError;
use crate::log::store::Store;
use crate::model::{AccountKey, Attempt, Seq, Status, Subscription, SubscriptionKey, Trigger};
use crate::recover::{BATCH_MAX, Job, JobId, JobStatus, Run, Scope};
use crate::rt::clock;

/// Jobs that run at once.
const RUNNING_MAX: usize = 4;
/// Jobs of an account that are not over.
const OPEN_MAX: usize = 16;
/// Jobs of an account that are over and remembered.
const FINISHED_MAX: usize = 1000;
/// And for how long.
const FINISHED_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Between two looks at jobs that run.
const TICK: Duration = Duration::from_millis(50);
/// Between two looks for what can be written down or forgotten.
const TIDY: Duration = Duration::from_secs(1);
/// Places that a look for deliveries brings while they are counted.
const COUNT_AT_ONCE: usize = 1024;

#[derive(Default)]
struct Known {
    open: BTreeMap<JobId, Run>,
    over: BTreeMap<JobId, Job>,
    newest: Option<JobId>,
}

/// What the thread, the admin port and the log's observer share.
pub struct Table {
    known: Mutex<Known>,
    woken: Condvar,
    /// Jobs that are not over, so that the writer need not lock where there are none.
    open: AtomicU64,
    stopping: AtomicBool,
}

impl Table {
    pub fn new(jobs: Vec<Job>) -> Self {
        let mut known = Known::default();
        for job in jobs {
            known.newest = known.newest.max(Some(job.id));
            if job.status.is_over() {
                known.over.insert(job.id, job);
            } else {
                known.open.insert(job.id, Run::new(job));
            }
        }
        let open = AtomicU64::new(known.open.len() as u64);
        Self { known: Mutex::new(known), woken: Condvar::new(), open, stopping: AtomicBool::new(false) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attempts that are in the store now.
    pub fn attempted(&self, attempts: &[(SubscriptionKey, Attempt)]) {
        if self.open.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut known = self.known();
        for run in known.open.values_mut().filter(|run| run.job.status == JobStatus::Running) {
            let subscription = run.job.scope.subscription;
            let own = attempts.iter().filter(|(key, _)| *key == subscription);
            own.for_each(|(_, attempt)| run.ended(attempt.seq, attempt.error.is_none()));
        }
    }

    /// Jobs that are not over.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Its end, if it has one, may not be written yet.
    fn is_open(&self, id: JobId) -> bool {
        self.known().open.contains_key(&id)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn with<T>(&self, id: JobId, work: impl FnOnce(&mut Run) -> T) -> Option<T> {
        self.known().open.get_mut(&id).map(work)
    }

    /// A job that is over stands among those that are.
    fn settle(&self, id: JobId) {
        let mut known = self.known();
        if known.open.get(&id).is_some_and(|run| run.job.status.is_over())
            && let Some(run) = known.open.remove(&id)
        {
            known.over.insert(id, run.job);
        }
        self.open.store(known.open.len() as u64, Ordering::Release);
    }

    /// Jobs that are too old, or too many of their account.
    fn forgotten(&self) -> Vec<JobId> {
        let now = clock::wall();
        let mut known = self.known();
        let mut of_account: HashMap<AccountKey, usize> = HashMap::new();
        let mut gone = Vec::new();
        for (id, job) in known.over.iter().rev() {
            let count = of_account.entry(job.scope.account).or_default();
            *count += 1;
            let age = job.finished_at.map_or(Duration::ZERO, |at| now.since(at));
            if *count > FINISHED_MAX || age > FINISHED_AGE {
                gone.push(*id);
            }
        }
        for id in &gone {
            known.over.remove(id);
        }
        gone
    }
}

/// What the admin port asks of jobs.
pub struct JobDesk {
    table: Arc<Table>,
    writer: Sender<Request>,
    store: Arc<Store>,
}

impl JobDesk {
    pub fn new(table: Arc<Table>, writer: Sender<Request>, store: Arc<Store>) -> Self {
        Self { table, writer, store }
    }

    fn write(&self, job: &Job) -> Result<oneshot::Receiver<Result<(), Refused>>, Refused> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Jobs { put: vec![job.clone()], delete: Vec::new(), reply };
        self.writer.try_send(request).map_err(super::adapters::refused)?;
        Ok(answer)
    }
}

async fn written(answer: oneshot::Receiver<Result<(), Refused>>) -> Result<(), Refused> {
    answer.await.unwrap_or(Err(Refused::Stopping))
}

impl Jobs for JobDesk {
    fn start(&self, scope: Scope) -> BoxFuture<'_, Result<Job, JobError>> {
        Box::pin(async move {
            let now = clock::wall();
            let id = {
                let mut known = self.table.known();
                let open = known.open.values().filter(|run| run.job.scope.account == scope.account).count();
                if open >= OPEN_MAX {
                    return Err(JobError::TooMany { max: OPEN_MAX });
                }
                let after = known.newest.map_or(0, |newest| newest.0.saturating_add(1));
                let id = JobId(after.max(now.0 << 10));
                known.newest = Some(id);
                id
            };
            let job = Job::new(id, scope, self.store.head(), now);
            written(self.write(&job)?).await?;
            let mut known = self.table.known();
            known.open.insert(id, Run::new(job.clone()));
            self.table.open.store(known.open.len() as u64, Ordering::Release);
            drop(known);
            self.table.woken.notify_all();
            Ok(job)
        })
    }

    fn of(&self, account: AccountKey) -> Vec<Job> {
        let known = self.table.known();
        let open = known.open.values().map(|run| &run.job);
        let own = open.chain(known.over.values()).filter(|job| job.scope.account == account);
        let mut jobs: Vec<Job> = own.cloned().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        jobs
    }

    fn get(&self, account: AccountKey, id: JobId) -> Option<Job> {
        let known = self.table.known();
        let job = known.open.get(&id).map(|run| &run.job).or_else(|| known.over.get(&id));
        job.filter(|job| job.scope.account == account).cloned()
    }

    fn cancel(&self, account: AccountKey, id: JobId) -> BoxFuture<'_, Result<Option<Job>, JobError>> {
        Box::pin(async move {
            let Some(job) = self.get(account, id) else { return Ok(None) };
            if job.status.is_over() && !self.table.is_open(id) {
                return Ok(Some(job));
            }
            // From here on nothing is handed over; it is written down before it is said. Asked for under the
            // lock, so that no older row of the job comes after this one.
            let (row, asked) = {
                let mut known = self.table.known();
                let Some(run) = known.open.get_mut(&id) else {
                    drop(known);
                    return Ok(self.get(account, id));
                };
                run.finish(JobStatus::Cancelled, clock::wall());
                run.take_row();
                (run.job.clone(), self.write(&run.job))
            };
            let refused = match asked {
                Ok(answer) => written(answer).await.err(),
                Err(refused) => Some(refused),
            };
            if let Some(refused) = refused {
                // It stays cancelled here, and is written again with its next turn: the asker may ask again.
                self.table.with(id, Run::keep_row);
                return Err(refused.into());
            }
            self.table.settle(id);
            Ok(Some(row))
        })
    }
}

/// The running thread.
pub struct Recoverer {
    table: Arc<Table>,
    thread: JoinHandle<()>,
}

impl Recoverer {
    /// Jobs go on with the next start.
    pub fn stop(self) {
        self.table.stopping.store(true, Ordering::Release);
        // Through the lock: the thread has not looked at the flag yet, or sleeps and is woken.
        drop(self.table.known());
        self.table.woken.notify_all();
        // Its panic, if it had one, was reported by itself.
        let _ = self.thread.join();
    }
}

pub fn start(
    table: Arc<Table>,
    store: Arc<Store>,
    writer: Sender<Request>,
    replays: Arc<WorkerReplays>,
) -> std::io::Result<Recoverer> {
    let mut driver =
        Driver { table: Arc::clone(&table), store, writer, replays, unsent: HashMap::new(), last: None };
    driver.resume();
    let thread = std::thread::Builder::new().name("recover".to_owned()).spawn(move || driver.run())?;
    Ok(Recoverer { table, thread })
}

/// Why a step of a job did not come to its end.
enum Stopped {
    /// The engine stops, a worker does not answer, or the subscription is gone: the next step sees.
    Later,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Driver {
    table: Arc<Table>,
    store: Arc<Store>,
    writer: Sender<Request>,
    replays: Arc<WorkerReplays>,
    /// In the row of a job, and not handed over yet.
    unsent: HashMap<JobId, Vec<Seq>>,
    /// The job that had the last turn.
    last: Option<JobId>,
}

impl Driver {
    /// What the run before this one handed over may have been attempted, or may never have got there.
    fn resume(&mut self) {
        let known = self.table.known();
        self.unsent =
            known.open.iter().map(|(id, run)| (*id, run.outstanding().iter().copied().collect())).collect();
    }

    fn run(mut self) {
        let mut tidy_at = clock::mono();
        while !self.table.is_stopping() {
            let ids = self.turn();
            for id in &ids {
                match self.step(*id) {
                    Ok(()) => self.table.settle(*id),
                    // What is over and not written down stays, and has another turn.
                    Err(Stopped::Later) => continue,
                    Err(Stopped::Store(error)) => {
                        tracing::warn!(%error, "a recover job waits for the store");
                        continue;
                    }
                }
                // One that was cancelled meanwhile may have been written as it was before: its end is the
                // last word.
                let over = self.table.known().over.get(id).cloned();
                if let Some(job) = over {
                    let _ = self.ask_writer(vec![job], Vec::new());
                }
            }
            if clock::mono() >= tidy_at {
                tidy_at = clock::mono() + TIDY;
                self.tidy(&ids);
            }
            let known = self.table.known();
            let wait = if known.open.is_empty() { TIDY * 60 } else { TICK };
            if !self.table.is_stopping() {
                drop(self.table.woken.wait_timeout(known, wait));
            }
        }
    }

    /// The jobs that have this turn, and all in turn: one whose subscription is inactive, or whose receiver
    /// hangs, keeps no other from going on.
    fn turn(&mut self) -> Vec<JobId> {
        let known = self.table.known();
        let last = self.last.unwrap_or(JobId(0));
        let later = known.open.range((Bound::Excluded(last), Bound::Unbounded));
        let ids: Vec<JobId> =
            later.chain(known.open.range(..=last)).map(|(id, _)| *id).take(RUNNING_MAX).collect();
        drop(known);
        self.last = ids.last().copied();
        ids
    }

    fn step(&mut self, id: JobId) -> Result<(), Stopped> {
        let Some(job) = self.table.with(id, |run| run.job.clone()) else { return Ok(()) };
        let Some(subscription) = self.replays.subscription(job.scope.subscription) else {
            self.table.with(id, |run| run.finish(JobStatus::Cancelled, clock::wall()));
            return self.write(id);
        };
        if job.status == JobStatus::Queued {
            let total = self.count(&subscription, &job)?;
            self.table.with(id, |run| run.counted(total));
            self.write(id)?;
        }
        if subscription.status != Status::Active {
            return Ok(());
        }
        if let Some(seqs) = self.unsent.get(&id).cloned() {
            // Where the row was refused, it is written now, before anything goes out.
            self.write(id)?;
            self.send_rest(id, &job, &seqs)?;
        }
        let now = clock::mono();
        let allowance = self.table.with(id, |run| run.allowance(now)).unwrap_or(0);
        if allowance > 0 {
            let next = self.table.with(id, |run| run.job.next).unwrap_or_default();
            let found = self.store.candidates(&subscription, &job.scope, (next, job.through), allowance)?;
            let handed = self.table.with(id, |run| {
                if run.job.status == JobStatus::Running {
                    run.hand_over(now, &found.seqs, found.next);
                }
                run.job.status == JobStatus::Running
            });
            if handed == Some(true) && !found.seqs.is_empty() {
                self.unsent.insert(id, found.seqs.clone());
                self.write(id)?;
                self.send(id, &job, &found.seqs)?;
                self.unsent.remove(&id);
            }
        }
        self.table.with(id, |run| run.finish_if_through(clock::wall()));
        if self.table.with(id, |run| run.job.status.is_over()) == Some(true) {
            self.write(id)?;
        }
        Ok(())
    }

    fn count(&self, subscription: &Subscription, job: &Job) -> Result<u64, Stopped> {
        let (mut total, mut next) = (0, Some(job.next));
        while let Some(from) = next {
            if self.table.is_stopping() || self.table.with(job.id, |_| ()).is_none() {
                return Err(Stopped::Later);
            }
            let range = (from, job.through);
            let found = self.store.candidates(subscription, &job.scope, range, COUNT_AT_ONCE)?;
            total += found.seqs.len() as u64;
            next = found.next;
        }
        Ok(total)
    }

    /// Of what the row names and nobody heard of since, what was not attempted goes out again.
    fn send_rest(&mut self, id: JobId, job: &Job, seqs: &[Seq]) -> Result<(), Stopped> {
        let mut rest = Vec::new();
        for seq in seqs {
            match self.store.recovered(job.scope.subscription, *seq, job.created_at)? {
                Some(well) => drop(self.table.with(id, |run| run.ended(*seq, well))),
                None => rest.push(*seq),
            }
        }
        for part in rest.chunks(BATCH_MAX) {
            self.send(id, job, part)?;
        }
        self.unsent.remove(&id);
        Ok(())
    }

    fn send(&self, id: JobId, job: &Job, seqs: &[Seq]) -> Result<(), Stopped> {
        // Cancelled meanwhile: nothing more goes out.
        if self.table.with(id, |run| run.job.status) != Some(JobStatus::Running) {
            return Ok(());
        }
        let stop = || self.table.is_stopping();
        let done = self.replays.again_blocking(job.scope.subscription, seqs, Trigger::Recover, stop);
        for (seq, again) in done.ok_or(Stopped::Later)? {
            if matches!(again, Again::Gone | Again::Unwanted) {
                self.table.with(id, |run| run.ended(seq, false));
            }
        }
        Ok(())
    }

    /// Makes a job's row durable where it is behind.
    fn write(&self, id: JobId) -> Result<(), Stopped> {
        let Some(row) = self.table.with(id, Run::take_row).flatten() else { return Ok(()) };
        let result = self.ask_writer(vec![row], Vec::new());
        if result.is_err() {
            self.table.with(id, Run::keep_row);
        }
        result
    }

    fn ask_writer(&self, put: Vec<Job>, delete: Vec<JobId>) -> Result<(), Stopped> {
        let (reply, mut answer) = oneshot::channel();
        self.writer.try_send(Request::Jobs { put, delete, reply }).map_err(|_| Stopped::Later)?;
        loop {
            match answer.try_recv() {
                Ok(Ok(())) => return Ok(()),
                Err(oneshot::error::TryRecvError::Empty) if !self.table.is_stopping() => {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Ok(Err(_)) | Err(_) => return Err(Stopped::Later),
            }
        }
    }

    /// Once a second: progress is written down, what retention took is not waited for, old jobs go.
    fn tidy(&mut self, ids: &[JobId]) {
        let floor = self.store.floor();
        for id in ids {
            self.table.with(*id, |run| {
                let gone: Vec<Seq> = run.outstanding().range(..floor).copied().collect();
                for seq in gone {
                    run.ended(seq, false);
                }
            });
            // Tried again with the next change.
            let _ = self.write(*id);
        }
        let gone = self.table.forgotten();
        if !gone.is_empty() {
            // A row that stays is found and forgotten with the next start.
            let _ = self.ask_writer(Vec::new(), gone);
        }
        let known = self.table.known();
        self.unsent.retain(|id, _| known.open.contains_key(id));
    }
}
