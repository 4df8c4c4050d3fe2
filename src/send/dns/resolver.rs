//! The resolver: one thread with a runtime of its own, which all workers ask.
//!
//! The lock is taken when a connection is opened, never for a request on an open one, and never for
//! longer than a look into a map. A name that is being asked for is asked for once.
//! Deliberately absent: the caller's deadline, who simply stops waiting.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::cache::{Cache, LOOKUPS_MAX};
use super::system::{Asker, System};
use super::{Answer, DnsError, Found};
use crate::model::Mono;

/// Look-ups on the wire at once; each has a socket or two. Others wait for their turn.
const LOOKUPS_AT_ONCE: usize = 256;
/// A look-up of what was known before is late after this long (RFC 8767 §5: client response timer).
const LATE_AFTER: Duration = Duration::from_millis(1800);

/// How names are resolved.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    pub clock: fn() -> Mono,
    /// Who is asked. Empty: whom `/etc/resolv.conf` names.
    pub nameservers: Vec<SocketAddr>,
    /// For which one name server may take for an answer; it is asked three times.
    pub timeout: Duration,
}

impl ResolverOptions {
    /// The system's name servers.
    #[must_use]
    pub fn new(clock: fn() -> Mono) -> Self {
        Self { clock, nameservers: Vec::new(), timeout: Duration::from_millis(1500) }
    }
}

/// What a question gets.
#[derive(Debug)]
pub enum Lookup {
    Known(Answer),
    /// The answer comes; a sender that is gone means [`DnsError::Stopped`].
    Asked(oneshot::Receiver<Answer>),
}

type Waiting = oneshot::Sender<Answer>;

struct Shared {
    clock: fn() -> Mono,
    names: Mutex<Cache<Waiting>>,
    /// The thread ends when the last handle is gone, and with it this.
    queue: mpsc::Sender<Arc<str>>,
}

/// A shared resolver. The thread behind it ends with the last handle.
#[derive(Clone)]
pub struct ResolverHandle(Arc<Shared>);

impl ResolverHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread or the runtime's descriptors.
    pub fn start(options: ResolverOptions) -> io::Result<Self> {
        let (queue, names) = mpsc::channel(LOOKUPS_MAX);
        let shared = Arc::new(Shared { clock: options.clock, names: Mutex::default(), queue });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || runtime.block_on(serve(options, names, weak)))?;
        Ok(Self(shared))
    }

    /// Asks for the addresses of `name`. Never blocks.
    pub fn resolve(&self, name: &str) -> Lookup {
        let now = (self.0.clock)();
        let mut receiver = None;
        let waiter = || {
            let (sender, answer) = oneshot::channel();
            receiver = Some(answer);
            sender
        };
        let reply = self.0.lock().ask(name, now, waiter, oneshot::Sender::is_closed);
        if let Some(name) = reply.look_up
            && self.0.queue.try_send(name.clone()).is_err()
        {
            self.0.answered(&name, Found::error(DnsError::Stopped, None));
        }
        match (reply.answer, receiver) {
            (Some(answer), _) => Lookup::Known(answer),
            (None, Some(receiver)) => Lookup::Asked(receiver),
            (None, None) => Lookup::Known(Err(DnsError::Stopped)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Cache<Waiting>> {
        // The cache has no code of others' to call while it changes: a panic leaves nothing half done.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, name: &str, found: Found) {
        let told = self.lock().answered(name, found, (self.clock)());
        tell(told);
    }
}

fn tell((waiting, answer): (Vec<Waiting>, Answer)) {
    for sender in waiting {
        // Whoever has given up in the meantime does not miss it.
        let _ = sender.send(answer.clone());
    }
}

async fn serve(options: ResolverOptions, mut names: mpsc::Receiver<Arc<str>>, shared: Weak<Shared>) {
    let slots = Arc::new(Semaphore::new(LOOKUPS_AT_ONCE));
    let clock = options.clock;
    let mut system = System::new(options);
    while let Some(name) = names.recv().await {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(shared) = shared.upgrade() else { return };
        let now = clock();
        if !shared.lock().is_wanted(&name, now, oneshot::Sender::is_closed) {
            continue;
        }
        let asker = system.asker(now);
        let errand = Errand { shared: Arc::downgrade(&shared), name, found: None };
        tokio::spawn(async move {
            errand.run(&asker).await;
            drop(slot);
        });
    }
}

/// One look-up. However it ends, whoever waits is told.
struct Errand {
    shared: Weak<Shared>,
    name: Arc<str>,
    found: Option<Found>,
}

impl Errand {
    async fn run(mut self, asker: &Asker) {
        let name = Arc::clone(&self.name);
        let mut asking = std::pin::pin!(asker.ask(&name));
        let found = if let Ok(found) = tokio::time::timeout(LATE_AFTER, &mut asking).await {
            found
        } else {
            if let Some(shared) = self.shared.upgrade() {
                let late = shared.lock().is_late(&name, (shared.clock)());
                if let Some(late) = late {
                    tell(late);
                }
            }
            asking.await
        };
        self.found = Some(found);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let found = self.found.take().unwrap_or_else(|| Found::error(DnsError::Stopped, None));
        if let Some(shared) = self.shared.upgrade() {
            shared.answered(&self.name, found);
        }
    }
}
