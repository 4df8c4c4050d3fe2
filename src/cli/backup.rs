//! `postrider backup`: the store at one moment, in a directory of its own, while the engine goes on.
//!
//! A running engine is asked for a checkpoint, which costs it a flush; copying and checksums are this
//! process's. A stopped store is held while it is copied, so that no engine starts on it meanwhile.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::api::{Client, ServerArgs};
use super::verify_store::NoStore;
use super::{Done, Failure, check_config, print, say};
use crate::log::backup::{self, List};
use crate::log::guard::{DirectoryLock, StoreError};
use crate::rt::clock;
use crate::server::{STORE_DIRECTORY, key_path};

/// What remembers the bits of custom types; stands beside the store.
const TYPES_FILE: &str = "event-types.json";
/// The key's name in a backup, whatever it is called where it comes from.
pub(super) const KEY_FILE: &str = "secrets.key";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Run it on the engine's machine, as the user that the engine runs as. The backup is the
store at one moment, with everything that was acknowledged before it was begun. The key that
seals secrets is left out, so that a backup alone opens none: keep a copy of the key
elsewhere, or say --with-key.

Examples:
  postrider backup /backups/2026-11-23
  postrider verify-store --data-dir /backups/2026-11-23
  postrider restore /backups/2026-11-23 --to /var/lib/postrider")]
pub(super) struct BackupArgs {
    /// Where the backup goes: a directory that is new or empty
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// Configuration of the engine; without it ./config.toml if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The key that seals secrets goes into the backup as well
    #[arg(long)]
    with_key: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &BackupArgs) -> Done {
    let config = check_config::load(args.config.as_deref())?;
    let store = config.data_dir.join(STORE_DIRECTORY);
    if !store.join("CURRENT").is_file() {
        return Err(NoStore(config.data_dir).into());
    }
    backup::make_empty(&args.to, &[])?;
    let mut list = List::new(env!("CARGO_PKG_VERSION"), clock::wall().to_rfc3339());
    match DirectoryLock::take(&store) {
        Ok(_held) => add_store(&mut list, &store, &args.to)?,
        Err(StoreError::InUse(_)) => {
            let engine = args.server.client()?;
            let checkpoint = Checkpoint::make(&engine, &config.data_dir)?;
            add_store(&mut list, &checkpoint.path, &args.to)?;
        }
        Err(error) => return Err(error.into()),
    }
    // After the store: it may know bits that the store does not, but never the other way round.
    let types = config.data_dir.join(TYPES_FILE);
    if types.is_file() {
        backup::add_file(&mut list, &types, &args.to, TYPES_FILE, &mut |_| {})?;
    }
    let key = key_path(config.secrets.key_file.as_deref(), &config.data_dir);
    if args.with_key {
        backup::add_file(&mut list, &key, &args.to, KEY_FILE, &mut |_| {})?;
    }
    backup::finish(&list, &args.to)?;
    print(&format!(
        "backed up {} files, {} bytes, to {}\n",
        list.files.len(),
        list.bytes(),
        args.to.display()
    ))?;
    if !args.with_key {
        say(&format!(
            "postrider: {} is not in it: keep a copy elsewhere, no secret in the backup opens without it",
            key.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn add_store(list: &mut List, from: &Path, to: &Path) -> Result<(), Failure> {
    let bar = bytes_bar(None);
    let added = backup::add_store(list, from, to, STORE_DIRECTORY, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    Ok(added?)
}

/// On stderr where that is a terminal; otherwise one that shows nothing.
pub(super) fn bytes_bar(len: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, style) = match len {
        Some(len) => (ProgressBar::new(len), "{bar:30} {percent:>3}% {decimal_bytes_per_sec}"),
        None => (ProgressBar::new_spinner(), "{spinner} {decimal_bytes} {decimal_bytes_per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[derive(Deserialize)]
struct Made {
    path: PathBuf,
}

/// The engine's checkpoint, which is gone when this is.
struct Checkpoint<'c> {
    engine: &'c Client,
    path: PathBuf,
}

impl<'c> Checkpoint<'c> {
    /// Of the engine that runs on `data_dir`, and no other.
    fn make(engine: &'c Client, data_dir: &Path) -> Result<Self, Failure> {
        let made: Made = engine.call("POST", &["checkpoint"]).send()?.read()?;
        let checkpoint = Self { engine, path: made.path };
        let own = data_dir.canonicalize()?;
        if checkpoint.path.parent() == Some(own.as_path()) {
            return Ok(checkpoint);
        }
        let line =
            format!("the engine at {} does not run on {}: say --server", engine.server(), own.display());
        Err(Failure::new(line))
    }
}

impl Drop for Checkpoint<'_> {
    fn drop(&mut self) {
        // Where that fails, the next backup or the next start drops it.
        let _ = self.engine.call("DELETE", &["checkpoint"]).send();
    }
}
