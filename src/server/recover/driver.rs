//! The thread that drives jobs, turn by turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::Sender;
use tokio::sync::oneshot;

use super::Table;
use crate::log::api::{Again, Request};
use crate::log::guard::StoreError;
use crate::log::store::Store;
use crate::model::{Mono, Seq, Status, Subscription, Trigger};
use crate::recover::{BATCH_MAX, Job, JobId, JobStatus, Run};
use crate::registry::{Action, Asked, Change, note_of};
use crate::rt::clock;
use crate::server::replays::WorkerReplays;

/// Between two rounds of all jobs.
const TICK: Duration = Duration::from_millis(50);
/// Between two looks for what can be written down or forgotten.
const TIDY: Duration = Duration::from_secs(1);
/// Places that a look for deliveries brings while they are counted.
const COUNT_AT_ONCE: usize = 1024;

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
    let mut driver = Driver {
        table: Arc::clone(&table),
        store,
        writer,
        replays,
        unsent: HashMap::new(),
        tidy_at: clock::mono(),
    };
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
    /// When it is tidied up next.
    tidy_at: Mono,
}

impl Driver {
    /// What the run before this one handed over may have been attempted, or may never have got there.
    fn resume(&mut self) {
        let known = self.table.known();
        self.unsent =
            known.open.iter().map(|(id, run)| (*id, run.outstanding().iter().copied().collect())).collect();
    }

    fn run(mut self) {
        while !self.table.is_stopping() {
            // All in turn: one whose subscription is inactive, or whose receiver hangs, keeps no other from
            // going on.
            let ids: Vec<JobId> = self.table.known().open.keys().copied().collect();
            for id in &ids {
                if self.table.is_stopping() {
                    return;
                }
                match self.step(*id) {
                    Ok(()) => self.table.settle(*id),
                    // What is over and not written down stays, and has another turn.
                    Err(Stopped::Later) => {}
                    Err(Stopped::Store(error)) => {
                        tracing::warn!(%error, "a recover job waits for the store");
                    }
                }
                // One that was cancelled meanwhile may have been written as it was before: its end is the
                // last word.
                let over = self.table.known().over.get(id).cloned();
                if let Some(job) = over {
                    let _ = self.ask_writer(vec![job], Vec::new(), None);
                }
                self.tidy();
            }
            self.tidy();
            let known = self.table.known();
            let wait = if known.open.is_empty() { TIDY * 60 } else { TICK };
            if !self.table.is_stopping() {
                drop(self.table.woken.wait_timeout(known, wait));
            }
        }
    }

    fn step(&mut self, id: JobId) -> Result<(), Stopped> {
        let Some(job) = self.table.with(id, |run| run.job.clone()) else { return Ok(()) };
        if job.status.is_over() {
            return self.write(id);
        }
        let Some(subscription) = self.replays.subscription(job.scope.subscription) else {
            return self.cancel(id);
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
        // What goes with a deleted subscription goes after it has left the index: where it is still there, what
        // was looked for and not found was through.
        if self.replays.subscription(job.scope.subscription).is_none() {
            return self.cancel(id);
        }
        self.table.with(id, |run| run.finish_if_through(clock::wall()));
        if self.table.with(id, |run| run.job.status.is_over()) == Some(true) {
            self.write(id)?;
        }
        Ok(())
    }

    /// Its subscription is gone.
    fn cancel(&self, id: JobId) -> Result<(), Stopped> {
        self.table.with(id, |run| run.finish(JobStatus::Cancelled, clock::wall()));
        self.write(id)
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
        let note = self.note(&row);
        let tells = row.status == JobStatus::Cancelled && note.is_some();
        match self.ask_writer(vec![row], Vec::new(), note) {
            Ok(()) if tells => self.table.told(id),
            Ok(()) => {}
            Err(stopped) => {
                self.table.with(id, Run::keep_row);
                if tells {
                    self.table.untold(id);
                }
                return Err(stopped);
            }
        }
        Ok(())
    }

    /// What the audit trail says of a row that is over. The end of one whose subscription is gone is part of that.
    fn note(&self, row: &Job) -> Option<Asked> {
        match row.status {
            JobStatus::Queued | JobStatus::Running => None,
            JobStatus::Cancelled => self.table.known().canceller_of(row.id),
            JobStatus::Succeeded | JobStatus::Failed => {
                let subscription = self.replays.subscription(row.scope.subscription)?;
                Some(Change::Note(note_of(&subscription, Action::JobEnd, Vec::new())).into())
            }
        }
    }

    fn ask_writer(&self, put: Vec<Job>, delete: Vec<JobId>, note: Option<Asked>) -> Result<(), Stopped> {
        let (reply, mut answer) = oneshot::channel();
        self.writer.try_send(Request::Jobs { put, delete, note, reply }).map_err(|_| Stopped::Later)?;
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
    fn tidy(&mut self) {
        if clock::mono() < self.tidy_at {
            return;
        }
        let floor = self.store.floor();
        let ids: Vec<JobId> = self.table.known().open.keys().copied().collect();
        for id in ids {
            self.table.with(id, |run| {
                let gone: Vec<Seq> = run.outstanding().range(..floor).copied().collect();
                for seq in gone {
                    run.ended(seq, false);
                }
            });
            // Tried again with the next change.
            let _ = self.write(id);
        }
        let gone = self.table.forgotten();
        if !gone.is_empty() {
            // A row that stays is found and forgotten with the next start.
            let _ = self.ask_writer(Vec::new(), gone, None);
        }
        let known = self.table.known();
        self.unsent.retain(|id, _| known.open.contains_key(id));
        self.tidy_at = clock::mono() + TIDY;
    }
}
