//! The log: one RocksDB, one thread that writes it, and what others may ask of it.
//!
//! `key`, `record`, `fingerprint`, `dedupe`, `timeline`, `rollups` and `floor` are pure; `db` alone imports rocksdb.
//! `api` is the boundary at which another engine could stand in: nothing outside assumes that the log is
//! local.

pub mod dedupe;
pub mod fingerprint;
pub mod floor;
pub mod key;
pub mod record;
pub mod rollups;
pub mod timeline;

#[cfg(feature = "engine")]
mod announcing;
#[cfg(feature = "engine")]
pub mod api;
#[cfg(feature = "engine")]
mod auditing;
#[cfg(feature = "engine")]
pub mod backup;
#[cfg(feature = "engine")]
mod census;
#[cfg(feature = "engine")]
mod charts;
#[cfg(feature = "engine")]
mod commit;
#[cfg(feature = "engine")]
pub mod db;
#[cfg(feature = "engine")]
mod family;
#[cfg(feature = "engine")]
pub mod guard;
#[cfg(feature = "engine")]
mod handing;
#[cfg(feature = "engine")]
pub mod listing;
#[cfg(feature = "engine")]
pub mod options;
#[cfg(feature = "engine")]
mod pages;
#[cfg(feature = "engine")]
mod publish;
#[cfg(feature = "engine")]
pub mod query;
#[cfg(feature = "engine")]
pub mod reader;
#[cfg(feature = "engine")]
pub mod recover;
#[cfg(feature = "engine")]
pub mod recovery;
#[cfg(feature = "engine")]
mod replays;
#[cfg(feature = "engine")]
mod retention;
#[cfg(feature = "engine")]
mod rows;
#[cfg(feature = "engine")]
mod sealing;
#[cfg(feature = "engine")]
mod settling;
#[cfg(feature = "engine")]
pub mod stats;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "engine")]
mod upkeep;
#[cfg(feature = "engine")]
pub mod verify;
#[cfg(feature = "engine")]
pub mod waiting;
#[cfg(feature = "engine")]
pub mod writer;

#[cfg(all(test, feature = "engine"))]
mod tests;
