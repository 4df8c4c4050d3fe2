//! One request: routes, checks, reads, parses, hands to the log, and answers when the log has.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::admission::{Admission, Ticket};
use super::answer::{self, Counts, ItemResult, Problem, ProblemKind};
use super::body::{self, BodyLimits, ReadBudget};
use super::format::{Head, prefers_minimal};
use super::rejection::Rejection;
use super::request::{Context, Item, parse};
use super::timed_io::Progress;
use super::{Access, Append, IngestMetrics, IngestOptions, Parts, Types};
use crate::log::api::{Appended, Refused};
use crate::model::{AccountName, EventId, NewEvent};

/// How many times the largest request is still read before it is refused, where the client does not wait
/// for a word first.
const DRAIN_FACTOR: u64 = 4;
/// Bytes of all bodies that are being read together: at least this, and at least four of the largest.
const READING_BYTES_MIN: usize = 64 << 20;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The Unix socket: who may open it may write.
    Local,
    /// TCP: a token is needed.
    Remote,
}

/// What all requests share.
pub struct Shared<A, M, T> {
    pub options: IngestOptions,
    parts: Parts<A, M, T>,
    admission: RefCell<Admission>,
    budget: ReadBudget,
}

impl<A, M, T> Shared<A, M, T> {
    pub fn new(options: IngestOptions, parts: Parts<A, M, T>) -> Self {
        let admission = RefCell::new(Admission::new(options.waiting));
        let largest = options.limits.max_request_size.saturating_mul(4);
        let budget = ReadBudget::new(READING_BYTES_MIN.max(largest));
        Self { options, parts, admission, budget }
    }
}

/// Answers one request. Never fails: whatever goes wrong is an answer too.
pub async fn handle<A: Append, M: IngestMetrics, T: Types>(
    request: Request<Incoming>,
    shared: Rc<Shared<A, M, T>>,
    origin: Origin,
    progress: Rc<Progress>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    progress.busy();
    let response = match request.uri().path() {
        "/v1/events" if request.method() == Method::POST => events(request, &shared, origin).await,
        "/v1/events" => not_allowed("POST"),
        "/healthz" if [Method::GET, Method::HEAD].contains(request.method()) => healthy(),
        "/healthz" => not_allowed("GET, HEAD"),
        _ => problem(&Problem::new(ProblemKind::NotFound, "events go to POST /v1/events")),
    };
    progress.idle();
    Ok(response)
}

fn healthy() -> Response<Full<Bytes>> {
    json(StatusCode::OK, "application/json", Bytes::from_static(b"{\"status\":\"ok\"}"))
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let detail = format!("the methods allowed here: {methods}");
    let mut response = problem(&Problem::new(ProblemKind::MethodNotAllowed, detail));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

async fn events<A: Append, M: IngestMetrics, T: Types>(
    request: Request<Incoming>,
    shared: &Shared<A, M, T>,
    origin: Origin,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let taken = match confinement(&head.headers, shared, origin) {
        Ok(only) => take(&head.headers, &mut body, shared, only.as_ref()).await,
        Err(problem) => Err(problem),
    };
    match taken {
        Ok(results) => results_response(&head.headers, &results),
        Err(refusal) => {
            shared.parts.metrics.refused(refusal.kind);
            if may_drain(&head.headers, refusal.kind) {
                let largest = u64::try_from(shared.options.limits.max_request_size).unwrap_or(u64::MAX);
                body::drain(&mut body, largest.saturating_mul(DRAIN_FACTOR)).await;
            }
            problem(&refusal)
        }
    }
}

/// Not for strangers, not where the client waits for `100 Continue`, not where it was slow already.
fn may_drain(headers: &HeaderMap, kind: ProblemKind) -> bool {
    let useless = [ProblemKind::Unauthorized, ProblemKind::Forbidden, ProblemKind::BodyTimeout];
    !headers.contains_key(EXPECT) && !useless.contains(&kind)
}

/// The account that the sender is confined to, if it is to one.
fn confinement<A, M, T>(
    headers: &HeaderMap,
    shared: &Shared<A, M, T>,
    origin: Origin,
) -> Result<Option<AccountName>, Problem> {
    if origin == Origin::Local {
        return Ok(None);
    }
    let token = headers.get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?));
    match token.map_or(Access::Unknown, |token| (shared.parts.authorize)(token)) {
        Access::Everything => Ok(None),
        Access::Only(account) => Ok(Some(account)),
        Access::Unknown => {
            Err(Problem::new(ProblemKind::Unauthorized, "send `Authorization: Bearer <token>`"))
        }
        Access::Forbidden => {
            Err(Problem::new(ProblemKind::Forbidden, "the token lacks the scope events:write"))
        }
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn take<A: Append, M: IngestMetrics, T: Types>(
    headers: &HeaderMap,
    body: &mut Incoming,
    shared: &Shared<A, M, T>,
    only: Option<&AccountName>,
) -> Result<Vec<ItemResult>, Problem> {
    let attributes: Vec<(&str, &[u8])> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value.as_bytes())))
        .collect();
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let head = Head { content_type, attributes: &attributes };
    head.format()?;
    let options = &shared.options;
    let limits = BodyLimits { size_max: options.limits.max_request_size, time_max: options.timeouts.body };
    let items = {
        let (bytes, _share) = body::read(body, limits, &shared.budget).await?;
        let (now, new_id) = ((options.now)(), || (options.new_id)());
        parse(&head, &bytes, &Context::new(&*shared.parts.types, options.limits, now, &new_id, only))?
    };
    append(items, shared).await
}

