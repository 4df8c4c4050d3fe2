//! The rows of the audit trail.
//!
//! | tag | key after it | value |
//! |---|---|---|
//! | 6 | account key (0: of all) | the next serial |
//! | 17 | account key, serial among the account's | entry |
//! | 18 | serial | entry |
//!
//! An entry stands twice: an account's list and the operator's are each one walk, and how many of each
//! there are follows from the serials, so that no row is read to find the one that gives way.

use super::audit::{ALL, AUDIT_PER_ACCOUNT_MAX, AuditEntry, Note, Serials, Target};
use super::change::Row;
use super::origin::Actor;
use super::rows::{RowError, decode, encode};
use super::words::Word;
use crate::model::{AccountKey, AccountName, UnixMillis};

pub(super) const TAG_SERIAL: u8 = 6;
const TAG_OF_ACCOUNT: u8 = 17;
const TAG_OF_ALL: u8 = 18;
const VERSION: u8 = 1;

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Record {
    serial: u64,
    own_serial: u64,
    at: u64,
    account: Option<(u32, String)>,
    actor: (u8, String, String),
    action: u8,
    target: (u8, String, String),
    changes: Vec<String>,
}

/// Where the entry `serial` of an account lies, or of all.
pub(super) fn key(account: Option<AccountKey>, serial: u64) -> Vec<u8> {
    match account {
        Some(account) => [&[TAG_OF_ACCOUNT][..], &account.0.to_be_bytes(), &serial.to_be_bytes()].concat(),
        None => [&[TAG_OF_ALL][..], &serial.to_be_bytes()].concat(),
    }
}

/// The serial in a key of [`key`].
pub(super) fn serial_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|serial| u64::from_be_bytes(*serial))
}

pub(super) fn serial_row(account: AccountKey, next: Option<u64>) -> Row {
    let key = [&[TAG_SERIAL][..], &account.0.to_be_bytes()].concat();
    Row { key, value: next.map(|next| encode(VERSION, &next)) }
}

/// From what stands after the tag, and the value.
pub(super) fn read_serial(rest: &[u8], value: &[u8]) -> Result<(AccountKey, u64), RowError> {
    let account = rest.try_into().map(u32::from_be_bytes).map_err(|_| RowError::Key)?;
    Ok((AccountKey(account), decode(VERSION, value)?))
}

/// What a plan does to the serials.
pub(super) type NextSerials = Vec<(AccountKey, Option<u64>)>;

/// The rows of notes that are made now.
pub(super) fn write(
    serials: &Serials,
    notes: Vec<Note>,
    actor: &Actor,
    at: UnixMillis,
) -> (NextSerials, Vec<Row>) {
    let mut next = Serials::default();
    let mut touched = Vec::new();
    let mut rows = Vec::new();
    let mut take = |account: AccountKey| {
        if !touched.contains(&account) {
            touched.push(account);
            next.set(account, Some(serials.next(account)));
        }
        let serial = next.next(account);
        next.set(account, Some(serial + 1));
        serial
    };
    for note in notes {
        let account = note.account.as_ref().map(|(key, _)| *key);
        let serial = take(ALL);
        let own_serial = account.map_or(0, &mut take);
        let entry = AuditEntry { serial, own_serial, at, actor: actor.clone(), note };
        let value = encode(VERSION, &record(&entry));
        if let Some(account) = account {
            let given_way = own_serial.checked_sub(AUDIT_PER_ACCOUNT_MAX).filter(|old| *old > 0);
            rows.extend(given_way.map(|old| Row { key: key(Some(account), old), value: None }));
            rows.push(Row { key: key(Some(account), own_serial), value: Some(value.clone()) });
        }
        rows.push(Row { key: key(None, serial), value: Some(value) });
    }
    let taken: NextSerials = touched.iter().map(|account| (*account, Some(next.next(*account)))).collect();
    rows.extend(taken.iter().map(|(account, next)| serial_row(*account, *next)));
    (taken, rows)
}

fn record(entry: &AuditEntry) -> Record {
    let AuditEntry { serial, own_serial, at, actor, note } = entry;
    Record {
        serial: *serial,
        own_serial: *own_serial,
        at: at.0,
        account: note.account.as_ref().map(|(key, name)| (key.0, name.as_str().to_owned())),
        actor: (actor.kind.number(), actor.id.to_string(), actor.name.to_string()),
        action: note.action.number(),
        target: (note.target.kind.number(), note.target.id.clone(), note.target.name.clone()),
        changes: note.changes.clone(),
    }
}

pub(super) fn read(value: &[u8]) -> Result<AuditEntry, RowError> {
    fn word<W: Word>(number: u8) -> Result<W, RowError> {
        W::from_number(number).ok_or(RowError::Rule("an unknown word of the audit trail"))
    }
    let record: Record = decode(VERSION, value)?;
    let account = match record.account {
        Some((key, name)) => Some((AccountKey(key), AccountName::parse(&name)?)),
        None => None,
    };
    let (kind, id, name) = record.actor;
    let actor = Actor { kind: word(kind)?, id: id.into(), name: name.into() };
    let (kind, id, name) = record.target;
    let target = Target { kind: word(kind)?, id, name };
    Ok(AuditEntry {
        serial: record.serial,
        own_serial: record.own_serial,
        at: UnixMillis(record.at),
        actor,
        note: Note { account, action: word(record.action)?, target, changes: record.changes },
    })
}

/// The rows of one entry, to be taken away. An account's is there no longer where it gave way.
pub(super) fn gone(entry: &AuditEntry) -> Vec<Row> {
    let own = entry.note.account.as_ref().map(|(account, _)| key(Some(*account), entry.own_serial));
    let keys = own.into_iter().chain([key(None, entry.serial)]);
    keys.map(|key| Row { key, value: None }).collect()
}
