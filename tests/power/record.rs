//! What the recording layer has written down, line by line, and facts among it: what the load was told,
//! at the moment when it was told.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before a line's text: length, kind, two numbers, the text's length.
const HEAD: usize = 25;

/// A piece of the record.
#[derive(Clone, Copy, Debug)]
pub enum Line<'r> {
    Created {
        inode: u64,
        path: &'r str,
    },
    Directory {
        inode: u64,
        path: &'r str,
    },
    Written {
        inode: u64,
        at: u64,
        bytes: &'r [u8],
    },
    Resized {
        inode: u64,
        size: u64,
    },
    /// What was written before this is durable once [`Line::SyncEnded`] of the same serial is there.
    SyncBegan {
        serial: u64,
    },
    SyncEnded {
        inode: u64,
        serial: u64,
    },
    Renamed {
        from: &'r str,
        to: &'r str,
    },
    Linked {
        from: &'r str,
        to: &'r str,
    },
    Removed {
        path: &'r str,
    },
    /// A [`Fact`](crate::facts::Fact), as JSON.
    Fact {
        json: &'r [u8],
    },
}

/// The bytes of a record; lines borrow from it.
pub struct Record(Vec<u8>);

impl Record {
    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).expect("the record can be read"))
    }

    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut rest = self.0.as_slice();
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let len = number::<4>(rest, 0) as usize + 4;
            let (line, after) = rest.split_at(len);
            lines.push(parse(line));
            rest = after;
        }
        lines
    }
}

fn number<const N: usize>(line: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&line[at..at + N]);
    u64::from_le_bytes(bytes)
}

fn parse(line: &[u8]) -> Line<'_> {
    let (inode, other) = (number::<8>(line, 5), number::<8>(line, 13));
    let (text, bytes) = line[HEAD..].split_at(number::<4>(line, 21) as usize);
    let text = std::str::from_utf8(text).expect("a name that can be read");
    let second = || std::str::from_utf8(bytes).expect("a name that can be read");
    match line[4] {
        b'c' => Line::Created { inode, path: text },
        b'm' => Line::Directory { inode, path: text },
        b'w' => Line::Written { inode, at: other, bytes },
        b't' => Line::Resized { inode, size: other },
        b'b' => Line::SyncBegan { serial: other },
        b'e' => Line::SyncEnded { inode, serial: other },
        b'r' => Line::Renamed { from: text, to: second() },
        b'l' => Line::Linked { from: text, to: second() },
        b'u' => Line::Removed { path: text },
        b'f' => Line::Fact { json: bytes },
        kind => panic!("a line of kind {kind}"),
    }
}

/// Where facts are written: each is one append, so it falls between the layer's lines and not into one.
#[derive(Clone)]
pub struct Notes(Arc<File>);

impl Notes {
    pub fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(Arc::new(file.expect("the record can be written")))
    }

    pub fn note(&self, fact: &impl Serialize) {
        let json = serde_json::to_vec(fact).expect("a fact becomes JSON");
        let mut line = Vec::with_capacity(HEAD + json.len());
        line.extend_from_slice(&u32::try_from(HEAD - 4 + json.len()).expect("short").to_le_bytes());
        line.push(b'f');
        line.extend_from_slice(&[0; 20]);
        line.extend_from_slice(&json);
        (&*self.0).write_all(&line).expect("the record can be written");
    }
}

pub fn fact<T: DeserializeOwned>(json: &[u8]) -> T {
    serde_json::from_slice(json).expect("a fact")
}
