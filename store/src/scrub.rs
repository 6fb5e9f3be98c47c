//! Scrub: reading everything that the pool holds, to find damage while there may still be a remedy.
//!
//! A round goes through the pages of the metadata, the map, the journal, the containers and the dumps
//! of the metadata, past the page cache, at a pace. It remembers how far it came, so a restart goes on
//! there. What it finds is named: the file, the place in it, and the disks and ranges that cannot be
//! read for it. Damage is repaired where another copy exists: in the page cache, in an equal chunk
//! elsewhere, or in the metadata that a dump was made of. Everything else stays an error for who reads
//! it, and is nobody's duplicate from then on.
//!
//! No lock is held while it sleeps, and none but an epoch guard while it reads.

mod containers;
mod dumps;
mod journal;
mod metadata;
mod references;
mod repair;
mod round;
mod state;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, RwLock};

use serde::{Deserialize, Serialize};

use crate::addr::ContainerId;
use crate::journal::poisoned;
use crate::{SnapshotId, VolumeId};
pub(crate) use round::{Round, Stage};
pub(crate) use state::ScrubFile;
pub(crate) use worker::turn;

/// Findings kept in memory; all are in the log.
const FINDINGS_MAX: usize = 100;

/// When and how fast the pool is scrubbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// From one round's end to the next one's beginning; 0 for only when asked.
    pub interval_s: u64,
    /// Bytes read in a second at most.
    pub bytes_per_s: u64,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self {
            interval_s: 30 * 24 * 3600,
            bytes_per_s: 32 << 20,
        }
    }
}

/// A disk, or part of it, that damage makes unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// The volume, or the one that the snapshot was taken of.
    pub volume: VolumeId,
    /// The snapshot, if it is one.
    pub snapshot: Option<SnapshotId>,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What is wrong and where: file, container, both checksums.
    pub message: String,
    /// What cannot be read for it, as far as it could be told.
    pub affected: Vec<Affected>,
    /// Whether more is affected than is listed.
    pub more: bool,
    /// Whether it has been put right.
    pub repaired: bool,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Pages of the metadata file.
    pub metadata_pages: u64,
    /// Runs of the map, whose addresses were all followed.
    pub runs: u64,
    /// Data blocks of the journal.
    pub journal_blocks: u64,
    /// Containers.
    pub containers: u64,
    /// Chunks in them whose content was compared with its fingerprint.
    pub chunks: u64,
    /// Containers of encrypted volumes of which only checksums were compared, for lack of the key.
    pub sealed_containers: u64,
    /// Files of metadata dumps.
    pub dumps: u64,
    /// All bytes read.
    pub bytes: u64,
}

/// How scrubbing stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Whether a round is under way.
    pub running: bool,
    /// When the round began that is under way or was the last, in microseconds since 1970.
    pub begun_us: u64,
    /// When the last round ended; 0 if none has.
    pub finished_us: u64,
    /// What that round or, while one is under way, this one has looked at since the pool was opened.
    pub verified: Verified,
    /// Damages found by the round that is under way or was the last, and not repaired.
    pub damaged: u64,
    /// Those repaired.
    pub repaired: u64,
    /// Rounds ended since the pool was opened.
    pub rounds: u64,
    /// The latest damages found since the pool was opened.
    pub findings: Vec<Damage>,
    /// Why the round cannot go on.
    pub stalled: Option<String>,
}

/// What the threads share about scrubbing.
pub(crate) struct Scrub {
    pub(crate) options: ScrubOptions,
    status: Mutex<ScrubStatus>,
    asked: Mutex<Asked>,
    wake: Condvar,
    /// Containers with damage that was not repaired: no duplicate is looked for in them.
    damaged: RwLock<HashSet<ContainerId>>,
    /// Owned by the scrubbing thread, and by who takes its steps instead.
    pub(crate) round: Mutex<Option<Round>>,
}

#[derive(Default)]
struct Asked {
    round: bool,
    stop: bool,
}

impl Scrub {
    /// Goes on from what an earlier opening left.
    pub(crate) fn new(options: ScrubOptions, file: &ScrubFile) -> Self {
        let status = ScrubStatus {
            running: file.stage.is_some(),
            begun_us: file.begun_us,
            finished_us: file.finished_us,
            damaged: file.damages,
            repaired: file.repairs,
            ..ScrubStatus::default()
        };
        Self {
            options,
            status: Mutex::new(status),
            asked: Mutex::default(),
            wake: Condvar::new(),
            damaged: RwLock::new(file.damaged.iter().copied().collect()),
            round: Mutex::new(None),
        }
    }

    /// How it stands.
    pub(crate) fn status(&self) -> ScrubStatus {
        self.status.lock().expect(poisoned!()).clone()
    }

    fn update(&self, change: impl FnOnce(&mut ScrubStatus)) {
        change(&mut self.status.lock().expect(poisoned!()));
    }

    /// Asks for a round, from the beginning unless one is under way.
    pub(crate) fn ask(&self) {
        self.asked.lock().expect(poisoned!()).round = true;
        self.update(|status| status.running = true);
        self.wake.notify_all();
    }

    /// Ends all waiting, for good.
    pub(crate) fn stop(&self) {
        self.asked.lock().expect(poisoned!()).stop = true;
        self.wake.notify_all();
    }

    /// Whether a container has damage that nothing could repair.
    pub(crate) fn is_damaged(&self, container: ContainerId) -> bool {
        self.damaged.read().expect(poisoned!()).contains(&container)
    }

    fn set_damaged(&self, container: ContainerId, damaged: bool) {
        let mut all = self.damaged.write().expect(poisoned!());
        match damaged {
            true => all.insert(container),
            false => all.remove(&container),
        };
    }

    /// Those containers.
    fn damaged_containers(&self) -> Vec<ContainerId> {
        let mut all: Vec<ContainerId> = {
            let damaged = self.damaged.read().expect(poisoned!());
            damaged.iter().copied().collect()
        };
        all.sort_unstable();
        all
    }

    fn note(&self, damage: &Damage) {
        tracing::error!(
            repaired = damage.repaired,
            affected = ?damage.affected,
            "scrub: {}",
            damage.message
        );
        self.update(|status| {
            match damage.repaired {
                true => status.repaired += 1,
                false => status.damaged += 1,
            }
            if status.findings.len() == FINDINGS_MAX {
                status.findings.remove(0);
            }
            status.findings.push(damage.clone());
        });
    }
}
