//! The index that readers see, as the engine holds it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::route::Index;

pub struct Shown(ArcSwap<Index>);

impl Shown {
    pub fn new(index: Arc<Index>) -> Self {
        Self(ArcSwap::new(index))
    }

    pub fn load(&self) -> Arc<Index> {
        self.0.load_full()
    }

    pub fn store(&self, index: Arc<Index>) {
        self.0.store(index);
    }
}
