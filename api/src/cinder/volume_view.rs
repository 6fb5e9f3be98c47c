//! Volumes as answers show them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Value, json};
use uuid::Uuid;

use super::records::{Attachment, BY_VOLUME, Volume, VolumeType};
use super::{backends, encryption, groups};
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View};
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};
use crate::types::cinder as wire;

/// Who looks, and how.
pub(super) struct Viewer<'a> {
    pub(super) services: &'a Services,
    pub(super) url: &'a UrlProject,
    pub(super) caller: &'a Caller,
    pub(super) version: Microversion,
}

/// A volume with what its answer needs besides.
pub(super) struct Loaded {
    pub(super) volume: Volume,
    pub(super) type_name: Option<String>,
    pub(super) attachments: Vec<Attachment>,
    /// Whether its type asks for encryption, which all volumes of a type have or none.
    pub(super) encrypted: bool,
    /// Whether it is in a consistency group.
    pub(super) in_consistency_group: bool,
}

/// The names of types and whether they encrypt, each looked up once for all volumes of a list.
pub(super) type TypeNames = BTreeMap<Uuid, (Option<String>, bool)>;

/// Adds type, attachments and kind of group to a volume.
pub(super) fn load(view: &impl View, volume: Volume) -> catalogue::Result<Loaded> {
    load_with(view, volume, &mut TypeNames::default())
}

/// As [`load`], for one volume of many.
pub(super) fn load_with(
    view: &impl View,
    volume: Volume,
    types: &mut TypeNames,
) -> catalogue::Result<Loaded> {
    let (type_name, encrypted) = match types.entry(volume.volume_type_id) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(unknown) => {
            let found = view.get::<VolumeType>(unknown.key())?;
            let encrypts = encryption::of_type(view, volume.volume_type_id)?.is_some();
            let facts = (found.map(|found| found.name), encrypts);
            unknown.insert(facts).clone()
        }
    };
    Ok(Loaded {
        type_name,
        attachments: attachments_of(view, &volume)?,
        encrypted,
        in_consistency_group: match volume.group_id {
            Some(group) => groups::is_consistency(view, group)?,
            None => false,
        },
        volume,
    })
}

/// The attachments of a volume.
pub(super) fn attachments_of(
    view: &impl View,
    volume: &Volume,
) -> catalogue::Result<Vec<Attachment>> {
    view.list(&Query::by(BY_VOLUME, Key::new().uuid(volume.id)))
}

