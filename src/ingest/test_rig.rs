//! What the tests of the server share: a log that is a thread behind a channel, and a client that speaks
//! HTTP by hand.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use super::answer::ProblemKind;
use super::rejection::Code;
use super::server::{Ingest, start};
use super::{Access, Append, IngestMetrics, IngestOptions, Parts, Types, server_id};
use crate::log::api::{Appended, Refused};
use crate::model::{AccountName, EventId, NewEvent, Seq, TypeBit, UnixMillis};

pub(super) type Reply = Result<Vec<Appended>, Refused>;
pub(super) type Asked = (Vec<NewEvent>, oneshot::Sender<Reply>);

/// The test's end of the log: requests come out of the channel that this one fills.
#[derive(Clone)]
pub(super) struct ChannelLog(mpsc::Sender<Asked>);

impl Append for ChannelLog {
    fn append(&self, events: Vec<NewEvent>) -> Result<oneshot::Receiver<Reply>, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send((events, reply)).map_err(|_| Refused::Stopping)?;
        Ok(answer)
    }
}

/// Answers everything at once, and knows duplicates.
pub(super) fn answer_all(asked: mpsc::Receiver<Asked>) {
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

pub(super) struct Any;

impl Types for Any {
    fn resolve(&self, name: &str) -> Option<(TypeBit, &str)> {
        (name == "user.created").then_some((TypeBit(1), "user.created"))
    }
}

#[derive(Default)]
pub(super) struct Counted {
    pub accepted: usize,
    pub duplicate: usize,
    pub rejected: Vec<Code>,
    pub refused: Vec<ProblemKind>,
}

#[derive(Clone, Default)]
pub(super) struct Counters(pub Arc<Mutex<Counted>>);

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
pub(super) struct Running {
    pub dir: tempfile::TempDir,
    pub ingest: Ingest,
    pub metrics: Counters,
}

pub(super) fn options(dir: &tempfile::TempDir) -> IngestOptions {
    let socket = dir.path().join("ingest.sock");
    IngestOptions::new(socket, new_id, || UnixMillis(1_795_445_340_000))
}

/// Starts ingest; what it asks of the log comes out of the receiver.
pub(super) fn run_with_log(change: impl FnOnce(&mut IngestOptions)) -> (Running, mpsc::Receiver<Asked>) {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    change(&mut options);
    let (log, asked) = mpsc::channel();
    let metrics = Counters::default();
    let ingest = start(options, parts(log, metrics.clone())).unwrap();
    (Running { dir, ingest, metrics }, asked)
}

pub(super) fn parts(log: mpsc::Sender<Asked>, metrics: Counters) -> Parts<ChannelLog, Counters, Any> {
    Parts { append: ChannelLog(log), metrics, types: Arc::new(Any), authorize: Arc::new(authorize) }
}

pub(super) fn run(change: impl FnOnce(&mut IngestOptions)) -> Running {
    let (running, asked) = run_with_log(change);
    answer_all(asked);
    running
}

impl Running {
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("ingest.sock")
    }

    pub fn connect(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn connect_tcp(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.ingest.address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(BufReader::new(stream))
    }
}

/// The client's side of a connection, spoken by hand.
pub(super) struct Client<S: Read>(pub BufReader<S>);

pub(super) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(a, _)| *a == name).map(|(_, b)| b)
    }
}

impl<S: Read + Write> Client<S> {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn answer(&mut self) -> Answer {
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

    pub fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Whether the other side closes, with nothing more said.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

pub(super) fn post_with(headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len}\r\n\r\n{body}")
        .into_bytes()
}

pub(super) fn post(body: &str) -> Vec<u8> {
    post_with("content-type: application/json\r\n", body)
}

pub(super) fn event(id: &str, account: &str) -> String {
    format!(r#"{{"id":"{id}","accountId":"{account}","type":"user.created","data":{{}}}}"#)
}
