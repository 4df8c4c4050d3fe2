//! The index: a two-level table from account keys to their parts.
//!
//! Keys are dense, so a page is found by shifting and a part by masking: two loads. A change copies the
//! list of pages and one page, and shares the rest: with a million accounts some 2 000 pointers and 512,
//! a few microseconds, whatever the other accounts hold.

use std::sync::Arc;

use super::part::Part;
use crate::model::{AccountKey, Seq, Subscription, TypeBit};

/// Workers at most, so that a set of them is one word.
pub const WORKERS_MAX: usize = 64;
/// Accounts of one page: near the root of a large installation's accounts, so that neither level
/// dominates the cost of a change.
const PAGE_BITS: u32 = 9;
const PAGE_LEN: usize = 1 << PAGE_BITS;

type Page = [Option<Arc<Part>>; PAGE_LEN];

/// An immutable snapshot of who wants what.
#[derive(Clone)]
pub struct Index {
    workers: usize,
    pages: Vec<Option<Arc<Page>>>,
}

fn place(account: AccountKey) -> (usize, usize) {
    let key = usize::try_from(account.0).unwrap_or(usize::MAX);
    (key >> PAGE_BITS, key & (PAGE_LEN - 1))
}

impl Index {
    /// Nobody wants anything. `workers` is held between 1 and [`WORKERS_MAX`].
    #[must_use]
    pub fn empty(workers: usize) -> Self {
        Self { workers: workers.clamp(1, WORKERS_MAX), pages: Vec::new() }
    }

    /// The index of all accounts at once.
    #[must_use]
    pub fn build<'s>(
        workers: usize,
        accounts: impl Iterator<Item = (AccountKey, &'s [Arc<Subscription>])>,
    ) -> Self {
        let mut index = Self::empty(workers);
        for (account, subscriptions) in accounts {
            index.set(account, subscriptions);
        }
        index
    }

    /// The same index with another part for `account`.
    #[must_use]
    pub fn with(&self, account: AccountKey, subscriptions: &[Arc<Subscription>]) -> Self {
        let mut index = self.clone();
        index.set(account, subscriptions);
        index
    }

    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The workers that own a subscription wanting this event, as bits.
    #[must_use]
    pub fn workers_wanting(&self, account: AccountKey, bit: TypeBit, seq: Seq) -> u64 {
        self.part(account).map_or(0, |part| part.workers_wanting(bit, seq))
    }

    /// Calls `f` with each subscription of `worker` that wants this event.
    pub fn for_each(
        &self,
        account: AccountKey,
        bit: TypeBit,
        seq: Seq,
        worker: usize,
        f: impl FnMut(&Arc<Subscription>),
    ) {
        if let Some(part) = self.part(account) {
            part.for_each(bit, seq, worker, f);
        }
    }

    fn part(&self, account: AccountKey) -> Option<&Part> {
        let (page, slot) = place(account);
        self.pages.get(page)?.as_ref()?.get(slot)?.as_deref()
    }

    fn set(&mut self, account: AccountKey, subscriptions: &[Arc<Subscription>]) {
        let (page, slot) = place(account);
        let part = (!subscriptions.is_empty()).then(|| Arc::new(Part::new(self.workers, subscriptions)));
        if page >= self.pages.len() {
            if part.is_none() {
                return;
            }
            self.pages.resize(page + 1, None);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        let page = page.get_or_insert_with(|| Arc::new([const { None }; PAGE_LEN]));
        if let Some(slot) = Arc::make_mut(page).get_mut(slot) {
            *slot = part;
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
