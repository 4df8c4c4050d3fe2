//! HTTP/2 receivers that break the protocol, or wear it out.

use super::case::{fails, run_h2};
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE, PING, PRIORITY, PUSH_PROMISE, SETTINGS, answer, block, floods, frame, goaway, says,
    settings, window_update,
};
use super::peer::Peer;

#[test]
fn frames_that_break_the_protocol() {
    let head = |fields: &'static [(&'static str, &'static str)]| {
        says(move |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields)))
    };
    // What is wrong with one head ends its stream, not the connection.
    let breaks = |name, script: Box<dyn Fn(&mut Peer) + Send + Sync>| fails(name, "protocol", "", script);
    let on = |bytes: fn(u32) -> Vec<u8>| Box::new(says(bytes)) as Box<dyn Fn(&mut Peer) + Send + Sync>;
    run_h2(vec![
        breaks(
            "noise for frames",
            Box::new(|peer| {
                peer.say("HTTP/1.1 400 Bad Request\r\n\r\n");
            }),
        ),
        breaks(
            "no SETTINGS first",
            Box::new(|peer| {
                peer.say(frame(PING, 0, 0, &[0; 8]));
            }),
        ),
        breaks("SETTINGS of a broken length", on(|_| frame(SETTINGS, 0, 0, &[0; 5]))),
        breaks("SETTINGS on a stream", on(|stream| frame(SETTINGS, 0, stream, &[]))),
        breaks("a window beyond all windows", on(|_| settings(&[(INITIAL_WINDOW_SIZE, u32::MAX)]))),
        breaks("a frame size below the least", on(|_| settings(&[(MAX_FRAME_SIZE, 1)]))),
        breaks("a frame longer than allowed", on(|stream| frame(DATA, 0, stream, &[0; 70_000]))),
        breaks("WINDOW_UPDATE over the top", on(|_| window_update(0, 0x7fff_ffff).repeat(2))),
        breaks(
            "WINDOW_UPDATE over the top of a stream",
            Box::new(|peer| {
                // While its body is not yet sent whole: later nobody would care.
                let Some(mut h2) = H2::open(peer, &[(INITIAL_WINDOW_SIZE, 100)]) else { return };
                if let Some(stream) = h2.head() {
                    h2.say(window_update(stream, 0x7fff_ffff).repeat(2));
                }
                h2.drain();
            }),
        )
        .stays(),
        breaks("WINDOW_UPDATE of nothing", on(|_| window_update(0, 0))),
        breaks("PING of a broken length", on(|_| frame(PING, 0, 0, &[0; 7]))),
        breaks("DATA before the head", on(|stream| frame(DATA, END_STREAM, stream, b"ok"))),
        breaks("DATA on no stream", on(|_| frame(DATA, 0, 0, b"ok"))),
        breaks("DATA on a stream that nobody opened", on(|_| frame(DATA, 0, 99, b"ok"))),
        breaks("a head on a stream that nobody opened", on(|_| answer(99, "200", END_STREAM))),
        breaks("a pushed stream", on(|stream| frame(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, 0x82]))),
        breaks("CONTINUATION without a head", on(|stream| frame(CONTINUATION, END_HEADERS, stream, &[]))),
        breaks(
            "another frame inside a head",
            on(|stream| [frame(HEADERS, 0, stream, &[0x88]), frame(PING, 0, 0, &[0; 8])].concat()),
        ),
        breaks("a header block of garbage", on(|stream| frame(HEADERS, END_HEADERS, stream, &[0xff; 64]))),
        breaks("no status", Box::new(head(&[("x", "y")]))).stays(),
        breaks("a status that is none", Box::new(head(&[(":status", "abc")]))).stays(),
        breaks("a status of four digits", Box::new(head(&[(":status", "1000")]))).stays(),
        breaks("two statuses", Box::new(head(&[(":status", "200"), (":status", "500")]))).stays(),
        breaks("a name in capitals", Box::new(head(&[(":status", "200"), ("X-Y", "z")]))).stays(),
        breaks("a header of connections", Box::new(head(&[(":status", "200"), ("connection", "close")])))
            .stays(),
        breaks("NUL in a value", Box::new(head(&[(":status", "200"), ("x", "a\0b")]))).stays(),
        breaks("101", Box::new(head(&[(":status", "101")]))).stays(),
    ]);
}

#[test]
fn floods_of_frames() {
    let nothing = |_: u32| Vec::new();
    let ends =
        |name, words, script: Box<dyn Fn(&mut Peer) + Send + Sync>| fails(name, "protocol", words, script);
    run_h2(vec![
        ends("SETTINGS", "", Box::new(floods(nothing, |_| settings(&[(HEADER_TABLE_SIZE, 4096)])))),
        ends("acknowledged SETTINGS", "", Box::new(floods(nothing, |_| frame(SETTINGS, ACK, 0, &[])))),
        ends("PING", "", Box::new(floods(nothing, |_| frame(PING, 0, 0, &[7; 8])))),
        ends("PRIORITY", "", Box::new(floods(nothing, |s| frame(PRIORITY, 0, s + 2, &[0, 0, 0, 0, 1])))),
        ends("WINDOW_UPDATE", "", Box::new(floods(nothing, |_| window_update(0, 1)))),
        ends("frames of no known kind", "", Box::new(floods(nothing, |_| frame(0xbe, 0, 0, &[1; 512])))),
        ends("GOAWAY", "", Box::new(floods(nothing, |s| goaway(s, 0)))),
        ends("interim answers", "", Box::new(floods(nothing, |s| answer(s, "103", 0)))),
        ends(
            "a header block without end",
            "",
            Box::new(floods(
                |s| frame(HEADERS, 0, s, &block(&[(":status", "200")])),
                |s| frame(CONTINUATION, 0, s, &block(&[("x", "y")]).repeat(20)),
            )),
        ),
        ends(
            "empty CONTINUATION without end",
            "",
            Box::new(floods(
                |s| frame(HEADERS, 0, s, &block(&[(":status", "200")])),
                |s| frame(CONTINUATION, 0, s, &[]),
            )),
        ),
        ends(
            "a long header",
            "",
            Box::new(says(|s| {
                let value = "y".repeat(12 * 1024);
                let mut bytes = frame(HEADERS, 0, s, &block(&[(":status", "200"), ("x", &value)]));
                for n in 0..8 {
                    bytes.extend(frame(
                        CONTINUATION,
                        if n == 7 { END_HEADERS } else { 0 },
                        s,
                        &block(&[("x", &value)]),
                    ));
                }
                bytes
            })),
        ),
    ]);
}
