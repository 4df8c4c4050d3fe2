//! The worker's side: the turns of `worker::turn`, around the real mailbox, intake and shard. Readers and
//! receivers answer at once.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::log::api::{Commit, Input, Outbox};
use crate::model::{Mono, Now, Outcome, Seq, UnixMillis};
use crate::parts::{Ordering, block_on, mpsc};
use crate::route::Index;
use crate::schedule::{Action, BreakerPolicy, LogPage, Options, Read, RetryPage, Shard, SubscriptionPage};
use crate::sync;
use crate::writer::{Ask, Fault, Shared};

#[allow(dead_code, reason = "the model needs a part of it")]
#[path = "../../src/worker/intake.rs"]
mod intake;
#[allow(dead_code, reason = "the model needs a part of it")]
#[path = "../../src/worker/mailbox.rs"]
mod mailbox;

pub use mailbox::Mailbox;

const NOW: Now = Now { mono: Mono(1_000_000_000), wall: UnixMillis(1_800_000_000_000) };
/// Commits that one turn takes in.
const COMMITS_PER_TURN: usize = 2;

/// The mailbox, as the writer has it.
struct Post(Arc<Shared>);

impl Outbox for Post {
    fn try_commit(&self, commit: &Arc<Commit>) -> bool {
        self.0.mailbox.try_commit(commit)
    }

    fn input(&self, input: Input) {
        self.0.mailbox.input(input);
    }

    fn wake(&self) {
        self.0.mailbox.wake();
    }
}

pub fn outbox(shared: &Arc<Shared>) -> Arc<dyn Outbox> {
    Arc::new(Post(Arc::clone(shared)))
}

fn shard(index: Arc<Index>) -> Shard {
    let options = Options {
        worker: 0,
        workers: 1,
        policy: postrider::settle::RetryPolicy { schedule: Vec::new(), jitter: 0.0 },
        disable_after: None,
        host_in_flight_max: 8,
        breaker: BreakerPolicy {
            window: Duration::from_secs(30),
            min_requests: 10,
            failure_ratio: 0.5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(5),
        },
        in_flight_max: 8,
        queued_max: 64,
        queued_bytes_max: 1 << 20,
        in_flight_bytes_max: 1 << 20,
        host_rules: Arc::default(),
    };
    Shard::new(options, index, Seq(0), &[])
}

/// Runs until each of `wants` (a subscription, and the first event that it wants) has all events up to `last`.
pub fn run(
    shared: &Shared,
    asks: &mpsc::Sender<Ask>,
    index: Arc<Index>,
    (wants, last): (&[(u64, u64)], u64),
    fault: Fault,
) {
    let mut shard = shard(index);
    let mut sent = HashSet::new();
    let all: HashSet<_> =
        wants.iter().flat_map(|(key, from)| (*from..=last).map(|seq| (*key, seq))).collect();
    loop {
        let more = turn(shared, asks, &mut shard, &mut sent, fault);
        assert!(sent.is_subset(&all), "sent what nobody wants: {sent:?}");
        if sent == all {
            assert!(asks.send(Ask::Done).is_ok());
            return;
        }
        if !more {
            idle(&shared.mailbox, shard.wants_commits() && fault != Fault::SleepsOverRefused);
        }
    }
}

/// `true` where there is more to do at once.
fn turn(
    shared: &Shared,
    asks: &mpsc::Sender<Ask>,
    shard: &mut Shard,
    sent: &mut HashSet<(u64, u64)>,
    fault: Fault,
) -> bool {
    take_inputs(shared, shard);
    let mut more = take_commits(shared, shard);
    shard.handle_timeout(NOW);
    while let Some(action) = shard.poll_action(NOW) {
        match action {
            Action::Send(send) => {
                let pair = (send.subscription.key.0, send.event.seq.0);
                assert!(sent.insert(pair), "{pair:?} is sent twice");
                let outcome = Outcome {
                    started_at: NOW.wall,
                    duration: Duration::ZERO,
                    status: Some(204),
                    error: None,
                    retry_after: None,
                    response: None,
                };
                shard.handle_outcome(NOW, send.id, outcome);
            }
            Action::CaughtUp(_) => assert!(asks.send(Ask::CaughtUp).is_ok()),
            Action::Read(read) => more |= answer(shared, shard.index_version(), &read, fault),
            Action::Cancel(_) | Action::Disable { .. } | Action::Recovered(_) | Action::Replayed(_) => {}
        }
    }
    more
}

#[allow(clippy::match_wildcard_for_single_variants, reason = "the log's own type has more of them")]
fn take_inputs(shared: &Shared, shard: &mut Shard) {
    while let Some(input) = shared.mailbox.pop_input() {
        match input {
            Input::Changed { changed, index } => {
                shard.handle_index(index);
                for change in &changed.subscriptions {
                    shard.handle_changed(NOW, change.before.as_ref(), change.after.as_ref());
                }
            }
            Input::Live { after } => shard.handle_live(after),
            Input::LogPage(page) => shard.handle_log_page(&page),
            Input::SubscriptionPage(page) => shard.handle_subscription_page(&page),
            Input::RetryPage(page) => shard.handle_retry_page(NOW, &page),
            _ => panic!("the model's writer says nothing else"),
        }
    }
}

fn take_commits(shared: &Shared, shard: &mut Shard) -> bool {
    let head = Seq(shared.head.load(Ordering::Acquire));
    for _ in 0..COMMITS_PER_TURN {
        if !shard.wants_commits() {
            return false;
        }
        let Some(commit) = intake::next_commit(&shared.mailbox, shard, head) else { return false };
        if intake::is_ahead(&commit, shard) {
            take_inputs(shared, shard);
        }
        assert!(!intake::is_ahead(&commit, shard), "routed by an index that it does not know");
        shard.handle_committed(&commit.events, None);
    }
    true
}

/// A reader's answer, on the way that it takes: after what was told before. The order of its looks is that of
/// `log::reader`. `true` where there is an answer.
fn answer(shared: &Shared, known: u64, read: &Read, fault: Fault) -> bool {
    let head = Seq(shared.head.load(Ordering::Acquire));
    let index = shared.index.load();
    assert!(index.version() >= known, "readers see an older index");
    let log = shared.log.lock().unwrap().clone();
    let head = if fault == Fault::PageBeyondHead { Seq(log.len() as u64) } else { head };
    let from_on = |from: Seq| log.iter().filter(move |event| (from..=head).contains(&event.seq)).cloned();
    let input = match read {
        Read::Log { from, .. } => Input::LogPage(LogPage {
            events: from_on(*from).collect(),
            settled: HashSet::new(),
            through: head.max(from.prev()),
            end: true,
        }),
        Read::Subscription { subscription, from, .. } => Input::SubscriptionPage(SubscriptionPage {
            subscription: subscription.key,
            from: *from,
            events: from_on(*from).collect(),
            through: head.max(from.prev()),
            end: true,
            expired_below: None,
        }),
        Read::Retries { only, until, .. } => {
            Input::RetryPage(RetryPage { only: *only, rows: Vec::new(), until: *until, next: None })
        }
        _ => return false,
    };
    shared.mailbox.input(input);
    true
}

/// Sleeps until it is woken, unless something is there already; as `worker::turn::Idle` does.
fn idle(mailbox: &Mailbox, live: bool) {
    let mut polled = false;
    block_on(pin!(std::future::poll_fn(|cx| {
        if std::mem::replace(&mut polled, true) || !mailbox.arm(cx.waker(), live) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })));
}
