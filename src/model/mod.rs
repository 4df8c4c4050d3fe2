//! Data that every stage speaks of: ids, time, events, the catalogue, subscriptions, outcomes.
//!
//! A type that exists is valid: parsing happens in constructors, and nothing downstream checks again.
//! Deliberately absent: behaviour that decides (that lives in `route`, `schedule`, `settle`), IO and clocks.

pub mod breaker;
pub mod bucket;
pub mod catalogue;
pub mod epoch;
pub mod event;
pub mod filter;
pub mod host_rules;
pub mod ids;
pub mod json;
pub mod mask;
pub mod nearest;
pub mod operational;
pub mod outcome;
pub mod paths;
pub mod payload;
pub mod refused;
pub mod rollup;
pub mod secret;
pub mod subscription;
pub mod time;
pub mod url;

pub use breaker::BreakerState;
pub use catalogue::{Catalogue, CustomType, EventType};
pub use epoch::Epoch;
pub use event::{Event, NewEvent, Seq};
pub use filter::{Filter, FilterError};
pub use host_rules::{HostRule, HostRules};
pub use ids::{AccountKey, AccountName, EventId, SubscriptionId, SubscriptionKey};
pub use json::JsonObject;
pub use mask::{EventMask, TypeBit};
pub use outcome::{Attempt, AttemptError, Captured, Disposition, ErrorKind, LastAttempt, Outcome, Trigger};
pub use paths::Paths;
pub use payload::Payload;
pub use refused::Refused;
pub use rollup::{Rollup, ended_at};
pub use secret::{PreviousKeys, Secrets, SigningKeys};
pub use subscription::{
    ClientIdentity, CustomHeader, DeliveryOptions, DisabledReason, OnBlocked, Ordering, SignatureScheme,
    Status, Subscription,
};
pub use time::{Mono, Now, UnixMillis};
pub use url::{Authority, CallbackUrl};
