//! The row of a subscription, in the versions that there are.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | one secret, everything in the open |
//! | 2 | generations of signing keys, a client certificate; what is secret is one sealed part ([`Vault`]) |
//!
//! Rows of an older version are read and written again in the newest when the registry is loaded.

use std::sync::Arc;
use std::time::Duration;

use super::entropy::{Entropy, Sealer};
use super::rows::{RowError, decode, decode_part, encode, encode_part, version};
use super::vault::Owner;
use super::words::Word;
use crate::model::{
    AccountKey, AccountName, CallbackUrl, ClientIdentity, CustomHeader, DeliveryOptions, Epoch, PreviousKeys,
    Secrets, SigningKeys, Subscription, SubscriptionId, SubscriptionKey, UnixMillis,
};

/// What is written.
pub(super) const VERSION: u8 = 2;
/// Everything in the open, of which there may be rows left.
const VERSION_OPEN: u8 = 1;

/// Version 1.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct OpenRecord {
    id: String,
    account: u32,
    name: String,
    callback_url: String,
    events: Vec<String>,
    headers: Vec<(String, String)>,
    description: String,
    status: u8,
    disabled_reason: u8,
    timeout_ms: u32,
    max_in_flight: u32,
    rate_per_second: Option<f64>,
    ordering: u8,
    on_blocked: u8,
    signature: u8,
    secret: Vec<u8>,
    created_at: u64,
    updated_at: u64,
    version: u64,
    epochs: Vec<Epoch>,
}

/// Version 2.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Record {
    id: String,
    account: u32,
    name: String,
    callback_url: String,
    events: Vec<String>,
    header_names: Vec<String>,
    description: String,
    status: u8,
    /// 0: none.
    disabled_reason: u8,
    timeout_ms: u32,
    max_in_flight: u32,
    rate_per_second: Option<f64>,
    ordering: u8,
    on_blocked: u8,
    signature: u8,
    certificate: Option<String>,
    created_at: u64,
    updated_at: u64,
    version: u64,
    epochs: Vec<Epoch>,
    announced: bool,
    /// A [`Secret`], sealed.
    sealed: Vec<u8>,
}

#[derive(bincode::Encode, bincode::Decode)]
struct Keys {
    secret: Vec<u8>,
    seed: [u8; 32],
}

/// What nobody may read from a copy of the disk.
#[derive(bincode::Encode, bincode::Decode)]
struct Secret {
    current: Keys,
    /// With the time at which they expire.
    previous: Vec<(Keys, u64)>,
    /// In the order of `header_names`.
    header_values: Vec<String>,
    /// Of `certificate`.
    client_key: Option<String>,
}

fn keys(keys: &SigningKeys) -> Keys {
    Keys { secret: keys.secret.to_vec(), seed: keys.seed }
}

pub(super) fn value(sub: &Subscription, sealer: &mut Sealer<'_>) -> Vec<u8> {
    let owner = Owner::Subscription { account: sub.account, subscription: sub.key };
    let identity = sub.client_identity.as_deref();
    let previous = |previous: &PreviousKeys| (keys(&previous.keys), previous.expires_at.0);
    let secret = Secret {
        current: keys(&sub.secrets.current),
        previous: sub.secrets.previous.iter().map(previous).collect(),
        header_values: sub.headers.iter().map(|header| header.value.clone()).collect(),
        client_key: identity.map(|identity| identity.key.clone()),
    };
    let record = Record {
        id: sub.id.as_str().to_owned(),
        account: sub.account.0,
        name: sub.name.clone(),
        callback_url: sub.callback_url.as_str().to_owned(),
        events: sub.events.clone(),
        header_names: sub.headers.iter().map(|header| header.name.clone()).collect(),
        description: sub.description.clone(),
        status: sub.status.number(),
        disabled_reason: sub.disabled_reason.map_or(0, Word::number),
        timeout_ms: u32::try_from(sub.delivery.timeout.as_millis()).unwrap_or(u32::MAX),
        max_in_flight: sub.delivery.max_in_flight,
        rate_per_second: sub.delivery.rate_per_second,
        ordering: sub.delivery.ordering.number(),
        on_blocked: sub.delivery.on_blocked.number(),
        signature: sub.delivery.signature.number(),
        certificate: identity.map(|identity| identity.certificate.clone()),
        created_at: sub.created_at.0,
        updated_at: sub.updated_at.0,
        version: sub.version,
        epochs: sub.epochs.clone(),
        announced: sub.announced,
        sealed: sealer.vault.seal(sealer.entropy.draw(), owner, &encode_part(&secret)),
    };
    encode(VERSION, &record)
}

