//! RocksDB, and the only file that knows it. Everything else speaks of [`Family`], [`Batch`], [`Cursor`]
//! and [`StoreError`].
//!
//! Errors: RocksDB's C interface hands over a text; its first words are the status code, which
//! `rocksdb::ErrorKind` reads back. That alone is looked at. Where it says no more than "IO error" (full
//! disk, lock, permission), the file system is asked instead of the text: see [`super::guard`].

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, CompactionDecision,
    DBCompressionType, DBRawIteratorWithThreadMode, DBRecoveryMode, ErrorKind, LogLevel, Options,
    ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
    checkpoint::Checkpoint,
    compaction_filter::CompactionFilter,
    compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory},
    perf,
};

pub use super::family::{DbOptions, Family};
use super::floor::Floors;
use super::guard::{self, StoreError};
use super::key::{Key, KeyRange};
use super::record;

/// The version of the format of everything that this code writes. A store with a higher one is refused.
pub const FORMAT_VERSION: u32 = 1;

type Handle<'db> = Arc<BoundColumnFamily<'db>>;

/// An open store.
pub struct Db {
    inner: rocksdb::DB,
    path: PathBuf,
}

impl Db {
    /// # Errors
    /// As [`StoreError`] names them; nothing is changed by a refused opening.
    pub fn open(options: &DbOptions, floors: &Arc<Floors>) -> Result<Self, StoreError> {
        let fresh = !options.path.join("CURRENT").exists();
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.as_str(), family_options(family, options, &cache, floors))
        });
        let inner = rocksdb::DB::open_cf_descriptors(&db_options(options), &options.path, families)
            .map_err(|error| classify(&options.path, &error))?;
        let db = Self { inner, path: options.path.clone() };
        db.check_format(fresh)?;
        Ok(db)
    }

    /// Opens a store that is there, without changing anything: no file is written, none is dropped.
    ///
    /// # Errors
    /// As [`Db::open`]; a store that is not there.
    pub fn open_read_only(options: &DbOptions) -> Result<Self, StoreError> {
        let mut db = db_options(options);
        db.create_if_missing(false);
        let told = |error| classify(&options.path, &error);
        // One that came with a later version is not there before that version has opened the store.
        let present = rocksdb::DB::list_cf(&db, &options.path).map_err(told)?;
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families =
            Family::ALL.into_iter().filter(|family| present.iter().any(|it| it == family.as_str()));
        let families = families.map(|family| {
            let options = family_options(family, options, &cache, &Arc::default());
            ColumnFamilyDescriptor::new(family.as_str(), options)
        });
        let inner = rocksdb::DB::open_cf_descriptors_read_only(&db, &options.path, families, false);
        let db = Self { inner: inner.map_err(told)?, path: options.path.clone() };
        db.format()?.ok_or_else(Self::formatless)?;
        Ok(db)
    }

    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        self.inner.cf_handle(family.as_str()).is_some()
    }

    fn formatless() -> StoreError {
        StoreError::Corrupt("the row with the format's version is missing".to_owned())
    }

    /// The format's version, where it is one that is known here.
    fn format(&self) -> Result<Option<u32>, StoreError> {
        let bytes = self.get(Family::Meta, Key::Format.encode().as_ref())?;
        match bytes.map(|bytes| record::decode::<u32>(&bytes)).transpose()? {
            Some(found) if found > FORMAT_VERSION => {
                Err(StoreError::NewerFormat { found, supported: FORMAT_VERSION })
            }
            found => Ok(found),
        }
    }

    fn check_format(&self, fresh: bool) -> Result<(), StoreError> {
        if self.format()?.is_some() {
            return Ok(());
        }
        if !fresh && self.inner.latest_sequence_number() > 0 {
            return Err(Self::formatless());
        }
        let mut batch = self.batch()?;
        batch.put(Family::Meta, Key::Format.encode().as_ref(), &record::encode(&FORMAT_VERSION)?);
        self.write(batch, true).map(|_| ())
    }

    fn handle(&self, family: Family) -> Result<Handle<'_>, StoreError> {
        let missing = || StoreError::Corrupt(format!("column family {} is missing", family.as_str()));
        self.inner.cf_handle(family.as_str()).ok_or_else(missing)
    }

    fn error(&self, error: &rocksdb::Error) -> StoreError {
        classify(&self.path, error)
    }

    /// # Errors
    /// Whatever the store says.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get_cf(&self.handle(family)?, key).map_err(|error| self.error(&error))
    }

    /// # Errors
    /// A family that is missing.
    pub fn batch(&self) -> Result<Batch<'_>, StoreError> {
        let mut handles = Vec::with_capacity(Family::ALL.len());
        for family in Family::ALL {
            handles.push(self.handle(family)?);
        }
        Ok(Batch { inner: WriteBatch::default(), handles })
    }

    /// Writes all of it or nothing. With `sync` it is on the disk when this returns.
    /// Gives the nanoseconds that writing and syncing the write-ahead log took.
    ///
    /// # Errors
    /// Whatever the store says. After an error it is unknown whether the batch is there until the
    /// store was opened again.
    pub fn write(&self, batch: Batch<'_>, sync: bool) -> Result<u64, StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        // The level belongs to the thread, and who writes is not who opened.
        perf::set_perf_stats(perf::PerfStatsLevel::EnableTime);
        let mut context = perf::PerfContext::default();
        context.reset();
        self.inner.write_opt(batch.inner, &options).map_err(|error| self.error(&error))?;
        Ok(context.metric(perf::PerfMetric::WriteWalTime))
    }

    /// A cursor inside `range`; it stands nowhere yet.
    ///
    /// # Errors
    /// A family that is missing.
    pub fn cursor(&self, family: Family, range: &KeyRange) -> Result<Cursor<'_>, StoreError> {
        self.cursor_between(family, range.lower.as_ref(), range.upper.as_ref())
    }

    /// As [`Db::cursor`], between any two keys.
    ///
    /// # Errors
    /// A family that is missing.
    pub fn cursor_between(&self, family: Family, from: &[u8], to: &[u8]) -> Result<Cursor<'_>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let inner = self.inner.raw_iterator_cf_opt(&self.handle(family)?, options);
        Ok(Cursor { inner, path: &self.path })
    }

    /// Drops the table files that lie wholly inside `range`, both ends included. What shares a file with
    /// other keys, or is in level 0 or memory, stays.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn drop_files(&self, family: Family, range: &KeyRange) -> Result<(), StoreError> {
        let handle = self.handle(family)?;
        self.inner
            .delete_file_in_range_cf(&handle, range.lower.as_ref(), range.upper.as_ref())
            .map_err(|error| self.error(&error))
    }

    /// Bytes of a family, files and memory. Cheap: RocksDB keeps these numbers.
    #[must_use]
    pub fn bytes(&self, family: Family) -> u64 {
        self.number(family, "rocksdb.total-sst-files-size")
            + self.number(family, "rocksdb.cur-size-all-mem-tables")
    }

    /// About how many rows a family has.
    #[must_use]
    pub fn rows_estimate(&self, family: Family) -> u64 {
        self.number(family, "rocksdb.estimate-num-keys")
    }

    /// Whether RocksDB holds writes back because flushing or compacting does not keep up.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        let number = |name: &str| self.number(Family::Events, name);
        number("rocksdb.is-write-stopped") > 0 || number("rocksdb.actual-delayed-write-rate") > 0
    }

    fn number(&self, family: Family, name: &str) -> u64 {
        let value = self.handle(family).map(|handle| self.inner.property_int_value_cf(&handle, name));
        value.ok().and_then(Result::ok).flatten().unwrap_or(0)
    }

    /// Moves memory tables to files.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn flush(&self) -> Result<(), StoreError> {
        for family in Family::ALL {
            self.inner.flush_cf(&self.handle(family)?).map_err(|error| self.error(&error))?;
        }
        Ok(())
    }

    /// Makes the store as it is now stand in a new directory on the same disk, by hard links; memory tables
    /// are flushed before.
    ///
    /// # Errors
    /// Whatever the store says; a directory that is there.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let made = Checkpoint::new(&self.inner).and_then(|checkpoint| checkpoint.create_checkpoint(path));
        made.map_err(|error| self.error(&error))
    }

    /// Rewrites a family's files now, which runs its floor's filter over all of it.
    ///
    /// # Errors
    /// A family that is missing.
    pub fn compact(&self, family: Family) -> Result<(), StoreError> {
        let handle = self.handle(family)?;
        self.inner.compact_range_cf(&handle, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }
}

