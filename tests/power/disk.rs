//! A disk and what it still owes: which bytes and which names a power cut could not take any more, and the
//! changes that it could. Pure: lines of a record in, the state after them out.
//!
//! The model is the strict reading of POSIX, as ALICE and CrashMonkey take it: syncing a file makes its bytes
//! and its length durable, but not its name; a name is durable once its directory was synced. A file system
//! that does more than it must is one of the manners of [`crate::image`].
//!
//! One thing is taken for granted that POSIX does not promise, and every file system with a journal does: a file
//! whose bytes are durable is as short as it was made once anything was synced after that. RocksDB relies on it. A
//! log file that it uses again is longer than what is in it until it is closed; where the newest one that is not
//! empty still has its old end after a power cut, RocksDB takes that end for damage and the store does not open,
//! though nothing is lost (`Column family inconsistency`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::record::Line;

/// The directory at the top.
pub const ROOT: usize = 0;

/// What the disk says was synced and was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Write-ahead logs.
    Logs,
    /// Names.
    Directories,
}

#[derive(Clone, Debug)]
pub enum Change<'r> {
    Write { at: u64, bytes: &'r [u8] },
    Size(u64),
}

#[derive(Clone, Debug)]
pub enum Entry<'r> {
    Put {
        name: &'r str,
        node: usize,
    },
    Remove {
        name: &'r str,
    },
    /// Atomic, as every file system with a journal has it.
    Move {
        from: &'r str,
        to: &'r str,
        node: usize,
    },
}

