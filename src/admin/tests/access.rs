//! Who may do what, route by route, with real tokens; and the tokens themselves.

use serde_json::{Value, json};

use super::bench::{Answer, Bench};
use crate::model::UnixMillis;
use crate::registry::{Change, FLAG_WEBHOOKS};
use crate::rt::clock;

struct Who {
    owner: String,
    unlicensed: String,
    viewer: String,
    service: String,
    stranger: String,
}

fn token(bench: &Bench, account: &str, kind: &str, role: &str, licensed: bool) -> String {
    let body = json!({"name": role, "kind": kind, "role": role, "platformUser": licensed});
    let answer = bench.call("POST", &format!("/api/v1/accounts/{account}/tokens"), Some(&body));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().expect("shown once").to_owned()
}

fn everybody(bench: &Bench) -> Who {
    Who {
        owner: token(bench, "acme", "user", "account_owner", true),
        unlicensed: token(bench, "acme", "user", "account_owner", false),
        viewer: token(bench, "acme", "user", "viewer", false),
        service: token(bench, "acme", "service_account", "account_owner", true),
        stranger: token(bench, "other", "user", "account_owner", true),
    }
}

fn ask(bench: &Bench, token: &str, method: &str, path: &str, body: Option<&str>) -> Answer {
    bench.request(method, path, &[("authorization", &format!("Bearer {token}"))], body)
}

#[test]
fn every_route_knows_who_may() {
    let bench = Bench::new();
    let who = everybody(&bench);
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]}).to_string();
    let made = ask(&bench, &who.owner, "POST", "/api/v1/accounts/acme/subscriptions", Some(&draft)).json();
    let sub = format!("/api/v1/accounts/acme/subscriptions/{}", made["id"].as_str().expect("an id"));
    bench.event("acme", "e-1", "user.created");
    let new_token = r#"{"name":"n","kind":"user","role":"viewer"}"#;

    // method, path, body, and the status for: owner, service account, unlicensed owner, viewer, stranger.
    let operator_only = [403, 403, 403, 403, 403];
    let read = [200, 200, 200, 200, 404];
    let table: Vec<(&str, String, Option<&str>, [u16; 5])> = vec![
        ("GET", "/api/v1/event-types".into(), None, [200; 5]),
        ("GET", "/api/v1/event-types/user.created".into(), None, [200; 5]),
        ("GET", "/api/v1/me".into(), None, [200; 5]),
        ("GET", "/api/v1/overview".into(), None, operator_only),
        ("GET", "/api/v1/accounts".into(), None, operator_only),
        ("GET", "/api/v1/audit".into(), None, operator_only),
        ("GET", "/api/v1/accounts/acme/audit".into(), None, [200, 200, 403, 403, 404]),
        ("GET", "/api/v1/accounts/acme".into(), None, operator_only),
        ("PUT", "/api/v1/accounts/acme".into(), Some("{}"), operator_only),
        ("DELETE", "/api/v1/accounts/acme".into(), None, operator_only),
        ("GET", "/api/v1/accounts/acme/features".into(), None, operator_only),
        ("PUT", format!("/api/v1/accounts/acme/features/{FLAG_WEBHOOKS}"), Some("{}"), operator_only),
        ("GET", "/api/v1/accounts/acme/tokens".into(), None, [200, 200, 403, 403, 404]),
        ("POST", "/api/v1/accounts/acme/tokens".into(), Some(new_token), [201, 201, 403, 403, 404]),
        ("DELETE", "/api/v1/accounts/acme/tokens/tok_x".into(), None, [404, 404, 403, 403, 404]),
        ("GET", "/api/v1/accounts/acme/subscriptions".into(), None, read),
        ("POST", "/api/v1/accounts/acme/subscriptions".into(), Some(&draft), [201, 201, 403, 403, 404]),
        ("GET", sub.clone(), None, read),
        ("PATCH", sub.clone(), Some("{}"), [200, 200, 403, 403, 404]),
        ("GET", format!("{sub}/secret"), None, [200, 200, 403, 403, 404]),
        ("GET", format!("{sub}/deliveries/e-1/attempts"), None, read),
        ("GET", "/api/v1/accounts/acme/deliveries".into(), None, read),
        ("GET", "/api/v1/accounts/acme/events".into(), None, read),
        ("GET", "/api/v1/accounts/acme/events/e-1".into(), None, read),
        // An account that is not there looks like one that is another's.
        ("GET", "/api/v1/accounts/nobody/subscriptions".into(), None, [404; 5]),
        ("POST", "/api/v1/accounts/nobody/subscriptions".into(), Some(&draft), [404; 5]),
        ("POST", "/api/v1/accounts/nobody/tokens".into(), Some(new_token), [404; 5]),
        ("DELETE", sub.clone(), None, [0, 0, 403, 403, 404]),
    ];
    let tokens = [&who.owner, &who.service, &who.unlicensed, &who.viewer, &who.stranger];
    for (method, path, body, want) in &table {
        for (token, want) in tokens.iter().zip(want) {
            if *want != 0 {
                let answer = ask(&bench, token, method, path, *body);
                assert_eq!(answer.status, *want, "{method} {path}: {answer:?}");
            }
        }
        let answer = bench.request(method, path, &[("authorization", "")], *body);
        answer.problem(401, "unauthorized");
    }
    assert_eq!(ask(&bench, &who.service, "DELETE", &sub, None).status, 204);
    ask(&bench, &who.viewer, "POST", "/api/v1/accounts/acme/subscriptions", Some(&draft))
        .problem(403, "role_forbidden");
    ask(&bench, &who.unlicensed, "POST", "/api/v1/accounts/acme/subscriptions", Some(&draft))
        .problem(403, "licence_required");
    ask(&bench, &who.owner, "GET", "/api/v1/accounts", None).problem(403, "operator_only");
}

