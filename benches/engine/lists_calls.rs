//! The calls that are timed: every route that reads, in usual and in worst cases.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::filled::{NEVER, RARE, Shape, USUAL};
use crate::lists::Desk;

const API: &str = "/api/v1";
const REDIRECTS: &[u16] = &[200, 302, 303, 307, 308];

pub struct Call {
    /// What it is to a reader of the table; several calls may be of one kind.
    pub kind: String,
    pub name: String,
    pub method: &'static str,
    /// One after the other; the slowest counts.
    pub paths: Vec<String>,
    pub body: Option<String>,
    pub answers: &'static [u16],
    /// Its answer does not end.
    pub ends_connection: bool,
}

fn get(name: &str, path: String) -> Call {
    Call {
        kind: String::new(),
        name: name.to_owned(),
        method: "GET",
        paths: vec![path],
        body: None,
        answers: &[200],
        ends_connection: false,
    }
}

fn post(name: &str, path: String, body: &Value) -> Call {
    Call { method: "POST", body: Some(body.to_string()), ..get(name, path) }
}

/// A time so many days ago.
fn ago(days: u64) -> String {
    let now = postrider::rt::clock::wall();
    postrider::model::UnixMillis(now.0 - days * 86_400_000).to_rfc3339()
}

fn cursor(inner: &str) -> String {
    URL_SAFE_NO_PAD.encode(inner)
}

pub fn calls(desk: &mut Desk, shape: Shape, events: u64) -> Vec<Call> {
    let account = |name: &str| format!("{API}/accounts/{name}");
    let (hot, wide, usual) = (account("hot"), account("wide"), account("account-0007"));
    let listed = desk.get(&format!("{hot}/subscriptions"));
    let named = |name: &str| {
        let items = listed["items"].as_array().expect("a list");
        let found = items.iter().find(|item| item["name"] == name).expect("is there");
        found["id"].as_str().expect("an id").to_owned()
    };
    let (all, rare, never, line) = (named("all"), named("rare"), named("never"), named("line"));
    let first = |desk: &mut Desk, account: &str| {
        let page = desk.get(&format!("{account}/subscriptions?limit=1"));
        page["items"][0]["id"].as_str().expect("an id").to_owned()
    };
    let (one_of_wide, one_usual) = (first(desk, &wide), first(desk, &usual));
    let mut middle = String::new();
    for _ in 0..shape.wide / 500 {
        let page = desk.get(&format!("{wide}/subscriptions?limit=250{middle}"));
        let Some(next) = page["next"].as_str() else { break };
        middle = format!("&cursor={next}");
    }
    let sub = format!("{hot}/subscriptions/{all}");
    let mid = events / 2;

    let mut calls = plain(&hot, &wide, &usual);
    let mut add = |call| calls.push(call);
    add(get("subscriptions of an account with the most there may be, 50", format!("{wide}/subscriptions")));
    add(get("… 250 from the middle", format!("{wide}/subscriptions?limit=250{middle}")));
    add(get("a subscription", sub.clone()));
    add(get("its secret (noted with an fsync)", format!("{sub}/secret")));
    add(get("stats of a day of a subscription with a million events", format!("{sub}/stats")));
    for days in [7, 30, 91] {
        let name = format!("… of {days} days");
        add(get(&name, format!("{sub}/stats?since={}&until={}", ago(days), ago(0))));
    }
    add(get("… of a subscription that has done nothing", {
        format!("{hot}/subscriptions/{never}/stats?since={}", ago(30))
    }));
    deliveries(
        &mut calls,
        (&hot, mid),
        &[("of it", &all), ("of one that one event fits", &rare), ("of a line", &line)],
    );
    deliveries(&mut calls, (&wide, mid), &[("of one of them", &one_of_wide)]);
    deliveries(&mut calls, (&usual, mid), &[("of one of them", &one_usual)]);
    let attempted = format!("evt-hot-{:09}", shape.hot_events / 2);
    calls.push(get("attempts of a delivery", format!("{sub}/deliveries/{attempted}/attempts")));
    let attempts = format!("{wide}/subscriptions/{one_of_wide}/deliveries/evt-wide-000000003/attempts");
    calls.push(get("… in the account with most subscriptions", attempts));
    calls.push(Call {
        ends_connection: true,
        ..get("the stream of deliveries, until it begins", format!("{hot}/deliveries/stream"))
    });
    for (account, name) in [(&hot, "an account with a million"), (&usual, "a usual account")] {
        let list = format!("{account}/events");
        calls.push(get(&format!("events of {name}"), list.clone()));
        for (what, query) in filters(&cursor(&mid.to_string())) {
            calls.push(get(&format!("… {what}"), format!("{list}?{query}")));
        }
    }
    calls.push(get("an event", format!("{hot}/events/{attempted}")));
    calls.push(get("… the oldest", format!("{hot}/events/evt-hot-000000000")));
    let unknown = "evt-hot-unknown".to_owned();
    calls.push(Call { answers: &[404], ..get("… that is not there", format!("{hot}/events/{unknown}")) });
    let kinds = calls.len();
    for status in ["dead", "failed", "all"] {
        for (what, sub) in
            [("with a million events", &sub), ("of a line", &format!("{hot}/subscriptions/{line}"))]
        {
            let body = serde_json::json!({"since": ago(31), "status": status, "dryRun": true});
            calls.push(post(&format!("… {status}, {what}"), format!("{sub}/recover"), &body));
        }
        let body = serde_json::json!({"since": ago(31), "status": status, "dryRun": true, "types": [RARE]});
        calls.push(post(
            &format!("… {status}, of a type that one event has"),
            format!("{sub}/recover"),
            &body,
        ));
    }
    if let Some(first) = calls.get_mut(kinds) {
        first.name = first.name.replacen('…', "dry run of recover,", 1);
    }
    // One that is named "…" is of the kind of those before it.
    let mut kind = String::new();
    for call in &mut calls {
        if !call.name.starts_with('…') {
            kind.clone_from(&call.name);
        }
        call.kind.clone_from(&kind);
    }
    calls
}

