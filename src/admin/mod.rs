//! The admin port: configuration over HTTP, deliveries to look at, metrics and probes.
//!
//! One thread, `control`, with a current-thread runtime and axum: off the hot path a well-kept library is
//! worth more than speed. Reads of the configuration come from the registry's memory; changes go through
//! [`Changes`] to the log's writer and are answered when they are durable; reads of the log run on a small
//! blocking pool through [`Queries`]. All routes stand on one screen in `routes`.
//!
//! Deliberately absent: knowledge of the store, and any way to block a worker.

mod accounts;
mod auth;
mod body;
mod certificate;
mod charts;
mod console;
mod deliveries;
mod event_types;
mod events;
mod listing;
mod live;
mod ports;
mod probes;
mod problem;
mod query;
mod readiness;
mod routes;
mod segments;
mod serve;
mod session;
mod state;
mod stream;
mod subscription_view;
mod subscriptions;
mod tokens;

pub use auth::Operator;
pub use live::Live;
pub use ports::{
    BoxFuture, BreakerState, Changes, EventsPage, EventsQuery, Health, HealthState, Healths, Queries,
    QueryError,
};
pub use readiness::{HEARTBEAT_AGE_MAX, Readiness};
pub use serve::{AdminError, Bound, CONNECTIONS_MAX, bind, serve, start};
pub use session::Sessions;
pub use state::Admin;

#[cfg(test)]
mod tests;
