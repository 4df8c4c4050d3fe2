//! What the answer to an attempt means for the delivery: the table of contract §4.

use std::time::Duration;

use super::backoff::{RETRY_AFTER_MAX, RetryPolicy};
use super::rows::DeadReason;
use crate::model::subscription::DisabledReason;
use crate::model::{ErrorKind, Outcome, Seq, SubscriptionKey};

/// The fate of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// Try again after this long.
    Retry(Duration),
    /// No more attempts; where set, the subscription becomes inactive for this reason.
    Dead(DeadReason, Option<DisabledReason>),
}

/// Judges attempt number `attempts` (1 for the first) of a pair.
#[must_use]
pub fn verdict(
    policy: &RetryPolicy,
    subscription: SubscriptionKey,
    seq: Seq,
    attempts: u16,
    outcome: &Outcome,
) -> Verdict {
    let Some(error) = &outcome.error else { return Verdict::Delivered };
    if error.kind == ErrorKind::Gone {
        return Verdict::Dead(DeadReason::Gone, Some(DisabledReason::Gone));
    }
    match policy.wait(subscription, seq, attempts) {
        None => Verdict::Dead(DeadReason::Exhausted, None),
        Some(wait) => {
            let asked = outcome.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            Verdict::Retry(wait.max(asked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AttemptError, UnixMillis};

    fn outcome(error: Option<ErrorKind>, retry_after: Option<u64>) -> Outcome {
        Outcome {
            started_at: UnixMillis(0),
            duration: Duration::ZERO,
            status: None,
            error: error.map(|kind| AttemptError { kind, message: String::new() }),
            retry_after: retry_after.map(Duration::from_secs),
            response: None,
        }
    }

    #[test]
    fn the_table() {
        let policy = RetryPolicy { schedule: vec![Duration::from_secs(5); 2], jitter: 0.0 };
        let check = |attempts, error, retry_after, want| {
            let got = verdict(&policy, SubscriptionKey(1), Seq(1), attempts, &outcome(error, retry_after));
            assert_eq!(got, want, "{attempts} {error:?} {retry_after:?}");
        };
        let secs = |s| Verdict::Retry(Duration::from_secs(s));
        check(1, None, None, Verdict::Delivered);
        check(9, None, None, Verdict::Delivered);
        check(1, Some(ErrorKind::Status), None, secs(5));
        check(1, Some(ErrorKind::Status), Some(3), secs(5));
        check(1, Some(ErrorKind::Status), Some(60), secs(60));
        check(1, Some(ErrorKind::Status), Some(999_999), secs(86_400));
        check(3, Some(ErrorKind::Timeout), None, Verdict::Dead(DeadReason::Exhausted, None));
        check(1, Some(ErrorKind::Gone), None, Verdict::Dead(DeadReason::Gone, Some(DisabledReason::Gone)));
    }
}
