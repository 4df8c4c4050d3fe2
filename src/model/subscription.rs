//! A subscription: who wants which events where, and how they are to be sent.
//!
//! The record carries its own history of what it wanted (`epochs`): which subscription an event is for
//! was decided when the log took the event, so recovery and catching up must ask what was wanted
//! *then*, whatever the record says now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::epoch::{self, Epoch};
use super::event::Seq;
use super::filter::Filter;
use super::ids::{AccountKey, AccountName, SubscriptionId, SubscriptionKey};
use super::mask::{EventMask, TypeBit};
use super::payload::Payload;
use super::secret::Secrets;
use super::time::UnixMillis;
use super::url::CallbackUrl;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Active,
    Inactive,
}

/// Why a subscription is inactive when no person made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// The receiver answered 410.
    Gone,
    /// Nothing but failure for longer than `disable_after`.
    Failing,
    /// FIFO with `onBlocked: park` met a failure.
    Blocked,
}

impl DisabledReason {
    pub const ALL: [Self; 3] = [Self::Gone, Self::Failing, Self::Blocked];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Blocked => "blocked",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    None,
    Fifo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBlocked {
    Block,
    Skip,
    Park,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    V1,
    V1a,
    Both,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryOptions {
    /// One deadline over everything, 1 ms to 5 min.
    pub timeout: Duration,
    /// Requests at once, 1 to 1024.
    pub max_in_flight: u32,
    /// Attempts a second; `None` is no limit.
    pub rate_per_second: Option<f64>,
    pub ordering: Ordering,
    pub on_blocked: OnBlocked,
    pub signature: SignatureScheme,
}

/// A header that the Account Owner wants on each request; its name is allowed. `Debug` never shows the value.
#[derive(Clone, PartialEq, Eq)]
pub struct CustomHeader {
    pub name: String,
    pub value: String,
}

impl fmt::Debug for CustomHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A certificate with its key, shown to receivers that ask for one (mTLS). `Debug` never shows the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// The chain, PEM, leaf first.
    pub certificate: String,
    /// The leaf's private key, PEM.
    pub key: String,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub key: SubscriptionKey,
    pub id: SubscriptionId,
    pub account: AccountKey,
    pub account_name: AccountName,
    pub name: String,
    pub callback_url: CallbackUrl,
    /// Ids of types, `*`, and prefixes such as `user.*`, as they are shown.
    pub events: Vec<String>,
    /// What an event's body must fulfil besides.
    pub filter: Option<Arc<Filter>>,
    pub headers: Vec<CustomHeader>,
    pub description: String,
    pub status: Status,
    pub disabled_reason: Option<DisabledReason>,
    pub delivery: DeliveryOptions,
    pub secrets: Secrets,
    pub client_identity: Option<Arc<ClientIdentity>>,
    /// That the engine made it inactive was told to others, and its recovery is to be told too.
    pub announced: bool,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// Goes up by one with each change.
    pub version: u64,
    /// Oldest first, `from` strictly rising, never empty.
    pub epochs: Vec<Epoch>,
}

impl Subscription {
    /// Whether an event is for this subscription.
    #[must_use]
    pub fn wants(&self, payload: &Payload<'_>) -> bool {
        let event = payload.event();
        self.epoch_at(event.seq).is_some_and(|epoch| {
            epoch.mask.contains(event.type_bit)
                && epoch.filter.as_ref().is_none_or(|filter| payload.fulfils(filter))
        }) && !event.is_about(&self.id)
    }

    /// Whether an event of type `bit` at `seq` may be for this subscription: a filter, which needs the
    /// body, can still say no.
    #[must_use]
    pub fn may_want(&self, bit: TypeBit, seq: Seq) -> bool {
        self.epoch_at(seq).is_some_and(|epoch| epoch.mask.contains(bit))
    }

    /// Whether a body must be read to know whether it is wanted, of any time.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        self.epochs.iter().any(|epoch| epoch.filter.is_some())
    }

    /// What was wanted when the log took the event at `seq`.
    #[must_use]
    pub fn epoch_at(&self, seq: Seq) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.from <= seq)
    }

    /// Whether what was noted of the receiver holds no longer: it was made active again, or is another one.
    #[must_use]
    pub fn begins_anew(&self, before: &Self) -> bool {
        (before.status != self.status && self.status == Status::Active)
            || before.callback_url != self.callback_url
    }

    /// All that any epoch wanted: what an index must hold so that no old event is missed.
    #[must_use]
    pub fn mask_ever(&self) -> EventMask {
        self.epochs.iter().fold(EventMask::NONE, |all, epoch| all.union(&epoch.mask))
    }

    /// From `from` on, types of `mask` that fulfil the present filter are wanted. Epochs wholly below
    /// `floor` are forgotten: the log has nothing from their time any more.
    pub fn begin_epoch(&mut self, from: Seq, mask: EventMask, floor: Seq) {
        let filter = self.filter.clone().filter(|_| !mask.is_empty());
        epoch::begin(&mut self.epochs, Epoch { from, mask, filter }, floor);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::secret::SigningKeys;
    use super::*;

    /// A subscription for tests of any stage.
    pub(crate) fn sample(key: u64, url: &str) -> Subscription {
        Subscription {
            key: SubscriptionKey(key),
            id: SubscriptionId::parse(&format!("sub_{key}")).expect("valid id"),
            account: AccountKey(1),
            account_name: AccountName::parse("acme").expect("valid name"),
            name: "test".to_owned(),
            callback_url: CallbackUrl::parse(url).expect("valid url"),
            events: vec!["*".to_owned()],
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
            secrets: Secrets::new(SigningKeys { secret: [7; 32].into(), seed: [8; 32] }),
            client_identity: None,
            announced: false,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            version: 1,
            epochs: vec![Epoch { from: Seq(1), mask: EventMask::of((0..39).map(TypeBit)), filter: None }],
        }
    }

    #[test]
    fn debug_shows_nothing_secret() {
        let mut sub = sample(1, "http://localhost/");
        sub.secrets = Secrets::new(SigningKeys { secret: [211; 32].into(), seed: [212; 32] });
        sub.headers = vec![CustomHeader { name: "x-key".to_owned(), value: "sesame".to_owned() }];
        let identity = ClientIdentity { certificate: "shown".to_owned(), key: "sesame".to_owned() };
        sub.client_identity = Some(Arc::new(identity));
        let text = format!("{sub:?}");
        assert!(text.contains("x-key") && text.contains("shown"), "{text}");
        assert!(["sesame", "211", "212"].iter().all(|secret| !text.contains(secret)), "{text}");
    }
}
