//! What becomes true once it is on disk: memory follows, and workers are told.
//!
//! Everything here is about order: the registry and the index change before workers hear of it. How they hear
//! of it is `handing`.

use std::sync::{Arc, PoisonError};

use super::api::Input;
use super::commit::Staged;
use super::db::Family;
use super::guard::StoreError;
use super::handing;
use super::rows::last_seq;
use super::stats::LogStats;
use super::writer::Writer;
use crate::model::{Event, Seq};
use crate::registry::{Changed, Plan};
use crate::route::Index;

/// A write that failed.
pub(super) enum Doubt {
    Settlements,
    Events(Box<Staged>),
    /// And the event that tells of it.
    Change(Box<(Plan, Option<Staged>)>),
}

impl Writer {
    /// Makes true in memory what is on disk.
    pub(super) fn install_events(&mut self, staged: Staged) -> Vec<Arc<Event>> {
        if let Some(newest) = staged.events.last() {
            let plan = staged.plan;
            if !plan.rows().is_empty() {
                let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
                let _ = registry.install(plan);
            }
            for (print, event) in staged.prints.iter().zip(&staged.events) {
                self.state.dedupe.insert(*print, event.seq, event.accepted_at);
            }
            if staged.opens {
                self.state.partitions.insert(staged.partition, None);
            }
            if let Some(point) = staged.point {
                self.minutes_gone.extend(self.state.timeline.push(point));
            }
            self.state.head = newest.seq;
            LogStats::add(&self.stats.accepted, staged.events.len() as u64);
            LogStats::add(&self.stats.commits, 1);
        }
        staged.events
    }

    pub(super) fn hand_over(&mut self, events: Vec<Arc<Event>>) {
        let (index, store) = (self.index.load(), &self.store);
        handing::hand_over(&mut self.workers, &index, events, |head| store.set_head(head));
    }

    /// Registry, index, workers, in this order: whoever gets a commit routed by the new index has been
    /// told of it before.
    pub(super) fn install_change(&mut self, plan: Plan) -> Changed {
        let silent = plan.changes_nothing();
        let (changed, index) = {
            let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
            let changed = registry.install(plan);
            if silent {
                return changed;
            }
            let mut accounts: Vec<_> = changed
                .subscriptions
                .iter()
                .filter_map(|change| change.after.as_ref().or(change.before.as_ref()).map(|sub| sub.account))
                .collect();
            accounts.sort_unstable();
            accounts.dedup();
            let mut index = Index::clone(&self.index.load());
            for account in accounts {
                index = index.with(account, registry.subscriptions_of(account));
            }
            (changed, Arc::new(index))
        };
        self.index.store(Arc::clone(&index));
        let gone = changed.subscriptions.iter().filter(|change| change.after.is_none());
        self.deleted.extend(gone.filter_map(|change| change.before.as_ref().map(|sub| sub.key)));
        self.deleted.iter().for_each(|key| self.store.rollups().forget(*key));
        handing::tell_all(&mut self.workers, &Arc::new(changed.clone()), &index);
        changed
    }

    /// A change first, then the event that tells of it: the event is routed by the new index.
    pub(super) fn install_announced(&mut self, plan: Plan, staged: Option<Staged>) -> Changed {
        let changed = self.install_change(plan);
        if let Some(staged) = staged {
            let events = self.install_events(staged);
            self.hand_over(events);
        }
        changed
    }

    pub(super) fn caught_up(&mut self, worker: usize, position: Seq) {
        let head = self.state.head;
        debug_assert!(position <= head, "a worker is at {position:?}, the log at {head:?}");
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.caught_up(head);
        }
    }

    /// What was pending is written: says so, and hands released subscriptions to their owners.
    pub(super) fn settled(&mut self) {
        let index = self.index.load();
        let store = Arc::clone(&self.store);
        let mut rollups = store.rollups();
        for settlement in std::mem::take(&mut self.pending) {
            let worker = u16::try_from(settlement.worker).unwrap_or(u16::MAX);
            let mark = self.state.watermarks.entry(worker).or_default();
            *mark = settlement.watermark.max(*mark);
            if let Some(worker) = self.workers.get_mut(settlement.worker) {
                worker.tell(Input::Flushed { serial: settlement.serial });
            }
            for released in settlement.released {
                let Some(subscription) = index.subscription(released.subscription) else { continue };
                let to = index.owner(subscription);
                if let Some(worker) = self.workers.get_mut(to) {
                    worker.tell(Input::Adopt(released));
                }
            }
            for ((subscription, attempt), accepted_at) in settlement.attempts.iter().zip(&settlement.accepted)
            {
                rollups.note(*subscription, attempt, *accepted_at);
            }
            self.observer.settled(settlement.attempts, settlement.accepted);
        }
    }

    /// The store is open again: finds out whether the write that failed was made after all.
    pub(super) fn resolve(&mut self, doubt: Doubt) -> Result<(), StoreError> {
        match doubt {
            Doubt::Settlements => {}
            Doubt::Events(staged) => {
                let newest = self.store.with(last_seq)?;
                if newest > self.state.head {
                    let events = self.install_events(*staged);
                    self.hand_over(events);
                }
            }
            Doubt::Change(change) => {
                let (plan, staged) = *change;
                let made = self.store.with(|db| {
                    let Some(row) = plan.rows().first() else { return Ok(false) };
                    Ok(db.get(Family::Meta, &row.key)? == row.value)
                })?;
                if made {
                    let _ = self.install_announced(plan, staged);
                }
            }
        }
        Ok(())
    }

    pub(super) fn wake(&mut self) {
        handing::wake(&mut self.workers);
    }
}
