//! Golden bytes, round trips, and damage.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{read as read_row, *};
use crate::model::subscription::DisabledReason;
use crate::model::subscription::tests::sample;
use crate::model::{
    ClientIdentity, CustomHeader, Epoch, EventMask, Filter, OnBlocked, Ordering, PreviousKeys, Secrets, Seq,
    SignatureScheme, SigningKeys, Status, TypeBit,
};
use crate::registry::entropy::Entropy;
use crate::registry::vault::Vault;

fn vault() -> Vault {
    Vault::new(&[4; 32])
}

fn sealer(vault: &Vault) -> Sealer<'_> {
    Sealer { vault, entropy: Entropy::new([3; 64]) }
}

fn subscription(sub: &Subscription) -> Row {
    super::subscription(sub, &mut sealer(&vault()))
}

fn account_sample() -> Account {
    Account {
        key: AccountKey(7),
        name: AccountName::parse("acme").expect("valid"),
        title: Some("Acme".to_owned()),
        created_at: UnixMillis(1_795_445_340_000),
        features: BTreeMap::from([("feature.integrations.webhooks".to_owned(), false)]),
    }
}

fn read(key: &[u8], value: &[u8]) -> Result<Read, RowError> {
    read_row(key, value, &mut sealer(&vault()), |_| AccountName::parse("acme").ok())
}

fn read_back(row: &Row) -> Read {
    read(&row.key, row.value.as_deref().expect("a value")).expect("readable")
}

fn subscription_back(row: &Row) -> Subscription {
    match read_back(row) {
        Read::Subscription(sub, false) => *sub,
        _ => panic!("not a subscription"),
    }
}

