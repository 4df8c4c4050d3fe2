//! The index that readers see. Loom cannot see into arc-swap: here it stands as a lock.

use std::sync::Arc;

use loom::sync::Mutex;

use crate::route::Index;

pub struct Shown(Mutex<Arc<Index>>);

impl Shown {
    pub fn new(index: Arc<Index>) -> Self {
        Self(Mutex::new(index))
    }

    pub fn load(&self) -> Arc<Index> {
        Arc::clone(&self.0.lock().unwrap())
    }

    pub fn store(&self, index: Arc<Index>) {
        *self.0.lock().unwrap() = index;
    }
}
