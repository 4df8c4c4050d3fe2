//! Deliveries over TLS, and what is said where there can be none.

use super::nameserver::{NameServer, Reply};
use super::pki::{Issuer, Pair};
use super::server::{Seen, Server, Setup};
use super::*;
use crate::model::ClientIdentity;
use crate::send::tls::{Trust, TrustError, TrustOptions};

fn zone(name: &str, _v6: bool, _number: usize) -> Reply {
    match name {
        "local.test" | "other.test" => Reply::Addresses(vec![[127, 0, 0, 1].into()], 60),
        _ => Reply::NoName(60),
    }
}

pub(super) fn sender(options: SendOptions) -> Sender {
    let nameservers = vec![NameServer::start(zone).address];
    let resolver = ResolverHandle::start(ResolverOptions { nameservers, ..ResolverOptions::new(clock) });
    Sender::new(options, resolver.expect("a thread"))
}

/// The options of a sender that trusts `issuer`, by way of a file.
pub(super) fn trusting(issuer: &Issuer) -> SendOptions {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), issuer.pem()).expect("written");
    let trust = Trust::load(&TrustOptions { ca_file: Some(file.path().to_owned()), system_roots: false });
    SendOptions { trust: trust.expect("a certificate"), ..options() }
}

pub(super) fn secure(name: &str, server: &Server) -> Arc<Subscription> {
    let port = server.address.port();
    // A subscription of its own for each name.
    let key = u64::from(port) * 100 + name.len() as u64;
    Arc::new(sample(key, &format!("https://{name}:{port}/hook?x=1")))
}

fn serving(certificate: Pair) -> Server {
    Server::start(Setup { certificate: Some(certificate), body: "ok", ..Setup::default() })
}

#[test]
fn delivered_to_names_and_addresses() {
    let issuer = Issuer::new("Test Root");
    let server = serving(issuer.server(&["local.test", "127.0.0.1"]));
    on_runtime(async {
        let sender = sender(trusting(&issuer));
        for (name, host) in [("local.test", "local.test"), ("127.0.0.1", "127.0.0.1")] {
            for _ in 0..3 {
                let outcome = deliver(&sender, &secure(name, &server)).await;
                assert_eq!((outcome.error, outcome.status), (None, Some(200)), "{name}");
                assert_eq!(outcome.response.expect("kept").body, b"ok");
            }
            let requests = std::mem::take(&mut *server.seen.requests.lock().expect("no panic"));
            assert_eq!(requests.len(), 3);
            for (head, body) in requests {
                assert_eq!(head.headers["host"], format!("{host}:{}", server.address.port()));
                assert_eq!((head.uri.path(), head.uri.query()), ("/hook", Some("x=1")));
                assert_eq!(body, BODY);
            }
        }
        assert_eq!((sender.connections().opened(), sender.connections().reused()), (2, 4));
    });
}

#[test]
fn sessions_are_resumed() {
    let issuer = Issuer::new("Test Root");
    let server = serving(issuer.server(&["local.test"]));
    on_runtime(async {
        let sender = sender(SendOptions { age_max: Duration::ZERO, ..trusting(&issuer) });
        for _ in 0..5 {
            assert_eq!(deliver(&sender, &secure("local.test", &server)).await.error, None);
        }
    });
    assert_eq!(Seen::count(&server.seen.connections), 5);
    assert_eq!(Seen::count(&server.seen.resumed), 4);
}

#[test]
fn a_certificate_that_does_not_hold_is_a_failure() {
    let issuer = Issuer::new("Test Root");
    let check = |certificate: Pair, name: &str, words: &str| {
        let server = serving(certificate);
        let outcome = on_runtime(async { deliver(&sender(trusting(&issuer)), &secure(name, &server)).await });
        expect_error(&outcome, ErrorKind::Tls, words);
        assert!(server.seen.requests.lock().expect("no panic").is_empty());
    };
    check(issuer.server(&["local.test"]), "other.test", "is not for other.test, but for");
    check(issuer.server(&["local.test"]), "127.0.0.1", "is not for 127.0.0.1");
    check(issuer.server_between(&["local.test"], 2001, 2002), "local.test", "has expired");
    check(issuer.server_between(&["local.test"], 2090, 2091), "local.test", "is not valid yet");
    check(Issuer::new("Test Root").server(&["local.test"]), "local.test", "certificate");
    check(Issuer::new("Another").server(&["local.test"]), "local.test", "is signed by an unknown issuer");
    check(issuer.client("local.test"), "local.test", "is not meant for servers");
}

