//! CloudEvents, each rule as an input and what must come of it.

use super::answer::ProblemKind;
use super::format::Head;
use super::rejection::Code;
use super::request::Item;
use super::request_tests::{LIMITS, body_of, codes, head, only, read_as};

fn cloud(body: &str) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/cloudevents+json"), body.as_bytes(), LIMITS)
}

pub(super) const CLOUD: &str = concat!(
    r#"{"specversion":"1.0","id":"c-1","source":"/devices","type":"device.registered","#,
    r#""accountid":"acme","time":"2026-11-23T14:49:00Z","data":{"a":1.0}}"#
);
const CLOUD_BODY: &str = concat!(
    r#"{"id":"c-1","type":"device.registered","timestamp":"2026-11-23T14:49:00Z","#,
    r#""accountId":"acme","data":{"a":1.0}}"#
);

#[test]
fn cloudevents_structured() {
    let good = |event: &str| assert_eq!(body_of(only(cloud(event))), CLOUD_BODY, "{event}");
    good(CLOUD);
    let with = |member: &str| CLOUD.replacen('{', &format!("{{{member},"), 1);
    good(&with(r#""subject":"x","dataschema":"urn:x","traceparent":"00-1-1-00","flag":true"#));
    good(&with(r#""datacontenttype":"application/json; charset=utf-8""#));
    good(&with(r#""datacontenttype":null"#));
    let base64 = |data: &str| CLOUD.replace(r#""data":{"a":1.0}"#, &format!(r#""data_base64":"{data}""#));
    good(&base64("eyJhIjoxLjB9")); // {"a":1.0}
    good(&base64("IHsiYSI6MS4wfQo=")); // the same, white space around it

    let bad = |event: &str, code: Code, field: &str| {
        let rejection = only(cloud(event)).expect_err(event);
        assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)), "{event}");
    };
    for field in ["specversion", "id", "source", "type", "accountid", "data"] {
        bad(&CLOUD.replace(&format!("\"{field}\""), "\"other\""), Code::MissingField, field);
    }
    bad(&CLOUD.replace("\"1.0\"", "\"0.3\""), Code::InvalidSpecversion, "specversion");
    bad(&CLOUD.replace("\"1.0\"", "1.0"), Code::WrongType, "specversion");
    bad(&CLOUD.replace("/devices", ""), Code::InvalidSource, "source");
    bad(&CLOUD.replace("c-1", "urn:uuid:1"), Code::InvalidId, "id");
    bad(&CLOUD.replace("2026-", ""), Code::InvalidTimestamp, "time");
    bad(&CLOUD.replace("acme", "a/b"), Code::InvalidAccountId, "accountid");
    bad(&with(r#""id":"x""#), Code::DuplicateField, "id");
    bad(&with(r#""datacontenttype":"text/xml""#), Code::InvalidDataContentType, "datacontenttype");
    bad(&with(r#""data_base64":"e30=""#), Code::DuplicateField, "data_base64");
    bad(&CLOUD.replace(r#"{"a":1.0}"#, "[]"), Code::WrongType, "data");
    bad(&CLOUD.replace(r#"{"a":1.0}"#, "null"), Code::MissingField, "data");
    for data in ["#", "bm9wZQ==", "W10=", "/w=="] {
        bad(&base64(data), Code::InvalidDataBase64, "data_base64");
    }
}

#[test]
fn cloudevents_batch() {
    let body = format!("[{CLOUD},{{}},{CLOUD}]");
    let items = read_as(head("application/cloudevents-batch+json"), body.as_bytes(), LIMITS).unwrap();
    assert_eq!(codes(&items), [None, Some(Code::MissingField), None]);
}

#[test]
fn cloudevents_binary() {
    const ALL: [(&str, &[u8]); 6] = [
        ("specversion", b"1.0"),
        ("id", b"c-1"),
        ("source", b"%2Fdevices"),
        ("type", b"device%2Eregistered"),
        ("accountid", b"acme"),
        ("time", b"\"2026-11-23T14:49:00Z\""),
    ];
    let read = |attributes: &[(&str, &[u8])], body: &str| {
        let head = Head { content_type: Some(b"application/json"), attributes };
        read_as(head, body.as_bytes(), LIMITS)
    };
    assert_eq!(body_of(only(read(&ALL, " {\"a\":1.0}\n"))), CLOUD_BODY);

    for leave in ["specversion", "id", "source", "type", "accountid"] {
        let rest: Vec<_> = ALL.iter().copied().filter(|(name, _)| *name != leave).collect();
        let rejection = only(read(&rest, "{}")).unwrap_err();
        assert_eq!((rejection.code, rejection.field.as_deref()), (Code::MissingField, Some(leave)));
    }
    let with = |name: &'static str, value: &'static [u8]| [&ALL[..], &[(name, value)]].concat();
    let code = |attributes: &[_], body: &str| only(read(attributes, body)).unwrap_err().code;
    assert!(only(read(&with("traceparent", b"\xff"), "{}")).is_ok(), "an extension is not looked at");
    assert_eq!(code(&with("id", b"c-2"), "{}"), Code::DuplicateField);
    assert_eq!(code(&ALL, "[]"), Code::WrongType);
    assert_eq!(code(&ALL, &format!("{{\"x\":\"{}\"}}", "y".repeat(400))), Code::EventTooLarge);
    let bad_id: Vec<_> =
        ALL.iter().map(|(name, value)| (*name, if *name == "id" { b"%ff" } else { *value })).collect();
    assert_eq!(code(&bad_id, "{}"), Code::WrongType);
    assert_eq!(read(&ALL, "nope").unwrap_err(), ProblemKind::MalformedJson);
    assert_eq!(read(&ALL, "").unwrap_err(), ProblemKind::EmptyRequest);
}