/// What takes no filter, or is the same for all.
fn plain(hot: &str, wide: &str, usual: &str) -> Vec<Call> {
    let files =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/console")).expect("its files");
    let files = files.map(|file| format!("/console/{}", file.expect("a file").file_name().to_string_lossy()));
    let is_page = |name: &String| Path::new(name).extension().is_some_and(|ending| ending == "html");
    let served = |name: &String| !is_page(name);
    let (day, month) = (ago(1), ago(31));
    vec![
        Call { answers: REDIRECTS, ..get("/", "/".to_owned()) },
        get("the console", "/console/".to_owned()),
        Call { paths: files.filter(served).collect(), ..get("its files, each", String::new()) },
        Call { answers: REDIRECTS, ..get("the API's page", "/docs".to_owned()) },
        get("openapi.json", format!("{API}/openapi.json")),
        get("/metrics", "/metrics".to_owned()),
        get("/healthz", "/healthz".to_owned()),
        Call { answers: &[200, 503], ..get("/readyz", "/readyz".to_owned()) },
        Call { answers: &[200, 401, 404], ..get("the session", "/console/session".to_owned()) },
        get("who one is", format!("{API}/me")),
        get("event types", format!("{API}/event-types")),
        get("an event type", format!("{API}/event-types/visitor.checked_in")),
        get("overview", format!("{API}/overview")),
        get("accounts, 50", format!("{API}/accounts")),
        get("… 250 from the middle", format!("{API}/accounts?limit=250&cursor={}", cursor("500"))),
        get("an account", usual.to_owned()),
        get("its features", format!("{usual}/features")),
        get("tokens, 50 of 1 000", format!("{hot}/tokens")),
        get("… 250", format!("{hot}/tokens?limit=250")),
        get("jobs, 50 of 1 000", format!("{hot}/jobs")),
        get(
            "… 250 from the middle",
            format!("{hot}/jobs?limit=250&cursor={}", cursor("job_0000000000000200")),
        ),
        get("audit of all", format!("{API}/audit")),
        get("… 250 from the middle", format!("{API}/audit?limit=250&cursor={}", cursor("50000"))),
        get("… an action that never was", format!("{API}/audit?action=secret.rotate")),
        get("… times", format!("{API}/audit?since={month}&until={day}&action=account.delete")),
        get("audit of an account", format!("{wide}/audit")),
        get("… an action that never was", format!("{wide}/audit?action=secret.rotate")),
    ]
}

/// Query strings, each with what it asks for.
fn filters(middle: &str) -> Vec<(String, String)> {
    let (two, twenty, old) = (ago(2), ago(20), ago(60));
    let usual = USUAL[1];
    [
        ("250", "limit=250".to_owned()),
        ("250 from the middle", format!("limit=250&cursor={middle}")),
        ("of one type", format!("type={usual}")),
        ("of a type that one has", format!("type={RARE}")),
        ("of a type that none has", format!("type={NEVER}")),
        ("between two times", format!("since={twenty}&until={two}")),
        ("before all", format!("until={old}")),
        ("of the type that one has, between two times", format!("type={RARE}&since={twenty}&until={two}")),
    ]
    .map(|(what, query)| (what.to_owned(), query))
    .into()
}

fn deliveries(calls: &mut Vec<Call>, (account, mid): (&str, u64), subscriptions: &[(&str, &String)]) {
    let name = account.rsplit('/').next().unwrap_or_default();
    let list = format!("{account}/deliveries");
    let middle = cursor(&format!("{mid}.{}", u64::MAX / 2));
    let mut scopes = vec![(String::new(), String::new())];
    scopes
        .extend(subscriptions.iter().map(|(what, id)| (format!(" {what}"), format!("&subscriptionId={id}"))));
    for (what, scope) in scopes {
        calls.push(get(&format!("deliveries, {name}{what}"), format!("{list}?limit=50{scope}")));
        for (filter, query) in filters(&middle) {
            calls.push(get(&format!("… {filter}"), format!("{list}?{query}{scope}")));
        }
        for status in ["pending", "delivered", "retrying", "dead"] {
            let with = format!("{list}?status={status}{scope}");
            calls.push(get(&format!("… {status}"), with.clone()));
            for (filter, query) in filters(&middle) {
                calls.push(get(&format!("… {status}, {filter}"), format!("{with}&{query}")));
            }
        }
    }
    let event = format!("evt-{name}-000000003");
    calls.push(get("… of one event", format!("{list}?eventId={event}&limit=250")));
    calls.push(get("… of an event that is not there", format!("{list}?eventId=evt-none")));
}
