//! schemathesis against the running engine: what the description promises, the API keeps.
//!
//! Left out: the stream, which has no end, and checkpoints, which are for the machine's own `backup`.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::http::event;
use crate::peers_standardwebhooks::installed;
use crate::process::{Engine, Options};
use crate::receiver::Receiver;

#[test]
fn the_description_holds() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    engine.ingest().send(&[event("acme", "user.created", "evt-000123", "{}")]).unwrap().want(202);
    engine.until_status("acme", &sub, "evt-000123", "delivered");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/schemathesis.toml");
    let output = Command::new(installed().join("schemathesis/bin/schemathesis"))
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("http://{}/api/v1/openapi.json", engine.admin)])
        .args(["--header", &format!("Authorization: Bearer {}", engine.token)])
        .args(["--checks", "all", "--exclude-path-regex", "/(stream|checkpoint)$"])
        .args(["--continue-on-failure", "--no-color"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("No test cases"), "{said}");
}
