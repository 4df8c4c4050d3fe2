//! Routing: which subscriptions an event is for, and which worker owns each of them.
//!
//! Pure. [`Index`] is an immutable snapshot: a change of the configuration makes a new one that shares all
//! but one account's part with the old. Whether a subscription wants an event is decided by its epochs, so
//! any index that is at least as new as the event routes it exactly.

mod index;
mod owner;
mod part;
mod table;

pub use index::{Index, WORKERS_MAX};
pub use owner::{Placement, hash_of};
pub use part::LINEAR_MAX;
