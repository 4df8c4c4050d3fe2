//! Sending.

pub mod verify;