/// Whether the value is of a version that seals what is secret.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    version(value).is_some_and(|version| version > VERSION_OPEN)
}

/// A row of any version. The account's name is not in it; `name_of` knows it.
pub(super) fn read(
    key: SubscriptionKey,
    value: &[u8],
    sealer: &mut Sealer<'_>,
    name_of: impl FnOnce(AccountKey) -> Option<AccountName>,
) -> Result<Subscription, RowError> {
    let (record, secret) = if version(value) == Some(VERSION_OPEN) {
        open(decode(VERSION_OPEN, value)?, &mut sealer.entropy)
    } else {
        let record: Record = decode(VERSION, value)?;
        let owner = Owner::Subscription { account: AccountKey(record.account), subscription: key };
        let plain = sealer.vault.open(owner, &record.sealed).ok_or(RowError::Sealed)?;
        let secret = decode_part(&plain)?;
        (record, secret)
    };
    let name = name_of(AccountKey(record.account)).ok_or(RowError::Orphan)?;
    subscription(key, name, record, secret)
}

/// Version 1 as version 2: its seed was never there, so nobody knows a public key of it yet.
fn open(record: OpenRecord, entropy: &mut Entropy) -> (Record, Secret) {
    let (header_names, header_values) = record.headers.into_iter().unzip();
    let secret = Secret {
        current: Keys { secret: record.secret, seed: entropy.draw() },
        previous: Vec::new(),
        header_values,
        client_key: None,
    };
    let record = Record {
        id: record.id,
        account: record.account,
        name: record.name,
        callback_url: record.callback_url,
        events: record.events,
        header_names,
        description: record.description,
        status: record.status,
        disabled_reason: record.disabled_reason,
        timeout_ms: record.timeout_ms,
        max_in_flight: record.max_in_flight,
        rate_per_second: record.rate_per_second,
        ordering: record.ordering,
        on_blocked: record.on_blocked,
        signature: record.signature,
        certificate: None,
        created_at: record.created_at,
        updated_at: record.updated_at,
        version: record.version,
        epochs: record.epochs,
        announced: false,
        sealed: Vec::new(),
    };
    (record, secret)
}

fn word<W: Word>(number: u8, what: &'static str) -> Result<W, RowError> {
    W::from_number(number).ok_or(RowError::Rule(what))
}

fn signing_keys(keys: Keys) -> SigningKeys {
    SigningKeys { secret: keys.secret.into(), seed: keys.seed }
}

fn subscription(
    key: SubscriptionKey,
    account_name: AccountName,
    record: Record,
    secret: Secret,
) -> Result<Subscription, RowError> {
    let rising = record.epochs.windows(2).all(|pair| matches!(pair, [a, b] if a.from < b.from));
    if record.epochs.is_empty() || !rising {
        return Err(RowError::Rule("epochs that do not rise"));
    }
    if record.header_names.len() != secret.header_values.len() {
        return Err(RowError::Rule("headers without values"));
    }
    let header = |(name, value)| CustomHeader { name, value };
    let previous = |(keys, at)| PreviousKeys { keys: signing_keys(keys), expires_at: UnixMillis(at) };
    let client_identity = match (record.certificate, secret.client_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(ClientIdentity { certificate, key })),
        (None, None) => None,
        _ => return Err(RowError::Rule("a client certificate without its key")),
    };
    Ok(Subscription {
        key,
        id: SubscriptionId::parse(&record.id)?,
        account: AccountKey(record.account),
        account_name,
        name: record.name,
        callback_url: CallbackUrl::parse(&record.callback_url)?,
        events: record.events,
        headers: record.header_names.into_iter().zip(secret.header_values).map(header).collect(),
        description: record.description,
        status: word(record.status, "an unknown status")?,
        disabled_reason: match record.disabled_reason {
            0 => None,
            number => Some(word(number, "an unknown disabledReason")?),
        },
        delivery: DeliveryOptions {
            timeout: Duration::from_millis(u64::from(record.timeout_ms)),
            max_in_flight: record.max_in_flight,
            rate_per_second: record.rate_per_second,
            ordering: word(record.ordering, "an unknown ordering")?,
            on_blocked: word(record.on_blocked, "an unknown onBlocked")?,
            signature: word(record.signature, "an unknown signature")?,
        },
        secrets: Secrets {
            current: signing_keys(secret.current),
            previous: secret.previous.into_iter().map(previous).collect(),
        },
        client_identity,
        announced: record.announced,
        created_at: UnixMillis(record.created_at),
        updated_at: UnixMillis(record.updated_at),
        version: record.version,
        epochs: record.epochs,
    })
}
