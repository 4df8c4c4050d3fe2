//! What receivers do to a connection between two requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::host::Host;
use super::peer::Peer;
use crate::http::event;
use crate::process::{Engine, Options};
use crate::wait::until;

const ROUNDS: usize = 100;
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

struct Rig {
    engine: Engine,
    host: Host,
    sub: String,
    _dir: TempDir,
}

impl Rig {
    /// `delivery`: keys of the configuration's table.
    fn new(delivery: &'static str, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { retries: &["1h"], delivery, ..Options::default() };
        let engine = Engine::start(dir.path(), &options);
        let host = Host::start(Arc::new(script));
        let sub = engine.subscribe_url("acme", &host.url("/"), &["*"], &json!({}));
        Self { engine, host, sub, _dir: dir }
    }

    fn send(&self, ids: &[String]) {
        let events: Vec<_> = ids.iter().map(|id| event("acme", "user.created", id, "{}")).collect();
        self.engine.ingest().send(&events).unwrap().want(202);
    }

    /// The first attempt, once there is an outcome.
    fn outcome(&self, id: &str) -> Value {
        until(&format!("an outcome of {id}"), || {
            let found = self.engine.delivery("acme", &self.sub, id);
            found.clone().filter(|found| found["status"] != "pending").ok_or(found)
        });
        self.engine.attempts("acme", &self.sub, id).remove(0)
    }
}

/// The receiver closes after each answer without having said so: no delivery fails by it, none comes twice.
#[test]
fn closed_after_each_answer() {
    let seen: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let note = Arc::clone(&seen);
    let rig = Rig::new("", move |peer| {
        if let Some(asked) = peer.request() {
            *note.lock().unwrap().entry(asked.id).or_default() += 1;
            peer.say(NO_CONTENT);
        }
        peer.close();
    });
    for n in 0..ROUNDS {
        let id = format!("e-{n}");
        rig.send(std::slice::from_ref(&id));
        let attempt = rig.outcome(&id);
        assert_eq!((&attempt["number"], &attempt["statusCode"]), (&json!(1), &json!(204)), "{attempt}");
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() == ROUNDS && seen.values().all(|times| *times == 1), "{seen:?}");
    assert_eq!(rig.host.accepted(), ROUNDS);
}

/// The receiver closes when the next request has come: it may have been processed, so it is a failure that is
/// told, not a repetition that is not.
#[test]
fn closed_under_a_request() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let rig = Rig::new("", move |peer| {
        for last in [false, true] {
            if peer.request().is_none() {
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            if last {
                return peer.close();
            }
            peer.say(NO_CONTENT);
        }
    });
    for n in 0..ROUNDS {
        let id = format!("e-{n}");
        rig.send(std::slice::from_ref(&id));
        let attempt = rig.outcome(&id);
        let want = if n % 2 == 0 { Value::Null } else { json!("reset") };
        assert_eq!(attempt["error"]["kind"], want, "{n}: {attempt}");
    }
    assert_eq!((requests.load(Ordering::SeqCst), rig.host.accepted()), (ROUNDS, ROUNDS / 2));
}

/// Each first answer on a connection brings a second one along, as if smuggled: no other delivery may take it.
#[test]
fn an_answer_that_nobody_asked_for() {
    const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    let firsts = [
        NO_CONTENT.to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\ncontent-length: 8\r\n\r\n".to_owned(),
    ];
    let again = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&again);
    // One connection: what waits takes it as soon as the first answer is read.
    let rig = Rig::new("max_connections_per_host = 1", move |peer| {
        if peer.request().is_none() {
            return;
        }
        let first = &firsts[peer.number % firsts.len()];
        peer.say(first.clone() + SMUGGLED);
        if peer.request().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let ids: Vec<_> = (0..ROUNDS).map(|n| format!("e-{n}")).collect();
    for part in ids.chunks(10) {
        rig.send(part);
    }
    for id in &ids {
        let attempt = rig.outcome(id);
        assert_eq!(attempt["error"], Value::Null, "{attempt}");
        assert_ne!(attempt["response"]["body"], "smuggled", "{attempt}");
    }
    // A connection that said too much is not used again.
    assert_eq!((again.load(Ordering::SeqCst), rig.host.accepted()), (0, ROUNDS));
    rig.host.until_closed("a second answer");
}

/// Bytes on an idle connection close it; the next delivery takes another.
#[test]
fn bytes_between_two_requests() {
    let rig = Rig::new("", |peer| {
        peer.request();
        peer.say(NO_CONTENT);
        super::peer::pause(std::time::Duration::from_millis(5));
        peer.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        peer.until_closed();
    });
    for n in 0..ROUNDS / 5 {
        let id = format!("e-{n}");
        rig.send(std::slice::from_ref(&id));
        let attempt = rig.outcome(&id);
        assert_eq!(attempt["statusCode"], 204, "{attempt}");
        // Its own word has been read by now: the engine has closed.
        rig.host.until_closed("bytes between two requests");
    }
    assert_eq!(rig.host.accepted(), ROUNDS / 5);
}
