//! An admin port on a port of its own, and a client that speaks to it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::admin::{
    Admin, AdminError, Again, BoxFuture, Changes, EventsPage, EventsQuery, Frames, Health, Healths, InWork,
    JobError, Jobs, Jwt, Lasts, Limits, Operator, Place, Queries, QueryError, Readiness, ReplayError,
    Replays, Sessions, Standing, StandingQuery, bind, start,
};
use crate::model::{
    AccountKey, AccountName, Attempt, Catalogue, DeliveryOptions, Disposition, Event, EventId, Mono,
    OnBlocked, Ordering, Outcome, Refused, Rollup, Seq, SignatureScheme, Subscription, SubscriptionKey,
    UnixMillis,
};
use crate::recover::{Job, JobId, Scope};
use crate::registry::{
    Asked, AuditPage, AuditQuery, ChangeError, Changed, KeyValue, OrderedRows, Registry, RegistryOptions,
    Vault, audit_page,
};
use crate::telemetry::handles::ControlMetrics;
use crate::telemetry::tests::local;

pub const TOKEN: &str = "prt_operator";
/// Changes are made in the milliseconds after this; whoever asks for the time is told a second later.
pub const STARTED_AT: u64 = 1_795_445_340_000;

/// What the store would have of the registry.
type Rows = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

/// The registry without a store behind it: what is planned is installed at once.
pub struct Memory {
    registry: Arc<RwLock<Registry>>,
    /// Events made so far, and a number that makes ids differ.
    state: Mutex<(u64, u64)>,
    pub refusing: Mutex<Option<Refused>>,
    rows: Rows,
}

impl Memory {
    fn plan(&self, change: Asked) -> Result<Changed, ChangeError> {
        if let Some(refused) = self.refusing.lock().expect("lock").clone() {
            return Err(refused.into());
        }
        let (head, turn) = {
            let mut state = self.state.lock().expect("lock");
            state.1 += 1;
            *state
        };
        let mut random = [0; 64];
        random[32..40].copy_from_slice(&turn.to_be_bytes());
        let mut registry = self.registry.write().expect("lock");
        let now = UnixMillis(STARTED_AT + turn);
        let plan = registry.plan(change, Seq(head + 1), Seq(0), now, random)?;
        let mut rows = self.rows.lock().expect("lock");
        for row in plan.rows() {
            match &row.value {
                Some(value) => rows.insert(row.key.clone(), value.clone()),
                None => rows.remove(&row.key),
            };
        }
        Ok(registry.install(plan))
    }
}

impl Changes for Memory {
    fn change(&self, change: Asked) -> BoxFuture<'_, Result<Changed, ChangeError>> {
        Box::pin(async move { self.plan(change) })
    }
}

/// A log of one account in memory.
#[derive(Default)]
pub struct Shelf {
    pub events: Mutex<Vec<Arc<Event>>>,
    pub attempts: Mutex<BTreeMap<(SubscriptionKey, Seq), Vec<Attempt>>>,
    pub rollups: Mutex<Vec<(UnixMillis, Rollup)>>,
    /// Attempts asked for.
    pub asked: Mutex<usize>,
    rows: Rows,
}

struct Ordered<'r>(&'r BTreeMap<Vec<u8>, Vec<u8>>);