/// Rows to be written together.
pub struct Batch<'db> {
    inner: WriteBatch,
    /// In the order of [`Family::ALL`].
    handles: Vec<Handle<'db>>,
}

impl Batch<'_> {
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        if let Some(handle) = self.handles.get(family as usize) {
            self.inner.put_cf(handle, key, value);
        }
    }

    pub fn delete(&mut self, family: Family, key: &[u8]) {
        if let Some(handle) = self.handles.get(family as usize) {
            self.inner.delete_cf(handle, key);
        }
    }

    /// One tombstone over a range.
    pub fn delete_range(&mut self, family: Family, range: &KeyRange) {
        if let Some(handle) = self.handles.get(family as usize) {
            self.inner.delete_range_cf(handle, range.lower.as_ref(), range.upper.as_ref());
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.size_in_bytes()
    }
}

/// A place in a range of keys.
pub struct Cursor<'db> {
    inner: DBRawIteratorWithThreadMode<'db, rocksdb::DB>,
    path: &'db Path,
}

/// Key and value.
pub type Row<'a> = (&'a [u8], &'a [u8]);

impl Cursor<'_> {
    /// To the first key.
    pub fn first(&mut self) {
        self.inner.seek_to_first();
    }

    /// To the last key.
    pub fn last(&mut self) {
        self.inner.seek_to_last();
    }

    /// To the first key at or above `key`.
    pub fn seek(&mut self, key: &[u8]) {
        self.inner.seek(key);
    }

    /// To the last key at or below `key`.
    pub fn seek_back(&mut self, key: &[u8]) {
        self.inner.seek_for_prev(key);
    }

    pub fn next(&mut self) {
        self.inner.next();
    }

    pub fn prev(&mut self) {
        self.inner.prev();
    }

    /// Key and value here; `None` past either end.
    ///
    /// # Errors
    /// What ended the walk, where that was no end of the range.
    pub fn row(&self) -> Result<Option<Row<'_>>, StoreError> {
        if let Some(row) = self.inner.item() {
            return Ok(Some(row));
        }
        self.inner.status().map(|()| None).map_err(|error| classify(self.path, &error))
    }
}

