//! HTTP/1.1 receivers whose answers are none.

use std::time::Duration;

use postrider::send::h1::{HEAD_LEN_MAX, HEAD_LINES_MAX};

use super::case::{TIMEOUT, deaf, fails, nobody, refuses, run};
use super::peer::{Peer, pause};

/// A byte each: a header of this pace would take minutes.
const PACE: Duration = Duration::from_millis(20);

#[test]
fn silence_ends_with_the_deadline() {
    run(&[
        nobody("nobody listens", "connect", "refused"),
        deaf("never accepts", "connect", "cannot connect to http://127.0.0.1"),
        deaf("never accepts, short deadline", "timeout", "was connecting").within(300),
        fails("accepts and says nothing", "timeout", "waiting for the answer", |peer| {
            peer.request();
        }),
        fails("accepts and reads nothing", "timeout", "no answer within", |_| pause(TIMEOUT * 5 / 4)).small(),
        fails("a header, byte by byte", "timeout", "waiting for the answer", |peer| {
            peer.request();
            peer.drip("HTTP/1.1 200 OK\r\nx-slow: ".to_owned() + &"y".repeat(4096), PACE);
        }),
        fails("a header that never ends", "timeout", "waiting for the answer", |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n");
            while peer.drip("x: y\r\n", PACE) {}
        }),
        fails("interim answers, slowly, for ever", "timeout", "waiting for the answer", |peer| {
            peer.request();
            while peer.drip("HTTP/1.1 102 Processing\r\n\r\n", PACE) {}
        }),
    ]);
}

#[test]
fn connections_that_end() {
    let closed = "closed the connection";
    run(&[
        fails("closes after accept", "reset", "connection", Peer::close),
        fails("closes after the request", "reset", closed, |peer| {
            peer.request();
            peer.close();
        }),
        fails("closes its half only", "reset", closed, |peer| {
            peer.request();
            peer.half_close();
        }),
        // The reset may be there before the engine sees that it is connected.
        fails("resets after accept", "reset|connect", "connect", Peer::reset),
        fails("resets in the middle of the request", "reset", "connection", |peer| {
            peer.read(100);
            peer.reset();
        })
        .small(),
        fails("resets after the request", "reset", "connection", |peer| {
            peer.request();
            peer.reset();
        }),
        fails("resets in the middle of the status line", "reset", "connection", |peer| {
            peer.request();
            peer.say("HTTP/1.1 2");
            peer.reset();
        }),
        fails("resets in the middle of the headers", "reset", "connection", |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ncontent-le");
            peer.reset();
        }),
        fails("closes in the middle of the headers", "reset", closed, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            peer.close();
        }),
    ]);
}

#[test]
fn bytes_that_are_no_answer() {
    let says = |name, words, bytes: Vec<u8>| {
        fails(name, "protocol", words, move |peer| {
            peer.request();
            peer.say(&bytes);
        })
    };
    let invalid = "not valid HTTP";
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes();
    let header =
        |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\ncontent-length: 0\r\n\r\n").into_bytes();
    let noise = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    run(&[
        says("noise", invalid, noise),
        says("another protocol", invalid, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        says("TLS", invalid, vec![0x15, 3, 1, 0, 2, 2, 80]),
        says("HTTP/0.9", invalid, b"<html>hello</html>\n".to_vec()),
        says("HTTP/2", invalid, b"\0\0\0\x04\0\0\0\0\0".to_vec()),
        says("HTTP/3.0", invalid, b"HTTP/3.0 200 OK\r\n\r\n".to_vec()),
        says("status 099", invalid, status("099 Low")),
        says("status 1000", invalid, status("1000 High")),
        says("status that is none", invalid, status("abc OK")),
        says("status of two digits", invalid, status("20 OK")),
        says("NUL in a value", invalid, header("x: a\0b")),
        says("NUL in a name", invalid, header("x\0y: a")),
        says("a header without a colon", invalid, header("hello")),
        says("a folded header", invalid, header("x: a\r\n b")),
        says("two lengths", invalid, header("content-length: 3")),
        says("a length below zero", invalid, b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n".to_vec()),
        says("a length over u64", invalid, header("content-length: 99999999999999999999")),
        says(
            "a length that is every bit of a u64",
            "",
            b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n".to_vec(),
        ),
        says("a long header", "head is longer than", header(&format!("x: {}", "y".repeat(HEAD_LEN_MAX)))),
        says("a long reason", "head is longer than", status(&format!("200 {}", "y".repeat(HEAD_LEN_MAX)))),
        says("many headers", "head is longer than", header(&vec!["a: b"; HEAD_LINES_MAX + 1].join("\r\n"))),
        fails("a header without end", "protocol", "head is longer than", |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nx: ");
            peer.flood("y");
        }),
        fails("interim answers without end", "protocol", "more before and around", |peer| {
            peer.request();
            peer.flood("HTTP/1.1 100 Continue\r\n\r\n");
        }),
        fails("early hints without end", "protocol", "more before and around", |peer| {
            peer.request();
            peer.flood("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        }),
        refuses("switches protocols", 101, "answered 101", |peer| {
            peer.request();
            peer.say("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        }),
    ]);
}
