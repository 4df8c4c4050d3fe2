//! What a client is answered, over a real socket.

use crate::log::api::Appended;
use crate::model::Seq;

use super::test_rig::{event, post, post_with, run, run_with_log};

#[test]
fn results_come_in_the_order_of_the_items() {
    let running = run(|_| {});
    let mut client = running.connect();
    let body = format!("[{},{},7,{}]", event("a", "x"), event("a", "x"), event("a", "y"));
    let answer = client.ask(&post(&body));
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], &json["duplicates"], &json["rejected"]),
        (&2.into(), &1.into(), &1.into())
    );
    let statuses: Vec<_> = json["results"].as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, ["accepted", "duplicate", "rejected", "accepted"]);
    assert_eq!(json["results"][2]["error"]["code"], "not_an_object");

    let answer =
        client.ask(&post_with("content-type: application/json\r\nPrefer: return=minimal\r\n", &body));
    assert_eq!(answer.body, r#"{"accepted":0,"duplicates":3,"rejected":1}"#);
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));

    let answer = client.ask(&post("[{},{}]"));
    assert_eq!((answer.status, &answer.json()["rejected"]), (422, &2.into()));
    let counted = running.metrics.0.lock().unwrap();
    assert_eq!((counted.accepted, counted.duplicate), (2, 4));
    assert_eq!(counted.rejected.len(), 4);
}

#[test]
fn an_event_without_an_id_gets_one() {
    let running = run(|_| {});
    let answer = running.connect().ask(&post(&event("", "x").replace(r#""id":"","#, "")));
    let id = answer.json()["results"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("evt_") && id.len() == 30, "{id}");
}

#[test]
fn cloudevents_in_binary_mode() {
    let (running, asked) = run_with_log(|_| {});
    let mut client = running.connect();
    client.send(&post_with(
        "content-type: application/json\r\nCE-SpecVersion: 1.0\r\nce-id: c-1\r\nce-source: /x\r\n\
         ce-type: user%2Ecreated\r\nce-accountid: acme\r\nce-time: 2026-01-01T00:00:00Z\r\n",
        "{\"n\": 1.0e5}",
    ));
    let (events, reply) = asked.recv().unwrap();
    assert_eq!(
        events[0].body,
        r#"{"id":"c-1","type":"user.created","timestamp":"2026-01-01T00:00:00Z","accountId":"acme","data":{"n": 1.0e5}}"#
    );
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(client.answer().status, 202);
}

#[test]
fn paths_methods_and_problems() {
    let running = run(|options| options.limits.max_batch = 2);
    let mut client = running.connect();
    let mut check = |request: &[u8], status: u16, code: &str, allow: Option<&str>| {
        let answer = client.ask(request);
        let text = String::from_utf8_lossy(request);
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{text}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let json = answer.json();
        assert_eq!((&json["code"], &json["status"]), (&code.into(), &status.into()), "{text}");
        assert!(json["title"].is_string() && json["detail"].is_string());
    };
    check(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n", 404, "not_found", None);
    check(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed", Some("POST"));
    check(b"DELETE /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed", Some("GET, HEAD"));
    check(&post("nope"), 400, "malformed_json", None);
    check(&post("[]"), 400, "empty_request", None);
    check(&post(""), 400, "empty_request", None);
    check(&post("[1,2,3]"), 413, "batch_too_large", None);
    check(&post_with("content-type: text/plain\r\n", "x"), 415, "unsupported_media_type", None);
    check(&post_with("", "x"), 415, "unsupported_media_type", None);
    let answer = client.ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let running = run(|_| {});
    let mut client = running.connect();
    let requests: Vec<u8> = (0..50).flat_map(|n| post(&event(&format!("p-{n}"), "x"))).collect();
    client.send(&requests);
    for n in 0..50 {
        assert_eq!(client.answer().json()["results"][0]["id"], format!("p-{n}"));
    }
    assert_eq!(client.ask(&post(&event("after", "x"))).status, 202, "the connection is kept");
}

#[test]
fn chunked_bodies_are_taken_and_capped() {
    const HEAD: &[u8] = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let running = run(|options| options.limits.max_request_size = 1000);
    let mut client = running.connect();
    client.send(HEAD);
    for byte in event("chunked", "x").chars() {
        client.send(format!("1\r\n{byte}\r\n").as_bytes());
    }
    assert_eq!(client.ask(b"0\r\n\r\n").status, 202);

    client.send(HEAD);
    for _ in 0..3 {
        client.send(format!("1f4\r\n{}\r\n", " ".repeat(500)).as_bytes());
    }
    let answer = client.ask(b"0\r\n\r\n");
    assert_eq!((answer.status, &answer.json()["code"]), (413, &"request_too_large".into()));

    client.send(HEAD);
    let answer = client.ask(b"nonsense\r\n");
    assert_eq!(answer.status, 400);
}

#[test]
fn a_body_of_many_reads_is_whole() {
    let running = run(|_| {});
    let filler = "x".repeat(200_000);
    let body = event("big", "x").replace("{}", &format!("{{\"f\":\"{filler}\"}}"));
    let batch = format!("[{}]", vec![body; 40].join(","));
    let answer = running.connect().ask(&post(&batch));
    assert_eq!((answer.status, &answer.json()["duplicates"]), (202, &39.into()));
}

#[test]
fn expect_100_continue() {
    const EXPECT: &str = "content-type: application/json\r\nexpect: 100-continue\r\n";
    let running = run(|options| options.limits.max_request_size = 1000);
    let mut client = running.connect();
    let body = event("c", "x");
    let whole = post_with(EXPECT, &body);
    client.send(&whole[..whole.len() - body.len()]);
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.ask(body.as_bytes()).status, 202);

    let whole = post_with(EXPECT, &" ".repeat(1001));
    let answer = client.ask(&whole[..whole.len() - 1001]);
    assert_eq!(answer.status, 413, "told before the body is sent");
}

#[test]
fn a_client_that_sends_it_all_before_reading_sees_the_413() {
    let running = run(|options| options.limits.max_request_size = 1 << 20);
    let answer = running.connect().ask(&post(&" ".repeat(3 << 20)));
    assert_eq!((answer.status, &answer.json()["code"]), (413, &"request_too_large".into()));
}

#[test]
fn a_client_that_closes_its_side_gets_its_answer() {
    let (running, asked) = run_with_log(|_| {});
    let mut client = running.connect();
    client.send(&post(&event("half", "x")));
    client.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    let (_, reply) = asked.recv().unwrap();
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(client.answer().status, 202);
    assert!(client.is_closed());
}
