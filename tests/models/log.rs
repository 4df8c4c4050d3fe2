//! The log's side of the hand-off: its own types, and its own code.

pub use postrider::log::api;

#[path = "../../src/log/handing.rs"]
pub mod handing;
