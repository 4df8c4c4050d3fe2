//! Recover jobs: their rows, and which deliveries they are about.

use super::api::Refused;
use super::db::{Batch, Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::{DeadValue, decode, encode};
use super::rows::{EventLoader, report_damage, walk_account};
use super::store::Store;
use super::writer::Writer;
use crate::model::{Attempt, Disposition, Seq, Subscription, SubscriptionKey, Trigger, TypeBit, UnixMillis};
use crate::recover::{Job, JobId, Scope, Which};

/// Places that one look for deliveries sees, at most.
const LOOKED_MAX: usize = 2048;

/// Deliveries that a job is about, rising.
#[derive(Debug, Default)]
pub struct Candidates {
    pub seqs: Vec<Seq>,
    /// Where to go on; `None` where these were the last.
    pub next: Option<Seq>,
}

impl Writer {
    /// Rows of jobs, durable when this returns.
    pub(super) fn commit_jobs(&mut self, put: &[Job], delete: &[JobId]) -> Result<(), Refused> {
        if self.failed.is_some() {
            return Err(Refused::Store("an earlier write failed".to_owned()));
        }
        self.write(true, |batch| put_jobs(batch, put, delete))
            .map(|_| ())
            .map_err(|error| Refused::Store(error.to_string()))
    }
}

fn put_jobs(batch: &mut Batch<'_>, put: &[Job], delete: &[JobId]) -> Result<(), StoreError> {
    for job in put {
        batch.put(Family::Meta, Key::Job { id: job.id }.encode().as_ref(), &encode(job)?);
    }
    for id in delete {
        batch.delete(Family::Meta, Key::Job { id: *id }.encode().as_ref());
    }
    Ok(())
}

impl Store {
    /// All jobs that are remembered, by number. A damaged one is left out.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.with(|db| {
            let mut jobs = Vec::new();
            let mut cursor = db.cursor(Family::Meta, &KeyRange::from(&Key::Job { id: JobId(0) }))?;
            cursor.first();
            while let Some((key, value)) = cursor.row()? {
                match decode::<Job>(value) {
                    Ok(job) => jobs.push(job),
                    Err(error) => report_damage(self.stats(), Family::Meta, key, &error),
                }
                cursor.next();
            }
            Ok(jobs)
        })
    }

    /// The deliveries of `subscription` that are asked for, from `range.0` to `range.1`, at most `limit`.
    /// Looks at a bounded number of places, so it may find few or none and still have a `next`.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn candidates(
        &self,
        subscription: &Subscription,
        scope: &Scope,
        range: (Seq, Seq),
        limit: usize,
    ) -> Result<Candidates, StoreError> {
        self.with(|db| {
            let from = range.0.max(self.floor()).max(first_at(db, scope.since)?).max(Seq(1));
            match scope.which {
                Which::Dead => self.dead_of(db, subscription, scope, (from, range.1), limit),
                Which::Failed | Which::All => self.wanted_of(db, subscription, scope, (from, range.1), limit),
            }
        })
    }

    fn dead_of(
        &self,
        db: &Db,
        subscription: &Subscription,
        scope: &Scope,
        (from, through): (Seq, Seq),
        limit: usize,
    ) -> Result<Candidates, StoreError> {
        let from = from.max(self.floors.get().dead);
        let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
        let mut cursor = db.cursor(Family::Dead, &KeyRange::dead(subscription.key, from))?;
        let mut found = Candidates::default();
        let mut looked = 0;
        cursor.first();
        while let Some((key, value)) = cursor.row()? {
            if let Ok(Key::Dead { seq, .. }) = Key::parse(key) {
                if seq > through {
                    break;
                }
                if looked >= LOOKED_MAX || found.seqs.len() >= limit {
                    found.next = Some(seq);
                    break;
                }
                looked += 1;
                if let Err(error) = decode::<DeadValue>(value) {
                    report_damage(self.stats(), Family::Dead, key, &error);
                }
                if let Some(event) = loader.load(seq)?
                    && fits(scope, event.type_bit, event.accepted_at)
                {
                    found.seqs.push(seq);
                }
            }
            cursor.next();
        }
        Ok(found)
    }

    fn wanted_of(
        &self,
        db: &Db,
        subscription: &Subscription,
        scope: &Scope,
        (from, through): (Seq, Seq),
        limit: usize,
    ) -> Result<Candidates, StoreError> {
        let mut wanted: Vec<Seq> = Vec::new();
        let (mut looked, mut next) = (0, None);
        let typed = |bit: TypeBit| scope.types.is_none_or(|types| types.contains(bit));
        walk_account(db, self.stats(), subscription.account, (from, through), |seq, bit| {
            if looked >= LOOKED_MAX || wanted.len() >= limit {
                next = Some(seq);
                return false;
            }
            looked += 1;
            if typed(bit) && subscription.wants(bit, seq) {
                wanted.push(seq);
            }
            true
        })?;
        let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
        let mut found = Candidates { seqs: Vec::new(), next };
        for seq in wanted {
            let Some(event) = loader.load(seq)? else { continue };
            if event.accepted_at >= scope.until && found.next.is_some() {
                // Nothing younger is asked for. Clocks go back little; a minute is let pass.
                if event.accepted_at.since(scope.until).as_secs() > 60 {
                    found.next = None;
                    break;
                }
            }
            if fits(scope, event.type_bit, event.accepted_at) && !event.is_about(&subscription.id) {
                found.seqs.push(seq);
            }
        }
        if scope.which == Which::Failed {
            let last = self.last_of(db, subscription.key, &found.seqs)?;
            let failed = |seq: &Seq| last.get(seq).is_some_and(|last| last.1 != Disposition::Delivered);
            found.seqs.retain(failed);
        }
        Ok(found)
    }

    /// The newest attempt of each: its number and what it meant.
    fn last_of(
        &self,
        db: &Db,
        subscription: SubscriptionKey,
        seqs: &[Seq],
    ) -> Result<std::collections::HashMap<Seq, (u16, Disposition)>, StoreError> {
        let mut last = std::collections::HashMap::new();
        let (Some(from), Some(through)) = (seqs.first(), seqs.last()) else { return Ok(last) };
        super::rows::walk_attempts(db, self.stats(), subscription, (*from, *through), |attempt| {
            let held = last.entry(attempt.seq).or_insert((attempt.number, attempt.disposition));
            if attempt.number >= held.0 {
                *held = (attempt.number, attempt.disposition);
            }
        })?;
        Ok(last)
    }

    /// Whether a job that began at `since` has attempted a delivery, and if so, whether it succeeded.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn recovered(
        &self,
        subscription: SubscriptionKey,
        seq: Seq,
        since: UnixMillis,
    ) -> Result<Option<bool>, StoreError> {
        let own = |it: &&Attempt| it.trigger == Trigger::Recover && it.started_at >= since;
        let attempts = self.attempts(subscription, seq)?;
        Ok(attempts.iter().rev().find(own).map(|attempt| attempt.error.is_none()))
    }
}

fn fits(scope: &Scope, bit: TypeBit, accepted_at: UnixMillis) -> bool {
    scope.since <= accepted_at
        && accepted_at < scope.until
        && scope.types.is_none_or(|types| types.contains(bit))
}

/// A place before which nothing came at or after `since`: the first event of its minute, or of an earlier one.
fn first_at(db: &Db, since: UnixMillis) -> Result<Seq, StoreError> {
    let minute = u32::try_from(since.0 / 60_000).unwrap_or(u32::MAX);
    let mut cursor = db.cursor(Family::Meta, &KeyRange::from(&Key::Minute { minute: 0 }))?;
    cursor.seek_back(Key::Minute { minute }.encode().as_ref());
    let Some((_, value)) = cursor.row()? else { return Ok(Seq(0)) };
    Ok(decode::<Seq>(value).unwrap_or_default())
}
