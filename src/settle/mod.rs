//! What an attempt's outcome means, and what is to be written down about it.
//!
//! Pure: the shard asks for a [`verdict`](verdict::verdict) and collects a [`Settlement`]; the worker's
//! shell hands that to the log, which writes it in one piece.

pub mod backoff;
pub mod rows;
pub mod verdict;

pub use backoff::RetryPolicy;
pub use rows::{DeadReason, DeadRow, Notice, Released, RetryKey, RetryRow, Settlement, Tries};
pub use verdict::{Verdict, verdict};
