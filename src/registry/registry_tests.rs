//! The registry as a whole: plan, install, load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::{DeliveryOptions, OnBlocked, Ordering, SignatureScheme, TypeBit};
use crate::registry::change::Counters;
use crate::registry::selectors::tests::Types;
use crate::registry::{FLAG_WEBHOOKS, MASKED, RegistryOptions, RowError, Vault};

const USER: TypeBit = TypeBit(0);
const DEVICE: TypeBit = TypeBit(2);

fn options(webhooks_enabled: bool) -> RegistryOptions {
    let delivery = DeliveryOptions {
        timeout: Duration::from_secs(15),
        max_in_flight: 64,
        rate_per_second: None,
        ordering: Ordering::None,
        on_blocked: OnBlocked::Block,
        signature: SignatureScheme::V1,
    };
    RegistryOptions {
        catalogue: Arc::new(Types),
        webhooks_enabled,
        delivery,
        vault: Arc::new(Vault::new(&[4; 32])),
    }
}

/// A registry with the store it would have.
struct Bench {
    registry: Registry,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        Self { registry: Registry::new(options(true)), store: BTreeMap::new(), next: 1 }
    }

    fn keep(&mut self, plan: Plan) -> Changed {
        for row in plan.rows() {
            match &row.value {
                Some(value) => self.store.insert(row.key.clone(), value.clone()),
                None => self.store.remove(&row.key),
            };
        }
        self.registry.install(plan)
    }

    /// Makes a change; each takes effect ten events later than the one before.
    fn change(&mut self, change: Change) -> Result<Changed, ChangeError> {
        self.next += 10;
        let random = std::array::from_fn(|n| {
            u8::try_from(self.next % 251).unwrap_or(0) ^ u8::try_from(n).unwrap_or(0)
        });
        let at = UnixMillis(1000 + self.next);
        let plan = self.registry.plan(change, Seq(self.next), Seq(0), at, random)?;
        Ok(self.keep(plan))
    }

    fn create(&mut self, account: &str, changes: &Value) -> Arc<Subscription> {
        let mut value = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]});
        value.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        let draft = Draft::parse(&value, &Types).expect("valid");
        let changed =
            self.change(Change::CreateSubscription { account: name(account), draft }).expect("made");
        changed.subscriptions[0].after.clone().expect("made")
    }

    fn patch(&mut self, sub: &Subscription, patch: &Value) -> Result<Arc<Subscription>, ChangeError> {
        let change = Change::PatchSubscription {
            account: sub.account_name.clone(),
            id: sub.id.clone(),
            patch: Patch::parse(patch, &Types).map_err(ChangeError::Invalid)?,
            if_match: None,
        };
        Ok(self.change(change)?.subscriptions[0].after.clone().expect("still there"))
    }

    fn feature(&mut self, account: &str, enabled: bool) -> Changed {
        let change = Change::SetFeature { account: name(account), flag: FLAG_WEBHOOKS.to_owned(), enabled };
        self.change(change).expect("set")
    }

    fn reload(&self, webhooks_enabled: bool) -> (Registry, Vec<Row>) {
        let mut registry = Registry::new(options(webhooks_enabled));
        let rows = self.store.iter().map(|(key, value)| (key.clone(), value.clone()));
        let again = registry.load(rows, Seq(self.next + 10), [3; 64]).expect("loads");
        (registry, again)
    }
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

#[test]
fn a_subscription_is_made_with_its_account() {
    let mut bench = Bench::new();
    let sub = bench
        .create("acme", &json!({"delivery": {"timeoutMs": 9}, "headers": [{"name": "X-A", "value": "1"}]}));
    assert_eq!(bench.registry.account_key(&name("acme")), Some(sub.account));
    assert_eq!((sub.version, sub.created_at, sub.updated_at), (1, UnixMillis(1011), UnixMillis(1011)));
    assert_eq!((sub.delivery.timeout, sub.delivery.max_in_flight), (Duration::from_millis(9), 64));
    assert_eq!(sub.secrets.current.secret.len(), SECRET_LEN);
    assert_eq!(sub.headers[0].name, "X-A", "shown as it was written");
    assert!(sub.may_want(USER, Seq(11)) && !sub.may_want(USER, Seq(10)), "nothing from before it was made");
    let again = bench.create("acme", &json!({}));
    assert_eq!(again.account, sub.account);
    assert_ne!((again.key, &again.id), (sub.key, &sub.id));
    assert_eq!(bench.registry.subscriptions_of(sub.account).len(), 2);
}

