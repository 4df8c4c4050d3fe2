//! Every rule of contract §4 and §5 on what a subscription may be, one line each.

use serde_json::{Value, json};

use super::*;
use crate::registry::field::ERRORS_MAX;
use crate::registry::selectors::tests::Types;

fn base() -> Value {
    json!({"callbackUrl": "https://example.com/hook", "name": "Relay", "events": ["device.registered"]})
}

fn with(changes: &Value) -> Value {
    let mut value = base();
    if let (Some(map), Some(changes)) = (value.as_object_mut(), changes.as_object()) {
        map.extend(changes.clone());
    }
    value
}

fn found(errors: &[FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.field.as_str()).collect()
}

/// Checks that both a draft with `changes` and a patch of `changes` are taken, or refused at `field`.
fn check(changes: &Value, want: Result<(), (&str, &str)>) {
    let draft = Draft::parse(&with(changes), &Types).map(|_| ());
    let patch = Patch::parse(changes, &Types).map(|_| ());
    for (what, got) in [("draft", draft), ("patch", patch)] {
        match (got, want) {
            (Ok(()), Ok(())) => {}
            (Err(errors), Err((field, message))) => {
                assert_eq!(found(&errors), [field], "{what} {changes}: {errors:?}");
                assert!(errors[0].message.contains(message), "{what} {changes}: {errors:?}");
            }
            (got, want) => panic!("{what} {changes}: {got:?}, wanted {want:?}"),
        }
    }
}

