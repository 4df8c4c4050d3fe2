//! The row of a subscription, in the versions that there are.
//!
//! | version | what changed |
//! |---|---|
//! | 1 | one secret, everything in the open |
//! | 2 | generations of signing keys, a client certificate; what is secret is one sealed part ([`Vault`]) |
//! | 3 | filters, present and past, after all that version 2 has |
//!
//! Rows of an older version are read and written again in the newest when the registry is loaded.

use std::sync::Arc;
use std::time::Duration;

use super::entropy::{Entropy, Sealer};
use super::rows::{RowError, decode, decode_part, encode, encode_part, version};
use super::vault::Owner;
use super::words::Word;
use crate::model::{
    AccountKey, AccountName, CallbackUrl, ClientIdentity, CustomHeader, DeliveryOptions, Epoch, EventMask,
    Filter, PreviousKeys, Secrets, Seq, SigningKeys, Subscription, SubscriptionId, SubscriptionKey,
    UnixMillis,
};

/// What is written.
pub(super) const VERSION: u8 = 3;
const VERSION_UNFILTERED: u8 = 2;
/// Everything in the open, of which there may be rows left.
const VERSION_OPEN: u8 = 1;

/// What an [`Epoch`] is without its filter.
#[derive(Clone, Copy, Debug, bincode::Encode, bincode::Decode)]
struct Span {
    from: Seq,
    mask: EventMask,
}

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
    epochs: Vec<Span>,
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
    epochs: Vec<Span>,
    announced: bool,
    /// A [`Secret`], sealed.
    sealed: Vec<u8>,
}

/// What version 3 has more. A filter is named by its place in `texts`, counted from 1; 0 is none.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
struct Filters {
    /// JSON, each once.
    texts: Vec<String>,
    present: u32,
    /// One for each epoch.
    epochs: Vec<u32>,
}

impl Filters {
    fn of(sub: &Subscription) -> Self {
        let mut filters = Self::default();
        filters.present = filters.place(sub.filter.as_deref());
        filters.epochs = sub.epochs.iter().map(|epoch| filters.place(epoch.filter.as_deref())).collect();
        filters
    }

    /// There are at most as many as epochs and one, so looking along the list is cheap.
    fn place(&mut self, filter: Option<&Filter>) -> u32 {
        let Some(filter) = filter else { return 0 };
        let at = self.texts.iter().position(|text| text == filter.as_str()).unwrap_or_else(|| {
            self.texts.push(filter.as_str().to_owned());
            self.texts.len() - 1
        });
        u32::try_from(at + 1).unwrap_or(0)
    }

    /// Compiled, each once: the present one, and those of `spans`.
    fn read(self, spans: Vec<Span>) -> Result<(Option<Arc<Filter>>, Vec<Epoch>), RowError> {
        let compile = |text: String| {
            let value = serde_json::from_str(&text).ok()?;
            Filter::parse(&value, "filter").ok().map(Arc::new)
        };
        let compiled: Option<Vec<Arc<Filter>>> = self.texts.into_iter().map(compile).collect();
        let compiled = compiled.ok_or(RowError::Rule("a filter that is none"))?;
        let at = |place: u32| match usize::try_from(place).ok().and_then(|place| place.checked_sub(1)) {
            None => Ok(None),
            Some(at) => {
                compiled.get(at).cloned().map(Some).ok_or(RowError::Rule("a filter that is not there"))
            }
        };
        if self.epochs.len() != spans.len() {
            return Err(RowError::Rule("epochs without filters"));
        }
        let epochs = spans
            .into_iter()
            .zip(self.epochs)
            .map(|(Span { from, mask }, place)| Ok::<_, RowError>(Epoch { from, mask, filter: at(place)? }));
        Ok((at(self.present)?, epochs.collect::<Result<_, _>>()?))
    }
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
        epochs: sub.epochs.iter().map(|epoch| Span { from: epoch.from, mask: epoch.mask }).collect(),
        announced: sub.announced,
        sealed: sealer.vault.seal(sealer.entropy.draw(), owner, &encode_part(&secret)),
    };
    encode(VERSION, &(record, Filters::of(sub)))
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
    let found = version(value);
    let (record, secret) = if found == Some(VERSION_OPEN) {
        open(decode(VERSION_OPEN, value)?, &mut sealer.entropy)
    } else {
        let record: (Record, Filters) = if found == Some(VERSION_UNFILTERED) {
            with_no_filters(decode(VERSION_UNFILTERED, value)?)
        } else {
            decode(VERSION, value)?
        };
        let owner = Owner::Subscription { account: AccountKey(record.0.account), subscription: key };
        let plain = sealer.vault.open(owner, &record.0.sealed).ok_or(RowError::Sealed)?;
        let secret = decode_part(&plain)?;
        (record, secret)
    };
    let name = name_of(AccountKey(record.0.account)).ok_or(RowError::Orphan)?;
    subscription(key, name, record, secret)
}

/// Version 2 as version 3.
fn with_no_filters(record: Record) -> (Record, Filters) {
    let epochs = vec![0; record.epochs.len()];
    (record, Filters { epochs, ..Filters::default() })
}

/// Version 1 as version 3: its seed was never there, so nobody knows a public key of it yet.
fn open(record: OpenRecord, entropy: &mut Entropy) -> ((Record, Filters), Secret) {
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
    (with_no_filters(record), secret)
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
    (record, filters): (Record, Filters),
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
    let (filter, epochs) = filters.read(record.epochs)?;
    Ok(Subscription {
        key,
        id: SubscriptionId::parse(&record.id)?,
        account: AccountKey(record.account),
        account_name,
        name: record.name,
        callback_url: CallbackUrl::parse(&record.callback_url)?,
        events: record.events,
        filter,
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
        epochs,
    })
}
