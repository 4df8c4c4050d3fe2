//! A job as it is on disk and as people see it.

use crate::model::{AccountKey, EventMask, Seq, SubscriptionId, SubscriptionKey, UnixMillis};

/// A job's number; they rise, and none is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct JobId(pub u64);

impl JobId {
    /// `job_` and sixteen digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("job_{:016x}", self.0)
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("job_").filter(|digits| digits.len() == 16)?;
        let id = Self(u64::from_str_radix(digits, 16).ok()?);
        (id.text() == text).then_some(id)
    }
}

/// Which deliveries are to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Which {
    /// Dead letters.
    Dead,
    /// Those, and what waits for a retry.
    Failed,
    /// Everything that the subscription wanted, delivered or not.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum JobStatus {
    /// It waits for its turn, or counts what there is to do.
    Queued,
    Running,
    Succeeded,
    /// Somebody ended it, or its subscription is gone.
    Cancelled,
    /// It could not go on.
    Failed,
}

impl JobStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Cancelled | Self::Failed)
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Scope {
    pub account: AccountKey,
    pub subscription: SubscriptionKey,
    pub subscription_id: SubscriptionId,
    pub which: Which,
    /// Accepted at or after.
    pub since: UnixMillis,
    /// Accepted before.
    pub until: UnixMillis,
    pub types: Option<EventMask>,
    /// Handed over in a second, at most.
    pub rate: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Job {
    pub id: JobId,
    pub scope: Scope,
    pub status: JobStatus,
    pub total: u64,
    /// Attempted with success.
    pub done: u64,
    /// Attempted without; or no longer there to be sent.
    pub failed: u64,
    /// Everything below was handed over.
    pub next: Seq,
    /// Nothing above belongs to it: the newest event when it was made.
    pub through: Seq,
    /// Handed over, and not attempted as far as is written down. Rising.
    pub outstanding: Vec<Seq>,
    pub created_at: UnixMillis,
    pub finished_at: Option<UnixMillis>,
}

impl Job {
    #[must_use]
    pub fn new(id: JobId, scope: Scope, through: Seq, now: UnixMillis) -> Self {
        Self {
            id,
            scope,
            status: JobStatus::Queued,
            total: 0,
            done: 0,
            failed: 0,
            next: Seq(1),
            through,
            outstanding: Vec::new(),
            created_at: now,
            finished_at: None,
        }
    }

    /// It ends. What was handed over goes on by itself.
    pub fn finish(&mut self, status: JobStatus, now: UnixMillis) {
        if !self.status.is_over() {
            self.status = status;
            self.finished_at = Some(now);
            self.outstanding.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_ends_once() {
        let scope = Scope {
            account: AccountKey(1),
            subscription: SubscriptionKey(1),
            subscription_id: SubscriptionId::parse("sub_1").expect("valid"),
            which: Which::All,
            since: UnixMillis(0),
            until: UnixMillis(9),
            types: None,
            rate: 1,
        };
        let mut job = Job::new(JobId(1), scope, Seq(9), UnixMillis(0));
        job.finish(JobStatus::Cancelled, UnixMillis(3));
        job.finish(JobStatus::Succeeded, UnixMillis(4));
        assert_eq!((job.status, job.finished_at), (JobStatus::Cancelled, Some(UnixMillis(3))));
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        for id in [0, 1, 77, u64::MAX] {
            assert_eq!(JobId::parse(&JobId(id).text()), Some(JobId(id)));
        }
        for text in
            ["", "job_", "job_1", "job_000000000000000G", "job_+00000000000000a", "job_000000000000000A"]
        {
            assert_eq!(JobId::parse(text), None, "{text}");
        }
    }
}
