//! The registry's rows in the family `meta`: tags 1 to 31 are its own, a tag is never reused.
//!
//! | tag | key after it | value |
//! |---|---|---|
//! | 1 | — | counters |
//! | 2 | account key, u32 big-endian | account |
//! | 3 | subscription key, u64 big-endian | subscription |
//! | 4 | account key, u32 big-endian, token id | token |
//!
//! A value is a version byte, the CRC-32 of what follows, and bincode of a record type that exists for the
//! disk alone: the model may change its shape without changing what is written. Reading checks every rule
//! that parsing checks, because a damaged row must become an error and not a strange subscription.

use std::collections::BTreeMap;
use std::time::Duration;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

use super::change::{Counters, Row};
use super::state::Account;
use super::token::{Token, TokenDigest};
use super::words::Word;
use crate::model::ids::IdError;
use crate::model::url::UrlError;
use crate::model::{
    AccountKey, AccountName, CallbackUrl, CustomHeader, DeliveryOptions, Epoch, Subscription, SubscriptionId,
    SubscriptionKey, UnixMillis,
};

const TAG_COUNTERS: u8 = 1;
const TAG_ACCOUNT: u8 = 2;
const TAG_SUBSCRIPTION: u8 = 3;
const TAG_TOKEN: u8 = 4;
/// Tags from here on are the log's.
const TAG_FOREIGN: u8 = 32;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;
/// Bytes at most in a value. The largest subscription (32 headers of 4 KiB, 64 epochs, 256 selectors)
/// needs less than half of it.
pub const ROW_LEN_MAX: usize = 512 * 1024;

