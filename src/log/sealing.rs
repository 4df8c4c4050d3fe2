//! Sealing a deduplication partition: sorting its rows and building its filter, on a thread of its own,
//! because it takes tens of milliseconds that acceptance must not wait for.

use std::thread;

use crossbeam::channel::{Receiver, bounded};

use super::db::{Batch, Family};
use super::dedupe::{Filter, SealJob};
use super::guard::StoreError;
use super::key::{Key, KeyRange};
use super::record::{PartitionRow, SealedAt, encode, encode_filter};
use crate::model::{Seq, UnixMillis};

/// Fingerprints in a sorted row: what one look-up reads.
const SEALED_ROW_IDS: usize = 1024;

/// What the thread made.
pub(super) struct Sealed {
    pub partition: Seq,
    pub newest_at: UnixMillis,
    pub ids: usize,
    pub filter: Filter,
    opened_at: UnixMillis,
    rows: Vec<(Key, Vec<u8>)>,
}

/// A partition that is being sealed.
pub(super) struct Sealing {
    done: Receiver<Result<Sealed, StoreError>>,
    /// Partitions whose rows of open time go: itself, and those that joined it at the start.
    merged: Vec<Seq>,
}

impl Sealing {
    /// Begins. Where no thread can be had, the work is done at once.
    pub fn begin(job: SealJob, merged: Vec<Seq>) -> Self {
        let (tell, done) = bounded(1);
        let tell_here = tell.clone();
        let job = std::sync::Arc::new(job);
        let theirs = std::sync::Arc::clone(&job);
        // The receiver may be gone: the log was stopped, and this partition is sealed at the next start.
        let spawned = thread::Builder::new().name("log-seal".to_owned()).spawn(move || {
            let _ = tell.send(build(&theirs));
        });
        if spawned.is_err() {
            let _ = tell_here.send(build(&job));
        }
        Self { done, merged }
    }

    /// The result, where it is there; with `wait`, once it is there. `None` while it is not, and an error
    /// where the thread died.
    pub fn poll(&self, wait: bool) -> Option<Result<Sealed, StoreError>> {
        let died = || StoreError::Unusable("the sealing thread ended without a result".to_owned());
        if wait {
            return Some(self.done.recv().unwrap_or_else(|_| Err(died())));
        }
        match self.done.try_recv() {
            Ok(result) => Some(result),
            Err(crossbeam::channel::TryRecvError::Empty) => None,
            Err(crossbeam::channel::TryRecvError::Disconnected) => Some(Err(died())),
        }
    }

    pub fn into_merged(self) -> Vec<Seq> {
        self.merged
    }
}

fn build(job: &SealJob) -> Result<Sealed, StoreError> {
    let partition = job.partition;
    let mut rows = Vec::with_capacity(job.entries.len() / SEALED_ROW_IDS + 2);
    for chunk in job.entries.chunks(SEALED_ROW_IDS) {
        let lowest = chunk.first().map_or(0, |(print, _)| print.0);
        rows.push((Key::Sealed { partition, lowest }, encode(&chunk)?));
    }
    let filter = Filter::build(&job.entries);
    if let Filter::Fuse(fuse) = &filter {
        rows.push((Key::Filter { partition }, encode_filter(fuse)?));
    }
    Ok(Sealed {
        partition,
        newest_at: job.newest_at,
        ids: job.entries.len(),
        filter,
        opened_at: job.opened_at,
        rows,
    })
}

impl Sealed {
    pub fn sealed_at(&self) -> SealedAt {
        SealedAt { newest_at: self.newest_at, ids: u32::try_from(self.ids).unwrap_or(u32::MAX) }
    }

    /// Sorted rows and filter come, rows of open time go.
    pub fn put(&self, batch: &mut Batch<'_>, merged: &[Seq]) -> Result<(), StoreError> {
        for (key, value) in &self.rows {
            batch.put(Family::Ids, key.encode().as_ref(), value);
        }
        for partition in merged {
            batch.delete_range(Family::Ids, &KeyRange::fingerprints(*partition));
            if *partition != self.partition {
                batch.delete(Family::Ids, Key::Partition { partition: *partition }.encode().as_ref());
            }
        }
        let row = PartitionRow { opened_at: self.opened_at, sealed: Some(self.sealed_at()) };
        batch.put(
            Family::Ids,
            Key::Partition { partition: self.partition }.encode().as_ref(),
            &encode(&row)?,
        );
        Ok(())
    }
}