#[test]
fn epochs_follow_every_change_of_what_is_wanted() {
    let mut bench = Bench::new();
    let sub = bench.create("acme", &json!({"events": ["user.created", "device.registered"]})); // from 11
    let sub = bench.patch(&sub, &json!({"status": "inactive"})).expect("inactive"); // from 21
    let sub = bench.patch(&sub, &json!({"name": "other"})).expect("renamed"); // 31
    let sub = bench.patch(&sub, &json!({"status": "active"})).expect("active"); // from 41
    let sub = bench.patch(&sub, &json!({"events": ["device.*"]})).expect("other events"); // from 51
    assert_eq!(sub.epochs.len(), 4, "a new name is no epoch");
    assert_eq!(sub.version, 5);
    bench.feature("acme", false); // from 61
    let sub = bench.registry.subscription(sub.key).expect("there").clone();
    assert_eq!(sub.version, 5, "a flag is not the subscription's change");
    let check = |seq, user, device| {
        assert_eq!(
            (sub.may_want(USER, Seq(seq)), sub.may_want(DEVICE, Seq(seq))),
            (user, device),
            "at {seq}"
        );
    };
    check(10, false, false);
    check(11, true, true);
    check(21, false, false);
    check(40, false, false);
    check(41, true, true);
    check(51, false, true);
    check(60, false, true);
    check(61, false, false);
}

#[test]
fn the_flag_gates_the_device_types_only() {
    let mut bench = Bench::new();
    let sub = bench.create("acme", &json!({}));
    let other = bench.create("other", &json!({}));
    let changed = bench.feature("acme", false);
    assert_eq!(changed.subscriptions.len(), 1);
    let now = bench.registry.subscription(sub.key).expect("there");
    assert!(now.may_want(USER, Seq(bench.next)) && !now.may_want(DEVICE, Seq(bench.next)));
    assert!(bench.registry.subscription(other.key).expect("there").may_want(DEVICE, Seq(bench.next)));
    assert_eq!(bench.registry.feature(Some(sub.account), FLAG_WEBHOOKS), Some(false));
    assert_eq!(bench.registry.feature(Some(other.account), FLAG_WEBHOOKS), Some(true));
    assert_eq!(bench.registry.feature(None, FLAG_WEBHOOKS), Some(true));
    assert_eq!(bench.registry.feature(None, "feature.x"), None);
    let later = bench.create("acme", &json!({}));
    assert!(!later.may_want(DEVICE, Seq(bench.next)), "a new subscription is gated too");
    bench.feature("acme", true);
    assert!(bench.registry.subscription(later.key).expect("there").may_want(DEVICE, Seq(bench.next)));
    let unknown = Change::SetFeature { account: name("acme"), flag: "feature.webhook".into(), enabled: true };
    assert!(matches!(bench.change(unknown), Err(ChangeError::Invalid(errors)) if errors[0].field == "flag"));
}

#[test]
fn masked_values_keep_what_is_stored() {
    let mut bench = Bench::new();
    let sub = bench
        .create("acme", &json!({"headers": [{"name": "x-a", "value": "1"}, {"name": "x-b", "value": "2"}]}));
    let back = json!({"headers": [{"name": "X-B", "value": MASKED}, {"name": "x-a", "value": "new"}]});
    let sub = bench.patch(&sub, &back).expect("patched");
    let headers: Vec<_> = sub.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    assert_eq!(headers, [("X-B", "2"), ("x-a", "new")]);
    let error = bench.patch(&sub, &json!({"headers": [{"name": "x-c", "value": MASKED}]}));
    assert!(matches!(error, Err(ChangeError::Invalid(errors)) if errors[0].field == "headers[0].value"));
    let sub = bench.patch(&sub, &json!({"headers": null, "delivery": {"timeoutMs": 5}})).expect("patched");
    assert!(sub.headers.is_empty());
    let sub = bench.patch(&sub, &json!({"delivery": {"timeoutMs": null}})).expect("patched");
    assert_eq!(sub.delivery.timeout, Duration::from_secs(15));
}

#[test]
fn each_change_is_in_the_audit_trail() {
    let mut bench = Bench::new();
    let entries = |bench: &Bench| {
        let (from, before) = crate::registry::audit_range();
        bench.store.range(from..before).count()
    };
    let sub = bench.create("acme", &json!({}));
    let made = entries(&bench);
    assert!(made > 0);
    bench.patch(&sub, &json!({"name": "other"})).expect("changed");
    assert_eq!(entries(&bench), made + 1);
    bench.patch(&sub, &json!({"name": "other"})).expect("nothing to change");
    assert_eq!(entries(&bench), made + 1);
}

