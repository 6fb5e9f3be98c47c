//! `check`: everything that can be said about a pool without writing to it, for one that no program
//! has open.
//!
//! The pool is opened as usual, recovery included, through a door that keeps all changes in memory.
//! Then redb walks over its file by its own checksums, and a round of scrub goes through the rest.
//! Of a pool that does not open, the containers are compared with their own checksums.
//! Beyond that the tables are compared with one another: layers with their parents, volumes and
//! snapshots with their layers and domains, forwarding rows with the containers they lead to, and the
//! number of mapped chunks that each layer claims with its runs. The metadata dumps, which an open pool
//! never reads, are read from end to end.

mod dumps;
mod keys;
mod packs;
#[cfg(test)]
mod rot_tests;
mod shadow;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Caching, Create, Io};
use crate::engine::Engine;
use crate::index::{Index, MetaFiles};
use crate::journal::poisoned;
use crate::scrub::{Round, ScrubFile};
use crate::{Damage, Error, ErrorKind, OpenOptions, Result, Verified};
pub(crate) use shadow::Shadow;

/// Memory for the caches of a pool that is only looked at.
const MEMORY_BYTES: u64 = 256 << 20;

/// What a check has looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Whether the pool can be opened. If not, only what needs no open pool was looked at.
    pub opens: bool,
    /// Volumes.
    pub volumes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Layers.
    pub layers: u64,
    /// Forwarding rows of packed windows of the journal.
    pub forwards: u64,
    /// Files of metadata dumps that are whole.
    #[serde(default)]
    pub dumps: u64,
    /// What was read.
    pub verified: Verified,
    /// What is wrong; nothing of it has been changed.
    pub damages: Vec<Damage>,
    /// What could not be looked at and may be right.
    pub unchecked: Vec<String>,
}

impl CheckReport {
    fn tell(&mut self, message: String) {
        self.damages.push(Damage {
            message,
            affected: Vec::new(),
            more: false,
            repaired: false,
        });
    }
}

/// Checks the pool in `dir` and changes nothing. `master_key` is the file of the master key of
/// encrypted volumes.
///
/// # Errors
/// `NotFound` where there is no pool, `Busy` while a program has it open, `Io`.
pub fn check(io: &Arc<dyn Io>, dir: &Path, master_key: PathBuf) -> Result<CheckReport> {
    expect_pool(&**io, dir)?;
    let mut report = CheckReport::default();
    let shadow = || -> Arc<dyn Io> { Arc::new(Shadow::new(Arc::clone(io))) };
    walk_metadata(&*shadow(), dir, &mut report)?;
    let options = OpenOptions {
        memory_bytes: MEMORY_BYTES,
        background: false,
        ..OpenOptions::default()
    };
    let door = shadow();
    match Engine::open_guarded(Arc::clone(&door), dir, master_key, options) {
        Ok(engine) => look_at(&engine, &mut report)?,
        Err(error) if is_damage(error.kind()) => {
            report.tell(error.to_string());
            packs::check(&shadow(), dir, &mut report)?;
        }
        Err(error) => return Err(error),
    }
    if ScrubFile::load(&**io, dir).1 {
        report.tell("scrub: the file is damaged".to_owned());
    }
    dumps::check(&**io, dir, &mut report)?;
    // Opening has put away keys that no domain has: a power loss may have cut their making short.
    keys::check(&*door, &dir.join("keys"), &mut report)?;
    Ok(report)
}

fn is_damage(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Corrupt | ErrorKind::UnsupportedFormat | ErrorKind::Io | ErrorKind::Failed => {
            true
        }
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::InvalidInput
        | ErrorKind::Busy
        | ErrorKind::NoSpace
        | ErrorKind::KeyUnavailable => false,
    }
}

/// An empty folder would be taken for a pool that is still to be made.
fn expect_pool(io: &dyn Io, dir: &Path) -> Result<()> {
    let entries = io.list(dir);
    let entries = entries.map_err(|e| Error::io(format!("listing {}", dir.display()), e))?;
    let ours = ["pool.toml", "meta.redb", "journal", "pack"];
    if entries.iter().any(|entry| ours.contains(&&*entry.name)) {
        return Ok(());
    }
    let context = format!("{} holds no pool", dir.display());
    Err(Error::new(ErrorKind::NotFound, context))
}

/// Has redb compare its file with its own checksums.
fn walk_metadata(io: &dyn Io, dir: &Path, report: &mut CheckReport) -> Result<()> {
    let path = dir.join("meta.redb");
    if io.open(&path, Create::Never, Caching::Buffered).is_err() {
        report.tell("meta.redb: there is none, or it cannot be read".to_owned());
        return Ok(());
    }
    // Without trust in the sums, all of the file is walked through.
    let files = MetaFiles::open(io, &path, false);
    let files = files.map_err(|e| Error::io("opening the metadata", e))?;
    match Index::open(files, MEMORY_BYTES / 4, Arc::new(|| false)) {
        Ok(index) => {
            let notes = index.notes();
            notes.into_iter().for_each(|note| report.tell(note));
        }
        Err(error) if is_damage(error.kind()) => report.tell(error.to_string()),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn look_at(engine: &Engine, report: &mut CheckReport) -> Result<()> {
    report.opens = true;
    for note in engine.index.notes() {
        report.tell(note);
    }
    {
        let state = engine.state.read().expect(poisoned!());
        report.volumes = state.volumes.len() as u64;
        report.snapshots = state.snapshots.len() as u64;
        report.layers = state.layers.len() as u64;
    }
    let mut round = Round::looking_only();
    let found = engine.scrub_through(&mut round)?;
    report.damages.extend(found);
    report.verified = round.verified();
    tables::check(engine, report)?;
    if let Err(error) = engine.probe_key() {
        let text = format!("contents of encrypted volumes: {error}");
        report.unchecked.push(text);
    }
    Ok(())
}
