//! Opening the store and finding out where everything stands.
//!
//! What is read here does not grow with the log: the last row, cursors, watermarks, the time line, the
//! filters and the ids of the open partition. What lies above the watermark is read by the workers
//! afterwards, page by page, as if it had just come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::Recovered;
use super::db::{Db, Family};
use super::dedupe::{Dedupe, Filter};
use super::guard::StoreError;
use super::key::{Key, KeyRange, META_TAGS_OF_LOG};
use super::options::LogOptions;
use super::record::{CountersRow, FloorsRow, IdsRow, PartitionRow, SealedAt, decode, decode_filter};
use super::rows::{last_seq, report_damage, walk_open_ids};
use super::stats::LogStats;
use super::store::Store;
use super::timeline::{Point, Timeline};
use crate::model::{Seq, SubscriptionKey, UnixMillis};
use crate::registry::{Row, TAG_UNLOADED};

/// What the writer keeps in memory. Whatever is in it is on disk, or was lost with a failed write.
pub struct LogState {
    pub(super) head: Seq,
    pub(super) dedupe: Dedupe,
    pub(super) timeline: Timeline,
    pub(super) counters: CountersRow,
    /// By worker; rows of workers that are no more are taken away when the writer starts.
    pub(super) watermarks: BTreeMap<u16, Seq>,
    pub(super) partitions: BTreeMap<Seq, Option<SealedAt>>,
}

/// An open log, before its writer runs.
pub struct Opened {
    pub store: Arc<Store>,
    pub recovered: Recovered,
    /// The registry's rows, in the order of their keys: for `Registry::load`.
    pub registry_rows: Vec<(Vec<u8>, Vec<u8>)>,
    pub state: LogState,
}

/// Opens the store, or makes it.
///
/// # Errors
/// See [`StoreError`].
pub fn open(options: &LogOptions) -> Result<Opened, StoreError> {
    let store = Store::open(options.db.clone())?;
    let stats = Arc::clone(store.stats());
    let now = (options.clock)().wall;
    let (state, recovered, registry_rows) = store.with(|db| {
        let (mut state, registry_rows) = read_meta(db, &stats, options, &store)?;
        state.head = last_seq(db)?;
        read_partitions(db, &stats, now, &mut state)?;
        let recovered = Recovered {
            head: state.head,
            watermark: state.watermarks.values().copied().min().unwrap_or_default(),
            lagging: read_lagging(db, &stats)?,
            failing: read_failing(db, &stats)?,
            retries_waiting: state.counters.retries,
            dead_letters: db.rows_estimate(Family::Dead),
        };
        Ok((state, recovered, registry_rows))
    })?;
    let mut state = state;
    state.dedupe.expire(now);
    store.set_head(state.head);
    LogStats::set(&stats.retries_waiting, recovered.retries_waiting);
    LogStats::set(&stats.dead_letters, recovered.dead_letters);
    LogStats::set(&stats.low_watermark, recovered.watermark.0);
    LogStats::set(&stats.floor, store.floor().0);
    Ok(Opened { store: Arc::new(store), recovered, registry_rows, state })
}

/// Makes rows of the registry durable outside the writer: those that `Registry::load` wants rewritten,
/// before the writer starts.
///
/// # Errors
/// Whatever the store says.
pub fn write_registry_rows(store: &Store, rows: &[Row]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    store.with(|db| {
        let mut batch = db.batch()?;
        for row in rows {
            match &row.value {
                Some(value) => batch.put(Family::Meta, &row.key, value),
                None => batch.delete(Family::Meta, &row.key),
            }
        }
        db.write(batch, true).map(|_| ())
    })
}

type RegistryRows = Vec<(Vec<u8>, Vec<u8>)>;

fn read_meta(
    db: &Db,
    stats: &LogStats,
    options: &LogOptions,
    store: &Store,
) -> Result<(LogState, RegistryRows), StoreError> {
    let mut registry_rows = Vec::new();
    let mut points = Vec::new();
    let mut watermarks = BTreeMap::new();
    let mut counters = CountersRow::default();
    let mut cursor = db.cursor_between(Family::Meta, &[0], &[u8::MAX])?;
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        let tag = key.first().copied().unwrap_or_default();
        if (TAG_UNLOADED..META_TAGS_OF_LOG).contains(&tag) {
            // There may be millions of them.
            cursor.seek(&[META_TAGS_OF_LOG]);
            continue;
        }
        if tag < META_TAGS_OF_LOG {
            registry_rows.push((key.to_vec(), value.to_vec()));
        } else {
            match Key::parse(key).map_err(|error| StoreError::Corrupt(error.to_string()))? {
                Key::Watermark { worker } => {
                    watermarks.insert(worker, decode::<Seq>(value)?);
                }
                Key::Floors => store.floors.raise(&decode::<FloorsRow>(value)?),
                Key::Counters => counters = decode(value)?,
                Key::Minute { minute } => match decode::<Seq>(value) {
                    Ok(first) => points.push(Point { minute, first }),
                    // Retention becomes coarser there, no more.
                    Err(error) => report_damage(stats, Family::Meta, key, &error),
                },
                Key::Format
                | Key::Job { .. }
                | Key::Events { .. }
                | Key::ByAccount { .. }
                | Key::Partition { .. }
                | Key::Fingerprints { .. }
                | Key::Sealed { .. }
                | Key::Filter { .. }
                | Key::Attempts { .. }
                | Key::Retry(_)
                | Key::RetryOf { .. }
                | Key::Lagging { .. }
                | Key::Failing { .. }
                | Key::Rollup { .. }
                | Key::Dead { .. } => {}
            }
        }
        cursor.next();
    }
    let state = LogState {
        head: Seq(0),
        dedupe: Dedupe::new(options.dedupe_window),
        timeline: Timeline::load(points),
        counters,
        watermarks,
        partitions: BTreeMap::new(),
    };
    Ok((state, registry_rows))
}

