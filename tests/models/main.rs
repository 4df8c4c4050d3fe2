//! What the writer and a worker do to each other, in every order that loom finds within two preemptions.
//!
//! Run is the code itself: `worker/mailbox.rs`, `worker/intake.rs` and `log/handing.rs` are compiled into this
//! crate with loom's atomics under them (`sync`), and the shard is the real one. Modelled are the log, which is
//! a list, the readers, who answer in the worker's thread, and crossbeam's queues and arc-swap, which loom cannot see into:
//! each stands as a lock, and so does what is `SeqCst`, which loom does not have.
//! Each model has a twin with a fault, which it must find.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: what is wrong must stop it"
)]

use std::process::Command;

use postrider::{model, registry, route, schedule};

mod index;
mod log;
mod parts;
mod subscription;
mod sync;
mod worker;
mod writer;

use writer::{Fault, Step, run};

/// A worker starts, catches up while commits come, and its queue has room for one.
const OVERFLOW: &[Step] = &[Step::Commit, Step::Commit, Step::Commit];
/// A subscription comes, and in the same burst the first event that it wants.
const CHANGE: &[Step] = &[Step::Commit, Step::ChangeAndCommit];

#[test]
fn nothing_is_lost_where_the_queue_overflows() {
    run(OVERFLOW, Fault::None);
}

#[test]
fn an_index_is_known_before_what_it_routes() {
    run(CHANGE, Fault::None);
}

/// The model ends its process where it finds something, for loom's parts cannot be dropped in a panic: so a model
/// with a fault is a process of its own.
fn finds(fault: &str, steps: &str, told: &[&str]) {
    let this = std::env::current_exe().expect("this program");
    let child = Command::new(this)
        .args(["--exact", "with_a_fault", "--nocapture"])
        .env("MODEL_FAULT", fault)
        .env("MODEL_STEPS", steps)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(
        !child.status.success() && told.iter().any(|told| text.contains(told)),
        "{fault} is not found:\n{text}"
    );
}

#[test]
fn with_a_fault() {
    let Ok(name) = std::env::var("MODEL_FAULT") else { return };
    let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name).expect("a fault");
    let steps =
        if std::env::var("MODEL_STEPS").is_ok_and(|steps| steps == "CHANGE") { CHANGE } else { OVERFLOW };
    run(steps, fault);
}

#[test]
fn faults_are_found() {
    finds("WakeFirst", "OVERFLOW", &["deadlock"]);
    finds("HeadFirst", "OVERFLOW", &["deadlock"]);
    finds("CommitFirst", "CHANGE", &["routed by an index that it does not know", "deadlock"]);
    finds("SwapLast", "CHANGE", &["readers see an older index"]);
    finds("SleepsOverRefused", "OVERFLOW", &["deadlock"]);
    finds("PageBeyondHead", "CHANGE", &["deadlock"]);
}
