//! A host that is down: the engine leaves it alone, says so, and finds out when it is back.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::wait::{PATIENCE, never_during, until};

const BREAKER: &str = "min_requests = 5\nopen = \"1s\"\nopen_max = \"2s\"";

fn options() -> Options {
    Options { breaker: BREAKER, retries: &["500ms"; 12], ..Options::default() }
}

fn send(engine: &Engine, prefix: &str, count: usize) {
    let mut ingest = engine.ingest();
    let all: Vec<_> =
        (0..count).map(|n| event("acme", "user.created", &format!("{prefix}-{n}"), "{}")).collect();
    for part in all.chunks(500) {
        ingest.send(part).unwrap().want(202);
    }
}

fn until_breaker(engine: &Engine, sub: &str, state: &str) {
    until(&format!("the breaker to be {state}"), || {
        let health = engine.subscription("acme", sub)["health"].clone();
        if health["breaker"] == state { Ok(()) } else { Err(health) }
    });
}

fn said(engine: &Engine, what: &str, host: &str) -> bool {
    engine.said().iter().any(|line| line.contains(what) && line.contains(host))
}

#[test]
fn a_dead_host_is_left_alone_and_gets_its_backlog_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &options());
    // An address at which nobody listens until later.
    let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    reserved.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = reserved.local_addr().unwrap().as_socket().unwrap().to_string();
    let well = Receiver::start();
    let well_sub = engine.subscribe(&well, "acme", "/well", &["*"], &json!({}));
    let body = json!({"name": "dead", "callbackUrl": format!("http://{address}/dead"), "events": ["*"]});
    let made = engine.api("POST", "/accounts/acme/subscriptions", Some(&body)).want(201).json();
    let dead = made["id"].as_str().unwrap();

    send(&engine, "e", 1000);
    until_breaker(&engine, dead, "open");
    let health = engine.subscription("acme", dead)["health"].clone();
    assert_eq!(health["nextProbeAt"].is_string(), health["breaker"] == "open", "{health}");
    engine.until_metric("postrider_breakers{state=\"open\"}", PATIENCE, |open| open == 1.0);
    assert!(engine.metric("postrider_breaker_transitions_total{state=\"open\"}") >= 1.0);
    assert!(said(&engine, "breaker open", &address), "{:?}", engine.said());
    well.await_count("/well", 1000, PATIENCE);
    assert_eq!(engine.subscription("acme", &well_sub)["health"]["breaker"], "closed");
    assert_eq!(well.count("/well"), 1000, "the neighbour got all of it, each once");

    // Some were in flight when it opened; from then on there is a probe in a second or two.
    let tried = engine.metric("postrider_attempts_total{outcome=\"connect\"}");
    assert!(tried <= 5.0 + 32.0 + 4.0, "{tried} attempts at a dead host");
    never_during(Duration::from_secs(3), || {
        let more = engine.metric("postrider_attempts_total{outcome=\"connect\"}") - tried;
        assert!(more <= 4.0, "{more} attempts in three seconds");
    });
    let queued = engine.metric("postrider_queued");
    assert!(queued <= 4.0, "{queued} wait in memory for a host that is down");

    reserved.listen(1024).unwrap();
    let back = Receiver::start_on(reserved.into());
    back.trust(dead, &engine.secret("acme", dead));
    until_breaker(&engine, dead, "closed");
    engine.until_settled(1000);
    let records = back.records("/dead");
    let mut ids: Vec<_> = records.iter().map(|record| record.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((records.len(), ids.len()), (1000, 1000), "every event, each once");
    assert!(said(&engine, "breaker half-open", &address) && said(&engine, "breaker closed", &address));
    let most = records.iter().map(|record| record.attempt).max().unwrap();
    let later = records.iter().filter(|record| record.attempt > 1).count();
    println!("{later} of 1000 had failed before, at most {} times", most - 1);
    assert!(later <= 60, "waiting for a breaker is no attempt");
}

#[test]
fn what_a_receiver_says_decides() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &options());
    // Hosts of their own: a breaker is per host.
    let cases = [(500, "open"), (503, "open"), (429, "closed"), (404, "closed"), (302, "closed")];
    let receivers: Vec<_> = cases.iter().map(|_| Receiver::start()).collect();
    let mut subs = Vec::new();
    for ((status, _), receiver) in cases.iter().zip(&receivers) {
        let status = *status;
        receiver.on("/", move |_| Reply::Status(status));
        subs.push(engine.subscribe(receiver, "acme", "/", &["*"], &json!({})));
    }
    send(&engine, "e", 20);
    for (((status, state), receiver), sub) in cases.iter().zip(&receivers).zip(&subs) {
        if *state == "open" {
            until_breaker(&engine, sub, "open");
        } else {
            receiver.await_count("/", 20, PATIENCE);
            let health = engine.subscription("acme", sub)["health"].clone();
            assert_eq!(health["breaker"], "closed", "{status}: {health}");
        }
    }
}
