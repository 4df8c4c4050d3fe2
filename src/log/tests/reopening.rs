//! What a start finds: after an ordered stop, after a kill, and where it must refuse.

use super::*;
use crate::log::db::{Db, Family};
use crate::log::dedupe::OPEN_IDS_MAX;
use crate::log::floor::Floors;
use crate::log::key::Key;
use crate::log::record::encode;

#[test]
fn after_a_stop_and_after_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    rig.accept("acme", 1..=5);
    let mut done = settlement(0, 1, Seq(3));
    done.attempts = vec![delivered(sub.key, Seq(4))];
    done.lagging_put = vec![(sub.key, Seq(5))];
    rig.settle(done);
    rig.settle(settlement(1, 1, Seq(2)));
    let killed = rig.crash_image();
    rig.stop();
    for path in [dir.path(), killed.path()] {
        let rig = Rig::at(path);
        assert_eq!((rig.recovered.head, rig.recovered.watermark), (Seq(5), Seq(2)));
        assert_eq!(rig.recovered.lagging, [(sub.key, Seq(5))]);
        assert_eq!(rig.registry.read().expect("unharmed").subscription(sub.key), Some(&sub));
        assert_eq!(rig.append(vec![event("acme", "evt-2", 1)]), Ok(vec![Appended::Duplicate]));
        assert_eq!(rig.accept("acme", [6]), [Seq(6)]);
        assert_eq!(rig.store.attempts(sub.key, Seq(4)).expect("reads").len(), 1);
        rig.stop();
    }
}

#[test]
fn the_lowest_watermark_counts_whatever_the_workers() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    rig.subscribe("acme", "https://one.example/", "one");
    rig.accept("acme", 1..=9);
    rig.settle(settlement(0, 1, Seq(9)));
    rig.settle(settlement(1, 1, Seq(4)));
    rig.stop();
    let rig = Rig::at(dir.path());
    assert_eq!(rig.recovered.watermark, Seq(4));
    rig.settle(settlement(0, 1, Seq(9)));
    rig.stop();
    assert_eq!(Rig::at(dir.path()).recovered.watermark, Seq(4), "both began at 4, one has risen");
}

#[test]
fn an_idle_worker_does_not_hold_the_watermark_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    rig.live(0);
    rig.live(1);
    rig.accept("nobody-wants-it", 1..=7);
    let low = || rig.store.stats().low_watermark.load(Ordering::SeqCst);
    assert!(eventually(|| (low() == 7).then_some(())).is_some(), "raised by the next tick");
    rig.stop();
    assert_eq!(Rig::at(dir.path()).recovered.watermark, Seq(7));
}

#[test]
fn duplicates_in_sealed_partitions_across_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let total = OPEN_IDS_MAX as u64 + 5000;
    let ids: Vec<u64> = (0..total).collect();
    for chunk in ids.chunks(4000) {
        rig.accept("acme", chunk.iter().copied());
    }
    let probes = [0, 77, total / 2, OPEN_IDS_MAX as u64 - 1, total - 1];
    let check = |rig: &Rig, fresh: u64| {
        for id in probes {
            let result = rig.append(vec![event("acme", &format!("evt-{id}"), 1)]);
            assert_eq!(result, Ok(vec![Appended::Duplicate]), "{id}");
        }
        rig.accept("acme", [fresh]);
        let find = |id| rig.store.find_event(rig.account("acme"), &format!("evt-{id}")).expect("reads");
        assert_eq!(find(77).map(|event| event.seq), Some(Seq(78)));
    };
    check(&rig, total + 1);
    // Until the seal is on disk, a start finds the ids of the open time; afterwards, the filter.
    let killed = rig.crash_image();
    let sealed = |rig: &Rig| {
        rig.store.with(|db| {
            let mut cursor = db.cursor(Family::Ids, &crate::log::key::KeyRange::sealed(Seq(1)))?;
            cursor.first();
            Ok(cursor.row()?.is_some())
        })
    };
    assert!(eventually(|| sealed(&rig).expect("reads").then_some(())).is_some(), "the seal comes");
    check(&rig, total + 2);
    rig.stop();
    check(&Rig::at(dir.path()), total + 3);
    check(&Rig::at(killed.path()), total + 4);
}

#[test]
fn refused_openings() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock(Arc::new(AtomicU64::new(START)));
    let open = |path: &Path| recovery::open(&options(path, &clock)).err();
    let rig = Rig::at(dir.path());
    rig.accept("acme", [1]);
    assert_eq!(open(dir.path()), Some(StoreError::InUse(dir.path().to_owned())));
    rig.stop();

    let file = dir.path().join("a-file");
    std::fs::write(&file, b"x").expect("writes");
    assert_eq!(open(&file), Some(StoreError::NotADirectory(file.clone())));
    assert_eq!(open(&file.join("below")), Some(StoreError::NotADirectory(file.join("below"))));

    let raw = |change: &dyn Fn(&Db)| {
        let db = Db::open(&options(dir.path(), &clock).db, &Arc::new(Floors::default())).expect("opens");
        change(&db);
        db.flush().expect("flushes");
    };
    raw(&|db| {
        let mut batch = db.batch().expect("a batch");
        batch.put(Family::Meta, Key::Format.encode().as_ref(), &encode(&2u32).expect("encodes"));
        db.write(batch, true).expect("writes");
    });
    assert_eq!(open(dir.path()), Some(StoreError::NewerFormat { found: 2, supported: 1 }));
}

#[test]
fn a_corrupt_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    rig.accept("acme", 1..=100);
    rig.store.with(Db::flush).expect("flushes");
    rig.stop();
    let manifest = std::fs::read_dir(dir.path())
        .expect("is there")
        .map(|entry| entry.expect("is there").path())
        .find(|path| path.to_string_lossy().contains("MANIFEST"))
        .expect("has one");
    let mut bytes = std::fs::read(&manifest).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&manifest, bytes).expect("writes");
    let clock = Clock(Arc::new(AtomicU64::new(START)));
    let error = recovery::open(&options(dir.path(), &clock)).err();
    assert!(matches!(error, Some(StoreError::Corrupt(_))), "{error:?}");
    assert_eq!(error.expect("is one").code(), "store_corrupt");
}

#[test]
fn a_damaged_row_is_told_and_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    for n in 1..=3 {
        rig.accept("acme", [n]);
    }
    rig.store
        .with(|db| {
            let mut batch = db.batch()?;
            batch.put(Family::Events, Key::Events { first: Seq(2) }.encode().as_ref(), b"\x01damaged");
            db.write(batch, true)
        })
        .expect("writes");
    let worker = rig.owner(&sub);
    let Input::LogPage(page) = rig.read(worker, Read::Log { worker, from: Seq(1) }) else {
        panic!("another page")
    };
    let seqs: Vec<u64> = page.events.iter().map(|event| event.seq.0).collect();
    assert_eq!((seqs, page.through, page.end), (vec![1, 3], Seq(3), true));
    assert_eq!(rig.store.event(Seq(2)).expect("reads"), None);
    assert_eq!(rig.store.stats().damaged_rows.load(Ordering::SeqCst), 2);
    rig.stop();
}
