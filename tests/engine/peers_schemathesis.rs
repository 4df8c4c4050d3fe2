//! schemathesis against the running engine: what the description promises, the API keeps, by itself and along its
//! links.
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let output = Command::new(installed().join("schemathesis/bin/schemathesis"))
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/api/v1/openapi.json", engine.admin)])
        .args(["--header", &format!("Authorization: Bearer {}", engine.token)])
        .args(["--checks", "all", "--exclude-path-regex", "/(stream|checkpoint)$"])
        .args(["--continue-on-failure", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("No test cases"), "{said}");
    // It went along the links, most of them at least.
    let links = said.lines().find_map(|line| line.trim().strip_prefix("API Links:")).unwrap_or_default();
    let covered = links.split_whitespace().next().and_then(|count| count.parse::<u32>().ok());
    assert!(covered.is_some_and(|count| count >= 8), "{said}");
}
