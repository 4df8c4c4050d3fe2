//! Starts that must fail: one clear line, an exit code other than 0, and nothing damaged.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::Receiver;

/// The start fails with exactly one line that has all of these words in it.
fn refuses(dir: &Path, options: &Options, words: &[&str]) {
    let Err(refused) = Engine::try_start(dir, options) else { panic!("it starts in spite of {words:?}") };
    println!("{}", refused.lines.join("\n"));
    assert_eq!(refused.lines.len(), 1, "one line: {:?}", refused.lines);
    assert!(words.iter().all(|word| refused.lines[0].contains(word)), "{words:?} in {:?}", refused.lines);
    assert!(refused.status.code().is_some_and(|code| code != 0), "{:?}", refused.status);
}

fn send(engine: &Engine, from: usize, count: usize) {
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(2000));
    let mut ingest = engine.ingest();
    let all: Vec<_> =
        (from..from + count).map(|n| event("acme", "user.created", &format!("e-{n}"), &data)).collect();
    for part in all.chunks(100) {
        ingest.send(part).unwrap().want(202);
    }
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    refuses(dir.path(), &options, &["in use"]);
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    send(&engine, 0, 10);
    receiver.until("/", 10);
    assert_eq!(engine.terminate(), Some(0));
}

#[test]
fn what_is_wrong_with_the_configuration_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let with = |more: &str| Options { more: more.to_owned(), ..Options::default() };
    refuses(dir.path(), &with("[ingest]\nsockett = \"x\""), &["sockett", "socket", "config.toml"]);
    refuses(dir.path(), &with("[retention]\nevents = \"7 days\""), &["retention.events"]);
    refuses(dir.path(), &with("[ingest]\nsocket = \"/proc/nowhere/a.sock\""), &["/proc/nowhere"]);
    assert!(!dir.path().join("data").join("ingest.sock").exists());
    Engine::start(dir.path(), &Options::default());
}

#[test]
fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken.sock");
    let options =
        Options { more: format!("[ingest]\nsocket = \"{}\"", path.display()), ..Options::default() };
    let listener = UnixListener::bind(&path).unwrap();
    refuses(dir.path(), &options, &["taken.sock"]);
    let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let _ = listener.accept().unwrap();
    drop((client, listener));
    assert!(path.exists(), "a socket outlives its listener");
    let mut engine = Engine::start(dir.path(), &options);
    engine.socket = path;
    engine.ingest().send(&[event("acme", "user.created", "e", "{}")]).unwrap().want(202);

    // Something that is no socket is not ours to remove.
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    drop(engine);
    let options =
        Options { more: format!("[ingest]\nsocket = \"{}\"", file.display()), ..Options::default() };
    refuses(dir.path(), &options, &["file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_data_directory_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    for at in [file.clone(), file.join("below"), PathBuf::from("/proc/nowhere")] {
        let options = Options { data_dir: Some(at.clone()), ..Options::default() };
        refuses(dir.path(), &options, &[at.to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

fn files(store: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let names = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        names.filter(|path| path.file_name().is_some_and(|n| fits(&n.to_string_lossy()))).collect();
    found.sort();
    found
}

/// A damaged file is reported and nothing is made worse: with the file back, everything is there.
#[test]
fn damage_is_reported_and_not_made_worse() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let engine = Engine::start(dir.path(), &options);
    send(&engine, 0, 2000);
    engine.kill9();
    // What the log of writes had becomes files.
    let engine = Engine::start(dir.path(), &options);
    send(&engine, 2000, 10);
    assert_eq!(engine.terminate(), Some(0));
    let store = dir.path().join("data/store");
    let tables = files(&store, |name| Path::new(name).extension().is_some_and(|end| end == "sst"));
    let largest =
        tables.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).expect("a table").clone();
    let manifest = files(&store, |name| name.starts_with("MANIFEST")).pop().expect("a manifest");

    let damaged = [
        ("the pointer is garbage", store.join("CURRENT"), Some(b"MANIFEST-nothing".to_vec())),
        ("the pointer is empty", store.join("CURRENT"), Some(Vec::new())),
        ("the manifest is cut", manifest, None),
        ("a table is cut", largest.clone(), None),
        ("a table is away", largest, Some(Vec::new())),
    ];
    for (what, path, content) in damaged {
        let whole = fs::read(&path).unwrap();
        match &content {
            Some(bytes) if bytes.is_empty() && what.contains("away") => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::write(&path, &whole[..whole.len() / 2]).unwrap(),
        }
        println!("{what}:");
        refuses(dir.path(), &options, &[]);
        fs::write(&path, &whole).unwrap();
    }
    let engine = Engine::start(dir.path(), &options);
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    for id in ["e-0", "e-1234", "e-2009"] {
        let event = engine.api("GET", &format!("/accounts/acme/events/{id}"), None).want(200).json();
        assert_eq!(event["data"]["text"].as_str().map(str::len), Some(2000), "{id}");
    }
    send(&engine, 2010, 1);
    receiver.until("/", 1);
    assert_eq!(engine.terminate(), Some(0));
}
