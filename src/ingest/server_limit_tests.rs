//! Limits, refusals, tokens and the end, over real sockets.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::AdmissionLimits;
use super::server::{StartError, start};
use super::test_rig::{Counters, Running, event, options, parts, post, post_with, run, run_with_log};
use crate::log::api::{Appended, Refused};
use crate::model::Seq;

const SOON: Duration = Duration::from_millis(150);

#[test]
fn peers_that_do_nothing_are_closed() {
    let running = run(|options| options.timeouts.head = SOON);
    assert!(running.connect().is_closed(), "no first byte");

    let mut slow = running.connect();
    let mut head = b"POST /v1/events HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y'));
    let closed = loop {
        // A byte now and then does not win more time.
        if slow.0.get_mut().write_all(&[*head.next().unwrap()]).is_err() {
            break true;
        }
        slow.0.get_mut().set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        match slow.0.read(&mut [0; 64]) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break true,
        }
    };
    assert!(closed);

    let running = run(|options| options.timeouts.idle = SOON);
    let mut client = running.connect();
    assert_eq!(client.ask(&post(&event("a", "x"))).status, 202);
    assert!(client.is_closed(), "nothing after a request");
}

#[test]
fn a_slow_body_is_told_so() {
    let running = run(|options| options.timeouts.body = SOON);
    let mut client = running.connect();
    let whole = post(&event("slow", "x"));
    let answer = client.ask(&whole[..whole.len() - 1]);
    assert_eq!((answer.status, &answer.json()["code"]), (408, &"body_timeout".into()));
    assert!(client.is_closed());
}

#[test]
fn waiting_for_the_log_is_no_idleness() {
    let (running, asked) = run_with_log(|options| {
        options.timeouts.idle = SOON;
        options.timeouts.head = SOON;
        options.timeouts.body = SOON;
    });
    let mut client = running.connect();
    client.send(&post(&event("a", "x")));
    let (_, reply) = asked.recv().unwrap();
    client.0.get_mut().set_read_timeout(Some(3 * SOON)).unwrap();
    assert_eq!(client.0.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(client.answer().status, 202);
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let running = run(|options| {
        options.timeouts.write = SOON;
        options.connections_max = 1;
    });
    let mut client = running.connect();
    let request = post(&format!("[{}]", vec!["1"; 1000].join(",")));
    while client.0.get_mut().write_all(&request).is_ok() {}
}

#[test]
fn a_connection_too_many_is_told_503() {
    let running = run(|options| options.connections_max = 2);
    let mut kept: Vec<_> = (0..2).map(|_| running.connect()).collect();
    for client in &mut kept {
        assert_eq!(client.ask(&post(&event("a", "x"))).status, 202);
    }
    let answer = running.connect().answer();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.json()["code"], "too_many_connections");
    let client = kept.pop().unwrap();
    client.0.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    // The place is free as soon as the server has seen the end of that connection.
    let taken =
        (0..1000).any(|_| running.connect().ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").status == 200);
    assert!(taken);
}

#[test]
fn refusals_of_the_log_are_503_with_retry_after() {
    let (running, asked) = run_with_log(|_| {});
    let mut client = running.connect();
    let refusals = [
        (Some(Refused::QueueFull), "queue_full", "1"),
        (Some(Refused::DiskReserve), "disk_reserve", "30"),
        (Some(Refused::Store("disk on fire".to_owned())), "store_unavailable", "5"),
        (Some(Refused::Stopping), "stopping", "5"),
        (None, "stopping", "5"),
    ];
    for (refusal, code, after) in refusals {
        client.send(&post(&event("a", "x")));
        let (_, reply) = asked.recv().unwrap();
        match refusal {
            Some(refusal) => reply.send(Err(refusal)).unwrap(),
            None => drop(reply),
        }
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some(after)));
        assert_eq!(answer.json()["code"], code);
    }
    client.send(&post(&event("a", "x")));
    asked.recv().unwrap().1.send(Ok(Vec::new())).unwrap();
    assert_eq!(client.answer().status, 500, "fewer answers than events");
    drop(asked);
    assert_eq!(client.ask(&post(&event("a", "x"))).json()["code"], "stopping");
    assert_eq!(running.metrics.0.lock().unwrap().refused.len(), 7);
}

