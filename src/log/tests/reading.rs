//! Settlements and the pages that workers get.

use super::*;
use crate::log::api::{Found, PAGE_BYTES_MAX, PAGE_RETRIES_MAX};
use crate::log::query::EventFilter;
use crate::model::EventMask;
use crate::settle::{DeadReason, DeadRow, Released, RetryKey, RetryRow};

fn retry(due: u64, subscription: SubscriptionKey, seq: u64) -> RetryRow {
    RetryRow {
        key: RetryKey { due: UnixMillis(due), subscription, seq: Seq(seq) },
        attempts: 2.into(),
        accepted_at: UnixMillis(5),
        trigger: Trigger::Retry,
    }
}

#[test]
fn the_log_without_what_is_settled() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    let worker = rig.owner(&sub);
    rig.accept("acme", 1..=5);
    rig.accept("nobody-wants-it", 6..=7);
    let mut done = settlement(worker, 1, Seq(2));
    done.attempts = vec![delivered(sub.key, Seq(3)), delivered(sub.key, Seq(5))];
    rig.settle(done);
    let read = |from| match rig.read(worker, Read::Log { worker, from: Seq(from) }) {
        Input::LogPage(page) => page,
        _ => panic!("another page"),
    };
    let page = read(2);
    let seqs: Vec<u64> = page.events.iter().map(|event| event.seq.0).collect();
    assert_eq!((seqs, page.through, page.end), (vec![2, 3, 4, 5], Seq(7), true));
    assert_eq!(page.settled, [(sub.key, Seq(3)), (sub.key, Seq(5))].into());
    let page = read(8);
    assert_eq!((page.events.len(), page.through, page.end), (0, Seq(7), true));
    rig.stop();
}

#[test]
fn pages_of_the_log_are_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    rig.subscribe("acme", "https://one.example/", "*");
    for batch in 0..3 {
        rig.accept("acme", batch * 1000..(batch + 1) * 1000);
    }
    let (mut from, mut sizes) = (Seq(1), Vec::new());
    loop {
        let Input::LogPage(page) = rig.read(0, Read::Log { worker: 0, from }) else { panic!("another page") };
        assert_eq!(page.events.first().map_or(from, |event| event.seq), from);
        sizes.push(page.events.len());
        from = page.through.next();
        if page.end {
            break;
        }
    }
    assert_eq!((from, sizes), (Seq(3001), vec![1024, 1024, 952]));
    rig.stop();
}

#[test]
fn a_lagging_subscription_catches_up_page_by_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    let worker = rig.owner(&sub);
    for n in 0..40 {
        rig.append(vec![event("acme", &format!("a{n}"), 1), event("acme", &format!("b{n}"), 2)])
            .expect("taken");
        rig.append(vec![event("other", &format!("c{n}"), 1)]).expect("taken");
    }
    let mut done = settlement(worker, 1, Seq(0));
    done.attempts = vec![delivered(sub.key, Seq(1)), delivered(sub.key, Seq(7))];
    done.lagging_put = vec![(sub.key, Seq(1))];
    rig.settle(done);
    let (mut from, mut seqs) = (Seq(1), Vec::new());
    loop {
        let read = Read::Subscription { worker, subscription: Arc::clone(&sub), from, limit: 9 };
        let Input::SubscriptionPage(page) = rig.read(worker, read) else { panic!("another page") };
        assert_eq!((page.subscription, page.from, page.expired_below), (sub.key, from, None));
        assert!(page.events.len() <= 9);
        seqs.extend(page.events.iter().map(|event| event.seq.0));
        from = page.through.next();
        if page.end {
            break;
        }
    }
    let want: Vec<u64> = (0..40).map(|n| n * 3 + 1).filter(|seq| ![1, 7].contains(seq)).collect();
    assert_eq!((seqs, from), (want, Seq(121)));
    rig.stop();
}

