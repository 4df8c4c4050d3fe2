//! The loop: one turn takes in everything that has happened and performs everything that follows.
//!
//! Deadlines do not hang on the runtime's timers, which fire only when nothing else runs: each turn asks
//! the shard what is due, and a turn is run whenever anything happens. The one runtime timer here only
//! wakes an idle worker.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Sender as Channel, TrySendError};
use monoio::{FusionDriver, RuntimeBuilder};
use tokio::sync::oneshot;

use super::askers::Askers;
use super::breakers;
use super::intake;
use super::mailbox::Mailbox;
use super::observe::{Observer, Report, UNWELL_MAX};
use super::trials::Trials;
use crate::log::api::{AskedAgain, Input, Request};
use crate::log::reader::ReaderHandle;
use crate::model::{Mono, Outcome, Seq};
use crate::registry::Change;
use crate::rt::clock;
use crate::schedule::{Action, FlightId, Read, Settled, Shard};
use crate::send::{CancelReason, Job, ResolverHandle, SendOptions, Sender};
use crate::settle::Settlement;

/// Commits that one turn takes in; then requests go out before it takes more.
const COMMITS_PER_TURN: usize = 16;
/// Requests that one turn starts; then the sockets have their turn.
const SENDS_PER_TURN: usize = 256;
/// Requests that are started by one look at the clocks: together they take less than a millisecond.
const SENDS_PER_LOOK: usize = 16;
/// How often a report is made.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before a full queue of the log is tried again.
const RETRY_QUEUE: Duration = Duration::from_millis(5);

/// What a worker is started with.
pub struct WorkerOptions {
    pub number: usize,
    /// The core to stay on, or `None` to go where the system likes.
    pub core: Option<usize>,
    pub mailbox: Arc<Mailbox>,
    pub writer: Channel<Request>,
    pub readers: ReaderHandle,
    /// The newest event that was handed to all workers.
    pub head: Arc<AtomicU64>,
    pub send: SendOptions,
    pub resolver: ResolverHandle,
    pub observer: Box<dyn Observer>,
    /// How long a stopping worker lets requests in flight go on.
    pub grace: Duration,
}

pub struct Worker {
    number: usize,
    mailbox: Arc<Mailbox>,
    writer: Channel<Request>,
    readers: ReaderHandle,
    head: Arc<AtomicU64>,
    shard: Shard,
    sender: Sender,
    trials: Trials,
    askers: Askers,
    observer: Box<dyn Observer>,
    completions: Vec<(u64, Outcome)>,
    /// Could not be handed over yet, because the log's queues were full.
    settlement: Option<Settlement>,
    reads: Vec<Read>,
    requests: Vec<Request>,
    grace: Duration,
    /// When what is in flight is ended all the same.
    stop_at: Option<Mono>,
    aborted: bool,
    wake_at: Option<Mono>,
    report_at: Mono,
    recovered: bool,
    reported_at: Mono,
    /// CPU time of this thread at the last report.
    busy: Duration,
    loop_delay: Duration,
}

/// Starts a worker's thread. It ends after [`Input::Stop`], when everything settled is written.
///
/// # Errors
/// Where the system gives no thread.
pub fn spawn(options: WorkerOptions, shard: Shard) -> std::io::Result<JoinHandle<()>> {
    let name = format!("worker-{}", options.number);
    std::thread::Builder::new().name(name).spawn(move || {
        if let Some(core) = options.core
            && let Err(error) = monoio::utils::bind_to_cpu_set([core])
        {
            tracing::warn!(core, %error, "the worker is not pinned");
        }
        let runtime = RuntimeBuilder::<FusionDriver>::new().enable_timer().with_entries(4096).build();
        match runtime {
            Ok(mut runtime) => runtime.block_on(Worker::new(options, shard).run()),
            Err(error) => tracing::error!(%error, "the worker's runtime does not start"),
        }
    })
}

impl Worker {
    #[must_use]
    pub fn new(options: WorkerOptions, shard: Shard) -> Self {
        Self {
            number: options.number,
            mailbox: options.mailbox,
            writer: options.writer,
            readers: options.readers,
            head: options.head,
            shard,
            sender: Sender::new(options.send, options.resolver),
            trials: Trials::default(),
            askers: Askers::default(),
            observer: options.observer,
            completions: Vec::new(),
            settlement: None,
            reads: Vec::new(),
            requests: Vec::new(),
            grace: options.grace,
            stop_at: None,
            aborted: false,
            wake_at: None,
            report_at: clock::mono(),
            recovered: false,
            reported_at: clock::mono(),
            busy: clock::thread_cpu(),
            loop_delay: Duration::ZERO,
        }
    }

    async fn run(mut self) {
        loop {
            let more = self.turn();
            if self.stop_at.is_some() && self.is_done() {
                self.report(clock::mono());
                return;
            }
            self.idle(more).await;
        }
    }

    fn is_done(&self) -> bool {
        self.shard.is_done() && self.settlement.is_none() && self.requests.is_empty()
    }

