//! Requests that were answered already: `Idempotency-Key` for a day, over restarts.
//!
//! Of each there are two rows, written in one batch with what the request changed: a small one with the
//! digest of the request, which is kept in memory, and the answer, which stays on disk until it is asked
//! for. An answer may show a secret or a token, so it is sealed, each to its own key.
//!
//! At the bounds (of one account, and of all together) the oldest is forgotten. Deliberately absent: HTTP,
//! and requests that are still being worked on (`admin`).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::change::Row;
use super::entropy::Sealer;
use super::origin::{Remember, RequestDigest, RequestKey};
use super::rows::{RowError, decode, encode};
use super::vault::{Owner, Vault};
use crate::model::{AccountKey, UnixMillis};

pub(super) const TAG: u8 = 5;
pub(super) const TAG_ANSWER: u8 = 16;
const VERSION: u8 = 1;

/// How long an answer is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers remembered of one account; and of the operator.
pub const REMEMBERED_PER_ACCOUNT_MAX: usize = 10_000;
/// Answers remembered in all.
pub const REMEMBERED_MAX: usize = 100_000;
/// Bytes of an answer at most; a longer one is not remembered.
pub const ANSWER_LEN_MAX: usize = 256 * 1024;
/// Requests forgotten at once at most: what one write of upkeep costs.
const FORGET_MAX: usize = 1000;

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Record {
    request: [u8; 32],
    account: u32,
    at: u64,
}

/// What is kept in memory of an answered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub request: RequestDigest,
    /// 0 is the operator's; accounts begin with 1.
    account: AccountKey,
    at: UnixMillis,
}

/// What a plan does to the table.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub forgotten: Vec<RequestKey>,
    pub added: Option<(RequestKey, Entry)>,
}

/// The requests answered in the last day.
#[derive(Default)]
pub(super) struct Remembered {
    entries: HashMap<RequestKey, Entry, foldhash::fast::RandomState>,
    by_age: BTreeSet<(UnixMillis, RequestKey)>,
    by_account: HashMap<AccountKey, BTreeSet<(UnixMillis, RequestKey)>>,
}

impl Remembered {
    pub fn get(&self, key: RequestKey, now: UnixMillis) -> Option<&Entry> {
        self.entries.get(&key).filter(|entry| now.since(entry.at) < REMEMBERED_FOR)
    }

    /// The rows that remember an answer, and the rows of what is forgotten for it.
    pub fn plan(
        &self,
        ask: &Remember,
        answer: &[u8],
        now: UnixMillis,
        sealer: &mut Sealer<'_>,
    ) -> (Memory, Vec<Row>) {
        let account = ask.account.unwrap_or(AccountKey(0));
        let entry = Entry { request: ask.request, account, at: now };
        let oldest = |ages: &BTreeSet<(UnixMillis, RequestKey)>, max: usize| {
            let full = ages.len() >= max;
            ages.first().filter(|_| full).map(|(_, key)| *key)
        };
        let own = self.by_account.get(&account).and_then(|own| oldest(own, REMEMBERED_PER_ACCOUNT_MAX));
        let forgotten: Vec<_> = own.or_else(|| oldest(&self.by_age, REMEMBERED_MAX)).into_iter().collect();
        let mut rows: Vec<_> = forgotten.iter().flat_map(|key| gone(*key)).collect();
        let record = Record { request: ask.request.0, account: account.0, at: now.0 };
        rows.push(Row { key: row_key(ask.key), value: Some(encode(VERSION, &record)) });
        let sealed = sealer.vault.seal(sealer.entropy.draw(), Owner::Answer(ask.key.0), answer);
        rows.push(Row { key: answer_key(ask.key), value: Some(encode(VERSION, &sealed)) });
        (Memory { forgotten, added: Some((ask.key, entry)) }, rows)
    }

    /// What is to be forgotten for its age.
    pub fn plan_upkeep(&self, now: UnixMillis) -> (Memory, Vec<Row>) {
        let old = self.by_age.iter().take_while(|(at, _)| now.since(*at) >= REMEMBERED_FOR);
        let forgotten: Vec<_> = old.take(FORGET_MAX).map(|(_, key)| *key).collect();
        let rows = forgotten.iter().flat_map(|key| gone(*key)).collect();
        (Memory { forgotten, added: None }, rows)
    }

    pub fn install(&mut self, memory: Memory) {
        for key in memory.forgotten {
            self.forget(key);
        }
        if let Some((key, entry)) = memory.added {
            self.put(key, entry);
        }
    }

    pub fn put(&mut self, key: RequestKey, entry: Entry) {
        // One that is past its time may still be there.
        self.forget(key);
        self.by_age.insert((entry.at, key));
        self.by_account.entry(entry.account).or_default().insert((entry.at, key));
        self.entries.insert(key, entry);
    }

    fn forget(&mut self, key: RequestKey) {
        let Some(entry) = self.entries.remove(&key) else { return };
        self.by_age.remove(&(entry.at, key));
        if let Some(own) = self.by_account.get_mut(&entry.account) {
            own.remove(&(entry.at, key));
            if own.is_empty() {
                self.by_account.remove(&entry.account);
            }
        }
    }
}

