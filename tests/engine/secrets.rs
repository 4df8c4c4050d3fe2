//! Secrets: they are rotated, survive restarts, cannot be read without their key, and are told to nobody.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{call, event};
use crate::pki::Issuer;
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};
use crate::server::{Server, Setup};
use crate::wait::until;

fn secret_path(sub: &str) -> String {
    format!("/accounts/acme/subscriptions/{sub}/secret")
}

fn rotate(engine: &Engine, sub: &str, overlap_secs: u32) -> Value {
    let body = json!({"overlapSeconds": overlap_secs});
    engine.api("POST", &format!("{}/rotate", secret_path(sub)), Some(&body)).want(200).json()
}

fn send(engine: &Engine, id: &str) {
    engine.ingest().send(&[event("acme", "user.created", id, "{}")]).unwrap().want(202);
}

/// Sends an event on a path of its own and gives how many signatures it carries.
fn signatures(engine: &Engine, receiver: &Receiver, sub: &str, id: &str) -> usize {
    let path = format!("/{id}");
    engine.patch("acme", sub, &json!({"callbackUrl": receiver.url(&path)}));
    send(engine, id);
    assert!(receiver.until(&path, 1)[0].valid, "{id} is signed with the secret that the receiver knows");
    receiver.first(&path).header("webhook-signature").unwrap().split(' ').count()
}

#[test]
fn an_overlap_outlives_a_kill_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    assert_eq!(signatures(&engine, &receiver, &sub, "before"), 1);
    rotate(&engine, &sub, 3600);
    assert_eq!(signatures(&engine, &receiver, &sub, "both"), 2);
    engine.kill9();

    let engine = Engine::start(dir.path(), &options);
    assert_eq!(signatures(&engine, &receiver, &sub, "after-kill"), 2);
    receiver.trust(&sub, &engine.secret("acme", &sub));
    assert_eq!(signatures(&engine, &receiver, &sub, "new-secret"), 2);
    let shown = rotate(&engine, &sub, 2);
    assert!(shown["previousExpiresAt"].is_string());
    let version = engine.subscription("acme", &sub)["version"].clone();
    // The last two and the new one, for two seconds; nothing is asked of anybody when they are over.
    until("the overlap to end", || {
        let shown = engine.api("GET", &secret_path(&sub), None).want(200).json();
        if shown["previousExpiresAt"].is_null() { Ok(()) } else { Err(shown["previousExpiresAt"].clone()) }
    });
    assert_eq!(engine.subscription("acme", &sub)["version"], version);
    receiver.trust(&sub, shown["secret"].as_str().unwrap());
    send(&engine, "late");
    assert!(receiver.until("/new-secret", 2)[1].valid);
    assert_eq!(signatures(&engine, &receiver, &sub, "after-overlap"), 1);
}

/// A start that must fail: what it said last, in one line.
fn refusal(dir: &Path, options: &Options) -> String {
    let refused = Engine::try_start(dir, options).err().expect("it must not start");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said: Vec<_> = refused.lines.iter().filter(|line| line.starts_with("postrider:")).collect();
    assert_eq!(said.len(), 1, "{refused:?}");
    said[0].clone()
}

#[test]
fn without_its_key_the_store_stays_shut_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    let secret = engine.secret("acme", &sub);
    assert_eq!(engine.terminate(), Some(0));

    let file = dir.path().join("data/secrets.key");
    let key = fs::read(&file).unwrap();
    fs::rename(&file, dir.path().join("kept")).unwrap();
    let said = refusal(dir.path(), &options);
    assert!(said.contains("secrets.key is missing"), "{said}");
    assert!(!file.exists(), "no other key is made");
    fs::write(&file, [7; 32]).unwrap();
    let said = refusal(dir.path(), &options);
    assert!(said.contains("secrets.key does not hold the key"), "{said}");
    fs::write(&file, &key[..31]).unwrap();
    let said = refusal(dir.path(), &options);
    assert!(said.contains("secrets.key must hold 32 bytes"), "{said}");

    fs::remove_file(&file).unwrap();
    let kept = dir.path().join("kept");
    let more = format!("[secrets]\nkey_file = \"{}\"\n", kept.display());
    let engine = Engine::start(dir.path(), &Options { more, ..options });
    assert_eq!(engine.secret("acme", &sub), secret);
    assert!(!file.exists());
    send(&engine, "evt-1");
    assert!(receiver.until("/hook", 1)[0].valid);
}

