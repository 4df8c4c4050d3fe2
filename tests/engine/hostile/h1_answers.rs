//! HTTP/1.1 receivers whose answers are odd and still answers: the status decides, the rest is excerpt.

use std::time::Duration;

use super::case::{TIMEOUT, delivers, refuses, run};
use super::peer::{Peer, pause};

const PACE: Duration = Duration::from_millis(20);

/// Reads the request, says this and waits for what comes of it.
fn says(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    move |peer| {
        peer.request();
        peer.say(&bytes);
    }
}

/// The same, then closes.
fn says_and_closes(
    bytes: impl AsRef<[u8]> + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    move |peer| {
        peer.request();
        peer.say(&bytes);
        peer.close();
    }
}

#[test]
fn bodies_change_nothing() {
    run(&[
        delivers("a body, byte by byte, for ever", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\n");
            while peer.drip("z", PACE) {}
        }),
        delivers("a body without end", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\n");
            peer.flood("z");
        }),
        delivers("a body that never comes", 200, says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"))
            .body("", true),
        delivers("a long announced body", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n");
            peer.flood("z");
        }),
        delivers("resets in the middle of the body", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
            peer.reset();
        }),
        delivers(
            "closes in the middle of the body",
            202,
            says_and_closes("HTTP/1.1 202 A\r\ncontent-length: 9\r\n\r\nhalf"),
        )
        .body("half", true),
        refuses(
            "fails, and closes in the middle of the body",
            500,
            "answered 500",
            says_and_closes("HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\nhalf"),
        )
        .body("half", true),
        refuses("fails with a body without end", 503, "answered 503", |peer| {
            peer.request();
            peer.say("HTTP/1.1 503 Busy\r\n\r\n");
            peer.flood("z");
        }),
        delivers("204 with a body", 204, says("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"))
            .body("", false),
        delivers("more than its length", 200, says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello"))
            .body("he", false),
        delivers(
            "chunks of garbage",
            200,
            says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        )
        .body("", true),
        delivers(
            "a chunk longer than any number",
            200,
            says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nx"),
        )
        .body("", true),
        delivers("a chunk extension without end", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;");
            peer.flood("x");
        }),
        delivers("trailers without end", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n");
            peer.flood("x: y\r\n");
        })
        .body("ok", true),
        delivers("empty chunks' worth of bytes without end", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            peer.flood("1\r\nx\r\n");
        }),
    ]);
}

#[test]
fn odd_heads_are_heads() {
    let long_reason = format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(8 * 1024));
    run(&[
        delivers("HTTP/1.0 with a length", 200, says("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
            .body("ok", false),
        delivers("HTTP/1.0 until the end", 202, says_and_closes("HTTP/1.0 202 Accepted\r\n\r\nold"))
            .body("old", false),
        delivers("no reason", 200, says("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n")).stays(),
        delivers("a long reason", 200, says(long_reason)).stays(),
        delivers("line feeds alone", 200, says("HTTP/1.1 200 OK\ncontent-length: 0\n\n")).stays(),
        delivers("an empty line before", 200, says("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).stays(),
        delivers("the same length twice", 200, says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"))
            .body("ok", false)
            .stays(),
        delivers(
            "chunks and trailers",
            200,
            says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n2;a=b\r\nok\r\n0\r\nx: y\r\n\r\n"),
        )
        .body("ok", false)
        .stays(),
        delivers(
            "a length and chunks",
            200,
            says("HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        )
        .body("ok", false)
        .stays(),
        delivers(
            "a thousand interim answers",
            201,
            says("HTTP/1.1 102 Processing\r\n\r\n".repeat(1000) + "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"),
        )
        .stays(),
        delivers("bytes that are no text", 200, says(b"HTTP/1.1 200 \xff\xfe\r\nx: \xff\r\ncontent-length: 1\r\n\r\n\xff".to_vec()))
            .body("\u{fffd}", false)
            .stays(),
        refuses("an unknown status", 799, "answered 799", says("HTTP/1.1 799 Odd\r\ncontent-length: 0\r\n\r\n")).stays(),
    ]);
}

#[test]
fn answers_before_the_request_was_read() {
    run(&[
        delivers("answers at once, and reads long after", 200, |peer| {
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            pause(TIMEOUT / 4);
        })
        .small()
        .body("ok", false),
        refuses("refuses the length and closes", 413, "answered 413", |peer| {
            peer.read(64);
            peer.say("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            peer.close();
        })
        .small(),
        refuses("refuses and then reads", 401, "answered 401", |peer| {
            peer.read(64);
            peer.say("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n");
            pause(TIMEOUT / 4);
        })
        .small(),
    ]);
}
