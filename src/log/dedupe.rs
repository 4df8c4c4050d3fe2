//! Whether an event id was seen before, without touching the store for nearly all that were not.
//!
//! Fingerprints of the newest ids lie in memory exactly (the *open* partition). Older ones lie sorted on
//! disk, one filter of some 18 bits an id before each partition: an id that no filter knows is new, an
//! id that one knows is *maybe* known (wrongly for one in 65 536 and filter), which the shell settles by
//! looking into that partition's rows and then at the event itself.
//!
//! Building a filter takes milliseconds, so the shell does it elsewhere; meanwhile the partition stays
//! exact (*sealing*). Absent here: time windows to the millisecond. A partition leaves as a whole, up
//! to a 24th of the window late; the shell compares the event's own time.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::time::Duration;

use xorf::{BinaryFuse16, Filter as _};

use super::fingerprint::Fingerprint;
use super::record::IdsRow;
use crate::model::{Seq, UnixMillis};

/// Ids that the open partition holds at most before it wants to be sealed (some 4 MiB).
pub const OPEN_IDS_MAX: usize = 128 << 10;
/// Ids behind filters at most, some 54 MiB of them. At the bound the oldest partition is forgotten
/// before its time, which is counted: an id from there would be taken again.
pub const FILTERED_IDS_MAX: usize = 24 << 20;
/// A partition is sealed at this part of the window, so that it can leave in good time.
const PARTITIONS_A_WINDOW: u32 = 24;
/// But not sooner than this, whatever the window: a partition costs some rows.
const PARTITION_AGE_MIN: Duration = Duration::from_secs(60);

/// A filter over one partition's fingerprints.
#[derive(Clone, Debug)]
pub enum Filter {
    Fuse(BinaryFuse16),
    /// Sorted. Building a fuse filter may fail, in theory; then the ids stay.
    Exact(Vec<Fingerprint>),
}

impl Filter {
    /// From a partition's entries, sorted and without repetition.
    #[must_use]
    pub fn build(entries: &IdsRow) -> Self {
        let keys: Vec<u64> = entries.iter().map(|(fingerprint, _)| fingerprint.0).collect();
        match BinaryFuse16::try_from(&keys) {
            Ok(filter) => Self::Fuse(filter),
            Err(_) => Self::Exact(keys.into_iter().map(Fingerprint).collect()),
        }
    }

    #[must_use]
    pub fn may_hold(&self, fingerprint: Fingerprint) -> bool {
        match self {
            Self::Fuse(filter) => filter.contains(&fingerprint.0),
            Self::Exact(ids) => ids.binary_search(&fingerprint).is_ok(),
        }
    }
}

/// Ids that are in memory exactly.
#[derive(Debug)]
struct Exact {
    /// The seq of its first id: what it is called on disk.
    partition: Seq,
    opened_at: UnixMillis,
    newest_at: UnixMillis,
    ids: HashMap<Fingerprint, Seq, foldhash::fast::FixedState>,
}

#[derive(Debug)]
struct Sealed {
    partition: Seq,
    newest_at: UnixMillis,
    ids: usize,
    filter: Filter,
}

/// A partition to be sealed: its sorted entries are to be written and a filter built over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealJob {
    pub partition: Seq,
    pub opened_at: UnixMillis,
    pub newest_at: UnixMillis,
    /// Sorted by fingerprint; seqs are relative to the partition.
    pub entries: IdsRow,
}

/// Which ids were seen. See the module.
#[derive(Debug)]
pub struct Dedupe {
    window: Duration,
    filtered_ids_max: usize,
    open: Option<Exact>,
    sealing: Option<Exact>,
    /// Oldest first.
    sealed: VecDeque<Sealed>,
    filtered_ids: usize,
    forgotten: u64,
}

