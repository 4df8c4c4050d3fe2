//! Which connections are opened, used again and closed.

use super::*;
use monoio::io::IntoPollIo as _;
use std::pin::Pin;
use std::sync::Mutex;

#[test]
fn one_connection_serves_a_hundred_deliveries() {
    for answer in [
        NO_CONTENT,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (address, notes) = answering(answer);
        on_runtime(async {
            let sender = sender(options());
            for _ in 0..100 {
                assert!(deliver(&sender, &to(address)).await.status.is_some());
            }
            let counts = sender.connections();
            assert_eq!((counts.open, counts.opened(), counts.reused()), (1, 1, 99), "{answer}");
        });
        let notes: Vec<_> = notes.try_iter().collect();
        assert_eq!(notes.iter().filter(|note| note.starts_with("POST")).count(), 100);
        assert_eq!(notes.iter().filter(|note| note.starts_with("connection")).count(), 1);
    }
}

/// A stream of `connect` that says when a byte is there, in the order of the runtime's events.
pub(super) async fn after_a_byte(
    stream: &mut monoio::net::tcp::stream_poll::TcpStreamPoll,
    mut block: impl FnMut(),
) {
    let mut byte = [0; 1];
    std::future::poll_fn(|cx| {
        let mut read = monoio::io::poll_io::ReadBuf::new(&mut byte);
        let polled = monoio::io::poll_io::AsyncRead::poll_read(Pin::new(&mut *stream), cx, &mut read);
        if polled.is_pending() {
            block();
        }
        polled
    })
    .await
    .expect("a byte");
}

#[test]
fn a_connection_that_had_ended_is_replaced_within_the_attempt() {
    for reset in [false, true] {
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let (address, notes) = receiver(move |mut peer| {
            peer.request();
            peer.answer(NO_CONTENT);
            if peer.number > 0 {
                return peer.wait_for_end();
            }
            let _ = gone.lock().expect("one reader").recv();
            let note = peer.note.clone();
            if reset {
                peer.reset();
            } else {
                drop(peer);
            }
            let _ = note.send("closed".to_owned());
        });
        let (first, firsts) = mpsc::channel::<()>();
        let firsts = Mutex::new(firsts);
        let (witness, witnessed) = receiver(move |mut peer| {
            let _ = firsts.lock().expect("one reader").recv();
            peer.answer("x");
            let _ = peer.note.send("written".to_owned());
            peer.wait_for_end();
        });
        on_runtime(async {
            let sender = sender(options());
            assert_eq!(deliver(&sender, &to(address)).await.error, None);
            let stream = monoio::net::TcpStream::connect_addr(witness).await.expect("connect");
            let mut stream = stream.into_poll_io().expect("poll io");
            // While the runtime is held up, first the witness writes, then the connection ends: so this
            // task runs before the sender can have seen the end, and what it starts meets it.
            after_a_byte(&mut stream, || {
                first.send(()).expect("a witness");
                witnessed.recv().expect("written");
                go.send(()).expect("a receiver");
                notes.recv().expect("closed");
            })
            .await;
            assert_eq!(sender.connections().open, 1, "the sender has not seen it");
            assert_eq!(deliver(&sender, &to(address)).await.error, None, "reset: {reset}");
            let counts = sender.connections();
            assert_eq!((counts.open, counts.opened(), counts.reused()), (1, 2, 1));
            assert_eq!(counts.closed(CloseReason::Peer), 1);
        });
    }
}

#[test]
fn an_idle_connection_that_ends_is_forgotten() {
    let (address, _notes) = receiver(|mut peer| {
        peer.request();
        peer.answer(NO_CONTENT);
    });
    on_runtime(async {
        let sender = sender(options());
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        while sender.connections().open > 0 {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sender.connections().closed(CloseReason::Peer), 1);
    });
}

#[test]
fn a_receiver_that_allows_one_request_gets_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (address, _notes) = answering(answer);
        on_runtime(async {
            let sender = sender(options());
            for _ in 0..3 {
                assert_eq!(deliver(&sender, &to(address)).await.error, None);
            }
            assert_eq!((sender.connections().opened(), sender.connections().reused()), (3, 0));
        });
    }
}

