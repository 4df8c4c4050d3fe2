//! The resolver against a real name server.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::nameserver::{NameServer, Reply};
use super::*;
use crate::send::dns::{Answer, DnsError, Lookup};

fn resolver(server: &NameServer, clock: fn() -> Mono) -> ResolverHandle {
    let options = ResolverOptions {
        nameservers: vec![server.address],
        timeout: Duration::from_millis(300),
        ..ResolverOptions::new(clock)
    };
    ResolverHandle::start(options).expect("a thread")
}

fn get(resolver: &ResolverHandle, name: &str) -> Answer {
    match resolver.resolve(name) {
        Lookup::Known(answer) => answer,
        Lookup::Asked(answer) => answer.blocking_recv().unwrap_or(Err(DnsError::Stopped)),
    }
}

/// Asks until the answer is `want`.
#[track_caller]
fn until(resolver: &ResolverHandle, name: &str, want: &Answer) {
    let end = clock() + Duration::from_secs(10);
    loop {
        let got = get(resolver, name);
        if got == *want {
            return;
        }
        assert!(clock() < end, "{name} is {got:?}, not {want:?}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "it is an answer like others")]
fn known(texts: &[&str]) -> Answer {
    Ok(addresses(texts).into())
}

#[test]
fn each_kind_of_answer() {
    let server = NameServer::start(|name, v6, number| match name {
        "both.test" => Reply::Addresses(addresses(&["192.0.2.1", "2001:db8::1"]), 60),
        "v6.test" if v6 => Reply::Addresses(addresses(&["2001:db8::2"]), 60),
        "v6.test" | "empty.test" => Reply::Nothing,
        "half.test" if v6 => Reply::Code(2),
        "half.test" | "dotted.test" => Reply::Addresses(addresses(&["192.0.2.3"]), 60),
        "alias.test" => Reply::Alias("target.test", 60, addresses(&["192.0.2.4"]), 60),
        "large.test" if v6 => Reply::Nothing,
        "large.test" => Reply::Truncated((0..200).map(|n| [192, 0, 2, n].into()).collect()),
        "failing.test" => Reply::Code(2),
        "refused.test" => Reply::Code(5),
        "garbage.test" => Reply::Garbage,
        "silent.test" => Reply::Silence,
        "lost.test" if number == 0 => Reply::Silence,
        "lost.test" => Reply::Addresses(addresses(&["192.0.2.5", "2001:db8::5"]), 60),
        _ => Reply::NoName(60),
    });
    let resolver = resolver(&server, clock);
    let check = |name: &str, want: &Answer| assert_eq!(get(&resolver, name), *want, "{name}");
    check("both.test", &known(&["2001:db8::1", "192.0.2.1"]));
    check("v6.test", &known(&["2001:db8::2"]));
    check("half.test", &known(&["192.0.2.3"]));
    check("dotted.test.", &known(&["192.0.2.3"]));
    check("alias.test", &known(&["192.0.2.4"]));
    check("lost.test", &known(&["2001:db8::5", "192.0.2.5"]));
    assert_eq!(get(&resolver, "large.test").map(|list| list.len()), Ok(8), "over TCP, and bounded");
    check("none.test", &Err(DnsError::NoName));
    check("empty.test", &Err(DnsError::NoAddress));
    check("failing.test", &Err(DnsError::Failure("SERVFAIL".into())));
    check("refused.test", &Err(DnsError::Failure("REFUSED".into())));
    check("silent.test", &Err(DnsError::Timeout));
    check("garbage.test", &Err(DnsError::Timeout));
    check(&"x".repeat(64), &Err(DnsError::Invalid));
    check("a..b", &Err(DnsError::Invalid));
    // Not the name server's business.
    check("nowhere.invalid", &Err(DnsError::NoName));
    let local = get(&resolver, "localhost").expect("resolves");
    assert!(local.iter().all(IpAddr::is_loopback), "{local:?}");
    assert!(get(&resolver, "a.localhost").expect("resolves").iter().all(IpAddr::is_loopback));
    for name in ["localhost", "a.localhost", "nowhere.invalid"] {
        assert_eq!(server.asked(name, false) + server.asked(name, true), 0, "{name}");
    }
}

#[test]
fn nobody_there() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
    let closed = NameServer::start(|_, _, _| Reply::Silence);
    drop(socket);
    let options = ResolverOptions {
        nameservers: vec!["127.0.0.1:9".parse().expect("valid")],
        timeout: Duration::from_millis(100),
        ..ResolverOptions::new(clock)
    };
    let error =
        get(&ResolverHandle::start(options).expect("a thread"), "a.test").expect_err("nobody answers");
    assert!(matches!(error, DnsError::Unreachable(_) | DnsError::Timeout), "{error:?}");
    drop(closed);
}

/// Time to live, refresh ahead of its end, a new answer taken over, and one asked for all that wait.
#[test]
fn answers_hold_for_their_time() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    fn now() -> Mono {
        Mono(NOW.load(Ordering::SeqCst))
    }
    let set = |ms: u64| NOW.store(ms * 1_000_000, Ordering::SeqCst);
    let (open, gate) = mpsc::channel::<()>();
    let server = NameServer::start(move |name, v6, number| match (name, v6) {
        ("ttl.test", false) => Reply::Addresses(vec![[192, 0, 2, u8::try_from(number).unwrap()].into()], 10),
        ("alias.test", false) => Reply::Alias("target.test", 2, vec![[192, 0, 2, 1].into()], 600),
        ("gone.test", false) if number == 0 => Reply::Addresses(vec![[192, 0, 2, 1].into()], 10),
        ("gone.test", _) if number > 0 => Reply::NoName(20),
        ("held.test", false) => {
            gate.recv().unwrap();
            Reply::Addresses(vec![[192, 0, 2, 7].into()], 10)
        }
        ("never.test", _) => Reply::NoName(3600),
        _ => Reply::Nothing,
    });
    let resolver = resolver(&server, now);
    assert_eq!(get(&resolver, "ttl.test"), known(&["192.0.2.0"]));
    set(7_999);
    assert_eq!(get(&resolver, "ttl.test"), known(&["192.0.2.0"]));
    assert_eq!(server.asked("ttl.test", false), 1);
    set(8_000);
    assert_eq!(get(&resolver, "ttl.test"), known(&["192.0.2.0"]), "given while it is asked for again");
    until(&resolver, "ttl.test", &known(&["192.0.2.1"]));
    assert_eq!(server.asked("ttl.test", false), 2);
    set(18_000);
    assert_eq!(get(&resolver, "ttl.test"), known(&["192.0.2.2"]), "out of date, so it is waited for");

    assert_eq!(get(&resolver, "alias.test"), known(&["192.0.2.1"]));
    set(20_000);
    assert_eq!(get(&resolver, "alias.test"), known(&["192.0.2.1"]));
    assert_eq!(server.asked("alias.test", false), 2, "the alias's time counts");

    // That it is gone is an answer: the old one is not used any longer.
    assert_eq!(get(&resolver, "gone.test"), known(&["192.0.2.1"]));
    set(28_000);
    until(&resolver, "gone.test", &Err(DnsError::NoName));
    assert_eq!(get(&resolver, "never.test"), Err(DnsError::NoName));
    set(57_000);
    assert_eq!(get(&resolver, "never.test"), Err(DnsError::NoName));
    assert_eq!(server.asked("never.test", false), 1);
    set(58_000);
    assert_eq!(get(&resolver, "never.test"), Err(DnsError::NoName));
    assert_eq!(server.asked("never.test", false), 2, "a missing name is believed for half a minute at most");

    let waiting: Vec<_> = (0..50).map(|_| resolver.resolve("held.test")).collect();
    open.send(()).unwrap();
    for lookup in waiting {
        let Lookup::Asked(answer) = lookup else { panic!("nobody could know") };
        assert_eq!(answer.blocking_recv().expect("answered"), known(&["192.0.2.7"]));
    }
    assert_eq!(server.asked("held.test", false), 1);
}

/// Where no answer is to be had, the old one is used: at once where the servers say that they fail,
/// soon where they say nothing.
#[test]
fn old_answers_bridge_a_failure() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    fn now() -> Mono {
        Mono(NOW.load(Ordering::SeqCst))
    }
    let server = NameServer::start(|name, v6, number| match (name, v6, number) {
        (_, false, 0) => Reply::Addresses(vec![[192, 0, 2, 1].into()], 10),
        (_, true, 0) => Reply::Nothing,
        ("failing.test", ..) => Reply::Code(2),
        _ => Reply::Silence,
    });
    let resolver = resolver(&server, now);
    for name in ["failing.test", "silent.test"] {
        NOW.store(0, Ordering::SeqCst);
        assert_eq!(get(&resolver, name), known(&["192.0.2.1"]));
        NOW.store(3_000_000_000_000, Ordering::SeqCst);
        assert_eq!(get(&resolver, name), known(&["192.0.2.1"]), "{name}");
        assert!(server.asked(name, false) > 1);
        NOW.store(4_000_000_000_000, Ordering::SeqCst);
        assert!(get(&resolver, name).is_err(), "{name}: too old");
    }
}
