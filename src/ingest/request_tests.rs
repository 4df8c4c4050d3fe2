//! The rules of the contract's section 3, each as an input and what must come of it.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::answer::ProblemKind;
use super::format::Head;
use super::rejection::{Code, Rejection};
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

const LIMITS: Limits = Limits { max_event_size: 400, max_batch: 4, max_request_size: 4000 };
const NOW: UnixMillis = UnixMillis(1_795_445_340_000);

fn made() -> EventId {
    EventId::parse("made").unwrap()
}

fn read_as(head: Head<'_>, body: &[u8], limits: Limits) -> Result<Vec<Item>, ProblemKind> {
    let context = Context::new(&Two, limits, NOW, &made, None);
    parse(&head, body, &context).map_err(|problem| problem.kind)
}

fn head(content_type: &str) -> Head<'_> {
    Head { content_type: Some(content_type.as_bytes()), attributes: &[] }
}

fn json(body: &str) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/json"), body.as_bytes(), LIMITS)
}

fn ndjson(body: &[u8]) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/x-ndjson"), body, LIMITS)
}

fn cloud(body: &str) -> Result<Vec<Item>, ProblemKind> {
    read_as(head("application/cloudevents+json"), body.as_bytes(), LIMITS)
}

fn only(items: Result<Vec<Item>, ProblemKind>) -> Item {
    let mut items = items.expect("no problem");
    assert_eq!(items.len(), 1);
    items.remove(0)
}

fn codes(items: &[Item]) -> Vec<Option<Code>> {
    items.iter().map(|item| item.as_ref().err().map(|rejection| rejection.code)).collect()
}

fn body_of(item: Item) -> String {
    String::from_utf8(item.expect("accepted").body.to_vec()).unwrap()
}

const GOOD: &str = r#"{"accountId":"acme","type":"user.created","data":{}}"#;

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

const CLOUD: &str = concat!(
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

/// JSON text in all the spellings that a client may choose.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just(" true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "\"([a-zäöü😀 \\[\\]{},:]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,12}\"",
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let member = ("\"[a-z\\[{]{0,3}\"", "[ \n\t]{0,2}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..5).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(key, white, value)| format!("{key}{white}:{value}")).collect();
    format!("{{ {}}}", members.join(","))
}

fn any_data() -> impl Strategy<Value = String> {
    prop::collection::vec(("\"[a-z]{1,3}\"", "[ \r\n\t]{0,2}", any_json()), 0..5)
        .prop_map(|members| object(&members))
}

fn check_whole(items: &[Item]) {
    assert!(!items.is_empty());
    for event in items.iter().filter_map(|item| item.as_ref().ok()) {
        assert!(serde_json::from_slice::<&RawValue>(&event.body).is_ok(), "a body is JSON");
    }
}

fn wide() -> Limits {
    Limits { max_event_size: 1 << 20, max_batch: 1000, max_request_size: 1 << 22 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn data_survives_byte_for_byte(data in any_data(), data2 in any_data()) {
        let event = |data: &str| format!(r#"{{"accountId":"acme","data": {data} ,"type":"user.created"}}"#);
        let want = |data: &str| format!(",\"accountId\":\"acme\",\"data\":{data}}}");
        let body = format!("[{},{}]", event(&data), event(&data2));
        let items = read_as(head("application/json"), body.as_bytes(), wide()).unwrap();
        let bodies: Vec<_> = items.into_iter().map(body_of).collect();
        prop_assert!(bodies[0].ends_with(&want(&data)));
        prop_assert!(bodies[1].ends_with(&want(&data2)));
    }

    #[test]
    fn array_and_lines_agree(data in prop::collection::vec(any_json(), 1..6)) {
        let on_a_line = |json: &String| json.replace(['\n', '\r'], " ");
        let event = |json| format!(r#"{{"accountId":"a","type":"user.created","data":{json}}}"#);
        let events: Vec<_> = data.iter().map(on_a_line).map(event).collect();
        let array = read_as(head("application/json"), format!("[{}]", events.join(",")).as_bytes(), wide());
        let lines = read_as(head("application/x-ndjson"), events.join("\n").as_bytes(), wide());
        prop_assert_eq!(array.unwrap(), lines.unwrap());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        super::fuzz_request(&bytes);
    }

    #[test]
    fn damaged_requests_never_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let whole = format!("[{CLOUD},{GOOD},{CLOUD}]");
        let mut bytes = whole.into_bytes();
        if let Some(hit) = bytes.get_mut(at) {
            *hit = byte;
        }
        bytes.truncate(cut.max(1));
        for content_type in ["application/json", "application/x-ndjson", "application/cloudevents-batch+json"] {
            if let Ok(items) = read_as(head(content_type), &bytes, wide()) {
                check_whole(&items);
            }
        }
    }
}

#[test]
fn rejections_compare_by_value() {
    assert_eq!(Rejection::missing("data"), Rejection::missing("data"));
}

/// Prints what one event costs: `cargo test --release -- --ignored cost_per_event --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn cost_per_event() {
    let text = "\"name\":\"Lobby \\u00fc 12\",\"reading\":21.50,\"tags\":[\"a\",\"b\"],";
    let data = format!("{{{}\"last\":null}}", text.repeat(900 / text.len()));
    let event = format!(
        r#"{{"id":"evt-000123","accountId":"acme","type":"device.registered","timestamp":"2026-11-23T14:49:00.000Z","data":{data}}}"#
    );
    let many = vec![event.clone(); 100];
    for (content_type, body, events) in [
        ("application/json", event.clone(), 1),
        ("application/json", format!("[{}]", many.join(",")), 100),
        ("application/x-ndjson", many.join("\n"), 100),
    ] {
        let rounds = 200_000 / events;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(read_as(head(content_type), body.as_bytes(), wide()).unwrap());
        }
        let each = start.elapsed().as_nanos() / (rounds * events) as u128;
        println!("{content_type}, {events} events of {} bytes: {each} ns each", event.len());
    }
}
