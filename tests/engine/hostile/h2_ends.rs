//! HTTP/2 receivers that give connections and streams up, or let them stand still.

use std::time::Duration;

use super::case::{delivers, fails, run_h2};
use super::frames::{
    END_STREAM, H2, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, answer, asked, block, first, frame,
    goaway, rst_stream, says, settings,
};

/// No status on the first connection; what counts is that nothing is lost and nothing hangs.
#[test]
fn connections_that_are_given_up() {
    let mut cases = vec![
        fails("GOAWAY at once", "reset", "closed the connection", first(&[], || goaway(0, 0))),
        delivers("GOAWAY that leaves the request out, on the first connection", 204, |peer| {
            let number = peer.number;
            let Some(mut h2) = H2::open(peer, &[]) else { return };
            if let Some(stream) = h2.request() {
                h2.say(if number == 0 { goaway(0, 0) } else { answer(stream, "204", END_STREAM) });
            }
            h2.drain();
        })
        .stays(),
        fails("GOAWAY that leaves the request out, on each connection", "reset", "", says(|_| goaway(0, 0))),
        fails("GOAWAY that takes the request along", "reset", "", |peer| {
            let Some(mut h2) = H2::open(peer, &[]) else { return };
            if let Some(stream) = h2.request() {
                h2.say(goaway(stream, 2));
            }
            h2.peer.close();
        }),
        delivers("GOAWAY that lets the request end", 204, |peer| {
            let Some(mut h2) = H2::open(peer, &[]) else { return };
            if let Some(stream) = h2.request() {
                h2.say(goaway(stream, 0));
                h2.say(answer(stream, "204", END_STREAM));
            }
            h2.drain();
        }),
        delivers("GOAWAY after the head", 200, |peer| {
            let Some(mut h2) = H2::open(peer, &[]) else { return };
            if let Some(stream) = h2.request() {
                h2.say(answer(stream, "200", 0));
                h2.say(goaway(0, 11));
            }
            h2.peer.close();
        }),
        fails("closes without a word", "reset", "", |peer| {
            if let Some(mut h2) = H2::open(peer, &[]) {
                h2.request();
                h2.peer.close();
            }
        }),
        fails("resets without a word", "reset", "", |peer| {
            if let Some(mut h2) = H2::open(peer, &[]) {
                h2.request();
                h2.peer.reset();
            }
        }),
        delivers("closes after the head", 200, |peer| {
            if let Some(mut h2) = H2::open(peer, &[])
                && let Some(stream) = h2.request()
            {
                h2.say(answer(stream, "200", 0));
                h2.peer.close();
            }
        }),
    ];
    let names = [
        "RST_STREAM NO_ERROR",
        "RST_STREAM PROTOCOL_ERROR",
        "RST_STREAM INTERNAL_ERROR",
        "RST_STREAM FLOW_CONTROL_ERROR",
        "RST_STREAM SETTINGS_TIMEOUT",
        "RST_STREAM STREAM_CLOSED",
        "RST_STREAM FRAME_SIZE_ERROR",
        "RST_STREAM REFUSED_STREAM",
        "RST_STREAM CANCEL",
        "RST_STREAM COMPRESSION_ERROR",
        "RST_STREAM CONNECT_ERROR",
        "RST_STREAM ENHANCE_YOUR_CALM",
        "RST_STREAM INADEQUATE_SECURITY",
        "RST_STREAM HTTP_1_1_REQUIRED",
        "RST_STREAM of no known code",
    ];
    for (code, name) in (0u32..).zip(names) {
        cases.push(fails(name, "reset", "", says(move |stream| rst_stream(stream, code))).stays());
    }
    cases.push(
        delivers("REFUSED_STREAM once", 204, |peer| {
            let number = peer.number;
            let Some(mut h2) = H2::open(peer, &[]) else { return };
            let mut refused = number > 0;
            while let Some(stream) = h2.request() {
                h2.say(if refused { answer(stream, "204", END_STREAM) } else { rst_stream(stream, 7) });
                refused = true;
            }
        })
        .stays(),
    );
    cases.push(
        delivers(
            "RST_STREAM after the head",
            200,
            says(|stream| [answer(stream, "200", 0), rst_stream(stream, 2)].concat()),
        )
        .stays(),
    );
    run_h2(cases);
}

/// Receivers that let nothing go on: the deadline ends it. It ends the stream; the connection may live on.
#[test]
fn streams_that_stand_still() {
    let still = "no answer within";
    run_h2(vec![
        fails("never says SETTINGS nor anything", "timeout", "did not send its HTTP/2 settings", |peer| {
            if let Some(mut h2) = H2::silent(peer) {
                while h2.next().is_some() {}
            }
        }),
        fails("reads nothing", "timeout", still, |peer| {
            peer.say(settings(&[]));
        }),
        fails("says SETTINGS and no more", "timeout", still, first(&[], Vec::new)).stays(),
        fails("takes the request and says no more", "timeout", still, says(|_| Vec::new())).stays(),
        fails(
            "no window for the body, for ever",
            "timeout",
            still,
            first(&[(INITIAL_WINDOW_SIZE, 0)], Vec::new),
        )
        .stays(),
        fails(
            "no stream allowed",
            "timeout",
            "did not allow a request",
            first(&[(MAX_CONCURRENT_STREAMS, 0)], Vec::new),
        ),
        fails(
            "half a head",
            "timeout",
            still,
            says(|stream| frame(HEADERS, 0, stream, &block(&[(":status", "200")]))),
        )
        .stays(),
        fails(
            "half a frame",
            "timeout",
            still,
            says(|stream| answer(stream, "200", END_STREAM)[..10].to_vec()),
        )
        .stays(),
        fails(
            "interim answers, slowly",
            "timeout",
            still,
            asked(|h2, stream| {
                while h2.say(answer(stream, "103", 0)) {
                    super::peer::pause(Duration::from_millis(50));
                }
            }),
        )
        .stays(),
        fails("an interim answer and no more", "timeout", still, says(|stream| answer(stream, "100", 0)))
            .stays(),
    ]);
}
