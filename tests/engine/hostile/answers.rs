//! The contract's table of answers (§4), whole: what each makes of the delivery and of the subscription.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use postrider::model::UnixMillis;
use serde_json::{Value, json};

use super::host::Host;
use crate::http::event;
use crate::process::{Engine, Options};
use crate::wait::until;

const DAY: u64 = 24 * 60 * 60;
/// The schedule's first wait.
const WAIT: u64 = 30;
/// Dates are whole seconds, counted from a moment before the answer.
const GRANULARITY: u64 = 3;

enum Then {
    Delivered,
    /// Tried again after so many seconds.
    Retry(u64),
    Dead,
}

struct Answer {
    status: u16,
    retry_after: Option<String>,
    then: Then,
}

fn check(status: u16, then: Then) -> Answer {
    Answer { status, retry_after: None, then }
}

fn waits(status: u16, retry_after: &str, seconds: u64) -> Answer {
    Answer { status, retry_after: Some(retry_after.to_owned()), then: Then::Retry(seconds) }
}

fn date(in_seconds: i64) -> String {
    let now = SystemTime::now();
    let by = Duration::from_secs(in_seconds.unsigned_abs());
    httpdate::fmt_http_date(if in_seconds < 0 { now - by } else { now + by })
}

fn table() -> Vec<Answer> {
    let mut table: Vec<_> = (200..=299).step_by(9).map(|status| check(status, Then::Delivered)).collect();
    table.extend([201, 202, 203, 204, 205, 206].map(|status| check(status, Then::Delivered)));
    table.extend([300, 301, 302, 303, 304, 307, 308].map(|status| check(status, Then::Retry(WAIT))));
    let others = [400, 401, 403, 404, 405, 408, 409, 411, 413, 422, 425, 429, 451, 499];
    table.extend(others.map(|status| check(status, Then::Retry(WAIT))));
    table.extend(
        [500, 501, 502, 503, 504, 505, 507, 511, 599, 600, 999]
            .map(|status| check(status, Then::Retry(WAIT))),
    );
    table.push(check(410, Then::Dead));
    for status in [429, 503] {
        table.extend([
            // Not before what was asked for, and not before the schedule.
            waits(status, "120", 120),
            waits(status, "0", WAIT),
            waits(status, "5", WAIT),
            waits(status, &date(300), 300),
            waits(status, &date(-300), WAIT),
            waits(status, "99999999999999999999999", DAY),
            waits(status, "172800", DAY),
            waits(status, &date(5 * 86_400), DAY),
            waits(status, "Fri, 31 Dec 9999 23:59:59 GMT", DAY),
            waits(status, "-120", WAIT),
            waits(status, "+120", WAIT),
            waits(status, "120.5", WAIT),
            waits(status, "1e3", WAIT),
            waits(status, "0x80", WAIT),
            waits(status, "tomorrow", WAIT),
            waits(status, "", WAIT),
            waits(status, "120, 240", WAIT),
            waits(status, "Mon, 99 Foo 2026 25:61:61 GMT", WAIT),
            waits(status, "2030-01-01T00:00:00Z", WAIT),
        ]);
    }
    // Only these two may ask.
    table.extend([301, 400, 404, 500, 502].map(|status| waits(status, "120", WAIT)));
    table
}

fn millis(value: &Value) -> Option<u64> {
    UnixMillis::parse_rfc3339(value.as_str()?).map(|at| at.0)
}

/// What is wrong, if anything.
fn judge(answer: &Answer, delivery: &Value, attempt: &Value, sub: &Value) -> Result<(), String> {
    let (status, kind, sub_status, reason) = match answer.then {
        Then::Delivered => ("delivered", Value::Null, "active", Value::Null),
        Then::Retry(_) => ("retrying", json!("status"), "active", Value::Null),
        Then::Dead => ("dead", json!("gone"), "inactive", json!("gone")),
    };
    let fits = delivery["status"] == status
        && delivery["attempts"] == 1
        && attempt["statusCode"] == answer.status
        && attempt["error"]["kind"] == kind
        && sub["status"] == sub_status
        && sub["disabledReason"] == reason;
    if !fits {
        return Err(format!("wanted {status}, {kind}, {sub_status}"));
    }
    let Then::Retry(seconds) = answer.then else {
        let next = &delivery["nextAttemptAt"];
        return next.is_null().then_some(()).ok_or_else(|| format!("no next attempt, got {next}"));
    };
    let (last, next) = (millis(&delivery["lastAttemptAt"]), millis(&delivery["nextAttemptAt"]));
    let wait = next.zip(last).map(|(next, last)| next.saturating_sub(last) / 1000);
    let early = seconds.saturating_sub(GRANULARITY);
    match wait {
        Some(wait) if (early..=seconds + GRANULARITY).contains(&wait) => Ok(()),
        wait => Err(format!("wanted a wait of {seconds} s, got {wait:?}")),
    }
}

#[test]
fn each_answer_means_what_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retries: &["30s", "30s"], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let table = table();
    let rows: Vec<_> = table
        .iter()
        .map(|Answer { status, retry_after, .. }| {
            let asked = retry_after.as_ref().map(|text| format!("retry-after: {text}\r\n"));
            let asked = asked.unwrap_or_default();
            let text = format!("HTTP/1.1 {status} X\r\n{asked}content-length: 0\r\n\r\n");
            let host = Host::start(Arc::new(move |peer| {
                peer.request();
                peer.say(&text);
            }));
            let sub = engine.subscribe_url("acme", &host.url("/"), &["*"], &json!({}));
            (host, sub)
        })
        .collect();
    engine.ingest().send(&[event("acme", "user.created", "e", "{}")]).unwrap().want(202);
    let mut wrong = Vec::new();
    for (answer, (_, id)) in table.iter().zip(&rows) {
        let delivery = until("an outcome", || {
            let found = engine.delivery("acme", id, "e");
            found.clone().filter(|found| found["status"] != "pending").ok_or(found)
        });
        let attempt = engine.attempts("acme", id, "e").remove(0);
        // A subscription is made inactive a moment after its attempt is written.
        let mut sub = engine.subscription("acme", id);
        if matches!(answer.then, Then::Dead) {
            sub = until("the subscription to be inactive", || {
                let sub = engine.subscription("acme", id);
                if sub["status"] == "inactive" { Ok(sub) } else { Err(sub) }
            });
        }
        if let Err(why) = judge(answer, &delivery, &attempt, &sub) {
            wrong.push(format!(
                "{} with Retry-After {:?}: {why}; {delivery} {attempt}",
                answer.status, answer.retry_after
            ));
        }
    }
    println!("{} answers, all as the contract says: {}", table.len(), wrong.is_empty());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
