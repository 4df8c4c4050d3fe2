//! The admin port: configuration over HTTP, deliveries to look at, metrics and probes.
//!
//! One thread, `control`, with a current-thread runtime and axum: off the hot path a well-kept library is
//! worth more than speed. Reads of the configuration come from the registry's memory; changes go through
//! [`Changes`] to the log's writer and are answered when they are durable; reads of the log run on a small
//! blocking pool through [`Queries`]. All routes stand on one screen in `routes`.
//!
//! Deliberately absent: knowledge of the store, and any way to block a worker.

mod accounts;
mod audit;
mod auth;
mod body;
mod caller;
mod certificate;
mod charts;
mod checkpoint;
mod console;
mod deliveries;
mod delivery_search;
mod event_types;
mod events;
mod filters;
mod idempotency;
mod jobs;
mod jwt;
mod limits;
mod listing;
mod live;
mod made;
mod openapi;
mod origin;
mod overview;
mod peer;
mod ports;
mod probes;
mod problem;
mod query;
mod readiness;
mod replay;
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
pub use idempotency::InWork;
pub use jwt::{Jwt, JwtError, JwtFiles};
pub use limits::Limits;
pub use live::Live;
pub use origin::Frames;
pub use overview::{Pulse, Sample};
pub use ports::{
    Again, BoxFuture, BreakerState, Changes, Checkpoints, EventsPage, EventsQuery, Health, HealthState,
    Healths, JobError, Jobs, Lasts, Place, Queries, QueryError, ReplayError, Replays, Standing,
    StandingQuery,
};
pub use readiness::{HEARTBEAT_AGE_MAX, Readiness};
pub use serve::{AdminError, Bound, CONNECTIONS_MAX, bind, serve, start};
pub use session::Sessions;
pub use state::Admin;

#[cfg(test)]
mod tests;
