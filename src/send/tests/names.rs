//! Schemes, names and addresses: what a connection is opened to.

use super::*;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

static GATE: Mutex<()> = Mutex::new(());

fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let local = IpAddr::from([127, 0, 0, 1]);
    match name {
        "local.test" => Ok(vec![local]),
        // Nothing listens on the first.
        "second.test" => Ok(vec![[127, 0, 0, 9].into(), local]),
        "mixed.test" => Ok(vec![[10, 0, 0, 1].into(), local]),
        "inside.test" => Ok(vec![[10, 0, 0, 1].into(), [169, 254, 169, 254].into()]),
        "slow.test" => {
            drop(GATE.lock());
            Ok(vec![local])
        }
        _ => Err(io::Error::other("no such name")),
    }
}

fn sender(options: SendOptions) -> Sender {
    let resolver = ResolverHandle::start(ResolverOptions { lookup, ..ResolverOptions::new(clock) });
    Sender::new(options, resolver.expect("threads"))
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
    expect_error(&deliver("none.test"), ErrorKind::Dns, "cannot resolve none.test: no such name");
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
    check("https://127.0.0.1/", ErrorKind::Tls, "no TLS");
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
    let (address, _notes) = answering(NO_CONTENT);
    let gate = GATE.lock().expect("gate");
    on_runtime(async {
        let sender = sender(options());
        let subscription = named("slow.test", address.port());
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
        sender.start(job(4, &subscription));
        drop(gate);
        assert_eq!(completions(&sender, 1).await[0].1.error, None);
    });
}
