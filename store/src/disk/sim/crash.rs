//! Which disks a power loss can leave behind.
//!
//! Everything synced is there. Of the rest, each 512-byte sector of a write survives or not by
//! itself, in any combination; a length change or allocation survives or not; names survive in
//! their folder's order up to some point. A lost name takes the later ones of its folder along.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Content, ContentChange, blocks};
use super::history::{Change, History, Op};
use super::image::{Image, NameChange};
use super::rng::SplitMix64;
use crate::disk::BLOCK_BYTES;

/// What a disk writes as one, in bytes.
const SECTOR: u64 = 512;

/// What survives of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survive {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Any sectors.
    Subset,
    /// The operations before a random one, and the first sectors of that.
    Prefix,
}

/// How the power fails.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// What survives of what was not synced.
    pub survive: Survive,
    /// Files of which a write in flight (the last operation before the cut) may leave one 4 KiB
    /// block as random bytes, those around the written ones included.
    pub damages: fn(&Path) -> bool,
}

impl Crash {
    /// A power loss that damages nothing.
    pub fn new(survive: Survive) -> Self {
        Self {
            survive,
            damages: |_| false,
        }
    }

    /// The same with damage to the files that `damages` names.
    pub fn damaging(self, damages: fn(&Path) -> bool) -> Self {
        Self { damages, ..self }
    }
}

/// One disk that may be left after the first `at` operations.
pub(super) fn image_after(
    history: &History,
    at: usize,
    crash: &Crash,
    rng: &mut SplitMix64,
) -> Image {
    let (durable, pending) = history.at(at);
    let mut image = durable.clone();
    let mut fate = Fate::choose(crash.survive, pending.clone().count(), rng);
    let mut cut_folders = BTreeSet::new();
    for op in pending {
        let keep = fate.next(rng);
        match &op.change {
            Change::Content { file, change } => {
                if keep != Keep::Nothing {
                    apply_part(image.file_mut(*file), change, keep, rng);
                }
            }
            Change::Names(change) => apply_name(&mut image, &mut cut_folders, change, keep, rng),
            Change::SyncData { .. } | Change::SyncDir { .. } => {}
        }
    }
    if let Some(op) = at.checked_sub(1).and_then(|last| history.ops.get(last)) {
        damage(&mut image, op, crash, rng);
    }
    image.prune();
    image
}

/// How much of one operation survives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Everything,
    /// Each sector for itself, this many times of 256.
    Sectors(u8),
    /// The first sectors.
    Head,
}

/// What becomes of the pending operations, one after another.
enum Fate {
    Same(Keep),
    Mixed,
    Until(usize),
}

impl Fate {
    fn choose(survive: Survive, pending: usize, rng: &mut SplitMix64) -> Self {
        match survive {
            Survive::Nothing => Self::Same(Keep::Nothing),
            Survive::Everything => Self::Same(Keep::Everything),
            Survive::Subset => Self::Mixed,
            Survive::Prefix => Self::Until(rng.below(pending as u64 + 1) as usize),
        }
    }

    fn next(&mut self, rng: &mut SplitMix64) -> Keep {
        match self {
            Self::Same(keep) => *keep,
            // Rare losses and rare survivals find other bugs than even chances do.
            Self::Mixed => match rng.below(8) {
                0 | 1 => Keep::Nothing,
                2 | 3 => Keep::Everything,
                4 => Keep::Sectors(16),
                5 => Keep::Sectors(240),
                _ => Keep::Sectors(128),
            },
            Self::Until(0) => Keep::Nothing,
            Self::Until(left) => {
                *left -= 1;
                if *left == 0 {
                    Keep::Head
                } else {
                    Keep::Everything
                }
            }
        }
    }
}

fn apply_part(content: &mut Content, change: &ContentChange, keep: Keep, rng: &mut SplitMix64) {
    if keep == Keep::Everything {
        return content.apply(change);
    }
    match change {
        ContentChange::Write { offset, data } => {
            let longer = (offset + data.len() as u64).max(content.len());
            for (at, len) in kept_ranges(*offset, data.len() as u64, keep, rng) {
                let from = (at - offset) as usize;
                content.write(at, &data[from..from + len as usize]);
            }
            // File systems differ in whether the length may arrive before all of the bytes.
            if rng.coin() && longer > content.len() {
                content.set_len(longer);
            }
        }
        ContentChange::Punch { offset, len } => {
            for (offset, len) in kept_ranges(*offset, *len, keep, rng) {
                content.apply(&ContentChange::Punch { offset, len });
            }
        }
        ContentChange::SetLen(_) | ContentChange::Allocate { .. } => {
            if rng.coin() {
                content.apply(change);
            }
        }
    }
}

/// Offsets and lengths of what survives of a range; sectors are those of the disk.
fn kept_ranges(offset: u64, len: u64, keep: Keep, rng: &mut SplitMix64) -> Vec<(u64, u64)> {
    let end = offset + len;
    let sectors = offset / SECTOR..end.div_ceil(SECTOR);
    let head = sectors.start + rng.below(sectors.end - sectors.start + 1);
    let mut kept: Vec<(u64, u64)> = Vec::new();
    for sector in sectors {
        let survives = match keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Sectors(odds) => (rng.next_u64() >> 56) < u64::from(odds),
            Keep::Head => sector < head,
        };
        let from = offset.max(sector * SECTOR);
        let to = end.min((sector + 1) * SECTOR);
        match kept.last_mut() {
            _ if !survives => {}
            Some((at, len)) if *at + *len == from => *len += to - from,
            _ => kept.push((from, to - from)),
        }
    }
    kept
}

fn apply_name(
    image: &mut Image,
    cut_folders: &mut BTreeSet<PathBuf>,
    change: &NameChange,
    keep: Keep,
    rng: &mut SplitMix64,
) {
    let lost = match keep {
        Keep::Nothing => true,
        Keep::Everything => false,
        Keep::Sectors(_) | Keep::Head => rng.coin(),
    };
    if lost || change.folders().any(|folder| cut_folders.contains(folder)) {
        cut_folders.extend(change.folders().map(Path::to_owned));
    } else {
        image.apply(change);
    }
}

/// Leaves one block of a write in flight as random bytes, now and then.
fn damage(image: &mut Image, op: &Op, crash: &Crash, rng: &mut SplitMix64) {
    let Change::Content { file, change } = &op.change else {
        return;
    };
    let ContentChange::Write { offset, data } = change else {
        return;
    };
    let touched = blocks(*offset, data.len() as u64);
    if touched.is_empty() || !(crash.damages)(&op.path) || rng.coin() {
        return;
    }
    let start = (touched.start + rng.below(touched.end - touched.start)) * BLOCK_BYTES as u64;
    let Some(content) = image.files.get_mut(file).map(Arc::make_mut) else {
        return;
    };
    let len = content.len().saturating_sub(start).min(BLOCK_BYTES as u64) as usize;
    let mut noise = [0; BLOCK_BYTES];
    rng.fill(&mut noise);
    content.write(start, &noise[..len]);
}
