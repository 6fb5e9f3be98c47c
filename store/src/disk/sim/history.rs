//! What happened to a simulated disk, in order, and what of it is durable.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Content, ContentChange};
use super::fault::OpKind;
use super::image::{Image, NameChange};

/// An operation that succeeded.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Content {
        file: u64,
        change: ContentChange,
    },
    Names(NameChange),
    /// `honest` unless the disk only said so.
    SyncData {
        file: u64,
        honest: bool,
    },
    SyncDir {
        folder: PathBuf,
        honest: bool,
    },
}

/// A change with the path that was used for it.
#[derive(Clone)]
pub(super) struct Op {
    pub(super) kind: OpKind,
    pub(super) path: Arc<Path>,
    pub(super) change: Change,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path.display())?;
        match &self.change {
            Change::Content { change, .. } => match change {
                ContentChange::Write { offset, data } => write!(f, " {offset}+{}", data.len()),
                ContentChange::SetLen(len) => write!(f, " {len}"),
                ContentChange::Allocate { offset, len } | ContentChange::Punch { offset, len } => {
                    write!(f, " {offset}+{len}")
                }
            },
            Change::Names(NameChange::Rename { to, .. }) => {
                write!(f, " to {}", to.folder.join(&to.last).display())
            }
            Change::SyncData { honest: false, .. } | Change::SyncDir { honest: false, .. } => {
                f.write_str(" (a lie)")
            }
            _ => Ok(()),
        }
    }
}

/// What is durable after the first `ops` operations, and which of them are not.
#[derive(Clone)]
pub(super) struct Point {
    ops: usize,
    pub(super) durable: Image,
    pub(super) pending: Vec<usize>,
}

/// All operations, and a point after each one that made something durable.
pub(super) struct History {
    pub(super) ops: Vec<Op>,
    points: Vec<Point>,
    /// Pending now.
    pending: Vec<usize>,
    /// Pending writes whose sync failed: no later sync saves them.
    doomed: BTreeSet<usize>,
    /// Files of which the cache shows what a failed sync has lost.
    apart: BTreeSet<u64>,
}

impl History {
    /// A history that starts with everything in `image` durable.
    pub(super) fn new(image: Image) -> Self {
        let start = Point {
            ops: 0,
            durable: image,
            pending: Vec::new(),
        };
        Self {
            ops: Vec::new(),
            points: vec![start],
            pending: Vec::new(),
            doomed: BTreeSet::new(),
            apart: BTreeSet::new(),
        }
    }

    /// Adds an operation that left the disk, caches included, as `current`.
    pub(super) fn push(&mut self, op: Op, current: &Image) {
        let index = self.ops.len();
        match &op.change {
            Change::Content { .. } | Change::Names(_) => self.pending.push(index),
            Change::SyncData { file, honest: true } => {
                let durable = self.synced_file(*file, current);
                self.add_point(durable);
            }
            Change::SyncDir {
                folder,
                honest: true,
            } => {
                let durable = self.synced_folder(folder);
                self.add_point(durable);
            }
            Change::SyncData { .. } | Change::SyncDir { .. } => {}
        }
        self.ops.push(op);
    }

    /// Notes that a sync of `file` failed: the system forgets that its pages were dirty. What it knows
    /// of the file's length and blocks it keeps.
    pub(super) fn doom(&mut self, file: u64) {
        let ops = &self.ops;
        let lost = self.pending.iter().copied();
        let lost: Vec<usize> = lost
            .filter(|&index| is_content_of(&ops[index], file))
            .filter(|&index| {
                matches!(
                    ops[index].change,
                    Change::Content {
                        change: ContentChange::Write { .. },
                        ..
                    }
                )
            })
            .collect();
        if !lost.is_empty() {
            self.apart.insert(file);
            self.doomed.extend(lost);
        }
    }

