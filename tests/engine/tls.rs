//! Deliveries over TLS by the whole engine: roots, certificates and HTTP/2 as the configuration says.

use std::path::Path;
use std::sync::atomic::Ordering;

use postrider::send::verify::{decode_secret, verify};
use serde_json::json;

use crate::http::event;
use crate::pki::{Issuer, Pair};
use crate::process::{Engine, Options};
use crate::server::{Server, Setup};
use crate::wait::{PATIENCE, until};

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// Goes behind the options' `[egress]`.
fn options(more: &str) -> Options {
    Options { more: format!("ca_file = \"ca.pem\"\n{more}"), ..Options::default() }
}

fn url(server: &Server) -> String {
    format!("https://{}/hook", server.address)
}

/// Sends so many events to one subscription at the server, and waits until all are delivered.
fn deliver(engine: &Engine, server: &Server, events: usize) -> String {
    let sub = engine.subscribe_url("acme", &url(server), &["*"], &json!({}));
    let events: Vec<_> =
        (0..events).map(|n| event("acme", "user.created", &format!("evt-{n}"), "{}")).collect();
    engine.ingest().send(&events).unwrap().want(202);
    let delivered = "postrider_attempts_total{outcome=\"delivered\"}";
    engine.until_metric(delivered, PATIENCE, |count| count >= events.len() as f64);
    sub
}

#[test]
fn http2_and_http1_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("Test Root");
    write(dir.path(), "ca.pem", &issuer.pem());
    for (alpn, protocol) in [(vec!["h2", "http/1.1"], "h2"), (vec!["http/1.1"], "h1")] {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        write(dir.path(), "ca.pem", &issuer.pem());
        let engine = Engine::start(dir.path(), &options(""));
        let certificate = Some(issuer.server(&["127.0.0.1"]));
        let server = Server::start(Setup { certificate, alpn, body: "thanks", ..Setup::default() });
        let sub = deliver(&engine, &server, 200);
        let key = decode_secret(&engine.secret("acme", &sub)).unwrap();
        let requests = server.seen.requests.lock().unwrap();
        assert_eq!(requests.len(), 200);
        for (head, body) in requests.iter() {
            let header = |name: &str| head.headers[name].to_str().unwrap();
            let signature = header("webhook-signature");
            assert!(verify(&key, header("webhook-id"), header("webhook-timestamp"), body, signature));
        }
        engine.until_status("acme", &sub, "evt-0", "delivered");
        let attempt = engine.attempts("acme", &sub, "evt-0").remove(0);
        assert_eq!((&attempt["statusCode"], &attempt["error"]), (&json!(200), &json!(null)));
        assert_eq!(attempt["response"]["body"], "thanks");
        let connections = server.seen.connections.load(Ordering::SeqCst) as f64;
        assert!(connections <= if protocol == "h2" { 1.0 } else { 32.0 }, "{connections}");
        let opened =
            format!("postrider_connections_total{{event=\"opened\",protocol=\"{protocol}\",reason=\"\"}}");
        engine.until_metric(&opened, PATIENCE, |count| count == connections);
    }
}

#[test]
fn a_receiver_that_is_not_trusted_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "ca.pem", &Issuer::new("Test Root").pem());
    let engine = Engine::start(dir.path(), &options(""));
    let certificate = Some(Issuer::new("Another").server(&["127.0.0.1"]));
    let server = Server::start(Setup { certificate, ..Setup::default() });
    let sub = engine.subscribe_url("acme", &url(&server), &["*"], &json!({}));
    engine.ingest().send(&[event("acme", "user.created", "evt-1", "{}")]).unwrap().want(202);
    let attempt = until("an attempt", || engine.attempts("acme", &sub, "evt-1").into_iter().next().ok_or(()));
    assert_eq!(attempt["error"]["kind"], "tls");
    assert_eq!(attempt["error"]["message"], "the receiver's certificate is signed by an unknown issuer");
    assert!(server.seen.requests.lock().unwrap().is_empty());
}

/// `[[host]]` with a client certificate.
fn host(dir: &Path, pair: &Pair) -> String {
    write(dir, "client.pem", &pair.certificate);
    write(dir, "client.key", &pair.key);
    "[[host]]\nhost = \"127.0.0.1\"\nclient_certificate = \"client.pem\"\nclient_key = \"client.key\"\n"
        .to_owned()
}

#[test]
fn a_host_is_shown_its_client_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (issuer, clients) = (Issuer::new("Test Root"), Issuer::new("Clients"));
    write(dir.path(), "ca.pem", &issuer.pem());
    let engine = Engine::start(dir.path(), &options(&host(dir.path(), &clients.client("postrider"))));
    let server = Server::start(Setup {
        certificate: Some(issuer.server(&["127.0.0.1"])),
        clients: Some(clients.pem()),
        alpn: vec!["h2"],
        ..Setup::default()
    });
    deliver(&engine, &server, 1);
}

#[test]
fn certificates_that_cannot_be_used_are_told_at_the_start() {
    let refused = |options: &Options, dir: &Path, words: &[&str]| {
        let refused = Engine::try_start(dir, options).err().expect("refused");
        assert!(!refused.status.success());
        let said = refused.lines.join("\n");
        for word in words {
            assert!(said.contains(word), "{said:?} does not say {word:?}");
        }
    };
    let dir = tempfile::tempdir().unwrap();
    refused(&options(""), dir.path(), &["egress.ca_file", "cannot read ca.pem"]);
    write(dir.path(), "ca.pem", "nothing");
    refused(&options(""), dir.path(), &["egress.ca_file", "ca.pem holds no certificate"]);
    let clients = Issuer::new("Clients");
    write(dir.path(), "ca.pem", &clients.pem());
    let (one, other) = (clients.client("one"), clients.client("other"));
    let mixed = Pair { certificate: one.certificate, key: other.key.clone() };
    refused(
        &options(&host(dir.path(), &mixed)),
        dir.path(),
        &["host[0].client_key", "do not belong together"],
    );
    let none = Pair { certificate: "nothing".to_owned(), key: other.key };
    refused(
        &options(&host(dir.path(), &none)),
        dir.path(),
        &["host[0].client_certificate", "no PEM certificate"],
    );
}
