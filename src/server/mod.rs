//! The composition root: opens the log, starts the threads in order, and stops them in order.
//!
//! Order of the start: the admin address and the store first, since those are what a second process or a
//! damaged disk fails at; then the writer, the readers and the workers, which recover; ingest last, so
//! that nothing is accepted before there is somebody to deliver it. The stop is the same backwards.
//!
//! Only this folder and `cli` know `config`; every component is handed its own options.

mod adapters;
mod board;
mod durable;
mod files;
mod hosts;
mod housekeeping;
mod key_file;
mod observers;
mod options;
mod recover;
mod replays;
mod token;
mod types;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

pub use self::files::check as check_files;
use self::key_file::KeyFileError;
pub use self::key_file::path as key_path;
pub use self::options::STORE_DIRECTORY;
use crate::admin::{self, Admin, AdminError, Operator, Readiness};
use crate::config::Config;
use crate::ingest;
use crate::log::api::{Input, Outbox, Request};
use crate::log::guard::{self, StoreError};
use crate::log::reader::{self, Readers};
use crate::log::recovery;
use crate::log::writer::{self, WriterHandle, WriterParts};
use crate::registry::{self, LoadError, Registry, RowError};
use crate::route::Placement;
use crate::rt::{clock, random};
use crate::schedule::Shard;
use crate::send::ResolverHandle;
use crate::send::tls::TrustError;
use crate::telemetry::handles::{ControlMetrics, LogMetrics};
use crate::telemetry::{Telemetry, TelemetryError};
use crate::worker::{self, Mailbox, WorkerOptions};

