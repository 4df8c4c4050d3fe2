//! Names to addresses, off the workers.
//!
//! `cache` decides what is known, for how long, and what must be asked; it is pure. `resolver` is the
//! thread that asks, shared by all workers; `system` knows whom to ask, and speaks DNS through hickory.
//! Deliberately absent: judging addresses (`target` does, at each connection, so that a name cannot be
//! turned into a forbidden address between the look-up and the connection).

pub mod cache;
#[cfg(feature = "engine")]
pub mod resolver;
#[cfg(feature = "engine")]
mod system;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "engine")]
pub use resolver::{Lookup, ResolverHandle, ResolverOptions};

/// Addresses kept of one name and family, in the name server's order.
pub const ADDRESSES_MAX: usize = 8;

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    #[error("there is no such name")]
    NoName,
    #[error("the name has no address")]
    NoAddress,
    #[error("it is not a name that DNS can hold")]
    Invalid,
    #[error("the name server answered {0}")]
    Failure(Arc<str>),
    #[error("no name server answered in time")]
    Timeout,
    #[error("no name server can be reached: {0}")]
    Unreachable(Arc<str>),
    #[error("too many names wait to be resolved")]
    Busy,
    #[error("the resolver has stopped")]
    Stopped,
}

impl DnsError {
    /// Whether the name's own servers said so; otherwise the next look-up may well succeed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoName | Self::NoAddress | Self::Invalid)
    }
}

/// Never empty, at most [`ADDRESSES_MAX`] of each family.
pub type Answer = Result<Arc<[IpAddr]>, DnsError>;

/// What a look-up found, and for how long its source says that this holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub answer: Answer,
    /// `None` where nobody said.
    pub ttl: Option<Duration>,
}

impl Found {
    #[must_use]
    pub fn error(error: DnsError, ttl: Option<Duration>) -> Self {
        Self { answer: Err(error), ttl }
    }
}
