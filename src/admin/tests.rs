//! The whole admin port over real sockets, on the real registry and the built-in catalogue.

mod access;
mod api;
mod audit;
mod bench;
mod deliveries;
mod filters;
mod idempotency;
mod jwt;
mod limits;
mod openapi;
mod serving;
mod session;
mod stream;
