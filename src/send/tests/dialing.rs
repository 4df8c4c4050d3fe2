//! Which of a name's addresses is connected to, and which never is.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::nameserver::{NameServer, Reply};
use super::*;

pub(super) fn sender(server: &NameServer, options: SendOptions) -> Sender {
    let resolver = ResolverOptions { nameservers: vec![server.address], ..ResolverOptions::new(clock) };
    Sender::new(options, ResolverHandle::start(resolver).expect("a thread"))
}

/// Another subscription each time.
pub(super) fn named(name: &str, port: u16) -> Arc<Subscription> {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    Arc::new(sample(id, &format!("http://{name}:{port}/hook")))
}

/// What a receiver notes next.
fn note(notes: &mpsc::Receiver<String>) -> String {
    notes.recv_timeout(Duration::from_secs(10)).expect("something comes")
}

fn server(addresses: &'static [&'static str]) -> NameServer {
    NameServer::start(move |_, _, _| {
        Reply::Addresses(addresses.iter().map(|text| text.parse().expect("an address")).collect(), 60)
    })
}

/// A port on `address` that takes no connection and refuses none: its queue is full.
fn deaf(address: &str) -> (socket2::Socket, Vec<TcpStream>) {
    let address: SocketAddr = address.parse().expect("valid");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("bind");
    socket.listen(0).expect("listen");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 1000, "the queue has no end");
    }
    (socket, queue)
}

fn port_of(socket: &socket2::Socket) -> u16 {
    socket.local_addr().expect("bound").as_socket().expect("an address").port()
}

#[test]
fn a_silent_address_holds_nobody_up() {
    let (socket, _queue) = deaf("127.0.0.1:0");
    let port = port_of(&socket);
    let (_, notes) = receiver_at(("127.0.0.2", port), |mut peer| {
        while peer.request().is_some() && peer.answer(NO_CONTENT) {}
        let _ = peer.note.send("end".to_owned());
    });
    let server = server(&["127.0.0.1", "127.0.0.2"]);
    let started = clock();
    on_runtime(async {
        let sender = sender(&server, options());
        assert_eq!(deliver(&sender, &named("two.test", port)).await.error, None);
        assert!(clock().since(started) >= Duration::from_millis(250), "the first has its time");
        assert_eq!(sender.connections().open, 1);
    });
    assert_eq!(note(&notes), "end");
}

#[test]
fn each_address_that_failed_is_told() {
    let server = server(&["127.0.0.9", "127.0.0.8"]);
    let (address, _) = answering(NO_CONTENT);
    on_runtime(async {
        let sender = sender(&server, options());
        let outcome = deliver(&sender, &named("two.test", address.port())).await;
        expect_error(
            &outcome,
            ErrorKind::Connect,
            "127.0.0.9: connection refused, 127.0.0.8: connection refused",
        );
        // What is not open is not told, but that there was something.
        let options = SendOptions { egress: only("127.0.0.9"), ..options() };
        let outcome =
            deliver(&super::dialing::sender(&server, options), &named("two.test", address.port())).await;
        expect_error(
            &outcome,
            ErrorKind::Connect,
            "127.0.0.9: connection refused; another: the address is not open to deliveries: loopback",
        );
        assert!(!outcome.error.expect("failed").message.contains("127.0.0.8"));
    });
}

#[test]
fn at_the_deadline_each_address_is_told() {
    let (socket, _queue) = deaf("127.0.0.1:0");
    let server = server(&["127.0.0.9", "127.0.0.1"]);
    on_runtime(async {
        let sender = sender(&server, options());
        sender.start(job(1, &named("two.test", port_of(&socket))));
        // Until the second address is being tried.
        monoio::time::sleep(Duration::from_millis(400)).await;
        sender.tick(clock() + Duration::from_secs(5));
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(
            &outcome,
            ErrorKind::Connect,
            "within 5000 ms: 127.0.0.9: connection refused, 127.0.0.1: no answer",
        );
    });
}

fn only(address: &str) -> Egress {
    let allow_networks = vec![address.parse().expect("valid")];
    Egress { allow_http: true, allow_networks, ..Egress::default() }
}

