//! The store from outside: checked, backed up and restored by the commands, with the real binary.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cli::run;
use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::Receiver;

fn send(engine: &Engine, ids: impl Iterator<Item = u32>) {
    let events: Vec<_> =
        ids.map(|id| event("acme", "user.created", &format!("evt-{id}"), r#"{"n":1}"#)).collect();
    engine.ingest().send(&events).unwrap().want(202);
}

/// The largest table file of the store.
fn largest_table(data_dir: &Path) -> std::path::PathBuf {
    let tables = fs::read_dir(data_dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let tables = tables.filter(|path| path.extension().is_some_and(|end| end == "sst"));
    tables.max_by_key(|path| path.metadata().unwrap().len()).expect("a table file")
}

#[test]
fn a_flipped_byte_in_the_store_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    send(&engine, 0..500);
    engine.until_settled(500);
    let data_dir = dir.path().join("data");
    let data = data_dir.to_str().unwrap();

    let line = run(dir.path(), &["verify-store"], "").refused(1);
    assert!(line.contains("an engine runs on "), "{line}");
    assert_eq!(engine.terminate(), Some(0));
    let text = run(dir.path(), &["verify-store"], "").fine();
    assert!(text.ends_with("500 events up to 500; nothing is damaged\n"), "{text}");
    let good = run(dir.path(), &["verify-store", "--data-dir", data, "--json"], "").json();
    assert_eq!((&good["damages"], &good["head"]), (&json!(0), &json!(500)));
    assert!(good["rows"]["attempts"].as_u64() > Some(0) && good["rows"]["meta"].as_u64() > Some(3), "{good}");

    // What it reads back at a start goes to table files.
    assert_eq!(Engine::start(dir.path(), &Options::default()).terminate(), Some(0));
    let table = largest_table(&data_dir);
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 0x20;
    fs::write(&table, &bytes).unwrap();
    let bad = run(dir.path(), &["verify-store"], "");
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.err.contains("cannot be read on from here: ") && bad.err.lines().count() == 1, "{bad:?}");
    assert!(bad.out.ends_with("places damaged: 1\n"), "{bad:?}");

    let line = run(dir.path(), &["verify-store", "--data-dir", "nowhere"], "").refused(1);
    assert_eq!(line, "postrider: there is no store in nowhere");
    assert!(!dir.path().join("nowhere").exists(), "looking makes none");
}
