//! Small files beside the store, whole or not there, whatever ends the process or the machine.
//!
//! Written beside and renamed: under its name a file is the old one or the new one, never half of either.
//! Its bytes are on disk before it has the name, and the name is before this returns.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::log::guard::sync_directory;

/// Writes the file at `path`, in place of one that is there. `mode` is what the umask is taken from.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    // What a start that was cut short has left may have another mode.
    match fs::remove_file(part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    sync_directory(directory_of(path))
}

/// Where the file at `path` is.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
