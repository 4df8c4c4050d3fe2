//! Accounts, features, the catalogue and subscriptions, by the contract.

use serde_json::{Value, json};

use super::bench::{Bench, TOKEN};
use crate::model::Refused;

fn draft() -> Value {
    json!({"callbackUrl": "https://example.com/hook", "name": "Slack relay", "events": ["device.registered", "user.*"]})
}

fn create(bench: &Bench, account: &str, body: &Value) -> Value {
    let answer = bench.call("POST", &format!("/api/v1/accounts/{account}/subscriptions"), Some(body));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn path(sub: &Value) -> String {
    let text = |field: &str| sub[field].as_str().expect("a string").to_owned();
    format!("/api/v1/accounts/{}/subscriptions/{}", text("accountId"), text("id"))
}

#[test]
fn refusals_are_problems() {
    let bench = Bench::new();
    let sub = path(&create(&bench, "acme", &draft()));
    let (sub, whole) = (sub.as_str(), draft().to_string());
    let check = |method, path: &str, headers: &[(&str, &str)], body, status, code, fields: &[&str]| {
        let answer = bench.request(method, path, headers, body);
        assert_eq!(answer.problem(status, code), fields, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        answer
    };
    let subs = "/api/v1/accounts/acme/subscriptions";
    for token in ["", "Basic x", "Bearer", "Bearer prt_wrong", "Bearer prt_operator2"] {
        let answer = check("GET", subs, &[("authorization", token)], None, 401, "unauthorized", &[]);
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    check("GET", "/api/v1/nothing", &[], None, 404, "not_found", &[]);
    check("GET", "/nothing", &[], None, 404, "not_found", &[]);
    check("GET", "/api/v1/accounts/nobody", &[], None, 404, "not_found", &[]);
    check("GET", "/api/v1/accounts/a%20b", &[], None, 404, "not_found", &[]);
    check("GET", "/api/v1/accounts/%ff", &[], None, 404, "not_found", &[]);
    check("GET", "/api/v1/accounts/acme/subscriptions/sub_x", &[], None, 404, "not_found", &[]);
    check("GET", &sub.replace("acme", "other"), &[], None, 404, "not_found", &[]);
    check("GET", "/api/v1/event-types/nope", &[], None, 404, "not_found", &[]);
    let answer = check("PUT", sub, &[], Some("{}"), 405, "method_not_allowed", &[]);
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("PATCH")), "{answer:?}");
    check("POST", "/metrics", &[], None, 405, "method_not_allowed", &[]);
    check("DELETE", "/api/v1/event-types", &[], None, 405, "method_not_allowed", &[]);
    check("POST", subs, &[], Some("{"), 400, "malformed_json", &[]);
    check("POST", subs, &[], Some(""), 400, "malformed_json", &[]);
    check("POST", subs, &[("content-type", "")], None, 415, "unsupported_media_type", &[]);
    for other in ["text/plain", "application/json-patch+json", "application/problem+json"] {
        check("POST", subs, &[("content-type", other)], Some("{}"), 415, "unsupported_media_type", &[]);
    }
    let large = "x".repeat(256 * 1024 + 1);
    check("POST", subs, &[], Some(&large), 413, "body_too_large", &[]);
    check("POST", subs, &[], Some("[]"), 422, "validation_failed", &["body"]);
    let wrong = r#"{"name":5,"callbackUrl":"x","events":["user.creatd"],"colour":1}"#;
    let fields = ["colour", "name", "callbackUrl", "events[0]"];
    let answer = check("POST", subs, &[], Some(wrong), 422, "validation_failed", &fields);
    assert!(answer.text.contains("user.created"), "the nearest is named: {answer:?}");
    check("PATCH", sub, &[], Some(r#"{"status":"on"}"#), 422, "validation_failed", &["status"]);
    check("PATCH", sub, &[], Some(r#"{"version":2}"#), 422, "validation_failed", &["version"]);
    let mask = r#"{"headers":[{"name":"x-a","value":"••••••"}]}"#;
    check("PATCH", sub, &[], Some(mask), 422, "validation_failed", &["headers[0].value"]);
    check(
        "POST",
        "/api/v1/accounts/a%20b/subscriptions",
        &[],
        Some(&whole),
        422,
        "validation_failed",
        &["account"],
    );
    for query in ["limit=251", "limit=0", "limit=-1", "limit=x", "limit="] {
        check("GET", &format!("{subs}?{query}"), &[], None, 422, "validation_failed", &["limit"]);
    }
    check("GET", &format!("{subs}?cursor=!"), &[], None, 422, "validation_failed", &["cursor"]);
    check("GET", &format!("{subs}?limt=1&a=b"), &[], None, 422, "validation_failed", &["limt", "a"]);
    check("GET", &format!("{subs}?limit=1&limit=2"), &[], None, 422, "validation_failed", &["limit"]);
    let features = "/api/v1/accounts/acme/features";
    let flag = format!("{features}/feature.integrations.webhooks");
    check("PUT", &flag, &[], Some(r#"{"enabled":"yes"}"#), 422, "validation_failed", &["enabled"]);
    check("PUT", &flag, &[], Some("{}"), 422, "validation_failed", &["enabled"]);
    check("PUT", &flag, &[], Some(r#"{"enabled":true,"x":1}"#), 422, "validation_failed", &["x"]);
    check("PUT", &format!("{features}/feature.x"), &[], Some(r#"{"enabled":true}"#), 404, "not_found", &[]);
    check("PUT", "/api/v1/accounts/a", &[], Some(r#"{"name":1}"#), 422, "validation_failed", &["name"]);
    check("PUT", "/api/v1/accounts/a", &[], Some("[]"), 422, "validation_failed", &["body"]);
    check("DELETE", "/api/v1/accounts/nobody", &[], None, 404, "not_found", &[]);
}

#[test]
fn a_subscription_lives_and_dies() {
    let bench = Bench::new();
    let mut body = draft();
    body["headers"] = json!([{"name": "X-Api-Key", "value": "s3cret"}]);
    let answer = bench.call("POST", "/api/v1/accounts/acme/subscriptions", Some(&body));
    let sub = answer.json();
    assert_eq!(answer.header("location"), Some(path(&sub).as_str()));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert!(sub["id"].as_str().is_some_and(|id| id.len() == 30 && id.starts_with("sub_")));
    let want = json!({
        "id": sub["id"], "accountId": "acme", "name": "Slack relay", "callbackUrl": "https://example.com/hook",
        "events": ["device.registered", "user.*"],
        "headers": [{"name": "X-Api-Key", "value": "••••••"}],
        "description": "", "status": "active", "disabledReason": null,
        "delivery": {"timeoutMs": 15000, "maxInFlight": 64, "ratePerSecond": null, "ordering": "none", "onBlocked": "block", "signature": "v1"},
        "clientCertificate": null, "filter": null,
        "health": {"state": "healthy", "lastSuccessAt": null, "lastFailureAt": null, "pending": 0, "oldestPendingAt": null, "breaker": "closed", "nextProbeAt": null},
        "createdAt": "2026-11-23T14:49:00.001Z", "updatedAt": "2026-11-23T14:49:00.001Z", "version": 1,
    });
    assert_eq!(sub, want);
    assert_eq!(bench.get(&path(&sub)), want);
    let patch = json!({"name": "New", "headers": want["headers"], "delivery": {"ratePerSecond": 2.5}});
    let merge = [("content-type", "application/merge-patch+json"), ("if-match", "\"1\"")];
    let answer = bench.request("PATCH", &path(&sub), &merge, Some(&patch.to_string()));
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"2\"")));
    let after = answer.json();
    assert_eq!((&after["name"], &after["version"]), (&json!("New"), &json!(2)));
    assert_eq!(after["delivery"]["ratePerSecond"], 2.5);
    let stored = {
        let registry = bench.admin.registry();
        let key = registry.accounts_after(None).next().expect("one").key;
        registry.subscriptions_of(key)[0].headers[0].value.clone()
    };
    assert_eq!(stored, "s3cret", "a masked value sent back keeps the stored one");
    for stale in ["\"1\"", "W/\"2\"", "\"x\", \"3\"", "2"] {
        let answer = bench.request("PATCH", &path(&sub), &[("if-match", stale)], Some("{}"));
        answer.problem(412, "version_mismatch");
    }
    bench.request("DELETE", &path(&sub), &[("if-match", "\"1\"")], None).problem(412, "version_mismatch");
    let secret = bench.get(&format!("{}/secret", path(&sub)));
    assert!(secret["secret"].as_str().is_some_and(|text| text.starts_with("whsec_") && text.len() == 50));
    assert_eq!((&secret["publicKey"], &secret["previousExpiresAt"]), (&Value::Null, &Value::Null));
    let answer = bench.request("DELETE", &path(&sub), &[("if-match", "\"9\", \"2\"")], None);
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    bench.call("GET", &path(&sub), None).problem(404, "not_found");
    bench.call("DELETE", &path(&sub), None).problem(404, "not_found");
}

#[test]
fn secrets_are_rotated() {
    let bench = Bench::new();
    let sub = create(&bench, "acme", &draft());
    let (secret, rotate) = (format!("{}/secret", path(&sub)), format!("{}/secret/rotate", path(&sub)));
    let first = bench.get(&secret);
    let answer = bench.request("POST", &rotate, &[("if-match", "\"1\"")], None);
    assert_eq!(answer.status, 200, "{answer:?}");
    let second = answer.json();
    assert_ne!(second["secret"], first["secret"]);
    assert_eq!(second["previousExpiresAt"], "2026-11-24T14:49:00.003Z", "{second}");
    assert_eq!(bench.get(&secret), second);
    assert_eq!(bench.get(&path(&sub))["version"], 2);
    let short = bench.call("POST", &rotate, Some(&json!({"overlapSeconds": 1}))).json();
    assert_eq!(short["previousExpiresAt"], "2026-11-23T14:49:01.005Z");
    let third = bench.call("POST", &rotate, Some(&json!({"overlapSeconds": 0}))).json();
    assert_ne!(third["secret"], second["secret"]);
    assert_eq!(third["previousExpiresAt"], Value::Null);
    bench.request("POST", &rotate, &[("if-match", "\"1\"")], None).problem(412, "version_mismatch");
    bench.request("POST", &rotate, &[], Some("{")).problem(400, "malformed_json");
    bench
        .request("POST", &rotate, &[("content-type", "text/plain")], Some("x"))
        .problem(415, "unsupported_media_type");
    for (body, field) in [
        (json!({"overlapSeconds": -1}), "overlapSeconds"),
        (json!({"overlapSeconds": "1d"}), "overlapSeconds"),
        (json!({"overlap": 1}), "overlap"),
        (json!([]), "body"),
    ] {
        assert_eq!(bench.call("POST", &rotate, Some(&body)).problem(422, "validation_failed"), [field]);
    }
    assert_eq!(bench.get(&secret), third, "nothing of it rotated");
    bench.call("GET", &rotate, None).problem(405, "method_not_allowed");
    let nobody = rotate.replace("sub_", "sub_x");
    bench.call("POST", &nobody, None).problem(404, "not_found");
}

#[test]
fn public_keys_are_shown_where_they_are_used() {
    let bench = Bench::new();
    let sub = create(&bench, "acme", &draft());
    let secret = format!("{}/secret", path(&sub));
    assert_eq!(bench.get(&secret)["publicKey"], Value::Null);
    let mut keys = Vec::new();
    for scheme in ["v1a", "v1,v1a"] {
        let patch = json!({"delivery": {"signature": scheme}});
        assert_eq!(bench.call("PATCH", &path(&sub), Some(&patch)).status, 200);
        keys.push(bench.get(&secret)["publicKey"].clone());
    }
    assert!(keys[0].as_str().is_some_and(|key| key.starts_with("whpk_") && key.len() == 49), "{keys:?}");
    assert_eq!(keys[0], keys[1], "another scheme is no rotation");
    let rotated = bench.call("POST", &format!("{secret}/rotate"), None).json();
    assert_ne!(rotated["publicKey"], keys[0]);
}

#[test]
fn client_certificates_are_checked_and_their_keys_kept() {
    let made = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["client".to_owned()]).expect("a name");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let ((certificate, key), (_, other_key)) = (made(), made());
    let bench = Bench::new();
    let mut body = draft();
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned();
    for (certificate, key, field) in [
        (&certificate, &other_key, "key"),
        (&certificate, &broken, "key"),
        (&certificate.replace('M', "!"), &key, "certificate"),
        (&certificate, &"••••••".to_owned(), "key"),
    ] {
        body["clientCertificate"] = json!({"certificate": certificate, "key": key});
        let answer = bench.call("POST", "/api/v1/accounts/acme/subscriptions", Some(&body));
        assert_eq!(answer.problem(422, "validation_failed"), [format!("clientCertificate.{field}")]);
    }
    body["clientCertificate"] = json!({"certificate": certificate, "key": key});
    let sub = create(&bench, "acme", &body);
    let shown = &sub["clientCertificate"];
    assert_eq!((&shown["certificate"], &shown["key"]), (&json!(certificate), &json!("••••••")));
    assert!(shown["fingerprint"].is_string() && shown["notAfter"].is_string(), "{shown}");
    let stored = || {
        let registry = bench.admin.registry();
        let account = registry.accounts_after(None).next().expect("one").key;
        registry.subscriptions_of(account)[0].client_identity.clone()
    };
    assert_eq!(stored().expect("set").key, key);
    let patch =
        |change: &Value| bench.call("PATCH", &path(&sub), Some(&json!({"clientCertificate": change})));
    let renewed = json!({"certificate": certificate, "key": "••••••"});
    assert_eq!(patch(&renewed).status, 200);
    assert_eq!(stored().expect("set").key, key, "a masked key sent back keeps the stored one");
    let wrong = patch(&json!({"certificate": certificate, "key": other_key}));
    assert_eq!(wrong.problem(422, "validation_failed"), ["clientCertificate.key"]);
    assert!(!wrong.text.contains(other_key.lines().nth(1).expect("base64")));
    assert_eq!(patch(&Value::Null).json()["clientCertificate"], Value::Null);
    assert_eq!(stored(), None);
}

#[test]
fn selectors_are_kept_as_ids() {
    let bench = Bench::new();
    let mut body = draft();
    body["events"] =
        json!(["Invitation Event Created Event", "*", "visitor.invitation.created", "visitor.*"]);
    let sub = create(&bench, "acme", &body);
    assert_eq!(sub["events"], json!(["visitor.invitation.created", "*", "visitor.*"]));
}

#[test]
fn lists_go_on_where_they_ended() {
    let bench = Bench::new();
    let ids: Vec<Value> = (0..5).map(|_| create(&bench, "acme", &draft())["id"].clone()).collect();
    let base = "/api/v1/accounts/acme/subscriptions";
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = bench.get(&format!("{base}?limit=2{next}"));
        seen.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    assert_eq!(bench.get(&format!("{base}?limit=5"))["next"], Value::Null, "nothing is left");
    assert_eq!(bench.get(base)["items"].as_array().map(Vec::len), Some(5));
    let types = bench.get("/api/v1/event-types");
    assert_eq!((types["items"].as_array().map(Vec::len), &types["next"]), (Some(39), &Value::Null));
    let page = bench.get("/api/v1/event-types?limit=30");
    let rest = bench.get(&format!("/api/v1/event-types?cursor={}", page["next"].as_str().expect("more")));
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(9));
    let all = bench.get("/api/v1/event-types?operational=true");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(42), "the engine's own too");
    for account in ["b", "a"] {
        assert_eq!(bench.call("PUT", &format!("/api/v1/accounts/{account}"), None).status, 201);
    }
    let page = bench.get("/api/v1/accounts?limit=2");
    assert_eq!(page["items"][1]["id"], "b");
    let rest = bench.get(&format!("/api/v1/accounts?cursor={}", page["next"].as_str().expect("more")));
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&json!("a"), &Value::Null));
}

#[test]
fn the_catalogue_is_shown() {
    let bench = Bench::new();
    let shown = bench.get("/api/v1/event-types/visitor.checked_in");
    assert_eq!((&shown["id"], &shown["group"]), (&json!("visitor.checked_in"), &json!("Visitor Management")));
    assert!(shown["name"].is_string() && shown["aliases"].is_array() && shown["gated"] == false);
    assert!(shown["schema"].is_object() && shown["sample"].is_object());
    let by_name = bench.get("/api/v1/event-types/Visitor%20Check%20In%20Event");
    assert_eq!(by_name, shown);
}

#[test]
fn accounts_and_their_flags() {
    let bench = Bench::new();
    let put = |body: Option<Value>| bench.call("PUT", "/api/v1/accounts/acme", body.as_ref());
    let made = put(None);
    assert_eq!(made.status, 201);
    let at = json!("2026-11-23T14:49:00.001Z");
    assert_eq!(made.json(), json!({"id": "acme", "name": null, "createdAt": at}));
    assert_eq!(put(Some(json!({"name": "Acme Inc."}))).status, 200);
    assert_eq!(bench.get("/api/v1/accounts/acme")["name"], "Acme Inc.");
    let features = "/api/v1/accounts/acme/features";
    let flag = "feature.integrations.webhooks";
    let shown = bench.get(features);
    assert_eq!(shown["items"], json!([{"flag": flag, "enabled": true, "default": true}]));
    let off = bench.call("PUT", &format!("{features}/{flag}"), Some(&json!({"enabled": false})));
    assert_eq!((off.status, off.json()["enabled"].clone()), (200, json!(false)));
    assert_eq!(bench.get(features)["items"], json!([{"flag": flag, "enabled": false, "default": false}]));
    create(&bench, "acme", &draft());
    assert_eq!(bench.call("DELETE", "/api/v1/accounts/acme", None).status, 204);
    bench.call("GET", "/api/v1/accounts/acme", None).problem(404, "not_found");
}

#[test]
fn an_engine_that_cannot_write_says_when_to_come_back() {
    let bench = Bench::new();
    let check = |refused: Refused, code: &str, secs: &str| {
        *bench.memory.refusing.lock().expect("lock") = Some(refused);
        let answer = bench.call("POST", "/api/v1/accounts/acme/subscriptions", Some(&draft()));
        answer.problem(503, code);
        assert_eq!(answer.header("retry-after"), Some(secs));
    };
    check(Refused::QueueFull, "queue_full", "1");
    check(Refused::DiskReserve, "disk_reserve", "30");
    check(Refused::Store("io".to_owned()), "store_unavailable", "5");
    check(Refused::Stopping, "stopping", "5");
}

#[test]
fn probes_need_no_token() {
    let bench = Bench::new();
    create(&bench, "acme", &draft());
    let anonymous = |path: &str| bench.request("GET", path, &[("authorization", "")], None);
    assert_eq!(anonymous("/healthz").json(), json!({"status": "ok"}));
    let not_yet = anonymous("/readyz");
    assert_eq!(not_yet.status, 503);
    assert_eq!(not_yet.json()["problems"], json!(["the log is still being recovered"]));
    bench.admin.readiness.set_recovered();
    assert_eq!((anonymous("/readyz").status, anonymous("/readyz").json()), (200, json!({"status": "ready"})));
    let metrics = anonymous("/metrics");
    assert!(
        metrics.header("content-type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4"))
    );
    assert!(metrics.text.contains("\npostrider_subscriptions 1\n"), "{}", metrics.text);
    assert!(metrics.text.contains("postrider_admin_requests_total{status=\"2xx\"}"));
    assert!(!metrics.text.contains(TOKEN));
    assert_eq!((anonymous("/").status, anonymous("/").header("location")), (303, Some("/console/")));
}
