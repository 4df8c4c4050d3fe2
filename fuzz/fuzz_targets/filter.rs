//! A payload filter and an event, both as anybody may send them: field errors, never a panic. A filter that is
//! kept as text and read again is the same one and says the same; `not` of a filter is its opposite; what it looks
//! at of an event's text gives the verdict that the whole does.
#![no_main]

use postrider::model::filter::{CONDITIONS_MAX, DEPTH_MAX, FILTER_LEN_MAX};
use postrider::model::{Filter, Paths};
use serde_json::{Value, json};

/// Errors at most that are told of one filter.
const ERRORS_MAX: usize = 64;

libfuzzer_sys::fuzz_target!(|input: (&str, &str)| {
    let (filter, event) = input;
    let Ok(given) = serde_json::from_str::<Value>(filter) else { return };
    match Filter::parse(&given, "filter") {
        Ok(filter) => {
            // Routing reads parts alone, and may so read what as a whole is no JSON.
            let parts = Paths::of([&filter]).read(event.as_bytes());
            let whole: Option<Value> = serde_json::from_str(event).ok();
            if let Some(whole) = &whole {
                let parts = parts.expect("of what is read whole, parts are read");
                assert_eq!(filter.matches(&parts), filter.matches(whole), "{parts} of {whole}");
            }
            judge(&filter, &given, &whole.unwrap_or_default());
        }
        Err(errors) => {
            assert!((1..=ERRORS_MAX).contains(&errors.len()), "{errors:?}");
            for error in errors {
                assert!(error.field.starts_with("filter") && !error.message.is_empty(), "{error:?}");
            }
        }
    }
});

fn judge(filter: &Filter, given: &Value, event: &Value) {
    assert_eq!(filter.given(), given);
    let holds = filter.matches(event);
    // As a start reads it from the store.
    let kept = serde_json::from_str(filter.as_str()).expect("a filter's text is JSON");
    let kept = Filter::parse(&kept, "filter").expect("what was taken once is taken again");
    assert_eq!(&kept, filter, "kept as {}", filter.as_str());
    assert_eq!(kept.matches(event), holds, "{}", filter.as_str());

    let parse = |value: &Value| Filter::parse(value, "filter");
    match parse(&json!({ "not": given })) {
        Ok(not) => assert_ne!(not.matches(event), holds, "{}", filter.as_str()),
        Err(errors) => assert!(at_a_bound(&errors[0].message), "{errors:?}"),
    }
    for word in ["and", "or"] {
        // Both say what the one condition in them says.
        if let Ok(same) = parse(&json!({ word: [given] })) {
            assert_eq!(same.matches(event), holds, "{word}: {}", filter.as_str());
        }
    }
}

/// One more condition around a good filter can only go beyond what a filter may be.
fn at_a_bound(message: &str) -> bool {
    [DEPTH_MAX, CONDITIONS_MAX, FILTER_LEN_MAX].iter().any(|bound| message.contains(&bound.to_string()))
}
