//! Payload filters: kept, shown, replaced whole, removed; and tried before they are saved.

use serde_json::{Value, json};

use super::bench::Bench;

const SUBSCRIPTIONS: &str = "/api/v1/accounts/acme/subscriptions";

#[test]
fn a_filter_is_kept_replaced_whole_and_removed() {
    let bench = Bench::new();
    let first =
        json!({"and": [{"path": "data.floor", "gte": 3, "lt": 10}, {"path": "type", "prefix": "user."}]});
    let draft =
        json!({"callbackUrl": "https://example.com/hook", "name": "Relay", "events": ["*"], "filter": first});
    let answer = bench.call("POST", SUBSCRIPTIONS, Some(&draft));
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = answer.json();
    assert_eq!(made["filter"], first);
    let path = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().expect("an id"));
    let patch = |filter: &Value, version: u64| {
        let answer = bench.call("PATCH", &path, Some(&json!({"filter": filter})));
        assert_eq!((answer.status, answer.header("etag")), (200, Some(format!("\"{version}\"").as_str())));
        let after = answer.json();
        assert_eq!(after["filter"], *filter);
        assert_eq!(bench.get(&path)["filter"], *filter);
    };
    // Another member than the first had: a merge would have kept both.
    patch(&json!({"path": "data.floor", "eq": 4}), 2);
    patch(&json!({"path": "data.floor", "eq": 4}), 2);
    patch(&Value::Null, 3);
    let audit = bench.get("/api/v1/accounts/acme/audit");
    assert_eq!(audit["items"][0]["changes"], json!(["filter"]), "{audit}");
    let wrong =
        json!({"filter": {"or": [{"path": "dta.floor", "eq": 1}, {"path": "data.x", "in": [[]]}, 7]}});
    let answer = bench.call("PATCH", &path, Some(&wrong));
    let fields = ["filter.or[0].path", "filter.or[1].in[0]", "filter.or[2]"];
    assert_eq!(answer.problem(422, "validation_failed"), fields);
    assert!(answer.text.contains("did you mean \\\"data\\\"?"), "{answer:?}");
}

#[test]
fn a_filter_is_tried() {
    let bench = Bench::new();
    let path = "/api/v1/accounts/new-one/subscriptions:test-filter";
    let try_it = |body: &Value| bench.call("POST", path, Some(body));
    let check = |body: &Value, matches: bool| {
        let answer = try_it(body);
        assert_eq!((answer.status, answer.json()), (200, json!({"matches": matches})), "{body}: {answer:?}");
    };
    let floor = json!({"path": "data.floor", "gte": 3});
    check(&json!({"filter": floor, "event": {"type": "own", "data": {"floor": 3}}}), true);
    check(&json!({"filter": floor, "event": {"type": "own", "data": {"floor": 2}}}), false);
    check(&json!({"filter": floor, "event": {}}), false);
    check(&json!({"filter": floor, "type": "user.created", "data": {"floor": 12}}), true);
    check(&json!({"filter": floor, "type": "User Created Event", "data": {}, "event": null}), false);
    check(&json!({"filter": null, "type": "user.created"}), true);
    // The envelope is there too, and without data the sample.
    check(&json!({"filter": {"path": "accountId", "eq": "new-one"}, "type": "user.created"}), true);
    check(&json!({"filter": {"path": "type", "eq": "user.created"}, "type": "User Created Event"}), true);
    let sample = bench.get("/api/v1/event-types/user.created")["sample"].clone();
    let (name, _) = sample.as_object().and_then(|sample| sample.iter().next()).expect("a sample");
    check(&json!({"filter": {"path": format!("data.{name}"), "exists": true}, "type": "user.created"}), true);
    check(
        &json!({"filter": {"path": format!("data.{name}"), "exists": false}, "type": "user.created"}),
        false,
    );

    let refuse = |body: &Value, field: &str| {
        let answer = try_it(body);
        assert_eq!(answer.problem(422, "validation_failed"), [field], "{body}: {answer:?}");
    };
    refuse(&json!({"type": "user.created"}), "filter");
    refuse(&json!({"filter": floor}), "type");
    refuse(&json!({"filter": floor, "type": "user.creatd"}), "type");
    refuse(&json!({"filter": floor, "type": 1}), "type");
    refuse(&json!({"filter": floor, "type": "user.created", "data": []}), "data");
    refuse(&json!({"filter": floor, "event": 1}), "event");
    refuse(&json!({"filter": floor, "event": {}, "type": "user.created"}), "type");
    refuse(&json!({"filter": {"path": "data.floor", "gt": true}, "event": {}}), "filter.gt");
    refuse(&json!({"filter": floor, "event": {}, "sample": 1}), "sample");
    let answer = bench.call("POST", "/api/v1/accounts/a%20b/subscriptions:test-filter", Some(&json!({})));
    assert!(matches!(answer.status, 404 | 422), "{answer:?}");
}
