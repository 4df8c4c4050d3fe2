//! `Idempotency-Key`, over real sockets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bench::{Answer, Bench};
use crate::model::Refused;

const SUBSCRIPTIONS: &str = "/api/v1/accounts/acme/subscriptions";
const TOKENS: &str = "/api/v1/accounts/acme/tokens";

fn draft(name: &str) -> String {
    json!({"callbackUrl": "https://example.com/", "name": name, "events": ["*"]}).to_string()
}

fn post(bench: &Bench, path: &str, key: &str, body: &str) -> Answer {
    bench.request("POST", path, &[("idempotency-key", key)], Some(body))
}

fn count(bench: &Bench, path: &str) -> usize {
    bench.get(path)["items"].as_array().map_or(0, Vec::len)
}

/// The same answer, and no second thing made.
fn is_replay(first: &Answer, again: &Answer) {
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for name in ["location", "etag", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
}

#[test]
fn the_same_request_makes_one_thing() {
    let bench = Bench::new();
    let first = post(&bench, SUBSCRIPTIONS, "k-1", &draft("n"));
    assert_eq!(first.status, 201, "{first:?}");
    assert!(first.header("location").is_some() && first.header("etag").is_some());
    is_replay(&first, &post(&bench, SUBSCRIPTIONS, "k-1", &draft("n")));
    assert_eq!(count(&bench, SUBSCRIPTIONS), 1);
    let other = post(&bench, SUBSCRIPTIONS, "k-2", &draft("n"));
    assert_eq!((other.status, count(&bench, SUBSCRIPTIONS)), (201, 2));

    let new = r#"{"name":"n","kind":"user","role":"account_owner","platformUser":true}"#;
    let first = post(&bench, TOKENS, "k-3", new);
    assert_eq!(first.status, 201, "{first:?}");
    is_replay(&first, &post(&bench, TOKENS, "k-3", new));
    assert_eq!(count(&bench, TOKENS), 1);

    // Another principal's key is another key.
    let owner = format!("Bearer {}", first.json()["token"].as_str().expect("shown"));
    let headers = [("authorization", owner.as_str()), ("idempotency-key", "k-1")];
    let theirs = bench.request("POST", SUBSCRIPTIONS, &headers, Some(&draft("n")));
    assert_eq!((theirs.status, count(&bench, SUBSCRIPTIONS)), (201, 3));

    // A rotation done twice would make the first one's secret worthless.
    let path = format!("{SUBSCRIPTIONS}/{}/secret/rotate", other.json()["id"].as_str().expect("an id"));
    let first = post(&bench, &path, "k-4", "{}");
    assert_eq!(first.status, 200, "{first:?}");
    is_replay(&first, &post(&bench, &path, "k-4", "{}"));
}

#[test]
fn a_key_is_for_one_request() {
    let bench = Bench::new();
    assert_eq!(post(&bench, SUBSCRIPTIONS, "k", &draft("n")).status, 201);
    for (path, body) in [(SUBSCRIPTIONS, draft("other")), ("/api/v1/accounts/b/subscriptions", draft("n"))] {
        post(&bench, path, "k", &body).problem(422, "idempotency_key_reused");
    }
    assert_eq!(count(&bench, SUBSCRIPTIONS), 1);
    let long = "x".repeat(256);
    for wrong in [&long, "a b", "ö"] {
        assert_eq!(
            post(&bench, SUBSCRIPTIONS, wrong, &draft("n")).problem(422, "validation_failed"),
            ["Idempotency-Key"]
        );
    }
    assert_eq!(post(&bench, SUBSCRIPTIONS, &long[..255], &draft("n")).status, 201);
    // Where nothing is made it says nothing.
    let headers = [("idempotency-key", long.as_str())];
    assert_eq!(bench.request("GET", SUBSCRIPTIONS, &headers, None).status, 200);
}

#[test]
fn refusals_are_remembered_and_failures_are_not() {
    let bench = Bench::new();
    let first = post(&bench, SUBSCRIPTIONS, "k-1", "{}");
    first.problem(422, "validation_failed");
    is_replay(&first, &post(&bench, SUBSCRIPTIONS, "k-1", "{}"));
    post(&bench, SUBSCRIPTIONS, "k-1", &draft("n")).problem(422, "idempotency_key_reused");

    *bench.memory.refusing.lock().expect("lock") = Some(Refused::DiskReserve);
    post(&bench, SUBSCRIPTIONS, "k-2", &draft("n")).problem(503, "disk_reserve");
    *bench.memory.refusing.lock().expect("lock") = None;
    assert_eq!(post(&bench, SUBSCRIPTIONS, "k-2", &draft("n")).status, 201);
}

#[test]
fn many_at_once_make_one_thing() {
    let bench = Arc::new(Bench::new());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let bench = Arc::clone(&bench);
            std::thread::spawn(move || post(&bench, SUBSCRIPTIONS, "k", &draft("n")))
        })
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("asks")).collect();
    let made: Vec<Value> = answers.iter().filter(|it| it.status == 201).map(Answer::json).collect();
    assert!(!made.is_empty() && made.iter().all(|it| *it == made[0]), "{answers:?}");
    answers.iter().filter(|it| it.status != 201).for_each(|it| {
        it.problem(409, "idempotency_in_progress");
    });
    assert_eq!(count(&bench, SUBSCRIPTIONS), 1);
}