fn read_lagging(db: &Db, stats: &LogStats) -> Result<Vec<(SubscriptionKey, Seq)>, StoreError> {
    let lowest = Key::Lagging { subscription: SubscriptionKey(0) };
    let mut cursor = db.cursor(Family::Lagging, &KeyRange::from(&lowest))?;
    let mut lagging = Vec::new();
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        if let Ok(Key::Lagging { subscription }) = Key::parse(key) {
            // From the beginning where the row cannot be read: settled pairs are left out anyway.
            let cursor_at = decode::<Seq>(value).unwrap_or_else(|error| {
                report_damage(stats, Family::Lagging, key, &error);
                Seq(1)
            });
            lagging.push((subscription, cursor_at));
        }
        cursor.next();
    }
    Ok(lagging)
}

fn read_failing(db: &Db, stats: &LogStats) -> Result<Vec<(SubscriptionKey, UnixMillis)>, StoreError> {
    let lowest = Key::Failing { subscription: SubscriptionKey(0) };
    let mut cursor = db.cursor(Family::Lagging, &KeyRange::from(&lowest))?;
    let mut failing = Vec::new();
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        if let Ok(Key::Failing { subscription }) = Key::parse(key) {
            match decode::<UnixMillis>(value) {
                Ok(since) => failing.push((subscription, since)),
                // It begins to count anew.
                Err(error) => report_damage(stats, Family::Lagging, key, &error),
            }
        }
        cursor.next();
    }
    Ok(failing)
}

/// Filters of sealed partitions, ids of the open one. A partition whose sealing was cut short is sealed
/// again by the writer: its ids are loaded as the open one's, which it joins.
fn read_partitions(
    db: &Db,
    stats: &LogStats,
    now: UnixMillis,
    state: &mut LogState,
) -> Result<(), StoreError> {
    let mut cursor = db.cursor(Family::Ids, &KeyRange::from(&Key::Partition { partition: Seq(0) }))?;
    let mut partitions = Vec::new();
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        if let Ok(Key::Partition { partition }) = Key::parse(key) {
            match decode::<PartitionRow>(value) {
                Ok(row) => partitions.push((partition, row)),
                Err(error) => report_damage(stats, Family::Ids, key, &error),
            }
        }
        cursor.next();
    }
    for (partition, row) in partitions {
        state.partitions.insert(partition, row.sealed);
        if let Some(sealed) = row.sealed {
            let filter = load_filter(db, stats, partition)?;
            state.dedupe.sealed(partition, sealed.newest_at, sealed.ids as usize, filter);
        } else {
            // Their own times are not here; the latest possible keeps them long enough, and a hit is
            // settled by the event's own time.
            state.dedupe.reopen(partition, row.opened_at);
            walk_open_ids(db, stats, partition, |print, seq| state.dedupe.insert(print, seq, now))?;
        }
    }
    Ok(())
}

fn load_filter(db: &Db, stats: &LogStats, partition: Seq) -> Result<Filter, StoreError> {
    let key = Key::Filter { partition }.encode();
    match db.get(Family::Ids, key.as_ref())?.map(|bytes| decode_filter(&bytes)) {
        Some(Ok(filter)) => return Ok(Filter::Fuse(filter)),
        Some(Err(error)) => report_damage(stats, Family::Ids, key.as_ref(), &error),
        None => {}
    }
    // Built anew from the sorted rows.
    let mut entries = IdsRow::new();
    let mut cursor = db.cursor(Family::Ids, &KeyRange::sealed(partition))?;
    cursor.first();
    while let Some((key, value)) = cursor.row()? {
        match decode::<IdsRow>(value) {
            Ok(row) => entries.extend(row),
            Err(error) => report_damage(stats, Family::Ids, key, &error),
        }
        cursor.next();
    }
    entries.sort_unstable();
    entries.dedup_by_key(|(print, _)| *print);
    Ok(Filter::build(&entries))
}
