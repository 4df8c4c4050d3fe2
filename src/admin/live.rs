//! Attempts as they become durable, for those who are watching.
//!
//! The log's writer tells of every settlement that it has written; where nobody watches, that costs a look
//! at a counter. A watcher that does not keep up loses the oldest and is told how many: nothing waits for
//! it, and memory is bounded by the channel. Bodies and excerpts are not carried, they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::model::{AccountKey, Attempt, Disposition, ErrorKind, Seq, SubscriptionKey, Trigger, UnixMillis};

/// Watchers at once, of all accounts: half of the admin port's connections.
const WATCHERS_MAX: usize = 128;
/// Watchers of one account.
const WATCHERS_OF_ACCOUNT_MAX: usize = 16;
/// Attempts that go together, at most.
const TOGETHER_MAX: usize = 512;
/// Bundles that a watcher may be behind by.
const BEHIND_MAX: usize = 64;

/// An attempt without what was said in it.
#[derive(Clone, Debug)]
pub struct LiveAttempt {
    pub subscription: SubscriptionKey,
    pub seq: Seq,
    pub accepted_at: UnixMillis,
    pub number: u16,
    pub trigger: Trigger,
    pub started_at: UnixMillis,
    pub duration_ms: u32,
    pub status: Option<u16>,
    pub error: Option<(ErrorKind, String)>,
    pub disposition: Disposition,
}

pub type Bundle = Arc<Vec<LiveAttempt>>;

/// Who watches, and the way to them.
pub struct Live {
    sender: broadcast::Sender<Bundle>,
    watchers: Arc<Mutex<HashMap<AccountKey, usize>>>,
    stopping: watch::Sender<bool>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND_MAX),
            watchers: Arc::default(),
            stopping: watch::Sender::new(false),
        }
    }
}

/// Why nobody more can watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    OfThisAccount,
    InAll,
}

/// A watcher's place. Given back when it is dropped.
pub struct Place {
    watchers: Arc<Mutex<HashMap<AccountKey, usize>>>,
    account: AccountKey,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = watchers.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&self.account);
            }
        }
    }
}

pub struct Watcher {
    pub bundles: broadcast::Receiver<Bundle>,
    pub stopping: watch::Receiver<bool>,
    _place: Place,
}

impl Live {
    /// Tells the watchers, if there are any. Called on the log's writer.
    pub fn tell(&self, attempts: Vec<(SubscriptionKey, Attempt)>, accepted: Vec<UnixMillis>) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let mut told = attempts.into_iter().zip(accepted).map(|((subscription, attempt), accepted_at)| {
            let error = attempt.error.map(|error| (error.kind, error.message));
            LiveAttempt {
                subscription,
                seq: attempt.seq,
                accepted_at,
                number: attempt.number,
                trigger: attempt.trigger,
                started_at: attempt.started_at,
                duration_ms: attempt.duration_ms,
                status: attempt.status,
                error,
                disposition: attempt.disposition,
            }
        });
        loop {
            let bundle: Vec<_> = told.by_ref().take(TOGETHER_MAX).collect();
            if bundle.is_empty() {
                return;
            }
            // The last watcher may have left.
            let _ = self.sender.send(Arc::new(bundle));
        }
    }

    pub fn watch(&self, account: AccountKey) -> Result<Watcher, TooMany> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.values().sum::<usize>() >= WATCHERS_MAX {
            return Err(TooMany::InAll);
        }
        let count = watchers.entry(account).or_default();
        if *count >= WATCHERS_OF_ACCOUNT_MAX {
            return Err(TooMany::OfThisAccount);
        }
        *count += 1;
        drop(watchers);
        let stopping = self.stopping.subscribe();
        Ok(Watcher {
            bundles: self.sender.subscribe(),
            stopping,
            _place: Place { watchers: Arc::clone(&self.watchers), account },
        })
    }

    /// Ends every stream.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(seq: u64) -> (SubscriptionKey, Attempt) {
        let attempt = Attempt {
            seq: Seq(seq),
            number: 1,
            trigger: Trigger::Event,
            started_at: UnixMillis(7),
            duration_ms: 1,
            status: Some(200),
            error: None,
            response: None,
            disposition: Disposition::Delivered,
            body_size: 1,
        };
        (SubscriptionKey(1), attempt)
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let live = Live::default();
        let of = |account| live.watch(AccountKey(account));
        let mut held: Vec<_> = (0..WATCHERS_OF_ACCOUNT_MAX).map(|_| of(1).expect("room")).collect();
        assert_eq!(of(1).err(), Some(TooMany::OfThisAccount));
        held.pop();
        held.push(of(1).expect("room again"));
        let others = (2..).flat_map(|account| std::iter::repeat_n(account, WATCHERS_OF_ACCOUNT_MAX));
        held.extend(others.map_while(|account| of(account).ok()));
        assert_eq!(held.len(), WATCHERS_MAX);
        assert_eq!(of(999).err(), Some(TooMany::InAll));
        held.clear();
        assert!(of(1).is_ok());
    }

    #[test]
    fn who_does_not_keep_up_is_told_so() {
        let live = Live::default();
        live.tell(vec![attempt(1)], vec![UnixMillis(5)]);
        let mut watcher = live.watch(AccountKey(1)).expect("room");
        let many: Vec<_> = (0..=TOGETHER_MAX as u64).map(attempt).collect();
        let times = vec![UnixMillis(5); many.len()];
        live.tell(many, times);
        let first = watcher.bundles.try_recv().expect("a bundle");
        assert_eq!((first.len(), first[0].seq, first[0].accepted_at), (TOGETHER_MAX, Seq(0), UnixMillis(5)));
        assert_eq!(watcher.bundles.try_recv().expect("the rest").len(), 1);
        for seq in 0..=BEHIND_MAX as u64 {
            live.tell(vec![attempt(seq)], vec![UnixMillis(5)]);
        }
        assert_eq!(watcher.bundles.try_recv().err(), Some(broadcast::error::TryRecvError::Lagged(1)));
    }
}
