//! Is everything in a store what it should be? Every row of every family is read, decoded, and held against
//! what rows alone can tell: kinds in their families, one log without holes, nothing that points beyond it,
//! an index by account that has exactly the log's events.
//!
//! Read only, and alone: the directory is held, so that no engine starts meanwhile. Memory does not grow
//! with the store. The write-ahead log is read to its first record that is not whole, as a start does:
//! after a power cut that is its end, and nothing tells the two apart. Deliberately absent: what needs the key that seals secrets (a start looks at that), and
//! repair: what is damaged is restored from a backup.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::db::{Db, DbOptions, Family};
use super::guard::{DirectoryLock, StoreError};
use super::key::{Key, KeyError, META_TAGS_OF_LOG, attempt_bucket};
use super::record::{
    AccountRow, CountersRow, DeadValue, EventsRow, FloorsRow, IdsRow, PartitionRow, RecordError, RetryValue,
    decode, decode_borrowed, decode_filter,
};
use crate::model::{AccountKey, Attempt, Rollup, Seq, TypeBit, UnixMillis};
use crate::recover::Job;
use crate::registry::{RowError, verify_row};

/// What is wrong, and where.
#[derive(Debug)]
pub struct Damage {
    pub family: Family,
    pub key: Vec<u8>,
    pub what: Fault,
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("a key of the family {}", .0.as_str())]
    WrongFamily(Family),
    #[error("{0}")]
    Record(#[from] RecordError),
    #[error("a row of the registry: {0}")]
    Registry(#[from] RowError),
    #[error("cannot be read on from here: {0}")]
    Unreadable(StoreError),
    #[error("events {} to {} are missing before it", .0.0, .1.0)]
    Hole(Seq, Seq),
    #[error("begins at {}, which an earlier row holds already", .0.0)]
    Overlap(Seq),
    #[error("a row without anything in it")]
    Empty,
    #[error("its items do not rise")]
    Order,
    #[error("speaks of event {}, and the log ends with {}", .seq.0, .head.0)]
    Beyond { seq: Seq, head: Seq },
    #[error("speaks of event {}, which the log does not have", .0.0)]
    NoEvent(Seq),
    #[error("holds an attempt at event {}, which belongs into another row", .0.0)]
    Bucket(Seq),
    #[error("was written after the highest number that was counted, {0}")]
    Serial(u64),
    #[error("has no partition")]
    NoPartition,
    #[error("{index} entries where the log has {log} events of accounts, or others than those")]
    Index { log: u64, index: u64 },
}

/// `events 400000000000000001: a record whose checksum does not hold`
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.family.as_str(), if self.key.is_empty() { "" } else { " " })?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ": {}", self.what)
    }
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows by family, in their order.
    pub rows: Vec<(Family, u64)>,
    pub events: u64,
    pub head: Seq,
    /// The lowest event that retention has left.
    pub floor: Seq,
    pub damages: u64,
}

/// Reads through the store at `options.path`; `found` is told of each damage as it is found.
///
/// # Errors
/// A store that cannot be opened, or that another process has.
pub fn verify(options: &DbOptions, found: &mut dyn FnMut(&Damage)) -> Result<Report, StoreError> {
    // A backup may lie where nothing can be written, and nobody serves from there.
    let _lock = match DirectoryLock::take(&options.path) {
        Err(StoreError::Permission(_)) => None,
        taken => Some(taken?),
    };
    let db = Db::open_read_only(options)?;
    let mut check =
        Check { found, report: Report::default(), floors: FloorsRow::default(), counters: None, ends: true };
    check.all(&db)?;
    Ok(check.report)
}

/// Events that are there, as runs without a hole: first and last.
#[derive(Debug, Default)]
struct Runs(BTreeMap<Seq, Seq>);

impl Runs {
    fn has(&self, seq: Seq) -> bool {
        self.0.range(..=seq).next_back().is_some_and(|(_, last)| seq <= *last)
    }

    /// The last event there is.
    fn head(&self) -> Seq {
        self.0.values().next_back().copied().unwrap_or_default()
    }

    fn add(&mut self, first: Seq, last: Seq) {
        match self.0.values_mut().next_back() {
            Some(end) if end.next() == first => *end = last,
            _ => {
                self.0.insert(first, last);
            }
        }
    }
}

/// A multiset of events, as a count and a sum: two that are the same give the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, account: AccountKey, seq: Seq, bit: TypeBit) {
        let mut hasher = DefaultHasher::new();
        (account.0, seq.0, bit.0).hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

struct Check<'f> {
    found: &'f mut dyn FnMut(&Damage),
    report: Report,
    floors: FloorsRow,
    counters: Option<CountersRow>,
    /// The last row of events could be read: so the log's end is known.
    ends: bool,
}

