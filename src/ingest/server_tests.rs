//! The whole of ingest over real sockets, with a log that is a thread behind a channel.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use super::admission::AdmissionLimits;
use super::answer::ProblemKind;
use super::rejection::Code;
use super::server::{Ingest, StartError, start};
use super::{Access, Append, IngestMetrics, IngestOptions, Parts, Types, server_id};
use crate::log::api::{Appended, Refused};
use crate::model::{AccountName, EventId, NewEvent, Seq, TypeBit, UnixMillis};

type Reply = Result<Vec<Appended>, Refused>;
type Asked = (Vec<NewEvent>, oneshot::Sender<Reply>);

/// The test's end of the log: requests come out of the channel that this one fills.
#[derive(Clone)]
struct ChannelLog(mpsc::Sender<Asked>);

impl Append for ChannelLog {
    fn append(&self, events: Vec<NewEvent>) -> Result<oneshot::Receiver<Reply>, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send((events, reply)).map_err(|_| Refused::Stopping)?;
        Ok(answer)
    }
}

/// Answers everything at once, and knows duplicates.
fn answer_all(asked: mpsc::Receiver<Asked>) {
    std::thread::spawn(move || {
        let (mut seen, mut seq) = (HashSet::new(), Seq(0));
        for (events, reply) in asked {
            let outcomes = events.into_iter().map(|event| {
                if seen.insert((event.account, event.id)) {
                    seq = seq.next();
                    Appended::Accepted(seq)
                } else {
                    Appended::Duplicate
                }
            });
            let _ = reply.send(Ok(outcomes.collect()));
        }
    });
}

struct Any;

impl Types for Any {
    fn resolve(&self, name: &str) -> Option<(TypeBit, &str)> {
        (name == "user.created").then_some((TypeBit(1), "user.created"))
    }
}

#[derive(Default)]
struct Counted {
    accepted: usize,
    duplicate: usize,
    rejected: Vec<Code>,
    refused: Vec<ProblemKind>,
}

#[derive(Clone, Default)]
struct Counters(Arc<Mutex<Counted>>);

impl IngestMetrics for Counters {
    fn accepted(&self, events: usize) {
        self.0.lock().unwrap().accepted += events;
    }
    fn duplicate(&self, events: usize) {
        self.0.lock().unwrap().duplicate += events;
    }
    fn rejected(&self, reason: Code) {
        self.0.lock().unwrap().rejected.push(reason);
    }
    fn refused(&self, reason: ProblemKind) {
        self.0.lock().unwrap().refused.push(reason);
    }
}

static IDS: AtomicU64 = AtomicU64::new(0);

fn new_id() -> EventId {
    server_id(UnixMillis(IDS.fetch_add(1, Ordering::Relaxed)), [7; 10])
}

fn authorize(token: &str) -> Access {
    match token {
        "all" => Access::Everything,
        "acme" => Access::Only(AccountName::parse("acme").unwrap()),
        "reader" => Access::Forbidden,
        _ => Access::Unknown,
    }
}

/// A running ingest and its directory.
struct Running {
    dir: tempfile::TempDir,
    ingest: Ingest,
    metrics: Counters,
}

fn options(dir: &tempfile::TempDir) -> IngestOptions {
    let socket = dir.path().join("ingest.sock");
    IngestOptions::new(socket, new_id, || UnixMillis(1_795_445_340_000))
}

/// Starts ingest; what it asks of the log comes out of the receiver.
fn run_with_log(change: impl FnOnce(&mut IngestOptions)) -> (Running, mpsc::Receiver<Asked>) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    change(&mut options);
    let (log, asked) = mpsc::channel();
    let metrics = Counters::default();
    let ingest = start(options, parts(log, metrics.clone())).unwrap();
    (Running { dir, ingest, metrics }, asked)
}

fn parts(log: mpsc::Sender<Asked>, metrics: Counters) -> Parts<ChannelLog, Counters, Any> {
    Parts { append: ChannelLog(log), metrics, types: Arc::new(Any), authorize: Arc::new(authorize) }
}

