//! Success, failure and delay of a subscription over time.
//!
//! Answers are sums of five-minute spans, so a step is a number of those. A time range gives a bounded
//! number of steps, empty ones included: who draws them needs no gaps filled.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::query::RawQuery;
use super::segments::Segments;
use super::state::Admin;
use crate::model::{Rollup, UnixMillis};

/// Seconds of a span, which is the smallest step.
const SPAN_SECS: u64 = 300;
/// Steps of one answer at most: a week of spans.
const STEPS_MAX: u64 = 2016;
/// Seconds that one answer covers at most: more than attempts are kept by default.
const RANGE_SECS_MAX: u64 = 92 * 86_400;
/// What is shown where nothing was asked for.
const RANGE_SECS: u64 = 86_400;
/// Steps to choose from where none was asked for, and how many of them are enough.
const NICE_STEPS: [u64; 7] = [300, 900, 3_600, 10_800, 21_600, 43_200, 86_400];
const NICE_COUNT: u64 = 300;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chart {
    since: String,
    until: String,
    step: u64,
    items: Vec<Step>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    at: String,
    delivered: u64,
    failed: u64,
    delay_ms: Option<Delay>,
}

/// Times from acceptance to delivery.
#[derive(Serialize)]
pub struct Delay {
    pub avg: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl Delay {
    /// `None` where nothing was delivered.
    pub fn of(rollup: &Rollup) -> Option<Self> {
        Some(Self {
            avg: rollup.delay_mean_ms()?,
            p50: rollup.delay_quantile_ms(500)?,
            p99: rollup.delay_quantile_ms(990)?,
            max: rollup.delay_max_ms()?,
        })
    }
}

/// A range of steps: the first one, the end, and the size, in seconds.
fn steps(since: u64, until: u64, asked: Option<u64>) -> Result<(u64, u64, u64), Problem> {
    if since >= until {
        return Err(Problem::field("since", "must be before until"));
    }
    let range = until - since;
    if range > RANGE_SECS_MAX {
        return Err(Problem::field(
            "since",
            format!("is more than {} days before until", RANGE_SECS_MAX / 86_400),
        ));
    }
    let step = match asked {
        Some(step) if step == 0 || step % SPAN_SECS != 0 => {
            return Err(Problem::field("step", "must be a multiple of 300 seconds"));
        }
        Some(step) => step,
        None => {
            let fits = |step: &&u64| range.div_ceil(**step) <= NICE_COUNT;
            NICE_STEPS.iter().find(fits).or(NICE_STEPS.last()).copied().unwrap_or(SPAN_SECS)
        }
    };
    let (first, end) = (since / step * step, until.div_ceil(step) * step);
    if (end - first) / step > STEPS_MAX {
        return Err(Problem::field("step", format!("would make more than {STEPS_MAX} items")));
    }
    Ok((first, end, step))
}

pub async fn stats(
    State(admin): State<Arc<Admin>>,
    path: Segments,
    query: RawQuery,
) -> Result<Response, Problem> {
    let sub = path.subscription(&admin)?;
    let mut query = query.judge(&["since", "until", "step"]);
    let until = query.time("until").unwrap_or_else(|| (admin.clock)());
    let since = query.time("since").unwrap_or_else(|| until - std::time::Duration::from_secs(RANGE_SECS));
    let asked = query.read("step", "must be a number of seconds", |text| text.parse::<u64>().ok());
    query.done()?;
    let (first, end, step) = steps(since.as_secs(), until.as_secs() + 1, asked)?;
    let at = |secs: u64| UnixMillis(secs.saturating_mul(1000));
    let (key, range) = (sub.key, (at(first), at(end)));
    let spans = admin.query(move |log| log.rollups(key, range)).await?;
    let mut rest = spans.into_iter().peekable();
    let items = (first..end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).map(|from| {
        let mut sum = Rollup::default();
        while let Some((_, rollup)) = rest.next_if(|(begins, _)| *begins < at(from + step)) {
            sum.add(&rollup);
        }
        Step {
            at: at(from).to_rfc3339(),
            delivered: sum.delivered,
            failed: sum.failed,
            delay_ms: Delay::of(&sum),
        }
    });
    let items = items.collect();
    Ok(Json(Chart { since: at(first).to_rfc3339(), until: at(end).to_rfc3339(), step, items })
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_aligned_and_bounded() {
        let day = 86_400;
        assert_eq!(steps(10, 20, None).ok(), Some((0, 300, 300)));
        assert_eq!(steps(day + 1, 2 * day, None).ok(), Some((day, 2 * day, 300)));
        assert_eq!(steps(0, 30 * day, None).ok(), Some((0, 30 * day, 10_800)));
        assert_eq!(steps(0, 92 * day, None).ok(), Some((0, 92 * day, 43_200)));
        assert_eq!(steps(301, 601, Some(600)).ok(), Some((0, 1200, 600)));
        for (since, until, step) in [
            (5, 5, None),
            (6, 5, None),
            (0, 93 * day, None),
            (0, 9, Some(0)),
            (0, 9, Some(301)),
            (0, 8 * day, Some(300)),
        ] {
            assert!(steps(since, until, step).is_err(), "{since} {until} {step:?}");
        }
    }
}
