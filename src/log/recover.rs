//! Recover jobs: their rows, and which deliveries they are about.

use std::ops::Range;

use super::api::Refused;
use super::commit::put_registry_rows;
use super::db::{Batch, Cursor, Db, Family};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::listing::seqs_between;
use super::publish::Doubt;
use super::record::{decode, encode};
use super::rows::{EventLoader, report_damage, walk_account};
use super::store::Store;
use super::writer::Writer;
use crate::model::{
    AccountKey, Attempt, Payload, Seq, Subscription, SubscriptionKey, Trigger, TypeBit, UnixMillis,
};
use crate::recover::{Job, JobId, Scope, Which};
use crate::registry::{Asked, Plan};

/// Places that one look for deliveries sees, at most.
const LOOKED_MAX: usize = 2048;
/// Events between two that are looked up in one walk: as many as are passed in the time that it takes to find a
/// place anew. What lies between others may be the whole log.
const NEAR_MAX: u64 = 256;

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
    /// Events are read only where the rows that name the deliveries do not say enough: in the minutes in which
    /// the times begin and end, and where a filter must see the body.
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
            let mut unsure = Vec::new();
            let mut found = match scope.which {
                Which::Dead | Which::Failed => self.kept_of(db, subscription, scope, range, limit)?,
                Which::All => self.wanted_of(db, subscription, scope, range, limit, &mut unsure)?,
            };
            let inside = self.surely_between(db, scope)?;
            let mut loader = EventLoader::new(db, self.floor(), self.stats())?;
            let mut seqs = Vec::with_capacity(found.seqs.len());
            for seq in found.seqs {
                let unsure = unsure.binary_search(&seq).is_ok();
                if !unsure && inside.contains(&seq) {
                    seqs.push(seq);
                } else if let Some(event) = loader.load(seq)?
                    && scope.since <= event.accepted_at
                    && event.accepted_at < scope.until
                    && (!unsure || subscription.wants(&Payload::new(&event)))
                {
                    seqs.push(seq);
                }
            }
            found.seqs = seqs;
            Ok(found)
        })
    }

    /// Of what is accepted in there, no event need be read to know that it is.
    fn surely_between(&self, db: &Db, scope: &Scope) -> Result<Range<Seq>, StoreError> {
        let (_, from) = seqs_between(db, self.stats(), None, Some(scope.since))?;
        let (until, _) = seqs_between(db, self.stats(), Some(scope.until), None)?;
        Ok(from..until)
    }

    /// Those that have a row because they are dead or, where these are asked for as well, wait for a retry.
    fn kept_of(
        &self,
        db: &Db,
        subscription: &Subscription,
        scope: &Scope,
        (from, through): (Seq, Seq),
        limit: usize,
    ) -> Result<Candidates, StoreError> {
        let key = subscription.key;
        let mut dead = db.cursor(Family::Dead, &KeyRange::dead(key, from.max(self.floors.get().dead)))?;
        dead.first();
        let mut retrying = match scope.which {
            Which::Failed => {
                let mut cursor = db.cursor(Family::Retries, &KeyRange::retries_of(key))?;
                cursor.seek(Key::RetryOf { subscription: key, seq: from }.encode().as_ref());
                Some(cursor)
            }
            Which::Dead | Which::All => None,
        };
        let mut found = Candidates::default();
        loop {
            let lies = kept_at(&dead)?;
            let waits = retrying.as_ref().map(kept_at).transpose()?.flatten();
            let Some(seq) = [lies, waits].into_iter().flatten().min().filter(|seq| *seq <= through) else {
                break;
            };
            if found.seqs.len() >= limit {
                found.next = Some(seq);
                break;
            }
            found.seqs.push(seq);
            if lies == Some(seq) {
                dead.next();
            }
            if waits == Some(seq) {
                retrying.iter_mut().for_each(Cursor::next);
            }
        }
        self.keep_types(db, subscription.account, scope, &mut found.seqs)?;
        Ok(found)
    }

    /// Which of them are of the types that are asked for, the account's index knows.
    fn keep_types(
        &self,
        db: &Db,
        account: AccountKey,
        scope: &Scope,
        seqs: &mut Vec<Seq>,
    ) -> Result<(), StoreError> {
        let Some(types) = scope.types else { return Ok(()) };
        let mut kept = Vec::new();
        for run in seqs.chunk_by(|one, next| next.0.saturating_sub(one.0) <= NEAR_MAX) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut rest = run.iter().copied().peekable();
            walk_account(db, self.stats(), account, (*first, *last), |seq, bit| {
                while rest.next_if(|asked| *asked < seq).is_some() {}
                if rest.next_if_eq(&seq).is_some() && types.contains(bit) {
                    kept.push(seq);
                }
                true
            })?;
        }
        *seqs = kept;
        Ok(())
    }

    /// Those that it wanted, as far as types say. Those of which the event alone says it are `unsure` as well:
    /// where there is a filter, and where an event may be about the subscription itself.
    fn wanted_of(
        &self,
        db: &Db,
        subscription: &Subscription,
        scope: &Scope,
        (from, through): (Seq, Seq),
        limit: usize,
        unsure: &mut Vec<Seq>,
    ) -> Result<Candidates, StoreError> {
        let mut found = Candidates::default();
        let filtered = subscription.has_filter();
        let (mut looked, looked_max) = (0, limit.max(LOOKED_MAX));
        let typed = |bit: TypeBit| scope.types.is_none_or(|types| types.contains(bit));
        walk_account(db, self.stats(), subscription.account, (from, through), |seq, bit| {
            if looked >= looked_max || found.seqs.len() >= limit {
                found.next = Some(seq);
                return false;
            }
            looked += 1;
            if typed(bit) && subscription.may_want(bit, seq) {
                found.seqs.push(seq);
                if filtered || bit.is_operational() {
                    unsure.push(seq);
                }
            }
            true
        })?;
        Ok(found)
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

/// The seq of a row of a delivery that is dead or waits for a retry.
fn kept_at(cursor: &Cursor<'_>) -> Result<Option<Seq>, StoreError> {
    let Some((key, _)) = cursor.row()? else { return Ok(None) };
    match Key::parse(key) {
        Ok(Key::Dead { seq, .. } | Key::RetryOf { seq, .. }) => Ok(Some(seq)),
        Ok(other) => Err(StoreError::Corrupt(format!("a key {other:?} among a subscription's deliveries"))),
        Err(error) => Err(StoreError::Corrupt(error.to_string())),
    }
}