fn run(change: impl FnOnce(&mut IngestOptions)) -> Running {
    let (running, asked) = run_with_log(change);
    answer_all(asked);
    running
}

impl Running {
    fn socket(&self) -> PathBuf {
        self.dir.path().join("ingest.sock")
    }

    fn connect(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(BufReader::new(stream))
    }

    fn connect_tcp(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.ingest.address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(BufReader::new(stream))
    }
}

/// The client's side of a connection, spoken by hand.
struct Client<S: Read>(BufReader<S>);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| line.split_once(": ").map(|(a, b)| (a.to_owned(), b.len()));
        let _ = value;
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(a, _)| *a == name).map(|(_, b)| b)
    }
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "closed inside a head: {head:?}");
        }
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let len = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Whether the other side closes, with nothing more said.
    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

fn post_with(headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

fn post(body: &str) -> Vec<u8> {
    post_with("content-type: application/json\r\n", body)
}

fn event(id: &str, account: &str) -> String {
    format!(r#"{{"id":"{id}","accountId":"{account}","type":"user.created","data":{{}}}}"#)
}

#[test]
fn results_come_in_the_order_of_the_items() {
    let running = run(|_| {});
    let mut client = running.connect();
    let body = format!("[{},{},7,{}]", event("a", "x"), event("a", "x"), event("a", "y"));
    let answer = client.ask(&post(&body));
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], &json["duplicates"], &json["rejected"]),
        (&2.into(), &1.into(), &1.into())
    );
    let statuses: Vec<_> = json["results"].as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, ["accepted", "duplicate", "rejected", "accepted"]);
    assert_eq!(json["results"][2]["error"]["code"], "not_an_object");

    let answer =
        client.ask(&post_with("content-type: application/json\r\nPrefer: return=minimal\r\n", &body));
    assert_eq!(answer.body, r#"{"accepted":0,"duplicates":3,"rejected":1}"#);
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));

    let answer = client.ask(&post("[{},{}]"));
    assert_eq!((answer.status, &answer.json()["rejected"]), (422, &2.into()));
    let counted = running.metrics.0.lock().unwrap();
    assert_eq!((counted.accepted, counted.duplicate), (2, 4));
    assert_eq!(counted.rejected.len(), 4);
}