#[test]
fn versions_guard_changes() {
    let mut bench = Bench::new();
    let sub = bench.create("acme", &json!({}));
    let patch = |if_match| Change::PatchSubscription {
        account: name("acme"),
        id: sub.id.clone(),
        patch: Patch::parse(&json!({"name": "x"}), &Types).expect("valid"),
        if_match,
    };
    assert_eq!(bench.change(patch(Some(2))), Err(ChangeError::VersionMismatch { present: 1 }));
    assert!(bench.change(patch(Some(1))).is_ok());
    let same = bench.change(patch(None)).expect("nothing to do");
    assert_eq!(same.subscriptions[0].before, same.subscriptions[0].after);
    let plan = bench.registry.plan(patch(None), Seq(99), Seq(0), UnixMillis(0), [0; 64]).expect("plans");
    assert!(plan.rows().is_empty());
    let delete =
        |if_match| Change::DeleteSubscription { account: name("acme"), id: sub.id.clone(), if_match };
    assert_eq!(bench.change(delete(Some(1))), Err(ChangeError::VersionMismatch { present: 2 }));
    assert!(bench.change(delete(Some(2))).is_ok());
    assert_eq!(bench.change(delete(None)), Err(ChangeError::NotFound));
}

#[test]
fn the_engine_gives_up_and_a_person_revives() {
    let mut bench = Bench::new();
    let sub = bench.create("acme", &json!({}));
    let disable = |key| Change::Disable { key, version: 1, reason: DisabledReason::Gone, announce: true };
    let changed = bench.change(disable(sub.key)).expect("disabled");
    let after = changed.subscriptions[0].after.clone().expect("there");
    assert_eq!((after.status, after.disabled_reason), (Status::Inactive, Some(DisabledReason::Gone)));
    assert!(!after.may_want(USER, Seq(bench.next)));
    assert_eq!(bench.change(disable(sub.key)), Ok(Changed::default()), "twice is once");
    let after = bench.patch(&sub, &json!({"status": "active"})).expect("revived");
    assert_eq!((after.status, after.disabled_reason), (Status::Active, None));
    let stale = bench.change(disable(sub.key));
    assert_eq!(stale, Ok(Changed::default()), "the receiver may be another than the one that was judged");
    assert_eq!(bench.change(disable(SubscriptionKey(99))), Err(ChangeError::NotFound));
}

#[test]
fn rotation_keeps_the_old_keys_for_a_while() {
    let mut bench = Bench::new();
    let first = bench.create("acme", &json!({})); // at 1011
    let mut rotate = |overlap, if_match| {
        let overlap = Duration::from_millis(overlap);
        let change = Change::RotateSecret { account: name("acme"), id: first.id.clone(), overlap, if_match };
        Ok(bench.change(change)?.subscriptions[0].after.clone().expect("still there"))
    };
    assert_eq!(rotate(5, Some(2)), Err(ChangeError::VersionMismatch { present: 1 })); // 1021
    let second = rotate(15, Some(1)).expect("rotated"); // 1031
    assert_eq!((second.version, second.updated_at), (2, UnixMillis(1031)));
    assert_eq!(second.secrets.previous[0].keys, first.secrets.current);
    assert_eq!(second.secrets.previous[0].expires_at, UnixMillis(1046));
    assert_ne!(second.secrets.current.secret, first.secrets.current.secret);
    assert_ne!(second.secrets.current.seed, first.secrets.current.seed);
    let third = rotate(1000, None).expect("rotated"); // 1041
    assert_eq!(third.secrets.previous.len(), 2, "the first has five left");
    let (registry, again) = bench.reload(true);
    assert!(again.is_empty());
    assert_eq!(registry.subscription(first.key), Some(&third), "the overlap outlives a restart");
    let renamed = bench.patch(&third, &json!({"name": "other"})).expect("renamed"); // 1051
    assert_eq!(renamed.secrets.previous, third.secrets.previous[..1], "what has expired is not kept");
    let gone = Change::RotateSecret {
        account: name("other"),
        id: first.id.clone(),
        overlap: Duration::ZERO,
        if_match: None,
    };
    assert_eq!(bench.change(gone), Err(ChangeError::NotFound));
}

#[test]
fn another_accounts_things_are_not_there() {
    let mut bench = Bench::new();
    let sub = bench.create("acme", &json!({}));
    bench.create("other", &json!({}));
    for account in ["other", "nobody"] {
        let change =
            Change::DeleteSubscription { account: name(account), id: sub.id.clone(), if_match: None };
        assert_eq!(bench.change(change), Err(ChangeError::NotFound));
    }
}

