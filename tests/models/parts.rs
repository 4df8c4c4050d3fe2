//! What threads are made of: loom's.

pub use loom::future::block_on;
pub use loom::sync::atomic::{AtomicU64, Ordering};
pub use loom::sync::{Mutex, mpsc};
pub use loom::thread;

/// Threads are preempted so often at most: what two of them do to each other shows itself within that.
const PREEMPTIONS: usize = 2;

pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}
