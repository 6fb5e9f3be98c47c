//! The row of a new volume: what its origin, its type, its group and the backends make of what is asked
//! for. Queues nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::images::Facts;
use super::quotas::{self, Change};
use super::records::{Snapshot, Volume, VolumeType};
use super::volumes::{Wanted, find};
use super::{backends, backups, encryption, groups, snapshots, types};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;

/// Adds the row and takes its quota.
pub(super) fn add(
    services: &Services,
    writer: &Writer,
    (caller, project): (&Caller, &str),
    wanted: &Wanted,
    image: Option<&Facts>,
) -> Result<Volume, Fault> {
    let origin = Origin::find(writer, caller, wanted)?;
    let size_gib = wanted.size_gib.or(origin.least_gib);
    let size_gib = size_gib.ok_or_else(Fault::malformed)?;
    origin.check_size(size_gib)?;
    image.map_or(Ok(()), |image| image.check(size_gib))?;
    let volume_type = type_of(writer, project, wanted, &origin, image)?;
    image.map_or(Ok(()), |image| {
        image.check_type(services, writer, &volume_type)
    })?;
    let named = wanted.volume_type.as_ref().map(|_| volume_type.id);
    let join = |group: &String| groups::join(writer, caller, group, named);
    let group_id = wanted.group.as_ref().map(join).transpose()?;
    encryption::check_same(writer, origin.volume_type, &volume_type)?;
    take_quota(writer, project, &volume_type, size_gib)?;
    let multiattach = types::is_multiattach(&volume_type);
    if multiattach {
        caller.check_own(Rule::VolumeMultiattach)?;
    }
    let request = backends::Request {
        volume_type: &volume_type,
        size_gib,
    };
    let backend = place(services, writer, &request, group_id, origin.backend())?;
    let volume = Volume {
        id: Uuid::new_v4(),
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        size_gib,
        status: "creating".to_owned(),
        previous_status: None,
        attach_status: "detached".to_owned(),
        volume_type_id: volume_type.id,
        snapshot_id: wanted.snapshot_id,
        source_volid: wanted.source_volid,
        metadata: wanted.metadata.clone(),
        bootable: origin.is_bootable(writer)?,
        read_only: None,
        multiattach,
        source_length: origin.length(),
        group_id,
        backend,
        migration_status: None,
        image_metadata: origin.image_metadata(),
        created_us: services.now_us(),
        updated_us: None,
    };
    writer.insert(&volume)?;
    Ok(volume)
}

/// The type that is asked for, or else that of the origin or the image, or else the default.
fn type_of(
    writer: &Writer,
    project: &str,
    wanted: &Wanted,
    origin: &Origin,
    image: Option<&Facts>,
) -> Result<VolumeType, Fault> {
    let inherited = origin.volume_type.map(|id| id.to_string());
    let of_image = image.and_then(Facts::volume_type);
    let asked = wanted.volume_type.as_deref();
    match asked.or(inherited.as_deref()).or(of_image) {
        Some(name) => types::find_type(writer, project, name),
        None => types::default_type(writer, project),
    }
}

fn take_quota(
    writer: &Writer,
    project: &str,
    volume_type: &VolumeType,
    size_gib: u64,
) -> Result<(), Fault> {
    quotas::check_volume_size(writer, project, size_gib)?;
    let change = Change {
        volumes: 1,
        ..Change::of_gib(size_gib)
    };
    quotas::reserve_of_type(writer, project, volume_type.id, change)
}

/// The name of the backend for it; `None` where none suits it.
fn place(
    services: &Services,
    writer: &Writer,
    request: &backends::Request<'_>,
    group: Option<Uuid>,
    origin: Option<&str>,
) -> Result<Option<String>, Fault> {
    // The volumes of a group are on one backend: they are cut at one moment.
    let bound = match group {
        Some(group) => groups::backend_of(writer, group)?,
        None => None,
    };
    let bound = bound.and_then(|name| services.backends().get(&name));
    // A clone stays where its source is unless its type wants something else.
    let near = bound.map(|backend| backend.name()).or(origin);
    let chosen = backends::choose(services, writer, request, near)?;
    let chosen = chosen.filter(|chosen| bound.is_none_or(|bound| bound.name() == chosen.name()));
    Ok(chosen.map(|backend| backend.name().to_owned()))
}

