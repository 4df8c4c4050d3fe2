//! The index against a naive oracle, its snapshots, and what a look-up costs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::operational::{DEAD, event_id};
use crate::model::subscription::tests::sample;
use crate::model::{Epoch, EventMask, Filter, UnixMillis};
use crate::route::LINEAR_MAX;

/// From where on, which types, and the floor that a filter wants.
type Wish = (u64, Vec<u8>, Option<u64>);

fn subscription(key: u64, host: usize, epochs: Vec<Wish>) -> Arc<Subscription> {
    let mut sub = sample(key, &format!("http://h{host}.example/"));
    let filter = |floor| {
        let condition = json!({"path": "data.floor", "eq": floor});
        Arc::new(Filter::parse(&condition, "filter").expect("a valid filter"))
    };
    sub.epochs = epochs
        .into_iter()
        .map(|(from, bits, floor)| Epoch {
            from: Seq(from),
            mask: EventMask::of(bits.into_iter().map(TypeBit)),
            filter: floor.map(filter),
        })
        .collect();
    Arc::new(sub)
}

fn event(account: u32, bit: TypeBit, seq: Seq, floor: u64) -> Event {
    let body = Bytes::from(format!(r#"{{"id":"e","data":{{"floor":{floor}}}}}"#));
    Event::new(seq, AccountKey(account), bit, UnixMillis(0), 1, body).expect("well-formed")
}

/// What the epochs say, worked out in another way than the index does.
fn wants(sub: &Subscription, bit: TypeBit, seq: Seq, floor: u64) -> bool {
    let then = sub.epochs.iter().filter(|epoch| epoch.from <= seq).max_by_key(|epoch| epoch.from);
    then.is_some_and(|epoch| {
        let eq = |filter: &Arc<Filter>| filter.given()["eq"] == json!(floor);
        epoch.mask.contains(bit) && epoch.filter.as_ref().is_none_or(eq)
    })
}

/// Of the events that are looked up.
const FLOOR: u64 = 1;

type Accounts = BTreeMap<u32, Vec<Arc<Subscription>>>;

fn check_against_oracle(index: &Index, accounts: &Accounts, account: u32, bit: TypeBit, seq: Seq) {
    let subs = accounts.get(&account).map_or(&[][..], Vec::as_slice);
    let mut mask = 0;
    for worker in 0..index.workers() {
        let mut want: Vec<u64> = subs
            .iter()
            .filter(|sub| index.owner(sub) == worker)
            .filter(|sub| wants(sub, bit, seq, FLOOR))
            .map(|sub| sub.key.0)
            .collect();
        let mut got = Vec::new();
        index.for_each(&event(account, bit, seq, FLOOR), worker, |sub| got.push(sub.key.0));
        got.sort_unstable();
        want.sort_unstable();
        assert_eq!(got, want, "account {account}, {bit:?}, {seq:?}, worker {worker}");
        let may = subs.iter().any(|sub| index.owner(sub) == worker && sub.may_want(bit, seq));
        mask |= u64::from(may) << worker;
    }
    assert_eq!(index.workers_wanting(AccountKey(account), bit, seq), mask);
}

fn any_epochs() -> impl Strategy<Value = Vec<Wish>> {
    let bits = prop_oneof![Just(vec![]), proptest::collection::vec(0u8..4, 1..3), Just(vec![3, 70, 255])];
    let floor = prop_oneof![2 => Just(None), 3 => (0u64..3).prop_map(Some)];
    proptest::collection::btree_map(1u64..20, (bits, floor), 1..4)
        .prop_map(|map| map.into_iter().map(|(from, (bits, floor))| (from, bits, floor)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn routes_as_the_oracle_does(
        workers in proptest::sample::select(vec![1usize, 2, 5, 64]),
        changes in proptest::collection::vec(
            (proptest::sample::select(vec![1u32, 2, 511, 512, 100_000]),
             proptest::collection::vec((0usize..8, any_epochs()), 0..2 * LINEAR_MAX)),
            1..8,
        ),
    ) {
        let mut index = Index::empty(workers);
        let mut accounts = Accounts::new();
        for (account, subs) in changes {
            let subs: Vec<_> =
                subs.into_iter().zip(1u64..).map(|((host, epochs), key)| subscription(key, host, epochs)).collect();
            index = index.with(AccountKey(account), &subs);
            accounts.insert(account, subs);
        }
        let built = Index::build(workers, accounts.iter().map(|(key, subs)| (AccountKey(*key), subs.as_slice())));
        for account in [0, 1, 2, 511, 512, 513, 100_000, u32::MAX] {
            for bit in [0u8, 1, 2, 3, 4, 70, 255] {
                for seq in [0u64, 1, 5, 10, 19, 20, 1000] {
                    for index in [&index, &built] {
                        check_against_oracle(index, &accounts, account, TypeBit(bit), Seq(seq));
                    }
                }
            }
        }
    }
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let wants = |index: &Index| index.workers_wanting(AccountKey(3), TypeBit(0), Seq(9)) != 0;
    let first = Index::empty(4).with(AccountKey(3), &[subscription(1, 1, vec![(1, vec![0], None)])]);
    let second = first.with(AccountKey(3), &[]);
    let third = second.with(AccountKey(4), &[subscription(2, 1, vec![(1, vec![0], None)])]);
    assert!(wants(&first) && !wants(&second) && !wants(&third));
    let found = |index: &Index| index.subscription(SubscriptionKey(1)).is_some();
    assert!(found(&first) && !found(&second) && !found(&third));
    assert_eq!(Index::empty(1000).workers(), WORKERS_MAX);
    assert_eq!(Index::empty(0).workers(), 1);
}

#[test]
fn what_happens_to_an_operational_event_is_not_told_to_its_subject() {
    let subs = [1, 2].map(|key| subscription(key, 1, vec![(1, vec![DEAD.0], None)]));
    let index = Index::empty(1).with(AccountKey(1), &subs);
    let id = event_id(&subs[0].id, "dead", 7).expect("fits");
    let body = Bytes::from(format!("{{\"id\":\"{id}\"}}"));
    let len = u8::try_from(id.as_str().len()).expect("short");
    let event = Event::new(Seq(9), AccountKey(1), DEAD, UnixMillis(0), len, body).expect("well-formed");
    let mut told = Vec::new();
    index.for_each(&event, 0, |sub| told.push(sub.key.0));
    assert_eq!(told, [2]);
}

/// Nanoseconds of one look-up, the best of several rounds.
#[expect(clippy::disallowed_methods, reason = "a measurement reads a clock")]
fn cost(index: &Index, accounts: u32) -> f64 {
    let round = || {
        let start = std::time::Instant::now();
        let mut found = 0;
        for n in 0..200_000u32 {
            let account = AccountKey(1 + n.wrapping_mul(2_654_435_761) % accounts);
            found |= index.workers_wanting(account, TypeBit(7), Seq(1 << 40));
        }
        assert_eq!(std::hint::black_box(found), 0);
        start.elapsed()
    };
    (0..7).map(|_| round()).min().unwrap_or(Duration::ZERO).as_secs_f64() * 1e9 / 200_000.0
}

/// The bar: the same among a million subscriptions that do not want it as among a thousand.
/// Ignored in the ordinary run, because it takes half a gigabyte and a quiet machine.
#[test]
#[ignore = "a measurement"]
fn matching_does_not_depend_on_those_that_do_not_match() {
    let one = [subscription(1, 1, vec![(1, vec![0, 1, 2], None)])];
    let all: Vec<_> = (0..1_000_000).map(|n| subscription(n, 1, vec![(1, vec![0, 1], None)])).collect();
    let crowd = |len: usize| Index::empty(8).with(AccountKey(1), &all[..len]);
    let (small, large) = (cost(&crowd(1_000), 1), cost(&crowd(1_000_000), 1));
    println!("one account: {small:.1} ns among 1 000, {large:.1} ns among 1 000 000");
    let many = |len: u32| Index::build(8, (1..=len).map(|key| (AccountKey(key), &one[..])));
    let (few, lots) = (cost(&many(1_000), 1_000), cost(&many(1_000_000), 1_000_000));
    println!("one each: {few:.1} ns among 1 000 accounts, {lots:.1} ns among 1 000 000");
    assert!(large < 100.0 && large <= small * 1.5 && lots < 100.0);
}