#[test]
fn retries_by_window_and_owner() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let mine = rig.subscribe("acme", "https://one.example/", "one");
    let worker = rig.owner(&mine);
    let theirs = (0..64)
        .map(|n| rig.subscribe("acme", &format!("https://host{n}.example/"), "one"))
        .find(|sub| rig.owner(sub) != worker)
        .expect("one of them is the other's");
    let gone = SubscriptionKey(999);
    let mut put = settlement(worker, 1, Seq(0));
    put.retries_put = (0..PAGE_RETRIES_MAX as u64 + 10).map(|n| retry(1000 + n, mine.key, n)).collect();
    put.retries_put.extend([retry(1001, theirs.key, 1), retry(1002, gone, 1), retry(50_000, mine.key, 7)]);
    // Put and deleted in one settlement: gone.
    put.retries_put.push(retry(1005, mine.key, 77));
    put.retries_delete = vec![retry(1005, mine.key, 77).key];
    rig.settle(put);
    let waiting = || rig.store.stats().retries_waiting.load(Ordering::SeqCst);
    assert_eq!(waiting(), PAGE_RETRIES_MAX as u64 + 13);
    let read = |worker, only, after| match rig
        .read(worker, Read::Retries { worker, only, after, until: UnixMillis(50_000) })
    {
        Input::RetryPage(page) => page,
        _ => panic!("another page"),
    };
    let first = read(worker, None, None);
    assert_eq!(first.rows.len(), PAGE_RETRIES_MAX);
    assert_eq!(first.rows[0], retry(1000, mine.key, 0));
    let second = read(worker, None, Some(first.next.expect("there is more")));
    assert_eq!((second.rows.len(), second.next), (10, None));
    assert!(first.rows.iter().chain(&second.rows).all(|row| row.key.subscription == mine.key));
    let other = read(1 - worker, None, None);
    assert_eq!((other.rows, other.next), (vec![retry(1001, theirs.key, 1)], None));
    let only = read(1 - worker, Some(theirs.key), Some(retry(1001, theirs.key, 0).key));
    assert_eq!(only.rows, [retry(1001, theirs.key, 1)]);
    // The row of a subscription that is gone went with the next write, and was counted once.
    rig.settle(settlement(worker, 2, Seq(0)));
    assert_eq!(waiting(), PAGE_RETRIES_MAX as u64 + 12);
    assert_eq!(rig.store.retries_of(theirs.key, 10).expect("reads"), [retry(1001, theirs.key, 1)]);
    // One that is tried again later is found where it lies now.
    let later = retry(5000, theirs.key, 1);
    let mut again = settlement(1 - worker, 1, Seq(0));
    again.retries_put = vec![later];
    again.retries_delete = vec![retry(1001, theirs.key, 1).key];
    rig.settle(again);
    assert_eq!(rig.store.retry_of(theirs.key, later.key.seq).expect("reads"), Some(later));
    assert_eq!(rig.store.retries_of(theirs.key, 10).expect("reads"), [later]);
    let mut done = settlement(1 - worker, 2, Seq(0));
    done.retries_delete = vec![later.key];
    rig.settle(done);
    assert_eq!(rig.store.retry_of(theirs.key, later.key.seq).expect("reads"), None);
    rig.stop();
}

#[test]
fn bodies_and_released_subscriptions() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "one");
    let owner = rig.owner(&sub);
    rig.accept("acme", 1..=3);
    let read = |wanted| match rig.read(owner, Read::Bodies { worker: owner, wanted }) {
        Input::Bodies(bodies) => bodies,
        _ => panic!("another page"),
    };
    let bodies = read(vec![(sub.key, Seq(3)), (sub.key, Seq(9)), (sub.key, Seq(1))]);
    let id = |found: &Found| match found {
        Found::Event(event) => event.id().to_owned(),
        Found::Expired => "expired".to_owned(),
        Found::NotNow => "not now".to_owned(),
    };
    let got: Vec<_> = bodies.iter().map(|body| (body.seq.0, id(&body.found))).collect();
    assert_eq!(got, [(1, "evt-1".into()), (3, "evt-3".into()), (9, "expired".into())]);
    // No answer is larger than a page, and one event more.
    let bodies = read(vec![(sub.key, Seq(2)); PAGE_BYTES_MAX / 10]);
    let came = bodies.iter().map_while(|body| match &body.found {
        Found::Event(event) => Some(event.body().len()),
        Found::Expired | Found::NotNow => None,
    });
    let (count, bytes) = came.fold((0, 0), |(count, bytes), len| (count + 1, bytes + len));
    assert!((PAGE_BYTES_MAX..PAGE_BYTES_MAX + bytes / count).contains(&bytes), "{bytes} bytes");
    assert!(bodies[count..].iter().all(|body| matches!(body.found, Found::NotNow)));
    assert_eq!(bodies.len(), PAGE_BYTES_MAX / 10);
    let mut letting_go = settlement(1 - owner, 1, Seq(3));
    let released = Released { subscription: sub.key, cursor: Seq(2) };
    letting_go.lagging_put = vec![(sub.key, Seq(2))];
    letting_go.released = vec![released, Released { subscription: SubscriptionKey(999), cursor: Seq(1) }];
    rig.settle(letting_go);
    let Input::Adopt(adopted) = rig.input(owner) else { panic!("another input") };
    assert_eq!(adopted, released);
    assert!(rig.workers[owner].inputs.is_empty(), "nothing of the one that is gone");
    rig.stop();
}