#[test]
fn what_does_not_speak_tls_is_a_failure() {
    let check = |answer: &'static str, words: &str| {
        let (address, _notes) = receiver(move |mut peer| {
            let _ = peer.stream.read(&mut [0; 512]);
            peer.answer(answer);
        });
        let subscription = Arc::new(sample(1, &format!("https://{address}/")));
        let outcome = on_runtime(async { deliver(&super::sender(options()), &subscription).await });
        expect_error(&outcome, ErrorKind::Tls, words);
    };
    check("HTTP/1.1 400 Bad Request\r\n\r\n", "is not TLS");
    check("", "closed the connection during the TLS handshake");
    check("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}", "refused TLS: HandshakeFailure");
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let (address, notes) = receiver(|mut peer| {
        let _ = peer.note.send("connected".to_owned());
        peer.wait_for_end();
    });
    let subscription = Arc::new(sample(1, &format!("https://{address}/")));
    on_runtime(async {
        let sender = super::sender(options());
        sender.start(job(1, &subscription));
        sender.start(job(2, &subscription));
        while notes.try_recv().is_err() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        sender.cancel(2, CancelReason::Timeout);
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(&outcome, ErrorKind::Timeout, "in the TLS handshake");
        sender.tick(clock() + Duration::from_secs(5));
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(&outcome, ErrorKind::Tls, "did not end the TLS handshake within 5000 ms");
        assert_eq!((sender.connections().open, sender.in_flight()), (0, 0));
    });
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let issuer = Issuer::new("Test Root");
    let clients = Issuer::new("Clients");
    let server = Server::start(Setup {
        certificate: Some(issuer.server(&["local.test"])),
        clients: Some(clients.pem()),
        ..Setup::default()
    });
    let with = |pair: Option<Pair>| {
        let mut subscription = Subscription::clone(&secure("local.test", &server));
        let identity = pair.map(|pair| ClientIdentity { certificate: pair.certificate, key: pair.key });
        subscription.client_identity = identity.map(Arc::new);
        let subscription = Arc::new(subscription);
        on_runtime(async { deliver(&sender(trusting(&issuer)), &subscription).await })
    };
    assert_eq!(with(Some(clients.client("postrider"))).error, None);
    expect_error(&with(None), ErrorKind::Tls, "asks for a client certificate");
    expect_error(&with(Some(issuer.client("postrider"))), ErrorKind::Tls, "refused TLS");
    let (good, other) = (clients.client("postrider"), clients.client("postrider"));
    let mixed = Pair { certificate: good.certificate.clone(), key: other.key };
    expect_error(&with(Some(mixed)), ErrorKind::Tls, "do not belong together");
    let no_key = Pair { certificate: good.certificate.clone(), key: "no".to_owned() };
    expect_error(&with(Some(no_key)), ErrorKind::Tls, "no PEM private key");
    let no_certificate = Pair { certificate: String::new(), key: good.key };
    expect_error(&with(Some(no_certificate)), ErrorKind::Tls, "no PEM certificate");
}

#[test]
fn roots_that_cannot_be_read_are_told() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let load = |text: &str| {
        std::fs::write(file.path(), text).expect("written");
        Trust::load(&TrustOptions { ca_file: Some(file.path().to_owned()), system_roots: false })
    };
    let good = Issuer::new("Test Root").pem();
    assert!(load(&format!("{good}{good}")).is_ok());
    assert!(matches!(load("nothing"), Err(TrustError::Empty { .. })));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(load(&format!("{good}{broken}")), Err(TrustError::Invalid { number: 2, .. })));
    let missing = TrustOptions { ca_file: Some("/nowhere/ca.pem".into()), system_roots: false };
    assert!(matches!(Trust::load(&missing), Err(TrustError::Read { .. })));
}

#[test]
fn goodbye_is_said() {
    let issuer = Issuer::new("Test Root");
    for alpn in ["http/1.1", "h2"] {
        let certificate = Some(issuer.server(&["local.test"]));
        let server = Server::start(Setup { certificate, alpn: vec![alpn], ..Setup::default() });
        on_runtime(async {
            let sender = sender(trusting(&issuer));
            assert_eq!(deliver(&sender, &secure("local.test", &server)).await.error, None);
            sender.tick(clock() + Duration::from_secs(61));
            while Seen::count(&server.seen.goodbyes) == 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}
