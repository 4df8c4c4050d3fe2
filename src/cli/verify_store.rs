//! `postrider verify-store`: reads through a store, or a backup of one, and tells all that is damaged.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::ProgressBar;
use serde_json::json;

use super::table::Table;
use super::{Done, Failure, check_config, print, say};
use crate::log::db::DbOptions;
use crate::log::guard::StoreError;
use crate::log::verify::{Report, verify};
use crate::server::STORE_DIRECTORY;

/// Damages that are told one by one; the rest are only counted.
const TOLD_MAX: u64 = 1000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads only. The engine must not run on the store meanwhile; to check a running engine's, take a backup
and check that. Exits with 1 where anything is damaged.

Examples:
  postrider verify-store
  postrider verify-store --data-dir /backups/2026-11-23")]
pub(super) struct VerifyStoreArgs {
    /// Configuration that names the data directory; without it ./config.toml if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, or a backup
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

/// The data directory: the one that is named, or the configuration's.
pub(super) fn data_dir(named: Option<&PathBuf>, config: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(directory) => Ok(directory.clone()),
        None => Ok(check_config::load(config.map(PathBuf::as_path))?.data_dir),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no store in {}", .0.display())]
pub(super) struct NoStore(pub(super) PathBuf);

pub(super) fn run(args: &VerifyStoreArgs) -> Done {
    let data_dir = data_dir(args.data_dir.as_ref(), args.config.as_ref())?;
    let store = data_dir.join(STORE_DIRECTORY);
    // Looking must not make one.
    if !store.join("CURRENT").is_file() {
        return Err(NoStore(data_dir).into());
    }
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_message(format!("reading {}", store.display()));
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let mut told = 0;
    let report = verify(&DbOptions::new(&store), &mut |damage| {
        told += 1;
        if told <= TOLD_MAX {
            bar.suspend(|| say(&format!("postrider: {damage}")));
        }
    });
    bar.finish_and_clear();
    let report = match report {
        Err(StoreError::InUse(path)) => {
            let line = format!(
                "an engine runs on {}: stop it, or take a backup and verify that (--data-dir)",
                path.display()
            );
            return Err(Failure::new(line));
        }
        report => report?,
    };
    if report.damages > TOLD_MAX {
        say(&format!("postrider: and {} more", report.damages - TOLD_MAX));
    }
    show(&report, args.json)?;
    Ok(if report.damages == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &Report, json: bool) -> Result<(), Failure> {
    let Report { rows, events, head, floor, damages } = report;
    if json {
        let rows: serde_json::Map<_, _> =
            rows.iter().map(|(family, rows)| (family.as_str().to_owned(), (*rows).into())).collect();
        let document =
            json!({"damages": damages, "events": events, "head": head.0, "floor": floor.0, "rows": rows});
        return Ok(print(&format!("{document}\n"))?);
    }
    let mut table = Table::new(&["family", "rows"]);
    for (family, rows) in rows {
        table.row([family.as_str().to_owned(), rows.to_string()]);
    }
    table.print()?;
    let verdict = match damages {
        0 => "nothing is damaged".to_owned(),
        many => format!("places damaged: {many}"),
    };
    Ok(print(&format!("{events} events up to {}; {verdict}\n", head.0))?)
}
