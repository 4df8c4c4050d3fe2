//! How fast one may ask, over real sockets. The clock of these tests stands still.

use serde_json::json;

use super::bench::{Answer, Bench};
use crate::admin::Frames;

fn me(bench: &Bench, token: &str) -> Answer {
    bench.request("GET", "/api/v1/me", &[("authorization", &format!("Bearer {token}"))], None)
}

#[test]
fn each_token_has_its_own_limit_and_the_operator_none() {
    let bench = Bench::with(50, Frames::default(), None);
    let token = || {
        let body = json!({"name": "n", "kind": "user", "role": "viewer"});
        let made = bench.call("POST", "/api/v1/accounts/acme/tokens", Some(&body)).json();
        made["token"].as_str().expect("shown").to_owned()
    };
    let (one, other) = (token(), token());
    for _ in 0..100 {
        assert_eq!(me(&bench, &one).status, 200);
    }
    let refused = me(&bench, &one);
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(me(&bench, &other).status, 200);
    for _ in 0..150 {
        assert_eq!(bench.call("GET", "/api/v1/me", None).status, 200);
    }
}

#[test]
fn wrong_tokens_are_limited_by_address_and_right_ones_are_not() {
    let bench = Bench::new();
    let guess = |from| {
        let headers = [("authorization", "Bearer prt_guess"), ("x-forwarded-for", from)];
        bench.request("GET", "/api/v1/me", &headers, None)
    };
    for _ in 0..20 {
        guess("192.0.2.1").problem(401, "unauthorized");
    }
    guess("192.0.2.1").problem(429, "rate_limited");
    let body = json!({"token": "prt_guess"}).to_string();
    let headers = [("authorization", ""), ("x-forwarded-for", "192.0.2.1")];
    bench.request("POST", "/console/session", &headers, Some(&body)).problem(429, "rate_limited");
    let right = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(bench.request("GET", "/api/v1/me", &right, None).status, 200);
    guess("192.0.2.2").problem(401, "unauthorized");
    for _ in 0..30 {
        me(&bench, "prt_guess").problem(401, "unauthorized");
    }
}
