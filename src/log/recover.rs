//! Recover jobs: their rows, and which deliveries they are about.

use std::collections::HashMap;

use super::api::Refused;
use super::commit::put_registry_rows;
use super::db::{Batch, Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::listing::seqs_between;
use super::publish::Doubt;
use super::record::{DeadValue, decode, encode};
use super::rows::{EventLoader, report_damage, walk_account, walk_attempts};
use super::store::Store;
use super::writer::Writer;
use crate::model::{
    Attempt, Disposition, Payload, Seq, Subscription, SubscriptionKey, Trigger, TypeBit, UnixMillis,
};
use crate::recover::{Job, JobId, Scope, Which};
use crate::registry::{Asked, Plan};

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
    /// Rows of jobs and a line of the audit trail, in one piece and durable when this returns.
    pub(super) fn commit_jobs(
        &mut self,
        put: &[Job],
        delete: &[JobId],
        note: Option<Asked>,
    ) -> Result<(), Refused> {
        if self.failed.is_some() {
            return Err(Refused::Store("an earlier write failed".to_owned()));
        }
        let now = (self.options.clock)().wall;
        let plan = note.map(|note| self.plan(note, now)).transpose();
        let plan = plan.map_err(|error| Refused::Store(error.to_string()))?;
        let written = self.write(true, |batch| {
            put_registry_rows(batch, plan.as_ref().map_or(&[], Plan::rows));
            put_jobs(batch, put, delete)
        });
        match (written, plan) {
            (Ok(_), Some(plan)) => drop(self.install_change(plan)),
            (Ok(_), None) => {}
            (Err(error), plan) => {
                if let Some(plan) = plan {
                    self.failed = Some(Doubt::Change(Box::new((plan, None))));
                }
                return Err(Refused::Store(error.to_string()));
            }
        }
        Ok(())
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
            let (since, until) = seqs_between(db, self.stats(), Some(scope.since), Some(scope.until))?;
            let range = (range.0.max(self.floor()).max(since).max(Seq(1)), range.1.min(until.prev()));
            match scope.which {
                Which::Dead => self.dead_of(db, subscription, scope, range, limit),
                Which::Failed | Which::All => self.wanted_of(db, subscription, scope, range, limit),
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
            if typed(bit) && subscription.may_want(bit, seq) {
                wanted.push(seq);
            }
            true
        })?;
        let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
        let mut found = Candidates { seqs: Vec::new(), next };
        for seq in wanted {
            let Some(event) = loader.load(seq)? else { continue };
            if fits(scope, event.type_bit, event.accepted_at) && subscription.wants(&Payload::new(&event)) {
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
    ) -> Result<HashMap<Seq, (u16, Disposition)>, StoreError> {
        let mut last = HashMap::new();
        let (Some(from), Some(through)) = (seqs.first(), seqs.last()) else { return Ok(last) };
        walk_attempts(db, self.stats(), subscription, (*from, *through), |attempt| {
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