impl Check<'_> {
    fn all(&mut self, db: &Db) -> Result<(), StoreError> {
        let mut marks = Vec::new();
        self.family(db, Family::Meta, |check, key, value| check.meta(key, value, &mut marks))?;

        let (mut runs, mut log) = (Runs::default(), Tally::default());
        let before = self.report.damages;
        self.family(db, Family::Events, |check, key, value| check.events(key, value, &mut runs, &mut log))?;
        self.report.head = runs.head();
        self.report.floor = self.floors.events;
        for (key, seq) in marks {
            if let Err(what) = self.within(seq) {
                self.damage(Family::Meta, &key, what);
            }
        }

        let mut index = Tally::default();
        let by_account =
            |check: &mut Self, key: &[u8], value: &[u8]| check.by_account(key, value, &mut index);
        self.family(db, Family::ByAccount, by_account)?;
        // With damage in either the two differ, which says nothing more.
        if self.report.damages == before && log != index {
            let what = Fault::Index { log: log.count, index: index.count };
            self.damage(Family::ByAccount, &[], what);
        }

        let mut partitions = Vec::new();
        self.family(db, Family::Ids, |check, key, value| check.ids(key, value, &mut partitions))?;
        self.family(db, Family::Attempts, Self::attempts)?;
        self.family(db, Family::Retries, |check, key, value| check.retry(key, value, &runs))?;
        self.family(db, Family::Lagging, Self::lagging)?;
        self.family(db, Family::Dead, Self::dead)
    }

    fn damage(&mut self, family: Family, key: &[u8], what: Fault) {
        self.report.damages += 1;
        (self.found)(&Damage { family, key: key.to_vec(), what });
    }

    fn family(
        &mut self,
        db: &Db,
        family: Family,
        mut row: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let mut rows = 0;
        if db.has(family) {
            let mut cursor = db.cursor_between(family, &[], &[u8::MAX])?;
            let mut last = Vec::new();
            cursor.first();
            loop {
                match cursor.row() {
                    Ok(Some((key, value))) => {
                        rows += 1;
                        last.clear();
                        last.extend_from_slice(key);
                        if let Err(what) = row(self, key, value) {
                            self.damage(family, key, what);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.damage(family, &last, Fault::Unreadable(error));
                        break;
                    }
                }
                cursor.next();
            }
        }
        self.report.rows.push((family, rows));
        Ok(())
    }

    /// Whether an event may be spoken of.
    fn within(&self, seq: Seq) -> Result<(), Fault> {
        let head = self.report.head;
        if seq <= head || !self.ends { Ok(()) } else { Err(Fault::Beyond { seq, head }) }
    }

    fn meta(&mut self, bytes: &[u8], value: &[u8], marks: &mut Vec<(Vec<u8>, Seq)>) -> Result<(), Fault> {
        if bytes.first().is_some_and(|tag| *tag < META_TAGS_OF_LOG) {
            return Ok(verify_row(value)?);
        }
        match key(bytes, Family::Meta)? {
            Key::Watermark { .. } => marks.push((bytes.to_vec(), decode(value)?)),
            Key::Floors => self.floors = decode(value)?,
            Key::Counters => self.counters = Some(decode(value)?),
            Key::Minute { .. } => decode::<Seq>(value).map(|_| ())?,
            Key::Job { .. } => decode::<Job>(value).map(|_| ())?,
            // The version was read when the store was opened.
            _ => {}
        }
        Ok(())
    }

    fn events(&mut self, bytes: &[u8], value: &[u8], runs: &mut Runs, log: &mut Tally) -> Result<(), Fault> {
        let Key::Events { first } = key(bytes, Family::Events)? else { return Ok(()) };
        self.ends = false;
        let row: EventsRow<'_> = decode_borrowed(value)?;
        let (head, mut seq) = (runs.head(), first);
        for packed in &row {
            packed.to_event(seq)?;
            if seq >= self.floors.events {
                log.add(packed.account, seq, packed.type_bit);
            }
            seq = seq.next();
        }
        if row.is_empty() {
            return Err(Fault::Empty);
        }
        self.report.events += row.len() as u64;
        runs.add(first, seq.prev());
        self.ends = true;
        match head.next() {
            // What retention has left begins anywhere, but there must be nothing missing above its floor.
            next if first > next && first > self.floors.events => {
                Err(Fault::Hole(next.max(self.floors.events), first.prev()))
            }
            next if first < next => Err(Fault::Overlap(first)),
            _ => Ok(()),
        }
    }

    fn by_account(&mut self, bytes: &[u8], value: &[u8], index: &mut Tally) -> Result<(), Fault> {
        let Key::ByAccount { account, first } = key(bytes, Family::ByAccount)? else { return Ok(()) };
        let row: AccountRow = decode(value)?;
        if !row.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Fault::Order);
        }
        let at = |offset: u32| Seq(first.0.saturating_add(u64::from(offset)));
        for (offset, bit) in &row {
            if at(*offset) >= self.floors.events {
                index.add(account, at(*offset), *bit);
            }
        }
        self.within(row.last().map_or(Seq(0), |(offset, _)| at(*offset)))
    }

    fn ids(&mut self, bytes: &[u8], value: &[u8], partitions: &mut Vec<Seq>) -> Result<(), Fault> {
        let known = |partitions: &[Seq], partition: Seq, floor: Seq| {
            let gone = partition < floor;
            if gone || partitions.binary_search(&partition).is_ok() {
                Ok(())
            } else {
                Err(Fault::NoPartition)
            }
        };
        let floor = self.floors.ids;
        match key(bytes, Family::Ids)? {
            // Their tag is the lowest: all of them come first, rising.
            Key::Partition { partition } => {
                decode::<PartitionRow>(value)?;
                partitions.push(partition);
                Ok(())
            }
            Key::Fingerprints { partition, first } => {
                let row: IdsRow = decode(value)?;
                let last = row.iter().map(|(_, offset)| u64::from(*offset)).max().unwrap_or(0);
                self.within(Seq(first.0.saturating_add(last)))?;
                known(partitions, partition, floor)
            }
            Key::Sealed { partition, .. } => {
                let row: IdsRow = decode(value)?;
                if !row.is_sorted_by_key(|(print, _)| print.0) {
                    return Err(Fault::Order);
                }
                known(partitions, partition, floor)
            }
            Key::Filter { partition } => {
                decode_filter(value)?;
                known(partitions, partition, floor)
            }
            _ => Ok(()),
        }
    }

    fn attempts(&mut self, bytes: &[u8], value: &[u8]) -> Result<(), Fault> {
        let (bucket, serial) = match key(bytes, Family::Attempts)? {
            Key::Attempts { bucket, serial, .. } => (bucket, serial),
            Key::Rollup { .. } => return Ok(decode::<Rollup>(value).map(|_| ())?),
            _ => return Ok(()),
        };
        let row: Vec<Attempt> = decode(value)?;
        for attempt in &row {
            self.within(attempt.seq)?;
            if attempt_bucket(attempt.seq) != bucket {
                return Err(Fault::Bucket(attempt.seq));
            }
        }
        match self.counters.unwrap_or_default().attempts_serial {
            counted if serial > counted => Err(Fault::Serial(counted)),
            _ => Ok(()),
        }
    }

    fn retry(&mut self, bytes: &[u8], value: &[u8], runs: &Runs) -> Result<(), Fault> {
        let at = match key(bytes, Family::Retries)? {
            Key::Retry(at) => at,
            Key::RetryOf { seq, .. } => {
                decode::<UnixMillis>(value)?;
                return self.within(seq);
            }
            _ => return Ok(()),
        };
        decode::<RetryValue>(value)?;
        self.within(at.seq)?;
        // Below the floor it has expired, and goes when it is due.
        if at.seq >= self.floors.events && !runs.has(at.seq) { Err(Fault::NoEvent(at.seq)) } else { Ok(()) }
    }

    fn lagging(&mut self, bytes: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key(bytes, Family::Lagging)? {
            // The lowest that is still to be read: at the head's successor there is nothing to be.
            Key::Lagging { .. } => self.within(decode::<Seq>(value)?.prev()),
            Key::Failing { .. } => Ok(decode::<UnixMillis>(value).map(|_| ())?),
            _ => Ok(()),
        }
    }

    fn dead(&mut self, bytes: &[u8], value: &[u8]) -> Result<(), Fault> {
        let Key::Dead { seq, .. } = key(bytes, Family::Dead)? else { return Ok(()) };
        decode::<DeadValue>(value)?;
        self.within(seq)
    }
}

/// A key that belongs into this family.
fn key(bytes: &[u8], family: Family) -> Result<Key, Fault> {
    let key = Key::parse(bytes)?;
    let own = match key {
        Key::Format
        | Key::Watermark { .. }
        | Key::Floors
        | Key::Counters
        | Key::Minute { .. }
        | Key::Job { .. } => Family::Meta,
        Key::Events { .. } => Family::Events,
        Key::ByAccount { .. } => Family::ByAccount,
        Key::Partition { .. } | Key::Fingerprints { .. } | Key::Sealed { .. } | Key::Filter { .. } => {
            Family::Ids
        }
        Key::Attempts { .. } | Key::Rollup { .. } => Family::Attempts,
        Key::Retry(_) | Key::RetryOf { .. } => Family::Retries,
        Key::Lagging { .. } | Key::Failing { .. } => Family::Lagging,
        Key::Dead { .. } => Family::Dead,
    };
    if own == family { Ok(key) } else { Err(Fault::WrongFamily(own)) }
}
