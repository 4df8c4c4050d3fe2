//! The copy of the source that has the faults in it. A file is written only where it differs, so that a
//! second run compiles nothing. The package has another name: to cargo, two of one name and version are the
//! same, wherever they lie, and it would run the one's tests for the other's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::faults::Fault;
use super::schemata::{SWITCH, stale, with_faults};

/// What a build of the core does not need.
const LEFT_OUT: [&str; 4] = ["target", "fuzz", "data", "docs"];

/// Gives the folder of the copy.
pub fn make(faults: &[Fault]) -> PathBuf {
    let stale = stale(faults);
    assert!(stale.is_empty(), "the list is behind the source:\n{}", stale.join("\n"));
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
    let mut kept = BTreeSet::new();
    copy(from, from, &to, faults, &mut kept);
    forget(&to, &kept);
    to
}

fn copy(root: &Path, from: &Path, to: &Path, faults: &[Fault], kept: &mut BTreeSet<PathBuf>) {
    fs::create_dir_all(to).expect("the target directory can be written");
    for entry in fs::read_dir(from).expect("the source is there") {
        let entry = entry.expect("the source can be read");
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        let (path, copied) = (entry.path(), to.join(&name));
        if shown.starts_with('.') || (from == root && LEFT_OUT.contains(&&*shown)) {
            continue;
        }
        kept.insert(copied.clone());
        if path.is_dir() {
            copy(root, &path, &copied, faults, kept);
            continue;
        }
        let mut bytes = fs::read(&path).expect("the source can be read");
        if let Ok(file) = path.strip_prefix(root.join("src"))
            && path.extension().is_some_and(|end| end == "rs")
        {
            let text = String::from_utf8(bytes).expect("source is text");
            let file = file.to_string_lossy();
            let mut text = with_faults(&file, &text, faults);
            if file == "lib.rs" {
                text = text.replacen("\n#[cfg", "\n#![allow(warnings)]\n#[cfg", 1) + SWITCH;
            }
            bytes = text.into_bytes();
        }
        if from == root && (shown == "Cargo.toml" || shown == "Cargo.lock") {
            let mut text = String::from_utf8(bytes).expect("a manifest is text");
            text = text.replacen("name = \"postrider\"", "name = \"postrider-mutants\"", 1);
            if shown == "Cargo.toml" {
                text.push_str("\n[lib]\nname = \"postrider\"\n");
            }
            bytes = text.into_bytes();
        }
        if fs::read(&copied).ok().as_deref() != Some(&bytes) {
            fs::write(&copied, bytes).expect("the target directory can be written");
        }
    }
}

/// What is no longer in the source.
fn forget(folder: &Path, kept: &BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it was just made") {
        let path = entry.expect("it can be read").path();
        if !kept.contains(&path) {
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.expect("the target directory can be written");
        } else if path.is_dir() {
            forget(&path, kept);
        }
    }
}