    /// Takes in and performs everything. `true` where more is there already.
    fn turn(&mut self) -> bool {
        let start = clock::now();
        self.mailbox.beat(start.mono.0 / 1_000_000);
        let late = self.wake_at.map_or(Duration::ZERO, |at| start.mono.since(at));
        self.take_inputs();
        self.take_outcomes();
        let more_commits = self.take_commits();
        let now = clock::now();
        self.shard.handle_timeout(now);
        let more_actions = self.perform();
        self.shard.take_breaker_changes().iter().for_each(breakers::tell);
        self.settle();
        let ticked = self.sender.tick(now.mono);
        let end = clock::mono();
        if end >= self.report_at {
            self.report(end);
        }
        self.loop_delay = self.loop_delay.max(late).max(end.since(start.mono));
        let queued = (!self.reads.is_empty() || !self.requests.is_empty() || self.settlement.is_some())
            .then_some(end + RETRY_QUEUE);
        self.wake_at = [
            self.shard.next_wake(clock::now()),
            ticked,
            queued,
            self.trials.next_deadline(),
            self.stop_at_pending(),
            Some(self.report_at),
        ]
        .into_iter()
        .flatten()
        .min();
        more_commits || more_actions
    }

    fn stop_at_pending(&self) -> Option<Mono> {
        self.stop_at.filter(|_| !self.aborted)
    }

    fn take_inputs(&mut self) {
        while let Some(input) = self.mailbox.pop_input() {
            self.take_input(input);
        }
        let now = clock::mono();
        for id in self.trials.expired(now) {
            self.sender.cancel(id, CancelReason::Timeout);
        }
        if !self.aborted && self.stop_at.is_some_and(|at| now >= at) {
            self.aborted = true;
            self.shard.handle_abort();
        }
    }

    fn take_input(&mut self, input: Input) {
        let now = clock::now();
        match input {
            Input::Changed { changed, index } => {
                self.shard.handle_index(index);
                for change in &changed.subscriptions {
                    self.shard.handle_changed(now, change.before.as_ref(), change.after.as_ref());
                }
            }
            Input::LogPage(page) => self.shard.handle_log_page(&page),
            Input::SubscriptionPage(page) => self.shard.handle_subscription_page(&page),
            Input::RetryPage(page) => self.shard.handle_retry_page(now, &page),
            Input::Census(census) => self.shard.handle_census(&census),
            Input::Heads(page) => self.shard.handle_heads(&page),
            Input::Backlog(backlog) => self.shard.handle_backlog(&backlog),
            Input::Bodies(bodies) => self.shard.handle_bodies(now, &bodies),
            Input::Flushed { serial } => self.shard.handle_flushed(serial),
            Input::Live { after } => self.shard.handle_live(after),
            Input::Adopt(released) => self.shard.handle_adopt(&released),
            Input::ReplayPage(page) => self.shard.handle_replay_page(now, &page),
            Input::Replay(asked) => self.replay(asked),
            Input::Test(test) => {
                // Dropped where the engine stops: that is the answer.
                if self.stop_at.is_none()
                    && let Some(job) = self.trials.begin(test, now)
                {
                    self.sender.start(job);
                }
            }
            Input::Stop => {
                for id in self.trials.give_up() {
                    self.sender.cancel(id, CancelReason::Stopping);
                }
                self.shard.handle_stop();
                self.stop_at.get_or_insert(now.mono + self.grace);
            }
        }
    }

    fn take_outcomes(&mut self) {
        for (authority, requests) in self.sender.drain_capacities() {
            self.shard.handle_host_capacity(&authority, requests);
        }
        let mut completions = std::mem::take(&mut self.completions);
        self.sender.drain_completions(&mut completions);
        let now = clock::now();
        for (id, outcome) in completions.drain(..) {
            if self.trials.ended(id, &outcome) {
                continue;
            }
            let error = outcome.error.as_ref().map(|error| error.kind);
            let duration = outcome.duration;
            let settled = self.shard.handle_outcome(now, FlightId(id), outcome);
            let delay = match settled {
                Some(Settled::Delivered { delay_ms }) => Some(Duration::from_millis(delay_ms)),
                Some(Settled::Retried | Settled::Dead | Settled::Orphan) | None => None,
            };
            self.observer.attempt(error, duration, delay);
        }
        self.completions = completions;
    }

    /// `true` where the queue is not empty yet.
    fn take_commits(&mut self) -> bool {
        // Read before the queue is drained: everything up to here has been handed over by then.
        let head = Seq(self.head.load(Ordering::Acquire));
        for _ in 0..COMMITS_PER_TURN {
            if !self.shard.wants_commits() {
                return false;
            }
            if !self.recovered {
                self.recovered = true;
                self.mailbox.set_recovered();
            }
            let Some(commit) = intake::next_commit(&self.mailbox, &mut self.shard, head) else {
                return false;
            };
            if intake::is_ahead(&commit, &self.shard) {
                self.take_inputs();
            }
            self.shard.handle_committed(&commit.events, None);
        }
        true
    }