fn classify(path: &Path, error: &rocksdb::Error) -> StoreError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(text),
        ErrorKind::IOError => guard::io_error(path, text),
        ErrorKind::NotSupported | ErrorKind::InvalidArgument => StoreError::Unusable(text),
        ErrorKind::NotFound
        | ErrorKind::MergeInProgress
        | ErrorKind::Incomplete
        | ErrorKind::ShutdownInProgress
        | ErrorKind::TimedOut
        | ErrorKind::Aborted
        | ErrorKind::Busy
        | ErrorKind::Expired
        | ErrorKind::TryAgain
        | ErrorKind::CompactionTooLarge
        | ErrorKind::ColumnFamilyDropped
        | ErrorKind::Unknown => StoreError::Io(text),
    }
}

fn db_options(options: &DbOptions) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    // After a power cut the log ends at its first torn record. The stricter and the laxer mode both
    // silently switch recycling off, which makes each sync three times as dear.
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_recycle_log_file_num(4);
    db.set_max_total_wal_size(options.wal_bytes_max);
    db.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
        options.write_buffers_bytes,
        false,
    ));
    db.set_max_open_files(options.open_files_max);
    db.set_max_file_opening_threads(2);
    db.set_max_background_jobs(2);
    // One thread writes: what lets several write memory tables at once only costs.
    db.set_allow_concurrent_memtable_write(false);
    db.set_enable_write_thread_adaptive_yield(false);
    // RocksDB's own text log: a few small files, no statistics every ten minutes.
    db.set_keep_log_file_num(3);
    db.set_max_log_file_size(1 << 20);
    db.set_log_level(LogLevel::Warn);
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db.set_max_manifest_file_size(8 << 20);
    // Whole files fall out of memory and of the page cache's way while they are written.
    db.set_bytes_per_sync(1 << 20);
    db
}

/// How much faster than by default LZ4 goes over events, and how much less it finds.
const EVENTS_ACCELERATION: i32 = 8;

fn family_options(family: Family, options: &DbOptions, cache: &Cache, floors: &Arc<Floors>) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut cf = Options::default();
    cf.set_block_based_table_factory(&table);
    let (buffer, compression) = match family {
        Family::Events => (options.events_buffer_bytes, DBCompressionType::Lz4),
        Family::ByAccount | Family::Attempts | Family::Retries | Family::Dead | Family::Meta => {
            (options.other_buffer_bytes, DBCompressionType::Lz4)
        }
        // Fingerprints are random: compressing them is heat.
        Family::Ids | Family::Lagging => (options.other_buffer_bytes, DBCompressionType::None),
    };
    cf.set_write_buffer_size(buffer);
    cf.set_max_write_buffer_number(3);
    cf.set_arena_block_size(64 << 10);
    cf.set_compression_type(compression);
    if family == Family::Events {
        // Nearly all bytes are here: LZ4 in its faster steps (negative levels are its acceleration).
        cf.set_compression_options(-14, -EVENTS_ACCELERATION, 0, 0);
    }
    cf.set_target_file_size_base(32 << 20);
    if family.has_floor() {
        cf.set_compaction_filter_factory(FloorFactory(Arc::clone(floors)));
        // So that the filter gets to see files that nothing else would make RocksDB rewrite.
        cf.set_periodic_compaction_seconds(2 * 86_400);
    } else {
        // Values of `events` are written once and dropped with their file: never rewrite them for age.
        cf.set_periodic_compaction_seconds(0);
        cf.set_ttl(0);
    }
    cf
}

const FILTER_NAME: &CStr = c"postrider.floor";

struct FloorFactory(Arc<Floors>);

impl CompactionFilterFactory for FloorFactory {
    type Filter = FloorFilter;

    fn create(&mut self, _context: CompactionFilterContext) -> FloorFilter {
        FloorFilter(Arc::clone(&self.0))
    }

    fn name(&self) -> &CStr {
        FILTER_NAME
    }
}

struct FloorFilter(Arc<Floors>);

impl CompactionFilter for FloorFilter {
    fn filter(&mut self, _level: u32, key: &[u8], value: &[u8]) -> CompactionDecision {
        if self.0.is_dead(key, value) { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        FILTER_NAME
    }
}
