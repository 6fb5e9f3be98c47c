//! Volumes made from snapshots and volumes: in constant time on the source's backend, by copying on
//! another.
//!
//! Everything here may be run again after a crash. A volume that may be written to meanwhile is
//! copied from a snapshot of the moment, whose id follows from the new volume's and which is gone
//! when the copy is there.

use store::{SnapshotId, Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::copy::{Source, copy};
use crate::catalogue::View;
use crate::cinder::records::{Snapshot, Volume};
use crate::jobs::{Job, JobError, Progress};
use crate::server::Services;

/// Whether two rows name one backend.
pub(super) fn same(services: &Services, one: Option<&str>, other: Option<&str>) -> bool {
    let name = |row: Option<&str>| {
        row.and_then(|row| services.backends().get(row))
            .map(|b| b.name())
    };
    name(one) == name(other)
}

/// Creates a volume with the content of a snapshot.
pub(in crate::cinder) fn create_from_snapshot(
    services: &Services,
    job: &Job,
    volume: &Volume,
    from: SnapshotId,
    spec: VolumeSpec,
) -> Result<(), JobError> {
    let row = services
        .catalogue()
        .read(|reader| reader.get::<Snapshot>(&from.0))?;
    let row = row.ok_or_else(|| JobError("the snapshot is gone".to_owned()))?;
    fill_from_snapshot(services, job, volume, (row.backend.as_deref(), from), spec)
}

/// As [`create_from_snapshot`], of a snapshot on a backend.
pub(in crate::cinder) fn fill_from_snapshot(
    services: &Services,
    job: &Job,
    volume: &Volume,
    (near, from): (Option<&str>, SnapshotId),
    spec: VolumeSpec,
) -> Result<(), JobError> {
    let target = services.store_of(volume.backend.as_deref())?;
    if same(services, near, volume.backend.as_deref()) {
        return Ok(target.clone_snapshot(VolumeId(volume.id), from, spec)?);
    }
    let source = services.store_of(near)?.snapshot(from)?;
    filled(services, job, target, VolumeId(volume.id), &source, spec)
}

/// Creates a volume with the present content of another.
pub(in crate::cinder) fn create_from_volume(
    services: &Services,
    job: &Job,
    volume: &Volume,
    from: VolumeId,
    spec: VolumeSpec,
) -> Result<(), JobError> {
    let row = services
        .catalogue()
        .read(|reader| reader.get::<Volume>(&from.0))?;
    let row = row.ok_or_else(|| JobError("the source volume is gone".to_owned()))?;
    let (near, target) = (
        row.backend.as_deref(),
        services.store_of(volume.backend.as_deref())?,
    );
    if same(services, near, volume.backend.as_deref()) {
        return Ok(target.clone_volume(VolumeId(volume.id), from, spec)?);
    }
    let source = services.store_of(near)?;
    let moment = SnapshotId(Uuid::new_v5(&volume.id, b"copied from"));
    source.create_snapshots(&[(moment, from)])?;
    let snapshot = source.snapshot(moment)?;
    let filled = filled(services, job, target, VolumeId(volume.id), &snapshot, spec);
    // Also after a failure, but not when the job will run again: it goes on with the same content.
    if !services.is_stopping() {
        source.delete_snapshot(moment)?;
    }
    filled
}

/// Creates a volume and copies into it.
pub(in crate::cinder) fn filled(
    services: &Services,
    job: &Job,
    target: &Store,
    id: VolumeId,
    source: &dyn Source,
    spec: VolumeSpec,
) -> Result<(), JobError> {
    target.create_volume(id, spec)?;
    copy(source, &target.volume(id)?, &Progress::new(services, job))
}
