//! The audit trail, over real sockets.

use serde_json::{Value, json};

use super::bench::Bench;
use crate::registry::FLAG_WEBHOOKS;

const ACME: &str = "/api/v1/accounts/acme";

fn words(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("a list");
    items.iter().map(|item| item["action"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn who_changed_what_is_told_newest_first() {
    let bench = Bench::new();
    let new = json!({"name": "Ann", "kind": "user", "role": "account_owner", "platformUser": true});
    let made = bench.call("POST", &format!("{ACME}/tokens"), Some(&new)).json();
    let owner = format!("Bearer {}", made["token"].as_str().expect("shown"));
    let as_owner = |method: &str, path: &str, body: Option<&str>| {
        bench.request(method, path, &[("authorization", owner.as_str())], body)
    };
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"],
        "headers": [{"name": "X-Key", "value": "s3cr3t"}]});
    let sub = as_owner("POST", &format!("{ACME}/subscriptions"), Some(&draft.to_string())).json();
    let id = sub["id"].as_str().expect("an id");
    let path = format!("{ACME}/subscriptions/{id}");
    for patch in [r#"{"description":"d","headers":[{"name":"X-Key","value":"other"}]}"#, "{}"] {
        assert_eq!(as_owner("PATCH", &path, Some(patch)).status, 200);
    }
    assert_eq!(as_owner("GET", &format!("{path}/secret"), None).status, 200);
    assert_eq!(as_owner("POST", &format!("{path}/secret/rotate"), None).status, 200);
    assert_eq!(as_owner("DELETE", &path, None).status, 204);
    let flag = format!("{ACME}/features/{FLAG_WEBHOOKS}");
    bench.call("PUT", &flag, Some(&json!({"enabled": false})));
    bench.call("PUT", &flag, Some(&json!({"enabled": false})));
    bench.call("PUT", ACME, Some(&json!({"name": "Acme"})));
    bench.call("DELETE", &format!("{ACME}/tokens/tok_none"), None).problem(404, "not_found");

    let page = as_owner("GET", &format!("{ACME}/audit"), None).json();
    let told = [
        "account.update",
        "feature.set",
        "subscription.delete",
        "secret.rotate",
        "secret.reveal",
        "subscription.update",
        "subscription.create",
        "token.create",
        "account.create",
    ];
    assert_eq!(words(&page), told, "nothing for what changed nothing");
    assert_eq!(page["next"], Value::Null);
    let update = &page["items"][5];
    assert_eq!(update["changes"], json!(["headers", "description"]));
    assert_eq!(update["target"], json!({"kind": "subscription", "id": id, "name": "n"}));
    assert_eq!(update["actor"], json!({"kind": "token", "id": made["id"], "name": "Ann"}));
    assert_eq!((&update["accountId"], &update["id"]), (&json!("acme"), &json!("4")));
    assert_eq!(page["items"][0]["actor"], json!({"kind": "operator", "id": null, "name": null}));
    assert!(!page.to_string().contains("s3cr3t"));

    // Another account's is in the operator's list only.
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]});
    bench.call("POST", "/api/v1/accounts/other/subscriptions", Some(&draft));
    assert_eq!(words(&bench.get(&format!("{ACME}/audit"))).len(), told.len());
    assert_eq!(words(&bench.get("/api/v1/audit"))[..2], ["subscription.create", "account.create"]);
    // It outlives the account.
    bench.call("DELETE", ACME, None);
    assert_eq!(words(&bench.get("/api/v1/audit")).len(), told.len() + 3);
    bench.call("GET", &format!("{ACME}/audit"), None).problem(404, "not_found");
}

#[test]
fn pages_and_filters() {
    let bench = Bench::new();
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]});
    for _ in 0..7 {
        bench.call("POST", &format!("{ACME}/subscriptions"), Some(&draft));
    }
    for list in ["/api/v1/audit".to_owned(), format!("{ACME}/audit")] {
        let all = bench.get(&list)["items"].as_array().expect("a list").clone();
        assert_eq!(all.len(), 8);
        let mut seen = Vec::new();
        let mut query = "?limit=3".to_owned();
        loop {
            let page = bench.get(&format!("{list}{query}"));
            seen.extend(page["items"].as_array().expect("a list").clone());
            let Some(next) = page["next"].as_str() else { break };
            query = format!("?limit=3&cursor={next}");
        }
        assert_eq!(seen, all);
        // The account and its first subscription have one time.
        let at = |n: usize| all[n]["at"].as_str().expect("a time");
        let got = |query: &str| bench.get(&format!("{list}?{query}"))["items"].clone();
        assert_eq!(got(&format!("since={}", at(2))), json!(all[..3]));
        for n in 0..6 {
            assert_eq!(got(&format!("until={}", at(n))), json!(all[n + 1..]));
        }
        assert_eq!(got(&format!("until={}", at(7))), json!([]));
        assert_eq!(got(&format!("since={}&until={}", at(5), at(2))), json!(all[3..6]));
        assert_eq!(got("action=account.create"), json!(all[7..]));
        let wrong = bench.call("GET", &format!("{list}?action=x&since=y&z=1"), None);
        assert_eq!(wrong.problem(422, "validation_failed"), ["z", "since", "action"]);
    }
}

#[test]
fn a_sign_in_is_told() {
    let bench = Bench::new();
    let body = json!({"token": super::bench::TOKEN});
    assert_eq!(bench.call("POST", "/console/session", Some(&body)).status, 204);
    assert_eq!(words(&bench.get("/api/v1/audit")), ["session.begin"]);
}
