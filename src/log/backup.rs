//! Backups: a directory with the store's files, what stands beside the store, and a list of both with
//! checksums. It has the shape of a data directory, so that it can be verified, and started on, as it is.
//!
//! A stopped store is copied while its directory is held. A running one first makes a checkpoint beside
//! itself: hard links to its table files, which are never changed, after everything in memory was flushed.
//! So a backup is the store at one moment, with everything that was acknowledged before it was begun.
//!
//! The list is written last and a restored store gets its name last: what was cut short is never taken for
//! whole. Deliberately absent: increments, and a format of its own.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::guard::{OWNER_ONLY, StoreError, make_directory, sync_directory};
use super::store::Store;
use crate::model::Seq;

/// The list, in the backup's directory.
pub const LIST: &str = "backup.json";
/// The version of the list.
const LIST_FORMAT: u32 = 1;
/// Bytes of a list at most: some hundred thousand files.
const LIST_LEN_MAX: u64 = 64 << 20;
/// What of a store's directory is no part of the store: locks, and RocksDB's own text log.
const LEFT_OUT: [&str; 3] = ["LOCK", "LOG", "postrider.lock"];
const COPY_BYTES: usize = 1 << 20;

/// Why there is no backup, or nothing restored from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is no backup, or one that was cut short: it has no {LIST}", .0.display())]
    NoList(PathBuf),
    #[error("{} cannot be read", .path.display())]
    BadList { path: PathBuf, source: serde_json::Error },
    #[error("the backup has format {0}, which a newer Postrider wrote")]
    NewerFormat(u32),
    #[error("{} names a file outside of the backup: {name}", .list.display())]
    Outside { list: PathBuf, name: String },
    #[error("{} is damaged: it is not what was backed up", .0.display())]
    Damaged(PathBuf),
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the backup's directory.
    pub path: String,
    pub bytes: u64,
    pub crc32: u32,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    pub format: u32,
    /// Of the Postrider that made it.
    pub version: String,
    /// When it was begun.
    pub taken_at: String,
    pub files: Vec<Entry>,
}

impl List {
    #[must_use]
    pub fn new(version: &str, taken_at: String) -> Self {
        Self { format: LIST_FORMAT, version: version.to_owned(), taken_at, files: Vec::new() }
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Read { path: path.to_owned(), source }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Write { path: path.to_owned(), source }
}

/// Makes an empty directory, or takes one that is empty but for `allowed` names.
///
/// # Errors
/// [`BackupError::NotEmpty`]; IO.
pub fn make_empty(path: &Path, allowed: &[&str]) -> Result<(), BackupError> {
    make_directory(path).map_err(write_error(path))?;
    for entry in fs::read_dir(path).map_err(read_error(path))? {
        let name = entry.map_err(read_error(path))?.file_name();
        if !allowed.iter().any(|allowed| *allowed == name) {
            return Err(BackupError::NotEmpty(path.to_owned()));
        }
    }
    Ok(())
}

/// Copies the files of a store that nobody changes meanwhile into the backup at `to`, as `name`.
///
/// # Errors
/// IO.
pub fn add_store(
    list: &mut List,
    from: &Path,
    to: &Path,
    name: &str,
    copied: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    let target = to.join(name);
    fs::create_dir(&target).map_err(write_error(&target))?;
    for entry in fs::read_dir(from).map_err(read_error(from))? {
        let path = entry.map_err(read_error(from))?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let is_text_log = file.starts_with("LOG.old");
        if path.is_file() && !file.is_empty() && !LEFT_OUT.contains(&file) && !is_text_log {
            add_file(list, &path, to, &format!("{name}/{file}"), copied)?;
        }
    }
    sync(&target)
}

/// Copies one file into the backup, as `name`. Others than its owner never get to read it.
///
/// # Errors
/// IO.
pub fn add_file(
    list: &mut List,
    from: &Path,
    to: &Path,
    name: &str,
    copied: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    let (bytes, crc32) = copy(from, &to.join(name), copied)?;
    list.files.push(Entry { path: name.to_owned(), bytes, crc32 });
    Ok(())
}

/// Makes a backup of what was added: from here on it counts as one.
///
/// # Errors
/// IO.
pub fn finish(list: &List, to: &Path) -> Result<(), BackupError> {
    let path = to.join(LIST);
    let part = to.join(format!("{LIST}.part"));
    // Everything else has its name before the list has.
    sync(to)?;
    let text = serde_json::to_vec_pretty(list)
        .map_err(|source| BackupError::BadList { path: path.clone(), source })?;
    let mut file = create(&part)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(write_error(&part))?;
    fs::rename(&part, &path).map_err(write_error(&path))?;
    sync(to)
}

/// The list of the backup at `from`.
///
/// # Errors
/// Where it is none, or of a newer format.
pub fn read(from: &Path) -> Result<List, BackupError> {
    let path = from.join(LIST);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::NoList(from.to_owned()));
        }
        file => file.map_err(read_error(&path))?,
    };
    let list: List = serde_json::from_reader(file.take(LIST_LEN_MAX))
        .map_err(|source| BackupError::BadList { path: path.clone(), source })?;
    if list.format > LIST_FORMAT {
        return Err(BackupError::NewerFormat(list.format));
    }
    let outside = |entry: &&Entry| {
        let mut parts = Path::new(&entry.path).components();
        !parts.all(|part| matches!(part, Component::Normal(_)))
    };
    match list.files.iter().find(outside) {
        Some(entry) => Err(BackupError::Outside { list: path, name: entry.path.clone() }),
        None => Ok(list),
    }
}

