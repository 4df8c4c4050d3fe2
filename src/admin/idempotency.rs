//! `Idempotency-Key`: a POST that was answered is not done again, but answered again.
//!
//! It stands around every handler, behind the decision whether one may. A handler that creates by a
//! change of the registry has its answer remembered in one piece with it ([`Admin::create`]); the answer
//! of every other one is remembered after it. Such a request is worked on to its end even where its
//! client goes away, since otherwise it would be done without being remembered.
//!
//! Remembered is what another try would get again. What speaks of the circumstances (5xx, 408, 409, 429)
//! is not. Deliberately absent: waiting for a request of the same key that is being worked on; it is
//! told so (409) and may ask again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::body;
use super::caller::Caller;
use super::made::Made;
use super::problem::Problem;
use super::state::Admin;
use crate::registry::access::Principal;
use crate::registry::{
    ANSWER_LEN_MAX, Actor, Answering, Asked, Change, Origin, Remember, RequestDigest, RequestKey, Word,
    answer_key,
};

const HEADER: &str = "idempotency-key";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_LEN_MAX: usize = 255;
/// Requests with a key that are being worked on at once; more are told to come again.
const IN_WORK_MAX: usize = 1024;

/// The keys of requests that are being worked on.
#[derive(Default)]
pub struct InWork(Mutex<HashSet<RequestKey>>);

/// A request that is to be done once.
pub struct Once {
    admin: Arc<Admin>,
    key: RequestKey,
    request: RequestDigest,
    account: Option<crate::model::AccountKey>,
    done: AtomicBool,
}

impl Once {
    /// Takes the key; `Err` where another request has it at present.
    fn begin(admin: &Arc<Admin>, key: RequestKey, request: RequestDigest) -> Result<Self, Problem> {
        let mut keys = admin.in_work.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= IN_WORK_MAX {
            let detail = "too many requests with an Idempotency-Key are being worked on";
            return Err(Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "busy", detail));
        }
        if !keys.insert(key) {
            let detail = "a request with this Idempotency-Key is being worked on";
            return Err(Problem::busy(StatusCode::CONFLICT, "idempotency_in_progress", detail));
        }
        Ok(Self { admin: Arc::clone(admin), key, request, account: None, done: AtomicBool::new(false) })
    }

    pub fn remember(&self, answer: Answering) -> Remember {
        Remember { key: self.key, request: self.request, account: self.account, answer }
    }

    /// The answer was remembered with the change.
    pub fn done(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// The answer of the earlier request, if there was one.
    async fn recall(&self) -> Result<Option<Response>, Problem> {
        let held = self.admin.registry().answered(self.key, (self.admin.clock)());
        let Some(held) = held else { return Ok(None) };
        if held != self.request {
            let detail = "this Idempotency-Key was used for another request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail));
        }
        let key = answer_key(self.key);
        let Some(row) = self.admin.query(move |log| log.registry_row(&key)).await? else { return Ok(None) };
        let answer = self.admin.registry().open_answer(self.key, &row).map_err(|error| {
            tracing::error!(%error, "a remembered answer cannot be read");
            Problem::internal("the first answer cannot be read any more")
        })?;
        let mut made =
            Made::recall(&answer).ok_or_else(|| Problem::internal("the first answer is not one"))?;
        made.headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(made.into_response()))
    }

    /// Remembers an answer after it was made.
    async fn keep(&self, actor: Actor, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let fits = body.size_hint().upper().is_some_and(|len| len <= ANSWER_LEN_MAX as u64);
        if self.done.load(Ordering::Relaxed) || !lasts(parts.status) || !fits {
            return Response::from_parts(parts, body);
        }
        let bytes = match body.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(_) => return Problem::internal("the answer broke off").into_response(),
        };
        let made = Made { status: parts.status, headers: parts.headers.clone(), body: bytes.to_vec() };
        let kept = made.remembered();
        let remember = Some(self.remember(Arc::new(move |_| kept.clone())));
        let asked = Asked { change: Change::Nothing, origin: Origin { actor, remember } };
        if let Err(error) = self.admin.changes.change(asked).await {
            // It was done; to say otherwise would be worse than not to remember it.
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key is not remembered");
        }
        Response::from_parts(parts, Body::from(bytes))
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.admin.in_work.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Whether another try would get this answer again.
fn lasts(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    !status.is_server_error() && !passing.contains(&status)
}

/// Does a POST that carries a key once.
pub async fn once(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if *request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let Some(text) = key_text(request.headers())? else { return Ok(next.run(request).await) };
    let Some(principal) = request.extensions().get::<Principal>().cloned() else {
        return Err(Problem::unauthorized("send Authorization: Bearer <token>"));
    };
    let (mut parts, body) = request.into_parts();
    let body = body::read(body).await?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let digest = RequestDigest(hash(&[target.as_bytes(), &body]));
    let actor = principal.actor();
    let account = principal.account().map_or(0, |key| key.0);
    let key = hash(&[&[actor.kind.number()], &account.to_be_bytes(), actor.id.as_bytes(), text.as_bytes()]);
    let mut work = Once::begin(&admin, RequestKey(key), digest)?;
    work.account = principal.account();
    if let Some(answer) = work.recall().await? {
        return Ok(answer);
    }
    let work = Arc::new(work);
    parts.extensions.insert(Caller { actor: actor.clone(), once: Some(Arc::clone(&work)) });
    let request = Request::from_parts(parts, Body::from(body));
    let task = tokio::spawn(async move {
        let response = next.run(request).await;
        work.keep(actor, response).await
    });
    task.await.map_err(|_| Problem::internal("the request ended early"))
}

/// SHA-256 over parts that cannot flow into each other.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn key_text(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let fits = |text: &&str| {
        (1..=KEY_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let text = text.filter(fits).ok_or_else(|| {
        let message = format!("must be given once, as 1 to {KEY_LEN_MAX} visible ASCII characters");
        Problem::field("Idempotency-Key", message)
    })?;
    Ok(Some(text.to_owned()))
}
