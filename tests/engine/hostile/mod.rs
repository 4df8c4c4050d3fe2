//! Hostile receivers: whatever the other side does, the attempt ends inside its deadline as what it was, and
//! nobody else notices.
//!
//! Each behaviour is a script on a raw socket (`peer`), followed by a host of its own (`host`); tables of
//! cases (`case`) say what the attempt must become, as an operator sees it through the API.

mod case;
mod frames;
mod host;
mod peer;

mod answers;
mod h1_answers;
mod h1_failures;
mod h2_answers;
mod h2_ends;
mod h2_violations;
mod keep_alive;
mod neighbours;
mod redirects;
mod tls;

pub use peer::pause;
