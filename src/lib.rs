//! Postrider: a durable webhook delivery engine.
//!
//! Modules in reading order: [`model`] is the language; an event then goes through [`ingest`], [`log`],
//! [`route`], [`schedule`], [`send`] and [`settle`]; [`registry`] holds what people configured; [`worker`],
//! [`admin`] and [`server`] make a program of it. ARCHITECTURE.md has the map and the invariants.
//!
//! Without the feature `engine` only the pure core is compiled: what decides, and nothing that acts.

#[cfg(feature = "engine")]
pub mod admin;
#[cfg(feature = "engine")]
pub mod cli;
pub mod config;
pub mod ingest;
pub mod log;
pub mod model;
pub mod recover;
pub mod registry;
pub mod route;
#[cfg(feature = "engine")]
pub mod rt;
pub mod schedule;
pub mod send;
#[cfg(feature = "engine")]
pub mod server;
pub mod settle;
#[cfg(feature = "engine")]
pub mod telemetry;
#[cfg(feature = "engine")]
pub mod worker;
