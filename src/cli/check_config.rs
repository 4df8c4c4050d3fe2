//! `postrider check-config`, and how every command comes by the configuration.
//!
//! It also reads the files that the configuration names, which only a start needs; other commands do not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Done, Failure, in_one_line, print};
use crate::config::Config;
use crate::server;

/// What is read where no file is named and this one is there.
const DEFAULT_FILE: &str = "config.toml";

#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

/// The configuration from `file` and the environment; without `file` from ./config.toml if it is there.
///
/// # Errors
/// A line for everything that is wrong.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let (path, text) = match file {
        Some(path) => (Some(path), read(path)?),
        None => match fs::read_to_string(DEFAULT_FILE) {
            Ok(text) => (Some(Path::new(DEFAULT_FILE)), text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, String::new()),
            Err(source) => return Err(Unreadable { path: DEFAULT_FILE.into(), source }.into()),
        },
    };
    Config::load(path, &text, environment())
        .map_err(|errors| Failure::lines(errors.iter().map(ToString::to_string)))
}

fn read(path: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

/// Variables whose name or value is not Unicode cannot be ours: no key and no value has such.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

pub(super) fn run(file: Option<&Path>) -> Done {
    let config = load(file)?;
    let wrong = server::check_files(&config);
    if !wrong.is_empty() {
        return Err(Failure::lines(wrong.iter().map(|error| in_one_line(error))));
    }
    print(&config.to_toml())?;
    Ok(ExitCode::SUCCESS)
}
