//! Scheduling, pure: which delivery is sent when, and what is written down about it.
//!
//! One [`Shard`] per worker holds all that decides: queues per subscription, turns between them, limits,
//! retries, cursors, the watermark. It is told what happened (`handle_*`), says what to do
//! (`poll_action`, `poll_settlement`) and when it wants to be asked again (`next_wake`). It has no clock,
//! no IO and no randomness; `tests/sim` runs it on virtual time.
//!
//! Drain order for the shell, after any input: `poll_action` until `None`, then `poll_settlement`,
//! then sleep until `next_wake` or the next input.

pub mod breaker;
pub mod flight;
pub mod host;
pub mod journal;
pub mod lane;
pub mod order;
pub mod pages;
pub mod replays;
pub mod retries;
pub mod shard;
pub mod turns;
pub mod watermark;

mod behind;
mod breaking;
mod changes;
mod health;
mod intake;
mod invariants;
mod observe;
mod outcomes;
mod reading;
mod room;
mod waking;

pub use breaker::{BreakerPolicy, BreakerState};
pub use flight::FlightId;
pub use invariants::Miscount;
pub use lane::Health;
pub use observe::Counts;
pub use order::Census;
pub use outcomes::Settled;
pub use pages::{Backlog, Body, HeadsPage, LogPage, Read, ReplayPage, RetryPage, SubscriptionPage};
pub use replays::{Again, Replay, Replayed};
pub use shard::{Action, Options, Send, Shard};
pub use turns::BreakerChange;