fn row_key(key: RequestKey) -> Vec<u8> {
    [&[TAG][..], &key.0].concat()
}

/// Where the sealed answer lies.
pub(super) fn answer_key(key: RequestKey) -> Vec<u8> {
    [&[TAG_ANSWER][..], &key.0].concat()
}

fn gone(key: RequestKey) -> [Row; 2] {
    [Row { key: row_key(key), value: None }, Row { key: answer_key(key), value: None }]
}

/// From what stands after the tag, and the value.
pub(super) fn read(rest: &[u8], value: &[u8]) -> Result<(RequestKey, Entry), RowError> {
    let key = rest.try_into().map(RequestKey).map_err(|_| RowError::Key)?;
    let record: Record = decode(VERSION, value)?;
    let request = RequestDigest(record.request);
    Ok((key, Entry { request, account: AccountKey(record.account), at: UnixMillis(record.at) }))
}

/// The answer in a row.
pub(super) fn open(vault: &Vault, key: RequestKey, value: &[u8]) -> Result<Vec<u8>, RowError> {
    let sealed: Vec<u8> = decode(VERSION, value)?;
    vault.open(Owner::Answer(key.0), &sealed).ok_or(RowError::Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::entropy::Entropy;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn ask(n: u64, account: u32) -> Remember {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        Remember {
            key: RequestKey(key),
            request: RequestDigest([1; 32]),
            account: (account > 0).then_some(AccountKey(account)),
            answer: Arc::new(|_| None),
        }
    }

    struct Bench {
        table: Remembered,
        store: BTreeMap<Vec<u8>, Vec<u8>>,
        vault: Vault,
    }

    impl Bench {
        fn new() -> Self {
            Self { table: Remembered::default(), store: BTreeMap::new(), vault: Vault::new(&[3; 32]) }
        }

        fn keep(&mut self, (memory, rows): (Memory, Vec<Row>)) {
            for row in rows {
                match row.value {
                    Some(value) => self.store.insert(row.key, value),
                    None => self.store.remove(&row.key),
                };
            }
            self.table.install(memory);
        }

        fn remember(&mut self, ask: &Remember, at: u64) {
            let mut sealer = Sealer { vault: &self.vault, entropy: Entropy::new([at.to_be_bytes()[7]; 64]) };
            let planned = self.table.plan(ask, b"prt_answer", UnixMillis(at), &mut sealer);
            self.keep(planned);
        }
    }

    #[test]
    fn an_answer_is_sealed_and_read_back() {
        let mut bench = Bench::new();
        bench.remember(&ask(1, 7), 5);
        let row = &bench.store[&answer_key(ask(1, 7).key)];
        assert!(!row.windows(4).any(|part| part == b"prt_"), "it is sealed");
        assert_eq!(open(&bench.vault, ask(1, 7).key, row).expect("opens"), b"prt_answer");
        assert!(matches!(open(&bench.vault, ask(2, 7).key, row), Err(RowError::Sealed)), "bound to its key");
        let (key, value) = bench.store.iter().next().expect("there");
        let (key, entry) = read(&key[1..], value).expect("reads");
        assert_eq!((key, Some(&entry)), (ask(1, 7).key, bench.table.get(key, UnixMillis(6))));
    }

    #[test]
    fn a_day_and_no_longer() {
        let mut bench = Bench::new();
        bench.remember(&ask(1, 7), 1000);
        bench.remember(&ask(2, 0), 2000);
        let end = UnixMillis(1000) + REMEMBERED_FOR;
        assert!(bench.table.get(ask(1, 7).key, UnixMillis(end.0 - 1)).is_some());
        assert!(bench.table.get(ask(1, 7).key, end).is_none());
        let upkeep = bench.table.plan_upkeep(end);
        bench.keep(upkeep);
        assert_eq!((bench.table.entries.len(), bench.store.len()), (1, 2));
        assert!(bench.table.get(ask(2, 0).key, end).is_some());
        // Used again after its time, before upkeep came by.
        bench.remember(&ask(2, 0), end.0 + 2000);
        assert_eq!((bench.table.entries.len(), bench.table.by_age.len(), bench.store.len()), (1, 1, 2));
    }

    #[test]
    fn the_oldest_of_an_account_gives_way() {
        let mut bench = Bench::new();
        bench.remember(&ask(1, 8), 1);
        for n in 0..=REMEMBERED_PER_ACCOUNT_MAX as u64 {
            bench.remember(&ask(100 + n, 7), 2 + n);
        }
        assert!(bench.table.get(ask(1, 8).key, UnixMillis(9)).is_some(), "another's");
        assert!(bench.table.get(ask(100, 7).key, UnixMillis(9)).is_none());
        assert!(bench.table.get(ask(101, 7).key, UnixMillis(9)).is_some());
        assert_eq!(bench.table.entries.len(), REMEMBERED_PER_ACCOUNT_MAX + 1);
        assert_eq!(bench.store.len(), 2 * bench.table.entries.len());
    }
}