#[test]
fn a_feature_that_is_off_is_closed_to_the_accounts_own() {
    let bench = Bench::new();
    let who = everybody(&bench);
    let flag = format!("/api/v1/accounts/acme/features/{FLAG_WEBHOOKS}");
    assert_eq!(bench.call("PUT", &flag, Some(&json!({"enabled": false}))).status, 200);
    for path in ["subscriptions", "deliveries", "subscriptions/sub_x", "subscriptions/sub_x/secret"] {
        let path = format!("/api/v1/accounts/acme/{path}");
        for token in [&who.owner, &who.service, &who.viewer] {
            ask(&bench, token, "GET", &path, None).problem(403, "feature_disabled");
        }
        ask(&bench, &who.stranger, "GET", &path, None).problem(404, "not_found");
    }
    assert_eq!(
        bench.get("/api/v1/accounts/acme/subscriptions")["items"],
        json!([]),
        "the operator's is open"
    );
    assert_eq!(ask(&bench, &who.owner, "GET", "/api/v1/accounts/acme/events", None).status, 200);
    let me = ask(&bench, &who.owner, "GET", "/api/v1/me", None).json();
    assert_eq!(me["features"], json!({ FLAG_WEBHOOKS: false }));
    assert_eq!((&me["role"], &me["accountId"]), (&json!("account_owner"), &json!("acme")));
    assert_eq!(bench.get("/api/v1/me"), json!({"role": "operator"}));
}

#[test]
fn a_token_is_shown_once_and_can_be_taken_back() {
    let bench = Bench::new();
    let tokens = "/api/v1/accounts/acme/tokens";
    let body = json!({
        "name": "CI", "kind": "service_account", "role": "viewer", "scopes": ["events:write"],
        "expiresAt": "2999-01-01T00:00:00Z",
    });
    let answer = bench.call("POST", tokens, Some(&body));
    let made = answer.json();
    let id = made["id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("{tokens}/{id}").as_str()));
    let text = made["token"].as_str().expect("shown");
    assert!(text.starts_with("prt_") && text.len() == 4 + 43, "{text}");
    let listed = bench.get(tokens);
    assert_eq!(listed["items"][0]["expiresAt"], "2999-01-01T00:00:00.000Z");
    assert_eq!(listed["items"][0]["scopes"], json!(["events:write"]));
    assert_eq!(listed["items"][0]["lastUsedAt"], Value::Null);
    assert!(!listed.to_string().contains(text), "never again");

    assert_eq!(ask(&bench, text, "GET", "/api/v1/event-types", None).status, 200);
    // The note of its use is written behind the answer.
    let used = |bench: &Bench| bench.get(tokens)["items"][0]["lastUsedAt"].is_string();
    let begun = clock::wall();
    while !used(&bench) {
        assert!(clock::wall().0 < begun.0 + 10_000, "its use is noted");
    }
    assert_eq!(bench.call("DELETE", &format!("{tokens}/{id}"), None).status, 204);
    ask(&bench, text, "GET", "/api/v1/event-types", None).problem(401, "unauthorized");
    bench.call("DELETE", &format!("{tokens}/{id}"), None).problem(404, "not_found");
    let wrong = bench.call("POST", tokens, Some(&json!({"name": "", "kind": "robot", "x": 1})));
    assert_eq!(wrong.problem(422, "validation_failed"), ["x", "role", "name", "kind"]);
}

#[test]
fn an_expired_token_opens_nothing() {
    let bench = Bench::new();
    let text = "prt_expired";
    let value = json!({"name": "n", "kind": "user", "role": "viewer", "expiresAt": "1970-01-02T00:00:00Z"});
    let draft = crate::registry::TokenDraft::parse(&value, UnixMillis(0)).expect("valid then");
    let account = crate::model::AccountName::parse("acme").expect("valid");
    let digest = crate::admin::auth::digest(text);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    runtime
        .block_on(bench.admin.changes.change(Change::CreateToken { account, draft, digest }.into()))
        .expect("made");
    ask(&bench, text, "GET", "/api/v1/event-types", None).problem(401, "unauthorized");
}