#[test]
fn connections_to_a_host_are_bounded() {
    let (address, notes) = answering(NO_CONTENT);
    on_runtime(async {
        let sender = sender(SendOptions { max_connections_per_host: 3, ..options() });
        for id in 0..50 {
            sender.start(job(id, &to(address)));
            assert!(sender.connections().open <= 3);
        }
        let done = completions(&sender, 50).await;
        assert!(done.iter().all(|(_, outcome)| outcome.error.is_none()));
        let mut ids: Vec<_> = done.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..50).collect::<Vec<_>>());
        assert_eq!(sender.connections().opened(), 3);
    });
    assert_eq!(notes.try_iter().filter(|note| note.starts_with("connection")).count(), 3);
}

#[test]
fn connections_are_bounded_in_total() {
    let hosts: Vec<_> = (0..5).map(|_| answering(NO_CONTENT)).collect();
    on_runtime(async {
        let sender = sender(SendOptions { max_connections: 2, ..options() });
        for round in 0..4 {
            for (n, (address, _)) in hosts.iter().enumerate() {
                for k in 0..4 {
                    sender.start(job(round * 100 + n as u64 * 10 + k, &to(*address)));
                    assert!(sender.connections().open <= 2);
                }
            }
            let done = completions(&sender, 20).await;
            assert!(done.iter().all(|(_, outcome)| outcome.error.is_none()), "{done:?}");
        }
        assert!(sender.connections().closed(CloseReason::Evicted) > 0);
        assert_eq!(sender.in_flight(), 0);
    });
}

#[test]
fn idle_and_old_connections_are_closed() {
    let check = |options: SendOptions, after: Duration, reason: CloseReason| {
        let (address, notes) = answering(NO_CONTENT);
        on_runtime(async {
            let sender = sender(options);
            assert_eq!(deliver(&sender, &to(address)).await.error, None);
            assert_eq!(sender.connections().open, 1);
            let next = sender.tick(clock());
            assert!(next.is_some_and(|next| next > clock()));
            sender.tick(clock() + after);
            assert_eq!((sender.connections().open, sender.connections().closed(reason)), (0, 1));
            while !notes.try_iter().any(|note| note == "end 0") {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    };
    let long = Duration::from_secs(10_000);
    check(options(), Duration::from_secs(66), CloseReason::Idle);
    check(SendOptions { idle_timeout: long, ..options() }, Duration::from_secs(601), CloseReason::Age);
}

#[test]
fn an_old_connection_takes_no_further_request() {
    let (address, _notes) = answering(NO_CONTENT);
    on_runtime(async {
        let sender = sender(SendOptions { age_max: Duration::ZERO, ..options() });
        for _ in 0..3 {
            assert_eq!(deliver(&sender, &to(address)).await.error, None);
        }
        assert_eq!(sender.connections().closed(CloseReason::Age), 3);
    });
}

#[test]
fn a_sender_that_is_dropped_closes_its_connections() {
    let (address, notes) = answering(NO_CONTENT);
    on_runtime(async {
        let sender = sender(options());
        assert_eq!(deliver(&sender, &to(address)).await.error, None);
        drop(sender);
        while !notes.try_iter().any(|note| note == "end 0") {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn connecting_that_takes_too_long_is_given_up() {
    // A listener whose queue is full leaves further attempts to connect unanswered.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
    listener.listen(1).expect("listen");
    let address = listener.local_addr().expect("address");
    let filling: Vec<_> = (0..16)
        .map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
            socket.set_nonblocking(true).expect("nonblocking");
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    let subscription = to(address.as_socket().expect("an internet address"));
    on_runtime(async {
        let sender = sender(options());
        sender.start(job(1, &subscription));
        sender.start(job(2, &subscription));
        monoio::time::sleep(Duration::from_millis(10)).await;
        let next = sender.tick(clock()).expect("a time");
        assert!(next > clock() && next <= clock() + Duration::from_secs(5));
        sender.cancel(2, CancelReason::Timeout);
        let outcome = completions(&sender, 1).await.remove(0).1;
        expect_error(&outcome, ErrorKind::Timeout, "connecting");
        sender.tick(clock() + Duration::from_secs(5));
        let (id, outcome) = completions(&sender, 1).await.remove(0);
        assert_eq!(id, 1);
        expect_error(&outcome, ErrorKind::Connect, "within 5000 ms");
        assert_eq!((sender.connections().open, sender.in_flight()), (0, 0));
    });
    drop(filling);
}

#[test]
fn a_refused_connection_is_said_to_be_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    on_runtime(async {
        let sender = sender(options());
        for id in 0..40 {
            sender.start(job(id, &to(address)));
        }
        for (_, outcome) in completions(&sender, 40).await {
            expect_error(&outcome, ErrorKind::Connect, "refused");
        }
        assert_eq!(sender.connections().closed(CloseReason::Connect), 40);
    });
}
