//! One state of a simulated disk: folders, and files by number.
//!
//! Copies share everything that is not changed afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Content;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Folder,
}

type Folder = BTreeMap<String, Node>;

/// A name: its folder and its last component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) folder: PathBuf,
    pub(super) last: String,
}

impl Name {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let last = path.file_name().and_then(|name| name.to_str());
        let last = last.ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, last })
    }
}

/// A change of folders.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { name: Name, node: Node },
    Remove { name: Name },
    Rename { from: Name, to: Name },
}

impl NameChange {
    /// The folders it changes.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        let (first, second) = match self {
            Self::Create { name, .. } | Self::Remove { name } => (name, None),
            Self::Rename { from, to } => (from, Some(to)),
        };
        [Some(first), second]
            .into_iter()
            .flatten()
            .map(|name| name.folder.as_path())
    }
}

/// A state of the disk. `folders` may hold folders without a name: their creation is not durable.
#[derive(Clone)]
pub(super) struct Image {
    folders: BTreeMap<PathBuf, Arc<Folder>>,
    pub(super) files: BTreeMap<u64, Arc<Content>>,
}

impl Image {
    /// A disk with nothing but its root.
    pub(super) fn empty() -> Self {
        let root = |path: &str| (PathBuf::from(path), Arc::default());
        Self {
            folders: BTreeMap::from([root("/"), root("")]),
            files: BTreeMap::new(),
        }
    }

    pub(super) fn folder(&self, path: &Path) -> Option<&Folder> {
        self.folders.get(path).map(|folder| &**folder)
    }

    pub(super) fn node(&self, name: &Name) -> Option<Node> {
        self.folder(&name.folder)?.get(&name.last).copied()
    }

    /// The bytes of a file, for changing.
    pub(super) fn file_mut(&mut self, file: u64) -> &mut Content {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    /// Applies a change of names, as far as what it needs is there.
    pub(super) fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Create { name, node } => {
                self.insert(name, *node);
                match node {
                    Node::File(file) => drop(self.files.entry(*file).or_default()),
                    Node::Folder => {
                        let path = name.folder.join(&name.last);
                        self.folders.entry(path).or_default();
                    }
                }
            }
            NameChange::Remove { name } => drop(self.take(name)),
            NameChange::Rename { from, to } => {
                if let Some(node) = self.take(from) {
                    self.insert(to, node);
                }
            }
        }
    }

    /// Sets a name, in a folder that may have none itself as yet.
    fn insert(&mut self, name: &Name, node: Node) {
        let folder = self.folders.entry(name.folder.clone()).or_default();
        Arc::make_mut(folder).insert(name.last.clone(), node);
    }

    fn take(&mut self, name: &Name) -> Option<Node> {
        Arc::make_mut(self.folders.get_mut(&name.folder)?).remove(&name.last)
    }

    /// Forgets folders and files that no name leads to.
    pub(super) fn prune(&mut self) {
        let paths: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for path in paths {
            // Parents sort before their children, so they are gone already if they go.
            let named = Name::of(&path).ok().map(|name| self.node(&name));
            if named.is_some_and(|node| node != Some(Node::Folder)) {
                self.folders.remove(&path);
            }
        }
        let named: BTreeSet<u64> = self.named_files().collect();
        self.files.retain(|file, _| named.contains(file));
    }

    fn named_files(&self) -> impl Iterator<Item = u64> {
        let nodes = self.folders.values().flat_map(|folder| folder.values());
        nodes.filter_map(|node| match node {
            Node::File(file) => Some(*file),
            Node::Folder => None,
        })
    }

    /// Space taken by all files, in bytes.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.files
            .values()
            .map(|content| content.allocated_bytes())
            .sum()
    }
}