    /// `true` where more can be done at once.
    fn perform(&mut self) -> bool {
        self.hand_over();
        let (mut now, mut wall) = (clock::now(), clock::wall());
        let mut sends = 0;
        while sends < SENDS_PER_TURN {
            let Some(action) = self.shard.poll_action(now) else { return false };
            match action {
                Action::Send(send) => {
                    sends += 1;
                    if sends % SENDS_PER_LOOK == 0 {
                        (now, wall) = (clock::now(), clock::wall());
                    }
                    self.sender.start(Job {
                        id: send.id.0,
                        subscription: send.subscription,
                        event: send.event,
                        attempt: send.attempt,
                        started_at: wall,
                        started: now.mono,
                    });
                }
                Action::Cancel(id) => {
                    let why = if self.aborted { CancelReason::Stopping } else { CancelReason::Timeout };
                    self.sender.cancel(id.0, why);
                }
                Action::Read(read) => self.reads.push(read),
                Action::CaughtUp(position) => {
                    self.requests.push(Request::CaughtUp { worker: self.number, position });
                }
                Action::Disable { key, version, reason, announce } => {
                    self.change(Change::Disable { key, version, reason, announce });
                }
                Action::Recovered(key) => self.change(Change::Recovered { key }),
                Action::Replayed(replayed) => self.askers.answer(replayed),
            }
        }
        self.hand_over();
        true
    }

    /// Dropped where the engine stops: that is the answer.
    fn replay(&mut self, asked: AskedAgain) {
        if self.stop_at.is_none()
            && let Some(replay) = self.askers.begin(asked)
        {
            self.shard.handle_replay(replay);
        }
    }

    /// Whoever else changed it first is as good: the answer is not waited for.
    fn change(&mut self, change: Change) {
        let (reply, _) = oneshot::channel();
        self.requests.push(Request::Change { change: change.into(), reply });
    }

    /// Hands to the log what it has room for. The rest waits here; its number is bounded by the shard.
    fn hand_over(&mut self) {
        let mut requests = std::mem::take(&mut self.requests).into_iter();
        for request in requests.by_ref() {
            if let Err(TrySendError::Full(request)) = self.writer.try_send(request) {
                self.requests.push(request);
                break;
            }
        }
        self.requests.extend(requests);
        let mut reads = std::mem::take(&mut self.reads).into_iter();
        for read in reads.by_ref() {
            if let Err(read) = self.readers.ask(read) {
                self.reads.push(read);
                break;
            }
        }
        self.reads.extend(reads);
    }

    fn settle(&mut self) {
        self.hand_over();
        if self.settlement.is_none() {
            let force = self.stop_at.is_some();
            self.settlement = self.shard.poll_settlement(clock::now(), force);
        }
        if let Some(settlement) = self.settlement.take()
            && let Err(TrySendError::Full(Request::Settle(settlement))) =
                self.writer.try_send(Request::Settle(settlement))
        {
            self.settlement = Some(settlement);
        }
    }

    fn report(&mut self, now: Mono) {
        let busy = clock::thread_cpu();
        let passed = now.since(self.reported_at);
        let (oldest, unwell) = self.shard.oldest(UNWELL_MAX);
        let report = Report {
            counts: self.shard.counts(),
            connections: self.sender.connections(),
            oldest,
            unwell,
            healths: self.shard.take_touched(),
            busy_ratio: ratio(busy.saturating_sub(self.busy), passed),
            loop_delay: self.loop_delay,
        };
        if !self.observer.report(&report) {
            for (key, _) in report.healths {
                self.shard.touch(key);
            }
        }
        self.busy = busy;
        self.reported_at = now;
        self.loop_delay = Duration::ZERO;
        self.report_at = now + REPORT_EVERY;
    }

    /// Sleeps until something happens. With `more`, only lets all other tasks run once.
    async fn idle(&mut self, more: bool) {
        let now = clock::mono();
        let wait = self.wake_at.map_or(REPORT_EVERY, |at| Duration::from_nanos(at.0.saturating_sub(now.0)));
        let sleep = pin!(monoio::time::sleep(wait));
        Idle { worker: self, sleep, more, polled: false }.await;
    }
}

fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { (part.as_secs_f64() / whole.as_secs_f64()).min(1.0) }
}

/// Ready on its second poll: whatever wakes the loop, it runs a turn.
struct Idle<'w, 's, S> {
    worker: &'w Worker,
    sleep: Pin<&'s mut S>,
    more: bool,
    polled: bool,
}

impl<S: Future<Output = ()>> Future for Idle<'_, '_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.polled {
            return Poll::Ready(());
        }
        self.polled = true;
        self.worker.sender.set_waker(cx.waker());
        let live = self.worker.shard.wants_commits();
        if self.more || !self.worker.mailbox.arm(cx.waker(), live) {
            // A task that wakes itself goes to the front of monoio's queue; one that is spawned goes to
            // its end, so that the sockets' tasks run before the next turn.
            let waker = cx.waker().clone();
            monoio::spawn(async move { waker.wake() });
            return Poll::Pending;
        }
        self.sleep.as_mut().poll(cx)
    }
}