#[test]
fn accounts_come_and_go_and_numbers_are_never_reused() {
    let mut bench = Bench::new();
    let plan = bench.registry.plan_accounts(&[name("a"), name("b"), name("a")], UnixMillis(5));
    assert_eq!(plan.new_accounts().count(), 2);
    bench.keep(plan);
    assert!(bench.registry.plan_accounts(&[name("a")], UnixMillis(6)).rows().is_empty());
    let sub = bench.create("a", &json!({}));
    let changed = bench.change(Change::DeleteAccount { account: name("a") }).expect("deleted");
    assert_eq!(changed.subscriptions.len(), 1);
    assert_eq!(bench.registry.account_key(&name("a")), None);
    assert!(bench.registry.subscription(sub.key).is_none());
    assert_eq!(bench.change(Change::DeleteAccount { account: name("a") }), Err(ChangeError::NotFound));
    let (registry, _) = bench.reload(true);
    assert_eq!(registry.account_count(), 1);
    bench.registry = registry;
    let again = bench.create("a", &json!({}));
    assert!(again.account > sub.account && again.key > sub.key);
    let put = Change::PutAccount { account: name("b"), name: Some("Bee".to_owned()) };
    let changed = bench.change(put).expect("named");
    assert!(changed.accounts[0].before.is_some());
    let long = Change::PutAccount { account: name("b"), name: Some("x".repeat(201)) };
    assert!(matches!(bench.change(long), Err(ChangeError::Invalid(_))));
    let names: Vec<_> = bench.registry.accounts_after(None).map(|account| account.name.to_string()).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn what_is_loaded_is_what_was_installed() {
    let mut bench = Bench::new();
    for n in 0..5 {
        let sub = bench.create("acme", &json!({"name": format!("n{n}"), "events": ["user.*", "device.*"]}));
        bench.patch(&sub, &json!({"status": "inactive"})).expect("patched");
        bench.create("other", &json!({}));
    }
    bench.feature("other", false);
    let (registry, again) = bench.reload(true);
    assert!(again.is_empty());
    for account in bench.registry.accounts_after(None) {
        assert_eq!(registry.account(account.key), Some(account));
        assert_eq!(registry.subscriptions_of(account.key), bench.registry.subscriptions_of(account.key));
    }
    assert_eq!(registry.counters, bench.registry.counters);
}

#[test]
fn another_default_begins_an_epoch_at_the_start() {
    let mut bench = Bench::new();
    let plain = bench.create("acme", &json!({}));
    let own = bench.create("own", &json!({}));
    bench.feature("own", true);
    let (registry, again) = bench.reload(false);
    assert_eq!(again.len(), 1, "the account with its own setting is not concerned");
    let next = bench.next + 10;
    let after = registry.subscription(plain.key).expect("there");
    assert!(after.may_want(DEVICE, Seq(next - 1)) && !after.may_want(DEVICE, Seq(next)));
    assert!(registry.subscription(own.key).expect("there").may_want(DEVICE, Seq(next)));
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.create("acme", &json!({}));
    let rows = || bench.store.clone().into_iter();
    let vault = Arc::new(Vault::new(&[5; 32]));
    let mut other = Registry::new(RegistryOptions { vault, ..options(true) });
    let error = other.load(rows(), Seq(99), [3; 64]).expect_err("another key");
    assert!(matches!(error.source, RowError::Sealed));
    assert!(Registry::new(options(true)).load(rows(), Seq(99), [3; 64]).is_ok());
}

#[test]
fn nothing_is_sealed_twice_with_one_nonce() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.create("acme", &json!({}));
    }
    let change = Change::SetFeature { account: name("acme"), flag: FLAG_WEBHOOKS.to_owned(), enabled: false };
    let plan = bench.registry.plan(change, Seq(999), Seq(0), UnixMillis(9), [1; 64]).expect("plans");
    let nonce = |row: &Row| {
        let value = row.value.as_deref()?;
        let sealed_len = 24 + 1 + 32 + 32 + 1 + 1 + 1 + 16;
        Some(value.get(value.len() - sealed_len..)?.get(..24)?.to_vec())
    };
    let nonces: Vec<_> = plan.rows().iter().filter(|row| row.key[0] == 3).filter_map(nonce).collect();
    let distinct: std::collections::BTreeSet<_> = nonces.iter().collect();
    assert_eq!((nonces.len(), distinct.len()), (20, 20));
}

