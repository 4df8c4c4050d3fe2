//! What filters are taken, what is said of the others, and which events they let through.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "so that calls read as JSON")]
fn matches(filter: Value) -> bool {
    let event = json!({
        "id": "evt-1", "type": "user.created", "accountId": "acme", "timestamp": "2026-01-02T03:04:05Z",
        "data": {
            "floor": 3, "name": "Ann", "none": null, "on": true, "ratio": 2.5, "big": 9_007_199_254_740_993_u64,
            "items": [{ "id": "a" }, { "id": "b" }], "map": { "0": "zero" },
        },
    });
    Filter::parse(&filter, "filter").expect("a good filter").matches(&event)
}

#[expect(clippy::needless_pass_by_value, reason = "so that calls read as JSON")]
fn refused(filter: Value) -> Vec<(String, String)> {
    let errors = Filter::parse(&filter, "filter").expect_err("a bad filter");
    errors.into_iter().map(|error| (error.field, error.message)).collect()
}

#[test]
fn operators() {
    let check = |filter: Value, want| assert_eq!(matches(filter.clone()), want, "{filter}");
    check(json!({"path": "data.floor", "eq": 3}), true);
    check(json!({"path": "data.floor", "eq": 3.0}), true);
    check(json!({"path": "data.floor", "eq": "3"}), false);
    check(json!({"path": "data.floor", "gte": 3, "lt": 4}), true);
    check(json!({"path": "data.floor", "gt": 3}), false);
    check(json!({"path": "data.floor", "lte": 2.9}), false);
    check(json!({"path": "data.floor", "gt": "0"}), false);
    check(json!({"path": "data.ratio", "gt": 2, "lt": 3}), true);
    check(json!({"path": "data.big", "eq": 9_007_199_254_740_993_u64}), true);
    check(json!({"path": "data.big", "eq": 9_007_199_254_740_992_u64}), false);
    check(json!({"path": "data.big", "gt": 9_007_199_254_740_992.0}), true);
    check(json!({"path": "data.name", "in": ["Bob", "Ann"]}), true);
    check(json!({"path": "data.name", "in": ["Bob", 1]}), false);
    check(json!({"path": "data.name", "prefix": "A"}), true);
    check(json!({"path": "data.floor", "prefix": "3"}), false);
    check(json!({"path": "data.name", "lt": "B"}), true);
    check(json!({"path": "data.on", "eq": true}), true);
    check(json!({"path": "data.none", "eq": null}), true);
    check(json!({"path": "data.none", "exists": true}), true);
    check(json!({"path": "type", "prefix": "user."}), true);
    check(json!({"path": "timestamp", "gte": "2026-01-01"}), true);
}

#[test]
fn paths() {
    let check = |filter: Value, want| assert_eq!(matches(filter.clone()), want, "{filter}");
    check(json!({"path": "data.items.1.id", "eq": "b"}), true);
    check(json!({"path": "data.items.01.id", "eq": "b"}), false);
    check(json!({"path": "data.items.2.id", "exists": false}), true);
    check(json!({"path": "data.map.0", "eq": "zero"}), true);
    check(json!({"path": "data.name.first", "exists": true}), false);
    for operator in ["eq", "gt", "gte", "lt", "lte"] {
        check(json!({"path": "data.gone", operator: 0}), false);
    }
    check(json!({"path": "data.gone", "eq": null}), false);
    check(json!({"path": "data.gone", "in": [null]}), false);
    check(json!({"path": "data.gone", "prefix": ""}), false);
}

#[test]
fn combinations() {
    let (yes, no) = (json!({"path": "data.floor", "eq": 3}), json!({"path": "data.floor", "eq": 4}));
    let check = |filter: Value, want| assert_eq!(matches(filter.clone()), want, "{filter}");
    check(json!({"and": [yes, yes]}), true);
    check(json!({"and": [yes, no]}), false);
    check(json!({"or": [no, yes]}), true);
    check(json!({"or": [no, no]}), false);
    check(json!({"not": no}), true);
    check(json!({"not": {"and": [yes, {"or": [yes]}]}}), false);
}