/// What must be found nowhere, by name.
struct Hidden(Vec<(&'static str, Vec<u8>)>);

impl Hidden {
    fn search(&self, place: &str, bytes: &[u8]) {
        for (what, hidden) in &self.0 {
            assert!(!holds(bytes, hidden), "{place} holds {what}");
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    // Most places are told from the first byte; a pattern is a few dozen bytes.
    let first = part[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

fn files(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), all);
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
}

/// 64 characters that no compression makes shorter, so that they are found in its output too.
fn random_text() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    STANDARD.encode(&key.public_key_raw()[1..49])
}

#[test]
fn nothing_tells_what_is_secret() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("Test Root");
    fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
    let options = Options {
        more: "ca_file = \"ca.pem\"\n".to_owned(),
        retries: &["1s"],
        environment: &[("POSTRIDER_LOG", "trace"), ("RUST_BACKTRACE", "1")],
        ..Options::default()
    };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    receiver.on("/failing", |_| Reply::Status(500));
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let (header, refused, marker) = (random_text(), random_text(), random_text());
    let more = json!({
        "headers": [{"name": "x-api-key", "value": header}],
        "clientCertificate": {"certificate": certificate, "key": key.serialize_pem()},
        "delivery": {"signature": "v1,v1a"},
        "description": marker,
    });
    let good = engine.subscribe(&receiver, "acme", "/good", &["*"], &more);
    let failing = engine.subscribe(&receiver, "acme", "/failing", &["*"], &more);
    // What a receiver for trying things out does.
    let echo: &'static str = Box::leak(format!("x-echo: <{header}>\r\n").into_boxed_str());
    receiver.on("/good", move |_| Reply::With(200, echo));
    // Nobody listens there, and here nobody speaks TLS.
    let nobody = engine.subscribe_url("acme", "http://127.0.0.1:9/hook", &["*"], &more);
    let plain = receiver.url("/tls").replace("http://", "https://");
    let tls = engine.subscribe_url("acme", &plain, &["*"], &more);
    // Over HTTP/2, whose library has much to say at this level, and repeated in the body.
    let body: &'static str = Box::leak(format!("<{header}>").into_boxed_str());
    let certificate = Some(issuer.server(&["127.0.0.1"]));
    let server = Server::start(Setup { certificate, alpn: vec!["h2"], body, ..Setup::default() });
    let h2 = engine.subscribe_url("acme", &format!("https://{}/h2", server.address), &["*"], &more);
    let subs = [&good, &h2, &failing, &nobody, &tls];

    let mut hidden = Hidden(vec![("the header's value", header.clone().into_bytes())]);
    let mut keep = |secret: &str| {
        let text = secret.strip_prefix("whsec_").unwrap();
        hidden.0.push(("a secret", text.as_bytes().to_vec()));
        hidden.0.push(("a secret's bytes", STANDARD.decode(text).unwrap()));
    };
    for sub in subs {
        keep(&engine.secret("acme", sub));
        keep(rotate(&engine, sub, 3600)["secret"].as_str().unwrap());
    }
    let pem = key.serialize_pem();
    hidden.0.push(("the client's key", pem.lines().nth(1).unwrap().as_bytes().to_vec()));
    hidden.0.push(("the client key's bytes", key.serialize_der()));
    hidden.0.push(("a refused header's value", refused.clone().into_bytes()));
    hidden.0.push(("the key file's key", fs::read(dir.path().join("data/secrets.key")).unwrap()));

    send(&engine, "evt-1");
    receiver.until("/good", 1);
    for sub in &subs[..2] {
        engine.until_status("acme", sub, "evt-1", "delivered");
    }
    for sub in &subs[2..] {
        engine.until_status("acme", sub, "evt-1", "dead");
    }

    let said = |method: &str, path: &str, body: Option<&Value>| {
        let answer = engine.api(method, path, body);
        hidden.search(&format!("the answer to {method} {path}"), &answer.body);
        (answer.status, answer.text())
    };
    assert!(said("GET", "/accounts/acme/subscriptions", None).1.contains("••••••"));
    for sub in subs {
        let path = format!("/accounts/acme/subscriptions/{sub}");
        assert_eq!(said("GET", &path, None).0, 200);
        assert_eq!(said("PATCH", &path, Some(&json!({"name": "other"}))).0, 200);
        let (_, attempts) = said("GET", &format!("{path}/deliveries/evt-1/attempts"), None);
        assert!(attempts.contains("x-api-key") && attempts.contains("••••••"), "{attempts}");
        let wrong = json!({"headers": [{"name": "x-api-key", "value": format!("{refused}\n")}]});
        assert_eq!(said("PATCH", &path, Some(&wrong)).0, 422);
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let wrong = json!({"clientCertificate": {"certificate": pem, "key": other}});
        assert_eq!(said("PATCH", &path, Some(&wrong)).0, 422);
    }
    for sub in &subs[..2] {
        let path = format!("/accounts/acme/subscriptions/{sub}/deliveries/evt-1/attempts");
        assert!(said("GET", &path, None).1.contains("<******>"), "the echo is masked");
    }
    said("GET", "/accounts/acme/deliveries", None);
    said("GET", "/accounts/acme/events/evt-1", None);
    said("GET", "/accounts/acme/nothing", None);
    let token = [("authorization", format!("Bearer {refused}"))];
    let token: Vec<_> = token.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = call(engine.admin, "GET", "/api/v1/accounts", &token, b"").unwrap().want(401);
    hidden.search("a refusal", &answer.body);
    hidden.search("the metrics", &engine.get("/metrics").want(200).body);
    hidden.search("readiness", &engine.get("/readyz").body);

    let logs = engine.said().join("\n");
    assert!(logs.contains("TRACE") && logs.contains("h2::"), "the log says everything");
    hidden.search("the log", logs.as_bytes());
    assert!(!logs.contains(&engine.token), "the log tells the operator's token");
    // Once with everything in the write-ahead log, and once in files of tables.
    let searched = |wanted: &str| {
        let mut all = Vec::new();
        files(&dir.path().join("data"), &mut all);
        let mut found = false;
        for file in all.iter().filter(|file| !file.ends_with("secrets.key")) {
            let bytes = fs::read(file).unwrap();
            found |= holds(&bytes, wanted.as_bytes());
            hidden.search(&file.display().to_string(), &bytes);
        }
        assert!(found, "what is no secret is found, so this would find what is");
    };
    searched(&marker);
    assert_eq!(engine.terminate(), Some(0));
    let engine = Engine::start(dir.path(), &options);
    searched(&marker);
    assert_eq!(engine.terminate(), Some(0));
}
