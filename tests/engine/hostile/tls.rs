//! Receivers whose TLS is not what it should be.

use std::time::Duration;

use super::case::{Case, TIMEOUT, delivers, fails, refuses, run};
use super::peer::{Peer, pause};
use crate::identity::Server;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn answers(peer: &mut Peer) {
    while peer.request().is_some() && peer.say(OK) {}
}

#[test]
fn certificates() {
    let refused = |name, words, server| fails(name, "tls", words, answers).tls(server);
    run(&[
        delivers("a good one", 200, answers).tls(Server::Http1).body("ok", false).stays(),
        refused("of another name", "certificate", Server::OtherName),
        refused("out of date", "certificate", Server::Expired),
        refused("of an unknown authority", "certificate", Server::Untrusted),
        refused("wants one of the client", "ertificate", Server::WantsClient),
        refused("no protocol in common", "", Server::OtherProtocol),
    ]);
}

#[test]
fn handshakes() {
    let below = |name, words, bytes: Vec<u8>| {
        fails(name, "tls", words, move |peer| {
            peer.read(64);
            peer.say(&bytes);
        })
        .instead_of_tls()
    };
    let plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    // A record of the handshake type with a server hello cut short, and with one too long.
    run(&[
        below("plain HTTP", "", plain),
        below("noise", "", (0..512u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        below("an alert", "", vec![0x15, 3, 3, 0, 2, 2, 40]),
        below("an empty hello", "", vec![0x16, 3, 3, 0, 4, 2, 0, 0, 0]),
        below("a record longer than allowed", "", [vec![0x16, 3, 3, 0xff, 0xff], vec![0; 70_000]].concat()),
        below("SSH", "", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        fails("a handshake without end", "tls", "", |peer| {
            peer.read(64);
            // Fragments of a hello of 16 MiB.
            peer.say([&[0x16, 3, 3, 0x40, 0][..], &[2, 0xff, 0xff, 0xff], &vec![0; 16_380]].concat());
            peer.flood([&[0x16, 3, 3, 0x40, 0][..], &vec![0; 16_384]].concat());
        })
        .instead_of_tls(),
        fails("empty records without end", "tls", "", |peer| {
            peer.read(64);
            peer.flood([0x16, 3, 3, 0, 0]);
        })
        .instead_of_tls(),
        fails("hangs in the handshake", "tls", "within 1000 ms", |_| {}).instead_of_tls(),
        fails("hangs in the handshake, short deadline", "timeout", "TLS", |_| {})
            .instead_of_tls()
            .within(300),
        fails("a hello, byte by byte", "tls", "within 1000 ms", |peer| {
            peer.read(64);
            peer.drip(
                [0x16, 3, 3, 0x40, 0].iter().chain(&[1; 4096]).copied().collect::<Vec<_>>(),
                Duration::from_millis(20),
            );
        })
        .instead_of_tls(),
        fails("closes in the handshake", "tls", "", |peer| {
            peer.read(64);
            peer.close();
        })
        .instead_of_tls(),
        fails("resets in the handshake", "tls", "", |peer| {
            peer.read(64);
            peer.reset();
        })
        .instead_of_tls(),
    ]);
}

fn http1(cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().map(|case| case.tls(Server::Http1)).collect()
}

#[test]
fn the_end_of_tls() {
    run(&http1(vec![
        delivers("closes without close_notify after the answer", 200, |peer| {
            peer.request();
            peer.say(OK);
            peer.close();
        })
        .body("ok", false),
        delivers("closes without close_notify where that ends the body", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\nhalf");
            peer.close();
        })
        .body("half", true),
        delivers("close_notify ends the body", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\nwhole");
            peer.close_notify();
            peer.close();
        })
        .body("whole", false),
        fails("close_notify in place of an answer", "reset", "", |peer| {
            peer.request();
            peer.close_notify();
        }),
        fails(
            "closes without close_notify in place of an answer",
            "reset",
            "closed the connection",
            |peer| {
                peer.request();
                peer.close();
            },
        ),
        fails("resets in place of an answer", "reset", "connection", |peer| {
            peer.request();
            peer.reset();
        }),
        fails("bytes that are no TLS in place of an answer", "tls", "", |peer| {
            peer.request();
            peer.say_below("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }),
        fails("a record that is forged", "tls", "", |peer| {
            peer.request();
            peer.say_below([&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat());
        }),
        delivers("a forged record after the head", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\npart");
            // Together they would be one read, which fails as a whole.
            pause(TIMEOUT / 8);
            peer.say_below([&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat());
        })
        .body("part", true),
        delivers("a body without end", 200, |peer| {
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\n\r\n");
            peer.flood("z");
        }),
        fails("interim answers without end", "protocol", "more before and around", |peer| {
            peer.request();
            peer.flood("HTTP/1.1 100 Continue\r\n\r\n");
        }),
        fails("says nothing", "timeout", "waiting for the answer", |peer| drop(peer.request())),
        refuses("503", 503, "answered 503", |peer| {
            peer.request();
            peer.say("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
        })
        .stays(),
        fails("HTTP/2 where HTTP/1.1 was agreed on", "protocol", "", |peer| {
            peer.request();
            peer.say(super::frames::settings(&[]));
        }),
    ]));
}
