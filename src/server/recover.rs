//! Recover jobs: what of them is known, what the admin port asks of them, and the thread that drives them:
//! it hands deliveries to their workers, and writes down how far it is.
//!
//! What is decided is decided in [`crate::recover`]. Here: rows go to the writer before what they name goes
//! to a worker, attempts come back from the writer when they are in the store, and a bounded number of jobs
//! have their turns one after the other.

mod driver;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::Sender;
use tokio::sync::oneshot;

use crate::admin::{BoxFuture, JobError, Jobs};
use crate::log::api::{Refused, Request};
use crate::log::store::Store;
use crate::model::{AccountKey, Attempt, SubscriptionKey};
use crate::recover::{Job, JobId, JobStatus, Run, Scope};
use crate::registry::Asked;
use crate::rt::clock;

pub use driver::{Recoverer, start};

/// Jobs of an account that are not over.
const OPEN_MAX: usize = 16;
/// And of all accounts: the writer looks through them with each settlement.
const OPEN_IN_ALL_MAX: usize = 512;
/// Jobs of an account that are over and remembered; the oldest go.
const FINISHED_MAX: usize = 1000;
/// And of all accounts.
const FINISHED_IN_ALL_MAX: usize = 20_000;
/// And for how long.
const FINISHED_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Default)]
struct Known {
    open: BTreeMap<JobId, Run>,
    over: BTreeMap<JobId, Job>,
    newest: Option<JobId>,
    /// Who cancelled what is not written down as cancelled yet.
    cancelled: HashMap<JobId, Canceller>,
}

/// The audit trail has a cancellation once: whoever writes the job's row takes it along, or leaves it to the one who
/// is just doing so.
struct Canceller {
    asked: Asked,
    under_way: bool,
}

impl Known {
    /// What is to be written with the job's row; [`Table::told`] or [`Table::untold`] says what came of it.
    fn canceller_of(&mut self, id: JobId) -> Option<Asked> {
        let canceller = self.cancelled.get_mut(&id).filter(|canceller| !canceller.under_way)?;
        canceller.under_way = true;
        Some(canceller.asked.clone())
    }
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

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn with<T>(&self, id: JobId, work: impl FnOnce(&mut Run) -> T) -> Option<T> {
        self.known().open.get_mut(&id).map(work)
    }

    /// That somebody cancelled it is written down, with who it was.
    fn told(&self, id: JobId) {
        self.known().cancelled.remove(&id);
    }

    /// It could not be written.
    fn untold(&self, id: JobId) {
        if let Some(canceller) = self.known().cancelled.get_mut(&id) {
            canceller.under_way = false;
        }
    }

    /// A job that is over, and written down so, stands among those that are.
    fn settle(&self, id: JobId) {
        let mut known = self.known();
        if known.open.get(&id).is_some_and(|run| run.job.status.is_over())
            && !known.cancelled.contains_key(&id)
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
        for (place, (id, job)) in known.over.iter().rev().enumerate() {
            let count = of_account.entry(job.scope.account).or_default();
            *count += 1;
            let age = job.finished_at.map_or(Duration::ZERO, |at| now.since(at));
            if place >= FINISHED_IN_ALL_MAX || *count > FINISHED_MAX || age > FINISHED_AGE {
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
#[derive(Clone)]
pub struct JobDesk {
    table: Arc<Table>,
    writer: Sender<Request>,
    store: Arc<Store>,
    /// Jobs begin one after the other, so that a bound counts all that came before.
    beginning: Arc<tokio::sync::Mutex<()>>,
}

impl JobDesk {
    pub fn new(table: Arc<Table>, writer: Sender<Request>, store: Arc<Store>) -> Self {
        Self { table, writer, store, beginning: Arc::default() }
    }

    fn write(
        &self,
        job: &Job,
        note: Option<Asked>,
    ) -> Result<oneshot::Receiver<Result<(), Refused>>, Refused> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Jobs { put: vec![job.clone()], delete: Vec::new(), note, reply };
        self.writer.try_send(request).map_err(super::adapters::refused)?;
        Ok(answer)
    }
}

impl JobDesk {
    async fn begin(self, scope: Scope, note: Asked) -> Result<Job, JobError> {
        let _turn = self.beginning.lock().await;
        let now = clock::wall();
        let id = {
            let mut known = self.table.known();
            let open = known.open.values().filter(|run| run.job.scope.account == scope.account).count();
            if open >= OPEN_MAX {
                return Err(JobError::TooMany { max: OPEN_MAX });
            }
            if known.open.len() >= OPEN_IN_ALL_MAX {
                return Err(JobError::TooManyInAll { max: OPEN_IN_ALL_MAX });
            }
            let after = known.newest.map_or(0, |newest| newest.0.saturating_add(1));
            let id = JobId(after.max(now.0 << 10));
            known.newest = Some(id);
            id
        };
        let job = Job::new(id, scope, self.store.head(), now);
        written(self.write(&job, Some(note))?).await?;
        let mut known = self.table.known();
        known.open.insert(id, Run::new(job.clone()));
        self.table.open.store(known.open.len() as u64, Ordering::Release);
        drop(known);
        self.table.woken.notify_all();
        Ok(job)
    }

    async fn end(self, account: AccountKey, id: JobId, note: Asked) -> Result<Option<Job>, JobError> {
        // From here on nothing is handed over; it is written down before it is said. Asked for under the
        // lock, so that no older row of the job comes after this one.
        let (row, asked, tells) = {
            let mut guard = self.table.known();
            let known = &mut *guard;
            let Some(run) = known.open.get_mut(&id).filter(|run| run.job.scope.account == account) else {
                drop(guard);
                return Ok(self.get(account, id));
            };
            run.finish(JobStatus::Cancelled, clock::wall());
            if run.job.status != JobStatus::Cancelled {
                return Ok(Some(run.job.clone()));
            }
            run.take_row();
            let job = run.job.clone();
            known.cancelled.entry(id).or_insert(Canceller { asked: note, under_way: false });
            let note = known.canceller_of(id);
            let tells = note.is_some();
            let asked = self.write(&job, note);
            (job, asked, tells)
        };
        let refused = match asked {
            Ok(answer) => written(answer).await.err(),
            Err(refused) => Some(refused),
        };
        if let Some(refused) = refused {
            // It stays cancelled here, and is written again with its next turn: the asker may ask again.
            self.table.with(id, Run::keep_row);
            if tells {
                self.table.untold(id);
            }
            return Err(refused.into());
        }
        if tells {
            self.table.told(id);
        }
        self.table.settle(id);
        Ok(Some(row))
    }
}

async fn written(answer: oneshot::Receiver<Result<(), Refused>>) -> Result<(), Refused> {
    answer.await.unwrap_or(Err(Refused::Stopping))
}

impl Jobs for JobDesk {
    fn start(&self, scope: Scope, note: Asked) -> BoxFuture<'_, Result<Job, JobError>> {
        // To its end even where the asker leaves: a job that is on disk would begin with the next start.
        let begun = tokio::spawn(self.clone().begin(scope, note));
        Box::pin(async move { begun.await.unwrap_or(Err(JobError::Refused(Refused::Stopping))) })
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

    fn cancel(
        &self,
        account: AccountKey,
        id: JobId,
        note: Asked,
    ) -> BoxFuture<'_, Result<Option<Job>, JobError>> {
        // To its end even where the asker leaves: the driver waits for what becomes of it.
        let ended = tokio::spawn(self.clone().end(account, id, note));
        Box::pin(async move { ended.await.unwrap_or(Err(JobError::Refused(Refused::Stopping))) })
    }
}
