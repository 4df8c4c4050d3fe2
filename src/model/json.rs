//! A JSON object that is carried, not looked into: schemas and samples of the catalogue.
//!
//! Kept as text and not as a tree, because the order of its keys is the order that a person wrote and
//! wants to see again.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Why a text is no JSON object.
#[derive(Debug, thiserror::Error)]
pub enum JsonObjectError {
    #[error("must be a JSON object: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// A JSON object as compact text, keys in the order they were written.
#[derive(Clone, Debug)]
pub struct JsonObject(Box<RawValue>);

impl JsonObject {
    /// # Errors
    /// Where `text` is not JSON, or another kind of value than an object.
    pub fn parse(text: &str) -> Result<Self, JsonObjectError> {
        let _object: Map<String, Value> = serde_json::from_str(text)?;
        Ok(Self(RawValue::from_string(compact(text))?))
    }

    /// # Errors
    /// Where `value` does not become an object.
    pub fn of(value: &impl Serialize) -> Result<Self, JsonObjectError> {
        Self::parse(&serde_json::to_string(value)?)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl Default for JsonObject {
    /// `{}`
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_default())
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for JsonObject {}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

/// Valid JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted || !matches!(c, ' ' | '\t' | '\n' | '\r') {
            out.push(c);
        }
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_drops_white_space() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(JsonObject::parse(text).ok().as_ref().map(JsonObject::as_str), want, "{text}");
        };
        check("{ \"b\" : 1.50,\n\t\"a\": [ true, null ] }", Some("{\"b\":1.50,\"a\":[true,null]}"));
        check(r#" {"a b": "x \" y \\", "c": " "} "#, Some(r#"{"a b":"x \" y \\","c":" "}"#));
        check("{}", Some("{}"));
        check("[]", None);
        check("1", None);
        check("{\"a\":1", None);
        check("", None);
    }
}
