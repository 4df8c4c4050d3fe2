//! A job that is running: how much to hand over next, and what came of what was.

use std::collections::BTreeSet;
use std::time::Duration;

use super::job::{Job, JobStatus};
use crate::model::{Mono, Seq, UnixMillis};

/// Deliveries that are handed over and not attempted yet, at most: what a worker holds for a job, and
/// what stands in its row.
pub const OUTSTANDING_MAX: usize = 512;
/// Deliveries handed over at once.
pub const BATCH_MAX: usize = 128;
/// What a rate may save up, at least; and at most, where the turns of a job are further apart.
const BURST: Duration = Duration::from_millis(100);
const BURST_MAX: Duration = Duration::from_secs(1);

/// One job's progress in memory.
#[derive(Debug)]
pub struct Run {
    pub job: Job,
    outstanding: BTreeSet<Seq>,
    /// When the next delivery may be handed over.
    free_at: Mono,
    /// When it was asked last how many that may be.
    asked_at: Option<Mono>,
    /// What may be saved up now.
    burst: Duration,
    /// Everything was handed over.
    exhausted: bool,
    /// The row is behind what is known here.
    changed: bool,
}

impl Run {
    #[must_use]
    pub fn new(job: Job) -> Self {
        let outstanding = job.outstanding.iter().copied().collect();
        Self {
            job,
            outstanding,
            free_at: Mono(0),
            asked_at: None,
            burst: BURST,
            exhausted: false,
            changed: false,
        }
    }

    /// What there is to do is counted.
    pub fn counted(&mut self, total: u64) {
        self.job.total = total;
        self.job.status = JobStatus::Running;
        self.changed = true;
    }

    /// How many deliveries may be handed over now. Asked once in each turn: what accrues from one to the
    /// next is not lost where there are many jobs.
    pub fn allowance(&mut self, now: Mono) -> usize {
        if self.exhausted || self.job.status != JobStatus::Running {
            return 0;
        }
        let since_last = self.asked_at.replace(now).map_or(Duration::ZERO, |last| now.since(last));
        self.burst = since_last.clamp(BURST, BURST_MAX);
        let saved = now.since(self.free_at).min(self.burst).as_secs_f64() * f64::from(self.job.scope.rate);
        let by_rate = if now < self.free_at { 0 } else { 1 + whole(saved) };
        by_rate.min(OUTSTANDING_MAX.saturating_sub(self.outstanding.len())).min(BATCH_MAX)
    }

    /// These go out now; everything below `next` is dealt with then. `None`: there is nothing left.
    pub fn hand_over(&mut self, now: Mono, seqs: &[Seq], next: Option<Seq>) {
        let rate = f64::from(self.job.scope.rate.max(1));
        let earliest = Mono(now.0.saturating_sub(u64::try_from(self.burst.as_nanos()).unwrap_or(u64::MAX)));
        let count = u32::try_from(seqs.len()).unwrap_or(u32::MAX);
        self.free_at = self.free_at.max(earliest) + Duration::from_secs_f64(f64::from(count) / rate);
        self.outstanding.extend(seqs);
        self.job.next = next.unwrap_or(self.job.through.next());
        self.exhausted = next.is_none_or(|next| next > self.job.through);
        self.changed = true;
    }

    /// One was attempted, or can not be: it counts once.
    pub fn ended(&mut self, seq: Seq, well: bool) {
        if self.outstanding.remove(&seq) {
            if well {
                self.job.done += 1;
            } else {
                self.job.failed += 1;
            }
            self.changed = true;
        }
    }

    #[must_use]
    pub fn outstanding(&self) -> &BTreeSet<Seq> {
        &self.outstanding
    }

    /// Ends it where everything is through.
    pub fn finish_if_through(&mut self, now: UnixMillis) {
        if self.exhausted && self.outstanding.is_empty() && self.job.status == JobStatus::Running {
            // What died, or was delivered, while it ran was counted and not found again.
            self.job.total = self.job.done + self.job.failed;
            self.job.finish(JobStatus::Succeeded, now);
            self.changed = true;
        }
    }

    pub fn finish(&mut self, status: JobStatus, now: UnixMillis) {
        self.job.finish(status, now);
        self.outstanding.clear();
        self.changed = true;
    }

