//! `postrider serve`: runs the engine until it is told to stop.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Done, Failure, check_config, say};
use crate::server;

/// How logs are filtered where `POSTRIDER_LOG` says nothing.
const LOG_DEFAULT: &str = "info";

/// Logs go to stderr, in JSON where `POSTRIDER_LOG_FORMAT=json`; `POSTRIDER_LOG` filters them.
pub(super) fn start_logging(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("POSTRIDER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first one's logs.
    let _ = if std::env::var("POSTRIDER_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().try_init()
    } else {
        logs.try_init()
    };
}

pub(super) fn run(config: Option<&Path>) -> Done {
    let config = check_config::load(config)?;
    start_logging(LOG_DEFAULT);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = server::start(&config)?;
    say(&format!(
        "postrider {} is ready: events at {}, admin at http://{}",
        env!("CARGO_PKG_VERSION"),
        server.socket().display(),
        server.admin_address()
    ));
    if let Some(file) = server.token().file() {
        tracing::info!(file = %file.display(), "the operator's token is in this file");
    }
    if let Some(file) = server.made_key_file() {
        tracing::info!(file = %file.display(), "made the key file: keep a copy of it apart from backups");
    }
    let handle = signals.handle();
    // A thread that has died by a fault takes the process with it: better restarted than half alive.
    let fault = std::thread::scope(|scope| {
        let watched = &server;
        let watcher = scope.spawn(move || {
            while !handle.is_closed() {
                if !watched.is_running() {
                    handle.close();
                    return true;
                }
                std::thread::park_timeout(std::time::Duration::from_millis(500));
            }
            false
        });
        let _signal = signals.forever().next();
        signals.handle().close();
        watcher.thread().unpark();
        watcher.join().unwrap_or(true)
    });
    if fault {
        tracing::error!("a part of the engine has ended by a fault: stopping");
    }
    let clean = server.stop();
    if fault || !clean {
        return Err(Failure::new("stopped, but not everything could be written; nothing accepted is lost"));
    }
    Ok(ExitCode::SUCCESS)
}
