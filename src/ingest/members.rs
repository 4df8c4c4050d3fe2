//! Reads one JSON object as raw members, in one pass and without copying: each known member is the
//! slice of the input that holds its value.
//!
//! What is wrong with the members (unknown, twice) is remembered and does not end the reading, so that
//! a fault of one item leaves the reader at the beginning of the next. Only text that is not JSON ends it.
//! Deliberately not `#[derive(Deserialize)]`: that stops at the first fault, and names it in words only.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::rejection::{Code, Rejection, nearest, quote};

/// The members an object may have.
pub trait Shape {
    /// At most [`MEMBERS_MAX`] of them.
    const NAMES: &'static [&'static str];
    /// Whether others are passed over rather than refused.
    const OPEN: bool;
}

/// Known members at most in a [`Shape`].
pub const MEMBERS_MAX: usize = 10;

/// An object's members, as raw JSON, by their place in [`Shape::NAMES`].
pub struct Members<'a, S> {
    values: [Option<&'a str>; MEMBERS_MAX],
    fault: Option<Rejection>,
    shape: PhantomData<S>,
}

impl<'a, S: Shape> Members<'a, S> {
    /// The first fault of the object as a whole, taken out.
    pub fn take_fault(&mut self) -> Option<Rejection> {
        self.fault.take()
    }

    /// The raw JSON of the member at `place` in [`Shape::NAMES`].
    pub fn raw(&self, place: usize) -> Option<&'a str> {
        self.values.get(place).copied().flatten()
    }

    /// The member as text. `None` where it is missing.
    pub fn text(&self, place: usize) -> Result<Option<Cow<'a, str>>, Rejection> {
        let Some(raw) = self.raw(place) else { return Ok(None) };
        let name = S::NAMES.get(place).copied().unwrap_or_default();
        string(raw).map(Some).ok_or_else(|| Rejection::wrong_type(name, "a string"))
    }

    fn none() -> Self {
        Self { values: [None; MEMBERS_MAX], fault: None, shape: PhantomData }
    }

    fn not_an_object() -> Self {
        let fault = Rejection::new(Code::NotAnObject, None, "an event is a JSON object");
        Self { fault: Some(fault), ..Self::none() }
    }

    fn put(&mut self, key: &str, value: &'a str) {
        let slot = S::NAMES.iter().position(|name| *name == key).and_then(|at| self.values.get_mut(at));
        match slot {
            Some(slot @ None) => *slot = Some(value),
            Some(Some(_)) => self
                .note(|| Rejection::new(Code::DuplicateField, Some(key), format!("`{key}` is there twice"))),
            None if S::OPEN => {}
            None => self.note(|| unknown(key, S::NAMES)),
        }
    }

    fn note(&mut self, fault: impl FnOnce() -> Rejection) {
        if self.fault.is_none() {
            self.fault = Some(fault());
        }
    }
}

fn unknown(key: &str, known: &'static [&'static str]) -> Rejection {
    let hint = nearest(key, known.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
    let message = format!("`{}` is not a field of an event{}", quote(key), hint.unwrap_or_default());
    Rejection::new(Code::UnknownField, Some(key), message)
}

/// The text of a raw JSON string; `None` where it is something else or has half of a surrogate pair.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

impl<'de, S: Shape> Deserialize<'de> for Members<'de, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<S>(PhantomData<S>);

impl<'de, S: Shape> Visitor<'de> for Reader<S> {
    type Value = Members<'de, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::none();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            match string(key.get()) {
                Some(key) => members.put(&key, value.get()),
                None => members.note(|| unknown(key.get(), S::NAMES)),
            }
        }
        Ok(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Members::not_an_object())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Members::not_an_object())
    }
}

/// One value from the beginning of `text`, and where it ends.
///
/// # Errors
/// What stands there is not JSON.
pub fn first<'a, S: Shape>(text: &'a str) -> Result<(Members<'a, S>, usize), serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Members<'a, S>>();
    match values.next() {
        Some(Ok(members)) => Ok((members, values.byte_offset())),
        Some(Err(error)) => skip(text).map(|end| (Members::not_an_object(), end)).map_err(|_| error),
        None => serde_json::from_str::<IgnoredAny>(text).map(|_| (Members::not_an_object(), text.len())),
    }
}

/// A number that no machine number can hold is JSON all the same.
fn skip(text: &str) -> Result<usize, serde_json::Error> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next().transpose().map(|_| values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair;
    impl Shape for Pair {
        const NAMES: &'static [&'static str] = &["a", "b"];
        const OPEN: bool = false;
    }

    fn read(text: &str) -> Result<(Members<'_, Pair>, usize), serde_json::Error> {
        first::<Pair>(text)
    }

    #[test]
    fn members_are_slices_of_the_input() {
        let (members, end) = read(r#" {"b": [1.0e5, { }] , "\u0061" : "x" } , 7"#).unwrap();
        assert_eq!(members.raw(0), Some("\"x\""));
        assert_eq!(members.raw(1), Some("[1.0e5, { }]"));
        assert_eq!(end, 38);
    }

    #[test]
    fn faults_do_not_end_the_reading() {
        let check = |text: &str, want: Option<Code>| {
            let (mut members, end) = read(text).unwrap();
            assert_eq!(members.take_fault().map(|fault| fault.code), want, "{text}");
            assert_eq!(end, text.len(), "{text}");
        };
        check("{}", None);
        check(r#"{"a":1,"b":2}"#, None);
        check(r#"{"a":1,"a":2}"#, Some(Code::DuplicateField));
        check(r#"{"a":1,"\u0061":2}"#, Some(Code::DuplicateField));
        check(r#"{"c":{"d":[]}}"#, Some(Code::UnknownField));
        check(r#"{"\ud800":1}"#, Some(Code::UnknownField));
        for other in ["[]", "[1,[2]]", "\"x\"", "1", "-1", "1.5", "1e999", "null", "true"] {
            check(other, Some(Code::NotAnObject));
        }
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for text in ["", " ", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "nul", "{a:1}", "{1:1}", "\u{feff}{}"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn strings() {
        let check = |raw: &str, want: Option<&str>| assert_eq!(string(raw).as_deref(), want, "{raw}");
        check("\"\"", Some(""));
        check(r#""a\n""#, Some("a\n"));
        check(r#""\ud83d\ude00""#, Some("😀"));
        check(r#""\ud800""#, None);
        check("1", None);
        check("\"", None);
    }
}