    /// The row as it should be, where it is behind.
    pub fn take_row(&mut self) -> Option<Job> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.job.outstanding = self.outstanding.iter().copied().collect();
        Some(self.job.clone())
    }

    /// It was not written.
    pub fn keep_row(&mut self) {
        self.changed = true;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand at most")]
fn whole(count: f64) -> usize {
    count as usize
}

#[cfg(test)]
mod tests {
    use super::super::job::{JobId, Scope, Which};
    use super::*;
    use crate::model::{AccountKey, SubscriptionId, SubscriptionKey};

    fn run(rate: u32) -> Run {
        let scope = Scope {
            account: AccountKey(1),
            subscription: SubscriptionKey(1),
            subscription_id: SubscriptionId::parse("sub_1").expect("valid"),
            which: Which::Dead,
            since: UnixMillis(0),
            until: UnixMillis(u64::MAX),
            types: None,
            rate,
        };
        let mut run = Run::new(Job::new(JobId(1), scope, Seq(100_000), UnixMillis(0)));
        assert_eq!(run.allowance(Mono(0)), 0, "it is not counted");
        run.counted(1000);
        run
    }

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1_000_000)
    }

    #[test]
    fn the_rate_holds_over_time() {
        for rate in [1, 7, 50, 2000] {
            let mut run = run(rate);
            let (mut sent, mut next) = (0u64, 1);
            for millis in (0..10_000).step_by(7) {
                let count = run.allowance(at(millis));
                let seqs: Vec<_> = (next..next + count as u64).map(Seq).collect();
                next += count as u64;
                sent += count as u64;
                run.hand_over(at(millis), &seqs, Some(Seq(next)));
                for seq in seqs {
                    run.ended(seq, true);
                }
                let most = 1 + u64::from(rate) * (millis + 100) / 1000;
                assert!(sent <= most, "{sent} of {most} after {millis} ms at {rate}");
            }
            assert!(sent + 1 >= u64::from(rate) * 97 / 10, "{sent} in ten seconds at {rate}");
        }
    }

    #[test]
    fn the_rate_holds_where_turns_are_far_apart() {
        for (rate, apart) in [(50, 400), (100, 900), (7, 1000)] {
            let mut run = run(rate);
            let (mut sent, mut next) = (0u64, 1);
            for millis in (0..60_000).step_by(apart) {
                let count = run.allowance(at(millis));
                let seqs: Vec<_> = (next..next + count as u64).map(Seq).collect();
                next += count as u64;
                sent += count as u64;
                run.hand_over(at(millis), &seqs, Some(Seq(next)));
                for seq in seqs {
                    run.ended(seq, true);
                }
                assert!(sent <= 1 + u64::from(rate) * (millis + 1000) / 1000, "{sent} after {millis} ms");
            }
            assert!(sent >= u64::from(rate) * 57, "{sent} in a minute at {rate}, every {apart} ms");
        }
        // Who was not asked for a minute begins with a second's worth.
        let mut run = run(10);
        assert_eq!(run.allowance(at(0)), 2);
        assert_eq!(run.allowance(at(60_000)), 11);
    }

    #[test]
    fn no_more_than_so_many_are_out() {
        let mut run = run(10_000);
        let mut next = 1;
        for millis in (0..10_000).step_by(10) {
            let count = run.allowance(at(millis)) as u64;
            assert!(count <= BATCH_MAX as u64);
            let seqs: Vec<_> = (next..next + count).map(Seq).collect();
            next += count;
            run.hand_over(at(millis), &seqs, Some(Seq(next)));
            assert!(run.outstanding().len() <= OUTSTANDING_MAX);
        }
        assert_eq!(run.outstanding().len(), OUTSTANDING_MAX);
        run.ended(Seq(1), true);
        assert_eq!(run.allowance(at(20_000)), 1);
    }

    #[test]
    fn each_counts_once_and_the_row_brings_it_back() {
        let mut run = run(100);
        run.hand_over(at(0), &[Seq(3), Seq(5), Seq(9)], Some(Seq(10)));
        run.ended(Seq(5), true);
        run.ended(Seq(5), false);
        run.ended(Seq(4), true);
        let row = run.take_row().expect("it changed");
        assert_eq!(run.take_row(), None);
        assert_eq!((row.done, row.failed, row.next), (1, 0, Seq(10)));
        let mut again = Run::new(row);
        assert_eq!(again.outstanding().iter().copied().collect::<Vec<_>>(), [Seq(3), Seq(9)]);
        again.hand_over(at(0), &[], None);
        again.finish_if_through(UnixMillis(7));
        assert_eq!(again.job.status, JobStatus::Running, "two are out");
        again.ended(Seq(3), false);
        again.ended(Seq(9), true);
        again.finish_if_through(UnixMillis(7));
        let job = again.take_row().expect("it ended");
        assert_eq!((job.status, job.total, job.done, job.failed), (JobStatus::Succeeded, 3, 2, 1));
        assert_eq!(job.finished_at, Some(UnixMillis(7)));
        assert_eq!(again.allowance(at(9999)), 0);
    }
}
