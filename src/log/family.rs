//! The store's column families, and what the store may use of memory and disk.

use std::path::PathBuf;

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Events,
    ByAccount,
    Ids,
    Attempts,
    Retries,
    Lagging,
    Dead,
    Meta,
}

impl Family {
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::ByAccount,
        Self::Ids,
        Self::Attempts,
        Self::Retries,
        Self::Lagging,
        Self::Dead,
        Self::Meta,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::ByAccount => "by_account",
            Self::Ids => "ids",
            Self::Attempts => "attempts",
            Self::Retries => "retries",
            Self::Lagging => "lagging",
            Self::Dead => "dead",
            Self::Meta => "meta",
        }
    }

    /// Families of which compaction drops rows below a floor.
    pub(super) fn has_floor(self) -> bool {
        matches!(self, Self::ByAccount | Self::Ids | Self::Attempts | Self::Dead)
    }
}

/// What the store may use. The defaults keep an idle process small.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// The directory of the store; made where it is missing.
    pub path: PathBuf,
    /// Uncompressed blocks held, indexes and filters included.
    pub block_cache_bytes: usize,
    /// Memory tables of all families together; above it the oldest is flushed.
    pub write_buffers_bytes: usize,
    /// One memory table of `events`: also about the size of the files that retention drops whole.
    pub events_buffer_bytes: usize,
    /// One memory table of any other family.
    pub other_buffer_bytes: usize,
    /// The write-ahead log at most: what a start has to replay.
    pub wal_bytes_max: u64,
    /// Table files held open.
    pub open_files_max: i32,
}

impl DbOptions {
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            block_cache_bytes: 8 << 20,
            write_buffers_bytes: 48 << 20,
            events_buffer_bytes: 16 << 20,
            other_buffer_bytes: 4 << 20,
            wal_bytes_max: 64 << 20,
            open_files_max: 256,
        }
    }
}
