//! Recover jobs: many deliveries made again, in the background.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::Json as JsonBody;
use super::caller::Caller;
use super::listing::Page;
use super::problem::Problem;
use super::query::RawQuery;
use super::replay::{inactive, members};
use super::segments::Segments;
use super::state::Admin;
use crate::model::{Catalogue, EventMask, Seq, Status, Subscription, UnixMillis};
use crate::recover::{Job, JobId, RATE_DEFAULT, RATE_MAX, Scope, Which};
use crate::registry::{Action, FieldError};

/// A dry run ends before the request that asked for it does.
const COUNT_WITHIN: Duration = Duration::from_secs(25);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobView {
    id: String,
    kind: &'static str,
    subscription_id: String,
    status: &'static str,
    total: u64,
    done: u64,
    failed: u64,
    created_at: String,
    finished_at: Option<String>,
}

fn view(job: &Job) -> JobView {
    JobView {
        id: job.id.text(),
        kind: "recover",
        subscription_id: job.scope.subscription_id.to_string(),
        status: job.status.as_str(),
        total: job.total,
        done: job.done,
        failed: job.failed,
        created_at: job.created_at.to_rfc3339(),
        finished_at: job.finished_at.map(UnixMillis::to_rfc3339),
    }
}

struct Request {
    scope: Scope,
    dry: bool,
}

/// Reads a body's members and collects what is wrong with them.
struct Reader<'b> {
    body: &'b Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn read<T>(&mut self, name: &str, must: &str, parse: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.body.get(name).filter(|value| !value.is_null())?;
        let parsed = parse(value);
        if parsed.is_none() {
            self.errors.push(FieldError::new(name, must));
        }
        parsed
    }

    fn time(&mut self, name: &str) -> Option<UnixMillis> {
        self.read(name, "must be a time as in RFC 3339", |value| UnixMillis::parse_rfc3339(value.as_str()?))
    }
}

fn types(catalogue: &Catalogue, value: &Value) -> Option<EventMask> {
    let names = value.as_array().filter(|names| !names.is_empty())?;
    names.iter().try_fold(EventMask::NONE, |all, name| Some(all.union(&catalogue.expand(name.as_str()?)?)))
}

fn read(
    catalogue: &Catalogue,
    sub: &Subscription,
    body: &Value,
    now: UnixMillis,
) -> Result<Request, Problem> {
    let known = ["since", "until", "types", "status", "dryRun", "ratePerSecond"];
    let mut reader = Reader { body: members(body, &known)?, errors: Vec::new() };
    let since = reader.time("since");
    if since.is_none() && reader.errors.is_empty() {
        reader.errors.push(FieldError::new("since", "is required"));
    }
    let until = reader.time("until");
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        reader.errors.push(FieldError::new("until", "must be later than since"));
    }
    let must = "must be a list of event types, with at least one";
    let types = reader.read("types", must, |value| types(catalogue, value));
    let which = reader.read("status", "must be dead, failed or all", |value| match value.as_str()? {
        "dead" => Some(Which::Dead),
        "failed" => Some(Which::Failed),
        "all" => Some(Which::All),
        _ => None,
    });
    let dry = reader.read("dryRun", "must be true or false", Value::as_bool).unwrap_or(false);
    let must = format!("must be a whole number from 1 to {RATE_MAX}");
    let rate = reader.read("ratePerSecond", &must, |value| {
        u32::try_from(value.as_u64()?).ok().filter(|rate| (1..=RATE_MAX).contains(rate))
    });
    if !reader.errors.is_empty() {
        return Err(Problem::invalid(reader.errors));
    }
    let scope = Scope {
        account: sub.account,
        subscription: sub.key,
        subscription_id: sub.id.clone(),
        which: which.unwrap_or(Which::Dead),
        since: since.unwrap_or_default(),
        until: until.unwrap_or(now),
        types,
        rate: rate.unwrap_or(RATE_DEFAULT),
    };
    Ok(Request { scope, dry })
}

pub async fn recover(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let sub = path.subscription(&admin)?;
    let Request { scope, dry } = read(&admin.catalogue, &sub, &body, (admin.clock)())?;
    if dry {
        let count = tokio::time::timeout(COUNT_WITHIN, count(&admin, &sub, &scope));
        let matched = count.await.map_err(|_| {
            let detail = "there is more than can be counted in time; narrow since and until";
            Problem::unfit("range_too_large", "since", detail)
        })??;
        return Ok(axum::Json(json!({ "matched": matched })).into_response());
    }
    if sub.status != Status::Active {
        return Err(inactive());
    }
    let job = admin.jobs.start(scope, caller.notes(&sub, Action::JobCreate)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view(&job))).into_response())
}

async fn count(admin: &Admin, sub: &Arc<Subscription>, scope: &Scope) -> Result<usize, Problem> {
    let (mut matched, mut next) = (0, Some(Seq(1)));
    while let Some(from) = next {
        let (sub, scope) = (Arc::clone(sub), scope.clone());
        let (more, then) = admin.query(move |log| log.matching(&sub, &scope, from)).await?;
        matched += more;
        next = then;
    }
    Ok(matched)
}

pub async fn list(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    let mut query = query.judge(&[]);
    let limit = query.limit();
    let last = query.cursor(JobId::parse);
    query.done()?;
    let jobs = admin.jobs.of(account.key).into_iter().filter(|job| last.is_none_or(|last| job.id < last));
    Ok(Page::take(jobs, limit, view, |last| last.id.text()).into_response())
}

fn job_id(path: &Segments) -> Result<JobId, Problem> {
    JobId::parse(path.get("job")).ok_or_else(Problem::not_found)
}

pub async fn show(State(admin): State<Arc<Admin>>, path: Segments) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    let job = admin.jobs.get(account.key, job_id(&path)?).ok_or_else(Problem::not_found)?;
    Ok(axum::Json(view(&job)).into_response())
}

pub async fn cancel(
    State(admin): State<Arc<Admin>>,
    caller: Caller,
    path: Segments,
) -> Result<Response, Problem> {
    let account = path.account(&admin)?;
    let job = admin.jobs.get(account.key, job_id(&path)?).ok_or_else(Problem::not_found)?;
    let sub = admin.registry().subscription(job.scope.subscription).cloned();
    // Of one whose subscription is gone there is nothing more to be sent, and nothing to be noted.
    if let Some(sub) = sub {
        let note = caller.notes(&sub, Action::JobCancel);
        let job = admin.jobs.cancel(account.key, job.id, note).await?.ok_or_else(Problem::not_found)?;
        return Ok(axum::Json(view(&job)).into_response());
    }
    Ok(axum::Json(view(&job)).into_response())
}
