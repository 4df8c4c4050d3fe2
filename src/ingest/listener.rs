//! The sockets themselves: who may have the path, what lies there already, and its removal at the end.
//!
//! A stale socket file, one that refuses connections, is replaced; a live one is not; anything that is
//! no socket is never touched. The mode is set before the socket listens, so there is no moment at which
//! somebody could connect who may not. Deliberately absent: a lock against two processes that start at
//! the same instant; the store's own lock settles that before a socket is bound.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Bytes of a socket's path at most: what `sockaddr_un` holds, less the closing NUL.
pub const SOCKET_PATH_LEN_MAX: usize = 107;
/// Connections that may wait to be accepted (the kernel may cap it lower).
const BACKLOG: i32 = 1024;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the socket path {path} has {len} bytes; the system allows {SOCKET_PATH_LEN_MAX}")]
    PathTooLong { path: PathBuf, len: usize },
    #[error("the socket {path} is in use by a running process")]
    InUse { path: PathBuf },
    #[error("{path} is there and is not a socket; it is left alone")]
    NotASocket { path: PathBuf },
    #[error("cannot {what} {path}: {source}")]
    Path { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source}")]
    Address { address: SocketAddr, source: io::Error },
}

/// A socket file that is ours. Removed when this is dropped, if it is still the one that was made.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let here = fs::symlink_metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        if here.is_ok_and(|identity| identity == self.identity) {
            // Nothing can be done about a failure; the next start replaces a stale file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, whose directory is made where it is missing.
///
/// # Errors
/// See [`ListenError`].
pub fn bind_unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), ListenError> {
    let at = |what| move |source| ListenError::Path { what, path: path.to_owned(), source };
    let len = path.as_os_str().len();
    if len > SOCKET_PATH_LEN_MAX {
        return Err(ListenError::PathTooLong { path: path.to_owned(), len });
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(at("make the directory of"))?;
    }
    make_way(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at("make a socket for"))?;
    let address = SockAddr::unix(path).map_err(at("use"))?;
    socket.bind(&address).map_err(at("bind"))?;
    let meta = fs::symlink_metadata(path).map_err(at("look at"))?;
    let file = SocketFile { path: path.to_owned(), identity: (meta.dev(), meta.ino()) };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at("set the mode of"))?;
    socket.listen(BACKLOG).map_err(at("listen on"))?;
    Ok((socket.into(), file))
}

/// Removes a stale socket at `path`, and nothing else.
fn make_way(path: &Path) -> Result<(), ListenError> {
    let at = |what| move |source| ListenError::Path { what, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at("look at")(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match probe(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(at("remove the stale socket"))
        }
        // A live socket whose backlog is full is live all the same.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(at("connect to")(error)),
        Ok(()) | Err(_) => Err(ListenError::InUse { path: path.to_owned() }),
    }
}

/// Connects without waiting: a process that is alive and hangs must not hang this one.
fn probe(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Listens on a TCP address.
///
/// # Errors
/// [`ListenError::Address`].
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|source| ListenError::Address { address, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn makes_the_directory_sets_the_mode_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/s.sock");
        let (listener, file) = bind_unix(&path, 0o620).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        UnixStream::connect(&path).unwrap();
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a killed process does");
        let (_listener, _file) = bind_unix(&path, 0o600).unwrap();
        let error = bind_unix(&path, 0o600).unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("in use by a running process"));
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &dir.path().to_owned()] {
            assert!(matches!(bind_unix(path, 0o600), Err(ListenError::NotASocket { .. })), "{path:?}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn another_ones_socket_is_not_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let (_listener, file) = bind_unix(&path, 0o600).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(103)));
        let error = bind_unix(&path, 0o600).unwrap_err().to_string();
        assert!(error.contains("has 108 bytes; the system allows 107"), "{error}");
    }
}