#[test]
fn an_event_without_an_id_gets_one() {
    let running = run(|_| {});
    let answer = running.connect().ask(&post(&event("", "x").replace(r#""id":"","#, "")));
    let id = answer.json()["results"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("evt_") && id.len() == 30, "{id}");
}

#[test]
fn cloudevents_in_binary_mode() {
    let (running, asked) = run_with_log(|_| {});
    let mut client = running.connect();
    client.send(&post_with(
        "content-type: application/json\r\nCE-SpecVersion: 1.0\r\nce-id: c-1\r\nce-source: /x\r\n\
         ce-type: user%2Ecreated\r\nce-accountid: acme\r\nce-time: 2026-01-01T00:00:00Z\r\n",
        "{\"n\": 1.0e5}",
    ));
    let (events, reply) = asked.recv().unwrap();
    assert_eq!(
        events[0].body,
        r#"{"id":"c-1","type":"user.created","timestamp":"2026-01-01T00:00:00Z","accountId":"acme","data":{"n": 1.0e5}}"#
    );
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(client.answer().status, 202);
}

#[test]
fn paths_methods_and_problems() {
    let running = run(|options| options.limits.max_batch = 2);
    let mut client = running.connect();
    let mut check = |request: &[u8], status: u16, code: &str, allow: Option<&str>| {
        let answer = client.ask(request);
        let text = String::from_utf8_lossy(request);
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{text}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let json = answer.json();
        assert_eq!((&json["code"], &json["status"]), (&code.into(), &status.into()), "{text}");
        assert!(json["title"].is_string() && json["detail"].is_string());
    };
    check(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n", 404, "not_found", None);
    check(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed", Some("POST"));
    check(b"DELETE /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method_not_allowed", Some("GET, HEAD"));
    check(&post("nope"), 400, "malformed_json", None);
    check(&post("[]"), 400, "empty_request", None);
    check(&post(""), 400, "empty_request", None);
    check(&post("[1,2,3]"), 413, "batch_too_large", None);
    check(&post_with("content-type: text/plain\r\n", "x"), 415, "unsupported_media_type", None);
    check(&post_with("", "x"), 415, "unsupported_media_type", None);
    let answer = client.ask(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let running = run(|_| {});
    let mut client = running.connect();
    let requests: Vec<u8> = (0..50).flat_map(|n| post(&event(&format!("p-{n}"), "x"))).collect();
    client.send(&requests);
    for n in 0..50 {
        assert_eq!(client.answer().json()["results"][0]["id"], format!("p-{n}"));
    }
    assert_eq!(client.ask(&post(&event("after", "x"))).status, 202, "the connection is kept");
}

#[test]
fn chunked_bodies_are_taken_and_capped() {
    const HEAD: &[u8] = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let running = run(|options| options.limits.max_request_size = 1000);
    let mut client = running.connect();
    client.send(HEAD);
    for byte in event("chunked", "x").chars() {
        client.send(format!("1\r\n{byte}\r\n").as_bytes());
    }
    assert_eq!(client.ask(b"0\r\n\r\n").status, 202);

    client.send(HEAD);
    for _ in 0..3 {
        client.send(format!("1f4\r\n{}\r\n", " ".repeat(500)).as_bytes());
    }
    let answer = client.ask(b"0\r\n\r\n");
    assert_eq!((answer.status, &answer.json()["code"]), (413, &"request_too_large".into()));

    client.send(HEAD);
    let answer = client.ask(b"nonsense\r\n");
    assert_eq!(answer.status, 400);
}

#[test]
fn a_body_of_many_reads_is_whole() {
    let running = run(|_| {});
    let filler = "x".repeat(200_000);
    let body = event("big", "x").replace("{}", &format!("{{\"f\":\"{filler}\"}}"));
    let batch = format!("[{}]", vec![body; 40].join(","));
    let answer = running.connect().ask(&post(&batch));
    assert_eq!((answer.status, &answer.json()["duplicates"]), (202, &39.into()));
}

#[test]
fn expect_100_continue() {
    const EXPECT: &str = "content-type: application/json\r\nexpect: 100-continue\r\n";
    let running = run(|options| options.limits.max_request_size = 1000);
    let mut client = running.connect();
    let body = event("c", "x");
    let whole = post_with(EXPECT, &body);
    client.send(&whole[..whole.len() - body.len()]);
    assert_eq!(client.answer().status, 100);
    assert_eq!(client.ask(body.as_bytes()).status, 202);

    let whole = post_with(EXPECT, &" ".repeat(1001));
    let answer = client.ask(&whole[..whole.len() - 1001]);
    assert_eq!(answer.status, 413, "told before the body is sent");
}

#[test]
fn a_client_that_sends_it_all_before_reading_sees_the_413() {
    let running = run(|options| options.limits.max_request_size = 1 << 20);
    let answer = running.connect().ask(&post(&" ".repeat(3 << 20)));
    assert_eq!((answer.status, &answer.json()["code"]), (413, &"request_too_large".into()));
}

#[test]
fn a_client_that_closes_its_side_gets_its_answer() {
    let (running, asked) = run_with_log(|_| {});
    let mut client = running.connect();
    client.send(&post(&event("half", "x")));
    client.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    let (_, reply) = asked.recv().unwrap();
    reply.send(Ok(vec![Appended::Accepted(Seq(1))])).unwrap();
    assert_eq!(client.answer().status, 202);
    assert!(client.is_closed());
}

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
    let (running, asked) = run_with_log(|_| {});
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
