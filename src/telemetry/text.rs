//! Metrics written straight into the exposition text.

use std::fmt::Write;

use super::names::{Kind, Metric};

/// Writes one metric's head and the lines that `lines` gives.
pub fn family(out: &mut String, metric: &Metric, lines: impl FnOnce(&mut dyn FnMut(&[(&str, &str)], f64))) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    // Writing to a string does not fail.
    let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
    lines(&mut |labels, value| {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let _ = if labels.is_empty() {
            writeln!(out, "{} {value}", metric.name)
        } else {
            writeln!(out, "{}{{{}}} {value}", metric.name, labels.join(","))
        };
    });
    out.push('\n');
}
