//! What it costs to find that nobody wants an event, among few subscriptions and among a million.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider::model::{
    AccountKey, AccountName, CallbackUrl, DeliveryOptions, Epoch, EventMask, OnBlocked, Ordering, Secrets,
    Seq, SignatureScheme, SigningKeys, Status, Subscription, SubscriptionId, SubscriptionKey, TypeBit,
    UnixMillis,
};
use postrider::route::Index;

use crate::table::{Row, Table, median};

const FEW: usize = 1000;
const MANY: usize = 1_000_000;
const LOOKS: usize = 2_000_000;
const ROUNDS: usize = 5;
const WORKERS: usize = 2;
const UNWANTED: TypeBit = TypeBit(7);

/// Wants most types from the first event on.
pub fn subscription(key: usize, account: usize) -> Subscription {
    Subscription {
        key: SubscriptionKey(key as u64),
        id: SubscriptionId::parse(&format!("sub_{key}")).expect("an id"),
        account: AccountKey(u32::try_from(account).expect("small")),
        account_name: AccountName::parse("acme").expect("a name"),
        name: String::new(),
        callback_url: CallbackUrl::parse(&format!("https://h{}.example/", key % 1000)).expect("a URL"),
        events: Vec::new(),
        filter: None,
        headers: Vec::new(),
        description: String::new(),
        status: Status::Active,
        disabled_reason: None,
        delivery: DeliveryOptions {
            timeout: Duration::from_secs(15),
            max_in_flight: 64,
            rate_per_second: None,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        },
        secrets: Secrets::new(SigningKeys { secret: [7; 24].into(), seed: [7; 32] }),
        client_identity: None,
        announced: false,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        version: 1,
        epochs: vec![Epoch { from: Seq(1), mask: EventMask::of((10..39).map(TypeBit)), filter: None }],
    }
}

/// `subscriptions`, as many to an account as `each`.
fn index(subscriptions: usize, each: usize) -> Index {
    let all: Vec<_> = (0..subscriptions).map(|n| Arc::new(subscription(n + 1, n / each + 1))).collect();
    let accounts = all.chunks(each).map(|of| (of[0].account, of));
    Index::build(WORKERS, accounts)
}

/// Nanoseconds for one event of any of `accounts` accounts, each as likely as the other.
fn look(index: &Index, accounts: usize) -> f64 {
    let mut seed = 1u64;
    let start = Instant::now();
    let mut wanted = 0;
    for _ in 0..LOOKS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let account = ((seed >> 32) * accounts as u64) >> 32;
        let key = AccountKey(u32::try_from(account + 1).unwrap_or(1));
        wanted |= index.workers_wanting(black_box(key), UNWANTED, Seq(1 << 40));
    }
    assert_eq!(black_box(wanted), 0);
    start.elapsed().as_nanos() as f64 / LOOKS as f64
}

pub fn run(table: &mut Table) {
    for (each, what) in [(FEW, "1 000 to an account"), (1, "one to an account, each event another's")] {
        let (few, many) = (index(FEW, each), index(MANY, each));
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            small.push(look(&few, FEW / each));
            large.push(look(&many, MANY / each));
        }
        let (small, large) = (median(&small), median(&large));
        table.add(Row {
            figure: format!("matching among 1 000 000 subscriptions that do not want it, {what}"),
            measured: format!("{large:.1} ns"),
            reference: format!("among 1 000: {small:.1} ns"),
            ratio: format!("{:.2}", large / small),
            bar: "≤ 1.5, < 100 ns".to_owned(),
            holds: Some(large / small <= 1.5 && large < 100.0),
        });
    }
}
