//! Recover jobs, pure: deliveries of one subscription that are made again, many at a time.
//!
//! A [`Job`] is a durable row that says how far it is; [`Run`] says what to hand over next, and is told
//! what came of it. Neither knows the store, the workers or the clock: `server` drives them.
//!
//! What is handed over and not attempted yet stands in the row, and goes into it before it is handed over.
//! So a job that was killed in the middle forgets nothing, and counts nothing twice: of those, it looks up
//! which were attempted, and hands over the rest again, which does no harm.

mod job;
mod run;

pub use job::{Job, JobId, JobStatus, Scope, Which};
pub use run::{BATCH_MAX, OUTSTANDING_MAX, Run};

/// Deliveries a second, where a job does not say.
pub const RATE_DEFAULT: u32 = 100;
/// Deliveries a second at most.
pub const RATE_MAX: u32 = 10_000;
