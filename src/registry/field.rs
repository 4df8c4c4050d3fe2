//! Reading JSON objects so that every error is found, each with the name of its field.

use serde::Serialize;
use serde_json::{Map, Value};

/// Errors reported at most for one document; a reader needs no more, and a hostile one gets no more.
pub const ERRORS_MAX: usize = 64;
/// Characters of a person's text that a message repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// What is wrong with one field. `field` is a path such as `events[2]` or `delivery.timeoutMs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub struct Errors(Vec<FieldError>);

impl Errors {
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError::new(field, message));
        }
    }

    /// The value, where nothing is wrong.
    pub fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.0),
        }
    }
}

/// A person's text, quoted and cut so that a message stays one line.
pub fn quoted(text: &str) -> String {
    if text.chars().count() <= QUOTED_CHARS_MAX {
        format!("{text:?}")
    } else {
        let cut: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        format!("{cut:?}…")
    }
}

/// What a value is, in JSON's own words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The candidate that `text` was most likely meant to be, where one is near enough.
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let text: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&text.to_lowercase(), &candidate.to_lowercase()), *candidate))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Reads the members of one object.
pub struct Object<'v> {
    map: &'v Map<String, Value>,
    /// What stands before a member's name in its path: empty, or `delivery.`.
    prefix: &'v str,
}

impl<'v> Object<'v> {
    /// The object at `field` (`prefix` without its dot; `body` for the document itself).
    pub fn of(value: &'v Value, prefix: &'v str, errors: &mut Errors) -> Option<Self> {
        if let Value::Object(map) = value {
            return Some(Self { map, prefix });
        }
        let field = prefix.strip_suffix('.').unwrap_or("body");
        errors.add(field, format!("must be an object, is {}", kind(value)));
        None
    }

    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.map.get(name)
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Reports every member that is neither known nor read-only, and every read-only one.
    pub fn only(&self, known: &[&str], read_only: &[&str], errors: &mut Errors) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            let cut: String = name.chars().take(QUOTED_CHARS_MAX).collect();
            let field = self.path(&cut);
            if read_only.contains(&name.as_str()) {
                errors.add(field, "is set by the server; leave it out");
            } else if let Some(near) = nearest(name, known) {
                errors.add(field, format!("is no known field; did you mean {near:?}?"));
            } else {
                errors.add(field, format!("is no known field; known are {}", known.join(", ")));
            }
        }
    }
}

/// A string of `min` to `max` characters.
pub fn text(value: &Value, field: &str, min: usize, max: usize, errors: &mut Errors) -> Option<String> {
    let Value::String(text) = value else {
        errors.add(field, format!("must be a string, is {}", kind(value)));
        return None;
    };
    let len = text.chars().count();
    if len < min {
        errors.add(field, "must not be empty");
        return None;
    }
    if len > max {
        errors.add(field, format!("must be at most {max} characters, has {len}"));
        return None;
    }
    Some(text.clone())
}

/// A whole number from `min` to `max`; `15000.0` is one, as in JSON Schema.
pub fn integer(value: &Value, field: &str, min: u32, max: u32, errors: &mut Errors) -> Option<u32> {
    let Some(number) = value.as_f64() else {
        errors.add(field, format!("must be a whole number, is {}", kind(value)));
        return None;
    };
    if number.fract() != 0.0 {
        errors.add(field, "must be a whole number");
        return None;
    }
    if number < f64::from(min) || number > f64::from(max) {
        errors.add(field, format!("must be from {min} to {max}"));
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and inside the bounds of a u32"
    )]
    Some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let check = |json: &str, want: Result<u32, &str>| {
            let mut errors = Errors::default();
            let value = serde_json::from_str(json).expect("json");
            let got = integer(&value, "n", 1, 100, &mut errors);
            match (errors.into_result(got), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(errors), Err(want)) => assert!(errors[0].message.contains(want), "{errors:?}"),
                (got, want) => panic!("{json}: {got:?}, wanted {want:?}"),
            }
        };
        check("1", Ok(1));
        check("100.0", Ok(100));
        check("0", Err("from 1 to 100"));
        check("-1", Err("from 1 to 100"));
        check("1e300", Err("from 1 to 100"));
        check("1.5", Err("whole"));
        check("\"1\"", Err("is a string"));
        check("null", Err("is null"));
    }

    #[test]
    fn errors_are_bounded() {
        let map: Map<String, Value> = (0..1000).map(|n| (format!("x{n}"), Value::Null)).collect();
        let value = Value::Object(map);
        let mut errors = Errors::default();
        let object = Object::of(&value, "", &mut errors).expect("an object");
        object.only(&["name"], &[], &mut errors);
        assert_eq!(errors.into_result(Some(())).expect_err("unknown").len(), ERRORS_MAX);
    }

    #[test]
    fn nearest_names() {
        let check =
            |text, want| assert_eq!(nearest(text, &["callbackUrl", "name", "events"]), want, "{text}");
        check("callbackURL", Some("callbackUrl"));
        check("callback_url", Some("callbackUrl"));
        check("event", Some("events"));
        check("zzz", None);
    }
}
