//! The index: from account keys to their parts, and from subscription keys to their records.
//!
//! Keys are dense, so both are [`Table`]s: two loads to look up, and a change copies, with a million
//! accounts, some 2 000 pointers and 512: a few microseconds, whatever the other accounts hold.

use std::sync::Arc;

use super::owner::Placement;
use super::part::Part;
use super::table::Table;
use crate::model::{AccountKey, Event, Seq, Subscription, SubscriptionKey, TypeBit};

/// Workers at most, so that a set of them is one word.
pub const WORKERS_MAX: usize = 64;
/// An immutable snapshot of who wants what.
#[derive(Clone)]
pub struct Index {
    placement: Placement,
    /// Rises with each change, so that whoever has two snapshots knows the newer one.
    version: u64,
    parts: Table<Part>,
    by_key: Table<Subscription>,
}

impl Index {
    /// Nobody wants anything.
    #[must_use]
    pub fn empty(placement: impl Into<Placement>) -> Self {
        Self { placement: placement.into(), version: 0, parts: Table::default(), by_key: Table::default() }
    }

    /// The index of all accounts at once.
    #[must_use]
    pub fn build<'s>(
        placement: impl Into<Placement>,
        accounts: impl Iterator<Item = (AccountKey, &'s [Arc<Subscription>])>,
    ) -> Self {
        let mut index = Self::empty(placement);
        for (account, subscriptions) in accounts {
            index.set(account, subscriptions);
        }
        index
    }

    /// The same index with another part for `account`.
    #[must_use]
    pub fn with(&self, account: AccountKey, subscriptions: &[Arc<Subscription>]) -> Self {
        let mut index = self.clone();
        index.version += 1;
        index.set(account, subscriptions);
        index
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The record behind a key, where there is one.
    #[must_use]
    pub fn subscription(&self, key: SubscriptionKey) -> Option<&Arc<Subscription>> {
        self.by_key.get(key.0)
    }

    #[must_use]
    pub fn workers(&self) -> usize {
        self.placement.workers()
    }

    /// The worker that owns this subscription.
    #[must_use]
    pub fn owner(&self, subscription: &Subscription) -> usize {
        self.placement.owner(subscription)
    }

    /// The workers that own a subscription which may want this event, as bits. Filters, which need the
    /// body, are left to the workers: there are many of them, and one writer.
    #[must_use]
    pub fn workers_wanting(&self, account: AccountKey, bit: TypeBit, seq: Seq) -> u64 {
        self.part(account).map_or(0, |part| part.workers_wanting(bit, seq))
    }

    /// Calls `f` with each subscription of `worker` that wants this event.
    pub fn for_each(&self, event: &Event, worker: usize, f: impl FnMut(&Arc<Subscription>)) {
        if let Some(part) = self.part(event.account) {
            part.for_each(event, worker, f);
        }
    }

    fn part(&self, account: AccountKey) -> Option<&Part> {
        self.parts.get(u64::from(account.0)).map(|part| &**part)
    }

    fn set(&mut self, account: AccountKey, subscriptions: &[Arc<Subscription>]) {
        let gone: Vec<SubscriptionKey> = self.part(account).map(Part::keys).unwrap_or_default();
        for key in gone {
            self.by_key.set(key.0, None);
        }
        for subscription in subscriptions {
            self.by_key.set(subscription.key.0, Some(Arc::clone(subscription)));
        }
        let part = (!subscriptions.is_empty()).then(|| Arc::new(Part::new(&self.placement, subscriptions)));
        self.parts.set(u64::from(account.0), part);
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
