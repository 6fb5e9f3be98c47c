//! The backends: each a pool of its own, told apart by name.
//!
//! Rows of volumes and snapshots name their backend. Rows from before there were several have an
//! empty name and belong to the first, so that the first of the configuration is the one that holds
//! them.

use std::collections::BTreeMap;

use store::{ErrorKind, PoolStats, Store};

/// What the configuration says of a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSettings {
    /// Its name, unique; part of `host@NAME#pool`.
    pub name: String,
    /// What volume types ask for; several backends may share one.
    pub volume_backend_name: String,
    /// Capacity to report instead of the file system's, in bytes.
    pub capacity_bytes: Option<u64>,
    /// Part of the capacity, in per cent, that new volumes are not placed on.
    pub reserved_percentage: u8,
    /// How many times the capacity may be promised; `None` is no limit.
    pub max_over_subscription_ratio: Option<f64>,
    /// What else types may ask for, by name.
    pub capabilities: BTreeMap<String, String>,
    /// Number of the file system underneath: backends that share one share its space.
    pub file_system: u64,
}

impl BackendSettings {
    /// A backend that nothing is said about but its name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            volume_backend_name: name.to_owned(),
            capacity_bytes: None,
            reserved_percentage: 0,
            max_over_subscription_ratio: None,
            capabilities: BTreeMap::new(),
            file_system: 0,
        }
    }
}

/// A backend: settings and the open pool.
#[derive(Clone)]
pub struct Backend {
    settings: BackendSettings,
    store: Store,
}

impl Backend {
    /// The backend of an open pool.
    pub fn new(settings: BackendSettings, store: Store) -> Self {
        Self { settings, store }
    }

    /// What the configuration says of it.
    pub fn settings(&self) -> &BackendSettings {
        &self.settings
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its pool. Blocks.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The name of its one pool: what follows `#` in a host.
    pub fn pool_name(&self) -> &str {
        &self.settings.volume_backend_name
    }

    /// Size and free space in bytes, as the scheduler and clients see them.
    pub fn capacity(&self) -> (u64, u64) {
        let space = self.store.space();
        let Some(capacity) = self.settings.capacity_bytes else {
            return (space.total_bytes, space.free_bytes);
        };
        let total = capacity.min(space.total_bytes);
        let left = total.saturating_sub(space.used_bytes);
        (total, left.min(space.free_bytes))
    }
}

/// All backends, the first for whatever names none. Never empty.
#[derive(Clone)]
pub struct Backends {
    first: Backend,
    others: Vec<Backend>,
}

impl Backends {
    /// The one backend of a configuration that names none, called `pool`.
    pub fn single(store: Store) -> Self {
        let settings = BackendSettings::new("pool");
        Self::new(Backend::new(settings, store), Vec::new())
    }

    /// Backends of different names.
    pub fn new(first: Backend, others: Vec<Backend>) -> Self {
        Self { first, others }
    }

    /// The first.
    pub fn first(&self) -> &Backend {
        &self.first
    }

    /// All, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Backend> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The backend that a row names.
    pub fn get(&self, name: &str) -> Option<&Backend> {
        if name.is_empty() {
            return Some(&self.first);
        }
        self.iter().find(|backend| backend.name() == name)
    }

    /// The pool that a row's object is in; `None` stands for an object that was never placed.
    ///
    /// # Errors
    /// `NotFound` for an object that was never placed, `Failed` for a backend that the
    /// configuration no longer has.
    pub fn store_of(&self, name: Option<&str>) -> store::Result<&Store> {
        let Some(name) = name else {
            let context = "the object was never placed on a backend";
            return Err(store::Error::new(ErrorKind::NotFound, context));
        };
        let found = self.get(name).map(Backend::store);
        found.ok_or_else(|| {
            let context = format!("no backend is called {name}; see the configuration");
            store::Error::new(ErrorKind::Failed, context)
        })
    }

    /// Space and traffic of all together. A file system that several share counts once.
    pub fn stats(&self) -> PoolStats {
        let mut sum = PoolStats::default();
        let mut counted = Vec::new();
        for backend in self.iter() {
            let mut stats = backend.store().stats();
            if counted.contains(&backend.settings.file_system) {
                (stats.free_bytes, stats.total_bytes) = (0, 0);
            }
            counted.push(backend.settings.file_system);
            add(&mut sum, &stats);
        }
        sum
    }
}

fn add(sum: &mut PoolStats, more: &PoolStats) {
    sum.logical_bytes += more.logical_bytes;
    sum.referenced_bytes += more.referenced_bytes;
    sum.unique_bytes += more.unique_bytes;
    sum.stored_bytes += more.stored_bytes;
    sum.dead_bytes += more.dead_bytes;
    sum.loose_bytes += more.loose_bytes;
    sum.raw_tier_bytes += more.raw_tier_bytes;
    sum.raw_tier_quota_bytes += more.raw_tier_quota_bytes;
    sum.metadata_bytes += more.metadata_bytes;
    sum.free_bytes += more.free_bytes;
    sum.total_bytes += more.total_bytes;
    sum.written_bytes += more.written_bytes;
    sum.read_bytes += more.read_bytes;
    sum.flushes += more.flushes;
    sum.write_ops += more.write_ops;
    sum.read_ops += more.read_ops;
    sum.dedup_hit_bytes += more.dedup_hit_bytes;
    sum.volumes += more.volumes;
    sum.snapshots += more.snapshots;
    sum.failed |= more.failed;
}