/// Copies everything in `list` from `from` into the data directory `to`, which is empty but for `allowed`,
/// and checks each file on the way. The store of that `name` is there only once all of it is.
///
/// # Errors
/// A file that is not what was backed up; IO. What was copied is taken away again.
pub fn restore(
    list: &List,
    (from, to): (&Path, &Path),
    name: &str,
    allowed: &[&str],
    copied: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    make_empty(to, allowed)?;
    let part = to.join(format!("{name}.part"));
    let restored = copy_all(list, (from, to), (name, &part), copied);
    if restored.is_err() {
        // That it failed is what must be said, not that a remnant is left as well.
        let _ = fs::remove_dir_all(&part);
        return restored;
    }
    // What stands beside the store has its name before the store has.
    sync(to)?;
    let store = to.join(name);
    fs::rename(&part, &store).map_err(write_error(&store))?;
    sync(to)
}

fn copy_all(
    list: &List,
    (from, to): (&Path, &Path),
    (name, part): (&str, &Path),
    copied: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    fs::DirBuilder::new().mode(OWNER_ONLY).create(part).map_err(write_error(part))?;
    // The store first: what stands beside it is not there either where the store is not well.
    let (store, beside): (Vec<_>, Vec<_>) =
        list.files.iter().partition(|entry| Path::new(&entry.path).starts_with(name));
    for entry in store.into_iter().chain(beside) {
        let source = from.join(&entry.path);
        let target = match Path::new(&entry.path).strip_prefix(name) {
            Ok(file) => part.join(file),
            Err(_) => to.join(&entry.path),
        };
        let (bytes, crc32) = copy(&source, &target, copied)?;
        if (bytes, crc32) != (entry.bytes, entry.crc32) {
            return Err(BackupError::Damaged(source));
        }
    }
    sync(part)
}

fn create(path: &Path) -> Result<File, BackupError> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(write_error(path))
}

/// Copies a file that must not be there yet, onto the disk; gives its length and checksum.
fn copy(from: &Path, to: &Path, copied: &mut dyn FnMut(u64)) -> Result<(u64, u32), BackupError> {
    let mut source = File::open(from).map_err(read_error(from))?;
    let mut target = create(to)?;
    let mut buffer = vec![0; COPY_BYTES];
    let (mut bytes, mut crc) = (0, crc32fast::Hasher::new());
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(from)(error)),
        };
        target.write_all(read).map_err(write_error(to))?;
        crc.update(read);
        bytes += read.len() as u64;
        copied(read.len() as u64);
    }
    target.sync_all().map_err(write_error(to))?;
    Ok((bytes, crc.finalize()))
}

fn sync(directory: &Path) -> Result<(), BackupError> {
    sync_directory(directory).map_err(write_error(directory))
}

impl Store {
    /// The directory of a checkpoint, beside the store.
    fn checkpoint_path(&self) -> PathBuf {
        self.path().with_file_name("checkpoint")
    }

    /// Makes the store as it is now, with everything that was acknowledged, stand in a directory beside it,
    /// in place of an earlier checkpoint. Takes no room but for what the store would drop meanwhile.
    /// Gives the directory and the newest event in it, or an older one.
    ///
    /// # Errors
    /// Whatever the store says.
    pub fn checkpoint(&self) -> Result<(PathBuf, Seq), StoreError> {
        self.drop_checkpoint()?;
        let path = self.checkpoint_path();
        let head = self.head();
        self.with(|db| db.checkpoint(&path))?;
        // Its files are the store's own.
        let owner_only = fs::Permissions::from_mode(OWNER_ONLY);
        fs::set_permissions(&path, owner_only).map_err(|error| StoreError::Io(error.to_string()))?;
        let path = fs::canonicalize(&path).map_err(|error| StoreError::Io(error.to_string()))?;
        Ok((path, head))
    }

