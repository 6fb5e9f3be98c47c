//! Removing backups, and packs that no backup names.
//!
//! References are not counted anywhere: the manifests are the count, so it cannot be wrong. A sweep
//! lists the packs, then makes sure that nobody is writing, then reads all manifests, and removes
//! what was listed and none of them names. Whoever writes says so before looking anything up:
//!
//! - a pack put after the listing is not on the list;
//! - a pack put before it belongs to a backup that is still marked (nothing is swept) or has its
//!   manifest already (it is named);
//! - a backup that begins after the check finds only packs that manifests name.
//!
//! So several daemons may use one repository. What cannot be swept now is left for the end of the
//! backups that are being written.

use std::collections::HashSet;

use uuid::Uuid;

use super::error::{Error, Result};
use super::manifest::Ancestor;
use super::repository::Repository;
use super::seal::{self, Kind};
use super::target::Target;

/// Removes a backup: from the first step on it cannot be restored any more. Nothing may build on it.
/// A backup that is gone, or was never finished, is fine.
///
/// # Errors
/// Those of the target; the call may be repeated.
pub fn remove(target: &Target, backup: &Ancestor) -> Result<()> {
    let Some(repository) = find(target, &backup.repository)? else {
        return Ok(());
    };
    target.delete(&repository.manifest(backup.id))?;
    forget_in(&repository, backup.id)
}

/// Takes away what an attempt at a backup has left, if it did not come to its manifest.
///
/// # Errors
/// Those of the target; the call may be repeated.
pub fn forget(target: &Target, repository: &str, backup: Uuid) -> Result<()> {
    let Some(repository) = find(target, repository)? else {
        return Ok(());
    };
    if repository.find_manifest(backup)?.is_some() {
        return Ok(());
    }
    forget_in(&repository, backup)
}

fn find(target: &Target, path: &str) -> Result<Option<Repository>> {
    match Repository::open(target, path) {
        Ok(repository) => Ok(Some(repository)),
        Err(error) if error.kind() == super::ErrorKind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

fn forget_in(repository: &Repository, backup: Uuid) -> Result<()> {
    let target = &repository.target;
    for page in target.list(&repository.pages(backup))?.objects {
        target.delete(&page)?;
    }
    target.put(&repository.at("sweep"), seal::seal(Kind::Marker, b""))?;
    target.delete(&repository.writing().join(backup.to_string()))?;
    if_due(repository);
    Ok(())
}

/// Sweeps if a removal has asked for it and nobody is writing. What fails is tried again later.
pub(super) fn if_due(repository: &Repository) {
    if let Err(error) = try_sweep(repository) {
        let repository = repository.path();
        tracing::warn!(%error, repository, "packs that no backup needs could not be removed");
    }
}

fn try_sweep(repository: &Repository) -> Result<()> {
    let target = &repository.target;
    let due = repository.at("sweep");
    if target.find(&due, 4096)?.is_none() {
        return Ok(());
    }
    let packs = target.list(&repository.packs())?.objects;
    if !target.list(&repository.writing())?.objects.is_empty() {
        return Ok(());
    }
    target.remove_unfinished(&repository.packs());
    // Before the manifests are read: a removal from now on asks again.
    target.delete(&due)?;
    let removed = named(repository).and_then(|named| {
        let idle = |id: &Uuid| !named.contains(id);
        for path in packs {
            let id = path.filename().and_then(|name| Uuid::parse_str(name).ok());
            if id.as_ref().is_some_and(idle) {
                target.delete(&path)?;
            }
        }
        Ok(())
    });
    if removed.is_err() {
        target.put(&due, seal::seal(Kind::Marker, b""))?;
    }
    removed
}

/// The packs that manifests name. Every manifest must be readable, or something might be lost.
fn named(repository: &Repository) -> Result<HashSet<Uuid>> {
    let mut named = HashSet::new();
    for folder in repository.target.list(&repository.backups())?.folders {
        let Some(id) = folder
            .filename()
            .and_then(|name| Uuid::parse_str(name).ok())
        else {
            return Err(Error::corrupt(folder, "it is no backup"));
        };
        if let Some((manifest, _)) = repository.find_manifest(id)? {
            named.extend(manifest.packs.iter().map(|pack| pack.id));
        }
    }
    Ok(named)
}
