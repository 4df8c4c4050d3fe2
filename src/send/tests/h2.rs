//! HTTP/2 against servers that speak it well: hyper over TLS with ALPN, and by prior knowledge.

use super::pki::Issuer;
use super::server::{Seen, Server, Setup};
use super::tls::{secure, sender, trusting};
use super::*;
use crate::model::{HostRule, HostRules};
use crate::send::CloseReason;

/// The options of a sender that speaks HTTP/2 with 127.0.0.1 without asking.
pub(super) fn knowing(options: SendOptions) -> SendOptions {
    let rule = HostRule { http2: true, ..HostRule::DEFAULT };
    SendOptions { host_rules: Arc::new(HostRules::new([("127.0.0.1", rule)])), ..options }
}

/// Waits until as many requests are held by `server`, while the sender runs.
async fn until_held(server: &Server, count: usize) {
    while server.now() < count {
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn all_delivered(done: &[(u64, Outcome)]) {
    for (id, outcome) in done {
        assert_eq!((&outcome.error, outcome.status), (&None, Some(200)), "{id}");
    }
}

#[test]
fn one_connection_carries_many_requests_at_once() {
    let issuer = Issuer::new("Test Root");
    let server = Server::start(Setup {
        certificate: Some(issuer.server(&["local.test"])),
        alpn: vec!["h2", "http/1.1"],
        held: true,
        body: "ok",
        ..Setup::default()
    });
    on_runtime(async {
        let sender = sender(trusting(&issuer));
        let subscription = secure("local.test", &server);
        for id in 0..100 {
            sender.start(job(id, &subscription));
        }
        until_held(&server, 100).await;
        server.release();
        let done = completions(&sender, 100).await;
        all_delivered(&done);
        assert!(done.iter().all(|(_, outcome)| outcome.response.as_ref().is_some_and(|it| it.body == b"ok")));
        let counts = sender.connections();
        assert_eq!((counts.open, counts.h2.opened, counts.h2.reused, counts.h1.opened), (1, 1, 99, 0));
        let capacities: Vec<_> = sender.drain_capacities().collect();
        assert_eq!(capacities.len(), 1);
        assert_eq!(capacities[0].0, *subscription.callback_url.authority());
        assert_eq!(capacities[0].1, 1024);
    });
    assert_eq!(Seen::count(&server.seen.connections), 1);
    assert_eq!(Seen::count(&server.seen.at_once), 100);
    assert_eq!(Seen::count(&server.seen.over_h2), 100);
    let requests = server.seen.requests.lock().expect("no panic");
    let (head, body) = requests.first().expect("a request");
    let port = server.address.port();
    assert_eq!(head.uri.to_string(), format!("https://local.test:{port}/hook?x=1"));
    assert_eq!(head.method, hyper::Method::POST);
    assert!(!head.headers.contains_key("host"));
    assert_eq!(head.headers["content-length"], BODY.len().to_string());
    assert_eq!(head.headers["webhook-id"], "evt-1");
    assert_eq!(head.headers["content-type"], "application/json");
    assert!(head.headers["webhook-signature"].to_str().expect("text").starts_with("v1,"));
    assert_eq!(body, BODY);
}

#[test]
fn a_receiver_that_chooses_http1_gets_many_connections() {
    let issuer = Issuer::new("Test Root");
    for alpn in [vec!["http/1.1"], vec![]] {
        let certificate = Some(issuer.server(&["local.test"]));
        let server = Server::start(Setup { certificate, alpn, held: true, ..Setup::default() });
        on_runtime(async {
            let sender = sender(SendOptions { max_connections_per_host: 8, ..trusting(&issuer) });
            for id in 0..50 {
                sender.start(job(id, &secure("local.test", &server)));
            }
            assert_eq!(sender.connections().open, 1, "the first tells what the others are to be");
            until_held(&server, 8).await;
            server.release();
            all_delivered(&completions(&sender, 50).await);
            assert_eq!((sender.connections().h1.opened, sender.connections().h2.opened), (8, 0));
            assert_eq!(sender.drain_capacities().map(|(_, capacity)| capacity).collect::<Vec<_>>(), [8]);
        });
        assert_eq!(Seen::count(&server.seen.over_h1), 50);
    }
}

#[test]
fn the_receivers_limit_of_streams_is_kept() {
    let server =
        Server::start(Setup { h2c: true, max_streams: Some(4), held: true, body: "ok", ..Setup::default() });
    on_runtime(async {
        let sender = super::sender(knowing(SendOptions { max_connections_per_host: 3, ..options() }));
        for id in 0..40 {
            sender.start(job(id, &to(server.address)));
        }
        until_held(&server, 12).await;
        assert_eq!(sender.connections().open, 3);
        server.release();
        all_delivered(&completions(&sender, 40).await);
        assert_eq!(sender.connections().h2.opened, 3);
        assert_eq!(sender.drain_capacities().map(|(_, capacity)| capacity).collect::<Vec<_>>(), [12]);
    });
    assert_eq!(Seen::count(&server.seen.at_once), 12);
    assert_eq!(Seen::count(&server.seen.over_h2), 40);
}

#[test]
fn a_hundred_deliveries_over_one_connection() {
    let server = Server::start(Setup { h2c: true, body: "ok", ..Setup::default() });
    on_runtime(async {
        let sender = super::sender(knowing(options()));
        for _ in 0..100 {
            assert_eq!(deliver(&sender, &to(server.address)).await.error, None);
        }
        let counts = sender.connections();
        assert_eq!((counts.open, counts.h2.opened, counts.h2.reused), (1, 1, 99));
        assert_eq!(sender.in_flight(), 0);
        sender.tick(clock() + Duration::from_secs(61));
        assert_eq!((sender.connections().open, sender.connections().h2.closed(CloseReason::Idle)), (0, 1));
        // And a new one after that.
        assert_eq!(deliver(&sender, &to(server.address)).await.error, None);
    });
    assert_eq!(Seen::count(&server.seen.connections), 2);
}

#[test]
fn old_and_worn_connections_are_left() {
    let check = |options: SendOptions, reason: CloseReason| {
        let server = Server::start(Setup { h2c: true, ..Setup::default() });
        on_runtime(async {
            let sender = super::sender(knowing(options));
            for _ in 0..6 {
                assert_eq!(deliver(&sender, &to(server.address)).await.error, None);
            }
            let counts = sender.connections();
            assert!(counts.h2.closed(reason) >= 2 && counts.h2.opened >= 3, "{counts:?}");
        });
    };
    check(SendOptions { age_max: Duration::ZERO, ..options() }, CloseReason::Age);
    check(SendOptions { requests_max: 2, ..options() }, CloseReason::Requests);
}

#[test]
fn http2_that_was_promised_and_is_not_there_is_a_failure() {
    let issuer = Issuer::new("Test Root");
    let certificate = Some(issuer.server(&["127.0.0.1"]));
    let server = Server::start(Setup { certificate, ..Setup::default() });
    let outcome = on_runtime(async {
        deliver(&sender(knowing(trusting(&issuer))), &secure("127.0.0.1", &server)).await
    });
    expect_error(&outcome, ErrorKind::Protocol, "does not speak HTTP/2");
    let (address, _notes) = answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    let outcome = on_runtime(async { deliver(&super::sender(knowing(options())), &to(address)).await });
    assert!(outcome.error.is_some());
}

#[test]
fn a_client_certificate_is_shown_over_http2() {
    let issuer = Issuer::new("Test Root");
    let clients = Issuer::new("Clients");
    let server = Server::start(Setup {
        certificate: Some(issuer.server(&["local.test"])),
        alpn: vec!["h2"],
        clients: Some(clients.pem()),
        ..Setup::default()
    });
    let pair = clients.client("postrider");
    let identity = crate::model::ClientIdentity { certificate: pair.certificate, key: pair.key };
    let rule = HostRule { identity: Some(Arc::new(identity)), ..HostRule::DEFAULT };
    let rules = Arc::new(HostRules::new([("local.test", rule)]));
    let with = |options: SendOptions| {
        on_runtime(async { deliver(&sender(options), &secure("local.test", &server)).await })
    };
    assert_eq!(with(SendOptions { host_rules: rules, ..trusting(&issuer) }).error, None);
    expect_error(&with(trusting(&issuer)), ErrorKind::Tls, "asks for a client certificate");
}

#[test]
fn a_name_whose_servers_do_not_all_speak_http2() {
    let issuer = Issuer::new("Test Root");
    let server = Server::start(Setup {
        certificate: Some(issuer.server(&["127.0.0.1"])),
        alpn: vec!["h2", "http/1.1"],
        alpn_later: Some(vec!["http/1.1"]),
        ..Setup::default()
    });
    on_runtime(async {
        // Each connection takes one request.
        let sender = sender(SendOptions { age_max: Duration::ZERO, ..trusting(&issuer) });
        let subscription = secure("127.0.0.1", &server);
        for _ in 0..4 {
            let outcome = deliver(&sender, &subscription).await;
            assert_eq!((outcome.error, outcome.status), (None, Some(200)));
        }
        assert_eq!(sender.in_flight(), 0);
    });
    assert_eq!((Seen::count(&server.seen.over_h2), Seen::count(&server.seen.over_h1)), (1, 3));
}
