//! Which of the contract's forms a request is in, told from its head alone, so that a wrong one is
//! refused before its body is read.

use super::answer::{Problem, ProblemKind};
use super::rejection::quote;

/// What of a request's head says how its body is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The value of `content-type`.
    pub content_type: Option<&'a [u8]>,
    /// The `ce-*` headers in the order they came: name in lower case without `ce-`, raw value.
    pub attributes: &'a [(&'a str, &'a [u8])],
}

/// The forms of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One event or an array of them.
    Json,
    /// One event per line.
    Ndjson,
    CloudEvent,
    CloudEventBatch,
    /// The body is the data, the headers are the attributes.
    CloudEventBinary,
}

/// Attributes whose header makes a request of `application/json` a CloudEvent in binary mode.
const BINARY_MARKS: [&str; 4] = ["specversion", "id", "type", "source"];

impl Head<'_> {
    /// # Errors
    /// A content type that is none of the contract's, or a character set other than UTF-8.
    pub fn format(&self) -> Result<Format, Problem> {
        let binary = self.attributes.iter().any(|(name, _)| BINARY_MARKS.contains(name));
        let Some(value) = self.content_type else {
            return if binary { Ok(Format::CloudEventBinary) } else { Err(unsupported("there is none")) };
        };
        let value = String::from_utf8_lossy(value);
        let mut parts = value.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        if !parts.all(is_fine_parameter) {
            return Err(unsupported("JSON is UTF-8"));
        }
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        match () {
            () if is("application/cloudevents+json") => Ok(Format::CloudEvent),
            () if is("application/cloudevents-batch+json") => Ok(Format::CloudEventBatch),
            () if binary && is_json(media_type) => Ok(Format::CloudEventBinary),
            () if is("application/json") => Ok(Format::Json),
            () if is("application/x-ndjson") => Ok(Format::Ndjson),
            () => Err(unsupported(&format!("`{}` is not among them", quote(media_type)))),
        }
    }
}

/// Whether the client asks for an answer without results (RFC 7240), by the values of `prefer`.
#[cfg_attr(not(any(feature = "engine", test)), expect(dead_code, reason = "called by the shell"))]
pub(super) fn prefers_minimal<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let is_minimal = |preference: &str| {
        let preference = preference.split(';').next().unwrap_or_default();
        preference.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("return") && value.trim().trim_matches('"') == "minimal"
        })
    };
    values.into_iter().any(|value| String::from_utf8_lossy(value).split(',').any(is_minimal))
}

/// Whether data of this media type is JSON, by the rule of the CloudEvents JSON format.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.split_once('/').is_some_and(|(_, sub)| sub == "json" || sub.ends_with("+json"))
}

/// Parameters mean nothing to JSON, except one that says that it is not in UTF-8.
fn is_fine_parameter(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let charset = value.trim().trim_matches('"');
            ["utf-8", "utf8", "us-ascii"].iter().any(|fine| charset.eq_ignore_ascii_case(fine))
        }
        Some(_) | None => true,
    }
}

fn unsupported(why: &str) -> Problem {
    let detail = format!(
        "the content type must be application/json, application/x-ndjson, application/cloudevents+json or \
         application/cloudevents-batch+json; {why}"
    );
    Problem::new(ProblemKind::UnsupportedMediaType, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check = |value: &str, want: Option<Format>| {
            let head = Head { content_type: Some(value.as_bytes()), attributes: &[] };
            assert_eq!(head.format().ok(), want, "{value}");
        };
        check("application/json", Some(Format::Json));
        check("Application/JSON ; charset=\"UTF-8\"", Some(Format::Json));
        check("application/json; charset=utf-16", None);
        check("application/json;profile=x", Some(Format::Json));
        check("application/x-ndjson", Some(Format::Ndjson));
        check("application/cloudevents+json; charset=utf-8", Some(Format::CloudEvent));
        check("application/cloudevents-batch+json", Some(Format::CloudEventBatch));
        check("application/cloudevents+avro", None);
        check("text/plain", None);
        check("application/x-www-form-urlencoded", None);
        check("application/jsonx", None);
        check("", None);
    }

    #[test]
    fn preferences() {
        let check = |values: &[&str], want: bool| {
            assert_eq!(prefers_minimal(values.iter().map(|value| value.as_bytes())), want, "{values:?}");
        };
        check(&["return=minimal"], true);
        check(&["respond-async, Return = \"minimal\"; x=1"], true);
        check(&["wait=5", "return=minimal"], true);
        check(&["return=representation"], false);
        check(&["minimal", ""], false);
        check(&[], false);
    }

    #[test]
    fn binary_mode_is_told_by_its_headers() {
        let check = |content_type: Option<&str>, names: &[&str], want: Option<Format>| {
            let attributes: Vec<_> = names.iter().map(|name| (*name, b"x".as_slice())).collect();
            let head = Head { content_type: content_type.map(str::as_bytes), attributes: &attributes };
            assert_eq!(head.format().ok(), want, "{content_type:?} {names:?}");
        };
        check(Some("application/json"), &["specversion"], Some(Format::CloudEventBinary));
        check(Some("application/vnd.acme+json"), &["id"], Some(Format::CloudEventBinary));
        check(None, &["type"], Some(Format::CloudEventBinary));
        check(None, &[], None);
        check(Some("application/json"), &["other"], Some(Format::Json));
        check(Some("text/plain"), &["specversion"], None);
        check(Some("application/cloudevents+json"), &["specversion"], Some(Format::CloudEvent));
    }
}
