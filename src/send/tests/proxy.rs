//! Through a CONNECT proxy.

use std::io;
use std::net::Shutdown;

use super::dialing::{named, sender};
use super::nameserver::{NameServer, Reply};
use super::pki::Issuer;
use super::server::{Server, Setup};
use super::tls::{secure, trusting};
use super::*;
use crate::send::proxy::Proxy;

/// Reads the head of a CONNECT, byte by byte, and notes it.
fn head(peer: &mut Peer) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        peer.stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let _ = peer.note.send(head.clone());
    Some(head)
}

/// Does what CONNECT asks for: opens the connection, says so, and copies both ways.
fn serve(mut peer: Peer) {
    let Some(head) = head(&mut peer) else { return };
    let target = head.split(' ').nth(1).expect("a target");
    // Nothing but an address can be connected to here: this proxy resolves no names.
    let Ok(address) = target.parse::<SocketAddr>() else {
        peer.answer("HTTP/1.1 400 names are not resolved\r\n\r\n");
        return;
    };
    let Ok(mut behind) = TcpStream::connect(address) else {
        peer.answer("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    peer.answer("HTTP/1.1 100 wait\r\n\r\nHTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n");
    let (mut from, mut to) = (peer.stream.try_clone().expect("clone"), behind.try_clone().expect("clone"));
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut behind, &mut peer.stream);
    let _ = peer.stream.shutdown(Shutdown::Write);
}

/// Only 127.0.0.2 is open: the proxy at 127.0.0.1 is nobody's target.
fn through(proxy: SocketAddr, credentials: Option<(&str, &str)>) -> SendOptions {
    let allow_networks = vec!["127.0.0.2".parse().expect("valid")];
    SendOptions {
        egress: Egress { allow_http: true, allow_networks, ..Egress::default() },
        proxy: Some(Arc::new(Proxy::new(&proxy.ip().to_string(), proxy.port(), credentials))),
        ..options()
    }
}

fn zone(name: &str, v6: bool, _number: usize) -> Reply {
    let addresses = match (name, v6) {
        ("good.test" | "proxy.test", false) => vec![[127, 0, 0, 2].into()],
        ("inside.test", false) => vec![[10, 0, 0, 1].into()],
        ("secure.test" | "other.test", false) => vec![[127, 0, 0, 1].into()],
        ("mixed.test", false) => vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()],
        _ => return Reply::Nothing,
    };
    Reply::Addresses(addresses, 60)
}

