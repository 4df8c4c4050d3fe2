//! Names to addresses, off the workers: `getaddrinfo` blocks, so a few threads of their own call it.
//!
//! One [`ResolverHandle`] is shared by all workers. Answers are kept for a short fixed time, names that
//! do not resolve for a shorter one, and a name that is being asked for is asked for once. The lock is
//! taken when a connection is opened, never for a request on an open one.
//! Deliberately absent: judging addresses (`target` does, at each connection), and the records' own
//! times to live, which `getaddrinfo` does not tell.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, TrySendError};
use tokio::sync::oneshot;

use crate::model::Mono;

/// Addresses kept of one name, in the resolver's order.
pub const ADDRESSES_MAX: usize = 16;
/// Names that wait for a thread. At the bound a look-up fails at once, which is an attempt's failure.
pub const QUEUE_MAX: usize = 1024;
/// Names kept. At the bound what is out of date goes, and if nothing is, all answers go.
pub const NAMES_MAX: usize = 8192;

/// How names are resolved.
#[derive(Clone, Copy, Debug)]
pub struct ResolverOptions {
    pub threads: usize,
    /// An answer is used for this long.
    pub keep: Duration,
    /// A failure is used for this long.
    pub keep_failure: Duration,
    pub clock: fn() -> Mono,
    /// Asks for one name and may block.
    pub lookup: fn(&str) -> io::Result<Vec<IpAddr>>,
}

impl ResolverOptions {
    /// The system's resolver, two threads, 30 s and 5 s.
    #[must_use]
    pub fn new(clock: fn() -> Mono) -> Self {
        Self {
            threads: 2,
            keep: Duration::from_secs(30),
            keep_failure: Duration::from_secs(5),
            clock,
            lookup: system_lookup,
        }
    }
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    #[error("{0}")]
    Failed(Arc<str>),
    #[error("the name has no address")]
    Empty,
    #[error("too many names wait to be resolved")]
    Busy,
    #[error("the resolver has stopped")]
    Stopped,
}

/// Never empty, at most [`ADDRESSES_MAX`].
pub type Answer = Result<Arc<[IpAddr]>, DnsError>;

/// What a question gets.
#[derive(Debug)]
pub enum Lookup {
    Known(Answer),
    /// The answer comes; a sender that is gone means [`DnsError::Stopped`].
    Asked(oneshot::Receiver<Answer>),
}

enum Entry {
    Known { answer: Answer, until: Mono },
    Asked { waiting: Vec<oneshot::Sender<Answer>> },
}

struct Shared {
    options: ResolverOptions,
    names: Mutex<HashMap<Arc<str>, Entry>>,
    /// Threads end when the last handle is gone, and with it this.
    queue: channel::Sender<Arc<str>>,
}

/// A shared resolver. The threads behind it end with the last handle.
#[derive(Clone)]
pub struct ResolverHandle(Arc<Shared>);

impl ResolverHandle {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(options: ResolverOptions) -> io::Result<Self> {
        let (queue, names) = channel::bounded(QUEUE_MAX);
        let shared = Arc::new(Shared { options, names: Mutex::default(), queue });
        for n in 0..options.threads.max(1) {
            let (names, shared) = (names.clone(), Arc::downgrade(&shared));
            std::thread::Builder::new()
                .name(format!("dns-{n}"))
                .spawn(move || serve(options.lookup, &names, &shared))?;
        }
        Ok(Self(shared))
    }

    /// Asks for the addresses of `name`. Never blocks.
    pub fn resolve(&self, name: &str) -> Lookup {
        let now = (self.0.options.clock)();
        let mut names = self.0.lock();
        match names.get_mut(name) {
            Some(Entry::Known { answer, until }) if now < *until => return Lookup::Known(answer.clone()),
            Some(Entry::Asked { waiting }) => {
                let (sender, receiver) = oneshot::channel();
                waiting.retain(|sender| !sender.is_closed());
                waiting.push(sender);
                return Lookup::Asked(receiver);
            }
            Some(Entry::Known { .. }) | None => {}
        }
        let name: Arc<str> = name.into();
        match self.0.queue.try_send(name.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Lookup::Known(Err(DnsError::Busy)),
            Err(TrySendError::Disconnected(_)) => return Lookup::Known(Err(DnsError::Stopped)),
        }
        make_room(&mut names, now);
        let (sender, receiver) = oneshot::channel();
        names.insert(name, Entry::Asked { waiting: vec![sender] });
        Lookup::Asked(receiver)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        // Each change under the lock is one insert: a panic leaves nothing half done.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, name: &Arc<str>, answer: &Answer) {
        let keep = if answer.is_ok() { self.options.keep } else { self.options.keep_failure };
        let until = (self.options.clock)() + keep;
        let known = Entry::Known { answer: answer.clone(), until };
        let before = self.lock().insert(name.clone(), known);
        if let Some(Entry::Asked { waiting }) = before {
            for sender in waiting {
                // Whoever has given up in the meantime does not miss it.
                let _ = sender.send(answer.clone());
            }
        }
    }
}

