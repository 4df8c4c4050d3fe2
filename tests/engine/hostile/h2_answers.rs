//! HTTP/2 receivers whose answers are odd and still answers.

use super::case::{delivers, refuses, run_h2};
use super::frames::{
    DATA, END_HEADERS, END_STREAM, H2, HEADERS, INITIAL_WINDOW_SIZE, answer, block, floods, frame,
    rst_stream, says,
};

#[test]
fn answers_with_odd_bodies() {
    let data = |stream, flags, text: &str| frame(DATA, flags, stream, text.as_bytes());
    run_h2(vec![
        delivers("204", 204, says(|stream| answer(stream, "204", END_STREAM))).stays(),
        delivers("before the request was sent whole", 200, |peer| {
            let Some(mut h2) = H2::open(peer, &[(INITIAL_WINDOW_SIZE, 100)]) else { return };
            if let Some(stream) = h2.head() {
                h2.say(answer(stream, "200", END_STREAM));
            }
            h2.drain();
        })
        .stays(),
        refuses("refuses before the request was sent whole", 413, "answered 413", |peer| {
            let Some(mut h2) = H2::open(peer, &[(INITIAL_WINDOW_SIZE, 100)]) else { return };
            if let Some(stream) = h2.head() {
                h2.say([answer(stream, "413", END_STREAM), rst_stream(stream, 0)].concat());
            }
            h2.drain();
        })
        .stays(),
        delivers("a body", 200, says(move |s| [answer(s, "200", 0), data(s, END_STREAM, "ok")].concat()))
            .body("ok", false)
            .stays(),
        delivers(
            "trailers",
            200,
            says(move |s| {
                let trailers = frame(HEADERS, END_HEADERS | END_STREAM, s, &block(&[("x", "y")]));
                [answer(s, "200", 0), data(s, 0, "ok"), trailers].concat()
            }),
        )
        .body("ok", false)
        .stays(),
        delivers(
            "a body that does not end",
            200,
            says(move |s| [answer(s, "200", 0), data(s, 0, "part")].concat()),
        )
        .body("part", true)
        .stays(),
        delivers(
            "a body without end",
            200,
            floods(|s| answer(s, "200", 0), |s| frame(DATA, 0, s, &[b'z'; 16_000])),
        ),
        delivers(
            "empty frames without end",
            200,
            floods(|s| answer(s, "200", 0), |s| frame(DATA, 0, s, &[])),
        ),
        delivers(
            "less than its length",
            200,
            says(move |s| {
                let head = block(&[(":status", "200"), ("content-length", "9")]);
                [frame(HEADERS, END_HEADERS, s, &head), data(s, END_STREAM, "half")].concat()
            }),
        )
        .stays(),
        delivers(
            "more than its length",
            200,
            says(move |s| {
                let head = block(&[(":status", "200"), ("content-length", "2")]);
                [frame(HEADERS, END_HEADERS, s, &head), data(s, END_STREAM, "hello")].concat()
            }),
        )
        .stays(),
        delivers(
            "a hundred interim answers",
            201,
            says(|s| [answer(s, "103", 0).repeat(100), answer(s, "201", END_STREAM)].concat()),
        )
        .stays(),
        refuses(
            "a redirect",
            307,
            "redirects are not followed",
            says(|s| {
                let head = block(&[(":status", "307"), ("location", "https://127.0.0.1/")]);
                frame(HEADERS, END_HEADERS | END_STREAM, s, &head)
            }),
        )
        .stays(),
        refuses("gone", 410, "answered 410", says(|s| answer(s, "410", END_STREAM))).stays(),
        refuses("503", 503, "answered 503", says(|s| answer(s, "503", END_STREAM))).stays(),
    ]);
}
