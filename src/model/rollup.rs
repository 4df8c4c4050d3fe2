//! What came of a subscription's attempts in a span of time, in a few numbers that can be added up.
//!
//! Delays are counted in steps that double (as in HDR histograms with one significant bit), so a quantile
//! is right to within its step and the sum of two rollups is as good as either. Deliberately absent: the
//! attempts themselves, which have rows of their own.

use super::{Attempt, Disposition, Trigger, UnixMillis};

/// Steps of delay: 0 ms, 1 ms, 2–3 ms, … and everything from 70 minutes on.
const STEPS: usize = 24;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Rollup {
    /// Attempts that delivered.
    pub delivered: u64,
    /// Attempts that failed, those that are made again included.
    pub failed: u64,
    /// Deliveries whose delay counts: what is made again by hand says nothing of how fast events arrive.
    timed: u64,
    /// From acceptance to delivery, of those.
    delay_sum_ms: u64,
    delay_max_ms: u64,
    /// They go round, which a difference does not mind.
    delays: [u32; STEPS],
}

/// When an attempt ended.
#[must_use]
pub fn ended_at(attempt: &Attempt) -> UnixMillis {
    UnixMillis(attempt.started_at.0.saturating_add(u64::from(attempt.duration_ms)))
}

impl Rollup {
    pub fn note(&mut self, attempt: &Attempt, accepted_at: UnixMillis) {
        if attempt.disposition != Disposition::Delivered {
            self.failed += 1;
            return;
        }
        self.delivered += 1;
        if !matches!(attempt.trigger, Trigger::Event | Trigger::Retry) {
            return;
        }
        let delay = ended_at(attempt).0.saturating_sub(accepted_at.0);
        self.timed += 1;
        self.delay_sum_ms = self.delay_sum_ms.saturating_add(delay);
        self.delay_max_ms = self.delay_max_ms.max(delay);
        if let Some(count) = self.delays.get_mut(step(delay)) {
            *count = count.wrapping_add(1);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.timed += other.timed;
        self.delay_sum_ms = self.delay_sum_ms.saturating_add(other.delay_sum_ms);
        self.delay_max_ms = self.delay_max_ms.max(other.delay_max_ms);
        for (mine, theirs) in self.delays.iter_mut().zip(other.delays) {
            *mine = mine.wrapping_add(theirs);
        }
    }

    /// What has come since `earlier`, which was the same rollup before. The longest delay is that of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        rest.delivered = rest.delivered.saturating_sub(earlier.delivered);
        rest.failed = rest.failed.saturating_sub(earlier.failed);
        rest.timed = rest.timed.saturating_sub(earlier.timed);
        rest.delay_sum_ms = rest.delay_sum_ms.saturating_sub(earlier.delay_sum_ms);
        for (mine, theirs) in rest.delays.iter_mut().zip(earlier.delays) {
            *mine = mine.wrapping_sub(theirs);
        }
        rest
    }

    /// `None` where there is no delay that counts.
    #[must_use]
    pub fn delay_mean_ms(&self) -> Option<u64> {
        self.delay_sum_ms.checked_div(self.timed)
    }

    #[must_use]
    pub fn delay_max_ms(&self) -> Option<u64> {
        (self.timed > 0).then_some(self.delay_max_ms)
    }

    /// The delay that `permille` of a thousand deliveries did not exceed, to within its step. `None` where
    /// there is no delay that counts.
    #[must_use]
    pub fn delay_quantile_ms(&self, permille: u64) -> Option<u64> {
        if self.timed == 0 {
            return None;
        }
        let rank = self.timed.saturating_mul(permille).div_ceil(1000).max(1);
        let mut below = 0;
        for (step, count) in self.delays.iter().map(|count| u64::from(*count)).enumerate() {
            if below + count >= rank {
                let (low, high) = bounds(step);
                // As if they lay evenly in their step.
                let into = (high - low).saturating_mul(rank - below) / count.max(1);
                return Some((low + into).min(self.delay_max_ms));
            }
            below += count;
        }
        Some(self.delay_max_ms)
    }
}