#[test]
fn what_the_admin_api_asks() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub = rig.subscribe("acme", "https://one.example/", "*");
    rig.accept("acme", 1..=4);
    rig.clock.advance(Duration::from_secs(60));
    rig.append((5..=8).map(|n| event("acme", &format!("evt-{n}"), 2)).collect()).expect("taken");
    rig.accept("other", [3]);
    let acme = rig.account("acme");
    let check = |before: Option<u64>, limit, filter: EventFilter, want: &[u64], next: Option<u64>| {
        let page = rig.store.account_events(acme, before.map(Seq), limit, &filter).expect("reads");
        assert_eq!(page.items.iter().map(|event| event.seq.0).collect::<Vec<_>>(), want);
        assert_eq!(page.next, next.map(Seq));
    };
    let all = EventFilter::default();
    check(None, 3, all, &[8, 7, 6], Some(6));
    check(Some(6), 10, all, &[5, 4, 3, 2, 1], None);
    check(None, 10, EventFilter { types: Some(EventMask::of([TypeBit(1)])), ..all }, &[4, 3, 2, 1], None);
    check(None, 10, EventFilter { since: Some(UnixMillis(START + 1)), ..all }, &[8, 7, 6, 5], None);
    check(None, 10, EventFilter { until: Some(UnixMillis(START + 1)), ..all }, &[4, 3, 2, 1], None);
    let find = |id| rig.store.find_event(acme, id).expect("reads").map(|event| event.seq.0);
    assert_eq!((find("evt-3"), find("evt-8"), find("evt-9")), (Some(3), Some(8), None));

    let mut done = settlement(0, 1, Seq(0));
    let second = Attempt { number: 2, ..attempt(Seq(4), Disposition::Dead) };
    done.attempts = vec![
        (sub.key, attempt(Seq(4), Disposition::Retry(UnixMillis(9)))),
        (sub.key, second.clone()),
        delivered(sub.key, Seq(2)),
    ];
    let dead = DeadRow { subscription: sub.key, seq: Seq(4), reason: DeadReason::Gone, at: UnixMillis(7) };
    done.dead_put = vec![dead];
    rig.settle(done);
    let numbers: Vec<u16> =
        rig.store.attempts(sub.key, Seq(4)).expect("reads").iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(rig.store.attempts_in(sub.key, (Seq(1), Seq(8))).expect("reads").len(), 2);
    assert_eq!(rig.store.dead(sub.key, Seq(0), 10).expect("reads"), [dead]);
    // Resent by hand, and it arrived: no dead letter any more.
    let mut resent = settlement(0, 2, Seq(0));
    let arrived = attempt(Seq(4), Disposition::Delivered);
    resent.attempts = vec![(sub.key, Attempt { number: 3, trigger: Trigger::Resend, ..arrived })];
    rig.settle(resent);
    assert!(rig.store.dead(sub.key, Seq(0), 10).expect("reads").is_empty());
    // Deleted: its rows go with the next write.
    let account = AccountName::parse("acme").expect("a name");
    rig.change(Change::DeleteSubscription { account, id: sub.id.clone(), if_match: None });
    rig.settle(settlement(0, 3, Seq(0)));
    assert!(rig.store.attempts(sub.key, Seq(4)).expect("reads").is_empty());
    rig.stop();
}

/// A filter refuses most: pages end all the same, leave out nothing, and a backlog is estimated by what it lets through.
#[test]
fn a_filter_decides_what_a_lagging_subscription_gets() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let sub =
        rig.subscribe_filtered("acme", "https://one.example/", "one", &json!({"path": "id", "prefix": "a"}));
    let worker = rig.owner(&sub);
    let mut wanted = Vec::new();
    for batch in 0..30u64 {
        let of = batch * 100..(batch + 1) * 100;
        wanted.extend(of.clone().filter(|n| n % 97 == 3).map(|n| n + 1));
        let id = |n: u64| format!("{}{n}", if n % 97 == 3 { "a" } else { "b" });
        rig.append(of.map(|n| event("acme", &id(n), 1)).collect()).expect("taken");
    }
    let settled = wanted.remove(5);
    let mut done = settlement(worker, 1, Seq(0));
    done.attempts = vec![delivered(sub.key, Seq(settled))];
    rig.settle(done);
    let (mut from, mut seqs, mut pages) = (Seq(1), Vec::new(), 0);
    loop {
        let read = Read::Subscription { worker, subscription: Arc::clone(&sub), from, limit: 9 };
        let Input::SubscriptionPage(page) = rig.read(worker, read) else { panic!("another page") };
        assert!(page.events.len() <= 9 && page.through >= from);
        seqs.extend(page.events.iter().map(|event| event.seq.0));
        from = page.through.next();
        pages += 1;
        if page.end {
            break;
        }
    }
    assert_eq!((seqs, from), (wanted, Seq(3001)));
    assert!(pages <= 8, "{pages} pages: a page of few finds looks at many");
    let read = Read::Backlog { worker, subscription: Arc::clone(&sub), from: Seq(1), through: Seq(3000) };
    let Input::Backlog(backlog) = rig.read(worker, read) else { panic!("another page") };
    assert!((10..=90).contains(&backlog.events), "{} of 30", backlog.events);
    let Input::LogPage(page) = rig.read(worker, Read::Log { worker, from: Seq(1) }) else {
        panic!("another page")
    };
    assert_eq!(page.settled, [(sub.key, Seq(settled))].into());
    rig.stop();
}