impl Dedupe {
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            filtered_ids_max: FILTERED_IDS_MAX,
            open: None,
            sealing: None,
            sealed: VecDeque::new(),
            filtered_ids: 0,
            forgotten: 0,
        }
    }

    /// For tests: with another bound than [`FILTERED_IDS_MAX`].
    #[must_use]
    pub fn with_filtered_ids_max(mut self, filtered_ids_max: usize) -> Self {
        self.filtered_ids_max = filtered_ids_max;
        self
    }

    /// Where this fingerprint was last seen, if it is among those in memory.
    #[must_use]
    pub fn exact(&self, fingerprint: Fingerprint) -> Option<Seq> {
        let find = |exact: &Option<Exact>| exact.as_ref().and_then(|it| it.ids.get(&fingerprint).copied());
        find(&self.open).or_else(|| find(&self.sealing))
    }

    /// Partitions that may hold this fingerprint, newest first; nearly always none.
    pub fn maybe(&self, fingerprint: Fingerprint) -> impl Iterator<Item = Seq> + '_ {
        let may = move |sealed: &&Sealed| sealed.filter.may_hold(fingerprint);
        self.sealed.iter().rev().filter(may).map(|sealed| sealed.partition)
    }

    /// The partition that an id at `seq` goes into: the open one, or the one that it opens.
    #[must_use]
    pub fn partition_for(&self, seq: Seq) -> (Seq, Option<UnixMillis>) {
        self.open.as_ref().map_or((seq, None), |open| (open.partition, Some(open.opened_at)))
    }

    /// At the start: ids of this partition follow. Where one is open already (its sealing was cut
    /// short), they join it; it stays called by its own first seq.
    pub fn reopen(&mut self, partition: Seq, opened_at: UnixMillis) {
        self.open.get_or_insert_with(|| Exact {
            partition,
            opened_at,
            newest_at: opened_at,
            ids: HashMap::default(),
        });
    }

    /// Takes an id that is on disk now. The newer of two equal fingerprints stays.
    pub fn insert(&mut self, fingerprint: Fingerprint, seq: Seq, at: UnixMillis) {
        let open = self.open.get_or_insert_with(|| Exact {
            partition: seq,
            opened_at: at,
            newest_at: at,
            ids: HashMap::default(),
        });
        open.newest_at = open.newest_at.max(at);
        match open.ids.entry(fingerprint) {
            Entry::Occupied(mut held) => {
                held.insert(seq);
            }
            Entry::Vacant(free) => {
                free.insert(seq);
            }
        }
    }

    /// Whether it is time for [`Dedupe::seal`].
    #[must_use]
    pub fn wants_seal(&self, now: UnixMillis) -> bool {
        let age_max = (self.window / PARTITIONS_A_WINDOW).max(PARTITION_AGE_MIN);
        self.sealing.is_none()
            && self
                .open
                .as_ref()
                .is_some_and(|it| it.ids.len() >= OPEN_IDS_MAX || now.since(it.opened_at) >= age_max)
    }

    /// Whether the open partition is at twice its size because the one before is not sealed yet: the
    /// shell has to wait for that.
    #[must_use]
    pub fn overfull(&self) -> bool {
        self.sealing.is_some() && self.open.as_ref().is_some_and(|it| it.ids.len() >= 2 * OPEN_IDS_MAX)
    }

    /// Closes the open partition; the next id opens another. `None` where one is being sealed or none
    /// is open.
    pub fn seal(&mut self) -> Option<SealJob> {
        if self.sealing.is_some() {
            return None;
        }
        let exact = self.open.take()?;
        let relative = |seq: Seq| u32::try_from(seq.0 - exact.partition.0).unwrap_or(u32::MAX);
        let mut entries: IdsRow = exact.ids.iter().map(|(id, seq)| (*id, relative(*seq))).collect();
        entries.sort_unstable();
        let job = SealJob {
            partition: exact.partition,
            opened_at: exact.opened_at,
            newest_at: exact.newest_at,
            entries,
        };
        self.sealing = Some(exact);
        Some(job)
    }

    /// The sealing failed: its ids join the open partition again, to be sealed with it.
    pub fn unseal(&mut self) {
        let Some(mut exact) = self.sealing.take() else { return };
        if let Some(open) = self.open.take() {
            exact.newest_at = exact.newest_at.max(open.newest_at);
            exact.ids.extend(open.ids);
        }
        self.open = Some(exact);
    }

    /// The rows and the filter of the sealed partition are on disk: the exact ids may go.
    pub fn sealed(&mut self, partition: Seq, newest_at: UnixMillis, ids: usize, filter: Filter) {
        if self.sealing.as_ref().is_some_and(|it| it.partition == partition) {
            self.sealing = None;
        }
        self.sealed.push_back(Sealed { partition, newest_at, ids, filter });
        self.filtered_ids += ids;
        while self.filtered_ids > self.filtered_ids_max && self.sealed.len() > 1 {
            self.drop_oldest();
            self.forgotten += 1;
        }
    }

    /// Forgets partitions of which every id is older than the window.
    pub fn expire(&mut self, now: UnixMillis) {
        while self.sealed.front().is_some_and(|oldest| now.since(oldest.newest_at) > self.window) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.sealed.pop_front() {
            self.filtered_ids -= oldest.ids;
        }
    }

    /// Partitions that were forgotten before their time, since the start.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether an event that came at `then` still counts.
    #[must_use]
    pub fn in_window(&self, then: UnixMillis, now: UnixMillis) -> bool {
        now.since(then) <= self.window
    }
}

#[cfg(test)]
#[path = "dedupe_tests.rs"]
mod tests;