/// What a new volume is made from, if from anything in the catalogue.
struct Origin {
    snapshot: Option<Snapshot>,
    source: Option<Volume>,
    /// The least size that it implies.
    least_gib: Option<u64>,
    /// The type that it implies.
    volume_type: Option<Uuid>,
}

impl Origin {
    fn find(writer: &Writer, caller: &Caller, wanted: &Wanted) -> Result<Self, Fault> {
        let snapshot = match wanted.snapshot_id {
            Some(id) => Some(snapshots::find(writer, caller, &id.to_string())?),
            None => None,
        };
        let source = match wanted.source_volid {
            Some(id) => Some(find(writer, caller, &id.to_string())?),
            None => None,
        };
        let (mut least_gib, mut volume_type) = implied(snapshot.as_ref(), source.as_ref())?;
        if let Some(id) = wanted.backup_id {
            let backup = backups::source_of(writer, caller, id, wanted.size_gib)?;
            least_gib = Some(backup.size_gib);
            volume_type = backups::type_of(writer, &backup)?;
        }
        Ok(Self {
            snapshot,
            source,
            least_gib,
            volume_type,
        })
    }

    fn check_size(&self, size_gib: u64) -> Result<(), Fault> {
        if let Some(snapshot) = &self.snapshot
            && size_gib < snapshot.size_gib
        {
            return Err(Fault::bad_request(format!(
                "Invalid input received: Volume size {size_gib}GB cannot be smaller than the snapshot size {}GB. They must be >= original snapshot size.",
                snapshot.size_gib
            )));
        }
        if let Some(source) = &self.source
            && size_gib < source.size_gib
        {
            return Err(Fault::bad_request(format!(
                "Invalid input received: Volume size '{size_gib}'GB cannot be smaller than original volume size {}GB. They must be >= original volume size.",
                source.size_gib
            )));
        }
        Ok(())
    }

    fn backend(&self) -> Option<&str> {
        match (&self.snapshot, &self.source) {
            (Some(snapshot), _) => snapshot.backend.as_deref(),
            (None, source) => source.as_ref().and_then(|source| source.backend.as_deref()),
        }
    }

    fn length(&self) -> Option<u64> {
        let of_snapshot = self.snapshot.as_ref().and_then(|one| one.source_length);
        of_snapshot.or_else(|| self.source.as_ref().and_then(|one| one.source_length))
    }

    /// Whether a guest can start from what the volume will hold: a snapshot is as its volume is now.
    fn is_bootable(&self, view: &impl View) -> Result<bool, Fault> {
        let Some(snapshot) = &self.snapshot else {
            return Ok(self.source.as_ref().is_some_and(|source| source.bootable));
        };
        let origin = view.get::<Volume>(&snapshot.volume_id)?;
        Ok(origin.is_some_and(|origin| origin.bootable))
    }

    /// What is known of the image that it was made of.
    fn image_metadata(&self) -> BTreeMap<String, String> {
        let of_source = self.source.as_ref().map(|source| &source.image_metadata);
        let of_snapshot = self.snapshot.as_ref().map(|one| &one.image_metadata);
        of_snapshot.or(of_source).cloned().unwrap_or_default()
    }
}

/// The least size and the type that a source implies.
fn implied(
    snapshot: Option<&Snapshot>,
    source: Option<&Volume>,
) -> Result<(Option<u64>, Option<Uuid>), Fault> {
    if let Some(snapshot) = snapshot {
        if snapshot.status != "available" {
            return Err(Fault::bad_request(
                "Invalid snapshot: Originating snapshot status must be one of 'available' values",
            ));
        }
        return Ok((Some(snapshot.size_gib), Some(snapshot.volume_type_id)));
    }
    let Some(source) = source else {
        return Ok((None, None));
    };
    if !["available", "in-use"].contains(&source.status.as_str()) {
        return Err(Fault::bad_request(
            "Invalid volume: Originating volume status must be one of 'available', 'in-use' values",
        ));
    }
    Ok((Some(source.size_gib), Some(source.volume_type_id)))
}
