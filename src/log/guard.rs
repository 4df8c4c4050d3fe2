//! The directory that the store lies in: one process at a time, and room to write.
//!
//! This asks the file system what RocksDB's error texts would only hint at: who holds the directory, is
//! it a directory at all, may it be written, is there room. So nothing is recognised by its text.
//!
//! RocksDB syncs the names inside its directory. That the directory itself has a name after a power cut is
//! for those who make it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::record::RecordError;

/// Free bytes below which an IO error is taken for a full disk.
const FULL_BELOW_BYTES: u64 = 1 << 20;

/// What the store may answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("the store has format version {found}; this Postrider reads up to {supported}")]
    NewerFormat { found: u32, supported: u32 },
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("a row of the store is damaged: {0}")]
    Damaged(#[from] RecordError),
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{}: permission denied", .0.display())]
    Permission(PathBuf),
    #[error("the disk is full: {0}")]
    DiskFull(String),
    #[error("{0}")]
    Io(String),
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    #[error("the store is closed for the moment")]
    Closed,
}

impl StoreError {
    /// Whether the same may work a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DiskFull(_) | Self::Io(_) | Self::Closed => true,
            Self::InUse(_)
            | Self::NewerFormat { .. }
            | Self::Corrupt(_)
            | Self::Damaged(_)
            | Self::NotADirectory(_)
            | Self::Permission(_)
            | Self::Unusable(_) => false,
        }
    }

    /// Stable, for people's searches and for alerts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse(_) => "store_in_use",
            Self::NewerFormat { .. } => "store_newer_format",
            Self::Corrupt(_) => "store_corrupt",
            Self::Damaged(_) => "store_row_damaged",
            Self::NotADirectory(_) => "store_not_a_directory",
            Self::Permission(_) => "store_permission",
            Self::DiskFull(_) => "store_disk_full",
            Self::Io(_) => "store_io",
            Self::Unusable(_) => "store_unusable",
            Self::Closed => "store_closed",
        }
    }
}

/// An IO error of the store at `path`, told apart by the room that is left.
pub fn io_error(path: &Path, text: String) -> StoreError {
    match free_bytes(path) {
        Some(free) if free < FULL_BELOW_BYTES => StoreError::DiskFull(text),
        _ => StoreError::Io(text),
    }
}

/// Bytes that this process may still write at `path`; `None` where the file system does not say.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    statvfs(path).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The mode of directories that hold events: what is in them is not sealed.
pub const OWNER_ONLY: u32 = 0o700;

/// Makes a directory, and those above it, so that it is there after a power cut too.
///
/// # Errors
/// IO.
pub fn make_directory(path: &Path) -> io::Result<()> {
    make(path, 0o777)
}

/// The same for its owner only; those above it are for whoever the system says.
///
/// # Errors
/// IO.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    make(path, OWNER_ONLY)
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if path.is_dir() {
        // Whoever made it may have died before this. What is above may not be ours to open.
        let _ = sync_directory(above);
        return Ok(());
    }
    if !above.exists() {
        make_directory(above)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_directory(above)
}

/// Makes durable which names are in a directory, and what they name.
///
/// # Errors
/// IO.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Holds the directory for this process for as long as it lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory where it is missing, for its owner only, and takes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::NotADirectory`], [`StoreError::Permission`], or another IO error.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let told = |error: &io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::Permission(path.to_owned())
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull(error.to_string())
            }
            _ => StoreError::Io(format!("{}: {error}", path.display())),
        };
        if path.exists() && !path.is_dir() {
            return Err(StoreError::NotADirectory(path.to_owned()));
        }
        make_private_directory(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                StoreError::NotADirectory(path.to_owned())
            }
            _ => told(&error),
        })?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("postrider.lock"))
            .map_err(|error| told(&error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            if errno == rustix::io::Errno::WOULDBLOCK {
                StoreError::InUse(path.to_owned())
            } else {
                told(&io::Error::from(errno))
            }
        })?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_for_its_owner_only_and_left_as_it_is_where_it_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("store");
        let mode = || fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
        drop(DirectoryLock::take(&path).expect("is made"));
        assert_eq!(mode(), OWNER_ONLY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).expect("is set");
        drop(DirectoryLock::take(&path).expect("is taken"));
        assert_eq!(mode(), 0o750, "somebody wanted it so");
    }
}
