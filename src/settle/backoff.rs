//! When a failed delivery is tried again.
//!
//! The schedule is a list, not a formula, because people read it and receivers are told it. Jitter is
//! drawn from the pair and the attempt, not from a generator: the same failure always gets the same
//! wait, which is what makes a simulation replayable, and different pairs still spread.

use std::time::Duration;

use crate::model::{Seq, SubscriptionKey};

/// Waits between attempts, and how far each is spread.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The wait after the first, second… failed attempt. Its end is the end of the delivery.
    pub schedule: Vec<Duration>,
    /// 0.2 spreads each wait evenly over 80 % to 120 % of itself. 0 to 1.
    pub jitter: f64,
}

/// Receivers can ask for a longer wait with `Retry-After`, but not for longer than this (contract §4).
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl RetryPolicy {
    /// The wait after attempt number `attempts`, or `None` where the schedule is spent.
    #[must_use]
    pub fn wait(&self, subscription: SubscriptionKey, seq: Seq, attempts: u16) -> Option<Duration> {
        let base = *self.schedule.get(usize::from(attempts).checked_sub(1)?)?;
        let unit = unit_interval(mix(subscription.0 ^ mix(seq.0 ^ mix(u64::from(attempts)))));
        Some(base.mul_f64((1.0 + self.jitter * (2.0 * unit - 1.0)).max(0.0)))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The upper 53 bits as a fraction in `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what an f64 holds")]
fn unit_interval(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_schedule_and_ends() {
        let policy =
            RetryPolicy { schedule: vec![Duration::from_secs(5), Duration::from_secs(60)], jitter: 0.0 };
        let wait = |attempts| policy.wait(SubscriptionKey(1), Seq(1), attempts);
        assert_eq!(wait(0), None);
        assert_eq!(wait(1), Some(Duration::from_secs(5)));
        assert_eq!(wait(2), Some(Duration::from_secs(60)));
        assert_eq!(wait(3), None);
    }

    #[test]
    fn jitter_spreads_and_stays_inside() {
        let policy = RetryPolicy { schedule: vec![Duration::from_secs(100)], jitter: 0.2 };
        let waits: Vec<_> =
            (0..1000).filter_map(|seq| policy.wait(SubscriptionKey(3), Seq(seq), 1)).collect();
        assert!(waits.iter().all(|w| (80.0..=120.0).contains(&w.as_secs_f64())));
        let mean = waits.iter().map(Duration::as_secs_f64).sum::<f64>() / 1000.0;
        assert!((98.0..102.0).contains(&mean), "{mean}");
        assert!(waits.iter().any(|w| w.as_secs_f64() < 85.0));
        assert!(waits.iter().any(|w| w.as_secs_f64() > 115.0));
    }
}