/// The first answer is open, all later ones lead inside: the connection goes to the answer that was
/// judged, and the next connection is judged anew.
#[test]
fn an_answer_that_changes_leads_nowhere_else() {
    let (address, notes) = receiver(|mut peer| {
        peer.request();
        let _ = peer.note.send("open".to_owned());
        peer.answer("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    });
    let (_, inside) = receiver_at(("127.0.0.2", address.port()), |peer| {
        let _ = peer.note.send("inside".to_owned());
    });
    let server = NameServer::start(|_, v6, number| match (v6, number) {
        (true, _) => Reply::Nothing,
        (_, 0) => Reply::Addresses(vec![[127, 0, 0, 1].into()], 0),
        _ => Reply::Addresses(vec![[127, 0, 0, 2].into()], 0),
    });
    on_runtime(async {
        let options = SendOptions { egress: only("127.0.0.1"), ..options() };
        let sender = sender(&server, options);
        let subscription = named("rebinding.test", address.port());
        assert_eq!(deliver(&sender, &subscription).await.error, None);
        assert_eq!(server.asked("rebinding.test", false), 1, "one look-up for judging and connecting");
        loop {
            let outcome = deliver(&sender, &subscription).await;
            if outcome.error.is_some() {
                expect_error(&outcome, ErrorKind::Egress, "rebinding.test: the address is not open");
                break;
            }
            monoio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(notes.try_iter().count() > 0);
    assert_eq!(inside.try_iter().count(), 0);
}

#[test]
fn names_are_judged_by_where_they_lead() {
    let server = server(&["10.0.0.1"]);
    on_runtime(async {
        for name in ["single", "printer.local", "db.internal", "metadata.google.internal", "public.example."]
        {
            let outcome = deliver(&sender(&server, options()), &named(name, 80)).await;
            expect_error(&outcome, ErrorKind::Egress, "private use (10.0.0.0/8)");
        }
        let options = SendOptions { egress: Egress { allow_http: true, ..Egress::default() }, ..options() };
        for name in ["localhost", "sub.localhost", "localhost."] {
            let outcome = deliver(&sender(&server, options.clone()), &named(name, 80)).await;
            expect_error(&outcome, ErrorKind::Egress, "loopback");
        }
    });
}

#[test]
fn an_allowed_host_may_be_inside() {
    let (address, _notes) = answering(NO_CONTENT);
    let server = server(&["127.0.0.1"]);
    let allow_hosts = vec!["*.corp.test".parse().expect("valid")];
    let egress = Egress { allow_http: true, allow_hosts, ..Egress::default() };
    on_runtime(async {
        let sender = sender(&server, SendOptions { egress, ..options() });
        assert_eq!(deliver(&sender, &named("a.corp.test", address.port())).await.error, None);
        let outcome = deliver(&sender, &named("a.other.test", address.port())).await;
        expect_error(&outcome, ErrorKind::Egress, "loopback");
    });
}

#[test]
fn refused_ports() {
    let (address, notes) = answering(NO_CONTENT);
    let mut options = options();
    options.egress.refuse_ports = vec![address.port()];
    let outcome = on_runtime(async { deliver(&super::sender(options), &to(address)).await });
    expect_error(&outcome, ErrorKind::Egress, &format!("port {} is not open", address.port()));
    assert_eq!(notes.try_iter().count(), 0);
}

/// IPv6 goes first, unless IPv4 was what worked.
#[test]
fn the_family_that_worked_goes_first() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("no IPv6 here: skipped");
        return;
    }
    let close = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    let serve = move |mut peer: Peer| {
        peer.request();
        let _ = peer.note.send(peer.stream.local_addr().expect("bound").ip().to_string());
        peer.answer(close);
    };
    let (address, v4) = receiver(serve);
    let port = address.port();
    let server = server(&["127.0.0.1", "::1"]);
    let networks = ["127.0.0.1", "::1"].map(|text| text.parse().expect("valid"));
    let egress = Egress { allow_http: true, allow_networks: networks.to_vec(), ..Egress::default() };
    on_runtime(async {
        let sender = sender(&server, SendOptions { egress, ..options() });
        assert_eq!(deliver(&sender, &named("both.test", port)).await.error, None);
        assert_eq!(note(&v4), "127.0.0.1", "nobody is at ::1 yet");
        let (_, v6) = receiver_at(("::1", port), serve);
        assert_eq!(deliver(&sender, &named("both.test", port)).await.error, None);
        assert_eq!(note(&v4), "127.0.0.1", "remembered");
        assert_eq!(deliver(&sender, &named("fresh.test", port)).await.error, None);
        assert_eq!(note(&v6), "::1", "IPv6 first where nothing is known");
    });
}

#[test]
fn many_addresses_are_bounded() {
    let server = NameServer::start(|_, _, _| {
        Reply::Addresses((10..30).map(|n| IpAddr::from([127, 0, 0, n])).collect(), 60)
    });
    let (address, _) = answering(NO_CONTENT);
    let outcome =
        on_runtime(async { deliver(&sender(&server, options()), &named("many.test", address.port())).await });
    let message = outcome.error.expect("nobody is there").message;
    assert_eq!(message.matches("refused").count(), 8, "{message}");
}
