//! Taking over a volume of a pool, and letting one go.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use store::{Encryption, VolumeId};
use uuid::Uuid;

use super::reference::{self, Kind};
use super::work::{MANAGE_VOLUME, UNMANAGE_VOLUME};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::quotas::{self, Change};
use crate::cinder::records::{BY_VOLUME, Snapshot, Volume, VolumeType};
use crate::cinder::volume_delete::{DELETABLE, NOT_DELETABLE};
use crate::cinder::volume_view::attachments_of;
use crate::cinder::volumes::enqueue;
use crate::cinder::{encryption, moving, types, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{Backend, Services};

/// What a body asks for.
pub(super) struct Wanted {
    pub(super) host: String,
    reference: Value,
    name: Option<String>,
    description: Option<String>,
    volume_type: Option<String>,
    metadata: BTreeMap<String, String>,
    bootable: bool,
}

impl Wanted {
    pub(super) fn parse(map: &Map<String, Value>, version: Microversion) -> Result<Self, Fault> {
        let allowed = [
            "description",
            "availability_zone",
            "bootable",
            "volume_type",
            "name",
            "host",
            "ref",
            "metadata",
            "cluster",
        ];
        let allowed = if version.has(16) {
            &allowed[..]
        } else {
            &allowed[..8]
        };
        validate::only("volume", map, allowed)?;
        Ok(Self {
            reference: reference::of_body("volume", map)?,
            name: validate::text(map, "name")?,
            description: validate::text(map, "description")?,
            volume_type: map
                .get("volume_type")
                .and_then(Value::as_str)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            metadata: validate::metadata(map, "metadata")?.unwrap_or_default(),
            bootable: validate::flag(map, "bootable")?.unwrap_or(false),
            host: moving::host_in(map, version)?,
        })
    }
}

impl Wanted {
    /// The type asked for, or the default one.
    pub(super) fn type_in(&self, view: &impl View, project: &str) -> Result<VolumeType, Fault> {
        let Some(name) = &self.volume_type else {
            return types::default_type(view, project);
        };
        types::find_type(view, project, name).map_err(|_| {
            Fault::bad_request(format!(
                "Invalid volume type: Cannot find requested '{name}' volume type"
            ))
        })
    }
}

/// Adds the row of a volume that a pool has, and queues the work. A reference to nothing makes a
/// volume in error.
pub(super) fn manage(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    backend: &Backend,
    wanted: &Wanted,
) -> Result<Volume, Fault> {
    let project = caller.require_project()?;
    let source = Kind::Volume.id_in(&wanted.reference);
    if let Some(id) = source
        && writer.get::<Volume>(&id)?.is_some()
    {
        return Err(Fault::bad_request(
            "Invalid volume: Unable to manage existing volume. The volume is already managed",
        ));
    }
    let volume_type = wanted.type_in(writer, project)?;
    let found = source.and_then(|id| backend.store().volume_info(VolumeId(id)).ok());
    let encrypts = encryption::of_type(writer, volume_type.id)?.is_some();
    if found.is_some_and(|found| encrypts != (found.encryption == Encryption::DomainKey)) {
        return Err(Fault::bad_request(
            "Invalid volume type: Managing to an encrypted volume type is not supported.",
        ));
    }
    let size_gib = found.map_or(0, |found| found.size_bytes.div_ceil(1 << 30));
    let change = Change {
        volumes: 1,
        ..Change::of_gib(size_gib)
    };
    quotas::reserve_of_type(writer, project, volume_type.id, change)?;
    let volume = Volume {
        id: Uuid::new_v4(),
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        size_gib,
        status: "managing".to_owned(),
        previous_status: None,
        attach_status: "detached".to_owned(),
        volume_type_id: volume_type.id,
        snapshot_id: None,
        source_volid: None,
        metadata: wanted.metadata.clone(),
        bootable: wanted.bootable,
        read_only: None,
        multiattach: types::is_multiattach(&volume_type),
        source_length: None,
        group_id: None,
        backend: Some(backend.name().to_owned()),
        migration_status: None,
        image_metadata: BTreeMap::new(),
        created_us: services.now_us(),
        updated_us: None,
    };
    writer.insert(&volume)?;
    let args = json!({"source": source});
    enqueue(services, writer, MANAGE_VOLUME, &volume, args)?;
    Ok(volume)
}

/// Queues the removal of a volume's row alone.
pub(in crate::cinder) fn unmanage(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut volume: Volume,
) -> Result<(), Fault> {
    caller.check(Rule::VolumeUnmanage, &volume)?;
    // The words of the real service, which keeps the reason to itself.
    if encryption::of_type(writer, volume.volume_type_id)?.is_some() {
        return Err(Fault::bad_request("Unacceptable parameters."));
    }
    let snapshots = Query::by(BY_VOLUME, Key::new().uuid(volume.id));
    let free = DELETABLE.contains(&volume.status.as_str())
        && !volume.is_migrating()
        && volume.group_id.is_none()
        && attachments_of(writer, &volume)?.is_empty()
        && writer.first::<Snapshot>(&snapshots)?.is_none();
    if !free {
        return Err(Fault::bad_request(NOT_DELETABLE));
    }
    volume.status = "unmanaging".to_owned();
    volume.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    enqueue(services, writer, UNMANAGE_VOLUME, &volume, Value::Null)
}
