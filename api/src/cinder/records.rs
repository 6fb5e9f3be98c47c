//! The objects of Block Storage as the catalogue keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::quotas::Change;
use crate::catalogue::{Index, Key, Record};
use crate::policy::Target;

/// All objects of a table, the newest first.
pub const BY_CREATED: Index = Index("created");
/// Objects of a project, the newest first.
pub const BY_PROJECT: Index = Index("project");
/// Objects by name.
pub const BY_NAME: Index = Index("name");
/// Snapshots or attachments of a volume, the newest first.
pub const BY_VOLUME: Index = Index("volume");
/// Volumes by the object they were made from.
pub const BY_SOURCE: Index = Index("source");
/// Volumes of a group, or its snapshots, the newest first.
pub const BY_GROUP: Index = Index("group");
/// Snapshots of a group snapshot, the newest first.
pub const BY_GROUP_SNAPSHOT: Index = Index("group_snapshot");
/// Volume types by the QoS specs they refer to.
pub const BY_QOS: Index = Index("qos");
/// Attachments by the name of their export.
pub const BY_EXPORT: Index = Index("export");

/// The newest first, ids as a tie-break in the same direction.
pub(super) fn newest(key: Key, created_us: u64, id: Uuid) -> Key {
    key.number_desc(created_us).uuid_desc(id)
}

/// The keys of lists: all objects and those of a project, the newest first.
pub(super) fn list_keys(project_id: &str, created_us: u64, id: Uuid) -> Vec<(Index, Key)> {
    let of_project = Key::new().text(project_id);
    vec![
        (BY_CREATED, newest(Key::new(), created_us, id)),
        (BY_PROJECT, newest(of_project, created_us, id)),
    ]
}

pub(super) fn name_key(name: Option<&str>) -> (Index, Key) {
    (BY_NAME, Key::new().text(name.unwrap_or_default()))
}

/// The key of snapshots and attachments in the list of their volume.
pub(super) fn volume_key(volume_id: Uuid, created_us: u64, id: Uuid) -> (Index, Key) {
    (
        BY_VOLUME,
        newest(Key::new().uuid(volume_id), created_us, id),
    )
}

/// The backend of rows that were written before there were several.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn first_backend() -> Option<String> {
    Some(String::new())
}

/// What volumes and snapshots have in common.
pub(super) trait Object: Record<Id = Uuid> {
    /// What policy rules call it.
    const KIND: &'static str;

    /// Its owner.
    fn project(&self) -> &str;
    /// The backend it is on; `None` for what is on none.
    fn backend(&self) -> Option<&str> {
        None
    }
    /// What it counts for in its project's use.
    fn counts(&self) -> Change;
    /// Its status.
    fn status(&mut self) -> &mut String;
    /// User metadata.
    fn pairs(&mut self) -> &mut BTreeMap<String, String>;
    /// Notes when it changed.
    fn touch(&mut self, now_us: u64);
}

/// A volume. Its id is also the engine's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Id, here and in the engine.
    pub id: Uuid,
    /// Owner.
    pub project_id: String,
    /// Creator.
    pub user_id: String,
    /// Display name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Size in GiB.
    pub size_gib: u64,
    /// Status, such as `available`.
    pub status: String,
    /// The status to go back to when the operation under way ends.
    pub previous_status: Option<String>,
    /// `detached`, `attaching`, `attached` or `reserved`.
    pub attach_status: String,
    /// Type.
    pub volume_type_id: Uuid,
    /// Snapshot it was made from.
    pub snapshot_id: Option<Uuid>,
    /// Volume it was made from.
    pub source_volid: Option<Uuid>,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether a guest can start from it.
    pub bootable: bool,
    /// Whether hosts may only read it.
    pub read_only: Option<bool>,
    /// Whether it can be attached more than once.
    pub multiattach: bool,
    /// Length in bytes of the image it was filled from, which it is exported with.
    pub source_length: Option<u64>,
    /// The group it is in.
    #[serde(default)]
    pub group_id: Option<Uuid>,
    /// Name of the backend it is on, see [`crate::server::Backends`]; `None` if no place was found.
    #[serde(default = "first_backend")]
    pub backend: Option<String>,
    /// Where its last migration is: `migrating`, `success`, `error`, or what an admin set.
    #[serde(default)]
    pub migration_status: Option<String>,
    /// What is known of the image it was made from.
    #[serde(default)]
    pub image_metadata: BTreeMap<String, String>,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub updated_us: Option<u64>,
}