fn step(delay_ms: u64) -> usize {
    let bits = u64::BITS - delay_ms.leading_zeros();
    usize::try_from(bits).map_or(STEPS - 1, |bits| bits.min(STEPS - 1))
}

/// The least and the greatest delay of a step.
fn bounds(step: usize) -> (u64, u64) {
    match step {
        0 => (0, 0),
        step if step + 1 >= STEPS => (1 << (STEPS - 2), u64::MAX >> 1),
        step => (1 << (step - 1), (1 << step) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;
    use proptest::prelude::*;

    fn attempt(ended: u64, disposition: Disposition) -> Attempt {
        Attempt {
            seq: Seq(1),
            number: 1,
            trigger: Trigger::Event,
            started_at: UnixMillis(ended),
            duration_ms: 0,
            status: None,
            error: None,
            response: None,
            disposition,
            body_size: 0,
        }
    }

    fn of(delays: &[u64]) -> Rollup {
        let mut rollup = Rollup::default();
        for delay in delays {
            rollup.note(&attempt(1000 + delay, Disposition::Delivered), UnixMillis(1000));
        }
        rollup
    }

    #[test]
    fn nothing_has_no_delay() {
        let mut rollup = Rollup::default();
        rollup.note(&attempt(5, Disposition::Dead), UnixMillis(1));
        rollup.note(&attempt(5, Disposition::Retry(UnixMillis(9))), UnixMillis(1));
        assert_eq!((rollup.delivered, rollup.failed), (0, 2));
        assert_eq!(
            (rollup.delay_mean_ms(), rollup.delay_max_ms(), rollup.delay_quantile_ms(990)),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_made_again_by_hand_has_no_delay() {
        let mut rollup = of(&[7]);
        let late = attempt(900_000, Disposition::Delivered);
        for trigger in [Trigger::Resend, Trigger::Recover] {
            rollup.note(&Attempt { trigger, ..late.clone() }, UnixMillis(0));
        }
        assert_eq!((rollup.delivered, rollup.delay_max_ms()), (3, Some(7)));
    }

    #[test]
    fn one_is_all_quantiles() {
        let rollup = of(&[37]);
        assert_eq!((rollup.delay_mean_ms(), rollup.delay_max_ms()), (Some(37), Some(37)));
        assert_eq!((rollup.delay_quantile_ms(1), rollup.delay_quantile_ms(1000)), (Some(37), Some(37)));
    }

    #[test]
    fn what_has_come_since_is_the_difference() {
        let (early, late) = (of(&[1, 2, 3]), of(&[1, 2, 3, 900, 1000]));
        let since = late.since(&early);
        assert_eq!((since.delivered, since.delay_mean_ms()), (2, Some(950)));
        assert!(since.delay_quantile_ms(500).is_some_and(|ms| (512..1024).contains(&ms)));
    }

    proptest! {
        #[test]
        fn quantiles_lie_in_the_step_of_the_true_one(
            mut delays in proptest::collection::vec(0u64..10_000_000, 1..200), permille in 1u64..=1000
        ) {
            let got = of(&delays).delay_quantile_ms(permille).expect("there are some");
            delays.sort_unstable();
            let rank = (delays.len() as u64 * permille).div_ceil(1000).max(1);
            let truth = delays[usize::try_from(rank).expect("small") - 1];
            prop_assert_eq!(step(got), step(truth), "{} for {}", got, truth);
            prop_assert!(got <= delays[delays.len() - 1]);
        }

        #[test]
        fn parts_add_up(a in proptest::collection::vec(any::<u32>(), 0..50), b in proptest::collection::vec(any::<u32>(), 0..50)) {
            let wide = |part: &[u32]| part.iter().map(|ms| u64::from(*ms)).collect::<Vec<_>>();
            let mut sum = of(&wide(&a));
            sum.add(&of(&wide(&b)));
            prop_assert_eq!(sum, of(&wide(&[a, b].concat())));
        }
    }
}
