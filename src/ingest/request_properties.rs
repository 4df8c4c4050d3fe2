//! What must hold of any input: `data` survives byte for byte, forms agree, nothing panics. And what an
//! event costs.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::cloudevents_tests::CLOUD;
use super::request::{Item, Limits};
use super::request_tests::{GOOD, body_of, head, read_as};

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
        ("application/json", event.clone(), 1u32),
        ("application/json", format!("[{}]", many.join(",")), 100),
        ("application/x-ndjson", many.join("\n"), 100),
    ] {
        let rounds = 200_000 / events;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(read_as(head(content_type), body.as_bytes(), wide()).unwrap());
        }
        let each = start.elapsed().as_nanos() / u128::from(rounds * events);
        println!("{content_type}, {events} events of {} bytes: {each} ns each", event.len());
    }
}
