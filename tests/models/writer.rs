//! The writer's side: it appends, hands over, tells of changes and answers who has caught up, as `log::publish`
//! does, or with one fault.

use std::sync::Arc;

use crate::index::Shown;
use crate::log::handing::{self, Worker};
use crate::model::{Event, Seq};
use crate::parts::{self, AtomicU64, Mutex, Ordering, mpsc, thread};
use crate::registry::{Changed, SubscriptionChange};
use crate::route::Index;
use crate::subscription::{ACCOUNT, event, subscription};
use crate::worker::{self, Mailbox};

/// What the writer does in one burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Commit,
    ChangeAndCommit,
}

/// What is wrong with the writer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// It wakes, and then pushes.
    WakeFirst,
    /// The head rises, and then the commit is handed over.
    HeadFirst,
    /// A commit comes, and then the index that routed it.
    CommitFirst,
    /// A change is told, and then readers see it.
    SwapLast,
    /// Readers show what is on disk, and not what was handed over alone.
    PageBeyondHead,
    /// A worker sleeps although a commit was refused that it does not know of.
    SleepsOverRefused,
}

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::WakeFirst,
        Self::HeadFirst,
        Self::CommitFirst,
        Self::SwapLast,
        Self::PageBeyondHead,
        Self::SleepsOverRefused,
    ];
}

/// What a worker says to the writer.
pub enum Ask {
    CaughtUp,
    Done,
}

/// What both see.
pub struct Shared {
    pub log: Mutex<Vec<Arc<Event>>>,
    pub head: AtomicU64,
    pub index: Shown,
    pub mailbox: Mailbox,
}

/// # Panics
/// Where the model finds an order in which something is lost, unknown or asleep for ever.
pub fn run(steps: &'static [Step], fault: Fault) {
    parts::check(move || {
        let first = subscription(1, Seq(1));
        let index = Arc::new(Index::empty(1).with(ACCOUNT, &[Arc::clone(&first)]));
        let shared = Arc::new(Shared {
            log: Mutex::new(Vec::new()),
            head: AtomicU64::new(0),
            index: Shown::new(Arc::clone(&index)),
            mailbox: Mailbox::default(),
        });
        let (asks, asked) = mpsc::channel();
        // What each subscription must get, by key: from which event on.
        let mut wants = vec![(1, 1)];
        wants.extend(
            steps
                .iter()
                .zip(1..)
                .filter(|(step, _)| **step == Step::ChangeAndCommit)
                .map(|(_, seq)| (2, seq)),
        );
        let commits = steps.len() as u64;
        let seen_by = Arc::clone(&shared);
        let other = thread::spawn(move || worker::run(&seen_by, &asks, index, (&wants, commits), fault));
        write(&shared, &asked, steps, fault);
        other.join().expect("the worker ends well");
    });
}

fn write(shared: &Arc<Shared>, asked: &mpsc::Receiver<Ask>, steps: &[Step], fault: Fault) {
    let mut workers = [Worker::new(Arc::clone(&worker::outbox(shared)))];
    for step in steps {
        while let Ok(ask) = asked.try_recv() {
            if answer(shared, &mut workers, &ask) {
                return;
            }
        }
        burst(shared, &mut workers, *step, fault);
        handing::wake(&mut workers);
    }
    while let Ok(ask) = asked.recv() {
        if answer(shared, &mut workers, &ask) {
            return;
        }
        handing::wake(&mut workers);
    }
}

/// `true` where the worker has all it wants.
fn answer(shared: &Shared, workers: &mut [Worker; 1], ask: &Ask) -> bool {
    match ask {
        Ask::CaughtUp => {
            let head = Seq(shared.head.load(Ordering::Relaxed));
            workers[0].caught_up(head);
            false
        }
        Ask::Done => true,
    }
}

fn burst(shared: &Shared, workers: &mut [Worker; 1], step: Step, fault: Fault) {
    // First of all it is on disk.
    let mut log = shared.log.lock().unwrap();
    let seq = Seq(log.len() as u64 + 1);
    log.push(event(seq));
    drop(log);
    if step == Step::ChangeAndCommit && fault != Fault::CommitFirst {
        change(shared, workers, seq, fault);
    }
    if fault == Fault::CommitFirst && step == Step::ChangeAndCommit {
        let index = changed_index(shared, seq);
        commit(shared, workers, &index, seq, fault);
        tell(shared, workers, &index, seq, fault);
    } else {
        let index = shared.index.load();
        commit(shared, workers, &index, seq, fault);
    }
}

fn commit(shared: &Shared, workers: &mut [Worker; 1], index: &Index, seq: Seq, fault: Fault) {
    let events = vec![event(seq)];
    if fault == Fault::WakeFirst {
        workers[0].touched = true;
        handing::wake(workers);
    }
    if fault == Fault::HeadFirst {
        shared.head.store(seq.0, Ordering::Release);
    }
    handing::hand_over(workers, index, events, |head| shared.head.store(head.0, Ordering::Release));
    if fault == Fault::WakeFirst {
        workers[0].touched = false;
    }
}

fn changed_index(shared: &Shared, from: Seq) -> Arc<Index> {
    let all = [subscription(1, Seq(1)), subscription(2, from)];
    Arc::new(shared.index.load().with(ACCOUNT, &all))
}

fn change(shared: &Shared, workers: &mut [Worker; 1], from: Seq, fault: Fault) {
    let index = changed_index(shared, from);
    tell(shared, workers, &index, from, fault);
}

fn tell(shared: &Shared, workers: &mut [Worker; 1], index: &Arc<Index>, from: Seq, fault: Fault) {
    let made = SubscriptionChange { before: None, after: Some(subscription(2, from)) };
    let changed = Arc::new(Changed { subscriptions: vec![made], ..Changed::default() });
    let swap = |index: &Arc<Index>| shared.index.store(Arc::clone(index));
    if fault == Fault::SwapLast {
        handing::tell_all(workers, &changed, index);
        swap(index);
    } else {
        swap(index);
        handing::tell_all(workers, &changed, index);
    }
}
