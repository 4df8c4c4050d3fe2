//! `postrider restore`: a backup becomes a data directory, every file checked on the way.

use std::path::PathBuf;
use std::process::ExitCode;

use super::backup::{KEY_FILE, bytes_bar};
use super::verify_store::data_dir;
use super::{Done, print, say};
use crate::log::backup::{self, List};
use crate::server::STORE_DIRECTORY;

/// What may be in the new data directory already.
const ALLOWED: [&str; 2] = [KEY_FILE, "operator.token"];

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The data directory must be new or empty, but for secrets.key and operator.token. Nothing is left in it
where the backup is damaged. What was delivered after the backup was taken is delivered again, with the
same webhook-id.

Examples:
  postrider restore /backups/2026-11-23 --to /var/lib/postrider
  cp /safe/secrets.key /var/lib/postrider/ && postrider serve")]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data directory; without it the configuration's
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Configuration that names the data directory; without it ./config.toml if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &RestoreArgs) -> Done {
    let to = data_dir(args.to.as_ref(), args.config.as_ref())?;
    let list = backup::read(&args.from)?;
    let has_key = |list: &List| list.files.iter().any(|entry| entry.path == KEY_FILE);
    // A key that comes with the backup is not written over another one.
    let allowed = ALLOWED.into_iter().filter(|name| *name != KEY_FILE || !has_key(&list));
    let allowed: Vec<_> = allowed.collect();
    let bar = bytes_bar(Some(list.bytes()));
    let restored =
        backup::restore(&list, (&args.from, &to), STORE_DIRECTORY, &allowed, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    restored?;
    print(&format!(
        "restored {} files, {} bytes, of {} to {}\n",
        list.files.len(),
        list.bytes(),
        list.taken_at,
        to.display()
    ))?;
    if !to.join(KEY_FILE).exists() {
        let line = format!(
            "postrider: put the key that was in use then to {} before the engine starts",
            to.join(KEY_FILE).display()
        );
        say(&line);
    }
    Ok(ExitCode::SUCCESS)
}
