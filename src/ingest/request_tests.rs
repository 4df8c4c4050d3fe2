//! The rules of the contract's section 3, each as an input and what must come of it.

use super::answer::ProblemKind;
use super::format::Head;
use super::rejection::Code;
use super::request::{Context, DATA_DEPTH_MAX, Item, Limits, Types, parse};
use crate::model::event::BODY_PREFIX;
use crate::model::{AccountName, EventId, NewEvent, TypeBit, UnixMillis};

struct Two;

impl Types for Two {
    fn resolve(&self, name: &str) -> Option<(TypeBit, &str)> {
        match name {
            "device.registered" | "device-registered" => Some((TypeBit(3), "device.registered")),
            "user.created" => Some((TypeBit(200), "user.created")),
            _ => None,
        }
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        (name == "user.craeted").then_some("user.created")
    }
}

pub(super) const LIMITS: Limits = Limits { max_event_size: 400, max_batch: 4, max_request_size: 4000 };
const NOW: UnixMillis = UnixMillis(1_795_445_340_000);

fn made() -> EventId {
    EventId::parse("made").unwrap()
}

pub(super) fn read_as(head: Head<'_>, body: &[u8], limits: Limits) -> Result<Vec<Item>, ProblemKind> {
    let context = Context::new(&Two, limits, NOW, &made, None);
    parse(&head, body, &context).map_err(|problem| problem.kind)
}

pub(super) fn head(content_type: &str) -> Head<'_> {
    Head { content_type: Some(content_type.as_bytes()), attributes: &[] }
}

fn json(body: &str) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/json"), body.as_bytes(), LIMITS)
}

fn ndjson(body: &[u8]) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/x-ndjson"), body, LIMITS)
}

pub(super) fn only(items: Result<Vec<Item>, ProblemKind>) -> Item {
    let mut items = items.expect("no problem");
    assert_eq!(items.len(), 1);
    items.remove(0)
}

pub(super) fn codes(items: &[Item]) -> Vec<Option<Code>> {
    items.iter().map(|item| item.as_ref().err().map(|rejection| rejection.code)).collect()
}

pub(super) fn body_of(item: Item) -> String {
    String::from_utf8(item.expect("accepted").body.to_vec()).unwrap()
}

pub(super) const GOOD: &str = r#"{"accountId":"acme","type":"user.created","data":{}}"#;

#[test]
fn the_envelope() {
    let check = |event: &str, want: &str| assert_eq!(body_of(only(json(event))), want, "{event}");
    check(
        r#" {"data" : {"b":1.0e5, "a":"\u00fc" , "n": -0 },"timestamp":"2026-11-23t15:49:00.1239+01:00",
            "type":"device-registered","id":"evt-000123","accountId":"acme"} "#,
        concat!(
            r#"{"id":"evt-000123","type":"device.registered","timestamp":"2026-11-23t15:49:00.1239+01:00","#,
            r#""accountId":"acme","data":{"b":1.0e5, "a":"\u00fc" , "n": -0 }}"#
        ),
    );
    check(
        GOOD,
        concat!(
            r#"{"id":"made","type":"user.created","timestamp":"2026-11-23T14:49:00.000Z","#,
            r#""accountId":"acme","data":{}}"#
        ),
    );
    check(
        r#"{"account\u0049d":"\u0061cme","type":"user\u002ecreated","id":"\u0061","data":{}}"#,
        concat!(
            r#"{"id":"a","type":"user.created","timestamp":"2026-11-23T14:49:00.000Z","#,
            r#""accountId":"acme","data":{}}"#
        ),
    );
}

