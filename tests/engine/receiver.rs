//! A receiver: a TCP server that checks each signature, writes down what came and answers as told.
//!
//! A connection has a thread of its own; the engine opens a bounded number of them.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

use postrider::send::verify::{decode_secret, verify};

use crate::http::{read_body, read_head};
use crate::wait::PATIENCE;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub id: String,
    pub attempt: u16,
    /// The signature holds.
    pub valid: bool,
    pub at: Instant,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// With further header lines, each ended by CRLF.
    With(u16, &'static str),
    /// Says nothing until the other side gives up.
    Hang,
    /// Says 200 after so long.
    Slow(Duration),
    /// Closes the connection without a word.
    Close,
    /// Says nothing until [`Receiver::release`], then 200.
    Held,
}

type Behaviour = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What is written down of a request.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: String,
    pub attempt: u16,
    pub at: Instant,
    pub valid: bool,
    /// Answered with 2xx.
    pub taken: bool,
}

#[derive(Default)]
struct Book {
    records: HashMap<String, Vec<Record>>,
    /// How many came, of paths whose requests are counted only.
    counts: HashMap<String, usize>,
    /// The first request of each path, whole.
    first: HashMap<String, Request>,
}

impl Book {
    fn count(&self, path: &str) -> usize {
        let kept = self.records.get(path).map(Vec::len);
        kept.or_else(|| self.counts.get(path).copied()).unwrap_or(0)
    }
}

#[derive(Default)]
struct Shared {
    behaviours: RwLock<HashMap<String, Behaviour>>,
    /// Keys by subscription.
    keys: RwLock<HashMap<String, Vec<u8>>>,
    book: Mutex<Book>,
    changed: Condvar,
    released: AtomicBool,
    closed: AtomicBool,
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Answers 200 on every path until told otherwise.
    pub fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn start_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn on(&self, path: &str, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        self.shared.behaviours.write().unwrap().insert(path.to_owned(), Arc::new(behaviour));
    }

    /// The secret that deliveries of this subscription must be signed with.
    pub fn trust(&self, subscription: &str, secret: &str) {
        let key = decode_secret(secret).expect("a secret");
        self.shared.keys.write().unwrap().insert(subscription.to_owned(), key);
    }

    /// Answers everything that is [`Reply::Held`].
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
    }

    pub fn records(&self, path: &str) -> Vec<Record> {
        self.shared.book.lock().unwrap().records.get(path).cloned().unwrap_or_default()
    }

    pub fn count(&self, path: &str) -> usize {
        self.shared.book.lock().unwrap().count(path)
    }

    /// Requests to `path` are not kept: there will be many.
    pub fn count_only(&self, path: &str) {
        self.shared.book.lock().unwrap().counts.insert(path.to_owned(), 0);
    }

    pub fn first(&self, path: &str) -> Request {
        self.shared.book.lock().unwrap().first.get(path).cloned().expect("a request came")
    }

    /// Waits until `path` has so many requests.
    pub fn until(&self, path: &str, count: usize) -> Vec<Record> {
        self.until_within(path, count, PATIENCE)
    }

    pub fn until_within(&self, path: &str, count: usize, patience: Duration) -> Vec<Record> {
        self.await_count(path, count, patience);
        self.records(path)
    }

    /// The same without a copy of what came.
    pub fn await_count(&self, path: &str, count: usize, patience: Duration) {
        let lacking = |book: &mut Book| book.count(path) < count;
        let book = self.shared.book.lock().unwrap();
        let (book, _) = self.shared.changed.wait_timeout_while(book, patience, lacking).unwrap();
        let have = book.count(path);
        assert!(have >= count, "{path} has {have} of {count} requests");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.release();
        // The listener looks up.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut stream = BufReader::new(stream);
        while !self.closed.load(Ordering::Relaxed) {
            let Some(request) = self.read(&mut stream) else { return };
            let behaviour = self.behaviours.read().unwrap().get(&request.path).cloned();
            let reply = behaviour.map_or(Reply::Status(200), |behaviour| behaviour(&request));
            if !self.reply(request, &reply, &mut stream) {
                return;
            }
        }
    }

    fn read(&self, stream: &mut BufReader<TcpStream>) -> Option<Request> {
        let (first, headers) = read_head(stream).ok()?;
        let body = read_body(stream, &headers).ok()?;
        let at = Instant::now();
        let find = |name: &str| {
            headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (id, subscription) = (find("webhook-id"), find("postrider-subscription"));
        let keys = self.keys.read().unwrap();
        let valid = keys.get(&subscription).is_some_and(|key| {
            verify(key, &id, &find("webhook-timestamp"), &body, &find("webhook-signature"))
        });
        drop(keys);
        Some(Request {
            path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
            attempt: find("postrider-attempt").parse().unwrap_or(0),
            headers,
            body,
            id,
            valid,
            at,
        })
    }

    /// Whether the connection goes on.
    fn reply(&self, request: Request, reply: &Reply, stream: &mut BufReader<TcpStream>) -> bool {
        let (status, more) = match reply {
            Reply::Status(status) => (Some(*status), ""),
            Reply::With(status, more) => (Some(*status), *more),
            Reply::Slow(_) | Reply::Held => (Some(200), ""),
            Reply::Hang | Reply::Close => (None, ""),
        };
        let taken = status.is_some_and(|status| (200..300).contains(&status));
        // Written down before it is answered: what the engine knows of has been recorded.
        self.note(request, taken);
        match reply {
            Reply::Slow(time) => std::thread::sleep(*time),
            Reply::Held => {
                let book = self.book.lock().unwrap();
                let held = |_: &mut Book| !self.released.load(Ordering::SeqCst);
                drop(self.changed.wait_while(book, held).unwrap());
            }
            Reply::Hang => {
                // Ends when the other side closes.
                let _ = stream.read(&mut [0]);
            }
            Reply::Status(_) | Reply::With(..) | Reply::Close => {}
        }
        let Some(status) = status else { return false };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{more}\r\n");
        stream.get_mut().write_all(answer.as_bytes()).is_ok()
    }

    fn note(&self, request: Request, taken: bool) {
        let mut book = self.book.lock().unwrap();
        if let Some(count) = book.counts.get_mut(&request.path) {
            *count += 1;
        } else {
            let Request { path, id, attempt, at, valid, .. } = &request;
            let record = Record { id: id.clone(), attempt: *attempt, at: *at, valid: *valid, taken };
            match book.records.get_mut(path) {
                Some(records) => records.push(record),
                None => drop(book.records.insert(path.clone(), vec![record])),
            }
            if !book.first.contains_key(path) {
                book.first.insert(path.clone(), request);
            }
        }
        drop(book);
        self.changed.notify_all();
    }
}
