//! The models of `tests/models` between real threads, with crossbeam and atomic-waker under the mailbox and arc-swap
//! under the index: for Miri, which knows a data race and a weak order where it sees one.
//! `cargo +nightly miri test --no-default-features --test threads`; `MIRIFLAGS=-Zmiri-many-seeds=0..64`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: what is wrong must stop it"
)]

use postrider::{model, registry, route, schedule};

mod index;
mod log;
mod parts;
#[path = "../models/subscription.rs"]
mod subscription;
#[path = "../../src/worker/sync.rs"]
mod sync;
#[path = "../models/worker.rs"]
mod worker;
#[allow(dead_code, reason = "faults are for loom to find")]
#[path = "../models/writer.rs"]
mod writer;

use writer::{Fault, Step, run};

#[test]
fn nothing_is_lost_between_threads() {
    run(&[Step::Commit, Step::ChangeAndCommit, Step::Commit, Step::Commit], Fault::None);
}
