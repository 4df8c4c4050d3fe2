//! Where the engine is, and who is told what.

use super::*;

#[test]
fn addresses_of_servers() {
    let check = |text: &str, fine: bool| assert_eq!(server_url(text).is_ok(), fine, "{text}");
    check("http://127.0.0.1:8080", true);
    check("https://hooks.example.com/postrider/", true);
    check("127.0.0.1:8080", false);
    check("unix:/run/x", false);
    check("http://a/?b", false);
}

#[test]
fn paths_are_encoded_and_put_behind_the_servers() {
    let check = |server: &str, want: &str| {
        let client = Client::new(Url::parse(server).unwrap(), None).unwrap();
        let call = client.call("GET", &["accounts", "a/b?c", "x y"]).query("type", Some("user.*&x"));
        assert_eq!(call.url(), want);
    };
    check("http://h", "http://h/api/v1/accounts/a%2Fb%3Fc/x%20y?type=user.*%26x");
    check("http://h/hooks/", "http://h/hooks/api/v1/accounts/a%2Fb%3Fc/x%20y?type=user.*%26x");
}

#[test]
fn what_listens_everywhere_is_reached_here() {
    let check = |address: &str, want: &str| {
        assert_eq!(reachable(address.parse().unwrap()).to_string(), want);
    };
    check("127.0.0.1:9000", "127.0.0.1:9000");
    check("0.0.0.0:9000", "127.0.0.1:9000");
    check("[::]:9000", "[::1]:9000");
    check("10.0.0.1:0", "10.0.0.1:8080");
}

#[test]
fn only_this_machine_gets_the_operators_token() {
    let check =
        |server: &str, here: bool| assert_eq!(is_here(&Url::parse(server).unwrap()), here, "{server}");
    check("http://127.0.0.1:8080", true);
    check("http://[::1]:8080", true);
    check("http://localhost", true);
    check("http://localhost.example.com", false);
    check("https://hooks.example.com", false);
    check("http://10.0.0.1:8080", false);
}

#[test]
fn a_refusal_is_one_line() {
    let check = |status: u16, body: &str, want: &str| {
        assert_eq!(client::refusal(status, "/x", body.as_bytes()).to_string(), want);
    };
    check(
        404,
        r#"{"code":"not_found","detail":"there is no such thing"}"#,
        "there is no such thing: /x (not_found)",
    );
    check(
        422,
        r#"{"code":"validation_failed","detail":"name: is required","errors":[{"field":"name","message":"is required"}]}"#,
        "name: is required (validation_failed)",
    );
    check(
        422,
        r#"{"code":"validation_failed","detail":"2 fields are not valid",
            "errors":[{"field":"name","message":"is required"},{"field":"events","message":"is empty"}]}"#,
        "2 fields are not valid: name: is required; events: is empty (validation_failed)",
    );
    check(502, "<html>\u{1b}[2J", "the server answered 502 (502)");
    check(
        401,
        r#"{"code":"unauthorized","detail":"no token"}"#,
        "no token; name a token with --token or POSTRIDER_TOKEN (unauthorized)",
    );
}
