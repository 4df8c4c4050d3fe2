//! The platform's JSON Web Tokens, as bearer and at the console's sign-in.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::bench::{Answer, Bench, STARTED_AT};
use crate::admin::{Frames, Jwt, JwtFiles};
use crate::model::UnixMillis;
use crate::registry::Claims;

const SECRET: &str = "a-secret-of-the-platform-for-its-people";

fn bench() -> (Bench, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, SECRET).expect("is written");
    let claims = Claims {
        issuer: "platform".to_owned(),
        audience: "postrider".to_owned(),
        account: "account".to_owned(),
        role: "role".to_owned(),
        licence: "platform_user".to_owned(),
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(3600),
    };
    let files = JwtFiles { key: Some(path), set: None };
    let jwt = Jwt::open(files, claims, UnixMillis(0)).expect("a secret");
    (Bench::with(0, Frames::default(), Some(jwt)), directory)
}

/// For Ann of acme, for so many seconds from the time of the bench.
fn token(role: &str, lives: u64) -> String {
    let body = json!({"iss": "platform", "aud": "postrider", "sub": "u-1", "name": "Ann", "account": "acme",
        "role": role, "platform_user": true, "exp": (STARTED_AT + 1000) / 1000 + lives});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&body));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn call(bench: &Bench, method: &str, path: &str, token: &str, body: Option<&str>) -> Answer {
    bench.request(method, path, &[("authorization", &format!("Bearer {token}"))], body)
}

#[test]
fn the_platform_vouches_for_its_people() {
    let (bench, _directory) = bench();
    let owner = token("account_owner", 600);
    // Its account is made with the first request, and by the right name in the trail.
    let me = call(&bench, "GET", "/api/v1/me", &owner, None);
    assert_eq!(me.status, 200, "{me:?}");
    let me = me.json();
    assert_eq!((&me["accountId"], &me["role"]), (&json!("acme"), &json!("account_owner")));
    assert_eq!((&me["kind"], &me["platformUser"]), (&json!("user"), &json!(true)));
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]}).to_string();
    let subscriptions = "/api/v1/accounts/acme/subscriptions";
    assert_eq!(call(&bench, "POST", subscriptions, &owner, Some(&draft)).status, 201);
    let trail = bench.get("/api/v1/accounts/acme/audit");
    let items = trail["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2, "{trail}");
    for item in items {
        assert_eq!(item["actor"], json!({"kind": "jwt", "id": "u-1", "name": "Ann"}));
    }

    // No more than the role says, and nowhere else.
    let viewer = token("viewer", 600);
    assert_eq!(call(&bench, "GET", subscriptions, &viewer, None).status, 200);
    call(&bench, "POST", subscriptions, &viewer, Some(&draft)).problem(403, "role_forbidden");
    call(&bench, "GET", "/api/v1/accounts", &owner, None).problem(403, "operator_only");
    bench.call("PUT", "/api/v1/accounts/other", Some(&json!({})));
    let elsewhere = "/api/v1/accounts/other/subscriptions";
    call(&bench, "GET", elsewhere, &owner, None).problem(404, "not_found");

    for wrong in [token("account_owner", 0), token("operator", 600), format!("{owner}x")] {
        call(&bench, "GET", "/api/v1/me", &wrong, None).problem(401, "unauthorized");
    }
}

#[test]
fn a_session_ends_no_later_than_the_token() {
    let (bench, _directory) = bench();
    let sign_in = |token: &str| {
        let body = json!({ "token": token }).to_string();
        bench.request("POST", "/console/session", &[("authorization", "")], Some(&body))
    };
    let answer = sign_in(&token("viewer", 600));
    assert_eq!(answer.status, 204, "{answer:?}");
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.contains("; Max-Age=600;"), "{set}");
    let cookie = set.split(';').next().expect("a pair");
    let me = bench.request("GET", "/api/v1/me", &[("authorization", ""), ("cookie", cookie)], None);
    assert_eq!(me.json()["role"], "viewer");
    sign_in(&token("viewer", 0)).problem(401, "unauthorized");
}

#[test]
fn without_keys_nobody_is_vouched_for() {
    let bench = Bench::new();
    call(&bench, "GET", "/api/v1/me", &token("viewer", 600), None).problem(401, "unauthorized");
    bench.call("GET", "/api/v1/accounts/acme", None).problem(404, "not_found");
}
