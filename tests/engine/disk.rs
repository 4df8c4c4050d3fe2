//! The disk fills up: new events are refused, nothing accepted is lost, and with room it goes on by itself.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::http::event;
use crate::process::{Engine, Options};
use crate::receiver::Receiver;
use crate::wait::{PATIENCE, alone, until};

/// A small file system in memory; `None` where mounting is not permitted.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        done.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("data"), "128m") else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let engine = Engine::start(dir.path(), &Options::default());
    let receiver = Receiver::start();
    engine.subscribe(&receiver, "acme", "/", &["*"], &json!({}));
    let mut ingest = engine.ingest();
    let (mut accepted, mut refused) = (HashSet::new(), 0);
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(1000));
    let mut number = 0;
    let mut post = |accepted: &mut HashSet<String>| {
        let ids: Vec<_> = (number..number + 20).map(|n| format!("e-{n}")).collect();
        number += 20;
        let events: Vec<_> = ids.iter().map(|id| event("acme", "user.created", id, &data)).collect();
        let answer = ingest.send(&events).unwrap();
        if answer.status == 202 {
            accepted.extend(ids);
        } else {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
        }
        answer
    };
    post(&mut accepted).want(202);
    let not_ready = |word: &str| {
        until("/readyz to say so", || {
            let answer = engine.get("/readyz");
            if answer.status == 503 && answer.text().contains(word) { Ok(()) } else { Err(answer.text()) }
        });
    };
    let ready = || {
        until("/readyz to be well", || {
            let answer = engine.get("/readyz");
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        });
    };

    // Below the reserve: refused before the disk is full.
    let filler = mount.0.join("filler");
    fs::write(&filler, vec![7; 60 << 20]).unwrap();
    until("a refusal below the reserve", || {
        let answer = post(&mut accepted);
        refused += usize::from(answer.status == 503);
        if answer.status == 503 { Ok(()) } else { Err(answer.status) }
    });
    not_ready("reserve");
    fs::remove_file(&filler).unwrap();
    ready();
    until("events to be taken again", || match post(&mut accepted).status {
        202 => Ok(()),
        status => Err(status),
    });

    // Filled to the last byte at once, under the feet of a writer that has checked a moment ago.
    for round in 0..3 {
        let mut file = fs::File::create(&filler).unwrap();
        let block = vec![7; 1 << 20];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        until("a refusal on a full disk", || {
            let answer = post(&mut accepted);
            refused += usize::from(answer.status == 503);
            if answer.status == 503 { Ok(()) } else { Err(answer.status) }
        });
        not_ready("");
        assert_eq!(engine.get("/healthz").status, 200);
        drop(file);
        fs::remove_file(&filler).unwrap();
        ready();
        until("events to be taken again", || match post(&mut accepted).status {
            202 => Ok(()),
            status => Err(format!("{status} in round {round}")),
        });
    }
    let arrived = || receiver.records("/").into_iter().map(|record| record.id).collect::<HashSet<_>>();
    until("everything accepted to arrive", || {
        let arrived = arrived();
        let lacking = accepted.iter().filter(|id| !arrived.contains(*id)).count();
        if lacking == 0 { Ok(()) } else { Err(lacking) }
    });
    engine.until_metric("postrider_queued", PATIENCE, |queued| queued == 0.0);
    let records = receiver.records("/");
    let unknown = arrived().difference(&accepted).count();
    println!(
        "{} accepted, {refused} batches refused, {} arrivals, {unknown} of them of refused batches",
        accepted.len(),
        records.len()
    );
    assert_eq!(arrived().len(), records.len(), "none twice");
    assert_eq!(engine.terminate(), Some(0));
    let engine = Engine::start(dir.path(), &Options::default());
    engine.until_quiet();
    assert_eq!(receiver.count("/"), records.len(), "nothing is repeated after the restart");
    drop(engine);
}
