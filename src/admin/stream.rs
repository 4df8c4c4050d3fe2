//! Deliveries as they happen: server-sent events (HTML standard, "Server-sent events").
//!
//! `event: attempt` for each attempt once it is durable; `event: gap` where the reader was too slow and
//! some were left out: it should read the list again. A comment each [`KEEP_ALIVE`] keeps proxies and
//! people patient. Whether the reader may still read is asked again at every bundle and every second, so
//! that a token that is taken back, a session or a flag that ends also ends the stream. A reader that takes
//! nothing for [`STUCK`] is let go.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::auth;
use super::events::type_id;
use super::live::{Bundle, LiveAttempt, TooMany, Watcher};
use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use crate::model::{AccountKey, Disposition, Event, Seq, SubscriptionId, UnixMillis};
use crate::registry::access::Right;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is asked whether the reader may still read.
const LOOK: Duration = Duration::from_secs(1);
const STUCK: Duration = Duration::from_secs(30);
/// Chunks that wait for the connection.
const CHUNKS_MAX: usize = 4;
/// After this many milliseconds a browser comes again.
const OPENING: &str = "retry: 2000\n\n";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    event_id: &'a str,
    subscription_id: &'a str,
    r#type: &'a str,
    status: &'static str,
    attempts: u16,
    accepted_at: String,
    last_attempt_at: String,
    next_attempt_at: Option<String>,
    attempt: ToldAttempt<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldAttempt<'a> {
    number: u16,
    trigger: &'static str,
    started_at: String,
    duration_ms: u32,
    status_code: Option<u16>,
    error: Option<ToldError<'a>>,
}

#[derive(Serialize)]
struct ToldError<'a> {
    kind: &'static str,
    message: &'a str,
}

pub async fn stream(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?.key;
    let mut query = query.judge(&["subscriptionId"]);
    let only = query.read("subscriptionId", "is no subscription's id", |id| SubscriptionId::parse(id).ok());
    query.done()?;
    let watcher = admin.live.watch(account).map_err(too_many)?;
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    let reader = Reader { admin, name: path.get("account").to_owned(), account, only, headers, sender };
    drop(tokio::spawn(reader.run(watcher)));
    let mut response = Response::new(Body::new(Chunks(chunks)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would wait for more.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response.into_response())
}

fn too_many(too_many: TooMany) -> Problem {
    match too_many {
        TooMany::OfThisAccount => Problem::busy(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "this account has as many streams open as it may have",
        ),
        TooMany::InAll => Problem::busy(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_streams",
            "as many streams are open as may be",
        ),
    }
}

/// The body: what [`Reader`] sends.
struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// What a turn of the stream does.
enum Next {
    End,
    Look,
    Say(String),
    Tell(Bundle),
}

/// One who watches, and what was asked for.
struct Reader {
    admin: Arc<Admin>,
    name: String,
    account: AccountKey,
    only: Option<SubscriptionId>,
    headers: HeaderMap,
    sender: mpsc::Sender<Bytes>,
}

impl Reader {
    async fn run(self, mut watcher: Watcher) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keep_alive = interval(KEEP_ALIVE);
        let mut goes_on = self.send(OPENING.to_owned()).await;
        while goes_on {
            let next = tokio::select! {
                biased;
                _ = watcher.stopping.changed() => Next::End,
                () = self.sender.closed() => Next::End,
                _ = look.tick() => Next::Look,
                _ = keep_alive.tick() => Next::Say(":\n\n".to_owned()),
                told = watcher.bundles.recv() => match told {
                    Ok(bundle) => Next::Tell(bundle),
                    Err(RecvError::Lagged(bundles)) => {
                        Next::Say(format!("event: gap\ndata: {{\"bundles\":{bundles}}}\n\n"))
                    }
                    Err(RecvError::Closed) => Next::End,
                },
            };
            goes_on = match next {
                Next::End => false,
                Next::Look => self.may(),
                Next::Say(text) => self.send(text).await,
                Next::Tell(bundle) => self.may() && self.tell(&bundle).await,
            };
        }
    }

    fn may(&self) -> bool {
        auth::may_still(&self.admin, &self.headers, &self.name, Right::Read, true)
    }

    /// `false` where nobody takes it.
    async fn send(&self, text: String) -> bool {
        let sent = timeout(STUCK, self.sender.send(Bytes::from(text))).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    async fn tell(&self, bundle: &[LiveAttempt]) -> bool {
        let mine = self.mine(bundle);
        if mine.is_empty() {
            return true;
        }
        let mut seqs: Vec<Seq> = mine.iter().map(|(attempt, _)| attempt.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let events = self.admin.query(move |log| log.events_at(&seqs)).await;
        let Ok(events) = events else {
            return self.send("event: gap\ndata: {}\n\n".to_owned()).await;
        };
        let events: HashMap<Seq, Arc<Event>> = events.into_iter().map(|event| (event.seq, event)).collect();
        let mut text = String::new();
        for (attempt, id) in mine {
            let Some(event) = events.get(&attempt.seq) else { continue };
            if let Ok(data) = serde_json::to_string(&self.told(attempt, &id, event)) {
                text.push_str("event: attempt\ndata: ");
                text.push_str(&data);
                text.push_str("\n\n");
            }
        }
        text.is_empty() || self.send(text).await
    }

    /// Those of this account, or of the one subscription.
    fn mine<'b>(&self, bundle: &'b [LiveAttempt]) -> Vec<(&'b LiveAttempt, SubscriptionId)> {
        let registry = self.admin.registry();
        let wanted = |attempt: &'b LiveAttempt| {
            let sub = registry.subscription(attempt.subscription)?;
            let asked_for = self.only.as_ref().is_none_or(|only| sub.id == *only);
            (sub.account == self.account && asked_for).then(|| (attempt, sub.id.clone()))
        };
        bundle.iter().filter_map(wanted).collect()
    }

    fn told<'a>(&'a self, attempt: &'a LiveAttempt, id: &'a SubscriptionId, event: &'a Event) -> Told<'a> {
        let (status, next) = match attempt.disposition {
            Disposition::Delivered => ("delivered", None),
            Disposition::Retry(at) => ("retrying", Some(at)),
            Disposition::Dead => ("dead", None),
        };
        Told {
            event_id: event.id(),
            subscription_id: id.as_str(),
            r#type: type_id(&self.admin.catalogue, event),
            status,
            attempts: attempt.number,
            accepted_at: attempt.accepted_at.to_rfc3339(),
            last_attempt_at: attempt.started_at.to_rfc3339(),
            next_attempt_at: next.map(UnixMillis::to_rfc3339),
            attempt: ToldAttempt {
                number: attempt.number,
                trigger: attempt.trigger.as_str(),
                started_at: attempt.started_at.to_rfc3339(),
                duration_ms: attempt.duration_ms,
                status_code: attempt.status,
                error: attempt
                    .error
                    .as_ref()
                    .map(|(kind, message)| ToldError { kind: kind.as_str(), message }),
            },
        }
    }
}
