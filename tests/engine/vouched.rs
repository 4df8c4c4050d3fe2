//! People whom the platform vouches for: `[jwt]` in the configuration file, tokens signed here, and what
//! `check-config` says of files that are not what they should be.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use serde_json::{Value, json};

use crate::cli::run;
use crate::http::{Answer, call};
use crate::process::{Engine, Options};

/// Signs what the header's algorithm says.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn ed25519() -> (String, Sign) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signer = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pair.serialize_der()).unwrap();
    (pair.public_key_pem(), Box::new(move |message| signer.sign(message).as_ref().to_vec()))
}

fn ecdsa() -> (Value, Sign) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let random = SystemRandom::new();
    let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let signer = EcdsaKeyPair::from_pkcs8(how, &pair.serialize_der(), &random).unwrap();
    let point = pair.der_bytes();
    let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
    let key = json!({"kty": "EC", "crv": "P-256", "kid": "k-1", "use": "sig", "alg": "ES256",
        "x": coordinate(1), "y": coordinate(33)});
    (
        json!({ "keys": [key] }),
        Box::new(move |message| signer.sign(&random, message).unwrap().as_ref().to_vec()),
    )
}

/// For Ann of acme, an owner with the licence, for ten minutes; `but` takes the place of that.
fn token(header: &Value, sign: &Sign, but: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({"iss": "https://platform.example", "aud": "postrider", "sub": "u-1", "name": "Ann",
        "tenant": "acme", "role": "account_owner", "licensed": true, "iat": now, "exp": now + 600});
    for (name, value) in but.as_object().unwrap() {
        claims[name] = if name == "exp" {
            json!(now.saturating_add_signed(value.as_i64().unwrap()))
        } else {
            value.clone()
        };
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

fn api(engine: &Engine, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    call(engine.admin, method, &format!("/api/v1{path}"), &headers, body.as_bytes()).unwrap()
}

fn options(key: &str, file: &Path) -> Options {
    let more = format!(
        "[jwt]\n{key} = \"{}\"\nissuer = \"https://platform.example\"\naudience = \"postrider\"\n\
         account_claim = \"tenant\"\nlicence_claim = \"licensed\"\nmax_lifetime = \"1h\"\n",
        file.display()
    );
    Options { more, ..Options::default() }
}

/// What holds of tokens by `sign`, where the file of `key` holds its public key.
fn check(key: &str, public: &[u8], header: &Value, sign: &Sign, another: &Sign) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("platform");
    fs::write(&file, public).unwrap();
    let engine = Engine::start(dir.path(), &options(key, &file));
    engine.api("PUT", "/accounts/other", Some(&json!({}))).want(201);
    let with = |but: Value| token(header, sign, &but);
    let subscriptions = "/accounts/acme/subscriptions";
    let draft = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]}).to_string();
    let post = |token: &str| api(&engine, "POST", subscriptions, token, &draft);

    let ann = with(json!({}));
    let me = api(&engine, "GET", "/me", &ann, "").want(200).json();
    assert_eq!(
        [&me["accountId"], &me["role"], &me["platformUser"]],
        [&json!("acme"), &json!("account_owner"), &json!(true)]
    );
    post(&ann).want(201);
    // No more than role and licence say, and in no other account.
    let unlicensed = with(json!({"licensed": false}));
    api(&engine, "GET", subscriptions, &unlicensed, "").want(200);
    assert_eq!(post(&unlicensed).want(403).json()["code"], "licence_required");
    let viewer = with(json!({"role": "viewer"}));
    api(&engine, "GET", subscriptions, &viewer, "").want(200);
    assert_eq!(post(&viewer).want(403).json()["code"], "role_forbidden");
    let elsewhere = with(json!({"tenant": "other"}));
    api(&engine, "GET", "/accounts/other/subscriptions", &elsewhere, "").want(200);
    api(&engine, "GET", subscriptions, &elsewhere, "").want(404);
    post(&elsewhere).want(404);

    for (why, wrong) in [
        ("expired", with(json!({"exp": -31}))),
        ("lives too long", with(json!({"exp": 3700}))),
        ("audience", with(json!({"aud": "another"}))),
        ("issuer", with(json!({"iss": "https://another.example"}))),
        ("role", with(json!({"role": "operator"}))),
        ("account", with(json!({"tenant": null}))),
        ("key", token(header, another, &json!({}))),
        ("no signature", format!("{}.", ann.rsplit_once('.').unwrap().0)),
    ] {
        assert_eq!(api(&engine, "GET", "/me", &wrong, "").want(401).json()["code"], "unauthorized", "{why}");
    }
    // At the console too.
    let sign_in = |token: &str, status: u16| {
        let headers = [("content-type", "application/json")];
        let body = json!({ "token": token }).to_string();
        call(engine.admin, "POST", "/console/session", &headers, body.as_bytes()).unwrap().want(status)
    };
    let cookie = sign_in(&ann, 204).header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly"), "{cookie}");
    sign_in(&token(header, another, &json!({})), 401);
}

#[test]
fn by_a_public_key_in_a_file() {
    let ((pem, sign), (_, another)) = (ed25519(), ed25519());
    check("key_file", pem.as_bytes(), &json!({"alg": "EdDSA", "typ": "JWT"}), &sign, &another);
}

#[test]
fn by_a_key_set_in_a_file() {
    let ((set, sign), (_, another)) = (ecdsa(), ecdsa());
    check("jwks_file", set.to_string().as_bytes(), &json!({"alg": "ES256", "kid": "k-1"}), &sign, &another);
}

#[test]
fn each_file_that_cannot_be_used_is_named_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let check_config = |text: &str| {
        fs::write(path("c.toml"), text).unwrap();
        run(dir.path(), &["check-config", "--config", "c.toml"], "")
    };
    let keys = "issuer = \"i\"\naudience = \"a\"\n";
    let text = format!(
        "[jwt]\nkey_file = \"none.pem\"\njwks_file = \"set.json\"\n{keys}\
         [egress]\nca_file = \"empty.pem\"\n[secrets]\nkey_file = \"nowhere/secrets.key\"\n\
         [[host]]\nhost = \"a.example\"\n\
         [[host]]\nhost = \"b.example\"\nclient_certificate = \"none.crt\"\nclient_key = \"none.key\"\n"
    );
    fs::write(path("set.json"), "{}").unwrap();
    fs::write(path("empty.pem"), "").unwrap();
    let said = check_config(&text);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    let lines: Vec<_> = said.err.lines().collect();
    let begins = [
        "egress.ca_file: ",
        "jwt.key_file: none.pem ",
        "jwt.jwks_file: set.json ",
        "host[1].client_certificate: none.crt ",
        "secrets.key_file: ",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line:?} begins with {begin:?}");
    }
    assert!(lines[1].contains("No such file"), "{}", lines[1]);
    // A start says it as well, and with all of them in order there is nothing to say.
    let refused = Engine::try_start(dir.path(), &options("key_file", &path("none.pem"))).err().unwrap();
    assert!(refused.lines.iter().any(|line| line.contains("jwt.key_file: ")), "{refused:?}");
    fs::write(path("none.pem"), ed25519().0).unwrap();
    fs::write(path("set.json"), ecdsa().0.to_string()).unwrap();
    let fine = check_config(&format!(
        "[jwt]\nkey_file = \"none.pem\"\njwks_file = \"set.json\"\n{keys}[secrets]\nkey_file = \"secrets.key\"\n"
    ));
    assert!(fine.fine().contains("none.pem"));
    assert!(!path("secrets.key").exists(), "nothing is made");
}
