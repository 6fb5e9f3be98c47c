//! The tree that a mount shows, as values: from snapshots to names and inodes, no FUSE in it.
//!
//! ```text
//! volumes/VOLUME/SNAPSHOT/disk.raw        the disk, read-only
//! volumes/VOLUME/SNAPSHOT/info.json       what is known of the snapshot
//! volumes/VOLUME/latest                   -> SNAPSHOT, the newest
//! volumes/VOLUME/by-time/TIME             -> ../SNAPSHOT
//! by-id/SNAPSHOT-ID                       -> ../volumes/VOLUME/SNAPSHOT
//! ```
//!
//! A [`Tree`] never changes; a new list of snapshots makes a new one. An object keeps its inode for
//! as long as it is listed, and no inode is ever given to another object ([`Serials`]). Names are
//! made safe and unique by [`names`]; the oldest of several keeps the plain name, so that a new
//! snapshot never changes the path of an old one.

mod names;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

/// One snapshot and the volume it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The snapshot.
    pub(crate) id: Uuid,
    /// Its name; may be empty.
    pub(crate) name: String,
    /// The volume it was taken of.
    pub(crate) volume_id: Uuid,
    /// That volume's name; may be empty.
    pub(crate) volume_name: String,
    /// The project that owns both.
    pub(crate) project_id: String,
    /// Size of the disk.
    pub(crate) size_bytes: u64,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
}

/// A volume and its snapshots, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeRecord {
    /// The volume.
    pub(crate) id: Uuid,
    /// Its name; may be empty.
    pub(crate) name: String,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Its snapshots.
    pub(crate) snapshots: Vec<Record>,
}

/// Inode numbers handed out so far. A serial has [`KINDS`] inodes.
#[derive(Debug, Default)]
pub(crate) struct Serials {
    last: u64,
    known: HashMap<(Sort, Uuid), u64>,
}

/// Ids of volumes and of snapshots are names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Volume,
    Snapshot,
}

/// Name of a node, as FUSE uses it.
pub(crate) type Ino = u64;

/// The root, as FUSE wants it.
pub(crate) const ROOT: Ino = 1;
const VOLUMES: Ino = 2;
const BY_ID: Ino = 3;

/// Inodes of one serial number; a power of two above every kind below.
const KINDS: u64 = 8;
/// Kinds of a volume's nodes.
const VOLUME_DIR: u64 = 0;
const LATEST: u64 = 1;
const BY_TIME: u64 = 2;
/// Kinds of a snapshot's nodes.
const SNAPSHOT_DIR: u64 = 0;
const DISK: u64 = 3;
const INFO: u64 = 4;
const TIME_LINK: u64 = 5;
const ID_LINK: u64 = 6;

const LATEST_NAME: &str = "latest";
const BY_TIME_NAME: &str = "by-time";

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A folder; the time is that of the newest thing in it.
    Dir {
        /// Microseconds since 1970.
        changed_us: u64,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
        /// Microseconds since 1970.
        changed_us: u64,
    },
    /// A disk image.
    Disk(Arc<Record>),
    /// Its description.
    Info(Arc<Record>),
}

/// Kind of a folder's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A folder.
    Dir,
    /// A file.
    File,
    /// A symbolic link.
    Link,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name.
    pub(crate) name: String,
    /// What it names.
    pub(crate) ino: Ino,
    /// What that is.
    pub(crate) kind: EntryKind,
}

#[derive(Debug)]
struct SnapshotNode {
    serial: u64,
    name: String,
    volume: usize,
    record: Arc<Record>,
}

#[derive(Debug)]
struct VolumeNode {
    serial: u64,
    name: String,
    created_us: u64,
    newest: Option<usize>,
    /// Names of snapshots and of times, to indices of snapshots.
    by_name: BTreeMap<String, usize>,
    by_time: BTreeMap<String, usize>,
}

/// The names and inodes of one moment.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    volumes: Vec<VolumeNode>,
    snapshots: Vec<SnapshotNode>,
    volume_names: BTreeMap<String, usize>,
    snapshot_ids: BTreeMap<String, usize>,
    serials: HashMap<u64, Owner>,
    /// When the newest snapshot was taken.
    changed_us: u64,
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Volume(usize),
    Snapshot(usize),
}

impl Serials {
    fn of(&mut self, sort: Sort, id: Uuid) -> u64 {
        let last = &mut self.last;
        *self.known.entry((sort, id)).or_insert_with(|| {
            *last += 1;
            *last
        })
    }
}

