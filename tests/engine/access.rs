//! What is known of who asked for what, over kills.

use serde_json::json;

use crate::http::{Answer, call};
use crate::process::{Engine, Options};

fn post(engine: &Engine, path: &str, key: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", engine.token);
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    call(engine.admin, "POST", &format!("/api/v1{path}"), &headers, body.as_bytes()).unwrap()
}

#[test]
fn an_idempotency_key_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]}).to_string();
    let token = r#"{"name":"n","kind":"user","role":"viewer"}"#;
    let requests =
        [("/accounts/acme/subscriptions", "a", draft.as_str()), ("/accounts/acme/tokens", "b", token)];
    let first = requests.map(|(path, key, body)| post(&engine, path, key, body).want(201));
    engine.kill9();

    let engine = Engine::start(dir.path(), &options);
    for ((path, key, body), first) in requests.into_iter().zip(first) {
        let again = post(&engine, path, key, body).want(201);
        assert_eq!(again.body, first.body, "{path}");
        assert_eq!(again.header("location"), first.header("location"), "{path}");
        assert_eq!(again.header("etag"), first.header("etag"), "{path}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        assert_eq!(post(&engine, path, key, "{}").want(422).json()["code"], "idempotency_key_reused");
        let items = engine.api("GET", path, None).want(200).json()["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 1, "{path}: {items}");
    }
}

#[test]
fn the_audit_trail_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    let sub = engine.subscribe_url("acme", "https://example.com/", &["*"], &json!({}));
    engine.patch("acme", &sub, &json!({"name": "other", "status": "inactive"}));
    engine.secret("acme", &sub);
    let told = engine.api("GET", "/accounts/acme/audit", None).want(200).json();
    let words: Vec<_> = told["items"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(words, ["secret.reveal", "subscription.update", "subscription.create", "account.create"]);
    assert_eq!(told["items"][1]["changes"], json!(["name", "status"]));
    engine.kill9();

    let engine = Engine::start(dir.path(), &options);
    assert_eq!(engine.api("GET", "/accounts/acme/audit", None).want(200).json(), told);
    assert_eq!(engine.api("GET", "/audit", None).want(200).json(), told);
    engine.patch("acme", &sub, &json!({"status": "active"}));
    let page = engine.api("GET", "/accounts/acme/audit?limit=1", None).want(200).json();
    assert_eq!(page["items"][0]["id"], "5", "numbers go on over the kill");
}