fn make_room(names: &mut HashMap<Arc<str>, Entry>, now: Mono) {
    if names.len() < NAMES_MAX {
        return;
    }
    names.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
    if names.len() >= NAMES_MAX {
        names.retain(|_, entry| matches!(entry, Entry::Asked { .. }));
    }
}

fn serve(lookup: fn(&str) -> io::Result<Vec<IpAddr>>, names: &Receiver<Arc<str>>, shared: &Weak<Shared>) {
    for name in names {
        let answer = ask(lookup, &name);
        let Some(shared) = shared.upgrade() else { return };
        shared.answered(&name, &answer);
    }
}

fn ask(lookup: fn(&str) -> io::Result<Vec<IpAddr>>, name: &str) -> Answer {
    let mut addresses = lookup(name).map_err(|error| DnsError::Failed(error.to_string().into()))?;
    let mut seen = Vec::with_capacity(addresses.len());
    addresses.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err(DnsError::Empty) } else { Ok(addresses.into()) }
}

fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    static NOW: AtomicU64 = AtomicU64::new(0);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static GATE: Mutex<()> = Mutex::new(());

    fn clock() -> Mono {
        Mono(NOW.load(Ordering::SeqCst))
    }

    fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
        drop(GATE.lock());
        ASKED.fetch_add(1, Ordering::SeqCst);
        match name {
            "good" => Ok(vec![[1, 2, 3, 4].into(), [1, 2, 3, 4].into(), [5, 6, 7, 8].into()]),
            "empty" => Ok(Vec::new()),
            "many" => Ok((0..200).map(|n| [10, 0, 0, n].into()).collect()),
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn get(resolver: &ResolverHandle, name: &str) -> Answer {
        match resolver.resolve(name) {
            Lookup::Known(answer) => answer,
            Lookup::Asked(answer) => answer.blocking_recv().unwrap_or(Err(DnsError::Stopped)),
        }
    }

    #[test]
    fn answers_are_kept_and_asked_for_once() {
        let options = ResolverOptions { lookup, ..ResolverOptions::new(clock) };
        let resolver = ResolverHandle::start(options).expect("threads");
        let check = |name: &str, want: Result<&[[u8; 4]], &str>, asked: usize| {
            let got = get(&resolver, name).map_err(|error| error.to_string());
            let want = want.map(|list| list.iter().map(|ip| IpAddr::from(*ip)).collect::<Arc<[_]>>());
            assert_eq!(got, want.map_err(str::to_owned), "{name}");
            assert_eq!(ASKED.load(Ordering::SeqCst), asked, "{name}");
        };
        let good = [[1, 2, 3, 4], [5, 6, 7, 8]];
        check("good", Ok(&good), 1);
        check("good", Ok(&good), 1);
        check("bad", Err("no such name"), 2);
        check("bad", Err("no such name"), 2);
        check("empty", Err("the name has no address"), 3);
        NOW.store(6_000_000_000, Ordering::SeqCst);
        check("bad", Err("no such name"), 4);
        check("good", Ok(&good), 4);
        NOW.store(31_000_000_000, Ordering::SeqCst);
        check("good", Ok(&good), 5);
        assert_eq!(get(&resolver, "many").map(|list| list.len()), Ok(ADDRESSES_MAX));

        // Single flight: while the name is asked for, others wait for the same answer.
        let gate = GATE.lock();
        let asked = ASKED.load(Ordering::SeqCst);
        let waiting: Vec<_> = (0..5).map(|_| resolver.resolve("new")).collect();
        drop(gate);
        for lookup in waiting {
            let Lookup::Asked(answer) = lookup else { panic!("nobody could know") };
            assert!(answer.blocking_recv().expect("answered").is_err());
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), asked + 1);

        // The queue is bounded, and a full one is an answer.
        let gate = GATE.lock();
        let busy = (0..QUEUE_MAX + 10).map(|n| resolver.resolve(&format!("name-{n}")));
        let busy = busy.filter(|lookup| matches!(lookup, Lookup::Known(Err(DnsError::Busy)))).count();
        assert!((8..=10).contains(&busy), "{busy}");
        drop(gate);
    }

    #[test]
    fn names_are_bounded() {
        let mut names = HashMap::new();
        for n in 0..NAMES_MAX {
            let until = Mono(if n < 10 { 5 } else { 50 });
            names.insert(n.to_string().into(), Entry::Known { answer: Err(DnsError::Empty), until });
        }
        make_room(&mut names, Mono(5));
        assert_eq!(names.len(), NAMES_MAX - 10);
        for n in 0..10 {
            names.insert(n.to_string().into(), Entry::Asked { waiting: Vec::new() });
        }
        make_room(&mut names, Mono(5));
        assert_eq!(names.len(), 10, "what is asked for stays");
    }

    #[test]
    fn the_system_knows_itself() {
        let resolver = ResolverHandle::start(ResolverOptions::new(clock)).expect("threads");
        let addresses = get(&resolver, "localhost").expect("resolves");
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        assert!(get(&resolver, "nowhere.invalid").is_err());
    }
}