#[test]
fn golden_bytes() {
    let check = |row: &Row, key: &str, value: &str| {
        assert_eq!(hex(&row.key), key);
        assert_eq!(hex(row.value.as_deref().expect("a value")), value);
    };
    check(&counters(Counters { account: 2, subscription: 300 }), "01", "019ed0ea7c02fb2c01");
    check(
        &account(&account_sample()),
        "0200000007",
        "0190f448460461636d65010441636d65fd60b7e108a2010000011d666561747572652e696e746567726174696f6e732e776562686f6f6b7300",
    );
    check(
        &subscription(&sample(258, "https://example.com/")),
        "030000000000000102",
        "032b61c4e9077375625f3235380104746573741468747470733a2f2f6578616d706c652e636f6d2f01012a00000100fb983a4000010101000000010101fdffffffff7f000000000000006c3bf384ddd943cb090a5650bce666bf925f850dbfe0527d5971ed3be0b8710144b8dc90ba47ebd2175d349204f94ea82269ec3160ac9c1cf4d14a8860d6147815e9d1482e4bbf4a01996e80b233624698d50dd59b961ca2fdbc8c588cd477e15c676fc6cf5921e5c23259bcd700000100",
    );
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Bytes that version 2 wrote.
#[test]
fn rows_from_before_filters_are_read_and_written_anew() {
    let old = "028eb609b4077375625f3235380104746573741468747470733a2f2f6578616d706c652e636f6d2f01012a00000100fb983a4000010101000000010101fdffffffff7f000000000000006c3bf384ddd943cb090a5650bce666bf925f850dbfe0527d5971ed3be0b8710144b8dc90ba47ebd2175d349204f94ea82269ec3160ac9c1cf4d14a8860d6147815e9d1482e4bbf4a01996e80b233624698d50dd59b961ca2fdbc8c588cd477e15c676fc6cf5921e5c23259bcd7";
    let Read::Subscription(sub, old) =
        read(&subscription_key(SubscriptionKey(258)), &unhex(old)).expect("readable")
    else {
        panic!("not a subscription")
    };
    assert!(old);
    assert_eq!(*sub, sample(258, "https://example.com/"));
    assert_eq!(subscription_back(&subscription(&sub)), *sub);
}

/// Bytes that version 1 wrote.
#[test]
fn older_rows_are_read_and_written_anew() {
    let old = "018029da6f077375625f3235380104746573741468747470733a2f2f6578616d706c652e636f6d2f01012a00000100fb983a40000101012007070707070707070707070707070707070707070707070707070707070707070000010101fdffffffff7f000000000000";
    let Read::Subscription(sub, old) =
        read(&subscription_key(SubscriptionKey(258)), &unhex(old)).expect("readable")
    else {
        panic!("not a subscription")
    };
    assert!(old);
    let mut want = sample(258, "https://example.com/");
    want.secrets.current.seed = Entropy::new([3; 64]).draw();
    assert_eq!(*sub, want);
    assert_eq!(subscription_back(&subscription(&sub)), want);
}

#[test]
fn accounts_come_back() {
    let Read::Account(back) = read_back(&account(&account_sample())) else { panic!("not an account") };
    assert_eq!(back, account_sample());
}

#[test]
fn damage_is_an_error() {
    let row = subscription(&sample(1, "https://example.com/"));
    let value = row.value.clone().expect("a value");
    for at in 0..value.len() {
        let mut damaged = value.clone();
        damaged[at] ^= 0x10;
        assert!(read(&row.key, &damaged).is_err(), "byte {at}");
        assert!(read(&row.key, &value[..at]).is_err(), "cut at {at}");
    }
    assert!(matches!(read(&row.key, &[4; 40]), Err(RowError::Version(4))));
    assert!(matches!(read(&[1], &[2; 40]), Err(RowError::Version(2))));
    assert!(matches!(read(&row.key, &vec![1; ROW_LEN_MAX + 1]), Err(RowError::Long)));
    assert!(matches!(read(&[], &value), Err(RowError::Key)));
    assert!(matches!(read(&[4, 0], &value), Err(RowError::Key)));
    assert!(matches!(read(&[3, 0], &value), Err(RowError::Key)));
    assert!(matches!(read(&[32, 1], &value), Ok(Read::Foreign)));
    let mut none = sample(1, "https://example.com/");
    none.epochs.clear();
    let row = subscription(&none);
    assert!(matches!(read(&row.key, row.value.as_deref().expect("set")), Err(RowError::Rule(_))));
}

#[test]
fn secrets_are_sealed() {
    let mut sub = sample(1, "https://example.com/");
    sub.secrets = Secrets::new(SigningKeys { secret: (100..132).collect(), seed: [201; 32] });
    sub.headers = vec![CustomHeader { name: "x-key".to_owned(), value: "header value".to_owned() }];
    let identity = ClientIdentity { certificate: "certificate".to_owned(), key: "private key".to_owned() };
    sub.client_identity = Some(Arc::new(identity));
    let row = subscription(&sub);
    let value = row.value.as_deref().expect("a value");
    let holds = |part: &[u8]| value.windows(part.len()).any(|window| window == part);
    assert!(holds(b"x-key") && holds(b"certificate"));
    assert!(!holds(b"header value") && !holds(b"private key") && !holds(&[201; 4]));
    assert!(!holds(&(100..104).collect::<Vec<u8>>()));
    let one = |row: &Row| (row.key.clone(), row.value.clone().expect("a value"));
    assert!(holds_sealed(&[one(&account(&account_sample())), one(&row)]));
    assert!(!holds_sealed(&[one(&account(&account_sample()))]));
    let name_of = |_| AccountName::parse("acme").ok();
    let other = Vault::new(&[5; 32]);
    let wrong = read_row(&row.key, value, &mut sealer(&other), name_of);
    assert!(matches!(wrong, Err(RowError::Sealed)));
    let moved = read(&subscription_key(SubscriptionKey(2)), value);
    assert!(matches!(moved, Err(RowError::Sealed)), "a row in another's place");
}

#[test]
fn the_largest_subscription_fits() {
    let mut sub = sample(u64::MAX, &format!("https://example.com/{}", "x".repeat(2028)));
    sub.name = "\u{10ffff}".repeat(200);
    sub.description = "\u{10ffff}".repeat(2000);
    sub.events = vec!["e".repeat(128); 256];
    sub.headers =
        (0..32).map(|n| CustomHeader { name: format!("{n:0128}"), value: "v".repeat(4096) }).collect();
    let filter = |n: u64| {
        let long = format!("{n:0>6}{}", "f".repeat(1000));
        let condition = json!({"path": "data.x", "in": vec![long; 16]});
        Arc::new(Filter::parse(&condition, "filter").expect("a valid filter"))
    };
    sub.filter = Some(filter(0));
    sub.epochs = (1..=64)
        .map(|n| Epoch {
            from: Seq(u64::MAX - 64 + n),
            mask: EventMask::of((0..=255).map(TypeBit)),
            filter: Some(filter(n / 9)),
        })
        .collect();
    sub.client_identity = Some(Arc::new(ClientIdentity {
        certificate: "c".repeat(crate::registry::CERTIFICATE_LEN_MAX),
        key: "k".repeat(crate::registry::CLIENT_KEY_LEN_MAX),
    }));
    let row = subscription(&sub);
    assert!(row.value.as_ref().expect("set").len() < ROW_LEN_MAX / 4 * 3);
    assert_eq!(subscription_back(&row), sub);
}

prop_compose! {
    fn any_subscription()(
        key in any::<u64>(),
        texts in (".{1,40}", ".{0,200}", proptest::collection::vec("[a-z.*]{1,20}", 1..6)),
        headers in proptest::collection::vec(("[a-z-]{1,20}", "[ -~]{0,50}"), 0..5),
        active in any::<bool>(),
        reason in proptest::sample::select(vec![None, Some(DisabledReason::Gone), Some(DisabledReason::Failing), Some(DisabledReason::Blocked)]),
        numbers in (any::<u32>(), any::<u32>(), proptest::option::of(0.001f64..1e5), any::<u64>(), any::<u64>(), any::<u64>()),
        words in (
            proptest::sample::select(vec![Ordering::None, Ordering::Fifo]),
            proptest::sample::select(vec![OnBlocked::Block, OnBlocked::Skip, OnBlocked::Park]),
            proptest::sample::select(vec![SignatureScheme::V1, SignatureScheme::V1a, SignatureScheme::Both]),
        ),
        secrets in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 24..=64), any::<[u8; 32]>(), any::<u64>()), 1..=3),
        identity in proptest::option::of((".{0,50}", ".{0,50}")),
        epochs in proptest::collection::btree_map(
            any::<u64>(), (proptest::collection::vec(any::<u8>(), 0..9), proptest::option::of(0u64..3)), 1..9),
        filter in proptest::option::of(0u64..3),
    ) -> Subscription {
        let mut sub = sample(key, "https://example.com/a?b=c");
        (sub.name, sub.description, sub.events) = texts;
        sub.headers = headers.into_iter().map(|(name, value)| CustomHeader { name, value }).collect();
        sub.status = if active { Status::Active } else { Status::Inactive };
        sub.disabled_reason = reason;
        sub.delivery.timeout = Duration::from_millis(u64::from(numbers.0));
        sub.delivery.max_in_flight = numbers.1;
        sub.delivery.rate_per_second = numbers.2;
        (sub.created_at, sub.updated_at, sub.version) = (UnixMillis(numbers.3), UnixMillis(numbers.4), numbers.5);
        (sub.delivery.ordering, sub.delivery.on_blocked, sub.delivery.signature) = words;
        let mut secrets = secrets.into_iter().map(|(secret, seed, at)| PreviousKeys {
            keys: SigningKeys { secret: secret.into(), seed },
            expires_at: UnixMillis(at),
        });
        sub.secrets = Secrets::new(secrets.next().expect("one").keys);
        sub.secrets.previous = secrets.collect();
        sub.client_identity = identity.map(|(certificate, key)| Arc::new(ClientIdentity { certificate, key }));
        let compiled = |n: u64| {
            Arc::new(Filter::parse(&json!({"path": "data.x", "eq": n}), "filter").expect("a valid filter"))
        };
        sub.filter = filter.map(compiled);
        sub.epochs = epochs.into_iter()
            .map(|(from, (bits, filter))| Epoch {
                from: Seq(from),
                mask: EventMask::of(bits.into_iter().map(TypeBit)),
                filter: filter.map(compiled),
            })
            .collect();
        sub
    }
}

proptest! {
    #[test]
    fn subscriptions_come_back(sub in any_subscription()) {
        prop_assert_eq!(subscription_back(&subscription(&sub)), sub);
    }

    #[test]
    fn counters_come_back(account in any::<u32>(), subscription in any::<u64>()) {
        let given = Counters { account, subscription };
        match read_back(&counters(given)) {
            Read::Counters(back) => prop_assert_eq!(back, given),
            _ => prop_assert!(false, "not counters"),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(key in proptest::collection::vec(any::<u8>(), 0..12), value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&key, &value);
        // Past the checksum, so that the decoder and the rules meet strange bytes too.
        for version in [1, 2, 3] {
            let mut whole = vec![version];
            whole.extend(crc32fast::hash(&value).to_le_bytes());
            whole.extend(&value);
            for key in [&[1][..], &[2, 0, 0, 0, 1], &[3, 0, 0, 0, 0, 0, 0, 0, 1]] {
                let _ = read(key, &whole);
            }
        }
    }
}