#[test]
fn the_new_event() {
    let NewEvent { id, account, type_bit, body } =
        only(json(r#"{"id":"e","accountId":"acme","type":"user.created","data":{}}"#)).unwrap();
    assert_eq!((id.as_str(), account.as_str(), type_bit), ("e", "acme", TypeBit(200)));
    assert!(body.strip_prefix(BODY_PREFIX).unwrap().starts_with(b"e\""));
}

#[test]
fn faults_of_plain_events() {
    let check = |event: &str, code: Code, field: Option<&str>| {
        let rejection = only(json(event)).expect_err(event);
        assert_eq!((rejection.code, rejection.field.as_deref()), (code, field), "{event}: {rejection:?}");
        assert!(!rejection.message.is_empty());
    };
    let with = |member: &str| GOOD.replacen('{', &format!("{{{member},"), 1);
    let swap = |from: &str, to: &str| GOOD.replace(from, to);

    check("{}", Code::MissingField, Some("accountId"));
    check(r#"{"accountId":"a"}"#, Code::MissingField, Some("type"));
    check(r#"{"accountId":"a","type":"user.created"}"#, Code::MissingField, Some("data"));
    for other in ["1", "\"x\"", "null", "true", "1e999"] {
        check(other, Code::NotAnObject, None);
    }

    check(&with(r#""extra":1"#), Code::UnknownField, Some("extra"));
    check(&with(r#""account_id":"x""#), Code::UnknownField, Some("account_id"));
    check(&with(r#""id":"a","id":"a""#), Code::DuplicateField, Some("id"));
    check(&with(r#""data":{}"#), Code::DuplicateField, Some("data"));

    check(&with(r#""id":1"#), Code::WrongType, Some("id"));
    check(&with(r#""id":null"#), Code::WrongType, Some("id"));
    check(&with(r#""timestamp":1795445340"#), Code::WrongType, Some("timestamp"));
    check(&swap("\"acme\"", "[\"acme\"]"), Code::WrongType, Some("accountId"));
    check(&swap("\"user.created\"", "{}"), Code::WrongType, Some("type"));
    for data in ["[]", "\"{}\"", "1", "null", "true"] {
        check(&swap("{}}", &format!("{data}}}")), Code::WrongType, Some("data"));
    }

    check(&with(r#""id":"""#), Code::InvalidId, Some("id"));
    check(&with(r#""id":"a.b""#), Code::InvalidId, Some("id"));
    check(&with(&format!(r#""id":"{}""#, "x".repeat(65))), Code::InvalidId, Some("id"));
    check(&swap("acme", ""), Code::InvalidAccountId, Some("accountId"));
    check(&swap("acme", "a/b"), Code::InvalidAccountId, Some("accountId"));
    check(&swap("user.created", "user.gone"), Code::UnknownType, Some("type"));
    for time in ["", "yesterday", "2026-11-23", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"] {
        check(&with(&format!(r#""timestamp":"{time}""#)), Code::InvalidTimestamp, Some("timestamp"));
    }
}

#[test]
fn messages_name_what_was_probably_meant() {
    let message = |event: &str| only(json(event)).unwrap_err().message;
    let known = message(&GOOD.replace("accountId", "account_id"));
    assert_eq!(known, "`account_id` is not a field of an event; did you mean `accountId`?");
    let known = message(&GOOD.replace("user.created", "user.craeted"));
    assert_eq!(known, "there is no event type `user.craeted`; did you mean `user.created`?");
    assert!(message(&GOOD.replace("accountId", &"x".repeat(300))).len() < 200);
}

#[test]
fn a_rejection_carries_the_id_where_it_is_one() {
    let id = |event: &str| only(json(event)).unwrap_err().id.map(|id| id.to_string());
    assert_eq!(id(r#"{"id":"e-1","accountId":"a"}"#).as_deref(), Some("e-1"));
    assert_eq!(id(r#"{"id":"e-1","nonsense":1}"#).as_deref(), Some("e-1"));
    assert_eq!(id(r#"{"id":"e 1","accountId":"a"}"#), None);
}

#[test]
fn one_bad_item_does_not_spoil_the_others() {
    let big = GOOD.replace("{}}", &format!("{{\"x\":\"{}\"}}}}", "y".repeat(400)));
    let items = json(&format!("[{GOOD} , 5,\n{big},{GOOD}]")).unwrap();
    assert_eq!(codes(&items), [None, Some(Code::NotAnObject), Some(Code::EventTooLarge), None]);

    let body = format!("\n{GOOD}\r\n  \n{{\"half\":\n{big}\n{GOOD} {GOOD}");
    let items = ndjson(body.as_bytes()).unwrap();
    assert_eq!(codes(&items), [None, Some(Code::NotJson), Some(Code::EventTooLarge), Some(Code::NotJson)]);

    let mut body = GOOD.as_bytes().to_vec();
    body.extend_from_slice(b"\n{\"accountId\":\"\xff\"}\n");
    assert_eq!(codes(&ndjson(&body).unwrap()), [None, Some(Code::NotJson)]);
}

#[test]
fn an_event_is_measured_without_the_white_space_around_it() {
    let room = LIMITS.max_event_size - GOOD.len() - "\"x\":\"\"".len();
    let exact = GOOD.replace("{}}", &format!("{{\"x\":\"{}\"}}}}", "y".repeat(room)));
    assert_eq!(exact.len(), LIMITS.max_event_size);
    let over = exact.replacen(',', ", ", 1);
    for (event, want) in [(&exact, None), (&over, Some(Code::EventTooLarge))] {
        assert_eq!(codes(&json(&format!("  {event}\n")).unwrap()), [want]);
        assert_eq!(codes(&json(&format!("[  {event}\n,{GOOD}]")).unwrap()), [want, None]);
        assert_eq!(codes(&ndjson(format!("  {event}  ").as_bytes()).unwrap()), [want]);
    }
}

#[test]
fn problems_of_the_whole_request() {
    let check = |content_type: &str, body: &[u8], want: ProblemKind| {
        let got = read_as(head(content_type), body, LIMITS);
        assert_eq!(got.as_ref().err(), Some(&want), "{content_type}: {}", String::from_utf8_lossy(body));
    };
    let json = "application/json";
    for text in ["{", "nope", "{\"a\":1}x", "[{}", "[{},]", "[,]", "[{}]]", "[] x", "\u{feff}{}", "[{} {}]"] {
        check(json, text.as_bytes(), ProblemKind::MalformedJson);
    }
    check(json, b"{\"accountId\":\"\xff\"}", ProblemKind::MalformedJson);
    for text in ["", " \n", "[]", " [ ] "] {
        check(json, text.as_bytes(), ProblemKind::EmptyRequest);
    }
    check("application/x-ndjson", b"\n \r\n", ProblemKind::EmptyRequest);
    check("application/cloudevents-batch+json", b"[]", ProblemKind::EmptyRequest);
    check("application/cloudevents-batch+json", b"{}", ProblemKind::MalformedJson);
    check("application/cloudevents+json", b"nope", ProblemKind::MalformedJson);
    check("text/plain", GOOD.as_bytes(), ProblemKind::UnsupportedMediaType);

    let five = [GOOD; 5];
    check(json, format!("[{}]", five.join(",")).as_bytes(), ProblemKind::BatchTooLarge);
    check("application/x-ndjson", five.join("\n").as_bytes(), ProblemKind::BatchTooLarge);
    check(json, " ".repeat(4001).as_bytes(), ProblemKind::RequestTooLarge);
}

#[test]
fn exactly_as_many_as_allowed() {
    let four = [GOOD; 4];
    assert_eq!(json(&format!("[{}]", four.join(","))).unwrap().len(), 4);
    assert_eq!(ndjson(four.join("\n\n").as_bytes()).unwrap().len(), 4);
}

#[test]
fn depth_is_bounded() {
    let check = |levels: usize, want: Option<Code>| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        let event = GOOD.replace("{}}", &format!("{{\"x\":{open}{close}}}}}"));
        let items =
            read_as(head("application/json"), event.as_bytes(), Limits { max_event_size: 9999, ..LIMITS });
        assert_eq!(codes(items.as_deref().unwrap()), [want], "{levels}");
        if let Ok(event) = only(items) {
            assert!(serde_json::from_slice::<serde_json::Value>(&event.body).is_ok());
        }
    };
    check(2, None);
    check(DATA_DEPTH_MAX, None);
    check(DATA_DEPTH_MAX + 1, Some(Code::DataTooDeep));
    check(1500, Some(Code::DataTooDeep));

    let flat = GOOD.replace("{}}", &format!("{{\"x\":\"{}\\\"[[\"}}}}", "[{".repeat(80)));
    assert!(only(json(&flat)).is_ok(), "brackets in text are no depth");
}

#[test]
fn a_confined_sender_writes_its_own_account_only() {
    let acme = AccountName::parse("acme").unwrap();
    let context = Context::new(&Two, LIMITS, NOW, &made, Some(&acme));
    let body = format!("[{GOOD},{}]", GOOD.replace("acme", "other"));
    let items = parse(&head("application/json"), body.as_bytes(), &context).unwrap();
    assert_eq!(codes(&items), [None, Some(Code::ForbiddenAccount)]);
}

/// Otherwise whoever writes events could tell an Account Owner that a delivery died.
#[test]
fn operational_types_are_the_engines_own() {
    let catalogue = crate::model::Catalogue::builtin();
    for name in ["postrider.delivery.dead", "postrider.subscription.disabled"] {
        assert!(catalogue.resolve(name).is_some(), "{name} can be asked for");
        assert!(Types::resolve(&catalogue, name).is_none(), "{name} cannot be sent");
    }
    assert!(Types::resolve(&catalogue, "device.registered").is_some());
}
