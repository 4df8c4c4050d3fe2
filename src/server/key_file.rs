//! The key file: 32 random bytes that open what is sealed in the store.
//!
//! It is made at the first start, for its owner only, and is on disk before anything is sealed with it. It
//! is never made anew where something is sealed already: a new key would open nothing, and what was sealed
//! would look lost while the right file is merely not there.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::durable;
use crate::registry::{KEY_LEN, Vault};
use crate::rt::random;

/// Its name in the data directory.
const FILE: &str = "secrets.key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("the key file {} cannot be read or written", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "the key file {} is missing, and the store holds secrets that no other key opens: put it back",
        .path.display()
    )]
    Missing { path: PathBuf },
    #[error("the key file {} must hold {KEY_LEN} bytes", .path.display())]
    Length { path: PathBuf },
    #[error(
        "the key file {} does not hold the key with which the store's secrets were sealed: put that one back",
        .path.display()
    )]
    Wrong { path: PathBuf },
}

/// Where the key is: the configured file, or the one in the data directory.
pub fn path(configured: Option<&Path>, data_dir: &Path) -> PathBuf {
    configured.map_or_else(|| data_dir.join(FILE), Path::to_owned)
}

/// Reads the key, or makes it where nothing is `sealed` yet: then it says so.
pub fn load(path: &Path, sealed: bool) -> Result<(Vault, bool), KeyFileError> {
    let failed = |source| KeyFileError::File { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => read(&file, path).map(|key| (Vault::new(&key), false)),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        Err(_) if sealed => Err(KeyFileError::Missing { path: path.to_owned() }),
        Err(_) => {
            let key = random::bytes();
            durable::write(path, &key, 0o600).map_err(failed)?;
            Ok((Vault::new(&key), true))
        }
    }
}

/// Whether the file can be used: the key is in it, or it can be made where it should be.
pub fn check(path: &Path) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::File { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => read(&file, path).map(drop),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        Err(_) => std::fs::read_dir(durable::directory_of(path)).map(drop).map_err(failed),
    }
}

fn read(file: &File, path: &Path) -> Result<[u8; KEY_LEN], KeyFileError> {
    let failed = |source| KeyFileError::File { path: path.to_owned(), source };
    let mut key = Vec::with_capacity(KEY_LEN + 1);
    file.take(KEY_LEN as u64 + 1).read_to_end(&mut key).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "the key file can be read by others than its owner");
    }
    key.try_into().map_err(|_| KeyFileError::Length { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = path(None, dir.path());
        assert_eq!(file, dir.path().join(FILE));
        // What a start that was cut short has left.
        std::fs::write(file.with_extension("key.part"), b"half").expect("is written");
        load(&file, false).expect("is made");
        let made = std::fs::read(&file).expect("is there");
        assert_eq!(made.len(), KEY_LEN);
        assert_eq!(std::fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1);
        load(&file, true).expect("is read");
        load(&file, false).expect("is read");
        assert_eq!(std::fs::read(&file).expect("is there"), made);
    }

    #[test]
    fn never_made_where_something_is_sealed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = path(Some(&dir.path().join("elsewhere")), Path::new("/data"));
        let error = load(&file, true).expect_err("is missing");
        assert!(matches!(error, KeyFileError::Missing { .. }), "{error}");
        assert!(!file.exists());
        for bytes in [&[1; KEY_LEN - 1][..], &[1; KEY_LEN + 1], &[]] {
            std::fs::write(&file, bytes).expect("is written");
            let error = load(&file, false).expect_err("no key");
            assert!(matches!(error, KeyFileError::Length { .. }), "{error}");
            assert_eq!(std::fs::read(&file).expect("is there"), bytes);
        }
    }
}