/// Pending changes are in order, each with the number of its line.
#[derive(Clone, Debug)]
pub enum Node<'r> {
    File {
        /// The name it was made with.
        name: String,
        durable: Vec<u8>,
        pending: Vec<(usize, Change<'r>)>,
    },
    Directory {
        durable: BTreeMap<String, usize>,
        pending: Vec<(usize, Entry<'r>)>,
        /// With all that is pending.
        present: BTreeMap<String, usize>,
    },
}

impl Node<'_> {
    fn file(name: &str, durable: Vec<u8>) -> Self {
        Self::File { name: name.to_owned(), durable, pending: Vec::new() }
    }

    fn directory(entries: BTreeMap<String, usize>) -> Self {
        Self::Directory { durable: entries.clone(), pending: Vec::new(), present: entries }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Disk<'r> {
    pub nodes: Vec<Node<'r>>,
    /// Lines taken.
    pub now: usize,
    /// The line with which the last sync ended.
    pub last_sync: usize,
    by_inode: HashMap<u64, usize>,
    /// Syncs under way: at which line they began.
    began: HashMap<u64, usize>,
    lie: Lie,
}

/// Of a path, the directory above it and its name there.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl<'r> Disk<'r> {
    /// What lies in `top`, all of it durable.
    pub fn of(top: &Path) -> Self {
        let mut disk = Self {
            nodes: vec![Node::directory(BTreeMap::new())],
            now: 0,
            last_sync: 0,
            by_inode: [(0, ROOT)].into(),
            began: HashMap::new(),
            lie: Lie::None,
        };
        let entries = disk.load(top);
        disk.nodes[ROOT] = Node::directory(entries);
        disk
    }

    pub fn lying(self, lie: Lie) -> Self {
        Self { lie, ..self }
    }

    fn load(&mut self, from: &Path) -> BTreeMap<String, usize> {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (name, about) = (entry.file_name().into_string().unwrap(), entry.metadata().unwrap());
            let node = if about.is_dir() {
                Node::directory(self.load(&entry.path()))
            } else if about.is_file() && !name.starts_with("LOG") {
                Node::file(&name, fs::read(entry.path()).unwrap())
            } else {
                continue;
            };
            entries.insert(name, self.add(about.ino(), node));
        }
        entries
    }

    fn add(&mut self, inode: u64, node: Node<'r>) -> usize {
        self.nodes.push(node);
        // A number that was freed is given again: whoever had it is not written to any more.
        self.by_inode.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// The directory at `path`, as it is with all that is pending.
    fn walk(&self, path: &str) -> usize {
        let step = |node: usize, name: &str| match &self.nodes[node] {
            Node::Directory { present, .. } => present[name],
            Node::File { .. } => panic!("{path} leads through a file"),
        };
        path.split('/').filter(|name| !name.is_empty()).fold(ROOT, step)
    }

    fn entry(&mut self, directory: usize, entry: Entry<'r>) {
        let at = self.now;
        let Node::Directory { pending, present, .. } = &mut self.nodes[directory] else {
            panic!("a name in a file")
        };
        apply(present, &entry);
        pending.push((at, entry));
    }

    fn look(&self, path: &str) -> Option<(usize, usize)> {
        let (above, name) = split(path);
        let above = self.walk(above);
        let Node::Directory { present, .. } = &self.nodes[above] else { return None };
        present.get(name).map(|node| (above, *node))
    }

    pub fn take(&mut self, line: &Line<'r>) {
        match *line {
            Line::Created { inode, path } => {
                let (above, name) = split(path);
                let node = self.add(inode, Node::file(name, Vec::new()));
                self.entry(self.walk(above), Entry::Put { name, node });
            }
            Line::Directory { inode, path } => {
                let (above, name) = split(path);
                let node = self.add(inode, Node::directory(BTreeMap::new()));
                self.entry(self.walk(above), Entry::Put { name, node });
            }
            Line::Written { inode, at, bytes } => self.change(inode, Change::Write { at, bytes }),
            Line::Resized { inode, size } => self.change(inode, Change::Size(size)),
            Line::SyncBegan { serial } => {
                self.began.insert(serial, self.now);
            }
            Line::SyncEnded { inode, serial } => {
                let began = self.began.remove(&serial).expect("a sync begins before it ends");
                self.synced(self.by_inode[&inode], began);
                self.lengths(began);
                self.last_sync = self.now;
            }
            Line::Renamed { from, to } => {
                let ((above, name), (_, node)) = (split(to), self.look(from).expect("is there"));
                assert_eq!(split(from).0, above, "from one directory into another is not modelled");
                self.entry(self.walk(above), Entry::Move { from: split(from).1, to: name, node });
            }
            Line::Linked { from, to } => {
                let ((above, name), (_, node)) = (split(to), self.look(from).expect("is there"));
                self.entry(self.walk(above), Entry::Put { name, node });
            }
            Line::Removed { path } => {
                // Sockets and the text log are not followed.
                if let Some((above, _)) = self.look(path) {
                    self.entry(above, Entry::Remove { name: split(path).1 });
                }
            }
            Line::Fact { .. } => {}
        }
        self.now += 1;
    }

    fn change(&mut self, inode: u64, change: Change<'r>) {
        let Node::File { pending, .. } = &mut self.nodes[self.by_inode[&inode]] else {
            panic!("bytes in a directory")
        };
        pending.push((self.now, change));
    }

    /// Lengths that were set before `began`, of files of which nothing else is pending before them.
    fn lengths(&mut self, began: usize) {
        for node in &mut self.nodes {
            let Node::File { durable, pending, .. } = node else { continue };
            while let Some((at, Change::Size(size))) = pending.first()
                && *at < began
                && *size as usize <= durable.len()
            {
                durable.truncate(*size as usize);
                pending.remove(0);
            }
        }
    }

    fn synced(&mut self, node: usize, began: usize) {
        match &mut self.nodes[node] {
            Node::File { name, .. } if self.lie == Lie::Logs && name.ends_with(".log") => {}
            Node::File { durable, pending, .. } => {
                let done = pending.partition_point(|(at, _)| *at < began);
                for (_, change) in pending.drain(..done) {
                    match change {
                        Change::Write { at, bytes } => put(durable, at, bytes),
                        Change::Size(size) => durable.resize(size as usize, 0),
                    }
                }
            }
            Node::Directory { .. } if self.lie == Lie::Directories => {}
            Node::Directory { durable, pending, .. } => {
                let done = pending.partition_point(|(at, _)| *at < began);
                pending.drain(..done).for_each(|(_, entry)| apply(durable, &entry));
            }
        }
    }
}

/// Writes, and fills what lies between with zeros.
pub fn put(into: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (at, end) = (at as usize, at as usize + bytes.len());
    if into.len() < end {
        into.resize(end, 0);
    }
    into[at..end].copy_from_slice(bytes);
}

pub fn apply(entries: &mut BTreeMap<String, usize>, entry: &Entry<'_>) {
    match entry {
        Entry::Put { name, node } => {
            entries.insert((*name).to_owned(), *node);
        }
        Entry::Remove { name } => {
            entries.remove(*name);
        }
        Entry::Move { from, to, node } => {
            // Another file may have that name by now, where changes before this one are left out.
            if entries.get(*from) == Some(node) {
                entries.remove(*from);
            }
            entries.insert((*to).to_owned(), *node);
        }
    }
}