impl Tree {
    /// The tree of `volumes`, in any order. Serials of objects that are gone are forgotten.
    pub(crate) fn build(serials: &mut Serials, mut volumes: Vec<VolumeRecord>) -> Self {
        volumes.sort_by_key(|volume| (volume.created_us, volume.id));
        let mut tree = Self::default();
        let mut seen = HashSet::new();
        for mut volume in volumes {
            if !seen.insert(volume.id) {
                continue;
            }
            let index = tree.add_volume(serials, &volume);
            let snapshots = &mut volume.snapshots;
            snapshots.sort_by_key(|record| (record.created_us, record.id));
            snapshots.retain(|record| seen.insert(record.id));
            for record in volume.snapshots {
                tree.add_snapshot(serials, index, record);
            }
        }
        serials
            .known
            .retain(|_, serial| tree.serials.contains_key(serial));
        tree
    }

    fn add_volume(&mut self, serials: &mut Serials, record: &VolumeRecord) -> usize {
        let index = self.volumes.len();
        let taken = |name: &str| self.volume_names.contains_key(name);
        let name = names::unique(&record.name, record.id, taken);
        self.volume_names.insert(name.clone(), index);
        let serial = serials.of(Sort::Volume, record.id);
        self.serials.insert(serial, Owner::Volume(index));
        self.volumes.push(VolumeNode {
            serial,
            name,
            created_us: record.created_us,
            newest: None,
            by_name: BTreeMap::new(),
            by_time: BTreeMap::new(),
        });
        index
    }

    fn add_snapshot(&mut self, serials: &mut Serials, volume: usize, record: Record) {
        let index = self.snapshots.len();
        let node = &mut self.volumes[volume];
        let reserved = |name: &str| name == LATEST_NAME || name == BY_TIME_NAME;
        let taken = |name: &str| reserved(name) || node.by_name.contains_key(name);
        let name = names::unique(&record.name, record.id, taken);
        let taken = |time: &str| node.by_time.contains_key(time);
        let time = names::unique(&names::time(record.created_us), record.id, taken);
        node.by_name.insert(name.clone(), index);
        node.by_time.insert(time, index);
        // Records come oldest first.
        node.newest = Some(index);
        self.changed_us = self.changed_us.max(record.created_us);
        let serial = serials.of(Sort::Snapshot, record.id);
        self.serials.insert(serial, Owner::Snapshot(index));
        self.snapshot_ids.insert(record.id.to_string(), index);
        self.snapshots.push(SnapshotNode {
            serial,
            name,
            volume,
            record: Arc::new(record),
        });
    }

    /// What `ino` is, if it is anything.
    pub(crate) fn node(&self, ino: Ino) -> Option<Node> {
        if matches!(ino, ROOT | VOLUMES | BY_ID) {
            let changed_us = self.changed_us;
            return Some(Node::Dir { changed_us });
        }
        match *self.serials.get(&(ino / KINDS))? {
            Owner::Volume(index) => self.volume_node(&self.volumes[index], ino % KINDS),
            Owner::Snapshot(index) => self.snapshot_node(&self.snapshots[index], ino % KINDS),
        }
    }

    fn volume_node(&self, volume: &VolumeNode, kind: u64) -> Option<Node> {
        let newest = volume.newest.map(|index| &self.snapshots[index]);
        let changed_us = newest.map_or(volume.created_us, |newest| newest.record.created_us);
        match kind {
            VOLUME_DIR | BY_TIME => Some(Node::Dir { changed_us }),
            LATEST => Some(Node::Link {
                target: newest?.name.clone(),
                changed_us,
            }),
            _ => None,
        }
    }

    fn snapshot_node(&self, snapshot: &SnapshotNode, kind: u64) -> Option<Node> {
        let SnapshotNode { name, record, .. } = snapshot;
        let changed_us = record.created_us;
        let link = |target| Node::Link { target, changed_us };
        let volume = &self.volumes[snapshot.volume].name;
        match kind {
            SNAPSHOT_DIR => Some(Node::Dir { changed_us }),
            DISK => Some(Node::Disk(record.clone())),
            INFO => Some(Node::Info(record.clone())),
            TIME_LINK => Some(link(format!("../{name}"))),
            ID_LINK => Some(link(format!("../volumes/{volume}/{name}"))),
            _ => None,
        }
    }

    /// The inode of `name` in the folder `parent`.
    pub(crate) fn lookup(&self, parent: Ino, name: &str) -> Option<Ino> {
        match parent {
            ROOT => match name {
                "volumes" => Some(VOLUMES),
                "by-id" => Some(BY_ID),
                _ => None,
            },
            VOLUMES => {
                let index = *self.volume_names.get(name)?;
                Some(ino(self.volumes[index].serial, VOLUME_DIR))
            }
            BY_ID => Some(self.of_snapshot(*self.snapshot_ids.get(name)?, ID_LINK)),
            _ => self.lookup_below(parent, name),
        }
    }

