//! Finding a chunk that is stored already, with a sample of the fingerprints in memory.
//!
//! One fingerprint in 32 is a hook: it remembers the newest container that has such a chunk. A chunk
//! whose hook is known brings its container's whole list into memory, and with it the neighbours that
//! were written at the same time; equal data mostly comes in such runs. A match is always made against
//! the 16-byte list, never against a hook alone.
//!
//! The index is advisory. Hooks may be missing, dropped or stale: that costs space, never data. It
//! grows to its share of memory and then drops, among the hooks that a new one competes with, the one
//! with the oldest container.

mod hooks;
mod recent;

use std::sync::Arc;

use self::hooks::Hooks;
use self::recent::Recent;
use crate::addr::{Address, ContainerId};
use crate::chunk::Fingerprint;
use crate::error::Result;

/// One fingerprint in this many is a hook: keeps 98 % of the saving of a whole index.
const SAMPLING: u64 = 32;

/// What the index did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DedupStats {
    /// Hooks in memory.
    pub(crate) hooks: u64,
    /// Memory that they take.
    pub(crate) hook_bytes: u64,
    /// Hooks dropped for want of memory.
    pub(crate) dropped: u64,
    /// Lists loaded because a hook was met.
    pub(crate) loads: u64,
    /// Lists that could not be loaded.
    pub(crate) load_errors: u64,
    /// Chunks found.
    pub(crate) hits: u64,
    /// Chunks not found.
    pub(crate) misses: u64,
}

/// The index.
pub(crate) struct Dedup {
    hooks: Hooks,
    recent: Recent,
    stats: DedupStats,
}

fn is_hook(fingerprint: Fingerprint) -> bool {
    fingerprint.low().is_multiple_of(SAMPLING) && fingerprint != Fingerprint::NONE
}

impl Dedup {
    /// An empty index whose hooks take at most `memory_bytes`; the lists kept take 3 MiB besides.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self {
            hooks: Hooks::new(memory_bytes),
            recent: Recent::new(),
            stats: DedupStats::default(),
        }
    }

    /// Where an equal chunk of the domain is stored, as far as the index knows. `load` gives the list
    /// of a container, `None` if there is no such container any more.
    pub(crate) fn lookup(
        &mut self,
        fingerprint: Fingerprint,
        load: impl FnMut(ContainerId) -> Result<Option<Arc<[Fingerprint]>>>,
    ) -> Option<Address> {
        let found = self.recent.find(fingerprint).or_else(|| {
            is_hook(fingerprint)
                .then(|| self.follow_hooks(fingerprint, load))
                .flatten()
        });
        match found {
            Some(_) => self.stats.hits += 1,
            None => self.stats.misses += 1,
        }
        found
    }

    /// Remembers a container and its list, in slot order.
    pub(crate) fn insert_container(&mut self, id: ContainerId, list: &[Fingerprint]) {
        for fingerprint in list.iter().copied().filter(|name| is_hook(*name)) {
            self.hooks.insert(fingerprint, id);
        }
        self.recent.insert(id, list.into());
    }

    /// Forgets a container that is gone or was written anew. Its hooks go when they are next met:
    /// ids are never used twice, so until then they lead to nothing wrong.
    pub(crate) fn forget_container(&mut self, id: ContainerId) {
        self.recent.remove(id);
    }

    #[allow(dead_code, reason = "read by tests until the pool reports its index")]
    /// Counters.
    pub(crate) fn stats(&self) -> DedupStats {
        DedupStats {
            hooks: self.hooks.len() as u64,
            hook_bytes: self.hooks.memory_bytes() as u64,
            dropped: self.hooks.dropped(),
            ..self.stats
        }
    }

    fn follow_hooks(
        &mut self,
        fingerprint: Fingerprint,
        mut load: impl FnMut(ContainerId) -> Result<Option<Arc<[Fingerprint]>>>,
    ) -> Option<Address> {
        for id in self.hooks.candidates(fingerprint) {
            if self.recent.contains(id) {
                // Its list is here and has no such chunk: another chunk's hook, or one that died.
                continue;
            }
            self.stats.loads += 1;
            match load(id) {
                Ok(Some(list)) => {
                    self.recent.insert(id, list);
                    if let Some(address) = self.recent.find(fingerprint) {
                        return Some(address);
                    }
                    self.hooks.remove(fingerprint, id);
                }
                Ok(None) => self.hooks.remove(fingerprint, id),
                Err(_) => self.stats.load_errors += 1,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
