//! A worker: one core's loop. It takes what happened, asks its shard what to do, and does that.
//!
//! The loop decides nothing itself; see `schedule` for what does. It never blocks and never touches the
//! store: a stalled write would stop its sockets.

mod askers;
mod breakers;
mod intake;
mod mailbox;
#[cfg(test)]
mod mailbox_tests;
mod observe;
mod sync;
mod trials;
mod turn;

pub use mailbox::{COMMITS_BYTES_MAX, COMMITS_MAX, Mailbox};
pub use observe::{Observer, Report, UNWELL_MAX};
pub use turn::{Worker, WorkerOptions, spawn};
