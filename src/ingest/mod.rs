//! Ingest: a request on the local socket → durable events and an answer for each.
//!
//! Pure: `format`, `members`, `request`, `cloudevents`, `envelope`, `rejection`, `answer`, `admission`,
//! `server_id`. Shell: `shell` (what it needs from outside), `server` (the thread), `listener` (sockets and
//! their files), `connection`, `timed_io`, `handler`, `body`.
//! Deliberately absent: whether an event is a duplicate and what is durable (the log), and who wants it
//! (route). Nothing here retries: what cannot be taken now is refused, whole, and the client is told when
//! to come back.

pub mod admission;
pub mod answer;
mod cloudevents;
mod envelope;
pub mod format;
mod members;
pub mod rejection;
pub mod request;
mod server_id;

#[cfg(feature = "engine")]
mod body;
#[cfg(feature = "engine")]
mod connection;
#[cfg(feature = "engine")]
mod handler;
#[cfg(feature = "engine")]
pub mod listener;
#[cfg(feature = "engine")]
pub mod server;
#[cfg(feature = "engine")]
mod shell;
#[cfg(feature = "engine")]
pub mod timed_io;

#[cfg(test)]
mod cloudevents_tests;
#[cfg(test)]
mod request_properties;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
#[cfg(feature = "engine")]
mod server_limit_tests;
#[cfg(test)]
#[cfg(feature = "engine")]
mod server_tests;
#[cfg(test)]
#[cfg(feature = "engine")]
mod test_rig;

pub use request::{Limits, Types};
pub use server_id::server_id;
#[cfg(feature = "engine")]
pub use shell::{Access, Append, Authorize, IngestMetrics, IngestOptions, Parts};

/// What the fuzzer calls: the first byte chooses the form, the rest is the body. Every body that comes
/// of it must be JSON and begin with its id.
///
/// # Panics
/// Where that does not hold, which is what the fuzzer looks for.
pub fn fuzz_request(bytes: &[u8]) {
    struct Any;
    impl Types for Any {
        fn resolve(&self, name: &str) -> Option<(crate::model::TypeBit, &str)> {
            (name.len() > 1).then_some((crate::model::TypeBit(1), "any"))
        }
    }
    let Some((form, body)) = bytes.split_first() else { return };
    let attributes: Vec<(&str, &[u8])> = ["specversion", "id", "source", "type", "accountid", "time"]
        .into_iter()
        .zip(body.split(|b| *b == 0))
        .collect();
    let (content_type, attributes): (&[u8], &[_]) = match form % 5 {
        0 => (b"application/json", &[]),
        1 => (b"application/x-ndjson", &[]),
        2 => (b"application/cloudevents+json", &[]),
        3 => (b"application/cloudevents-batch+json", &[]),
        _ => (b"application/json", &attributes),
    };
    let head = format::Head { content_type: Some(content_type), attributes };
    let limits = Limits { max_event_size: 1 << 16, max_batch: 64, max_request_size: 1 << 20 };
    let new_id = || server_id(crate::model::UnixMillis(0), [0; 10]);
    let context = request::Context::new(&Any, limits, crate::model::UnixMillis(0), &new_id, None);
    for event in request::parse(&head, body, &context).into_iter().flatten().flatten() {
        let prefix = event.body.strip_prefix(crate::model::event::BODY_PREFIX);
        assert!(prefix.is_some_and(|rest| rest.starts_with(event.id.as_str().as_bytes())));
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&event.body).is_ok());
    }
}