/// How long a stopping engine lets deliveries in flight end.
const DELIVERIES_GRACE: Duration = Duration::from_secs(10);
/// How long it lets requests at the socket end.
const INGEST_GRACE: Duration = Duration::from_secs(3);
/// How long it waits for a store that does not write.
const STORE_GRACE: Duration = Duration::from_secs(5);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("the data directory {} cannot be made", .path.display())]
    DataDirectory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored configuration cannot be read")]
    Registry(#[from] LoadError),
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error(transparent)]
    Types(#[from] types::TypesError),
    #[error(transparent)]
    Hosts(#[from] hosts::HostsError),
    #[error(transparent)]
    Token(#[from] token::TokenError),
    #[error(transparent)]
    Jwt(#[from] admin::JwtError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Ingest(#[from] ingest::server::StartError),
    #[error("egress.{key}")]
    Trust { key: &'static str, source: TrustError },
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A running engine. Dropped without [`Server::stop`], its threads go on until the process ends.
pub struct Server {
    ingest: ingest::server::Ingest,
    admin_stop: oneshot::Sender<()>,
    admin: JoinHandle<Result<(), AdminError>>,
    housekeeping: housekeeping::Housekeeping,
    recoverer: recover::Recoverer,
    workers: Vec<JoinHandle<()>>,
    mailboxes: Vec<Arc<Mailbox>>,
    readers: Readers,
    writer: WriterHandle,
    readiness: Arc<Readiness>,
    admin_address: std::net::SocketAddr,
    socket: PathBuf,
    token: token::OperatorToken,
    made_key_file: Option<PathBuf>,
}

/// Starts the engine. It is ready for events when this returns; recovery goes on behind it.
///
/// # Errors
/// See [`ServerError`]; nothing is left running, and what is on disk is as it was.
pub fn start(config: &Config) -> Result<Server, ServerError> {
    let data_dir = &config.data_dir;
    let rules = Arc::new(hosts::rules(config)?);
    let trust = options::trust(config)
        .map_err(|source| ServerError::Trust { key: options::trust_key(&source), source })?;
    let jwt = options::jwt(&config.jwt)?;
    make_directory(data_dir)?;
    let bound = admin::bind(&config.admin.listen.to_string())?;
    let admin_address = bound.address;
    let log_options = options::log(config);
    let opened = recovery::open(&log_options)?;
    // One that a backup has left behind would hold on to files that the store drops.
    opened.store.drop_earlier_checkpoints()?;
    let telemetry = Arc::new(Telemetry::install(env!("CARGO_PKG_VERSION"))?);
    let catalogue = Arc::new(types::catalogue(data_dir, &config.event_types)?);
    let token = token::operator_token(data_dir)?;

    let key_file = key_file::path(config.secrets.key_file.as_deref(), data_dir);
    let (vault, made) = key_file::load(&key_file, registry::holds_sealed(&opened.registry_rows))?;
    let mut registry = Registry::new(options::registry(config, &catalogue, vault));
    let rewritten = registry
        .load(opened.registry_rows.into_iter(), opened.recovered.head.next(), random::bytes())
        .map_err(|error| match error.source {
            RowError::Sealed => KeyFileError::Wrong { path: key_file.clone() }.into(),
            _ => ServerError::from(error),
        })?;
    recovery::write_registry_rows(&opened.store, &rewritten)?;
    let workers = options::workers(config);
    let index = Arc::new(ArcSwap::from_pointee(registry.index(Placement::new(workers, Arc::clone(&rules)))));
    let registry = Arc::new(RwLock::new(registry));

    let mailboxes: Vec<Arc<Mailbox>> = (0..workers).map(|_| Arc::default()).collect();
    let outboxes: Vec<Arc<dyn Outbox>> =
        mailboxes.iter().map(|mailbox| Arc::clone(mailbox) as Arc<dyn Outbox>).collect();
    let store = Arc::clone(&opened.store);
    let live = Arc::new(admin::Live::default());
    let pulse = Arc::new(admin::Pulse::default());
    let jobs = Arc::new(recover::Table::new(store.jobs()?));
    let writer = writer::start(WriterParts {
        store: Arc::clone(&store),
        state: opened.state,
        options: log_options,
        registry: Arc::clone(&registry),
        index: Arc::clone(&index),
        outboxes: outboxes.clone(),
        observer: Box::new(observers::LogObserver::new(Arc::clone(&live), Arc::clone(&jobs))),
    })?;
    let (reads, readers) = reader::start(&store, &index, &outboxes)?;

    let readiness = Arc::new(Readiness::new(workers, clock::mono()));
    let board = Arc::new(board::Board::new(workers, Arc::clone(store.waiting())));
    let resolver = ResolverHandle::start(options::resolver(config)).map_err(ServerError::Thread)?;
    let snapshot = index.load_full();
    let mut threads = Vec::with_capacity(workers);
    for (number, mailbox) in mailboxes.iter().enumerate() {
        let lagging: Vec<_> = opened
            .recovered
            .lagging
            .iter()
            .filter(|(key, _)| {
                snapshot.subscription(*key).is_some_and(|subscription| snapshot.owner(subscription) == number)
            })
            .copied()
            .collect();
        let mut shard = Shard::new(
            options::shard(config, &rules, number, workers),
            Arc::clone(&snapshot),
            opened.recovered.watermark,
            &lagging,
        );
        shard.recall_failing(&opened.recovered.failing);
        let worker = WorkerOptions {
            number,
            core: config.workers.pin.then(|| options::core_of(number)),
            mailbox: Arc::clone(mailbox),
            writer: writer.requests(),
            readers: reads.clone(),
            head: store.head_cell(),
            send: options::send(config, &rules, &trust),
            resolver: resolver.clone(),
            observer: Box::new(observers::WorkerObserver::new(number, Arc::clone(&board))),
            grace: DELIVERIES_GRACE,
        };
        threads.push(worker::spawn(worker, shard).map_err(ServerError::Thread)?);
    }

    let replays = Arc::new(replays::WorkerReplays::new(Arc::clone(&index), outboxes));
    let recoverer =
        recover::start(Arc::clone(&jobs), Arc::clone(&store), writer.requests(), Arc::clone(&replays))
            .map_err(ServerError::Thread)?;
    let admin = Arc::new(Admin {
        sessions: admin::Sessions::default(),
        in_work: admin::InWork::default(),
        limits: options::limits(config),
        jwt,
        frames: admin::Frames::new(config.admin.frame_ancestors.iter().map(|origin| origin.0.as_str())),
        operator: Operator::new(token.as_str()),
        registry: Arc::clone(&registry),
        catalogue: Arc::clone(&catalogue),
        changes: Arc::new(adapters::WriterChanges::new(writer.requests())),
        queries: Arc::new(adapters::LogQueries::new(Arc::clone(&store))),
        checkpoints: Arc::new(adapters::StoreCheckpoints::new(Arc::clone(&store))),
        healths: Arc::clone(&board) as Arc<dyn admin::Healths>,
        replays,
        jobs: Arc::new(recover::JobDesk::new(Arc::clone(&jobs), writer.requests(), Arc::clone(&store))),
        live,
        pulse: Arc::clone(&pulse),
        readiness: Arc::clone(&readiness),
        telemetry: Arc::clone(&telemetry),
        metrics: ControlMetrics::new(),
        clock: clock::wall,
    });
    let (admin_stop, stopped) = oneshot::channel();
    let admin_thread = admin::start(bound, admin, async {
        // A dropped sender stops it just as well.
        let _ = stopped.await;
    })?;

    make_directory(config.ingest.socket.parent().unwrap_or_else(|| Path::new(".")))?;
    let ingest = ingest::server::start(
        options::ingest(config),
        ingest::Parts {
            append: adapters::WriterAppend::new(writer.requests()),
            metrics: observers::IngestObserver::new(),
            types: Arc::clone(&catalogue),
            authorize: adapters::authorize(token.as_str(), Arc::clone(&registry)),
        },
    )?;
    let housekeeping = housekeeping::start(housekeeping::Parts {
        store,
        pulse,
        board,
        jobs: Arc::clone(&jobs),
        registry,
        mailboxes: mailboxes.clone(),
        readiness: Arc::clone(&readiness),
        telemetry,
        log: LogMetrics::new(),
        control: ControlMetrics::new(),
    })
    .map_err(ServerError::Thread)?;
    Ok(Server {
        ingest,
        admin_stop,
        admin: admin_thread,
        housekeeping,
        recoverer,
        workers: threads,
        mailboxes,
        readers,
        writer,
        readiness,
        admin_address,
        socket: config.ingest.socket.clone(),
        token,
        made_key_file: made.then_some(key_file),
    })
}

fn make_directory(path: &Path) -> Result<(), ServerError> {
    guard::make_directory(path).map_err(|source| ServerError::DataDirectory { path: path.to_owned(), source })
}

impl Server {
    /// Where the admin port listens, with the port that the system chose for port 0.
    #[must_use]
    pub fn admin_address(&self) -> std::net::SocketAddr {
        self.admin_address
    }

    /// The key file, where this start has made it.
    #[must_use]
    pub fn made_key_file(&self) -> Option<&Path> {
        self.made_key_file.as_deref()
    }

    /// The ingest socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The operator's token, and where it was left if it was made here.
    #[must_use]
    pub fn token(&self) -> &token::OperatorToken {
        &self.token
    }

    /// Whether all threads run that should. `false` means that one has ended by a fault.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ingest.is_running()
            && !self.writer.is_finished()
            && !self.workers.iter().any(JoinHandle::is_finished)
            && !self.admin.is_finished()
    }

    /// Stops in order: no more events, deliveries in flight end (bounded), everything settled is
    /// written, the store is closed. `false` where something could not be written or a thread had died.
    #[must_use]
    pub fn stop(self) -> bool {
        self.readiness.set_stopping();
        self.ingest.stop(INGEST_GRACE);
        self.recoverer.stop();
        for mailbox in &self.mailboxes {
            mailbox.input(Input::Stop);
            mailbox.wake();
        }
        tracing::info!("stopping: no delivery starts any more, those in flight may end");
        let settled = join_until(self.workers, DELIVERIES_GRACE + STORE_GRACE);
        let (reply, _written) = oneshot::channel();
        let asked = self.writer.requests().send_timeout(Request::Stop { reply }, STORE_GRACE).is_ok();
        self.housekeeping.stop();
        let read = self.readers.stop();
        // Where it was dropped already the control thread has ended.
        let _ = self.admin_stop.send(());
        let admin = self.admin.join().is_ok_and(|ended| ended.is_ok());
        settled && asked && self.writer.join() && read && admin
    }
}

/// Waits for threads, together for at most `wait`.
fn join_until(threads: Vec<JoinHandle<()>>, wait: Duration) -> bool {
    let until = clock::mono() + wait;
    let mut fine = true;
    for thread in threads {
        while !thread.is_finished() && clock::mono() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        fine &= thread.is_finished() && thread.join().is_ok();
    }
    fine
}
