//! The stream of attempts: what it says, to whom, and when it ends.

#![expect(clippy::disallowed_methods, reason = "these tests watch real time from outside")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bench::{Bench, TOKEN};
use crate::model::{
    Attempt, AttemptError, Disposition, ErrorKind, Seq, SubscriptionKey, Trigger, UnixMillis,
};
use crate::registry::FLAG_WEBHOOKS;

const PATH: &str = "/api/v1/accounts/acme/deliveries/stream";

/// A stream that is open: its connection after the head of the answer.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The status, and the stream where it is 200.
    fn open(bench: &Bench, path: &str, token: &str) -> (u16, Self) {
        let mut connection = TcpStream::connect(bench.address).expect("connects");
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        connection.write_all(head.as_bytes()).expect("writes");
        let mut stream = Self(BufReader::new(connection));
        let first = stream.line().expect("an answer");
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut typed = status != 200;
        while let Some(line) = stream.line().filter(|line| !line.is_empty()) {
            typed |= line == "content-type: text/event-stream";
        }
        assert!(typed);
        (status, stream)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.0.read_line(&mut line).expect("reads in time") > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event's name and data; `None` where the stream has ended.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let line = self.line()?;
            // The last chunk.
            if line == "0" {
                return None;
            }
            if let Some(name) = line.strip_prefix("event: ") {
                let data = self.line()?;
                let data = data.strip_prefix("data: ").expect("data follows");
                return Some((name.to_owned(), serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}

fn subscribe(bench: &Bench, account: &str) -> (SubscriptionKey, String) {
    let body = json!({"callbackUrl": "https://example.com/hook", "name": "n", "events": ["*"]});
    let answer = bench.call("POST", &format!("/api/v1/accounts/{account}/subscriptions"), Some(&body)).json();
    let id = answer["id"].as_str().expect("an id").to_owned();
    let registry = bench.admin.registry();
    let all = registry.accounts_after(None).flat_map(|account| registry.subscriptions_of(account.key));
    let key = all.into_iter().find(|sub| sub.id.as_str() == id).expect("made").key;
    (key, id)
}

fn tell(bench: &Bench, key: SubscriptionKey, seq: Seq, disposition: Disposition) {
    let failed = disposition != Disposition::Delivered;
    let attempt = Attempt {
        seq,
        number: 3,
        trigger: Trigger::Retry,
        started_at: UnixMillis(1_000),
        duration_ms: 7,
        status: Some(if failed { 500 } else { 204 }),
        error: failed.then(|| AttemptError { kind: ErrorKind::Status, message: "said 500".to_owned() }),
        response: None,
        disposition,
        body_size: 100,
    };
    bench.admin.live.tell(vec![(key, attempt)], vec![UnixMillis(500)]);
}

fn token(bench: &Bench, account: &str, role: &str) -> (String, String) {
    let body = json!({"name": "t", "kind": "user", "role": role, "platformUser": true});
    let made = bench.call("POST", &format!("/api/v1/accounts/{account}/tokens"), Some(&body)).json();
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    (text("id"), text("token"))
}

#[test]
fn attempts_are_told_as_they_happen_to_who_asked() {
    let bench = Bench::new();
    let ((key, id), (other, other_id)) = (subscribe(&bench, "acme"), subscribe(&bench, "acme"));
    let (foreign, _) = subscribe(&bench, "foreign");
    let (_, viewer) = token(&bench, "acme", "viewer");
    let (_, mut all) = Stream::open(&bench, PATH, TOKEN);
    let (_, mut one) = Stream::open(&bench, &format!("{PATH}?subscriptionId={id}"), &viewer);
    let theirs = bench.event("foreign", "e-0", "user.created");
    let seq = bench.event("acme", "e-1", "user.created");
    tell(&bench, foreign, theirs, Disposition::Delivered);
    tell(&bench, other, seq, Disposition::Delivered);
    tell(&bench, key, seq, Disposition::Retry(UnixMillis(9_000)));
    let (name, first) = all.next().expect("told");
    assert_eq!((name.as_str(), &first["subscriptionId"]), ("attempt", &json!(other_id)));
    assert_eq!((&first["status"], &first["nextAttemptAt"]), (&json!("delivered"), &Value::Null));
    let want = json!({
        "eventId": "e-1", "subscriptionId": id, "type": "user.created", "status": "retrying", "attempts": 3,
        "acceptedAt": "1970-01-01T00:00:00.500Z", "lastAttemptAt": "1970-01-01T00:00:01.000Z",
        "nextAttemptAt": "1970-01-01T00:00:09.000Z",
        "attempt": {"number": 3, "trigger": "retry", "startedAt": "1970-01-01T00:00:01.000Z",
            "durationMs": 7, "statusCode": 500, "error": {"kind": "status", "message": "said 500"}},
    });
    assert_eq!(all.next(), Some(("attempt".to_owned(), want.clone())));
    assert_eq!(one.next(), Some(("attempt".to_owned(), want)), "of one subscription nothing else");
}

#[test]
fn it_asks_as_the_lists_do() {
    let bench = Bench::new();
    subscribe(&bench, "acme");
    let (_, stranger) = token(&bench, "other", "account_owner");
    assert_eq!(Stream::open(&bench, PATH, &stranger).0, 404);
    assert_eq!(Stream::open(&bench, PATH, "prt_unknown").0, 401);
    assert_eq!(Stream::open(&bench, &format!("{PATH}?subscriptionId=a%20b"), TOKEN).0, 422);
    assert_eq!(Stream::open(&bench, "/api/v1/accounts/nobody/deliveries/stream", TOKEN).0, 404);
}

#[test]
fn it_ends_with_the_right_to_it() {
    let bench = Bench::new();
    subscribe(&bench, "acme");
    let (id, owner) = token(&bench, "acme", "account_owner");
    let (status, mut stream) = Stream::open(&bench, PATH, &owner);
    assert_eq!(status, 200);
    bench.call("DELETE", &format!("/api/v1/accounts/acme/tokens/{id}"), None);
    assert_eq!(stream.next(), None, "the token is gone");
    let (_, viewer) = token(&bench, "acme", "viewer");
    let (status, mut stream) = Stream::open(&bench, PATH, &viewer);
    assert_eq!(status, 200);
    let path = format!("/api/v1/accounts/acme/features/{FLAG_WEBHOOKS}");
    bench.call("PUT", &path, Some(&json!({"enabled": false})));
    assert_eq!(stream.next(), None, "the flag is off");
    assert_eq!(Stream::open(&bench, PATH, &viewer).0, 403);
}

#[test]
fn places_are_bounded_and_come_back() {
    let bench = Bench::new();
    subscribe(&bench, "acme");
    let mut streams: Vec<_> = (0..16).map(|_| Stream::open(&bench, PATH, TOKEN)).collect();
    assert!(streams.iter().all(|(status, _)| *status == 200));
    assert_eq!(Stream::open(&bench, PATH, TOKEN).0, 429);
    streams.clear();
    let give_up = Instant::now() + Duration::from_secs(20);
    while Stream::open(&bench, PATH, TOKEN).0 != 200 {
        assert!(Instant::now() < give_up, "a place comes back when its reader leaves");
    }
}

#[test]
fn it_ends_at_once_when_the_port_does() {
    let mut bench = Bench::new();
    subscribe(&bench, "acme");
    let (_, mut stream) = Stream::open(&bench, PATH, TOKEN);
    let asked = Instant::now();
    bench.stop();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(stream.next(), None);
}