    /// Drops the checkpoint, where there is one.
    ///
    /// # Errors
    /// IO.
    pub fn drop_checkpoint(&self) -> Result<(), StoreError> {
        drop_directory(&self.checkpoint_path())
    }

    /// The same for what an earlier process has left, finished or not. While one is being made there is
    /// another of these.
    ///
    /// # Errors
    /// IO.
    pub fn drop_earlier_checkpoints(&self) -> Result<(), StoreError> {
        // As RocksDB calls one until it is whole.
        drop_directory(&self.checkpoint_path().with_extension("tmp"))?;
        self.drop_checkpoint()
    }
}

fn drop_directory(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Io(error.to_string())),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "store";

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A backup of a data directory with a store of two files.
    fn backup(root: &Path) -> (PathBuf, List) {
        let (data, to) = (root.join("data"), root.join("backup"));
        write(&data.join("store/000001.sst"), &vec![7; 3_000_000]);
        write(&data.join("store/CURRENT"), b"MANIFEST-1\n");
        for name in ["LOCK", "LOG", "LOG.old.1", "postrider.lock"] {
            write(&data.join("store").join(name), b"x");
        }
        write(&data.join("event-types.json"), b"[]");
        make_empty(&to, &[]).unwrap();
        let mut list = List::new("0.1.0", "2026-11-23T14:49:00.000Z".to_owned());
        let mut copied = 0;
        add_store(&mut list, &data.join(STORE), &to, STORE, &mut |bytes| copied += bytes).unwrap();
        add_file(&mut list, &data.join("event-types.json"), &to, "event-types.json", &mut |_| {}).unwrap();
        assert_eq!(copied, 3_000_011);
        finish(&list, &to).unwrap();
        (to, list)
    }

    #[test]
    fn there_and_back() {
        let root = tempfile::tempdir().unwrap();
        let (from, made) = backup(root.path());
        let list = read(&from).unwrap();
        assert_eq!(list, made);
        assert_eq!((list.files.len(), list.bytes()), (3, 3_000_013), "no locks, no text logs");
        let to = root.path().join("new/data");
        write(&to.join("secrets.key"), b"k");
        restore(&list, (&from, &to), STORE, &["secrets.key"], &mut |_| {}).unwrap();
        assert_eq!(fs::read(to.join("store/000001.sst")).unwrap(), vec![7; 3_000_000]);
        assert_eq!(fs::read(to.join("event-types.json")).unwrap(), b"[]");
        assert!(!to.join("store.part").exists() && !to.join(LIST).exists());

        let again = restore(&list, (&from, &to), STORE, &["secrets.key"], &mut |_| {});
        assert!(matches!(again, Err(BackupError::NotEmpty(_))), "{again:?}");
    }

    #[test]
    fn what_is_damaged_restores_to_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (from, list) = backup(root.path());
        let table = from.join("store/000001.sst");
        let mut bytes = fs::read(&table).unwrap();
        bytes[1_500_000] ^= 1;
        fs::write(&table, bytes).unwrap();
        let to = root.path().join("new");
        let restored = restore(&list, (&from, &to), STORE, &[], &mut |_| {});
        assert!(matches!(restored, Err(BackupError::Damaged(path)) if path == table));
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        fs::remove_file(&table).unwrap();
        let restored = restore(&list, (&from, &to), STORE, &[], &mut |_| {});
        assert!(matches!(restored, Err(BackupError::Read { path, .. }) if path == table));
    }

    #[test]
    fn what_is_no_backup_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (from, mut list) = backup(root.path());
        let rewrite = |list: &List| {
            fs::remove_file(from.join(LIST)).unwrap();
            finish(list, &from).unwrap();
            read(&from)
        };
        list.format = 2;
        assert!(matches!(rewrite(&list), Err(BackupError::NewerFormat(2))));
        list.format = 1;
        for name in ["../elsewhere", "/etc/passwd", "store/../../x"] {
            list.files[0].path = name.to_owned();
            assert!(matches!(rewrite(&list), Err(BackupError::Outside { .. })), "{name}");
        }
        fs::write(from.join(LIST), "{").unwrap();
        assert!(matches!(read(&from), Err(BackupError::BadList { .. })));
        // Cut short: the list comes last.
        fs::remove_file(from.join(LIST)).unwrap();
        assert!(matches!(read(&from), Err(BackupError::NoList(_))));
        assert!(matches!(make_empty(&from, &[]), Err(BackupError::NotEmpty(_))));
    }
}
