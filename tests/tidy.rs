//! The lines of the architecture, held by a test: who may import whom, and who may know what.
//!
//! It reads the source as text, so it runs without the engine and says what is wrong by file and line.
//! Code of tests is left out where it says so: tests may look at a clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is what they are for")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file at most: what one can hold in the head, and a little room.
const LINES_MAX: usize = 500;

/// Modules from the bottom up. A module may import those on lower lines, not its neighbours or others.
const LAYERS: [&[&str]; 9] = [
    &["model"],
    &["config", "recover", "route", "rt", "settle"],
    &["schedule", "telemetry"],
    &["registry", "send"],
    &["log"],
    &["admin", "ingest", "worker"],
    &["server"],
    &["cli"],
    &["main"],
];

/// What is narrower than the layers: the module, and who alone may import it.
const ONLY_FOR: [(&str, &[&str]); 4] = [
    ("config", &["server", "cli"]),
    // Everything that decides is told the time.
    ("rt", &["admin", "cli", "log", "server", "telemetry", "worker"]),
    ("schedule", &["log", "server", "worker"]),
    ("telemetry", &["admin", "server"]),
];

/// Words, and the places that alone may use them in code that is not a test.
const KNOWN_TO: [(&str, &str); 5] = [
    ("rocksdb", "src/log/db.rs"),
    ("Instant::now", "src/rt/"),
    ("SystemTime::now", "src/rt/"),
    ("getrandom", "src/rt/"),
    ("unsafe", "nowhere"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// `src/log/db.rs` → `log`.
    fn module(&self) -> String {
        let part = self.path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        part.unwrap_or_default().trim_end_matches(".rs").to_owned()
    }

    /// Lines of code by number, without comments, up to the tests in the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let in_tests = |at: &usize| {
            is_for_tests(lines[*at])
                && lines.get(at + 1).is_some_and(|next| next.trim_end().ends_with("mod tests {"))
        };
        let end = (0..lines.len()).find(in_tests).unwrap_or(lines.len());
        lines
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn is_for_tests(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test")
}

fn read(folder: &str, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read(&path, sources);
        } else if Path::new(&path).extension().is_some_and(|end| end == "rs") {
            sources.push(Source { text: fs::read_to_string(entry.path()).unwrap(), path: path.into() });
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in folders {
        read(folder, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 10, "the source is not where it should be");
    sources
}

/// Files and folders that are compiled for tests only: declared by `mod name;` under `cfg(test)`.
fn test_files(sources: &[Source]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in sources {
        let folder = source.path.parent().unwrap();
        let own = source.path.with_extension("");
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_for_tests(line)) {
            let mut below = lines[at + 1..].iter().map(|line| line.trim());
            let mut declared = below.next().unwrap_or_default();
            let mut name = None;
            while declared.starts_with("#[") {
                name = declared
                    .strip_prefix("#[path = \"")
                    .and_then(|rest| rest.strip_suffix(".rs\"]"))
                    .or(name);
                declared = below.next().unwrap_or_default();
            }
            let module =
                declared.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            let Some(module) = module.and_then(|rest| rest.strip_suffix(';')) else { continue };
            let name = name.unwrap_or(module);
            for base in [folder, &own] {
                found.insert(base.join(name));
            }
        }
    }
    found
}

/// The engine's own code: no file that is for tests only.
fn engine() -> Vec<Source> {
    let mut all = sources(&["src"]);
    let tests = test_files(&all);
    all.retain(|source| !source.path.ancestors().any(|path| tests.contains(&path.with_extension(""))));
    all
}

/// The modules of this crate that a line names after `crate::`, one or several in braces.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        // `$crate` in a macro is as good; `mycrate::` is another.
        if line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
        let end = if rest.starts_with('{') { usize::MAX } else { 1 };
        let first = |part: &'_ str| {
            part.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::len)
        };
        for part in list.split(',').take(end) {
            let part = part.trim();
            found.push(&part[..first(part).unwrap_or(0)]);
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn check(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn modules_import_downwards() {
    let mut wrong = Vec::new();
    for source in engine() {
        let module = source.module();
        if module == "lib" {
            continue;
        }
        let Some(own) = layer(&module) else {
            wrong.push(format!("{}: the module {module} has no place in tests/tidy.rs", source.name()));
            continue;
        };
        for (number, line) in source.code() {
            for other in imports(line).into_iter().filter(|other| *other != module) {
                let Some(below) = layer(other) else { continue };
                let narrow = ONLY_FOR.iter().find(|(of, _)| *of == other);
                if below >= own || narrow.is_some_and(|(_, allowed)| !allowed.contains(&module.as_str())) {
                    wrong.push(format!("{}:{number}: {module} imports {other}", source.name()));
                }
            }
        }
    }
    check("imports go one way (ARCHITECTURE.md)", &wrong);
}

#[test]
fn some_things_have_one_place() {
    let mut wrong = Vec::new();
    for source in engine() {
        for (number, line) in source.code() {
            for (word, place) in KNOWN_TO {
                let is_path = |at: usize| {
                    let around = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    !around(line[..at].chars().next_back()) && !around(line[at + word.len()..].chars().next())
                };
                if line.match_indices(word).any(|(at, _)| is_path(at)) && !source.name().starts_with(place) {
                    wrong.push(format!("{}:{number}: {word} is for {place}", source.name()));
                }
            }
        }
    }
    check("who may know what", &wrong);
}

#[test]
fn files_open_with_what_they_are_and_end_in_time() {
    let mut wrong = Vec::new();
    for source in sources(&["src", "tests", "benches", "fuzz"]) {
        if !source.text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", source.name()));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, more than {LINES_MAX}", source.name()));
        }
    }
    check("files", &wrong);
}

/// What SECURITY.md says is held by a test, and the test is there.
#[test]
fn what_is_promised_is_tested() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let code = sources(&["src", "tests"]);
    let is_test = |name: &&str| {
        name.matches('_').count() >= 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 40, "few tests are named: {named:?}");
    let missing = |name: &&str| !code.iter().any(|source| source.text.contains(&format!("fn {name}(")));
    let wrong: Vec<String> = named.into_iter().filter(missing).map(str::to_owned).collect();
    check("tests that SECURITY.md names and that are not there", &wrong);
}

#[test]
fn nothing_is_left_undone() {
    // Put together, so that this file does not name them.
    let undone = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    let notes = ["TODO", "FIXME", "XXX", "HACK"];
    let mut wrong = Vec::new();
    for source in
        sources(&["src", "tests", "benches"]).iter().filter(|source| !source.path.ends_with("tidy.rs"))
    {
        for (number, line) in source.text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let comment = line.find("//").map_or("", |at| &line[at..]);
            if undone.iter().any(|word| line.contains(word.as_str()))
                || notes
                    .iter()
                    .any(|note| comment.split(|c: char| !c.is_alphanumeric()).any(|word| word == *note))
                || line.trim() == "#[ignore]"
            {
                wrong.push(format!("{}:{number}: {}", source.name(), line.trim()));
            }
        }
    }
    check("unfinished, or ignored without a reason", &wrong);
}

#[test]
fn reads_imports() {
    let check = |line: &str, want: &[&str]| assert_eq!(imports(line), want, "{line}");
    check("use crate::model::Seq;", &["model"]);
    check("use crate::{log, rt::clock};", &["log", "rt"]);
    check("    let x: crate::log::X = $crate::rt::y();", &["log", "rt"]);
    check("use mycrate::model;", &[]);
    check("use super::model;", &[]);
}
