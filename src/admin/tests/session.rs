//! The console's files, and signing in to it.

use serde_json::{Value, json};

use super::bench::{Answer, Bench, TOKEN};
use crate::admin::Frames;

fn anonymous(
    bench: &Bench,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    let all: Vec<_> = headers.iter().copied().chain([("authorization", "")]).collect();
    bench.request(method, path, &all, body)
}

fn sign_in(bench: &Bench, token: &str) -> Answer {
    let body = json!({ "token": token }).to_string();
    anonymous(bench, "POST", "/console/session", &[], Some(&body))
}

#[test]
fn the_files_are_served_under_a_strict_policy() {
    let bench = Bench::new();
    let page = anonymous(&bench, "GET", "/console/", &[], None);
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert!(!page.text.contains("//"), "nothing from another address: {}", page.text);
    for (file, kind) in
        [("console.css", "text/css"), ("main.js", "text/javascript"), ("panel.js", "text/javascript")]
    {
        let path = format!("/console/{file}");
        let answer = anonymous(&bench, "GET", &path, &[], None);
        assert!(answer.header("content-type").is_some_and(|value| value.starts_with(kind)), "{answer:?}");
        let tag = answer.header("etag").expect("a tag");
        let again = anonymous(&bench, "GET", &path, &[("if-none-match", tag)], None);
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{file}");
        // What a module imports is there.
        for name in answer.text.lines().filter_map(|line| line.split_once("from './")?.1.strip_suffix("';")) {
            let path = format!("/console/{name}");
            assert_eq!(anonymous(&bench, "GET", &path, &[], None).status, 200, "{file} imports {name}");
        }
    }
    anonymous(&bench, "GET", "/console/nothing.js", &[], None).problem(404, "not_found");
}

#[test]
fn a_session_is_a_token_behind_a_cookie() {
    let bench = Bench::new();
    let signed_in = |cookie: &str| -> Value {
        anonymous(&bench, "GET", "/console/session", &[("cookie", cookie)], None).json()["signedIn"].clone()
    };
    assert_eq!(signed_in(""), false);
    sign_in(&bench, "prt_wrong").problem(401, "unauthorized");
    assert_eq!(
        anonymous(&bench, "POST", "/console/session", &[], Some("{}")).problem(422, "validation_failed"),
        ["token"]
    );
    let answer = sign_in(&bench, TOKEN);
    assert_eq!(answer.status, 204, "{answer:?}");
    let set = answer.header("set-cookie").expect("a cookie").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().expect("a pair");
    assert!(!cookie.contains(TOKEN));
    assert_eq!(signed_in(cookie), true);
    assert_eq!(signed_in(&format!("a=b; {cookie}; c=d")), true);

    let accounts = |method, headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie)]).collect();
        anonymous(&bench, method, "/api/v1/accounts/acme", &headers, Some("{}"))
    };
    accounts("PUT", &[]).problem(403, "cross_site");
    assert_eq!(accounts("PUT", &[("x-postrider-console", "1")]).status, 201);
    assert_eq!(accounts("GET", &[]).status, 200);

    anonymous(&bench, "DELETE", "/console/session", &[("cookie", cookie)], None).problem(403, "cross_site");
    let own = [("cookie", cookie), ("x-postrider-console", "1")];
    let end = anonymous(&bench, "DELETE", "/console/session", &own, None);
    assert!(end.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")), "{end:?}");
    assert_eq!(signed_in(cookie), false);
    accounts("GET", &[]).problem(401, "unauthorized");
}

#[test]
fn a_session_ends_with_its_token_and_programs_have_none() {
    let bench = Bench::new();
    let tokens = "/api/v1/accounts/acme/tokens";
    let make = |kind: &str| {
        let body = json!({"name": "n", "kind": kind, "role": "account_owner", "platformUser": true});
        bench.call("POST", tokens, Some(&body)).json()
    };
    let program = make("service_account");
    sign_in(&bench, program["token"].as_str().expect("a token")).problem(403, "service_account");
    let person = make("user");
    let answer = sign_in(&bench, person["token"].as_str().expect("a token"));
    let cookie =
        answer.header("set-cookie").and_then(|set| set.split(';').next()).expect("a cookie").to_owned();
    let me = || anonymous(&bench, "GET", "/api/v1/me", &[("cookie", &cookie)], None);
    assert_eq!(me().json()["accountId"], "acme");
    let id = person["id"].as_str().expect("an id");
    assert_eq!(bench.call("DELETE", &format!("{tokens}/{id}"), None).status, 204);
    me().problem(401, "unauthorized");
}

#[test]
fn another_sites_page_changes_nothing() {
    let bench = Bench::new();
    let cookie = sign_in(&bench, TOKEN).header("set-cookie").expect("a cookie").to_owned();
    let cookie = cookie.split(';').next().expect("a pair");
    let put = |more: (&str, &str)| {
        let headers = [("cookie", cookie), ("x-postrider-console", "1"), more];
        anonymous(&bench, "PUT", "/api/v1/accounts/acme", &headers, Some("{}"))
    };
    for other in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://y")] {
        put(other).problem(403, "cross_site");
    }
    // The client of these tests says `host: x`.
    assert_eq!(put(("sec-fetch-site", "same-origin")).status, 201);
    assert_eq!(put(("origin", "http://x")).status, 200);
    let body = json!({ "token": TOKEN }).to_string();
    let begin = |more| anonymous(&bench, "POST", "/console/session", &[more], Some(&body));
    begin(("origin", "http://y")).problem(403, "cross_site");
    // A token of one's own says enough.
    let headers = [("sec-fetch-site", "cross-site")];
    assert_eq!(bench.request("PUT", "/api/v1/accounts/acme", &headers, Some("{}")).status, 200);
}

#[test]
fn the_cookie_is_as_the_way_it_came() {
    let body = json!({ "token": TOKEN }).to_string();
    let frames = || Frames::new(["https://platform.example"].into_iter());
    for (frames, proto, want) in [
        (Frames::default(), "http", "HttpOnly; SameSite=Strict"),
        (Frames::default(), "https", "HttpOnly; Secure; SameSite=Strict"),
        (frames(), "http", "HttpOnly; SameSite=Strict"),
        (frames(), "https", "HttpOnly; Secure; SameSite=None; Partitioned"),
    ] {
        let bench = Bench::with(0, frames, None);
        let answer =
            anonymous(&bench, "POST", "/console/session", &[("x-forwarded-proto", proto)], Some(&body));
        let set = answer.header("set-cookie").expect("a cookie");
        assert!(set.ends_with(want), "{set}");
    }
    let page = anonymous(&Bench::with(0, frames(), None), "GET", "/console/", &[], None);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.ends_with("frame-ancestors 'self' https://platform.example"), "{policy}");
    assert_eq!(page.header("x-frame-options"), None);
}