#[test]
fn errors_name_their_fields() {
    let check = |filter: Value, field: &str, part: &str| {
        let errors = refused(filter.clone());
        assert!(errors.iter().any(|(at, why)| at == field && why.contains(part)), "{filter}: {errors:?}");
    };
    let good = json!({"path": "type", "eq": "a"});
    check(json!(null), "filter", "must be an object");
    check(json!({}), "filter.path", "must be a string");
    check(json!({"path": "type"}), "filter", "needs an operator");
    check(json!({"and": [good, {"path": "dat.x", "eq": 1}]}), "filter.and[1].path", "did you mean \"data\"?");
    check(json!({"path": "data..x", "eq": 1}), "filter.path", "each dot");
    check(json!({"path": "data.x", "exist": true}), "filter.exist", "did you mean \"exists\"?");
    check(json!({"path": "data.x", "exists": 1}), "filter.exists", "true or false");
    check(json!({"path": "data.x", "eq": {}}), "filter.eq", "must be a string, a number");
    check(json!({"path": "data.x", "in": []}), "filter.in", "1 to 100");
    check(json!({"path": "data.x", "in": [1, []]}), "filter.in[1]", "must be a string, a number");
    check(json!({"path": "data.x", "gt": true}), "filter.gt", "a number or a string");
    check(json!({"path": "data.x", "prefix": 1}), "filter.prefix", "must be a string");
    check(json!({"not": good, "eq": 1}), "filter.not", "alone");
    check(json!({"or": []}), "filter.or", "one condition or more");
}

#[test]
fn bounds() {
    let good = json!({"path": "type", "eq": "a"});
    let nested = |depth| (1..depth).fold(good.clone(), |inner, _| json!({ "not": inner }));
    assert!(Filter::parse(&nested(DEPTH_MAX), "filter").is_ok());
    assert!(Filter::parse(&nested(DEPTH_MAX + 1), "filter").is_err());
    let wide = |count| json!({ "or": vec![good.clone(); count] });
    assert!(Filter::parse(&wide(CONDITIONS_MAX - 1), "filter").is_ok());
    assert_eq!(refused(wide(CONDITIONS_MAX + 10)).len(), 1);
    let among = |count| json!({"path": "type", "in": vec![1; count]});
    assert!(Filter::parse(&among(IN_MAX), "filter").is_ok());
    assert!(Filter::parse(&among(IN_MAX + 1), "filter").is_err());
    let long = |len| json!({"path": "type", "eq": "x".repeat(len)});
    assert!(Filter::parse(&long(STRING_LEN_MAX), "filter").is_ok());
    assert!(Filter::parse(&long(STRING_LEN_MAX + 1), "filter").is_err());
    assert!(Filter::parse(&long(FILTER_LEN_MAX), "filter").is_err());
    let path = |len: usize| json!({"path": format!("data.{}", "x".repeat(len - 5)), "eq": 1});
    assert!(Filter::parse(&path(PATH_LEN_MAX), "filter").is_ok());
    assert!(Filter::parse(&path(PATH_LEN_MAX + 1), "filter").is_err());
}

#[test]
fn shows_what_was_given() {
    let given =
        json!({"and": [{"path": "data.x", "gte": 1, "lt": 2.5}, {"not": {"path": "id", "eq": null}}]});
    let filter = Filter::parse(&given, "filter").expect("good");
    assert_eq!(filter.given(), &given);
    assert_eq!(serde_json::from_str::<Value>(filter.as_str()).expect("JSON"), given);
}

proptest! {
    #[test]
    fn whole_numbers_are_ordered_exactly(left: i64, near in -2_i64..=2, other: u64) {
        let holds = |word: &str, value: Value, with: Value| {
            let filter = Filter::parse(&json!({"path": "data", word: with}), "filter").expect("good");
            filter.matches(&json!({ "data": value }))
        };
        let right = left.saturating_add(near);
        prop_assert_eq!(holds("lt", json!(left), json!(right)), left < right);
        prop_assert_eq!(holds("gte", json!(left), json!(right)), left >= right);
        prop_assert_eq!(holds("eq", json!(left), json!(right)), left == right);
        prop_assert_eq!(holds("lt", json!(left), json!(other)), i128::from(left) < i128::from(other));
        // An integer and a fraction beside it are told apart, where a double has one at all.
        let small = left % (1 << 50);
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let above = small as f64 + 0.5;
        prop_assert!(holds("lt", json!(small), json!(above)));
        prop_assert!(holds("gt", json!(above), json!(small)));
    }

    #[test]
    fn kept_as_text_it_is_the_same(number in any::<f64>().prop_filter("JSON has no other", |it| it.is_finite())) {
        let given = json!({"path": "data", "gt": number});
        let filter = Filter::parse(&given, "filter").expect("good");
        let read: Value = serde_json::from_str(filter.as_str()).expect("JSON");
        prop_assert_eq!(&read, &given);
        prop_assert_eq!(Filter::parse(&read, "filter").expect("good"), filter);
    }

    #[test]
    fn reads_anything_without_panic(text in r#"[{}\[\]":,a-z0-9. ]{0,64}"#) {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = Filter::parse(&value, "filter").map(|filter| filter.matches(&value));
        }
    }
}