    fn lookup_below(&self, parent: Ino, name: &str) -> Option<Ino> {
        match (*self.serials.get(&(parent / KINDS))?, parent % KINDS) {
            (Owner::Volume(index), VOLUME_DIR) => {
                let volume = &self.volumes[index];
                match name {
                    LATEST_NAME => volume.newest.map(|_| ino(volume.serial, LATEST)),
                    BY_TIME_NAME => Some(ino(volume.serial, BY_TIME)),
                    _ => Some(self.of_snapshot(*volume.by_name.get(name)?, SNAPSHOT_DIR)),
                }
            }
            (Owner::Volume(index), BY_TIME) => {
                let snapshot = *self.volumes[index].by_time.get(name)?;
                Some(self.of_snapshot(snapshot, TIME_LINK))
            }
            (Owner::Snapshot(index), SNAPSHOT_DIR) => match name {
                "disk.raw" => Some(self.of_snapshot(index, DISK)),
                "info.json" => Some(self.of_snapshot(index, INFO)),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_snapshot(&self, index: usize, kind: u64) -> Ino {
        ino(self.snapshots[index].serial, kind)
    }

    /// The names in the folder `parent`, in a fixed order; `None` if it is no folder.
    pub(crate) fn entries(&self, parent: Ino) -> Option<Vec<Entry>> {
        let fixed = |name: &str, ino, kind| Entry {
            name: name.to_owned(),
            ino,
            kind,
        };
        match parent {
            ROOT => Some(vec![
                fixed("by-id", BY_ID, EntryKind::Dir),
                fixed("volumes", VOLUMES, EntryKind::Dir),
            ]),
            VOLUMES => {
                let names = self.volume_names.iter();
                let entry = |(name, index): (&String, &usize)| {
                    let ino = ino(self.volumes[*index].serial, VOLUME_DIR);
                    fixed(name, ino, EntryKind::Dir)
                };
                Some(names.map(entry).collect())
            }
            BY_ID => Some(self.named(&self.snapshot_ids, ID_LINK, EntryKind::Link)),
            _ => match (*self.serials.get(&(parent / KINDS))?, parent % KINDS) {
                (Owner::Volume(index), VOLUME_DIR) => {
                    let volume = &self.volumes[index];
                    let mut all = self.named(&volume.by_name, SNAPSHOT_DIR, EntryKind::Dir);
                    let by_time = ino(volume.serial, BY_TIME);
                    all.push(fixed(BY_TIME_NAME, by_time, EntryKind::Dir));
                    let latest = self.lookup(parent, LATEST_NAME);
                    all.extend(latest.map(|ino| fixed(LATEST_NAME, ino, EntryKind::Link)));
                    Some(all)
                }
                (Owner::Volume(index), BY_TIME) => {
                    let times = &self.volumes[index].by_time;
                    Some(self.named(times, TIME_LINK, EntryKind::Link))
                }
                (Owner::Snapshot(index), SNAPSHOT_DIR) => Some(vec![
                    fixed("disk.raw", self.of_snapshot(index, DISK), EntryKind::File),
                    fixed("info.json", self.of_snapshot(index, INFO), EntryKind::File),
                ]),
                _ => None,
            },
        }
    }

    fn named(&self, names: &BTreeMap<String, usize>, kind: u64, shown: EntryKind) -> Vec<Entry> {
        let entry = |(name, index): (&String, &usize)| Entry {
            name: name.clone(),
            ino: self.of_snapshot(*index, kind),
            kind: shown,
        };
        names.iter().map(entry).collect()
    }

    /// The folder above `ino`; the root is its own.
    pub(crate) fn parent(&self, ino: Ino) -> Ino {
        let owner = self.serials.get(&(ino / KINDS));
        match (owner, ino % KINDS) {
            (Some(Owner::Volume(_)), VOLUME_DIR) => VOLUMES,
            (Some(Owner::Volume(_)), _) => ino - ino % KINDS,
            (Some(Owner::Snapshot(index)), SNAPSHOT_DIR) => {
                let volume = &self.volumes[self.snapshots[*index].volume];
                self::ino(volume.serial, VOLUME_DIR)
            }
            (Some(Owner::Snapshot(_)), _) => ino - ino % KINDS,
            (None, _) => ROOT,
        }
    }

    /// Names of this tree that mean something else, or nothing, in `next`: what a kernel that
    /// remembers names must be told to forget.
    pub(crate) fn outdated(&self, next: &Self) -> Vec<(Ino, String)> {
        let mut folders = vec![VOLUMES, BY_ID];
        for volume in &self.volumes {
            folders.extend([ino(volume.serial, VOLUME_DIR), ino(volume.serial, BY_TIME)]);
        }
        let mut outdated = Vec::new();
        for folder in folders {
            for entry in self.entries(folder).unwrap_or_default() {
                if next.lookup(folder, &entry.name) != Some(entry.ino) {
                    outdated.push((folder, entry.name));
                }
            }
        }
        outdated
    }
}

fn ino(serial: u64, kind: u64) -> Ino {
    serial * KINDS + kind
}

#[cfg(test)]
mod tests;
