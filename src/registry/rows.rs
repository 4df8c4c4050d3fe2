//! The registry's rows in the family `meta`: tags 1 to 31 are its own, a tag is never reused.
//!
//! | tag | key after it | value |
//! |---|---|---|
//! | 1 | — | counters |
//! | 2 | account key, u32 big-endian | account |
//! | 3 | subscription key, u64 big-endian | subscription |
//! | 4 | account key, u32 big-endian, token id | token |
//! | 5 | request key, 32 bytes | a request that was answered |
//! | 6, 17, 18 | see [`super::audit_row`] | the audit trail |
//! | 16 | request key, 32 bytes | the answer, sealed |
//!
//! Those from tag 16 on are read when they are asked for, and are not loaded at a start.
//!
//! A value is a version byte, the CRC-32 of what follows, and bincode of a record type that exists for the
//! disk alone: the model may change its shape without changing what is written. Reading checks every rule
//! that parsing checks, because a damaged row must become an error and not a strange subscription.

use std::collections::BTreeMap;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

use super::change::{Counters, Row};
use super::entropy::Sealer;
use super::origin::RequestKey;
use super::remembered::Entry;
use super::state::Account;
use super::token::Token;
use super::{audit_row, remembered, subscription_row, token_row};
use crate::model::ids::IdError;
use crate::model::url::UrlError;
use crate::model::{AccountKey, AccountName, Subscription, SubscriptionKey, UnixMillis};

const TAG_COUNTERS: u8 = 1;
const TAG_ACCOUNT: u8 = 2;
const TAG_SUBSCRIPTION: u8 = 3;
/// Rows from here on are not loaded.
pub const TAG_UNLOADED: u8 = 16;

/// Of counters and accounts; subscriptions have their own.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 5;
/// Bytes at most in a value. The largest subscription (32 headers of 4 KiB, 64 epochs with 128 KiB of filters,
/// 256 selectors) needs less than three quarters of it.
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
    #[error("its secrets cannot be opened with this key")]
    Sealed,
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

/// A row, read.
pub(super) enum Read {
    Counters(Counters),
    Account(Account),
    /// And whether its row is of an older version.
    Subscription(Box<Subscription>, bool),
    Token(Token),
    Remembered(RequestKey, Entry),
    Serial(AccountKey, u64),
    /// The log's own, or one that is not loaded.
    Foreign,
}

pub(super) fn account_key(key: AccountKey) -> Vec<u8> {
    [&[TAG_ACCOUNT][..], &key.0.to_be_bytes()].concat()
}

pub(super) fn subscription_key(key: SubscriptionKey) -> Vec<u8> {
    [&[TAG_SUBSCRIPTION][..], &key.0.to_be_bytes()].concat()
}

pub(super) fn counters(counters: Counters) -> Row {
    let record = CountersRecord { account: counters.account, subscription: counters.subscription };
    Row { key: vec![TAG_COUNTERS], value: Some(encode(VERSION, &record)) }
}

pub(super) fn account(account: &Account) -> Row {
    let record = AccountRecord {
        name: account.name.as_str().to_owned(),
        title: account.title.clone(),
        created_at: account.created_at.0,
        features: account.features.iter().map(|(flag, on)| (flag.clone(), *on)).collect(),
    };
    Row { key: account_key(account.key), value: Some(encode(VERSION, &record)) }
}

pub(super) fn subscription(sub: &Subscription, sealer: &mut Sealer<'_>) -> Row {
    Row { key: subscription_key(sub.key), value: Some(subscription_row::value(sub, sealer)) }
}

/// Whether something in these rows can only be read with the key that it was sealed with.
#[must_use]
pub fn holds_sealed(rows: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let is_subscription = |key: &[u8]| key.first() == Some(&TAG_SUBSCRIPTION);
    rows.iter().any(|(key, value)| is_subscription(key) && subscription_row::is_sealed(value))
}