impl Viewer<'_> {
    pub(super) fn links(&self, id: &str) -> Vec<wire::Link> {
        let link = |rel: &str, base: String| wire::Link {
            rel: rel.to_owned(),
            href: format!("{base}/volumes/{id}"),
        };
        vec![
            link("self", self.url.base(self.services)),
            link("bookmark", self.url.bookmark_base(self.services)),
        ]
    }

    /// The form of creations and updates.
    pub(super) fn brief(&self, loaded: &Loaded) -> wire::Volume {
        let volume = &loaded.volume;
        let admin = self.caller.is_admin;
        let since = |minor: u16| self.version.has(minor);
        let is_new = volume.status == "creating";
        let group_id = volume.group_id.map(|id| id.to_string());
        wire::Volume {
            id: volume.id.to_string(),
            name: volume.name.clone(),
            links: self.links(&volume.id.to_string()),
            status: shown_status(&volume.status).to_owned(),
            size: volume.size_gib,
            availability_zone: Some(self.services.config().availability_zone.clone()),
            created_at: volume_time(volume.created_us),
            updated_at: volume.updated_us.map(volume_time),
            description: volume.description.clone(),
            volume_type: loaded.type_name.clone(),
            snapshot_id: volume.snapshot_id.map(|id| id.to_string()),
            source_volid: volume.source_volid.map(|id| id.to_string()),
            metadata: self.metadata(loaded),
            user_id: Some(volume.user_id.clone()),
            bootable: volume.bootable.to_string(),
            encrypted: loaded.encrypted,
            replication_status: None,
            consistencygroup_id: group_id.clone().filter(|_| loaded.in_consistency_group),
            multiattach: volume.multiattach,
            attachments: self.attachments(loaded),
            migration_status: admin.then(|| volume.migration_status.clone()),
            group_id: since(13).then_some(group_id),
            provider_id: (since(21) && admin).then_some(None),
            // Each volume is an export of its own. Until it is, the real service says otherwise.
            shared_targets: since(48).then_some(Some(is_new)),
            service_uuid: since(48).then(|| {
                let backend = volume.backend.as_deref().filter(|_| !is_new);
                backends::service_id(self.services, backend)
            }),
            cluster_name: (since(61) && admin).then_some(None),
            volume_type_id: since(63).then(|| volume.volume_type_id.to_string()),
            consumes_quota: since(65).then_some(true),
            encryption_key_id: (since(64) && loaded.encrypted)
                .then(|| encryption::key_id(volume.id).to_string()),
            ..wire::Volume::default()
        }
    }

    /// The form of show and detail lists.
    pub(super) fn detail(&self, loaded: &Loaded) -> wire::Volume {
        let shows = |rule: Rule| self.caller.can_own(rule);
        let tenant = shows(Rule::VolumeTenantAttribute).then(|| loaded.volume.project_id.clone());
        let host = || backends::host_of(self.services, loaded.volume.backend.as_deref());
        let migration = shows(Rule::VolumeMigStatusAttribute);
        let image = &loaded.volume.image_metadata;
        let has_image = !image.is_empty() && shows(Rule::VolumeImageMetadataShow);
        wire::Volume {
            tenant_id: tenant,
            host: shows(Rule::VolumeHostAttribute).then(host),
            migstat: migration.then(|| loaded.volume.migration_status.clone()),
            name_id: migration.then_some(None),
            volume_image_metadata: has_image.then(|| image.clone()),
            ..self.brief(loaded)
        }
    }

    /// The form of short lists.
    pub(super) fn summary(&self, volume: &Volume) -> Value {
        let id = volume.id.to_string();
        json!({"id": id, "name": volume.name, "links": self.links(&id)})
    }

    /// User metadata with what the service itself keeps there.
    fn metadata(&self, loaded: &Loaded) -> wire::Metadata {
        let mut metadata = loaded.volume.metadata.clone();
        if let Some(read_only) = loaded.volume.read_only {
            let text = if read_only { "True" } else { "False" };
            metadata.insert("readonly".to_owned(), text.to_owned());
        }
        let attached = loaded
            .attachments
            .iter()
            .find(|one| one.status == "attached" && one.by_action);
        if let Some(mode) = attached.and_then(|one| one.mode.clone()) {
            metadata.insert("attached_mode".to_owned(), mode);
        }
        metadata
    }

    fn attachments(&self, loaded: &Loaded) -> Vec<wire::VolumeAttachment> {
        let attached = loaded
            .attachments
            .iter()
            .filter(|one| one.status == "attached");
        let host = |one: &Attachment| {
            let host = one.connector.as_ref()?.get("host")?.as_str()?;
            self.caller.is_admin.then(|| host.to_owned())
        };
        attached
            .map(|one| wire::VolumeAttachment {
                id: one.volume_id.to_string(),
                attachment_id: one.id.to_string(),
                volume_id: one.volume_id.to_string(),
                server_id: one.instance_id.map(|id| id.to_string()),
                host_name: host(one),
                device: one.mountpoint.clone(),
                attached_at: one.attached_us.map(volume_time),
            })
            .collect()
    }
}

/// A status as clients see it: what is being taken over looks like what is being made.
fn shown_status(status: &str) -> &str {
    match status {
        "managing" => "creating",
        "error_managing" => "error",
        other => other,
    }
}

/// 404 of a volume.
pub(super) fn no_volume(id: &str) -> Fault {
    Fault::not_found(format!("Volume {id} could not be found."))
}
