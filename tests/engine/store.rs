//! The store from outside: checked, backed up and restored by the commands, with the real binary.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cli::run;
use crate::http::{call, event};
use crate::process::{Engine, Options};
use crate::receiver::{Receiver, Reply};

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

/// Events go on while the backup is taken; what comes after it is not in it, all before is.
#[test]
fn a_running_engine_is_backed_up_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retries: &["1s"; 8], ..Options::default() };
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    let sub = engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    // One delivery that is still being retried when the backup is taken.
    receiver.on("/late", |_| Reply::Status(500));
    let late = engine.subscribe(&receiver, "acme", "/late", &["user.created"], &json!({}));
    send(&engine, 0..200);
    engine.until_status("acme", &sub, "evt-199", "delivered");
    engine.until_status("acme", &late, "evt-0", "retrying");

    let server = format!("http://{}", engine.admin);
    let backup =
        |to: &str, more: &[&str]| run(dir.path(), &[&["backup", to, "--server", &server], more].concat(), "");
    let taken = backup("backup", &[]);
    assert!(taken.err.contains("secrets.key is not in it"), "{taken:?}");
    assert!(taken.fine().starts_with("backed up "));
    assert!(!dir.path().join("data/checkpoint").exists(), "nothing is left behind");
    send(&engine, 1000..1010);
    let line = backup("backup", &[]).refused(1);
    assert_eq!(line, "postrider: backup is not empty");
    backup("with-key", &["--with-key"]).fine();
    assert!(dir.path().join("with-key/secrets.key").exists());
    let refused = call(engine.admin, "POST", "/api/v1/checkpoint", &[], b"").unwrap();
    assert_eq!(refused.status, 401);
    assert_eq!(engine.terminate(), Some(0));

    let verified = run(dir.path(), &["verify-store", "--data-dir", "backup", "--json"], "").json();
    assert_eq!((&verified["damages"], &verified["events"]), (&json!(0), &json!(200)));

    let restored = run(dir.path(), &["restore", "backup", "--to", "new/data"], "");
    assert!(restored.err.contains("put the key that was in use then"), "{restored:?}");
    assert!(restored.fine().starts_with("restored "));
    let again = run(dir.path(), &["restore", "backup", "--to", "new/data"], "").refused(1);
    assert_eq!(again, "postrider: new/data is not empty");

    let new = dir.path().join("new");
    let refused = Engine::try_start(&new, &options).err().expect("its secrets cannot be opened");
    assert!(refused.lines.iter().any(|line| line.contains("secrets.key is missing")), "{refused:?}");
    fs::copy(dir.path().join("data/secrets.key"), new.join("data/secrets.key")).unwrap();
    receiver.on("/late", |_| Reply::Status(200));
    let engine = Engine::start(&new, &options);
    engine.until_status("acme", &late, "evt-0", "delivered");
    send(&engine, 2000..2001);
    engine.until_status("acme", &sub, "evt-2000", "delivered");
    assert!(engine.delivery("acme", &sub, "evt-1000").is_none(), "came after the backup");
    assert!(receiver.records("/hook").iter().all(|record| record.valid), "with the secret of before");
    let repeated = engine.ingest().send(&[event("acme", "user.created", "evt-7", "{}")]).unwrap().want(202);
    assert_eq!(repeated.json()["duplicates"], 1);
}

#[test]
fn a_stopped_store_is_backed_up_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/hook", &["*"], &json!({}));
    send(&engine, 0..50);
    engine.until_settled(50);
    engine.kill9();
    run(dir.path(), &["verify-store"], "").fine();
    run(dir.path(), &["backup", "backup", "--with-key"], "").fine();
    let new = dir.path().join("new");
    fs::create_dir(&new).unwrap();
    run(dir.path(), &["restore", "backup", "--to", "new/data"], "").fine();
    // What a kill in the middle of a checkpoint has left.
    let left = new.join("data/checkpoint.tmp");
    fs::create_dir(&left).unwrap();
    let engine = Engine::start(&new, &Options::default());
    assert!(!left.exists(), "it would hold on to files that the store drops");
    engine.until_settled(50);
    assert_eq!(engine.terminate(), Some(0));

    let table = dir.path().join("backup/store/CURRENT");
    fs::write(&table, "MANIFEST-999999\n").unwrap();
    let line = run(dir.path(), &["restore", "backup", "--to", "third"], "").refused(1);
    assert_eq!(line, "postrider: backup/store/CURRENT is damaged: it is not what was backed up");
    assert_eq!(fs::read_dir(dir.path().join("third")).unwrap().count(), 0);
}
