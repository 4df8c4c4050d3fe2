//! Deliveries, attempts and events, joined from a log and real epochs.

use serde_json::{Value, json};

use super::bench::{Bench, STARTED_AT};
use crate::model::{
    Attempt, AttemptError, Captured, Disposition, ErrorKind, Rollup, Seq, SubscriptionKey, Trigger,
    UnixMillis,
};

fn subscribe(bench: &Bench, events: &Value) -> (SubscriptionKey, String) {
    let body = json!({"callbackUrl": "https://example.com/hook?k=v", "name": "n", "events": events,
        "headers": [{"name": "X-Key", "value": "s3cret"}]});
    let answer = bench.call("POST", "/api/v1/accounts/acme/subscriptions", Some(&body));
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    let registry = bench.admin.registry();
    let account = registry.accounts_after(None).next().expect("one").key;
    let key = registry.subscriptions_of(account).iter().find(|sub| sub.id.as_str() == id).expect("made").key;
    (key, id)
}

fn attempt(bench: &Bench, key: SubscriptionKey, seq: Seq, number: u16, disposition: Disposition) {
    let failed = disposition != Disposition::Delivered;
    let attempt = Attempt {
        seq,
        number,
        trigger: if number == 1 { Trigger::Event } else { Trigger::Retry },
        started_at: UnixMillis(seq.0 * 1000 + u64::from(number)),
        duration_ms: 7,
        status: Some(if failed { 500 } else { 204 }),
        error: failed.then(|| AttemptError { kind: ErrorKind::Status, message: "500".to_owned() }),
        response: failed.then(|| Captured {
            headers: "server: x\ncontent-type: text/plain\n".to_owned(),
            body: b"oops \xff".to_vec(),
            truncated: true,
        }),
        disposition,
        body_size: 100,
    };
    bench.shelf.attempts.lock().expect("lock").entry((key, seq)).or_default().push(attempt);
}

/// Reads all pages and returns `event/subscription/status` lines.
fn all(bench: &Bench, query: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page = bench.get(&format!("/api/v1/accounts/acme/deliveries?{query}{next}"));
        for item in page["items"].as_array().expect("items") {
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            found.push((text("eventId"), text("subscriptionId"), text("status")));
        }
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return found,
        }
    }
}

#[test]
fn charts_are_sums_of_spans_with_the_empty_ones() {
    let bench = Bench::new();
    let (key, id) = subscribe(&bench, &json!(["*"]));
    let seq = bench.event("acme", "e-1", "user.created");
    attempt(&bench, key, seq, 1, Disposition::Delivered);
    attempt(&bench, key, seq, 2, Disposition::Dead);
    let mut rollup = Rollup::default();
    for attempt in bench.shelf.attempts.lock().expect("lock").get(&(key, seq)).expect("made") {
        rollup.note(attempt, UnixMillis(attempt.started_at.0 - 93));
    }
    *bench.shelf.rollups.lock().expect("lock") =
        [0, 300_000, 3_600_000].map(|at| (UnixMillis(at), rollup)).to_vec();
    let path = format!("/api/v1/accounts/acme/subscriptions/{id}/stats");
    let chart = bench.get(&format!("{path}?since=1970-01-01T00:00:00Z&until=1970-01-01T01:29:59Z&step=1800"));
    // A quantile is right to within its step, which is 64 to 127 here.
    let delay = |p50: u64| json!({"avg": 100, "p50": p50, "p99": 100, "max": 100});
    let step =
        |at: &str, n: u64, delay: &Value| json!({"at": at, "delivered": n, "failed": n, "delayMs": delay});
    let want = [
        step("1970-01-01T00:00:00.000Z", 2, &delay(95)),
        step("1970-01-01T00:30:00.000Z", 0, &Value::Null),
        step("1970-01-01T01:00:00.000Z", 1, &delay(100)),
    ];
    assert_eq!((&chart["items"], &chart["step"]), (&json!(want), &json!(1800)));
    let day = bench.get(&path);
    assert_eq!((day["step"].as_u64(), day["items"].as_array().map(Vec::len)), (Some(300), Some(289)));
    let wrong = bench.call("GET", &format!("{path}?step=7&since=x"), None);
    assert_eq!(wrong.problem(422, "validation_failed"), ["since"]);
    let wrong = bench.call("GET", &format!("{path}?step=7"), None);
    assert_eq!(wrong.problem(422, "validation_failed"), ["step"]);
}

