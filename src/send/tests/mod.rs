//! The sender against real sockets: receivers are threads that follow a script byte by byte.

mod answers;
mod connections;
mod dialing;
mod dns;
mod early;
mod frames;
mod h2;
mod names;
mod nameserver;
mod pki;
mod proxy;
mod server;
mod throughput;
mod tls;

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::model::subscription::tests::sample;
use crate::model::{AccountKey, ErrorKind, Event, Mono, Outcome, Seq, Subscription, TypeBit, UnixMillis};
use crate::send::target::Egress;

pub(super) const BODY: &str = r#"{"id":"evt-1","type":"device.registered","data":{"n":1}}"#;
/// 2026-11-23T14:49:00Z
const STARTED_AT: UnixMillis = UnixMillis(1_795_445_340_000);

#[expect(clippy::disallowed_methods, reason = "tests have no `rt` to ask")]
pub(super) fn clock() -> Mono {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed();
    Mono(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
}

/// Runs `test` on a worker's kind of runtime; a test that hangs fails.
pub(super) fn on_runtime<T>(test: impl Future<Output = T>) -> T {
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::FusionDriver>::new().enable_timer().build().expect("runtime");
    runtime.block_on(async {
        monoio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs")
    })
}

pub(super) fn options() -> SendOptions {
    let mut options = SendOptions::new(clock);
    let allow_networks = vec!["127.0.0.0/8".parse().expect("valid")];
    options.egress = Egress { allow_http: true, allow_networks, ..Egress::default() };
    options
}

pub(super) fn sender(options: SendOptions) -> Sender {
    Sender::new(options, ResolverHandle::start(ResolverOptions::new(clock)).expect("threads"))
}

pub(super) fn event(body: &'static str) -> Arc<Event> {
    let body = Bytes::from_static(body.as_bytes());
    Arc::new(
        Event::new(Seq(1), AccountKey(1), TypeBit(0), UnixMillis(0), 5, body).expect("a body with an id"),
    )
}

pub(super) fn job(id: u64, subscription: &Arc<Subscription>) -> Job {
    Job {
        id,
        subscription: subscription.clone(),
        event: event(BODY),
        attempt: 1,
        started_at: STARTED_AT,
        started: clock(),
    }
}

pub(super) fn to(address: SocketAddr) -> Arc<Subscription> {
    Arc::new(sample(u64::from(address.port()), &format!("http://{address}/hook")))
}

/// Waits for `count` completions.
pub(super) async fn completions(sender: &Sender, count: usize) -> Vec<(u64, Outcome)> {
    let mut all = Vec::new();
    std::future::poll_fn(|cx| {
        sender.set_waker(cx.waker());
        sender.drain_completions(&mut all);
        if all.len() >= count { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all
}

/// Makes one attempt and waits for its outcome.
pub(super) async fn deliver(sender: &Sender, subscription: &Arc<Subscription>) -> Outcome {
    sender.start(job(0, subscription));
    completions(sender, 1).await.remove(0).1
}

#[track_caller]
pub(super) fn expect_error(outcome: &Outcome, kind: ErrorKind, words: &str) {
    let error = outcome.error.as_ref().unwrap_or_else(|| panic!("was delivered: {outcome:?}"));
    assert_eq!(error.kind, kind, "{error:?}");
    assert!(error.message.contains(words), "{:?} does not say {words:?}", error.message);
    assert!(!error.message.contains('\n'));
}

/// What a receiver's thread has of one connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    /// Counts connections from 0.
    pub(super) number: usize,
    /// To the test.
    pub(super) note: mpsc::Sender<String>,
}

impl Peer {
    /// Reads one request, head and body; `None` at the end of the connection.
    pub(super) fn request(&mut self) -> Option<String> {
        let mut got = Vec::new();
        let mut buf = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&got).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let len = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if body.len() >= len.and_then(|len| len.parse().ok()).unwrap_or(0) {
                    return Some(text);
                }
            }
            match self.stream.read(&mut buf) {
                Ok(0) | Err(_) => return None,
                Ok(n) => got.extend_from_slice(&buf[..n]),
            }
        }
    }

    pub(super) fn answer(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Waits until the other side has closed the connection.
    pub(super) fn wait_for_end(&mut self) {
        let mut buf = [0; 4096];
        while matches!(self.stream.read(&mut buf), Ok(n) if n > 0) {}
    }

    /// Ends the connection by a reset.
    pub(super) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
}

/// A receiver: each connection is served by `script` on a thread of its own.
pub(super) fn receiver(
    script: impl Fn(Peer) + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<String>) {
    receiver_at(("127.0.0.1", 0), script)
}

/// The same at an address of the test's choice.
pub(super) fn receiver_at(
    address: (&str, u16),
    script: impl Fn(Peer) + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(address).expect("bind");
    let address = listener.local_addr().expect("address");
    let (note, notes) = mpsc::channel();
    let script = Arc::new(script);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (script, note) = (script.clone(), note.clone());
            let stream = stream.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            thread::spawn(move || script(Peer { stream, number, note }));
        }
    });
    (address, notes)
}

/// A receiver that gives every request the same answer and keeps the connection.
pub(super) fn answering(answer: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    receiver(move |mut peer| {
        let _ = peer.note.send(format!("connection {}", peer.number));
        while let Some(request) = peer.request() {
            let _ = peer.note.send(request);
            if !peer.answer(answer) {
                return;
            }
        }
        let _ = peer.note.send(format!("end {}", peer.number));
    })
}

pub(super) const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
