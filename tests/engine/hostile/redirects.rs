//! Redirects, into the network behind the engine and in circles: none is followed.

use std::sync::Arc;

use super::case::{refuses, run};
use super::host::Host;

#[test]
fn no_redirect_is_followed() {
    let inside = Host::start(Arc::new(|peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    }));
    let to = |name, status: u16, location: String| {
        refuses(name, status, "redirects are not followed", move |peer| {
            // A second request on this connection or another would find an answer that delivers.
            let first = peer.number == 0;
            let answer = if first {
                format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()
            };
            while peer.request().is_some() && peer.say(&answer) {}
        })
        .stays()
    };
    let port = inside.address().port();
    run(&[
        to("300", 300, inside.url("/")),
        to("301", 301, inside.url("/")),
        to("302", 302, inside.url("/")),
        to("303", 303, inside.url("/")),
        to("304", 304, inside.url("/")),
        to("305", 305, inside.url("/")),
        to("307", 307, inside.url("/")),
        to("308", 308, inside.url("/")),
        to("to itself", 302, "/".to_owned()),
        to("to where secrets are", 307, "http://169.254.169.254/latest/meta-data/".to_owned()),
        to("to a file", 302, "file:///etc/passwd".to_owned()),
        to("to the same host by another name", 302, format!("http://localhost:{port}/")),
        to("to nowhere", 302, String::new()),
        to("to garbage", 301, "ht!tp://[".to_owned()),
    ]);
    assert_eq!(inside.accepted(), 0);
}