#[test]
fn damage_names_its_row() {
    let mut bench = Bench::new();
    bench.create("acme", &json!({}));
    let load = |store: &BTreeMap<Vec<u8>, Vec<u8>>| {
        Registry::new(options(true)).load(store.clone().into_iter(), Seq(1), [3; 64]).map(|_| ())
    };
    let mut store = bench.store.clone();
    store.insert(vec![40], vec![1, 2, 3]);
    assert!(load(&store).is_ok(), "rows of the log are passed over");
    store.remove(&rows::account_key(AccountKey(1)));
    let error = load(&store).expect_err("an orphan");
    assert_eq!(error.to_string(), "registry row 030000000000000001: its account is not there");
    store.insert(vec![9], vec![]);
    assert!(load(&store).is_err());
}

#[test]
fn an_account_has_a_bounded_number_of_subscriptions() {
    let mut bench = Bench::new();
    let value = json!({"callbackUrl": "https://example.com/", "name": "n", "events": ["*"]});
    let draft = Draft::parse(&value, &Types).expect("valid");
    let mut create = |n: u64| {
        let change = Change::CreateSubscription { account: name("acme"), draft: draft.clone() };
        let mut random = [0; 64];
        random[32..40].copy_from_slice(&n.to_be_bytes());
        let plan = bench.registry.plan(change, Seq(1), Seq(0), UnixMillis(n), random)?;
        Ok::<_, ChangeError>(bench.registry.install(plan))
    };
    for n in 0..SUBSCRIPTIONS_PER_ACCOUNT_MAX {
        create(n as u64).expect("room");
    }
    assert_eq!(
        create(1 << 40),
        Err(ChangeError::TooManySubscriptions { max: SUBSCRIPTIONS_PER_ACCOUNT_MAX })
    );
    bench.change(Change::DeleteAccount { account: name("acme") }).expect("deleted");
    assert_eq!(bench.registry.subscription_count(), 0);
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// What a hundred thousand accounts with one subscription each cost. Run it alone: it weighs the process.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads a clock")]
fn weight_of_many_accounts() {
    let value = json!({"callbackUrl": "https://example.com/hook", "name": "Relay", "events": ["user.*"]});
    let draft = Draft::parse(&value, &Types).expect("valid");
    let mut maker = Registry::new(options(true));
    let change = Change::CreateSubscription { account: name("account-000000"), draft };
    let plan = maker.plan(change, Seq(1), Seq(0), UnixMillis(1), [1; 64]).expect("plans");
    let made = maker.install(plan);
    let (account, sub) = (made.accounts[0].after.clone(), made.subscriptions[0].after.clone());
    let (account, sub) = (account.expect("made"), sub.expect("made"));
    let row = |row: Row| (row.key, row.value.expect("a value"));
    let counters = std::iter::once(row(rows::counters(Counters { account: 100_001, subscription: 100_001 })));
    let accounts = (1..=100_000u32).map(|n| {
        let name = name(&format!("account-{n:06}"));
        row(rows::account(&Account { key: AccountKey(n), name, ..Account::clone(&account) }))
    });
    let vault = Vault::new(&[4; 32]);
    let mut sealer = Sealer { vault: &vault, entropy: Entropy::new([3; 64]) };
    let subscriptions = (1..=100_000u32).map(|n| {
        let (key, account) = (SubscriptionKey(u64::from(n)), AccountKey(n));
        row(rows::subscription(&Subscription { key, account, ..Subscription::clone(&sub) }, &mut sealer))
    });
    let mut registry = Registry::new(options(true));
    let before = resident();
    let start = std::time::Instant::now();
    registry.load(counters.chain(accounts).chain(subscriptions), Seq(9), [3; 64]).expect("loads");
    println!("loaded in {:?}", start.elapsed());
    let loaded = resident();
    let start = std::time::Instant::now();
    let index = registry.index(8);
    let built = start.elapsed();
    let indexed = resident();
    let account = AccountKey(50_000);
    let start = std::time::Instant::now();
    let index = (0..1000).fold(index, |index, _| index.with(account, registry.subscriptions_of(account)));
    let changed = start.elapsed() / 1000;
    let each = |bytes: usize| bytes / 100_000;
    println!("registry: {} bytes each; index: {} bytes each", each(loaded - before), each(indexed - loaded));
    println!("index built in {built:?}, changed in {changed:?}");
    assert_eq!(index.workers_wanting(account, USER, Seq(1)).count_ones(), 1);
}

#[path = "token_tests.rs"]
mod tokens;
