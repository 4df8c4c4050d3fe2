//! A disk that is full: refusing, keeping, and going on by itself.

use std::process::Command;

use super::*;

/// A small file system of its own, where this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            Some(Self(dir))
        } else {
            eprintln!("skipped: no file system can be mounted here");
            None
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

fn flood(rig: &Rig, n: u64) -> Result<Vec<Appended>, Refused> {
    let noise = || format!("{:x}", u128::from_le_bytes(crate::rt::random::bytes())).repeat(30);
    let events = (0..100).map(|k| {
        let id = format!("f{n}-{k}");
        let body = Bytes::from(format!("{{\"id\":\"{id}\",\"data\":\"{}\"}}", noise()));
        NewEvent { body, ..event("acme", &id, 1) }
    });
    rig.append(events.collect())
}

/// Tries until it is taken.
fn until_taken(rig: &Rig, account: &str, id: &str) -> Vec<Appended> {
    eventually(|| rig.append(vec![event(account, id, 1)]).ok()).expect("goes on by itself")
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let store = disk.0.path().join("store");
    let clock = Clock(Arc::new(AtomicU64::new(START)));
    let rig = Rig::with(&options(&store, &clock), clock.clone()).expect("opens");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![7; 24 << 20]).expect("writes");
    let mut accepted = 0;
    let refused = (0..10_000).find_map(|n| match flood(&rig, n) {
        Ok(taken) => {
            accepted += taken.len() as u64;
            None
        }
        Err(refused) => Some(refused),
    });
    assert!(matches!(refused, Some(Refused::Store(_))), "{refused:?}");
    assert!(accepted > 0);
    assert_eq!(rig.store.head(), Seq(accepted), "nothing of what was refused");
    assert!(rig.store.stats().failed.load(Ordering::SeqCst));
    assert!(rig.store.event(Seq(1)).expect("can still be read").is_some());
    assert!(flood(&rig, 20_000).is_err(), "and stays refused");
    // A settlement waits and is written when there is room.
    let mut done = settlement(0, 1, Seq(0));
    done.attempts = vec![delivered(SubscriptionKey(1), Seq(1))];
    rig.requests.send(Request::Settle(done)).expect("sends");
    std::fs::remove_file(&ballast).expect("removes");
    let taken = until_taken(&rig, "acme", "after");
    let Input::Flushed { serial: 1 } = rig.input(0) else { panic!("another input") };
    assert_eq!(rig.store.attempts(SubscriptionKey(1), Seq(1)).expect("reads").len(), 1);
    let Appended::Accepted(next) = taken[0] else { panic!("a duplicate") };
    assert_eq!(next, Seq(accepted + 1));
    for seq in [1, accepted / 2, accepted, next.0] {
        assert!(rig.store.event(Seq(seq)).expect("reads").is_some(), "{seq}");
    }
    rig.stop();
    let rig = Rig::with(&options(&store, &clock), clock.clone()).expect("opens");
    assert_eq!(rig.recovered.head, next);
}

#[test]
fn the_reserve_is_kept() {
    let Some(disk) = SmallDisk::mount(128) else { return };
    let clock = Clock(Arc::new(AtomicU64::new(START)));
    let mut options = options(&disk.0.path().join("store"), &clock);
    options.disk_reserve_bytes = 64 << 20;
    let rig = Rig::with(&options, clock).expect("opens");
    rig.accept("acme", [1]);
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![7; 50 << 20]).expect("writes");
    let low = eventually(|| rig.store.stats().disk_low.load(Ordering::SeqCst).then_some(()));
    assert!(low.is_some(), "seen by the next tick");
    assert_eq!(rig.append(vec![event("acme", "x", 1)]), Err(Refused::DiskReserve));
    rig.settle(settlement(0, 1, Seq(0)));
    std::fs::remove_file(&ballast).expect("removes");
    assert_eq!(until_taken(&rig, "acme", "x"), [Appended::Accepted(Seq(2))]);
    rig.stop();
}
