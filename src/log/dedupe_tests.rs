//! Tests of the deduplication state against a plain map.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn print(n: u64) -> Fingerprint {
    // Spread, as real fingerprints are.
    Fingerprint(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What the shell does: builds, writes, says so.
fn finish(dedupe: &mut Dedupe, job: &SealJob) {
    dedupe.sealed(job.partition, job.newest_at, job.entries.len(), Filter::build(&job.entries));
}

fn seen(dedupe: &Dedupe, n: u64) -> bool {
    dedupe.exact(print(n)).is_some() || dedupe.maybe(print(n)).next().is_some()
}

#[test]
fn known_through_every_stage() {
    let mut dedupe = Dedupe::new(DAY);
    let start = UnixMillis(1_000_000);
    for n in 1..=1000 {
        assert!(!seen(&dedupe, n));
        dedupe.insert(print(n), Seq(n), start);
    }
    assert_eq!(dedupe.partition_for(Seq(2000)), (Seq(1), Some(start)));
    let job = dedupe.seal().expect("one is open");
    assert_eq!((job.partition, job.entries.len()), (Seq(1), 1000));
    assert!(job.entries.is_sorted());
    assert!((1..=1000).all(|n| dedupe.exact(print(n)) == Some(Seq(n))), "exact while being sealed");
    assert_eq!(dedupe.seal(), None, "one at a time, and none is open");
    dedupe.insert(print(5000), Seq(1001), start + HOUR);
    assert_eq!(dedupe.partition_for(Seq(9)).0, Seq(1001));
    finish(&mut dedupe, &job);
    for n in 1..=1000 {
        assert_eq!(dedupe.exact(print(n)), None);
        assert_eq!(dedupe.maybe(print(n)).collect::<Vec<_>>(), [Seq(1)]);
    }
    let wrong = (10_000..110_000).filter(|n| dedupe.maybe(print(*n)).next().is_some()).count();
    assert!(wrong < 20, "one in 65 536, had {wrong} of 100 000");
}

#[test]
fn leaves_with_the_window() {
    let mut dedupe = Dedupe::new(DAY);
    let start = UnixMillis(0);
    dedupe.insert(print(1), Seq(1), start);
    assert!(!dedupe.wants_seal(start + HOUR / 2));
    assert!(dedupe.wants_seal(start + HOUR), "a 24th of the window");
    let job = dedupe.seal().expect("one is open");
    finish(&mut dedupe, &job);
    dedupe.expire(start + DAY);
    assert!(seen(&dedupe, 1));
    dedupe.expire(start + DAY + HOUR);
    assert!(!seen(&dedupe, 1));
    assert_eq!(dedupe.forgotten(), 0, "that was its time");
    assert!(dedupe.in_window(start, start + DAY) && !dedupe.in_window(start, start + DAY + HOUR));
}

#[test]
fn bounded_and_counted() {
    let mut dedupe = Dedupe::new(DAY).with_filtered_ids_max(250);
    for n in 1..=400 {
        dedupe.insert(print(n), Seq(n), UnixMillis(n));
        if n % 100 == 0 {
            let job = dedupe.seal().expect("one is open");
            finish(&mut dedupe, &job);
        }
    }
    assert_eq!(dedupe.forgotten(), 2);
    assert!(!seen(&dedupe, 1) && !seen(&dedupe, 200) && seen(&dedupe, 201) && seen(&dedupe, 400));
}

#[test]
fn wants_seal_by_size_and_waits_at_twice_of_it() {
    let mut dedupe = Dedupe::new(DAY);
    let now = UnixMillis(5);
    let mut n = 0;
    let mut fill = |dedupe: &mut Dedupe, count| {
        for _ in 0..count {
            n += 1;
            dedupe.insert(print(n), Seq(n), now);
        }
    };
    fill(&mut dedupe, OPEN_IDS_MAX - 1);
    assert!(!dedupe.wants_seal(now));
    fill(&mut dedupe, 1);
    assert!(dedupe.wants_seal(now));
    let job = dedupe.seal().expect("one is open");
    fill(&mut dedupe, 2 * OPEN_IDS_MAX - 1);
    assert!(!dedupe.overfull() && !dedupe.wants_seal(now));
    fill(&mut dedupe, 1);
    assert!(dedupe.overfull());
    finish(&mut dedupe, &job);
    assert!(!dedupe.overfull() && dedupe.wants_seal(now));
}

#[test]
fn a_failed_sealing_loses_nothing() {
    let mut dedupe = Dedupe::new(DAY);
    dedupe.insert(print(1), Seq(1), UnixMillis(0));
    assert!(dedupe.seal().is_some());
    dedupe.insert(print(2), Seq(2), UnixMillis(5));
    dedupe.unseal();
    assert!(seen(&dedupe, 1) && seen(&dedupe, 2));
    let job = dedupe.seal().expect("one is open");
    assert_eq!((job.partition, job.newest_at, job.entries.len()), (Seq(1), UnixMillis(5), 2));
}

#[test]
fn small_and_odd_partitions() {
    for count in [0u64, 1, 2, 3, 5, 17] {
        let entries: IdsRow = {
            let mut entries: IdsRow = (0..count).map(|n| (print(n + 1), 0)).collect();
            entries.sort_unstable();
            entries
        };
        let filter = Filter::build(&entries);
        assert!((1..=count).all(|n| filter.may_hold(print(n))), "{count}");
    }
}
