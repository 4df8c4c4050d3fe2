//! Nine good receivers beside one bad one, for each way of being bad: what the nine notice, and what it leaves
//! behind in the engine.
//!
//! Rounds with and without the bad one alternate on one engine, since machines are noisy. An event for the bad
//! one accompanies each event for the nine, in the same request; without it, the same event is nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::host::{Deaf, Host, Script};
use super::peer::{Peer, pause};
use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::Receiver;
use crate::wait::{PATIENCE, alone, number, quantile, until_within};

const GOOD: usize = 9;
/// Events of one round; the share above p99 must be more than a handful of the nine times as many arrivals.
const EVENTS: usize = 150;
/// Rounds of each class; the first is the warm-up.
const ROUNDS: usize = 3;
/// What is asked of a quiet machine.
const BAR: f64 = 1.2;
/// What is asked here, where floods and tests share two cores with whatever else runs.
const RATIO_MAX: f64 = 3.0;
const ABSOLUTE: Duration = Duration::from_millis(25);
/// Each class may leave caches a little larger; a leak of each connection's buffers would be more.
const RSS_GROWTH_KIB_MAX: u64 = 32 * 1024;
const DESCRIPTORS_SLACK: usize = 24;

fn script(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Option<Script> {
    Some(Arc::new(script))
}

/// `None` is the host that never accepts.
fn classes() -> Vec<(&'static str, Option<Script>)> {
    let answer_then = |head: &'static str, flood: &'static str| {
        script(move |peer| {
            peer.request();
            peer.say(head);
            peer.flood(flood);
        })
    };
    vec![
        ("never accepts", None),
        ("says nothing", script(|peer| drop(peer.request()))),
        ("reads nothing", script(|_| pause(Duration::from_secs(1)))),
        (
            "slow header",
            script(|peer| {
                peer.request();
                while peer.drip("x", Duration::from_millis(10)) {}
            }),
        ),
        ("interim flood", answer_then("", "HTTP/1.1 100 Continue\r\n\r\n")),
        ("header flood", answer_then("HTTP/1.1 200 OK\r\nx: ", "y")),
        ("endless body", answer_then("HTTP/1.1 200 OK\r\n\r\n", "z")),
        (
            "trailer flood",
            answer_then("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n"),
        ),
        ("garbage", answer_then("", "\u{1}\u{2}garbage\n")),
        ("reset after accept", script(Peer::reset)),
        (
            "reset under the answer",
            script(|peer| {
                peer.request();
                peer.say("HTTP/1.1 2");
                peer.reset();
            }),
        ),
        (
            "slow body",
            script(|peer| {
                peer.request();
                peer.say("HTTP/1.1 200 OK\r\n\r\n");
                while peer.drip("z", Duration::from_millis(10)) {}
            }),
        ),
        (
            "closes after each answer",
            script(|peer| {
                peer.request();
                peer.say("HTTP/1.1 204 No Content\r\n\r\n");
                pause(Duration::from_millis(1));
                peer.close();
            }),
        ),
    ]
}

struct Rig {
    engine: Engine,
    good: Vec<Receiver>,
    sent: usize,
}

impl Rig {
    /// Sends one after the other, each when the nine have the one before. Gives how long the nine waited.
    fn round(&mut self, companion: &str) -> Vec<Duration> {
        let mut ingest = self.engine.ingest();
        let mut sent = Vec::with_capacity(EVENTS);
        for n in self.sent..self.sent + EVENTS {
            let pair = [("user.created", "g"), (companion, "b")]
                .map(|(kind, prefix)| event("acme", kind, &format!("{prefix}-{n}"), "{}"));
            sent.push(Instant::now());
            ingest.send(&pair).unwrap().want(202);
            for receiver in &self.good {
                receiver.await_count("/", n + 1, PATIENCE);
            }
        }
        let arrivals = self.good.iter().flat_map(|receiver| receiver.records("/").split_off(self.sent));
        let took = arrivals.map(|record| {
            let number: usize = record.id.trim_start_matches("g-").parse().unwrap();
            record.at - sent[number - self.sent]
        });
        let took = took.collect();
        self.sent += EVENTS;
        took
    }

    fn bad(&self, script: Option<Script>) -> (String, Option<Host>, Option<Deaf>) {
        let host = script.map(Host::start);
        let deaf = host.is_none().then(Deaf::start);
        let address = host.as_ref().map(Host::address).or(deaf.as_ref().map(Deaf::address)).unwrap();
        let url = format!("http://{address}/");
        (self.engine.subscribe_url("acme", &url, &["user.updated"], &json!({})), host, deaf)
    }
}

#[test]
fn nine_good_ones_beside_a_bad_one() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        timeout: "1s",
        retries: &["1s"; 20],
        delivery: "connect_timeout = \"500ms\"",
        ..Options::default()
    };
    let engine = Engine::start(dir.path(), &options);
    let good: Vec<_> = (0..GOOD).map(|_| Receiver::start()).collect();
    for receiver in &good {
        engine.subscribe(receiver, "acme", "/", &["user.created"], &json!({}));
    }
    let mut rig = Rig { engine, good, sent: 0 };
    rig.round("user.deleted");
    let start = (rig.engine.rss_kib(), rig.engine.descriptors());
    let mut wrong = Vec::new();
    let rounds = number("POSTRIDER_HOSTILE_ROUNDS", ROUNDS as u64) as usize;
    for (name, script) in classes() {
        let (sub, host, _deaf) = rig.bad(script);
        let (mut well, mut ill) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (without, with) = (rig.round("user.deleted"), rig.round("user.updated"));
            if round > 0 || rounds == 1 {
                well.extend(without);
                ill.extend(with);
            }
        }
        rig.engine.api("DELETE", &format!("/accounts/acme/subscriptions/{sub}"), None).want(204);
        let [p50, p99] = [0.5, 0.99].map(|share| quantile(&mut well, share));
        let [ill_p50, ill_p99] = [0.5, 0.99].map(|share| quantile(&mut ill, share));
        let ratio = ill_p99.as_secs_f64() / p99.as_secs_f64();
        let bar = if ratio <= BAR { "holds" } else { "misses" };
        println!(
            "{name}: nine alone p50 {p50:?} p99 {p99:?}; beside it p50 {ill_p50:?} p99 {ill_p99:?}: \
             ratio {ratio:.2} ({bar} the bar of {BAR}); {} connections taken",
            host.as_ref().map_or(0, Host::accepted),
        );
        if ratio > RATIO_MAX && ill_p99 > p99 + ABSOLUTE {
            wrong.push(format!("{name}: p99 from {p99:?} to {ill_p99:?}"));
        }
        if let Some(host) = host {
            host.until_closed(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    rig.engine.until_quiet();
    let limit = (start.0 + RSS_GROWTH_KIB_MAX, start.1 + DESCRIPTORS_SLACK);
    let end = until_within("memory and descriptors to be as before", PATIENCE, || {
        let now = (rig.engine.rss_kib(), rig.engine.descriptors());
        if now.0 <= limit.0 && now.1 <= limit.1 { Ok(now) } else { Err((start, now)) }
    });
    println!(
        "resident {} KiB before, {} after; {} descriptors before, {} after",
        start.0, end.0, start.1, end.1
    );
}
