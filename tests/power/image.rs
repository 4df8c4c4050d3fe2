//! What a disk may hold after the power went: everything durable, and of what was pending as much as the
//! manner and chance say. The last write is torn at a sector.
//!
//! Time is counted in lines of the record. Each sector has a time up to which it was written: a sector is
//! never half of one write and half of a later one that came to another place in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::disk::{Change, Disk, Node, ROOT, apply, put};
use crate::rng::Rng;

/// What a disk writes all of or nothing.
pub const SECTOR: u64 = 512;

/// How a disk loses what it was not told to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// All of it.
    Lost,
    /// Nothing but the end of the last write: the power went while it was made.
    Torn,
    /// Everything after some moment, in files and names alike.
    Ordered,
    /// As a journal of names does: names after some moment; of each file what came after a moment of its own.
    Journal,
    /// Any names; any sectors of what was overwritten; of what was appended what came after some moment.
    Scattered,
    /// Any names, any sectors; files are as long as they were, with zeros for what was appended and lost.
    /// So do file systems that write a length before its bytes, which few do. RocksDB's manifest is not made
    /// for them: it takes an end that is cut off for unfinished, and one with a hole in it for damage. So of a
    /// manifest what came after some moment is lost, as in [`Manner::Journal`].
    Zeroed,
}

pub const MANNERS: [Manner; 6] =
    [Manner::Lost, Manner::Torn, Manner::Ordered, Manner::Journal, Manner::Scattered, Manner::Zeroed];

/// Directories and files by path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub directories: Vec<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    pub fn of(disk: &Disk<'_>, manner: Manner, rng: &mut Rng) -> Self {
        let mut image = Self::default();
        let limit = match manner {
            Manner::Lost => 0,
            Manner::Ordered => disk.now - rng.below(disk.now.min(400)),
            // A sync makes the journal before it durable.
            Manner::Journal => disk.now - rng.below(disk.now - disk.last_sync),
            Manner::Torn | Manner::Scattered | Manner::Zeroed => disk.now,
        };
        let tear = manner != Manner::Lost;
        image.walk(disk, ROOT, "", &mut Loss { manner, limit, now: disk.now, tear, rng });
        image
    }

    /// The disk as it is while the power is on.
    pub fn whole(disk: &Disk<'_>) -> Self {
        let mut image = Self::default();
        let mut loss = Loss {
            manner: Manner::Torn,
            limit: disk.now,
            now: disk.now,
            tear: false,
            rng: &mut Rng::of(0, 0),
        };
        image.walk(disk, ROOT, "", &mut loss);
        image
    }

    /// What lies in a real directory.
    pub fn read(top: &Path) -> Self {
        Self::whole(&Disk::of(top))
    }

    fn walk(&mut self, disk: &Disk<'_>, node: usize, path: &str, loss: &mut Loss<'_>) {
        match &disk.nodes[node] {
            Node::File { name, durable, pending } => {
                self.files.insert(path.to_owned(), loss.content(name, durable, pending));
            }
            Node::Directory { durable, pending, .. } => {
                if !path.is_empty() {
                    self.directories.push(path.to_owned());
                }
                let mut entries = durable.clone();
                let kept = loss.share();
                for (at, entry) in pending {
                    let keep = match loss.manner {
                        Manner::Scattered | Manner::Zeroed => loss.rng.chance(kept),
                        _ => *at < loss.limit,
                    };
                    if keep {
                        apply(&mut entries, entry);
                    }
                }
                for (name, node) in entries {
                    let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                    self.walk(disk, node, &path, loss);
                }
            }
        }
    }

    /// Makes it stand below `top`.
    pub fn write(&self, top: &Path) {
        for directory in &self.directories {
            fs::create_dir(top.join(directory)).unwrap();
        }
        for (path, bytes) in &self.files {
            fs::write(top.join(path), bytes).unwrap();
        }
    }
}

struct Loss<'a> {
    manner: Manner,
    /// Lines below it are kept, where it counts.
    limit: usize,
    now: usize,
    /// Whether the last write that is kept is torn.
    tear: bool,
    rng: &'a mut Rng,
}

