//! A token bucket: how fast requests may be started, for one subscription, one host or one client.
//!
//! Kept as the one number that the generic cell rate algorithm needs (ITU-T I.371): when the next token
//! would be due if tokens were taken evenly. A bucket that was not used holds [`BURST`] worth of tokens,
//! at least one; so in any time `t` at most `rate · (t + 50 ms)` requests start, or one and `rate · t`.
//! A new bucket is full, so a restart may let one burst through early.

use std::time::Duration;

use super::Mono;

/// What a full bucket holds, as time: enough that a worker which wakes each millisecond keeps up with any
/// rate, and little enough that a receiver never sees a second's requests at once.
const BURST: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Time between two tokens.
    interval: Duration,
    /// When the next token is due by an even pace.
    even: Mono,
}

fn interval(per_second: f64) -> Duration {
    // One more nanosecond, so that rounding never makes it faster.
    Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::MAX) + Duration::from_nanos(1)
}

impl Bucket {
    /// `per_second`: above 0.
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        Self { interval: interval(per_second), even: Mono(0) }
    }

    /// When a token can be had; `None`: now.
    #[must_use]
    pub fn ready_at(&self, now: Mono) -> Option<Mono> {
        self.ready_within(BURST, now)
    }

    /// The same for a bucket that holds `burst`, in place of [`BURST`].
    #[must_use]
    pub fn ready_within(&self, burst: Duration, now: Mono) -> Option<Mono> {
        let early = u64::try_from(burst.saturating_sub(self.interval).as_nanos()).unwrap_or(0);
        let at = Mono(self.even.0.saturating_sub(early));
        (at > now).then_some(at)
    }

    /// Takes a token; the caller has asked [`Bucket::ready_at`].
    pub fn take(&mut self, now: Mono) {
        self.even = self.even.max(now) + self.interval;
    }

    /// When it is full again: one that is has nothing to remember.
    #[must_use]
    pub fn full_at(&self) -> Mono {
        self.even
    }

    /// Another rate from now on. What is owed at the old one is owed no longer than a token at the new one.
    pub fn set_rate(&mut self, now: Mono, per_second: f64) {
        let interval = interval(per_second);
        if interval != self.interval {
            self.interval = interval;
            self.even = self.even.min(now + interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts as soon as it may, asking every `step`, and gives the times in milliseconds.
    fn starts(bucket: &mut Bucket, from: u64, to: u64, step: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        for ms in (from..to).step_by(usize::try_from(step).expect("small")) {
            let now = Mono(ms * 1_000_000);
            while bucket.ready_at(now).is_none() {
                bucket.take(now);
                starts.push(ms);
            }
        }
        starts
    }

    #[test]
    fn slow_rates_come_one_by_one() {
        assert_eq!(starts(&mut Bucket::new(2.0), 0, 2000, 1), [0, 501, 1002, 1503]);
        assert_eq!(starts(&mut Bucket::new(0.1), 0, 25_000, 1), [0, 10_001, 20_002]);
        assert_eq!(starts(&mut Bucket::new(20.0), 0, 120, 1), [0, 51, 102]);
    }

    #[test]
    fn never_faster_in_any_time() {
        for (rate, step) in [(1.0, 1), (7.5, 3), (100.0, 1), (100.0, 7), (1000.0, 1), (4000.0, 2)] {
            let mut bucket = Bucket::new(rate);
            // With a pause in which the bucket fills up.
            let mut all = starts(&mut bucket, 0, 1500, step);
            all.extend(starts(&mut bucket, 2500, 4000, step));
            for (at, first) in all.iter().enumerate().step_by(13) {
                for (more, last) in all[at..].iter().enumerate().step_by(37) {
                    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a test")]
                    let secs = (last - first) as f64 / 1000.0;
                    let most = (rate * (secs + 0.05)).max(1.0 + rate * secs);
                    #[expect(clippy::cast_precision_loss, reason = "a count of a test")]
                    let count = more as f64 + 1.0;
                    assert!(count <= most + 1e-6, "{count} in {secs} s at {rate}");
                }
            }
        }
    }

    #[test]
    fn keeps_up_with_the_rate() {
        for (rate, want) in [(1000.0, 10_000), (20_000.0, 200_000), (5.0, 50)] {
            let count = starts(&mut Bucket::new(rate), 0, 10_000, 1).len();
            assert!(count.abs_diff(want) <= want / 100 + 1, "{count} at {rate}");
        }
    }

    #[test]
    fn says_exactly_when() {
        let mut bucket = Bucket::new(4.0);
        bucket.take(Mono(1000));
        let at = bucket.ready_at(Mono(1000)).expect("it is empty");
        assert_eq!(at, Mono(1000 + 250_000_001));
        assert_eq!(bucket.ready_at(Mono(at.0 - 1)), Some(at));
        assert_eq!(bucket.ready_at(at), None);
    }

    #[test]
    fn a_new_rate_counts_at_once() {
        let mut bucket = Bucket::new(0.001);
        bucket.take(Mono(0));
        bucket.set_rate(Mono(0), 10.0);
        assert_eq!(bucket.ready_at(Mono(0)), Some(Mono(100_000_001)));
        bucket.set_rate(Mono(0), 1.0);
        bucket.take(Mono(0));
        // The same rate again, as with any other change of the subscription, gives nothing.
        let before = bucket;
        bucket.set_rate(Mono(0), 1.0);
        assert_eq!(bucket, before);
        bucket.set_rate(Mono(0), 10.0);
        assert_eq!(bucket.ready_at(Mono(0)), Some(Mono(100_000_001)));
    }
}
