//! Schemes, names and addresses: what a connection is opened to.

use super::nameserver::{NameServer, Reply};
use super::*;
use std::net::IpAddr;

fn zone(name: &str, _v6: bool, _number: usize) -> Reply {
    let local = IpAddr::from([127, 0, 0, 1]);
    let addresses = match name {
        "local.test" => vec![local],
        // Nothing listens on the first.
        "second.test" => vec![[127, 0, 0, 9].into(), local],
        "mixed.test" => vec![[10, 0, 0, 1].into(), local],
        "inside.test" => vec![[10, 0, 0, 1].into(), [169, 254, 169, 254].into()],
        "slow.test" => return Reply::Silence,
        _ => return Reply::NoName(60),
    };
    Reply::Addresses(addresses, 60)
}

/// A sender that asks a name server of the test's.
fn sender(options: SendOptions) -> Sender {
    let nameservers = vec![NameServer::start(zone).address];
    let resolver = ResolverHandle::start(ResolverOptions { nameservers, ..ResolverOptions::new(clock) });
    Sender::new(options, resolver.expect("a thread"))
}

fn named(name: &str, port: u16) -> Arc<Subscription> {
    Arc::new(sample(9, &format!("http://{name}:{port}/")))
}

#[test]
fn names_are_resolved_and_every_address_is_judged() {
    let (address, notes) = answering(NO_CONTENT);
    let deliver =
        |name: &str| on_runtime(async { deliver(&sender(options()), &named(name, address.port())).await });
    for name in ["local.test", "second.test", "mixed.test"] {
        assert_eq!(deliver(name).error, None, "{name}");
        let request = notes.iter().find(|note| note.starts_with("POST")).expect("a request");
        assert!(request.contains(&format!("host: {name}:{}\r\n", address.port())));
    }
    expect_error(&deliver("inside.test"), ErrorKind::Egress, "inside.test: the address is not open");
    expect_error(&deliver("none.test"), ErrorKind::Dns, "cannot resolve none.test: there is no such name");
}

#[test]
fn a_literal_address_is_judged_too() {
    let check = |url: &str, kind: ErrorKind, words: &str| {
        let subscription = Arc::new(sample(1, url));
        let options = SendOptions { connect_timeout: Duration::from_secs(1), ..options() };
        let outcome = on_runtime(async { deliver(&sender(options), &subscription).await });
        expect_error(&outcome, kind, words);
    };
    check("http://169.254.169.254/latest/meta-data", ErrorKind::Egress, "metadata");
    check("http://[::ffff:a9fe:a9fe]/", ErrorKind::Egress, "metadata");
    check("http://[::1]:9/", ErrorKind::Egress, "loopback");
    check("http://10.0.0.1/", ErrorKind::Egress, "private use");
    check("http://127.1:1/", ErrorKind::Connect, "refused");
    check("https://127.0.0.1:1/", ErrorKind::Connect, "refused");
    check("https://10.0.0.1/", ErrorKind::Egress, "private use");
}

#[test]
fn plain_http_needs_leave() {
    let mut options = options();
    options.egress.allow_http = false;
    let subscription = Arc::new(sample(1, "http://127.0.0.1:1/"));
    let outcome = on_runtime(async { deliver(&sender(options), &subscription).await });
    expect_error(&outcome, ErrorKind::Egress, "plain http");
}

#[test]
fn resolving_ends_at_the_deadline_and_at_the_connect_timeout() {
    on_runtime(async {
        let sender = sender(options());
        let subscription = named("slow.test", 80);
        for id in 1..=3 {
            sender.start(job(id, &subscription));
        }
        monoio::time::sleep(Duration::from_millis(1)).await;
        sender.cancel(2, CancelReason::Timeout);
        let (id, outcome) = completions(&sender, 1).await.remove(0);
        assert_eq!(id, 2);
        expect_error(&outcome, ErrorKind::Timeout, "resolving");
        sender.tick(clock() + Duration::from_secs(5));
        let done = completions(&sender, 2).await;
        assert_eq!(done.len(), 2);
        for (_, outcome) in done {
            expect_error(&outcome, ErrorKind::Dns, "cannot resolve slow.test within 5000 ms");
        }
    });
}