impl Loss<'_> {
    fn share(&mut self) -> usize {
        [0, 25, 50, 75, 100][self.rng.below(5)]
    }

    fn content(&mut self, name: &str, durable: &[u8], pending: &[(usize, Change<'_>)]) -> Vec<u8> {
        let manner = match self.manner {
            Manner::Zeroed if name.starts_with("MANIFEST") => Manner::Journal,
            manner => manner,
        };
        let mut content = durable.to_vec();
        let mut len = durable.len();
        // Up to when appends and lengths are kept.
        let limit = match manner {
            Manner::Lost | Manner::Torn | Manner::Ordered => self.limit,
            Manner::Zeroed => self.now,
            Manner::Journal | Manner::Scattered => match self.rng.below(4) {
                0 => 0,
                1 => self.now,
                _ => pending.get(self.rng.below(pending.len())).map_or(0, |(at, _)| at + 1),
            },
        };
        let (seed, share) = (self.rng.next(), self.share());
        // A sector that was overwritten is as it was at some time.
        let time_of = |sector: u64| {
            let overwritten = (sector + 1) * SECTOR <= durable.len() as u64;
            if !(manner == Manner::Scattered && overwritten || manner == Manner::Zeroed) {
                return limit;
            }
            let mut rng = Rng::of(seed, sector);
            if !rng.chance(share) {
                return 0;
            }
            pending.get(rng.below(pending.len() * 2)).map_or(self.now, |(at, _)| at + 1)
        };
        for (at, change) in pending {
            match change {
                Change::Size(size) if *at < limit => {
                    len = *size as usize;
                    content.resize(len, 0);
                }
                Change::Size(_) => {}
                Change::Write { at: from, bytes } => {
                    let end = from + bytes.len() as u64;
                    len = len.max(end as usize);
                    let torn = self.tear && *at + 1 == limit && self.now > 0;
                    let sectors = from / SECTOR..end.div_ceil(SECTOR);
                    // Sectors of a torn write that are there; all of them is one of the possibilities.
                    let there = if torn {
                        sectors.start + self.rng.below((sectors.end - sectors.start) as usize + 1) as u64
                    } else {
                        sectors.end
                    };
                    for sector in sectors {
                        if sector < there && *at < time_of(sector) {
                            let (low, high) =
                                ((sector * SECTOR).max(*from), ((sector + 1) * SECTOR).min(end));
                            put(&mut content, low, &bytes[(low - from) as usize..(high - from) as usize]);
                        }
                    }
                }
            }
        }
        if manner == Manner::Zeroed {
            content.resize(len, 0);
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Lie;
    use crate::record::Line;

    fn disk<'r>(lines: &[Line<'r>], lie: Lie) -> Disk<'r> {
        let empty = tempfile::tempdir().unwrap();
        let mut disk = Disk::of(empty.path()).lying(lie);
        for line in lines {
            disk.take(line);
        }
        disk
    }

    fn held(disk: &Disk<'_>, manner: Manner, seed: u64) -> Vec<(String, Vec<u8>)> {
        Image::of(disk, manner, &mut Rng::of(seed, 0)).files.into_iter().collect()
    }

    const NEW: [Line<'static>; 6] = [
        Line::Created { inode: 7, path: "a" },
        Line::Written { inode: 7, at: 0, bytes: &[1; 2000] },
        Line::SyncBegan { serial: 1 },
        // Not covered by a sync that began before it.
        Line::Written { inode: 7, at: 2000, bytes: &[2; 2000] },
        Line::SyncEnded { inode: 7, serial: 1 },
        Line::Renamed { from: "a", to: "b" },
    ];
    const NAMED: [Line<'static>; 2] =
        [Line::SyncBegan { serial: 2 }, Line::SyncEnded { inode: 0, serial: 2 }];

    #[test]
    fn a_name_is_lost_until_its_directory_is_synced() {
        let unnamed = disk(&NEW, Lie::None);
        assert_eq!(held(&unnamed, Manner::Lost, 1), []);
        let named =
            disk(&[NEW, NEW].concat()[..6].iter().chain(&NAMED).copied().collect::<Vec<_>>(), Lie::None);
        assert_eq!(held(&named, Manner::Lost, 1), [("b".to_owned(), vec![1; 2000])]);
        let liar = disk(&NEW.iter().chain(&NAMED).copied().collect::<Vec<_>>(), Lie::Directories);
        assert_eq!(held(&liar, Manner::Lost, 1), []);
        assert_eq!(Image::whole(&unnamed).files["b"].len(), 4000);
    }

    #[test]
    fn the_last_write_is_torn_at_a_sector() {
        let lines: Vec<_> = NEW[..4].to_vec();
        let disk = disk(&lines, Lie::None);
        let mut lengths: Vec<usize> =
            (0..200).map(|seed| held(&disk, Manner::Torn, seed)[0].1.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(lengths, [2000, 2048, 2560, 3072, 3584, 4000]);
    }

    #[test]
    fn what_is_synced_is_in_every_image() {
        let lines: Vec<_> = NEW.iter().chain(&NAMED).copied().collect();
        let disk = disk(&lines, Lie::None);
        for manner in MANNERS {
            for seed in 0..50 {
                let files = held(&disk, manner, seed);
                assert_eq!((files[0].0.as_str(), &files[0].1[..2000]), ("b", &[1; 2000][..]), "{manner:?}");
            }
        }
    }

    #[test]
    fn overwritten_sectors_are_old_or_new() {
        let lines = [
            Line::Created { inode: 7, path: "a" },
            Line::Written { inode: 7, at: 0, bytes: &[1; 4096] },
            Line::SyncBegan { serial: 1 },
            Line::SyncEnded { inode: 7, serial: 1 },
            Line::SyncBegan { serial: 2 },
            Line::SyncEnded { inode: 0, serial: 2 },
            Line::Written { inode: 7, at: 0, bytes: &[2; 4096] },
        ];
        let disk = disk(&lines, Lie::None);
        let mut mixed = 0;
        for seed in 0..100 {
            let files = held(&disk, Manner::Scattered, seed);
            let sectors: Vec<_> = files[0].1.chunks(512).collect();
            assert!(sectors.iter().all(|sector| *sector == [1; 512] || *sector == [2; 512]));
            mixed += usize::from(sectors.windows(2).any(|pair| pair[0] != pair[1]));
        }
        assert!(mixed > 10, "{mixed}");
    }
}
