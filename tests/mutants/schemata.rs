//! Writes faults into source text: each as a choice between what stands there and what is wrong.

use super::faults::{Change, Fault};

/// What the copy's `lib.rs` gets, for the choices to ask.
pub const SWITCH: &str = "
/// Whether this fault is switched on: `MUTANT` in the environment names one at most.
pub(crate) fn mutant(number: u32) -> bool {
    static ON: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var(\"MUTANT\").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    });
    *ON == number
}
";

/// The text that stands in the place of a fault's snippet.
fn choice(number: usize, fault: &Fault) -> String {
    let on = format!("crate::mutant({number})");
    match fault.change {
        Change::Expression(to) => format!("(if {on} {{ {to} }} else {{ {} }})", fault.from),
        Change::Statement(to) => format!("if {on} {{ {to} }} else {{ {} }}", fault.from),
        Change::Text(to) => to.replace("FAULT", &on),
    }
}

fn source(fault: &Fault) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(fault.file);
    std::fs::read_to_string(&path).unwrap_or_default()
}

/// Entries whose snippet is not in its file exactly once.
pub fn stale(faults: &[Fault]) -> Vec<String> {
    let places = |fault: &Fault| source(fault).matches(fault.from).count();
    let wrong = faults.iter().map(|fault| (fault, places(fault))).filter(|(_, places)| *places != 1);
    wrong
        .map(|(fault, places)| {
            format!("  {}: src/{} has its snippet {places} times: {:?}", fault.name, fault.file, fault.from)
        })
        .collect()
}

/// Another number for other source.
pub fn digest(faults: &[Fault]) -> usize {
    let all: Vec<String> = faults.iter().map(source).collect();
    usize::try_from(crc32fast::hash(all.concat().as_bytes())).unwrap_or(0)
}

/// Panics where two faults want the same place.
pub fn check_overlaps(faults: &[Fault]) {
    for fault in faults {
        with_faults(fault.file, &source(fault), faults);
    }
}

/// The text of `file` with all faults that are in it.
pub fn with_faults(file: &str, text: &str, faults: &[Fault]) -> String {
    let mut places: Vec<_> = (1..)
        .zip(faults)
        .filter(|(_, fault)| fault.file == file)
        .map(|(number, fault)| {
            let at = text.find(fault.from).unwrap_or_else(|| panic!("{}: no such snippet", fault.name));
            (at, number, fault)
        })
        .collect();
    places.sort_by_key(|(at, ..)| *at);
    let (mut out, mut end) = (String::new(), 0);
    for (at, number, fault) in places {
        assert!(at >= end, "{}: its snippet overlaps with another's in src/{file}", fault.name);
        out.push_str(&text[end..at]);
        out.push_str(&choice(number, fault));
        end = at + fault.from.len();
    }
    out.push_str(&text[end..]);
    out
}
