//! The listener, connections that behave badly, and the end.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::bench::{Bench, TOKEN};
use crate::admin::{AdminError, bind};

#[test]
fn a_taken_address_is_named() {
    let bench = Bench::new();
    let address = bench.address.to_string();
    match bind(&address) {
        Err(error @ AdminError::Bind { .. }) => {
            assert_eq!(error.to_string(), format!("cannot listen on admin.listen = {address}"));
            assert!(std::error::Error::source(&error).is_some());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(bind("no address"), Err(AdminError::Bind { .. })));
}

#[test]
fn connections_are_kept_and_end_with_the_port() {
    let mut bench = Bench::new();
    let mut stream = TcpStream::connect(bench.address).expect("connects");
    let mut ask = || {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut text = String::new();
        let mut buffer = [0; 1024];
        while !text.ends_with('}') {
            let read = stream.read(&mut buffer).expect("reads");
            assert!(read > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    };
    ask();
    ask();
    bench.stop();
    assert_eq!(stream.read(&mut [0; 16]).expect("ends"), 0, "an idle connection is closed");
    assert!(TcpStream::connect(bench.address).is_err(), "nobody listens");
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    let bench = Bench::new();
    assert_eq!(bench.raw("\u{1}\u{2}garbage\r\n\r\n").status, 400);
    let long = format!("GET /healthz HTTP/1.1\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    // Cut off while the client still writes, the answer may be lost on its way.
    assert!([431, 0].contains(&bench.raw(&long).status), "a head is bounded");
    let cut = "POST /api/v1/accounts/a/subscriptions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{";
    drop(TcpStream::connect(bench.address).and_then(|mut stream| stream.write_all(cut.as_bytes())));
    assert_eq!(bench.request("GET", "/healthz", &[], None).status, 200);
}
