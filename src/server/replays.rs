//! What people ask to be sent, on its way to the worker that owns the subscription.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::admin::{self, BoxFuture, ReplayError, Replays};
use crate::log::api::{Again, AskedAgain, Input, Outbox, ReplayRefused, TestRefused, TestSend};
use crate::model::{Event, Outcome, Seq, Subscription, SubscriptionKey, Trigger};
use crate::route::Index;

/// How long what is asked for by hand may take to be on disk.
const DURABLE_WITHIN: Duration = Duration::from_secs(20);
/// How often it is asked where a subscription moves from worker to worker meanwhile.
const MOVES_MAX: usize = 20;
const MOVE_PAUSE: Duration = Duration::from_millis(50);
/// How long after a request's own deadline a worker may take to say what came of it.
const ANSWER_AFTER: Duration = Duration::from_secs(2);

pub struct WorkerReplays {
    index: Arc<ArcSwap<Index>>,
    outboxes: Vec<Arc<dyn Outbox>>,
}

impl WorkerReplays {
    pub fn new(index: Arc<ArcSwap<Index>>, outboxes: Vec<Arc<dyn Outbox>>) -> Self {
        Self { index, outboxes }
    }

    fn tell(&self, subscription: &Subscription, input: Input) {
        let owner = self.index.load().owner(subscription);
        if let Some(outbox) = self.outboxes.get(owner) {
            outbox.input(input);
            outbox.wake();
        }
    }
}

impl WorkerReplays {
    /// Makes deliveries again; the answer has one entry for each.
    pub async fn again(
        &self,
        key: SubscriptionKey,
        seqs: &[Seq],
        trigger: Trigger,
    ) -> Result<Vec<(Seq, Again)>, ReplayError> {
        for _ in 0..MOVES_MAX {
            let Some(subscription) = self.index.load().subscription(key).cloned() else {
                // Deleted: there is no delivery of it either.
                return Ok(seqs.iter().map(|seq| (*seq, Again::Unwanted)).collect());
            };
            let (reply, answer) = oneshot::channel();
            let asked = AskedAgain { subscription: key, seqs: seqs.to_vec(), trigger, reply };
            self.tell(&subscription, Input::Replay(asked));
            match tokio::time::timeout(DURABLE_WITHIN, answer).await {
                Ok(Ok(Ok(Some(done)))) => return Ok(done),
                Ok(Ok(Ok(None))) => tokio::time::sleep(MOVE_PAUSE).await,
                Ok(Ok(Err(ReplayRefused::Busy))) => return Err(ReplayError::Busy),
                Ok(Err(_)) | Err(_) => return Err(ReplayError::Stopping),
            }
        }
        Err(ReplayError::Busy)
    }
}

impl WorkerReplays {
    pub fn subscription(&self, key: SubscriptionKey) -> Option<Arc<Subscription>> {
        self.index.load().subscription(key).cloned()
    }

    /// [`WorkerReplays::again`] for a thread that may wait. `None` where it is told to stop, a worker
    /// has stopped or has too much of it, or the subscription is gone, before it is answered.
    pub fn again_blocking(
        &self,
        key: SubscriptionKey,
        seqs: &[Seq],
        trigger: Trigger,
        stop: impl Fn() -> bool,
    ) -> Option<Vec<(Seq, Again)>> {
        for _ in 0..MOVES_MAX {
            let subscription = self.subscription(key)?;
            let (reply, mut answer) = oneshot::channel();
            let asked = AskedAgain { subscription: key, seqs: seqs.to_vec(), trigger, reply };
            self.tell(&subscription, Input::Replay(asked));
            let done = loop {
                match answer.try_recv() {
                    Ok(Ok(done)) => break done,
                    Err(oneshot::error::TryRecvError::Empty) if !stop() => {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    Ok(Err(ReplayRefused::Busy)) | Err(_) => return None,
                }
            };
            if done.is_some() {
                return done;
            }
            std::thread::park_timeout(MOVE_PAUSE);
        }
        None
    }
}

impl Replays for WorkerReplays {
    fn resend(
        &self,
        subscription: SubscriptionKey,
        seq: Seq,
    ) -> BoxFuture<'_, Result<admin::Again, ReplayError>> {
        Box::pin(async move {
            let done = self.again(subscription, &[seq], Trigger::Resend).await?;
            Ok(match done.first().map(|(_, again)| *again) {
                Some(Again::Due) => admin::Again::Due,
                Some(Again::UnderWay) => admin::Again::UnderWay,
                Some(Again::Unwanted) => admin::Again::Unwanted,
                Some(Again::Gone) | None => admin::Again::Gone,
            })
        })
    }

    fn test(
        &self,
        subscription: Arc<Subscription>,
        event: Arc<Event>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Outcome, ReplayError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let test = TestSend { subscription: Arc::clone(&subscription), event, timeout, reply };
            self.tell(&subscription, Input::Test(test));
            match tokio::time::timeout(timeout + ANSWER_AFTER, answer).await {
                Ok(Ok(Ok(outcome))) => Ok(outcome),
                Ok(Ok(Err(TestRefused::Busy))) => Err(ReplayError::Busy),
                Ok(Err(_)) | Err(_) => Err(ReplayError::Stopping),
            }
        })
    }
}