const CODEC: Configuration<LittleEndian, Varint, Limit<ROW_LEN_MAX>> =
    bincode::config::standard().with_limit::<ROW_LEN_MAX>();

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("the key is not one of the registry's")]
    Key,
    #[error("the value is cut off")]
    Short,
    #[error("the value is longer than {ROW_LEN_MAX} bytes")]
    Long,
    #[error("version {0} was written by a newer program")]
    Version(u8),
    #[error("the checksum does not hold")]
    Checksum,
    #[error("the value cannot be decoded")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("the value holds something that no subscription or account can have: {0}")]
    Rule(&'static str),
    #[error("the value holds a name that is none")]
    Name(#[from] IdError),
    #[error("the value holds a callback URL that is none")]
    Url(#[from] UrlError),
    #[error("its account is not there")]
    Orphan,
}

/// A row that the registry could not be loaded from.
#[derive(Debug, thiserror::Error)]
#[error("registry row {}: {source}", hex(.key))]
pub struct LoadError {
    pub key: Vec<u8>,
    pub source: RowError,
}

fn hex(key: &[u8]) -> String {
    key.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct CountersRecord {
    account: u32,
    subscription: u64,
}

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct AccountRecord {
    name: String,
    title: Option<String>,
    created_at: u64,
    features: Vec<(String, bool)>,
}

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct SubscriptionRecord {
    id: String,
    account: u32,
    name: String,
    callback_url: String,
    events: Vec<String>,
    headers: Vec<(String, String)>,
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
    secret: Vec<u8>,
    created_at: u64,
    updated_at: u64,
    version: u64,
    epochs: Vec<Epoch>,
}

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct TokenRecord {
    name: String,
    kind: u8,
    role: u8,
    platform_user: bool,
    events_write: bool,
    digest: [u8; 32],
    created_at: u64,
    expires_at: Option<u64>,
    last_used_at: Option<u64>,
}

/// A row, read.
pub(super) enum Read {
    Counters(Counters),
    Account(Account),
    Subscription(Box<Subscription>),
    Token(Token),
    /// The log's own.
    Foreign,
}

pub(super) fn account_key(key: AccountKey) -> Vec<u8> {
    [&[TAG_ACCOUNT][..], &key.0.to_be_bytes()].concat()
}

pub(super) fn subscription_key(key: SubscriptionKey) -> Vec<u8> {
    [&[TAG_SUBSCRIPTION][..], &key.0.to_be_bytes()].concat()
}

pub(super) fn token_key(account: AccountKey, id: &str) -> Vec<u8> {
    [&[TAG_TOKEN][..], &account.0.to_be_bytes(), id.as_bytes()].concat()
}

pub(super) fn token(token: &Token) -> Row {
    let record = TokenRecord {
        name: token.name.clone(),
        kind: token.kind.number(),
        role: token.role.number(),
        platform_user: token.platform_user,
        events_write: token.events_write,
        digest: token.digest.0,
        created_at: token.created_at.0,
        expires_at: token.expires_at.map(|end| end.0),
        last_used_at: token.last_used_at.map(|at| at.0),
    };
    Row { key: token_key(token.account, &token.id), value: Some(encode(&record)) }
}

pub(super) fn counters(counters: Counters) -> Row {
    let record = CountersRecord { account: counters.account, subscription: counters.subscription };
    Row { key: vec![TAG_COUNTERS], value: Some(encode(&record)) }
}

pub(super) fn account(account: &Account) -> Row {
    let record = AccountRecord {
        name: account.name.as_str().to_owned(),
        title: account.title.clone(),
        created_at: account.created_at.0,
        features: account.features.iter().map(|(flag, on)| (flag.clone(), *on)).collect(),
    };
    Row { key: account_key(account.key), value: Some(encode(&record)) }
}

pub(super) fn subscription(sub: &Subscription) -> Row {
    let record = SubscriptionRecord {
        id: sub.id.as_str().to_owned(),
        account: sub.account.0,
        name: sub.name.clone(),
        callback_url: sub.callback_url.as_str().to_owned(),
        events: sub.events.clone(),
        headers: sub.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
        description: sub.description.clone(),
        status: sub.status.number(),
        disabled_reason: sub.disabled_reason.map_or(0, Word::number),
        timeout_ms: u32::try_from(sub.delivery.timeout.as_millis()).unwrap_or(u32::MAX),
        max_in_flight: sub.delivery.max_in_flight,
        rate_per_second: sub.delivery.rate_per_second,
        ordering: sub.delivery.ordering.number(),
        on_blocked: sub.delivery.on_blocked.number(),
        signature: sub.delivery.signature.number(),
        secret: sub.secret.clone(),
        created_at: sub.created_at.0,
        updated_at: sub.updated_at.0,
        version: sub.version,
        epochs: sub.epochs.clone(),
    };
    Row { key: subscription_key(sub.key), value: Some(encode(&record)) }
}

fn encode<R: bincode::Encode>(record: &R) -> Vec<u8> {
    let mut value = vec![0; HEADER_LEN];
    // Encoding into a vector fails on nothing that these plain records hold; were it to, the row would
    // be refused when it is read, by its checksum.
    let _ = bincode::encode_into_std_write(record, &mut value, CODEC);
    let crc = value.get(HEADER_LEN..).map_or(0, crc32fast::hash);
    if let Some((head, tail)) = value.split_first_mut() {
        *head = VERSION;
        if let Some(place) = tail.first_chunk_mut::<4>() {
            *place = crc.to_le_bytes();
        }
    }
    value
}

fn decode<R: bincode::Decode<()>>(value: &[u8]) -> Result<R, RowError> {
    if value.len() > ROW_LEN_MAX {
        return Err(RowError::Long);
    }
    let (version, rest) = value.split_first().ok_or(RowError::Short)?;
    if *version != VERSION {
        return Err(RowError::Version(*version));
    }
    let (crc, payload) = rest.split_first_chunk::<4>().ok_or(RowError::Short)?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(payload) {
        return Err(RowError::Checksum);
    }
    let (record, read) = bincode::decode_from_slice(payload, CODEC)?;
    if read == payload.len() { Ok(record) } else { Err(RowError::Rule("bytes after its end")) }
}

/// Reads one row of `meta`. A subscription's row has its account's key; `name_of` knows the name.
pub(super) fn read(
    key: &[u8],
    value: &[u8],
    name_of: impl FnOnce(AccountKey) -> Option<AccountName>,
) -> Result<Read, RowError> {
    let (tag, rest) = key.split_first().ok_or(RowError::Key)?;
    match *tag {
        TAG_COUNTERS if rest.is_empty() => {
            let record: CountersRecord = decode(value)?;
            Ok(Read::Counters(Counters { account: record.account, subscription: record.subscription }))
        }
        TAG_ACCOUNT => {
            let key = rest.try_into().map(u32::from_be_bytes).map_err(|_| RowError::Key)?;
            Ok(Read::Account(read_account(AccountKey(key), decode(value)?)?))
        }
        TAG_SUBSCRIPTION => {
            let key = rest.try_into().map(u64::from_be_bytes).map_err(|_| RowError::Key)?;
            let record: SubscriptionRecord = decode(value)?;
            let name = name_of(AccountKey(record.account)).ok_or(RowError::Orphan)?;
            read_subscription(SubscriptionKey(key), name, record).map(Box::new).map(Read::Subscription)
        }
        TAG_TOKEN => {
            let (account, id) = rest.split_first_chunk::<4>().ok_or(RowError::Key)?;
            let account = AccountKey(u32::from_be_bytes(*account));
            name_of(account).ok_or(RowError::Orphan)?;
            let id = std::str::from_utf8(id).map_err(|_| RowError::Key)?;
            Ok(Read::Token(read_token(account, id, decode(value)?)?))
        }
        TAG_FOREIGN.. => Ok(Read::Foreign),
        _ => Err(RowError::Key),
    }
}

fn read_account(key: AccountKey, record: AccountRecord) -> Result<Account, RowError> {
    Ok(Account {
        key,
        name: AccountName::parse(&record.name)?,
        title: record.title,
        created_at: UnixMillis(record.created_at),
        features: record.features.into_iter().collect::<BTreeMap<_, _>>(),
    })
}

fn word<W: Word>(number: u8, what: &'static str) -> Result<W, RowError> {
    W::from_number(number).ok_or(RowError::Rule(what))
}

fn read_token(account: AccountKey, id: &str, record: TokenRecord) -> Result<Token, RowError> {
    Ok(Token {
        id: id.into(),
        account,
        name: record.name,
        kind: word(record.kind, "an unknown kind of token")?,
        role: word(record.role, "an unknown role")?,
        platform_user: record.platform_user,
        events_write: record.events_write,
        digest: TokenDigest(record.digest),
        created_at: UnixMillis(record.created_at),
        expires_at: record.expires_at.map(UnixMillis),
        last_used_at: record.last_used_at.map(UnixMillis),
    })
}

fn read_subscription(
    key: SubscriptionKey,
    account_name: AccountName,
    record: SubscriptionRecord,
) -> Result<Subscription, RowError> {
    let rising = record.epochs.windows(2).all(|pair| matches!(pair, [a, b] if a.from < b.from));
    if record.epochs.is_empty() || !rising {
        return Err(RowError::Rule("epochs that do not rise"));
    }
    let id = SubscriptionId::parse(&record.id)?;
    let callback_url = CallbackUrl::parse(&record.callback_url)?;
    let status = word(record.status, "an unknown status")?;
    let disabled_reason = match record.disabled_reason {
        0 => None,
        number => Some(word(number, "an unknown disabledReason")?),
    };
    let delivery = DeliveryOptions {
        timeout: Duration::from_millis(u64::from(record.timeout_ms)),
        max_in_flight: record.max_in_flight,
        rate_per_second: record.rate_per_second,
        ordering: word(record.ordering, "an unknown ordering")?,
        on_blocked: word(record.on_blocked, "an unknown onBlocked")?,
        signature: word(record.signature, "an unknown signature")?,
    };
    let headers = record.headers.into_iter().map(|(name, value)| CustomHeader { name, value }).collect();
    Ok(Subscription {
        key,
        id,
        account: AccountKey(record.account),
        account_name,
        name: record.name,
        callback_url,
        events: record.events,
        headers,
        description: record.description,
        status,
        disabled_reason,
        delivery,
        secret: record.secret,
        client_identity: None,
        created_at: UnixMillis(record.created_at),
        updated_at: UnixMillis(record.updated_at),
        version: record.version,
        epochs: record.epochs,
    })
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
