//! What filters cost: an event of 1 KiB, and subscriptions that refuse it by a condition over its data.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postrider::model::{AccountKey, Event, Filter, Seq, Subscription, TypeBit, UnixMillis};
use postrider::route::Index;
use serde_json::json;

use crate::matching::subscription;
use crate::table::{Row, Table, median, round};

const CROWD: usize = 1000;
const LOOKS: usize = 20_000;
const ROUNDS: usize = 5;

/// 24 members, some of them within others, as the catalogue's samples have.
fn event() -> Event {
    let mut body = r#"{"id":"evt_1","type":"visitor.checked_in","timestamp":"2026-11-25T10:00:00Z","accountId":"acme","data":{"floor":7"#
        .to_owned();
    for n in 0..20 {
        let _ = write!(body, r#","member_{n}":"text that is some {n} letters long""#);
    }
    body.push_str(r#","host":{"id":17,"name":"Ada","desk":{"floor":7,"zone":"west"}}}}"#);
    Event::new(Seq(1 << 40), AccountKey(1), TypeBit(12), UnixMillis(0), 5, Bytes::from(body))
        .expect("an event")
}

/// As many, with one filter for all, one for each, or none.
fn index(subscriptions: usize, filter: impl Fn(usize) -> Option<u64>) -> Index {
    let make = |n: usize| -> Arc<Subscription> {
        let mut sub = subscription(n + 1, 1);
        let condition = |floor| {
            json!({"and": [
                {"path": "data.host.desk.floor", "lt": floor}, {"path": "data.host.desk.zone", "in": ["west", "east"]}
            ]})
        };
        sub.filter =
            filter(n).map(|floor| Arc::new(Filter::parse(&condition(floor), "filter").expect("a filter")));
        for epoch in &mut sub.epochs {
            epoch.filter.clone_from(&sub.filter);
        }
        Arc::new(sub)
    };
    let all: Vec<_> = (0..subscriptions).map(make).collect();
    Index::build(1, std::iter::once((AccountKey(1), all.as_slice())))
}

/// Nanoseconds for one event.
fn look(index: &Index, event: &Event, looks: usize, want: usize) -> f64 {
    let start = Instant::now();
    let mut found = 0;
    for _ in 0..looks {
        index.for_each(black_box(event), 0, |_| found += 1);
    }
    assert_eq!(black_box(found), want * looks);
    start.elapsed().as_nanos() as f64 / looks as f64
}

pub fn run(table: &mut Table) {
    let event = event();
    let (bare, one) = (index(1, |_| None), index(1, |_| Some(7)));
    let (same, each) = (index(CROWD, |_| Some(7)), index(CROWD, |n| Some(n as u64)));
    let parse = || {
        let start = Instant::now();
        for _ in 0..LOOKS {
            black_box(serde_json::from_slice::<serde_json::Value>(black_box(event.body())).is_ok());
        }
        start.elapsed().as_nanos() as f64 / LOOKS as f64
    };
    let mut figures = [const { Vec::new() }; 5];
    let passing = (0..CROWD).filter(|n| *n > 7).count();
    for _ in 0..ROUNDS {
        figures[0].push(look(&bare, &event, LOOKS, 1));
        figures[1].push(parse());
        figures[2].push(look(&one, &event, LOOKS, 0));
        figures[3].push(look(&same, &event, LOOKS / 10, 0));
        figures[4].push(look(&each, &event, LOOKS / 100, passing));
    }
    let [bare, parse, one, same, each] = figures.map(|figure| median(&figure));
    let mut row = |figure: &str, measured: f64, reference: String, ratio: f64| {
        table.add(Row {
            figure: figure.to_owned(),
            measured: format!("{} ns", round(measured)),
            reference,
            ratio: format!("{ratio:.2}"),
            bar: String::new(),
            holds: None,
        });
    };
    let size = event.body().len();
    row(
        &format!("an event of {size} bytes for a subscription whose filter refuses it"),
        one,
        format!("its body parsed: {} ns; without a filter: {bare:.0} ns", round(parse)),
        one / parse,
    );
    row(
        &format!("the same for {CROWD} subscriptions with one and the same filter"),
        same,
        format!("for one: {} ns", round(one)),
        same / one,
    );
    row(
        &format!("the same for {CROWD} with different filters"),
        each,
        format!("with one and the same: {} ns", round(same)),
        each / same,
    );
}
