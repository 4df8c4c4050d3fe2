//! What the mailbox is made of. `tests/models` puts loom's in their place, and so runs the mailbox itself.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(super) use atomic_waker::AtomicWaker;
pub(super) use crossbeam::queue::{ArrayQueue, SegQueue};
