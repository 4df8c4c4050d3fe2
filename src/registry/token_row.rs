//! The row of a token: its digest, and nothing that would let anybody be it.

use super::change::Row;
use super::rows::{RowError, decode, encode};
use super::token::{Token, TokenDigest};
use super::words::Word;
use crate::model::{AccountKey, UnixMillis};

pub(super) const TAG: u8 = 4;
const VERSION: u8 = 1;

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Record {
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

pub(super) fn key(account: AccountKey, id: &str) -> Vec<u8> {
    [&[TAG][..], &account.0.to_be_bytes(), id.as_bytes()].concat()
}

pub(super) fn row(token: &Token) -> Row {
    let record = Record {
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
    Row { key: key(token.account, &token.id), value: Some(encode(VERSION, &record)) }
}

/// From what stands after the tag, and the value.
pub(super) fn read(rest: &[u8], value: &[u8]) -> Result<Token, RowError> {
    let (account, id) = rest.split_first_chunk::<4>().ok_or(RowError::Key)?;
    let record: Record = decode(VERSION, value)?;
    Ok(Token {
        id: std::str::from_utf8(id).map_err(|_| RowError::Key)?.into(),
        account: AccountKey(u32::from_be_bytes(*account)),
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

fn word<W: Word>(number: u8, what: &'static str) -> Result<W, RowError> {
    W::from_number(number).ok_or(RowError::Rule(what))
}
