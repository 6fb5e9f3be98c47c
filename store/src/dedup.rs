//! Finding a chunk that is stored already, with a sample of the fingerprints in memory.
//!
//! One fingerprint in 32 is a hook, and so is the first of every container: it remembers the newest
//! container that has such a chunk. A chunk whose hook is known brings its container's whole list into
//! memory, and with it the neighbours that were written at the same time; equal data mostly comes in
//! such runs. Without the first ones a copy would miss what comes before each container's first hook,
//! and the chunks stored again for it would have no hook at all, so that every further copy missed
//! them too. A match is always made against the 16-byte list, never against a hook alone. A pool may
//! be told to take every fingerprint for a hook.
//!
//! The index is advisory. Hooks may be missing, dropped or stale: that costs space, never data. It
//! grows to its share of memory and then drops, among the hooks that a new one competes with, the one
//! with the oldest container.

mod hooks;
mod recent;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::hooks::Hooks;
use self::recent::Recent;
use crate::addr::{Address, ContainerId};
use crate::chunk::Fingerprint;
use crate::error::Result;
use crate::spec::Fingerprints;

/// One fingerprint in this many is a hook wherever it stands in its container.
const SAMPLING: u64 = 32;

/// The index.
pub(crate) struct Dedup {
    hooks: Hooks,
    recent: Recent,
    kept: Fingerprints,
    /// Of the hooks, for others to look at without a lock.
    claimed_bytes: Arc<AtomicU64>,
}

fn is_hook(kept: Fingerprints, slot: usize, fingerprint: Fingerprint) -> bool {
    let hooked = match kept {
        Fingerprints::Sampled => slot == 0 || fingerprint.low().is_multiple_of(SAMPLING),
        Fingerprints::Full => true,
    };
    hooked && fingerprint != Fingerprint::NONE
}

impl Dedup {
    /// An empty index whose hooks take at most `memory_bytes`; the lists kept take 3 MiB besides.
    pub(crate) fn new(memory_bytes: usize, kept: Fingerprints) -> Self {
        Self {
            hooks: Hooks::new(memory_bytes),
            recent: Recent::new(),
            kept,
            claimed_bytes: Arc::default(),
        }
    }

    /// Memory that the hooks take once they have grown the next time, kept up to date.
    pub(crate) fn claimed_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.claimed_bytes)
    }

    /// Where an equal chunk of the domain is stored, as far as the index knows. `load` gives the list
    /// of a container, `None` if there is no such container any more.
    pub(crate) fn lookup(
        &mut self,
        fingerprint: Fingerprint,
        load: impl FnMut(ContainerId) -> Result<Option<Arc<[Fingerprint]>>>,
    ) -> Option<Address> {
        // Any chunk may be the first of a container, so each is looked up among the hooks.
        let found = self.recent.find(fingerprint);
        found.or_else(|| self.follow_hooks(fingerprint, load))
    }

    /// Remembers a container and its list, in slot order.
    pub(crate) fn insert_container(&mut self, id: ContainerId, list: &[Fingerprint]) {
        for (slot, fingerprint) in list.iter().copied().enumerate() {
            if is_hook(self.kept, slot, fingerprint) {
                self.hooks.insert(fingerprint, id);
            }
        }
        let claimed = self.hooks.next_bytes() as u64;
        self.claimed_bytes.store(claimed, Ordering::Relaxed);
        self.recent.insert(id, list.into());
    }

    /// Forgets a container that is gone or was written anew. Its hooks go when they are next met:
    /// ids are never used twice, so until then they lead to nothing wrong.
    pub(crate) fn forget_container(&mut self, id: ContainerId) {
        self.recent.remove(id);
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
            match load(id) {
                Ok(Some(list)) => {
                    self.recent.insert(id, list);
                    if let Some(address) = self.recent.find(fingerprint) {
                        return Some(address);
                    }
                    self.hooks.remove(fingerprint, id);
                }
                Ok(None) => self.hooks.remove(fingerprint, id),
                // The list may be readable another time, so the hook stays.
                Err(_) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
