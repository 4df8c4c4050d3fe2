//! What a person says when a secret is rotated: for how long the old one signs beside the new one.

use std::time::Duration;

use serde_json::Value;

use super::field::{Errors, FieldError, Object, integer};

/// The overlap where none is given: one day.
pub const OVERLAP_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// The longest overlap, in seconds: 30 days. A receiver that cannot change over in a month has lost the
/// point of rotating.
pub const OVERLAP_SECS_MAX: u32 = 30 * 24 * 3600;

/// Reads `{"overlapSeconds"?}`; no body at all means the default.
///
/// # Errors
/// All that is wrong, at most [`super::ERRORS_MAX`].
pub fn parse_overlap(body: Option<&Value>) -> Result<Duration, Vec<FieldError>> {
    let Some(body) = body else { return Ok(OVERLAP_DEFAULT) };
    let mut errors = Errors::default();
    let overlap = Object::of(body, "", &mut errors).and_then(|object| {
        object.only(&["overlapSeconds"], &[], &mut errors);
        let Some(value) = object.get("overlapSeconds") else { return Some(OVERLAP_DEFAULT) };
        let secs = integer(value, "overlapSeconds", 0, OVERLAP_SECS_MAX, &mut errors)?;
        Some(Duration::from_secs(u64::from(secs)))
    });
    errors.into_result(overlap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn overlaps() {
        let check = |body: Value, want: Result<u64, (&str, &str)>| match (parse_overlap(Some(&body)), want) {
            (Ok(got), Ok(want)) => assert_eq!(got.as_secs(), want, "{body}"),
            (Err(errors), Err((field, message))) => {
                assert_eq!((errors.len(), errors[0].field.as_str()), (1, field), "{body}: {errors:?}");
                assert!(errors[0].message.contains(message), "{body}: {errors:?}");
            }
            (got, want) => panic!("{body}: {got:?}, wanted {want:?}"),
        };
        check(json!({}), Ok(86_400));
        check(json!({"overlapSeconds": 0}), Ok(0));
        check(json!({"overlapSeconds": 2_592_000}), Ok(2_592_000));
        check(json!({"overlapSeconds": 2_592_001}), Err(("overlapSeconds", "from 0 to 2592000")));
        check(json!({"overlapSeconds": -1}), Err(("overlapSeconds", "from 0")));
        check(json!({"overlapSeconds": 1.5}), Err(("overlapSeconds", "whole")));
        check(json!({"overlapSeconds": "1d"}), Err(("overlapSeconds", "is a string")));
        check(json!({"overlapSeconds": null}), Err(("overlapSeconds", "is null")));
        check(json!({"overlap": 1}), Err(("overlap", "\"overlapSeconds\"")));
        check(json!([]), Err(("body", "an object")));
        check(json!(null), Err(("body", "an object")));
        assert_eq!(parse_overlap(None), Ok(OVERLAP_DEFAULT));
    }
}
