//! The jobs that take over what a pool has, and let it go.
//!
//! The engine has no renaming. A volume is taken over by a clone under its new id, a snapshot by a
//! snapshot of a clone; both take constant time, and each step may be run again.

use store::{SnapshotId, VolumeId, VolumeSpec};
use uuid::Uuid;

use crate::catalogue::{self, View, Writer};
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::quotas::{self, Change};
use crate::cinder::records::{Snapshot, Volume};
use crate::cinder::work::{self, Outcome, forget, spec_of};
use crate::jobs::{Handler, Job, JobError, Registry};
use crate::server::Services;

pub(super) const MANAGE_VOLUME: &str = "volume.manage";
pub(super) const UNMANAGE_VOLUME: &str = "volume.unmanage";
pub(super) const MANAGE_SNAPSHOT: &str = "snapshot.manage";
pub(super) const UNMANAGE_SNAPSHOT: &str = "snapshot.unmanage";

pub(in crate::cinder) fn register(registry: &mut Registry) {
    registry.add(MANAGE_VOLUME, ManageVolume);
    registry.add(UNMANAGE_VOLUME, UnmanageVolume);
    registry.add(MANAGE_SNAPSHOT, ManageSnapshot);
    registry.add(UNMANAGE_SNAPSHOT, UnmanageSnapshot);
}

/// The object that is taken over.
fn source(job: &Job) -> Result<Uuid, JobError> {
    let text = job.args.get("source").and_then(serde_json::Value::as_str);
    let id = text.and_then(|text| Uuid::parse_str(text).ok());
    id.ok_or_else(|| JobError("the reference names nothing that is there".to_owned()))
}

struct ManageVolume;

impl Handler for ManageVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = work::row(services, job)?;
        let store = services.store_of(volume.backend.as_deref())?;
        let (old, new) = (VolumeId(source(job)?), VolumeId(volume.id));
        if let Ok(found) = store.volume_info(old) {
            let spec = VolumeSpec {
                domain: found.domain,
                encryption: found.encryption,
                ..spec_of(services, &volume)?
            };
            store.clone_volume(new, old, spec)?;
        }
        // Where the old one is gone already, an attempt before this one has come so far.
        store.volume_info(new)?;
        Ok(store.delete_volume(old)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Volume,
            action: Action::ManageVolume,
            detail: Detail::NotFoundOnBackend,
        };
        work::tell(writer, job, result, failure, now_us)?;
        let mut unused = None;
        work::settle::<Volume>(writer, job, now_us, |volume| {
            if volume.status == "managing" {
                let status = if result.is_ok() {
                    "available"
                } else {
                    "error_managing"
                };
                volume.status = status.to_owned();
            }
            if result.is_err() {
                // Nothing is there that would take up space.
                let size = std::mem::take(&mut volume.size_gib);
                unused = Some((volume.project_id.clone(), size));
            }
        })?;
        match unused {
            Some((project, size)) => quotas::release(writer, &project, Change::of_gib(size)),
            None => Ok(()),
        }
    }
}

struct ManageSnapshot;

impl Handler for ManageSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let snapshot: Snapshot = work::row(services, job)?;
        let volume = services
            .catalogue()
            .read(|reader| reader.get::<Volume>(&snapshot.volume_id))?;
        let volume = volume.ok_or_else(|| JobError("the volume is gone".to_owned()))?;
        let store = services.store_of(snapshot.backend.as_deref())?;
        let (old, new) = (SnapshotId(source(job)?), SnapshotId(snapshot.id));
        let between = VolumeId(Uuid::new_v5(&snapshot.id, b"taken over"));
        if store.snapshot_info(new).is_err() {
            let spec = VolumeSpec {
                size_bytes: store.snapshot(old)?.size_bytes(),
                ..spec_of(services, &volume)?
            };
            store.clone_snapshot(between, old, spec)?;
            store.create_snapshots(&[(new, between)])?;
        }
        store.delete_volume(between)?;
        Ok(store.delete_snapshot(old)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Snapshot,
            action: Action::ManageSnapshot,
            detail: Detail::NotFoundOnBackend,
        };
        work::tell(writer, job, result, failure, now_us)?;
        work::settle::<Snapshot>(writer, job, now_us, |snapshot| {
            work::made(snapshot, result);
            let progress = if result.is_ok() { "100%" } else { "0%" };
            progress.clone_into(&mut snapshot.progress);
        })
    }
}

struct UnmanageVolume;

impl Handler for UnmanageVolume {
    fn run(&self, _services: &Services, _job: &Job) -> Result<(), JobError> {
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        _result: Outcome<'_>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        forget::<Volume>(writer, Uuid::parse_str(&job.object).unwrap_or_default())
    }
}

struct UnmanageSnapshot;

impl Handler for UnmanageSnapshot {
    fn run(&self, _services: &Services, _job: &Job) -> Result<(), JobError> {
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        _result: Outcome<'_>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        forget::<Snapshot>(writer, Uuid::parse_str(&job.object).unwrap_or_default())
    }
}