/// What is admitted, until it is given back.
struct Held<'a> {
    admission: &'a RefCell<Admission>,
    ticket: Option<Ticket>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.admission.borrow_mut().release(ticket);
        }
    }
}

async fn append<A: Append, M: IngestMetrics, T>(
    items: Vec<Item>,
    shared: &Shared<A, M, T>,
) -> Result<Vec<ItemResult>, Problem> {
    let (events, slots) = part(items);
    let appended = if events.is_empty() { Vec::new() } else { to_log(events, shared).await? };
    let results = join(slots, appended)?;
    let metrics = &shared.parts.metrics;
    let counts = Counts::of(&results);
    metrics.accepted(counts.accepted);
    metrics.duplicate(counts.duplicates);
    for result in &results {
        if let ItemResult::Rejected(rejection) = result {
            metrics.rejected(rejection.code);
        }
    }
    Ok(results)
}

/// Waits for the log's answer without a limit of its own: an event may not be refused here and be
/// durable there. What waits is bounded by the admission.
async fn to_log<A: Append, M, T>(
    events: Vec<NewEvent>,
    shared: &Shared<A, M, T>,
) -> Result<Vec<Appended>, Problem> {
    let admitted = shared.admission.borrow_mut().try_admit(&events);
    let ticket = admitted.map_err(|full| Problem::new(ProblemKind::QueueFull, full.to_string()))?;
    let _held = Held { admission: &shared.admission, ticket: Some(ticket) };
    let answer = shared.parts.append.append(events).map_err(|why| refused(&why))?.await;
    // A dropped sender: the writer has gone, and nobody knows whether it had written.
    answer.map_err(|_| refused(&Refused::Stopping))?.map_err(|why| refused(&why))
}

fn refused(refused: &Refused) -> Problem {
    let kind = match refused {
        Refused::QueueFull => ProblemKind::QueueFull,
        Refused::DiskReserve => ProblemKind::DiskReserve,
        Refused::Store(_) => ProblemKind::StoreUnavailable,
        Refused::Stopping => ProblemKind::Stopping,
    };
    Problem::new(kind, refused.to_string())
}

type Slot = Result<EventId, Rejection>;

fn part(items: Vec<Item>) -> (Vec<NewEvent>, Vec<Slot>) {
    let mut events = Vec::with_capacity(items.len());
    let slots = items.into_iter().map(|item| {
        item.map(|event| {
            let id = event.id.clone();
            events.push(event);
            id
        })
    });
    let slots = slots.collect();
    (events, slots)
}

fn join(slots: Vec<Slot>, appended: Vec<Appended>) -> Result<Vec<ItemResult>, Problem> {
    let mut appended = appended.into_iter();
    let results = slots.into_iter().map(|slot| match slot {
        Err(rejection) => Some(ItemResult::Rejected(rejection)),
        Ok(id) => appended.next().map(|outcome| match outcome {
            Appended::Accepted(_) => ItemResult::Accepted(id),
            Appended::Duplicate => ItemResult::Duplicate(id),
        }),
    });
    let results: Option<Vec<_>> = results.collect();
    results
        .ok_or_else(|| Problem::new(ProblemKind::Internal, "the log answered for fewer events than it got"))
}

fn results_response(headers: &HeaderMap, results: &[ItemResult]) -> Response<Full<Bytes>> {
    let minimal = prefers_minimal(headers.get_all("prefer").iter().map(HeaderValue::as_bytes));
    let counts = Counts::of(results);
    let body = answer::body(counts, results, minimal);
    let mut response = json(status(counts.status()), "application/json", Bytes::from(body));
    if minimal {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
    }
    response
}

fn problem(problem: &Problem) -> Response<Full<Bytes>> {
    let body = Bytes::from(problem.body());
    let mut response = json(status(problem.kind.status()), "application/problem+json", body);
    if let Some(seconds) = problem.kind.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.kind == ProblemKind::Unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn json(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