    /// The bytes of a file as the disk has them, where the cache shows others. Whoever has seen that
    /// something is lost will not find it later.
    pub(super) fn behind_the_cache(&mut self, file: u64) -> Option<Content> {
        if !self.apart.contains(&file) {
            return None;
        }
        let pending: Vec<usize> = self
            .pending
            .iter()
            .copied()
            .filter(|&index| is_content_of(&self.ops[index], file))
            .collect();
        let mut content = self
            .last()
            .files
            .get(&file)
            .map(|content| (**content).clone())?;
        self.apply_saved(&mut content, &pending);
        if pending.iter().any(|index| self.doomed.contains(index)) {
            let doomed = &self.doomed;
            self.pending
                .retain(|index| !pending.contains(index) || !doomed.contains(index));
            let mut durable = self.last().clone();
            durable
                .file_mut(file)
                .apply(&ContentChange::SetLen(content.len()));
            self.points.push(Point {
                ops: self.ops.len(),
                durable,
                pending: self.pending.clone(),
            });
        }
        Some(content)
    }

    /// Notes that the cache of a file shows again what the disk has.
    pub(super) fn together(&mut self, file: u64) {
        self.apart.remove(&file);
    }

    /// What is durable, and what is pending, after the first `at` operations.
    pub(super) fn at(&self, at: usize) -> (&Image, impl Iterator<Item = &Op> + Clone) {
        let after = self.points.partition_point(|point| point.ops <= at);
        let point = &self.points[after - 1];
        let since = (point.ops..at).filter(|&index| {
            matches!(
                self.ops[index].change,
                Change::Content { .. } | Change::Names(_)
            )
        });
        let pending = point.pending.iter().copied().chain(since);
        (&point.durable, pending.map(|index| &self.ops[index]))
    }

    /// Applies changes of a file but for the bytes that a failed sync has lost.
    fn apply_saved(&self, content: &mut Content, changes: &[usize]) {
        for index in changes {
            let Change::Content { change, .. } = &self.ops[*index].change else {
                continue;
            };
            match change {
                ContentChange::Write { offset, data } if self.doomed.contains(index) => {
                    let len = content.len().max(offset + data.len() as u64);
                    content.apply(&ContentChange::SetLen(len));
                }
                change => content.apply(change),
            }
        }
    }

    fn last(&self) -> &Image {
        &self.points[self.points.len() - 1].durable
    }

    fn add_point(&mut self, durable: Image) {
        let point = Point {
            ops: self.ops.len() + 1,
            durable,
            pending: self.pending.clone(),
        };
        self.points.push(point);
    }

    fn synced_file(&mut self, file: u64, current: &Image) -> Image {
        let mut durable = self.last().clone();
        let ops = &self.ops;
        let (synced, rest): (Vec<_>, Vec<_>) = self
            .pending
            .iter()
            .partition(|&&index| is_content_of(&ops[index], file));
        if self.apart.contains(&file) {
            self.apply_saved(durable.file_mut(file), &synced);
            self.doomed.retain(|index| !synced.contains(index));
        } else if let Some(content) = current.files.get(&file) {
            durable.files.insert(file, Arc::clone(content));
        }
        self.pending = rest;
        durable
    }

    /// Makes the pending names of `folder` durable; a rename from or to another folder takes that
    /// folder's earlier changes along, since it is one event for both.
    fn synced_folder(&mut self, folder: &Path) -> Image {
        let mut durable = self.last().clone();
        let mut folders = BTreeSet::from([folder.to_owned()]);
        let mut synced = BTreeSet::new();
        for &index in self.pending.iter().rev() {
            let Change::Names(change) = &self.ops[index].change else {
                continue;
            };
            if change.folders().any(|path| folders.contains(path)) {
                folders.extend(change.folders().map(Path::to_owned));
                synced.insert(index);
            }
        }
        for &index in &synced {
            if let Change::Names(change) = &self.ops[index].change {
                durable.apply(change);
            }
        }
        self.pending.retain(|index| !synced.contains(index));
        durable
    }
}

fn is_content_of(op: &Op, wanted: u64) -> bool {
    matches!(op.change, Change::Content { file, .. } if file == wanted)
}
