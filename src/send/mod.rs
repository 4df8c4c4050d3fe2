//! Sending: one attempt from a job to its outcome.
//!
//! `sign`, `ed25519`, `target`, `proxy` and `outcome` decide and are pure. The rest owns names, sockets and
//! connections, one set per worker: `open` resolves and connects (`dns`, `dial`) and puts `tls` on top;
//! `pool` and `connections` say which connection takes which job, `multiplex` the same of those that carry
//! many; `h1` and `h2` drive one connection each, over `socket`. Deadlines are the worker's: it cancels what
//! is late (see [`pool::Sender::cancel`]), so that no deadline hangs on a runtime's timer.
//! Deliberately absent: retries of attempts, breakers and rates, which `schedule` and `settle` decide,
//! and following redirects, which nothing does.

pub mod ed25519;
pub mod network;
pub mod outcome;
pub mod proxy;
pub mod redact;
pub mod sign;
mod special;
pub mod target;
pub mod verify;

#[cfg(feature = "engine")]
mod connections;
#[cfg(feature = "engine")]
mod counts;
#[cfg(feature = "engine")]
mod dial;
pub mod dns;
#[cfg(feature = "engine")]
pub mod h1;
#[cfg(feature = "engine")]
mod h2;
#[cfg(feature = "engine")]
mod host;
#[cfg(feature = "engine")]
mod job;
#[cfg(feature = "engine")]
mod multiplex;
#[cfg(feature = "engine")]
mod open;
#[cfg(feature = "engine")]
pub mod pool;
#[cfg(feature = "engine")]
mod request;
#[cfg(feature = "engine")]
mod socket;
#[cfg(feature = "engine")]
mod streams;
#[cfg(test)]
#[cfg(feature = "engine")]
mod tests;
#[cfg(feature = "engine")]
pub mod tls;

#[cfg(feature = "engine")]
pub use counts::{CloseReason, ConnectionCounts, Protocol, ProtocolCounts};
#[cfg(feature = "engine")]
pub use dns::{ResolverHandle, ResolverOptions};
#[cfg(feature = "engine")]
pub use job::{CancelReason, Job};
#[cfg(feature = "engine")]
pub use pool::{SendOptions, Sender};
