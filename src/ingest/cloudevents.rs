//! CloudEvents 1.0, structured and binary, with the extension attribute `accountid`.
//!
//! Sources: CloudEvents 1.0.2 core, its JSON format and its HTTP protocol binding. Extensions other than
//! `accountid` are allowed and not passed on; `source` and `subject` likewise, since the envelope has no
//! place for them. An event is told from others by its `id` within its account, not by `source` and `id`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::format::is_json;
use super::members::{Members, Shape};
use super::rejection::{Code, Rejection, quote};
use super::request::{Context, Draft, Item, Types, finish, object, parse_id};

/// The attributes that matter here.
pub(super) struct Cloud;

const SPECVERSION: usize = 0;
const ID: usize = 1;
const SOURCE: usize = 2;
const TYPE: usize = 3;
const TIME: usize = 4;
const ACCOUNT: usize = 5;
const DATA_CONTENT_TYPE: usize = 6;
const DATA: usize = 7;
const DATA_BASE64: usize = 8;

impl Shape for Cloud {
    const NAMES: &'static [&'static str] = &[
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "accountid",
        "datacontenttype",
        "data",
        "data_base64",
    ];
    const OPEN: bool = true;
}

/// An event in the JSON format.
pub(super) fn structured<T: Types>(mut members: Members<'_, Cloud>, context: &Context<'_, T>) -> Item {
    if let Some(fault) = members.take_fault() {
        return Err(fault);
    }
    // The JSON format lets an attribute that is not set be written as null.
    let attribute = |place| match members.raw(place) {
        Some("null") => Ok(None),
        Some(_) | None => members.text(place),
    };
    event(&attribute, |content_type| data(&members, content_type), context)
}

/// An event whose attributes are headers and whose data is `body`, which is JSON.
pub(super) fn binary<T: Types>(headers: &[(&str, &[u8])], body: &str, context: &Context<'_, T>) -> Item {
    if let Some(rejection) = context.too_large(body.len()) {
        return Err(rejection);
    }
    let attribute = |place| header(headers, place);
    event(&attribute, |_| object(body).map(Cow::Borrowed), context)
}

type Text<'a> = Result<Option<Cow<'a, str>>, Rejection>;

fn event<'a, T: Types>(
    attribute: &dyn Fn(usize) -> Text<'a>,
    data: impl FnOnce(Option<&str>) -> Result<Cow<'a, str>, Rejection>,
    context: &Context<'_, T>,
) -> Item {
    let id = required(attribute, ID).and_then(|id| parse_id(&id)).map(Some);
    let draft = || {
        let version = required(attribute, SPECVERSION)?;
        if version != "1.0" {
            let message = format!("`specversion` must be 1.0, not `{}`", quote(&version));
            return Err(Rejection::new(Code::InvalidSpecversion, Some("specversion"), message));
        }
        if required(attribute, SOURCE)?.is_empty() {
            return Err(Rejection::new(Code::InvalidSource, Some("source"), "`source` must not be empty"));
        }
        Ok(Draft {
            account: required(attribute, ACCOUNT)?,
            account_field: "accountid",
            type_name: required(attribute, TYPE)?,
            time: attribute(TIME)?,
            time_field: "time",
            data: data(attribute(DATA_CONTENT_TYPE)?.as_deref())?,
        })
    };
    finish(id, draft(), context)
}

fn name(place: usize) -> &'static str {
    Cloud::NAMES.get(place).copied().unwrap_or_default()
}

fn required<'a>(attribute: &dyn Fn(usize) -> Text<'a>, place: usize) -> Result<Cow<'a, str>, Rejection> {
    attribute(place)?.ok_or_else(|| Rejection::missing(name(place)))
}

fn data<'a>(members: &Members<'a, Cloud>, content_type: Option<&str>) -> Result<Cow<'a, str>, Rejection> {
    if let Some(other) = content_type.filter(|media_type| !is_json(media_type)) {
        let message = format!("`datacontenttype` must be JSON, not `{}`", quote(other));
        return Err(Rejection::new(Code::InvalidDataContentType, Some("datacontenttype"), message));
    }
    match (members.raw(DATA), members.raw(DATA_BASE64)) {
        (Some(_), Some(_)) => {
            let message = "`data` and `data_base64` exclude each other";
            Err(Rejection::new(Code::DuplicateField, Some("data_base64"), message))
        }
        (Some("null") | None, None) => Err(Rejection::missing("data")),
        (Some(raw), None) => object(raw).map(Cow::Borrowed),
        (None, Some(_)) => decode(&members.text(DATA_BASE64)?.unwrap_or_default()).map(Cow::Owned),
    }
}

/// The JSON object that base64 stands for, without white space around it.
fn decode(base64: &str) -> Result<String, Rejection> {
    let reject = |why: &str| {
        let message = format!("`data_base64` {why}");
        Rejection::new(Code::InvalidDataBase64, Some("data_base64"), message)
    };
    let bytes = STANDARD.decode(base64).map_err(|_| reject("is not base64"))?;
    let json = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
        .ok_or_else(|| reject("does not hold JSON"))?;
    if !json.get().starts_with('{') {
        return Err(reject("does not hold a JSON object"));
    }
    object(json.get()).map(str::to_owned)
}

fn header<'a>(headers: &[(&str, &[u8])], place: usize) -> Text<'a> {
    let name = name(place);
    let mut values = headers.iter().filter(|(header, _)| *header == name);
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let message = format!("the header `ce-{name}` is there twice");
        return Err(Rejection::new(Code::DuplicateField, Some(name), message));
    }
    let reject = || Rejection::wrong_type(name, "UTF-8, percent-encoded");
    header_text(value).map(|text| Some(Cow::Owned(text))).ok_or_else(reject)
}

/// The text of a header's value (HTTP binding, 3.1.3.2): quotes are taken off as older versions of the
/// binding wrote them, then percent signs are resolved. `None` where no UTF-8 comes of it.
fn header_text(value: &[u8]) -> Option<String> {
    let unquoted = unquote(value.trim_ascii());
    let mut decoded = Vec::with_capacity(unquoted.len());
    let mut rest = unquoted.as_ref();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        if let Some((byte, after)) = hex.and_then(|(hex, after)| Some((hex_byte(hex)?, after))) {
            decoded.push(byte);
            rest = after;
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    String::from_utf8(decoded).ok()
}

fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(inner) = inner else { return Cow::Borrowed(value) };
    let mut escaped = false;
    let keep = |byte: &u8| {
        escaped = *byte == b'\\' && !escaped;
        !escaped
    };
    Cow::Owned(inner.iter().copied().filter(keep).collect())
}

fn hex_byte(hex: &[u8]) -> Option<u8> {
    hex.iter().try_fold(0u8, |byte, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
        Some(byte << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values() {
        let check = |value: &str, want: Option<&str>| {
            assert_eq!(header_text(value.as_bytes()).as_deref(), want, "{value}");
        };
        check("plain", Some("plain"));
        check("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀"));
        check("%e2%82%ac", Some("€"));
        check("100% of %zz and %4", Some("100% of %zz and %4"));
        check("%+1", Some("%+1"));
        check("%ff", None);
        check("\"a \\\"b\\\" \\\\\"", Some("a \"b\" \\"));
        check("\"", Some("\""));
        check("", Some(""));
    }
}
