//! Custom headers: which names and values an Account Owner may set (contract §4).
//!
//! Names are shown as they were written and compared without case, as HTTP compares them; on the wire they
//! are in lower case, so that a receiver sees the same name over HTTP/1.1 and HTTP/2. Values are masked wherever they are shown; a masked value that
//! is sent back stands for the stored one. [`MASKED`] itself can never be a value, since obs-text is refused.

use std::fmt;

use serde_json::Value;

use super::field::{Errors, Object, kind, quoted};
use crate::model::CustomHeader;

/// Headers at most on one subscription.
pub const HEADERS_MAX: usize = 32;
/// Bytes at most in a header's name.
pub const HEADER_NAME_LEN_MAX: usize = 128;
/// Bytes at most in a header's value.
pub const HEADER_VALUE_LEN_MAX: usize = 4096;
/// What stands where a value is not shown.
pub const MASKED: &str = "••••••";

const HOP_BY_HOP: [&str; 7] =
    ["connection", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
const FRAMING: [&str; 3] = ["host", "content-length", "content-type"];
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "postrider-", "proxy-"];

/// A header as it was sent: with a value, or with the mask in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenHeader {
    pub name: String,
    /// `None`: keep the stored value.
    pub value: Option<String>,
}

impl fmt::Debug for GivenHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads `headers`: an array of `{"name","value"}`.
pub fn parse(value: &Value, errors: &mut Errors) -> Option<Vec<GivenHeader>> {
    let Value::Array(items) = value else {
        errors.add("headers", format!("must be an array, is {}", kind(value)));
        return None;
    };
    if items.len() > HEADERS_MAX {
        errors.add("headers", format!("must be at most {HEADERS_MAX} headers, are {}", items.len()));
        return None;
    }
    let mut headers: Vec<GivenHeader> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let prefix = format!("headers[{index}].");
        let Some(header) = parse_one(item, &prefix, errors) else { continue };
        if headers.iter().any(|other| other.name.eq_ignore_ascii_case(&header.name)) {
            errors.add(format!("{prefix}name"), format!("{} is given twice", quoted(&header.name)));
        } else {
            headers.push(header);
        }
    }
    Some(headers)
}

fn parse_one(item: &Value, prefix: &str, errors: &mut Errors) -> Option<GivenHeader> {
    let object = Object::of(item, prefix, errors)?;
    object.only(&["name", "value"], &[], errors);
    let name = member(&object, "name", errors).and_then(|name| {
        check_name(&name).map_err(|message| errors.add(object.path("name"), message)).ok()?;
        Some(name)
    });
    let value = member(&object, "value", errors).and_then(|value| {
        if value == MASKED {
            return Some(None);
        }
        check_value(&value).map_err(|message| errors.add(object.path("value"), message)).ok()?;
        Some(Some(value))
    });
    Some(GivenHeader { name: name?, value: value? })
}

fn member(object: &Object<'_>, name: &str, errors: &mut Errors) -> Option<String> {
    match object.get(name) {
        Some(Value::String(text)) => return Some(text.clone()),
        Some(other) => errors.add(object.path(name), format!("must be a string, is {}", kind(other))),
        None => errors.add(object.path(name), "is required"),
    }
    None
}

