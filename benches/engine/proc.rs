//! What the kernel knows of a process: CPU by thread, bytes written, resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Nanoseconds on a CPU, by thread name. Threads of one kind count together.
#[derive(Clone, Default)]
pub struct Cpu(pub BTreeMap<String, u64>);

impl Cpu {
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    pub fn since(&self, before: &Self) -> Self {
        let spent = |(name, ns): (&String, &u64)| {
            (name.clone(), ns.saturating_sub(before.0.get(name).copied().unwrap_or(0)))
        };
        Self(self.0.iter().map(spent).collect())
    }

    pub fn add(&mut self, other: &Self) {
        for (name, ns) in &other.0 {
            *self.0.entry(name.clone()).or_default() += ns;
        }
    }
}

fn on_cpu(task: &Path) -> Option<u64> {
    // Nanoseconds, where /proc/…/stat has hundredths of a second.
    fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}

/// `worker-1` and `rocksdb:low3` count as their kind.
fn kind(name: &str) -> String {
    name.trim().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned()
}

pub fn cpu(pid: u32) -> Cpu {
    let mut cpu = Cpu::default();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let path = task.path();
        // A thread may end while it is looked at.
        let (Ok(name), Some(ns)) = (fs::read_to_string(path.join("comm")), on_cpu(&path)) else { continue };
        *cpu.0.entry(kind(&name)).or_default() += ns;
    }
    cpu
}

/// Nanoseconds of CPU that the calling thread has used.
pub fn thread_cpu() -> u64 {
    on_cpu(Path::new("/proc/thread-self")).unwrap_or(0)
}

fn number(file: &str, label: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Bytes that the process caused to be sent to the disk.
pub fn write_bytes(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/io"), "write_bytes:")
}

pub fn resident_kib(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/status"), "VmRSS:")
}