#[test]
fn fields_one_by_one() {
    check(&json!({}), Ok(()));
    check(&json!({"name": "n".repeat(200)}), Ok(()));
    check(&json!({"name": "ü".repeat(200)}), Ok(()));
    check(&json!({"name": "n".repeat(201)}), Err(("name", "at most 200 characters, has 201")));
    check(&json!({"name": ""}), Err(("name", "empty")));
    check(&json!({"name": " \u{a0}"}), Err(("name", "blank")));
    check(&json!({"name": "a\nb"}), Err(("name", "control")));
    check(&json!({"name": 5}), Err(("name", "must be a string, is a number")));
    check(&json!({"name": null}), Err(("name", "is null")));
    check(&json!({"callbackUrl": "ftp://x/"}), Err(("callbackUrl", "https://")));
    check(&json!({"callbackUrl": ["https://x/"]}), Err(("callbackUrl", "is an array")));
    check(&json!({"callbackUrl": null}), Err(("callbackUrl", "is null")));
    check(&json!({"description": "d".repeat(2000)}), Ok(()));
    check(&json!({"description": "d".repeat(2001)}), Err(("description", "2000")));
    check(&json!({"description": {}}), Err(("description", "is an object")));
    check(&json!({"status": "inactive"}), Ok(()));
    check(&json!({"status": "Active"}), Err(("status", r#""active" or "inactive""#)));
    check(&json!({"status": null}), Err(("status", "active")));
    check(&json!({"headers": [{"name": "x-a", "value": "1"}]}), Ok(()));
    check(&json!({"headers": [{"name": "Host", "value": "1"}]}), Err(("headers[0].name", "connection")));
    check(&json!({"filter": null}), Ok(()));
    check(&json!({"filter": {"path": "data.floor", "gte": 3}}), Ok(()));
    check(&json!({"filter": {"path": "data.x", "eq": 1, "a": 1}}), Err(("filter.a", "no operator")));
    check(
        &json!({"filter": {"and": [{"path": "data.x", "eq": []}]}}),
        Err(("filter.and[0].eq", "must be a string")),
    );
    check(&json!({"calbackUrl": "https://x/"}), Err(("calbackUrl", "\"callbackUrl\"")));
    check(&json!({"zzz": 1}), Err(("zzz", "known are callbackUrl")));
    check(&json!({"id": "sub_1"}), Err(("id", "set by the server")));
    check(&json!({"version": 3}), Err(("version", "set by the server")));
}

#[test]
fn events() {
    check(&json!({"events": ["*", "user.*", "User Created Event", "device.added"]}), Ok(()));
    check(&json!({"events": []}), Err(("events", "at least one")));
    check(&json!({"events": "*"}), Err(("events", "must be an array, is a string")));
    check(&json!({"events": ["*", "user.*", "user.creatd"]}), Err(("events[2]", "\"user.created\"")));
    check(&json!({"events": ["*", 7]}), Err(("events[1]", "is a number")));
    check(&json!({"events": vec!["*"; 257]}), Err(("events", "at most 256")));
    let draft = Draft::parse(&with(&json!({"events": ["device.added", "device.registered", "*"]})), &Types);
    assert_eq!(draft.expect("valid").events, ["device.registered", "*"], "aliases are the same type");
}

#[test]
fn delivery() {
    let one = |field: &str, value: Value| json!({"delivery": {field: value}});
    check(&one("timeoutMs", json!(1)), Ok(()));
    check(&one("timeoutMs", json!(300_000)), Ok(()));
    check(&one("timeoutMs", json!(0)), Err(("delivery.timeoutMs", "from 1 to 300000")));
    check(&one("timeoutMs", json!(300_001)), Err(("delivery.timeoutMs", "from 1 to 300000")));
    check(&one("timeoutMs", json!("15s")), Err(("delivery.timeoutMs", "is a string")));
    check(&one("maxInFlight", json!(1024)), Ok(()));
    check(&one("maxInFlight", json!(1025)), Err(("delivery.maxInFlight", "from 1 to 1024")));
    check(&one("maxInFlight", json!(1.5)), Err(("delivery.maxInFlight", "whole")));
    check(&one("ratePerSecond", json!(null)), Ok(()));
    check(&one("ratePerSecond", json!(0.001)), Ok(()));
    check(&one("ratePerSecond", json!(100_000)), Ok(()));
    check(&one("ratePerSecond", json!(0)), Err(("delivery.ratePerSecond", "from 0.001 to 100000")));
    check(&one("ratePerSecond", json!(true)), Err(("delivery.ratePerSecond", "is a boolean")));
    check(&one("ordering", json!("fifo")), Ok(()));
    check(&one("ordering", json!("lifo")), Err(("delivery.ordering", r#""none" or "fifo""#)));
    check(&one("onBlocked", json!("park")), Ok(()));
    check(&one("onBlocked", json!(1)), Err(("delivery.onBlocked", "\"park\"")));
    check(&one("signature", json!("v1,v1a")), Ok(()));
    check(&one("signature", json!("v2")), Err(("delivery.signature", "\"v1,v1a\"")));
    check(&one("timeout", json!(1)), Err(("delivery.timeout", "\"timeoutMs\"")));
    check(&json!({"delivery": []}), Err(("delivery", "must be an object, is an array")));
}

#[test]
fn all_errors_at_once() {
    let errors =
        Draft::parse(&json!({"name": 1, "events": ["nope"], "extra": 1}), &Types).expect_err("wrong");
    assert_eq!(found(&errors), ["extra", "name", "events[0]", "callbackUrl"]);
    let errors = Draft::parse(&json!({}), &Types).expect_err("empty");
    assert_eq!(found(&errors), ["callbackUrl", "name", "events"]);
    for value in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(found(&Draft::parse(&value, &Types).expect_err("no object")), ["body"]);
    }
    let events: Vec<String> = (0..256).map(|n| format!("zz{n}")).collect();
    assert_eq!(Patch::parse(&json!({"events": events}), &Types).expect_err("many").len(), ERRORS_MAX);
}

#[test]
fn null_removes_in_a_patch_and_is_a_wrong_type_in_a_draft() {
    for changes in [json!({"description": null}), json!({"headers": null}), json!({"delivery": null})] {
        assert!(Patch::parse(&changes, &Types).is_ok(), "{changes}");
        assert!(Draft::parse(&with(&changes), &Types).is_err(), "{changes}");
    }
    let patch = Patch::parse(&json!({"delivery": {"timeoutMs": null, "ratePerSecond": null}}), &Types);
    let delivery = patch.expect("valid").delivery;
    assert_eq!(delivery.timeout, Field::Default);
    assert_eq!(delivery.rate_per_second, Field::Set(None));
    assert_eq!(delivery.ordering, Field::Absent);
}

#[test]
fn a_new_subscription_has_nothing_to_unmask() {
    let masked = json!({"headers": [{"name": "x", "value": headers::MASKED}]});
    let errors = Draft::parse(&with(&masked), &Types).expect_err("no stored value");
    assert_eq!(found(&errors), ["headers[0].value"]);
    assert!(Patch::parse(&masked, &Types).is_ok());
}

#[test]
fn parsers_never_panic() {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-z]{0,8}".prop_map(String::from),
        proptest::sample::select(&KNOWN[..]).prop_map(String::from),
        proptest::sample::select(&DELIVERY_KNOWN[..]).prop_map(String::from),
    ];
    let tree = leaf.prop_recursive(3, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest!(|(value in tree)| {
        for errors in [Draft::parse(&value, &Types).err(), Patch::parse(&value, &Types).err()].into_iter().flatten() {
            prop_assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX);
        }
    });
}
