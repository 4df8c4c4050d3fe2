//! The runtime's edge: the only clock, the only randomness, pinning, and the start of a monoio thread.
//!
//! Everything else is told the time and handed its random bytes, so that it can be tested without.

pub mod clock;
pub mod random;
