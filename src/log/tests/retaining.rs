//! Retention: floors rise with time, files go, and nothing below a floor is shown.

use super::*;
use crate::log::db::Family;
use crate::log::options::Retention;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn files_below_the_floor_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock(Arc::new(AtomicU64::new(START)));
    let mut options = options(dir.path(), &clock);
    options.retention = Retention { events: HOUR, attempts: HOUR, dead_letters: HOUR, audit: HOUR };
    options.dedupe_window = HOUR;
    options.db.events_buffer_bytes = 256 << 10;
    options.db.other_buffer_bytes = 64 << 10;
    let rig = Rig::with(&options, clock.clone()).expect("opens");
    let sub = rig.subscribe("acme", "https://one.example/", "*");
    let noise = || format!("{:x}", u128::from_le_bytes(crate::rt::random::bytes())).repeat(40);
    for n in 0..3000 {
        if n % 500 == 0 {
            clock.advance(HOUR / 3);
        }
        let id = format!("e{n}");
        let body = Bytes::from(format!("{{\"id\":\"{id}\",\"data\":\"{}\"}}", noise()));
        rig.append(vec![NewEvent { body, ..event("acme", &id, 1) }]).expect("is taken");
    }
    let mut done = settlement(0, 1, Seq(0));
    done.attempts = (1..=3000).map(|seq| delivered(sub.key, Seq(seq))).collect();
    rig.settle(done);
    let bytes = || {
        rig.store.with(|db| {
            db.flush()?;
            // Level 0 has no ranges to drop: as time would, this moves its files down.
            Family::ALL.into_iter().try_for_each(|family| db.compact(family))?;
            Ok(db.bytes(Family::Events))
        })
    };
    let before = bytes().expect("compacts");
    rig.stop();

    // Half an hour later the first three of six groups of events are older than an hour.
    clock.advance(HOUR / 2);
    let rig = Rig::with(&options, clock.clone()).expect("opens");
    let floor = || rig.store.floor();
    let risen = eventually(|| Some(floor()).filter(|floor| *floor > Seq(0)));
    assert_eq!(risen, Some(Seq(1501)), "the first tick looks at retention");
    let compacted = rig.store.with(|db| {
        Family::ALL.into_iter().try_for_each(|family| db.compact(family))?;
        Ok((db.bytes(Family::Events), db.rows_estimate(Family::ByAccount)))
    });
    let (after, rows) = compacted.expect("compacts");
    assert!(after < before / 4 * 3, "{after} of {before} bytes are left");
    assert!(rows <= 1500, "{rows} rows of by_account are left");
    assert_eq!(rig.store.event(Seq(1500)).expect("reads"), None);
    assert!(rig.store.event(Seq(1501)).expect("reads").is_some());
    assert!(rig.store.attempts(sub.key, Seq(100)).expect("reads").is_empty());
    assert_eq!(rig.store.attempts(sub.key, Seq(2500)).expect("reads").len(), 1);
    let worker = rig.owner(&sub);
    let read = Read::Subscription { worker, subscription: Arc::clone(&sub), from: Seq(10), limit: 100 };
    let Input::SubscriptionPage(page) = rig.read(worker, read) else { panic!("another page") };
    assert_eq!((page.expired_below, page.events.len()), (Some(Seq(1501)), 0), "the rest is delivered");
    let Input::LogPage(page) = rig.read(worker, Read::Log { worker, from: Seq(1) }) else {
        panic!("another page")
    };
    assert_eq!(page.events[0].seq, Seq(1501));
    rig.stop();
    // The floor outlives the process.
    let rig = Rig::with(&options, clock).expect("opens");
    assert_eq!((rig.store.floor(), rig.recovered.head), (Seq(1501), Seq(3000)));
    rig.stop();
    // What it has dropped is no damage.
    let report = crate::log::verify::verify(&options.db, &mut |damage| panic!("{damage}")).expect("is read");
    assert_eq!((report.floor, report.head), (Seq(1501), Seq(3000)));
    assert!(report.events < 3000, "files were dropped: {report:?}");
}
