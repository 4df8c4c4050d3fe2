//! Sending: one attempt from a job to its outcome.
//!
//! `sign`, `target` and `outcome` decide and are pure. `dns`, `pool`, `request` and `h1` own names,
//! sockets and connections, one set per worker. Deadlines are the worker's: it cancels what is late
//! (see [`pool::Sender::cancel`]), so that no deadline hangs on a runtime's timer.
//! Deliberately absent: retries of attempts, breakers and rates, which `schedule` and `settle` decide,
//! and following redirects, which nothing does.

pub mod network;
pub mod outcome;
pub mod sign;
pub mod target;
