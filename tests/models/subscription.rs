//! Subscriptions and events of one account.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AccountKey, AccountName, CallbackUrl, DeliveryOptions, Event, EventMask, OnBlocked, Ordering, Secrets,
    Seq, SignatureScheme, SigningKeys, Status, Subscription, SubscriptionId, SubscriptionKey, TypeBit,
    UnixMillis,
};

pub const ACCOUNT: AccountKey = AccountKey(1);

/// Wants everything from `from` on.
pub fn subscription(key: u64, from: Seq) -> Arc<Subscription> {
    let mut made = Subscription {
        key: SubscriptionKey(key),
        id: SubscriptionId::parse(&format!("sub_{key}")).unwrap(),
        account: ACCOUNT,
        account_name: AccountName::parse("acme").unwrap(),
        name: String::new(),
        callback_url: CallbackUrl::parse("https://a.example/").unwrap(),
        events: Vec::new(),
        filter: None,
        headers: Vec::new(),
        description: String::new(),
        status: Status::Active,
        disabled_reason: None,
        delivery: DeliveryOptions {
            timeout: Duration::from_secs(1),
            max_in_flight: 8,
            rate_per_second: None,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Block,
            signature: SignatureScheme::V1,
        },
        secrets: Secrets::new(SigningKeys { secret: [1; 32].into(), seed: [1; 32] }),
        client_identity: None,
        announced: false,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
        version: 1,
        epochs: Vec::new(),
    };
    made.begin_epoch(from, EventMask::of([TypeBit(0)]), Seq(0));
    Arc::new(made)
}

pub fn event(seq: Seq) -> Arc<Event> {
    let body = format!("{{\"id\":\"e{}\"}}", seq.0);
    let made = Event::new(seq, ACCOUNT, TypeBit(0), UnixMillis(seq.0), 2, body.into());
    Arc::new(made.expect("a valid event"))
}