#[test]
fn deliveries_are_events_joined_with_who_wanted_them() {
    let bench = Bench::new();
    let (early, early_id) = subscribe(&bench, &json!(["user.*", "device.registered"]));
    let one = bench.event("acme", "e1", "user.created");
    let two = bench.event("acme", "e2", "device.registered");
    let (late, late_id) = subscribe(&bench, &json!(["*"]));
    let three = bench.event("acme", "e3", "user.created");
    bench.event("acme", "e4", "visitor.checked_in");
    attempt(&bench, early, one, 1, Disposition::Delivered);
    attempt(&bench, early, two, 1, Disposition::Retry(UnixMillis(5)));
    attempt(&bench, early, two, 2, Disposition::Retry(UnixMillis(9000)));
    attempt(&bench, late, three, 1, Disposition::Dead);
    let line = |event: &str, sub: &str, status: &str| (event.to_owned(), sub.to_owned(), status.to_owned());
    let e4 = line("e4", &late_id, "pending");
    let e3_early = line("e3", &early_id, "pending");
    let e3_late = line("e3", &late_id, "dead");
    let e2 = line("e2", &early_id, "retrying");
    let e1 = line("e1", &early_id, "delivered");
    let check = |query: &str, want: &[&(String, String, String)]| {
        for limit in [1, 2, 3, 250] {
            let got = all(&bench, &format!("limit={limit}&{query}"));
            assert_eq!(got.iter().collect::<Vec<_>>(), want, "{query}, limit {limit}");
        }
    };
    check("", &[&e4, &e3_early, &e3_late, &e2, &e1]);
    check(&format!("subscriptionId={early_id}"), &[&e3_early, &e2, &e1]);
    check("subscriptionId=sub_other", &[]);
    check("eventId=e3", &[&e3_early, &e3_late]);
    check("eventId=e3&type=device.registered", &[]);
    check("eventId=none", &[]);
    check("type=user.created", &[&e3_early, &e3_late, &e1]);
    check("type=user.*", &[&e3_early, &e3_late, &e1]);
    check("status=pending", &[&e4, &e3_early]);
    check("status=dead&eventId=e3", &[&e3_late]);
    check("since=1970-01-01T00:00:02Z&until=1970-01-01T00:00:03Z", &[&e2]);
    check("since=1970-01-01T00:00:03Z", &[&e4, &e3_early, &e3_late]);
    let page = bench.get("/api/v1/accounts/acme/deliveries?eventId=e2");
    let want = json!({"eventId": "e2", "subscriptionId": early_id, "type": "device.registered", "status": "retrying",
        "attempts": 2, "acceptedAt": "1970-01-01T00:00:02.000Z", "lastAttemptAt": "1970-01-01T00:00:02.002Z",
        "nextAttemptAt": "1970-01-01T00:00:09.000Z"});
    assert_eq!(page["items"], json!([want]));
}

#[test]
fn wrong_filters_are_named() {
    let bench = Bench::new();
    subscribe(&bench, &json!(["*"]));
    let query =
        "subscriptionId=a%20b&eventId=&type=nope&status=lost&since=today&until=x&cursor=AA&limit=999&x=1";
    let answer = bench.call("GET", &format!("/api/v1/accounts/acme/deliveries?{query}"), None);
    let mut fields = answer.problem(422, "validation_failed");
    fields.sort();
    let want = ["cursor", "eventId", "limit", "since", "status", "subscriptionId", "type", "until", "x"];
    assert_eq!(fields, want);
    let last = "MTg0NDY3NDQwNzM3MDk1NTE2MTUuMTg0NDY3NDQwNzM3MDk1NTE2MTU";
    assert_eq!(bench.get(&format!("/api/v1/accounts/acme/deliveries?cursor={last}"))["next"], Value::Null);
}

#[test]
fn a_page_looks_at_a_bounded_number_of_pairs() {
    let bench = Bench::new();
    subscribe(&bench, &json!(["*"]));
    for n in 0..4500 {
        bench.event("acme", &format!("e{n}"), "user.created");
    }
    let page = bench.get("/api/v1/accounts/acme/deliveries?status=delivered");
    assert_eq!(page["items"], json!([]));
    assert!(page["next"].is_string(), "a short page says where to go on");
    let asked = *bench.shelf.asked.lock().expect("lock");
    assert!((1..=9).contains(&asked), "2 000 pairs lie in nine buckets at most: {asked}");
    assert!(all(&bench, "status=delivered").is_empty(), "and it ends");
    let none = json!({"items": [], "next": null});
    assert_eq!(bench.get("/api/v1/accounts/acme/deliveries?status=dead"), none, "rows tell at once");
    assert_eq!(all(&bench, "status=pending&limit=250").len(), 4500);
}