impl OrderedRows for Ordered<'_> {
    type Error = std::convert::Infallible;

    fn at_or_below(&mut self, key: &[u8]) -> Result<Option<KeyValue>, Self::Error> {
        let row = self.0.range(..=key.to_vec()).next_back();
        Ok(row.map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Queries for Shelf {
    fn events(&self, query: &EventsQuery) -> Result<EventsPage, QueryError> {
        let events = self.events.lock().expect("lock");
        let below = query.below.unwrap_or(Seq(u64::MAX));
        let mut older = events.iter().rev().filter(|e| e.account == query.account && e.seq < below);
        let mut page = EventsPage::default();
        for event in older.by_ref().take(query.scan_max) {
            let fits = query.types.contains(event.type_bit)
                && query.since.is_none_or(|since| event.accepted_at >= since)
                && query.until.is_none_or(|until| event.accepted_at < until);
            if fits {
                page.events.push(Arc::clone(event));
            }
            page.next = Some(event.seq);
            if page.events.len() == query.limit {
                break;
            }
        }
        page.next = page.next.filter(|_| older.next().is_some());
        Ok(page)
    }

    fn event(&self, account: AccountKey, id: &EventId) -> Result<Option<Arc<Event>>, QueryError> {
        let events = self.events.lock().expect("lock");
        Ok(events.iter().rev().find(|e| e.account == account && e.id() == id.as_str()).cloned())
    }

    fn events_at(&self, seqs: &[Seq]) -> Result<Vec<Arc<Event>>, QueryError> {
        let events = self.events.lock().expect("lock");
        Ok(events.iter().filter(|event| seqs.contains(&event.seq)).cloned().collect())
    }

    fn rollups(
        &self,
        _subscription: SubscriptionKey,
        range: (UnixMillis, UnixMillis),
    ) -> Result<Vec<(UnixMillis, Rollup)>, QueryError> {
        let rollups = self.rollups.lock().expect("lock");
        Ok(rollups.iter().filter(|(at, _)| range.0 <= *at && *at < range.1).copied().collect())
    }

    fn matching(&self, _: &Subscription, _: &Scope, _: Seq) -> Result<(usize, Option<Seq>), QueryError> {
        Ok((0, None))
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, QueryError> {
        let rows = self.rows.lock().expect("lock");
        let Ok(page) = audit_page(&mut Ordered(&rows), query);
        Ok(page)
    }

    fn registry_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, QueryError> {
        Ok(self.rows.lock().expect("lock").get(key).cloned())
    }

    fn attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Vec<Attempt>, QueryError> {
        *self.asked.lock().expect("lock") += 1;
        Ok(self.attempts.lock().expect("lock").get(&(subscription, seq)).cloned().unwrap_or_default())
    }

    fn last_attempts(&self, subscription: SubscriptionKey, seq: Seq) -> Result<Lasts, QueryError> {
        *self.asked.lock().expect("lock") += 1;
        let (from, through) = (Seq(seq.0 & !255), Seq(seq.0 | 255));
        let attempts = self.attempts.lock().expect("lock");
        let bucket = attempts.range((subscription, from)..=(subscription, through));
        let of = bucket.filter_map(|((_, seq), all)| Some((*seq, all.last()?.into()))).collect();
        Ok(Lasts { from, through, of })
    }

    fn due(&self, _: SubscriptionKey, _: Seq) -> Result<Option<UnixMillis>, QueryError> {
        Ok(None)
    }

    fn standing(&self, query: &StandingQuery<'_>) -> Result<Vec<Place>, QueryError> {
        let attempts = self.attempts.lock().expect("lock");
        let stands = |attempt: &Attempt| match query.standing {
            Standing::Dead => attempt.disposition == Disposition::Dead,
            Standing::Retrying => matches!(attempt.disposition, Disposition::Retry(_)),
        };
        let found = attempts.iter().filter(|(_, all)| all.last().is_some_and(stands));
        let mut places: Vec<Place> = found.map(|((key, seq), _)| (*seq, *key)).collect();
        places.retain(|(_, key)| query.subscriptions.contains(key));
        places.sort_by_key(|(seq, key)| (std::cmp::Reverse(*seq), *key));
        let order = |(seq, key): Place| (std::cmp::Reverse(seq), key);
        places.retain(|place| query.after.is_none_or(|after| order(*place) > order(after)));
        places.truncate(query.limit);
        Ok(places)
    }

    fn first_pending(&self, _: &[SubscriptionKey]) -> Result<Seq, QueryError> {
        Ok(Seq(0))
    }
}

struct Well;

impl Healths for Well {
    fn health(&self, _: SubscriptionKey) -> Health {
        Health::default()
    }

    fn unwell(&self) -> Vec<(SubscriptionKey, UnixMillis)> {
        Vec::new()
    }
}

impl crate::admin::Checkpoints for Well {
    fn make(&self) -> Result<(std::path::PathBuf, Seq), QueryError> {
        Ok(("/data/checkpoint".into(), Seq(7)))
    }

    fn drop(&self) -> Result<(), QueryError> {
        Ok(())
    }
}

/// Workers that have stopped.
impl Replays for Well {
    fn test(
        &self,
        _: Arc<Subscription>,
        _: Arc<Event>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Outcome, ReplayError>> {
        Box::pin(async { Err(ReplayError::Stopping) })
    }

    fn resend(&self, _: SubscriptionKey, _: Seq) -> BoxFuture<'_, Result<Again, ReplayError>> {
        Box::pin(async { Err(ReplayError::Stopping) })
    }
}

/// No job was ever begun.
impl Jobs for Well {
    fn start(&self, _: Scope, _: Asked) -> BoxFuture<'_, Result<Job, JobError>> {
        Box::pin(async { Err(JobError::Refused(Refused::Stopping)) })
    }

    fn of(&self, _: AccountKey) -> Vec<Job> {
        Vec::new()
    }

    fn get(&self, _: AccountKey, _: JobId) -> Option<Job> {
        None
    }

    fn cancel(&self, _: AccountKey, _: JobId, _: Asked) -> BoxFuture<'_, Result<Option<Job>, JobError>> {
        Box::pin(async { Ok(None) })
    }
}

pub struct Bench {
    pub address: SocketAddr,
    pub admin: Arc<Admin>,
    pub memory: Arc<Memory>,
    pub shelf: Arc<Shelf>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), AdminError>>>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(0, Frames::default(), None)
    }

    /// With a limit to each token's requests (0: none), and pages that may show the console.
    pub fn with(per_second: u32, frames: Frames, jwt: Option<Jwt>) -> Self {
        let catalogue = Arc::new(Catalogue::builtin());
        let delivery = DeliveryOptions {
            timeout: Duration::from_secs(15),
            max_in_flight: 64,
            rate_per_second: None,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        };
        let options = RegistryOptions {
            catalogue: Arc::clone(&catalogue) as Arc<_>,
            webhooks_enabled: true,
            delivery,
            vault: Arc::new(Vault::new(&[4; 32])),
        };
        let registry = Arc::new(RwLock::new(Registry::new(options)));
        let memory = Arc::new(Memory {
            registry: Arc::clone(&registry),
            state: Mutex::new((0, 0)),
            refusing: Mutex::new(None),
            rows: Arc::default(),
        });
        let shelf = Arc::new(Shelf { rows: Arc::clone(&memory.rows), ..Shelf::default() });
        let (telemetry, metrics) = local(ControlMetrics::new);
        let admin = Arc::new(Admin {
            operator: Operator::new(TOKEN),
            sessions: Sessions::default(),
            in_work: InWork::default(),
            limits: Limits::new(per_second, 100),
            jwt,
            frames,
            registry,
            catalogue,
            changes: Arc::clone(&memory) as Arc<_>,
            queries: Arc::clone(&shelf) as Arc<_>,
            checkpoints: Arc::new(Well),
            healths: Arc::new(Well),
            replays: Arc::new(Well),
            jobs: Arc::new(Well),
            live: Arc::default(),
            pulse: Arc::default(),
            readiness: Arc::new(Readiness::new(0, Mono(0))),
            telemetry: Arc::new(telemetry),
            metrics,
            clock: || UnixMillis(STARTED_AT + 1000),
        });
        let bound = bind("127.0.0.1:0").expect("a free port");
        let address = bound.address;
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            let _ = stopped.await;
        };
        let thread = start(bound, Arc::clone(&admin), until).expect("starts");
        Self { address, admin, memory, shelf, stop: Some(stop), thread: Some(thread) }
    }

    pub fn stop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            let _ = stop.send(());
            thread.join().expect("ends").expect("ends well");
        }
    }

    /// Puts an event of `account` into the log, accepted at second `n` of 1970 where it is the nth.
    pub fn event(&self, account: &str, id: &str, event_type: &str) -> Seq {
        let name = AccountName::parse(account).expect("valid");
        let account_key = self.admin.registry().account_key(&name).expect("there");
        let mut state = self.memory.state.lock().expect("lock");
        state.0 += 1;
        let seq = Seq(state.0);
        let timestamp = "2026-11-23T14:49:00.000Z";
        let body = format!(
            r#"{{"id":"{id}","type":"{event_type}","timestamp":"{timestamp}","accountId":"{account}","data":{{"n": 1.0}}}}"#
        );
        let bit = self.admin.catalogue.resolve(event_type).expect("known");
        let len = u8::try_from(id.len()).expect("short");
        let event = Event::new(seq, account_key, bit, UnixMillis(seq.0 * 1000), len, Bytes::from(body));
        self.shelf.events.lock().expect("lock").push(Arc::new(event.expect("well-formed")));
        seq
    }

    /// A request of the operator with a JSON body.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.request(method, path, &[], body.map(Value::to_string).as_deref())
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut lines = vec![format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close")];
        let given = |name: &str| headers.iter().any(|(other, _)| *other == name);
        if !given("authorization") {
            lines.push(format!("authorization: Bearer {TOKEN}"));
        }
        if body.is_some() && !given("content-type") {
            lines.push("content-type: application/json".to_owned());
        }
        // An empty value stands for a header that is left out.
        let sent = headers.iter().filter(|(_, value)| !value.is_empty());
        lines.extend(sent.map(|(name, value)| format!("{name}: {value}")));
        lines.extend(body.map(|body| format!("content-length: {}", body.len())));
        self.raw(&format!("{}\r\n\r\n{}", lines.join("\r\n"), body.unwrap_or_default()))
    }

    pub fn raw(&self, bytes: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
        // The server may answer and close before it has read all.
        let _ = stream.write_all(bytes.as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        Answer::parse(&String::from_utf8_lossy(&text))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, text: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// Asserts a problem body and returns the names of its fields.
    pub fn problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status);
        assert!(body["title"].is_string() && body["detail"].is_string() && body["type"].is_string());
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        assert!(errors.iter().all(|error| error["message"].is_string()));
        errors.iter().filter_map(|error| error["field"].as_str().map(str::to_owned)).collect()
    }
}
