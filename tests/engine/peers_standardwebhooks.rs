//! The published `standardwebhooks` libraries of Python and JavaScript as receivers: what the engine sends
//! must satisfy code that others wrote, before, during and after a rotation.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::http::event;
use crate::process::{Engine, Options};
use crate::wait::PATIENCE;

/// Installs what is missing and gives the directory.
pub fn installed() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers");
    let output = Command::new(script).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/peers cannot install the receivers of this test: {said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

#[derive(Clone, Copy)]
enum Language {
    Python,
    JavaScript,
}

struct Peer {
    child: Child,
    to: ChildStdin,
    lines: Receiver<String>,
    url: String,
}

impl Peer {
    fn start(language: Language) -> Self {
        let peers = installed();
        let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name);
        let mut command = match language {
            Language::Python => Command::new(peers.join("python/bin/python")),
            Language::JavaScript => Command::new("node"),
        };
        match language {
            Language::Python => command.arg(script("receiver.py")),
            Language::JavaScript => command.arg(script("receiver.mjs")).arg(peers.join("javascript")),
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (said, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let to = child.stdin.take().unwrap();
        let mut peer = Self { child, to, lines, url: String::new() };
        let port = peer.next();
        let port = port.strip_prefix("listening ").unwrap_or_else(|| panic!("it said {port:?}"));
        peer.url = format!("http://127.0.0.1:{port}/hook");
        peer
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the receiver says something")
    }

    /// From here on deliveries must hold for this key.
    fn check_with(&mut self, key: &str) {
        writeln!(self.to, "key {key}").unwrap();
        assert_eq!(self.next(), "key");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Rig {
    engine: Engine,
    peer: Peer,
    sub: String,
    events: usize,
}

impl Rig {
    fn start(dir: &Path, language: Language, more: &Value) -> Self {
        let peer = Peer::start(language);
        // One attempt and no retry: each line of the receiver is one event.
        let engine = Engine::start(dir, &Options { retries: &[], ..Options::default() });
        let sub = engine.subscribe_url("acme", &peer.url, &["*"], more);
        Self { engine, peer, sub, events: 0 }
    }

    fn secret(&self) -> Value {
        let path = format!("/accounts/acme/subscriptions/{}/secret", self.sub);
        self.engine.api("GET", &path, None).want(200).json()
    }

    fn rotate(&self, overlap_secs: u32) -> Value {
        let path = format!("/accounts/acme/subscriptions/{}/secret/rotate", self.sub);
        self.engine.api("POST", &path, Some(&json!({"overlapSeconds": overlap_secs}))).want(200).json()
    }

    /// Sends an event that the receiver checks with `key`, and expects this answer of it.
    fn delivers(&mut self, key: &Value, status: u16) {
        self.peer.check_with(key.as_str().unwrap());
        self.events += 1;
        let id = format!("evt-{}", self.events);
        let data = r#"{"name":"Zoë \"x\"","n":1.50}"#;
        self.engine.ingest().send(&[event("acme", "user.created", &id, data)]).unwrap().want(202);
        assert_eq!(self.peer.next(), format!("{status} {id}"));
        let end = if status == 204 { "delivered" } else { "dead" };
        self.engine.until_status("acme", &self.sub, &id, end);
    }
}

fn verifies_through_a_rotation(language: Language) {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(dir.path(), language, &json!({}));
    let first = rig.secret()["secret"].clone();
    let wrong = json!("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    rig.delivers(&first, 204);
    rig.delivers(&wrong, 400);
    let second = rig.rotate(3600)["secret"].clone();
    rig.delivers(&first, 204);
    rig.delivers(&second, 204);
    rig.delivers(&wrong, 400);
    let third = rig.rotate(0)["secret"].clone();
    rig.delivers(&first, 400);
    rig.delivers(&second, 400);
    rig.delivers(&third, 204);
}

#[test]
fn python_verifies() {
    verifies_through_a_rotation(Language::Python);
}

#[test]
fn javascript_verifies() {
    verifies_through_a_rotation(Language::JavaScript);
}

/// Beside each other, so that a library that knows `v1` alone takes what it knows.
#[test]
fn both_schemes_stand_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let more = json!({"delivery": {"signature": "v1,v1a"}});
    let mut rig = Rig::start(dir.path(), Language::JavaScript, &more);
    let first = rig.secret();
    let second = rig.rotate(3600);
    for keys in [&first, &second] {
        rig.delivers(&keys["secret"], 204);
        rig.delivers(&keys["publicKey"], 204);
    }
    rig.delivers(&json!("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="), 400);
    rig.engine.patch("acme", &rig.sub, &json!({"delivery": {"signature": "v1a"}}));
    rig.delivers(&second["secret"], 400);
    rig.delivers(&second["publicKey"], 204);
    rig.delivers(&first["publicKey"], 204);
}