/// Whether a value is as it was written, which its checksum tells without the key that seals it.
///
/// # Errors
/// A checksum that does not hold, or a value that is none.
pub fn verify(value: &[u8]) -> Result<(), RowError> {
    if value.len() > ROW_LEN_MAX {
        return Err(RowError::Long);
    }
    let (head, payload) = value.split_first_chunk::<HEADER_LEN>().ok_or(RowError::Short)?;
    let [_, crc @ ..] = *head;
    if u32::from_le_bytes(crc) == crc32fast::hash(payload) { Ok(()) } else { Err(RowError::Checksum) }
}

/// The version of a value, if it has one.
pub(super) fn version(value: &[u8]) -> Option<u8> {
    value.first().copied()
}

pub(super) fn encode<R: bincode::Encode>(version: u8, record: &R) -> Vec<u8> {
    let mut value = vec![0; HEADER_LEN];
    // Encoding into a vector fails on nothing that these plain records hold; were it to, the row would
    // be refused when it is read, by its checksum.
    let _ = bincode::encode_into_std_write(record, &mut value, CODEC);
    let crc = value.get(HEADER_LEN..).map_or(0, crc32fast::hash);
    if let Some((head, tail)) = value.split_first_mut() {
        *head = version;
        if let Some(place) = tail.first_chunk_mut::<4>() {
            *place = crc.to_le_bytes();
        }
    }
    value
}

/// A part of a record that is encoded on its own.
pub(super) fn encode_part<R: bincode::Encode>(part: &R) -> Vec<u8> {
    // Fails on nothing that a part holds; were it to, reading it back would say so.
    bincode::encode_to_vec(part, CODEC).unwrap_or_default()
}

pub(super) fn decode_part<R: bincode::Decode<()>>(bytes: &[u8]) -> Result<R, RowError> {
    let (part, read) = bincode::decode_from_slice(bytes, CODEC)?;
    if read == bytes.len() { Ok(part) } else { Err(RowError::Rule("bytes after its end")) }
}

/// The record of a value that must have this version; an older one was tried before.
pub(super) fn decode<R: bincode::Decode<()>>(version: u8, value: &[u8]) -> Result<R, RowError> {
    if value.len() > ROW_LEN_MAX {
        return Err(RowError::Long);
    }
    let (found, rest) = value.split_first().ok_or(RowError::Short)?;
    if *found != version {
        return Err(RowError::Version(*found));
    }
    let (crc, payload) = rest.split_first_chunk::<4>().ok_or(RowError::Short)?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(payload) {
        return Err(RowError::Checksum);
    }
    decode_part(payload)
}

/// Reads one row of `meta`. A subscription's row has its account's key; `name_of` knows the name.
pub(super) fn read(
    key: &[u8],
    value: &[u8],
    sealer: &mut Sealer<'_>,
    name_of: impl FnOnce(AccountKey) -> Option<AccountName>,
) -> Result<Read, RowError> {
    let (tag, rest) = key.split_first().ok_or(RowError::Key)?;
    match *tag {
        TAG_COUNTERS if rest.is_empty() => {
            let record: CountersRecord = decode(VERSION, value)?;
            Ok(Read::Counters(Counters { account: record.account, subscription: record.subscription }))
        }
        TAG_ACCOUNT => {
            let key = rest.try_into().map(u32::from_be_bytes).map_err(|_| RowError::Key)?;
            Ok(Read::Account(read_account(AccountKey(key), decode(VERSION, value)?)?))
        }
        TAG_SUBSCRIPTION => {
            let key = rest.try_into().map(u64::from_be_bytes).map_err(|_| RowError::Key)?;
            let sub = subscription_row::read(SubscriptionKey(key), value, sealer, name_of)?;
            Ok(Read::Subscription(Box::new(sub), version(value) != Some(subscription_row::VERSION)))
        }
        token_row::TAG => {
            let token = token_row::read(rest, value)?;
            name_of(token.account).ok_or(RowError::Orphan)?;
            Ok(Read::Token(token))
        }
        remembered::TAG => {
            let (key, entry) = remembered::read(rest, value)?;
            Ok(Read::Remembered(key, entry))
        }
        audit_row::TAG_SERIAL => {
            let (account, next) = audit_row::read_serial(rest, value)?;
            Ok(Read::Serial(account, next))
        }
        TAG_UNLOADED.. => Ok(Read::Foreign),
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

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