impl Volume {
    /// Whether it is on its way to another backend.
    pub fn is_migrating(&self) -> bool {
        let resting = ["none", "deleting", "error", "success"];
        let status = self.migration_status.as_deref();
        status.is_some_and(|status| !resting.contains(&status))
    }
}

impl Record for Volume {
    const TABLE: &'static str = "volumes";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        keys.push(name_key(self.name.as_deref()));
        let source = self.snapshot_id.or(self.source_volid);
        keys.extend(source.map(|source| (BY_SOURCE, Key::new().uuid(source))));
        keys.extend(self.group_id.map(|group| {
            let of_group = Key::new().uuid(group);
            (BY_GROUP, newest(of_group, self.created_us, self.id))
        }));
        keys
    }
}

impl<'a> From<&'a Volume> for Target<'a> {
    fn from(volume: &'a Volume) -> Self {
        Self {
            project_id: Some(&volume.project_id),
            user_id: Some(&volume.user_id),
        }
    }
}

impl Object for Volume {
    const KIND: &'static str = "volume";

    fn project(&self) -> &str {
        &self.project_id
    }

    fn backend(&self) -> Option<&str> {
        self.backend.as_deref()
    }

    fn counts(&self) -> Change {
        Change {
            volumes: 1,
            ..Change::of_gib(self.size_gib)
        }
    }

    fn status(&mut self) -> &mut String {
        &mut self.status
    }

    fn pairs(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    fn touch(&mut self, now_us: u64) {
        self.updated_us = Some(now_us);
    }
}

/// A snapshot. Its id is also the engine's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Id, here and in the engine.
    pub id: Uuid,
    /// Owner.
    pub project_id: String,
    /// Creator.
    pub user_id: String,
    /// The volume it was taken of.
    pub volume_id: Uuid,
    /// The volume's type.
    pub volume_type_id: Uuid,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Size of the volume in GiB.
    pub size_gib: u64,
    /// Status, such as `available`.
    pub status: String,
    /// Done in per cent, as text.
    pub progress: String,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// Length in bytes of the image the volume was filled from.
    pub source_length: Option<u64>,
    /// What was known of the volume's image.
    #[serde(default)]
    pub image_metadata: BTreeMap<String, String>,
    /// The group snapshot it is part of.
    #[serde(default)]
    pub group_snapshot_id: Option<Uuid>,
    /// Name of the backend it is on, that of its volume.
    #[serde(default = "first_backend")]
    pub backend: Option<String>,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub updated_us: Option<u64>,
}

impl Snapshot {
    /// A snapshot of a volume that is still to be made, without a name.
    pub(super) fn of(volume: &Volume, user_id: &str, now_us: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            project_id: volume.project_id.clone(),
            user_id: user_id.to_owned(),
            volume_id: volume.id,
            volume_type_id: volume.volume_type_id,
            name: None,
            description: None,
            size_gib: volume.size_gib,
            status: "creating".to_owned(),
            progress: "0%".to_owned(),
            metadata: BTreeMap::new(),
            source_length: volume.source_length,
            image_metadata: volume.image_metadata.clone(),
            backend: volume.backend.clone(),
            group_snapshot_id: None,
            created_us: now_us,
            updated_us: None,
        }
    }
}

impl Record for Snapshot {
    const TABLE: &'static str = "snapshots";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        keys.push(volume_key(self.volume_id, self.created_us, self.id));
        keys.push(name_key(self.name.as_deref()));
        keys.extend(self.group_snapshot_id.map(|whole| {
            let of_whole = Key::new().uuid(whole);
            (
                BY_GROUP_SNAPSHOT,
                newest(of_whole, self.created_us, self.id),
            )
        }));
        keys
    }
}

