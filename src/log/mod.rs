//! The log: one RocksDB, one thread that writes it, and what others may ask of it.
//!
//! `key`, `record`, `fingerprint`, `dedupe` and `timeline` are pure; `db` alone imports rocksdb. `api` is
//! the boundary at which another engine could stand in: nothing outside assumes that the log is local.

#[cfg(feature = "engine")]
pub mod api;
pub mod dedupe;
pub mod fingerprint;
pub mod key;
pub mod record;
pub mod timeline;