/// RFC 9110 §5.6.2: a header's name is a token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.len() > HEADER_NAME_LEN_MAX {
        return Err(format!("must be at most {HEADER_NAME_LEN_MAX} bytes, has {}", name.len()));
    }
    if !name.bytes().all(is_token) {
        return Err("must be a header name: letters, digits and !#$%&'*+-.^_`|~".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if FRAMING.contains(&lower.as_str()) || HOP_BY_HOP.contains(&lower.as_str()) {
        return Err(format!("{lower:?} is set by the connection and cannot be a custom header"));
    }
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        return Err(format!("names beginning with {prefix:?} are reserved"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.len() > HEADER_VALUE_LEN_MAX {
        return Err(format!("must be at most {HEADER_VALUE_LEN_MAX} bytes, has {}", value.len()));
    }
    if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        return Err("must be visible ASCII, spaces and tabs only".to_owned());
    }
    if value.trim() != value {
        return Err("must not begin or end with white space".to_owned());
    }
    Ok(())
}

/// Puts the stored values where masks were sent.
pub fn unmask(given: &[GivenHeader], stored: &[CustomHeader], errors: &mut Errors) -> Vec<CustomHeader> {
    let mut headers = Vec::with_capacity(given.len());
    for (index, header) in given.iter().enumerate() {
        let same = |old: &&CustomHeader| old.name.eq_ignore_ascii_case(&header.name);
        let kept = || stored.iter().find(same).map(|old| old.value.clone());
        match header.value.clone().or_else(kept) {
            Some(value) => headers.push(CustomHeader { name: header.name.clone(), value }),
            None => errors.add(
                format!("headers[{index}].value"),
                format!("is masked, but no value is stored for {}", quoted(&header.name)),
            ),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_header() {
        let check = |name: &str, value: &str, want: Result<(), (&str, &str)>| {
            let mut errors = Errors::default();
            let got = parse(&json!([{"name": name, "value": value}]), &mut errors);
            match (errors.into_result(got), want) {
                (Ok(_), Ok(())) => {}
                (Err(errors), Err((field, message))) => {
                    assert_eq!(errors[0].field, format!("headers[0].{field}"));
                    assert!(errors[0].message.contains(message), "{name:?} {value:?}: {errors:?}");
                    assert_eq!(errors.len(), 1);
                }
                (got, want) => panic!("{name:?} {value:?}: {got:?}, wanted {want:?}"),
            }
        };
        check("X-Api-Key", "abc 123\tx", Ok(()));
        check("Authorization", "Bearer x", Ok(()));
        check("x-empty", "", Ok(()));
        check("proxy", "x", Ok(()));
        check("hosts", "x", Ok(()));
        check("webhook", "x", Ok(()));
        check(&"n".repeat(128), "x", Ok(()));
        check("x", &"v".repeat(4096), Ok(()));
        for name in ["Host", "content-length", "Content-Type", "Connection", "keep-alive", "TE", "trailer"] {
            check(name, "x", Err(("name", "set by the connection")));
        }
        check("Transfer-Encoding", "x", Err(("name", "set by the connection")));
        check("upgrade", "x", Err(("name", "set by the connection")));
        check("HTTP2-Settings", "x", Err(("name", "set by the connection")));
        check("Proxy-Authorization", "x", Err(("name", "reserved")));
        check("Webhook-Id", "x", Err(("name", "reserved")));
        check("postrider-x", "x", Err(("name", "reserved")));
        check("", "x", Err(("name", "empty")));
        check("a b", "x", Err(("name", "header name")));
        check("a:", "x", Err(("name", "header name")));
        check("ü", "x", Err(("name", "header name")));
        check("a\r\nb", "x", Err(("name", "header name")));
        check(&"n".repeat(129), "x", Err(("name", "128")));
        check("x", "a\r\nb: c", Err(("value", "visible ASCII")));
        check("x", "a\0", Err(("value", "visible ASCII")));
        check("x", "\u{7f}", Err(("value", "visible ASCII")));
        check("x", "é", Err(("value", "visible ASCII")));
        check("x", " a", Err(("value", "white space")));
        check("x", &"v".repeat(4097), Err(("value", "4096")));
    }

    #[test]
    fn the_list() {
        let check = |value: Value, want: &[(&str, &str)]| {
            let mut errors = Errors::default();
            let got = parse(&value, &mut errors);
            let errors = errors.into_result(got).err().unwrap_or_default();
            assert_eq!(errors.len(), want.len(), "{value}: {errors:?}");
            for (error, (field, message)) in errors.iter().zip(want) {
                assert_eq!(error.field, *field);
                assert!(error.message.contains(message), "{error:?}");
            }
        };
        check(json!([]), &[]);
        check(json!({}), &[("headers", "an array")]);
        check(json!([1]), &[("headers[0]", "an object")]);
        check(json!([{"name": "a"}]), &[("headers[0].value", "required")]);
        check(
            json!([{"name": 1, "value": null}]),
            &[("headers[0].name", "string"), ("headers[0].value", "null")],
        );
        check(json!([{"name": "a", "value": "b", "vlaue": 1}]), &[("headers[0].vlaue", "\"value\"")]);
        let a = json!({"name": "A", "value": "1"});
        let b = json!({"name": "a", "value": "2"});
        check(json!([a, b]), &[("headers[1].name", "twice")]);
        let many: Vec<Value> = (0..33).map(|n| json!({"name": format!("x{n}"), "value": ""})).collect();
        check(Value::Array(many), &[("headers", "at most 32")]);
    }

    #[test]
    fn masks_keep_the_stored_value() {
        let stored = [CustomHeader { name: "x-key".to_owned(), value: "secret".to_owned() }];
        let mut errors = Errors::default();
        let given = parse(
            &json!([{"name": "X-Key", "value": MASKED}, {"name": "x-new", "value": MASKED}]),
            &mut errors,
        )
        .expect("an array");
        let headers = unmask(&given, &stored, &mut errors);
        assert_eq!(headers, [CustomHeader { name: "X-Key".to_owned(), value: "secret".to_owned() }]);
        let errors = errors.into_result(Some(())).expect_err("x-new has none");
        assert_eq!(errors[0].field, "headers[1].value");
    }
}
