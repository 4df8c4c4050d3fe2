//! Builds the recording layer and puts it below a process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the layer into `dir`.
pub fn build(dir: &Path) -> PathBuf {
    let library = dir.join("layer.so");
    let done = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/layer.c"))
        .arg("-lpthread")
        .status();
    assert!(done.expect("there is a C compiler").success(), "the layer compiles");
    library
}

/// What a process must have in its environment so that what it does below `root` is recorded.
pub fn environment<'a>(layer: &'a Path, root: &'a Path, record: &'a Path) -> [(&'static str, &'a Path); 3] {
    [("LD_PRELOAD", layer), ("POWER_ROOT", root), ("POWER_RECORD", record)]
}
