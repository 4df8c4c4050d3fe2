//! Whatever rows lie in the registry's family: they are loaded, or the first damaged one is named; never a panic.
//! What was loaded is written anew so that it loads again as the same. Checksums are put right first, so that what
//! lies behind them is reached.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use postrider::model::{Catalogue, DeliveryOptions, OnBlocked, Ordering, Seq, SignatureScheme};
use postrider::registry::{Registry, RegistryOptions, Vault, verify_row};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::builtin()));
fn options() -> RegistryOptions {
    RegistryOptions {
        catalogue: Arc::clone(&CATALOGUE) as _,
        webhooks_enabled: true,
        delivery: DeliveryOptions {
            timeout: Duration::from_secs(15),
            max_in_flight: 64,
            rate_per_second: None,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        },
        vault: Arc::new(Vault::new(&[7; 32])),
    }
}

fn load(rows: &Rows) -> Option<(Registry, Rows)> {
    let mut registry = Registry::new(options());
    let again = registry.load(rows.iter().cloned(), Seq(9), [3; 64]).ok()?;
    let written = again.into_iter().filter_map(|row| Some((row.key, row.value?))).collect();
    Some((registry, written))
}

/// Lengths of a key and of a value (one byte and two), both, and so on.
fn rows_of(bytes: &[u8]) -> Rows {
    let mut rows = Rows::new();
    let mut take = bytes;
    while let Some((&[key, high, low], rest)) = take.split_first_chunk() {
        let (key, rest) = rest.split_at(usize::from(key).min(rest.len()));
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])).min(rest.len()));
        rows.push((key.to_vec(), value.to_vec()));
        take = rest;
    }
    rows
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rows = rows_of(bytes);
    for (_, value) in &mut rows {
        if let Some((head, payload)) = value.split_first_chunk_mut::<5>() {
            head[1..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
            assert!(verify_row(value).is_ok());
        }
    }
    rows.sort();
    rows.dedup_by(|one, other| one.0 == other.0);
    let Some((registry, written)) = load(&rows) else { return };
    for (key, value) in written {
        let place = rows.iter_mut().find(|(other, _)| *other == key).expect("what is written anew was there");
        place.1 = value;
    }
    let (again, left) = load(&rows).expect("what is written is read");
    assert!(left.is_empty(), "a row is written anew twice");
    assert_eq!(registry.account_count(), again.account_count());
    assert_eq!(registry.subscription_count(), again.subscription_count());
    for account in registry.accounts_after(None) {
        let subscriptions = registry.subscriptions_of(account.key);
        for (one, other) in subscriptions.iter().zip(again.subscriptions_of(account.key)) {
            assert_eq!(one, other);
        }
        assert_eq!(registry.tokens_of(account.key), again.tokens_of(account.key));
    }
});