#[test]
fn a_flooding_account_does_not_stop_the_others() {
    let (running, asked) = run_with_log(|options| {
        options.waiting = AdmissionLimits { events_max: 4, bytes_max: usize::MAX };
    });
    let mut waiting = Vec::new();
    for n in 0..2 {
        let mut client = running.connect();
        client.send(&post(&event(&format!("f-{n}"), "flood")));
        waiting.push((client, asked.recv().unwrap().1));
    }
    let mut other = running.connect();
    let answer = other.ask(&post(&event("f-2", "flood")));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    other.send(&post(&event("q", "quiet")));
    asked.recv().unwrap().1.send(Ok(vec![Appended::Accepted(Seq(9))])).unwrap();
    assert_eq!(other.answer().status, 202);
    for (client, reply) in &mut waiting {
        let reply = std::mem::replace(reply, oneshot::channel().0);
        reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
        assert_eq!(client.answer().status, 202);
    }
    other.send(&post(&event("f-2", "flood")));
    assert!(asked.recv().is_ok(), "there is room again");
}

#[test]
fn stop_lets_requests_in_flight_end() {
    check_orderly_stop(true);
}

#[test]
fn epoll_serves_and_stops_as_io_uring_does() {
    check_orderly_stop(false);
    let running = run(|options| options.io_uring = false);
    let requests: Vec<u8> = (0..50).flat_map(|n| post(&event(&format!("p-{n}"), "x"))).collect();
    let mut client = running.connect();
    client.send(&requests);
    assert!((0..50).all(|_| client.answer().status == 202));
}

fn check_orderly_stop(io_uring: bool) {
    let (running, asked) = run_with_log(|options| options.io_uring = io_uring);
    let socket = running.socket();
    let (mut idle, mut busy) = (running.connect(), running.connect());
    assert_eq!(idle.ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").status, 200);
    busy.send(&post(&event("a", "x")));
    let (_, reply) = asked.recv().unwrap();
    let Running { ingest, dir: _dir, .. } = running;
    let stopping = std::thread::spawn(move || ingest.stop(Duration::from_secs(20)));
    assert!(idle.is_closed());
    assert!(!socket.exists(), "removed before the last requests end");
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(busy.answer().status, 202);
    assert!(busy.is_closed());
    stopping.join().unwrap();
    assert!(UnixStream::connect(&socket).is_err());
}

#[test]
fn stop_waits_no_longer_than_it_may() {
    let (running, asked) = run_with_log(|_| {});
    let mut busy = running.connect();
    busy.send(&post(&event("a", "x")));
    let _kept = asked.recv().unwrap();
    assert!(running.ingest.is_running());
    running.ingest.stop(SOON);
    assert!(busy.is_closed());
}

#[test]
fn a_live_socket_is_not_taken_over() {
    let running = run(|_| {});
    let result = start(options(&running.dir), parts(mpsc::channel().0, Counters::default()));
    let Err(error @ StartError::Listen(_)) = result else { panic!("must not start") };
    assert!(error.to_string().contains("in use by a running process"), "{error}");
    assert_eq!(running.connect().ask(&post(&event("a", "x"))).status, 202);
}

#[test]
fn tcp_needs_a_token() {
    let running = run(|options| options.listen = Some("127.0.0.1:0".parse().unwrap()));
    let ask = |token: Option<&str>, account: &str| {
        let token = token.map(|token| format!("authorization: {token}\r\n")).unwrap_or_default();
        let headers = format!("content-type: application/json\r\n{token}");
        running.connect_tcp().ask(&post_with(&headers, &event("t", account)))
    };
    for token in [None, Some("Bearer wrong"), Some("Basic all"), Some("Bearer")] {
        let answer = ask(token, "acme");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{token:?}");
    }
    assert_eq!(ask(Some("Bearer reader"), "acme").status, 403);
    assert_eq!(ask(Some("bearer all"), "any").status, 202);
    assert_eq!(ask(Some("Bearer acme"), "acme").status, 202);
    let answer = ask(Some("Bearer acme"), "other");
    assert_eq!(
        (answer.status, &answer.json()["results"][0]["error"]["code"]),
        (422, &"forbidden_account".into())
    );
    let healthy = running.connect_tcp().ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(healthy.status, 200, "health needs none");
    running.ingest.stop(Duration::from_secs(5));
}

/// Counts the descriptors of the whole process, so it cannot run beside other tests:
/// `cargo test -- --ignored --test-threads=1 no_descriptor`.
#[test]
#[ignore = "needs the process to itself"]
fn no_descriptor_is_left_behind() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    for io_uring in [true, false] {
        let round = || {
            let running = run(|options| {
                options.io_uring = io_uring;
                options.listen = Some("127.0.0.1:0".parse().unwrap());
            });
            let mut kept = running.connect();
            for n in 0..3 {
                assert_eq!(running.connect().ask(&post(&event(&format!("a-{n}"), "x"))).status, 202);
            }
            assert_eq!(kept.ask(&post(&event("kept", "x"))).status, 202);
            running.ingest.stop(SOON);
        };
        round();
        let before = count();
        (0..20).for_each(|_| round());
        assert_eq!(count(), before, "io_uring: {io_uring}");
    }
}
