//! Where deliveries go: by name, through DNS that is asked over the network, and through a proxy.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::json;

use crate::http::event;
use crate::nameserver::{NameServer, Reply};
use crate::process::{Engine, Options};
use crate::receiver::Receiver;
use crate::wait::until;

fn options(egress: &str) -> Options {
    Options { more: egress.to_owned(), retries: &["100ms"; 8], ..Options::default() }
}

/// A subscription at a name instead of the receiver's address.
fn subscribe_by_name(engine: &Engine, receiver: &Receiver, name: &str) -> String {
    let url = receiver.url("/").replace("127.0.0.1", name);
    engine.subscribe(receiver, "acme", "/", &["*"], &json!({"callbackUrl": url}))
}

fn send(engine: &Engine, id: &str) {
    engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
}

/// The error of the first attempt.
fn error(engine: &Engine, subscription: &str, id: &str) -> (String, String) {
    until("an attempt", || {
        let attempts = engine.attempts("acme", subscription, id);
        let error = attempts.first().map(|attempt| attempt["error"].clone()).ok_or("none")?;
        let word = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        Ok::<_, &str>((word("kind"), word("message")))
    })
}

#[test]
fn by_name_and_never_inside() {
    let local = IpAddr::from([127, 0, 0, 1]);
    let server = NameServer::start(move |name, v6, _| match name {
        "receiver.test" if v6 => Reply::Nothing,
        "receiver.test" => Reply::Addresses(vec![local], 30),
        "inside.test" => Reply::Addresses(vec![[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()], 30),
        "failing.test" => Reply::Code(2),
        _ => Reply::NoName(30),
    });
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &options(&format!("nameservers = [\"{}\"]", server.address)));
    let receiver = Receiver::start();
    subscribe_by_name(&engine, &receiver, "receiver.test");
    send(&engine, "e-1");
    receiver.until("/", 1);
    assert_eq!(server.asked("receiver.test", false), 1, "both workers share what is known");
    for (name, kind, words) in [
        ("inside.test", "egress", "inside.test: the address is not open to deliveries: "),
        ("nowhere.test", "dns", "cannot resolve nowhere.test: there is no such name"),
        ("failing.test", "dns", "cannot resolve failing.test: the name server answered SERVFAIL"),
    ] {
        let id = subscribe_by_name(&engine, &receiver, name);
        let event = name.replace('.', "-");
        send(&engine, &event);
        let (got, message) = error(&engine, &id, &event);
        assert!(got == kind && message.starts_with(words), "{name}: {got}: {message}");
    }
    assert_eq!(engine.terminate(), Some(0));
}

/// Answers each CONNECT by a connection to what it names, and tells what it was asked.
fn proxy() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).ok()?;
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).ok()?;
                let mut behind = TcpStream::connect(head.split(' ').nth(1)?).ok()?;
                told.send(head).ok()?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                let (mut from, mut to) = (stream.try_clone().ok()?, behind.try_clone().ok()?);
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::io::copy(&mut behind, &mut stream).ok()
            });
        }
    });
    (address, asked)
}

#[test]
fn through_a_proxy_whose_password_is_kept() {
    let (proxy, asked) = proxy();
    let dir = tempfile::tempdir().unwrap();
    let options = options(&format!("proxy = \"http://me:hush@{proxy}\""));
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    send(&engine, "e-1");
    receiver.until("/", 1);
    let head = asked.recv().unwrap();
    let address = receiver.url("").replace("http://", "");
    assert!(head.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6aHVzaA==\r\n"), "{head}");
    assert!(!engine.said().concat().contains("hush"));
    assert_eq!(engine.terminate(), Some(0));
}
