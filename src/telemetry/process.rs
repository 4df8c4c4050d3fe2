//! The conventional `process_*` metrics, read from /proc at each scrape.
//!
//! What cannot be read is left out: half an answer is better than none at 3 a.m.

use std::fs;

use super::names::{
    Metric, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS,
    PROCESS_VIRTUAL,
};
use super::text;

/// What `/proc/self/stat` says, in its own units.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// proc_pid_stat(5). The second field is the program's name, which may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // The first of `fields` is the third in the manual's numbering.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

fn parse_max_fds(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float; 2^53 bytes and ticks are out of reach")]
pub fn write(out: &mut String) {
    let mut gauge = |metric: &Metric, value: Option<f64>| {
        if let Some(value) = value {
            text::family(out, metric, |line| line(&[], value));
        }
    };
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let boot = fs::read_to_string("/proc/stat").ok().as_deref().and_then(parse_boot_time);
        gauge(&PROCESS_CPU, Some(stat.cpu_ticks as f64 / ticks));
        gauge(&PROCESS_RESIDENT, Some(stat.resident_pages as f64 * rustix::param::page_size() as f64));
        gauge(&PROCESS_VIRTUAL, Some(stat.virtual_bytes as f64));
        gauge(&PROCESS_START, boot.map(|boot| boot + stat.start_ticks as f64 / ticks));
        gauge(&PROCESS_THREADS, Some(stat.threads as f64));
    }
    gauge(&PROCESS_OPEN_FDS, fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64));
    gauge(&PROCESS_MAX_FDS, fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(parse_max_fds));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let line =
            "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20 0 5 0 777 4096000 250 18446744073709551615";
        let want = Stat {
            cpu_ticks: 123,
            threads: 5,
            start_ticks: 777,
            virtual_bytes: 4_096_000,
            resident_pages: 250,
        };
        assert_eq!(parse_stat(line), Some(want));
        assert_eq!(parse_stat("12 (x) S 1"), None);
        assert_eq!(parse_stat(""), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(parse_max_fds(limits), Some(1024.0));
        assert_eq!(parse_boot_time("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