#[test]
fn a_tunnel_to_the_address_that_was_judged() {
    let (address, requests) = receiver_at(("127.0.0.2", 0), |mut peer| {
        while let Some(request) = peer.request() {
            let _ = peer.note.send(request);
            peer.answer(NO_CONTENT);
        }
    });
    let (proxy, connects) = receiver(serve);
    let server = NameServer::start(zone);
    on_runtime(async {
        let sender = sender(&server, through(proxy, Some(("me", "secret"))));
        for name in ["good.test", "mixed.test"] {
            for _ in 0..3 {
                assert_eq!(deliver(&sender, &named(name, address.port())).await.error, None);
            }
            let connects: Vec<String> = connects.try_iter().collect();
            assert_eq!(connects.len(), 1, "one connection carries all: {connects:?}");
            assert!(connects[0].starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")), "{connects:?}");
            assert!(connects[0].contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
            assert!(!connects[0].contains("test"), "the proxy is told no name");
            let requests: Vec<String> = requests.try_iter().collect();
            assert_eq!(requests.len(), 3);
            assert!(
                requests.iter().all(|request| request.contains(&format!("host: {name}:"))),
                "{requests:?}"
            );
            assert!(!requests.concat().to_lowercase().contains("proxy-"));
        }
        // The rules hold: the proxy is not even asked.
        for name in ["inside.test", "localhost"] {
            let outcome = deliver(&sender, &named(name, 80)).await;
            expect_error(&outcome, ErrorKind::Egress, name);
        }
        assert_eq!(connects.try_iter().count(), 0);
    });
}

/// The proxy carries bytes: the certificate must be the target's, for its name.
#[test]
fn tls_to_the_name_inside_the_tunnel() {
    let issuer = Issuer::new("Test Root");
    let certificate = Some(issuer.server(&["secure.test"]));
    let server = Server::start(Setup { certificate, body: "ok", ..Setup::default() });
    let (proxy, connects) = receiver(serve);
    let names = NameServer::start(zone);
    on_runtime(async {
        let sender = sender(&names, SendOptions { proxy: through(proxy, None).proxy, ..trusting(&issuer) });
        let outcome = deliver(&sender, &secure("secure.test", &server)).await;
        assert_eq!((outcome.error, outcome.status), (None, Some(200)));
        expect_error(&deliver(&sender, &secure("other.test", &server)).await, ErrorKind::Tls, "other.test");
    });
    let connects: Vec<String> = connects.try_iter().collect();
    assert_eq!(connects.len(), 2);
    assert!(connects.iter().all(|head| head.starts_with(&format!("CONNECT {} ", server.address))));
}

#[test]
fn the_proxy_may_be_a_name() {
    let (address, _requests) =
        receiver_at(
            ("127.0.0.2", 0),
            |mut peer| {
                while peer.request().is_some() && peer.answer(NO_CONTENT) {}
            },
        );
    let (proxy, _connects) = receiver_at(("127.0.0.2", 0), serve);
    let server = NameServer::start(zone);
    let by = |name: &str| {
        let proxy = Some(Arc::new(Proxy::new(name, proxy.port(), None)));
        let options = SendOptions { proxy, ..through(proxy_nowhere(), None) };
        on_runtime(async { deliver(&sender(&server, options), &named("good.test", address.port())).await })
    };
    assert_eq!(by("proxy.test").error, None);
    expect_error(
        &by("nowhere.test"),
        ErrorKind::Connect,
        "cannot resolve the proxy: the name has no address",
    );
}

fn proxy_nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

#[test]
fn what_a_proxy_may_do_wrong() {
    let server = NameServer::start(zone);
    let check = |answer: String, words: &str, asked: usize| {
        let (proxy, connects) = receiver(move |mut peer| {
            if head(&mut peer).is_some() {
                peer.answer(&answer);
            }
        });
        let networks = ["127.0.0.1", "127.0.0.2"].map(|text| text.parse().expect("valid"));
        let egress = Egress { allow_http: true, allow_networks: networks.to_vec(), ..Egress::default() };
        let options = SendOptions { egress, ..through(proxy, Some(("me", "secret"))) };
        let outcome = on_runtime(async { deliver(&sender(&server, options), &named("mixed.test", 9)).await });
        expect_error(&outcome, ErrorKind::Connect, words);
        assert!(!outcome.error.expect("failed").message.contains("bWU6"));
        assert_eq!(connects.try_iter().count(), asked, "{words}");
    };
    check("HTTP/1.1 403 Forbidden\r\n\r\n".into(), "127.0.0.1: the proxy answered 403", 1);
    check("HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\n\r\n".into(), "the proxy answered 407", 1);
    let both = "127.0.0.1: the proxy answered 502, 127.0.0.2: the proxy answered 502";
    check("HTTP/1.1 502 Bad Gateway\r\n\r\n".into(), both, 2);
    check("SSH-2.0-OpenSSH_9.9\r\n".into(), "the proxy's answer is no HTTP", 1);
    check(format!("HTTP/1.1 200 {}", "x".repeat(10_000)), "longer than 8192 bytes", 1);
    check(String::new(), "the proxy closed the connection", 1);

    let options = through(proxy_nowhere(), None);
    let outcome = on_runtime(async { deliver(&sender(&server, options), &named("good.test", 9)).await });
    expect_error(&outcome, ErrorKind::Connect, "the proxy cannot be reached");
}

#[test]
fn a_silent_proxy_ends_at_the_connect_timeout() {
    let server = NameServer::start(zone);
    let (proxy, connects) = receiver(|mut peer| {
        head(&mut peer);
        peer.wait_for_end();
        let _ = peer.note.send("end".to_owned());
    });
    on_runtime(async {
        let sender = sender(&server, through(proxy, None));
        sender.start(job(1, &named("good.test", 9)));
        while connects.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        sender.tick(clock() + Duration::from_secs(5));
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(&outcome, ErrorKind::Connect, "within 5000 ms: the proxy has not answered CONNECT");
        while connects.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