#[test]
fn attempts_are_shown_without_what_is_secret() {
    let bench = Bench::new();
    let (key, id) = subscribe(&bench, &json!(["user.*"]));
    let seq = bench.event("acme", "e1", "user.created");
    bench.event("acme", "e2", "visitor.checked_in");
    let base = format!("/api/v1/accounts/acme/subscriptions/{id}/deliveries");
    assert_eq!(bench.get(&format!("{base}/e1/attempts")), json!({"items": [], "next": null}));
    attempt(&bench, key, seq, 1, Disposition::Retry(UnixMillis(9000)));
    attempt(&bench, key, seq, 2, Disposition::Delivered);
    let answer = bench.get(&format!("{base}/e1/attempts?limit=1"));
    let want = json!({
        "number": 1, "trigger": "event", "startedAt": "1970-01-01T00:00:01.001Z", "durationMs": 7,
        "statusCode": 500, "error": {"kind": "status", "message": "500"},
        "request": {"url": "https://example.com/hook?k=v", "bodySize": 100, "changedSince": true, "headers": [
            {"name": "content-type", "value": "application/json"},
            {"name": "user-agent", "value": concat!("Postrider/", env!("CARGO_PKG_VERSION"))},
            {"name": "webhook-id", "value": "e1"},
            {"name": "webhook-timestamp", "value": "1"},
            {"name": "postrider-subscription", "value": id},
            {"name": "postrider-attempt", "value": "1"},
            {"name": "X-Key", "value": "••••••"},
        ]},
        "response": {"headers": [{"name": "server", "value": "x"}, {"name": "content-type", "value": "text/plain"}],
            "body": "oops \u{fffd}", "truncated": true},
    });
    assert_eq!(answer["items"], json!([want]));
    let rest = bench.get(&format!("{base}/e1/attempts?cursor={}", answer["next"].as_str().expect("more")));
    assert_eq!((&rest["items"][0]["number"], &rest["items"][0]["error"]), (&json!(2), &Value::Null));
    // One that began after the subscription was last changed.
    if let Some(all) = bench.shelf.attempts.lock().expect("lock").get_mut(&(key, seq)) {
        all.push(Attempt { number: 3, started_at: UnixMillis(STARTED_AT + 999), ..all[0].clone() });
    }
    let shown = bench.get(&format!("{base}/e1/attempts"))["items"][2].clone();
    assert_eq!((&shown["number"], &shown["request"]["changedSince"]), (&json!(3), &json!(false)));
    for none in ["e2", "e3", "a%20b"] {
        bench.call("GET", &format!("{base}/{none}/attempts"), None).problem(404, "not_found");
    }
}

#[test]
fn a_custom_header_is_shown_in_the_place_of_the_one_it_replaces() {
    let bench = Bench::new();
    let (key, id) = subscribe(&bench, &json!(["user.*"]));
    let patch = json!({"headers": [{"name": "User-Agent", "value": "mine"}]});
    bench.call("PATCH", &format!("/api/v1/accounts/acme/subscriptions/{id}"), Some(&patch));
    let seq = bench.event("acme", "e1", "user.created");
    attempt(&bench, key, seq, 1, Disposition::Delivered);
    let answer = bench.get(&format!("/api/v1/accounts/acme/subscriptions/{id}/deliveries/e1/attempts"));
    let headers = answer["items"][0]["request"]["headers"].as_array().expect("headers");
    let agents: Vec<_> = headers
        .iter()
        .filter(|header| header["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("user-agent")))
        .collect();
    assert_eq!(agents, [&json!({"name": "User-Agent", "value": "••••••"})]);
}

#[test]
fn events_are_listed_without_their_data_and_shown_with_it() {
    let bench = Bench::new();
    subscribe(&bench, &json!(["*"]));
    for n in 1..=5 {
        bench.event("acme", &format!("e{n}"), if n == 3 { "user.created" } else { "visitor.checked_in" });
    }
    let page = bench.get("/api/v1/accounts/acme/events?limit=2");
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(ids(&page), ["e5", "e4"]);
    assert!(page["items"][0].get("data").is_none());
    let rest =
        bench.get(&format!("/api/v1/accounts/acme/events?cursor={}", page["next"].as_str().expect("more")));
    assert_eq!((ids(&rest), &rest["next"]), (vec!["e3".into(), "e2".into(), "e1".into()], &Value::Null));
    assert_eq!(ids(&bench.get("/api/v1/accounts/acme/events?type=user.*")), ["e3"]);
    assert_eq!(ids(&bench.get("/api/v1/accounts/acme/events?since=1970-01-01T00:00:04Z")), ["e5", "e4"]);
    let answer = bench.call("GET", "/api/v1/accounts/acme/events/e3", None);
    assert!(answer.text.contains(r#""data":{"n": 1.0}"#), "byte for byte: {}", answer.text);
    let shown = answer.json();
    assert_eq!(
        (&shown["type"], &shown["acceptedAt"]),
        (&json!("user.created"), &json!("1970-01-01T00:00:03.000Z"))
    );
    bench.call("GET", "/api/v1/accounts/acme/events/e9", None).problem(404, "not_found");
}
