//! The receiver of all deliveries, of the engine's and of the bare loop's alike: one thread that answers
//! 204 as cheaply as can be, or never answers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};
use postrider::model::CallbackUrl;
use postrider::route::Placement;

/// Bytes of a request at most.
const REQUEST_LEN_MAX: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// Reads, and never answers.
    Hangs,
}

/// What has arrived.
pub struct Seen {
    /// Whether requests are answered.
    answers: AtomicBool,
    count: AtomicU64,
    /// When the event of each number arrived, in nanoseconds since `origin`.
    arrivals: Box<[AtomicU64]>,
    origin: Instant,
}

pub struct Receiver {
    /// One for each worker of the engine, so that all of them have work.
    pub urls: Vec<String>,
    seen: Arc<Seen>,
}

impl Receiver {
    /// Listens on one port for each of `workers` workers. Notes the arrival of events 0 to `arrivals`.
    pub fn start(workers: usize, manner: Manner, arrivals: usize, origin: Instant) -> Self {
        let mut listeners: Vec<Option<std::net::TcpListener>> = (0..workers).map(|_| None).collect();
        let mut urls = vec![String::new(); workers];
        while listeners.iter().any(Option::is_none) {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
            let parsed = CallbackUrl::parse(&url).expect("a URL");
            let worker = Placement::from(workers).owner_of_host(parsed.authority());
            listeners[worker].get_or_insert(listener);
            if urls[worker].is_empty() {
                urls[worker] = url;
            }
        }
        let seen = Arc::new(Seen {
            answers: AtomicBool::new(manner == Manner::Answers),
            count: AtomicU64::new(0),
            arrivals: (0..arrivals).map(|_| AtomicU64::new(0)).collect(),
            origin,
        });
        let shared = Arc::clone(&seen);
        // It lives as long as the process: what it costs when nothing comes is nothing.
        std::thread::spawn(move || {
            let mut runtime =
                RuntimeBuilder::<FusionDriver>::new().with_entries(1024).build().expect("a runtime");
            runtime.block_on(async move {
                let accepting: Vec<_> = listeners
                    .into_iter()
                    .flatten()
                    .map(|listener| {
                        let listener = TcpListener::from_std(listener).expect("a listener");
                        monoio::spawn(accept(listener, Arc::clone(&shared)))
                    })
                    .collect();
                for task in accepting {
                    task.await;
                }
            });
        });
        Self { urls, seen }
    }

    pub fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// Answers from now on.
    pub fn mend(&self) {
        self.seen.answers.store(true, Ordering::Relaxed);
    }

    /// When event `n` arrived, in nanoseconds since the origin; 0 where it has not.
    pub fn arrival(&self, n: usize) -> u64 {
        self.seen.arrivals.get(n).map_or(0, |at| at.load(Ordering::Relaxed))
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("no delay");
        monoio::spawn(serve(stream, Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) {
    let answer: &'static [u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    let held = Rc::new(Cell::new(Vec::with_capacity(REQUEST_LEN_MAX)));
    let mut buffer = vec![0u8; 8 << 10];
    loop {
        let (read, back) = stream.read(buffer).await;
        buffer = back;
        let Ok(count @ 1..) = read else { return };
        let mut bytes = held.take();
        bytes.extend_from_slice(&buffer[..count]);
        let mut taken = 0;
        while let Some(length) = request_len(&bytes[taken..]) {
            note(&seen, &bytes[taken..taken + length]);
            taken += length;
            let answers = seen.answers.load(Ordering::Relaxed);
            if answers && stream.write_all(answer).await.0.is_err() {
                return;
            }
        }
        bytes.drain(..taken);
        assert!(bytes.len() < REQUEST_LEN_MAX, "a request longer than any that is sent here");
        held.set(bytes);
    }
}

fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Bytes of the first request in `bytes`, where all of it is there.
fn request_len(bytes: &[u8]) -> Option<usize> {
    let head = head_len(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let label = "\r\ncontent-length: ";
    let at = text.find(label)? + label.len();
    let length: usize = text[at..].split('\r').next()?.parse().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}

fn note(seen: &Seen, request: &[u8]) {
    seen.count.fetch_add(1, Ordering::Relaxed);
    if !seen.arrivals.is_empty() {
        let now = u64::try_from(seen.origin.elapsed().as_nanos()).unwrap_or(0);
        let number = head_len(request).and_then(|head| number(&request[head..]));
        if let Some(place) = number.and_then(|number| seen.arrivals.get(number)) {
            place.store(now, Ordering::Relaxed);
        }
    }
}

/// The number in `{"id":"evt-000000000012",…`.
fn number(body: &[u8]) -> Option<usize> {
    std::str::from_utf8(body.get(11..23)?).ok()?.parse().ok()
}
