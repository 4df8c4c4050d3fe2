//! A table by dense numbers in two levels, copied on write: a change copies the list of pages and one
//! page and shares the rest, so a snapshot of a million entries costs microseconds to replace.

use std::sync::Arc;

/// Entries of one page: near the root of a large installation's numbers, so that neither level
/// dominates the cost of a change.
const PAGE_BITS: u32 = 9;
const PAGE_LEN: usize = 1 << PAGE_BITS;

type Page<T> = [Option<Arc<T>>; PAGE_LEN];

pub(super) struct Table<T> {
    pages: Vec<Option<Arc<Page<T>>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone() }
    }
}

fn place(key: u64) -> (usize, usize) {
    let key = usize::try_from(key).unwrap_or(usize::MAX);
    (key >> PAGE_BITS, key & (PAGE_LEN - 1))
}

impl<T> Table<T> {
    pub fn get(&self, key: u64) -> Option<&Arc<T>> {
        let (page, slot) = place(key);
        self.pages.get(page)?.as_ref()?.get(slot)?.as_ref()
    }

    /// Numbers are given one after another, so the list of pages is no longer than what was ever given.
    pub fn set(&mut self, key: u64, entry: Option<Arc<T>>) {
        let (page, slot) = place(key);
        if page >= self.pages.len() {
            if entry.is_none() {
                return;
            }
            self.pages.resize(page + 1, None);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        let page = page.get_or_insert_with(|| Arc::new([const { None }; PAGE_LEN]));
        if let Some(slot) = Arc::make_mut(page).get_mut(slot) {
            *slot = entry;
        }
    }
}