impl<'a> From<&'a Snapshot> for Target<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        Self {
            project_id: Some(&snapshot.project_id),
            user_id: Some(&snapshot.user_id),
        }
    }
}

impl Object for Snapshot {
    const KIND: &'static str = "snapshot";

    fn project(&self) -> &str {
        &self.project_id
    }

    fn backend(&self) -> Option<&str> {
        self.backend.as_deref()
    }

    fn counts(&self) -> Change {
        Change {
            snapshots: 1,
            ..Change::of_gib(self.size_gib)
        }
    }

    fn status(&mut self) -> &mut String {
        &mut self.status
    }

    fn pairs(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    fn touch(&mut self, now_us: u64) {
        self.updated_us = Some(now_us);
    }
}

/// Who uses a volume, or is about to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Id.
    pub id: Uuid,
    /// Owner.
    pub project_id: String,
    /// The volume.
    pub volume_id: Uuid,
    /// Server.
    pub instance_id: Option<Uuid>,
    /// `reserved`, `attaching` or `attached`.
    pub status: String,
    /// `rw` or `ro`; asked for at the beginning, else set with the connector.
    pub mode: Option<String>,
    /// Who connects; there is an export from then on.
    pub connector: Option<serde_json::Map<String, serde_json::Value>>,
    /// Name of the export: 128 random bits in hex.
    pub export: Option<String>,
    /// Mount point told by the old calls.
    pub mountpoint: Option<String>,
    /// Whether it was made by the old calls, whose mode the volume's metadata show.
    #[serde(default)]
    pub by_action: bool,
    /// What the hypervisor is to enforce, as it was when the connector came; null is nothing.
    #[serde(default)]
    pub qos_specs: serde_json::Value,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Microseconds since 1970.
    pub attached_us: Option<u64>,
}

impl std::fmt::Debug for Attachment {
    /// Without the export's name, which is a capability.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("id", &self.id)
            .field("volume_id", &self.volume_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Record for Attachment {
    const TABLE: &'static str = "attachments";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        keys.push(volume_key(self.volume_id, self.created_us, self.id));
        keys.extend(
            self.export
                .as_ref()
                .map(|export| (BY_EXPORT, Key::new().text(export))),
        );
        keys
    }
}

/// A volume type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeType {
    /// Id.
    pub id: Uuid,
    /// Name, unique.
    pub name: String,
    /// Description.
    pub description: Option<String>,
    /// Whether every project may use it.
    pub is_public: bool,
    /// Extra specs.
    pub extra_specs: BTreeMap<String, Option<String>>,
    /// Projects that may use it when it is not public.
    pub projects: Vec<String>,
    /// The QoS specs it refers to.
    #[serde(default)]
    pub qos_specs_id: Option<Uuid>,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub updated_us: Option<u64>,
}

impl Record for VolumeType {
    const TABLE: &'static str = "volume_types";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = vec![
            (BY_CREATED, newest(Key::new(), self.created_us, self.id)),
            (BY_NAME, Key::new().text(&self.name)),
        ];
        keys.extend(self.qos_specs_id.map(|id| (BY_QOS, Key::new().uuid(id))));
        keys
    }
}

/// What a project uses; changed in the transactions that create and remove, so it cannot leak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Project.
    pub project_id: String,
    /// Volumes.
    pub volumes: u64,
    /// GiB of volumes and snapshots.
    pub gigabytes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Groups.
    #[serde(default)]
    pub groups: u64,
    /// Backups.
    #[serde(default)]
    pub backups: u64,
    /// GiB of backups.
    #[serde(default)]
    pub backup_gigabytes: u64,
}

impl Record for Usage {
    const TABLE: &'static str = "usages";
    type Id = str;

    fn id(&self) -> &str {
        &self.project_id
    }
}

/// Limits that differ from the defaults; -1 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuotaLimits {
    /// Project.
    pub project_id: String,
    /// Limits by name, such as `volumes`.
    pub limits: BTreeMap<String, i64>,
}

impl Record for QuotaLimits {
    const TABLE: &'static str = "quota_limits";
    type Id = str;

    fn id(&self) -> &str {
        &self.project_id
    }
}
