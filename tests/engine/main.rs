//! The engine as a whole: the real binary, real sockets, real receivers, a real SIGKILL.
//!
//! Each test starts `postrider serve` on a directory of its own and talks to it as its users do: events
//! over the Unix socket, everything else over the admin address. Tests wait for conditions, each with a
//! deadline; none sleeps and hopes. Long variants by environment: `POSTRIDER_KILL_ROUNDS=200`,
//! `POSTRIDER_LAG_EVENTS=10000000`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is what they are for"
)]
#![allow(clippy::disallowed_methods, reason = "these tests watch real time from outside")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "counts of a test fit, as they are and as metrics"
)]

mod http;
mod identity;
#[allow(dead_code, reason = "the sender's own tests have it say more")]
#[path = "../../src/send/tests/nameserver.rs"]
mod nameserver;
#[path = "../../src/send/tests/pki.rs"]
#[allow(dead_code, reason = "the sender's own tests want more certificates")]
mod pki;
mod process;
mod receiver;
#[path = "../../src/send/tests/server.rs"]
#[allow(dead_code, reason = "the sender's own tests look at more")]
mod server;
mod wait;

mod access;
mod breaker;
mod browser;
mod cli;
mod cli_recover;
mod cli_tail;
mod deadline;
mod delivery;
mod disabled;
mod disk;
mod egress;
mod filter;
mod hostile;
mod isolation;
mod kill;
mod lag;
mod order;
mod peers_nginx;
mod peers_node;
mod peers_schemathesis;
mod peers_standardwebhooks;
mod rate;
mod recover;
mod replay;
mod retries;
mod secrets;
mod stop;
mod store;
mod tls;
mod vouched;
mod weather;
