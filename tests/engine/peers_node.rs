//! Node's own `http2` server as receiver, which speaks HTTP/2 by a library that is not ours (nghttp2) and
//! checks signatures with cryptography that is not ours either.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::event;
use crate::identity::authority;
use crate::peers_standardwebhooks::installed;
use crate::process::{Engine, Options};
use crate::wait::{PATIENCE, until, until_within};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/http2.mjs");

struct Node {
    child: Child,
    input: ChildStdin,
    lines: Arc<Mutex<Vec<Value>>>,
    port: u64,
}

impl Node {
    fn start(dir: &Path) -> Self {
        let pair = authority().pair();
        let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
        std::fs::write(&certificate, pair.certificate).unwrap();
        std::fs::write(&key, pair.key).unwrap();
        let mut child = Command::new("node")
            .arg(SCRIPT)
            .args([&certificate, &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let port = until("node to listen", || {
            lines.lock().unwrap().iter().find_map(|line| line["port"].as_u64()).ok_or("no port")
        });
        Self { child, input, lines, port }
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    fn trust(&mut self, subscription: &str, secret: &str) {
        writeln!(self.input, "{}", json!({"subscription": subscription, "secret": secret})).unwrap();
        until("node to know the secret", || {
            let lines = self.lines.lock().unwrap();
            lines.iter().any(|line| line["trusts"] == subscription).then_some(()).ok_or(lines.len())
        });
    }

    /// The requests to this path so far.
    fn requests(&self, path: &str) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter(|line| line["path"] == path).cloned().collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Rig {
    engine: Engine,
    node: Node,
    _dir: TempDir,
}

impl Rig {
    fn new(timeout: &'static str) -> Self {
        installed();
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            timeout,
            retries: &["200ms"; 10],
            more: authority().trusted(dir.path()),
            ..Options::default()
        };
        let node = Node::start(dir.path());
        let engine = Engine::start(dir.path(), &options);
        Self { engine, node, _dir: dir }
    }

    fn subscribe(&mut self, path: &str) -> String {
        let sub = self.engine.subscribe_url("acme", &self.node.url(path), &["*"], &json!({}));
        self.node.trust(&sub, &self.engine.secret("acme", &sub));
        sub
    }

    fn send(&self, count: usize, each: usize) -> Vec<String> {
        let ids: Vec<_> = (0..count).map(|n| format!("e-{n}")).collect();
        let mut ingest = self.engine.ingest();
        for part in ids.chunks(each) {
            let events: Vec<_> =
                part.iter().map(|id| event("acme", "user.created", id, r#"{"a":"ü"}"#)).collect();
            ingest.send(&events).unwrap().want(202);
        }
        ids
    }
}

/// How often each id came.
fn times(requests: &[Value]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in requests {
        *times.entry(request["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    times
}

#[test]
fn many_deliveries_share_a_connection() {
    let mut rig = Rig::new("10s");
    let sub = rig.subscribe("/ok");
    let ids = rig.send(1000, 100);
    rig.engine.until_settled(1000);
    let requests = rig.node.requests("/ok");
    assert!(requests.iter().all(|request| request["valid"] == true && request["protocol"] == "2.0"));
    let times = times(&requests);
    assert!(times.len() == ids.len() && times.values().all(|times| *times == 1), "{times:?}");
    let sessions: BTreeSet<_> = requests.iter().map(|request| request["session"].as_u64()).collect();
    println!("{} requests on {} connections", requests.len(), sessions.len());
    assert!(sessions.len() <= 4, "{sessions:?}");
    for id in [&ids[0], &ids[999]] {
        assert_eq!(rig.engine.delivery("acme", &sub, id).unwrap()["attempts"], 1);
    }
}

#[test]
fn each_answer_is_taken_as_it_is() {
    let mut rig = Rig::new("1s");
    let check = |rig: &mut Rig, path: &str, status: &Value, kind: &Value| {
        let sub = rig.subscribe(path);
        let id = format!("e{}", path.replace('/', "-"));
        rig.engine.ingest().send(&[event("acme", "user.created", &id, "{}")]).unwrap().want(202);
        let attempt = until_within(&format!("an attempt at {path}"), PATIENCE, || {
            rig.engine.attempts("acme", &sub, &id).into_iter().next().ok_or("none")
        });
        assert_eq!((&attempt["statusCode"], &attempt["error"]["kind"]), (status, kind), "{path}: {attempt}");
        println!("{path}: {} {}", attempt["statusCode"], attempt["error"]["message"]);
        rig.engine.api("DELETE", &format!("/accounts/acme/subscriptions/{sub}"), None).want(204);
        attempt
    };
    let null = Value::Null;
    let attempt = check(&mut rig, "/body", &json!(200), &null);
    assert_eq!(attempt["response"]["body"], "thanks");
    let attempt = check(&mut rig, "/trailers", &json!(200), &null);
    assert_eq!(
        (&attempt["response"]["body"], &attempt["response"]["truncated"]),
        (&json!("ok"), &json!(false))
    );
    check(&mut rig, "/fails", &json!(503), &json!("status"));
    check(&mut rig, "/cancelled", &null, &json!("reset"));
    check(&mut rig, "/dies", &null, &json!("reset"));
    check(&mut rig, "/hangs", &null, &json!("timeout"));
    // Refused is not processed: it goes out again at once, in the same attempt.
    check(&mut rig, "/refused", &json!(204), &null);
    assert_eq!(rig.node.requests("/refused").len(), 2);
}

/// A server that is renewed all the time: it says which requests it will not answer, and those alone go out again.
#[test]
fn goaway_loses_and_repeats_nothing() {
    let mut rig = Rig::new("10s");
    let sub = rig.subscribe("/goaway");
    let ids = rig.send(500, 25);
    rig.engine.until_settled(500);
    let requests = rig.node.requests("/goaway");
    let times = times(&requests);
    let sessions: BTreeSet<_> = requests.iter().map(|request| request["session"].as_u64()).collect();
    let again: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    println!("{} requests on {} connections, {} came again", requests.len(), sessions.len(), again.len());
    assert_eq!(times.len(), ids.len());
    assert!(again.is_empty(), "{again:?}");
    assert!(sessions.len() > 5, "it was renewed");
    let retried: Vec<_> = ids
        .iter()
        .filter(|id| rig.engine.delivery("acme", &sub, id).is_some_and(|found| found["attempts"] != 1))
        .collect();
    assert!(retried.is_empty(), "{retried:?}");
}
