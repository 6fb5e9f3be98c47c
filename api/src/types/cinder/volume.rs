//! Volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Maybe, Metadata, TIME, no_links, optional_since, present, since};

/// A volume, in the summary and the detail form; the summary has id, name and links alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Volume {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// Display name.
    pub name: Option<String>,
    /// `self` and `bookmark`.
    pub links: Vec<Link>,
    /// Status, such as `available`.
    pub status: String,
    /// Size in GiB.
    pub size: u64,
    /// Availability zone.
    pub availability_zone: Option<String>,
    /// Creation time, UTC.
    #[schemars(regex(pattern = TIME))]
    pub created_at: String,
    /// Last change, UTC.
    #[schemars(regex(pattern = TIME))]
    pub updated_at: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name of the type.
    pub volume_type: Option<String>,
    /// Snapshot it was made from.
    #[schemars(extend("format" = "uuid"))]
    pub snapshot_id: Option<String>,
    /// Volume it was made from.
    #[schemars(extend("format" = "uuid"))]
    pub source_volid: Option<String>,
    /// User metadata with the visible admin keys.
    pub metadata: Metadata,
    /// Creator.
    pub user_id: Option<String>,
    /// The text `true` or `false`.
    pub bootable: String,
    /// Whether its content is encrypted.
    pub encrypted: bool,
    /// Replication.
    pub replication_status: Option<String>,
    /// Legacy group.
    #[schemars(extend("format" = "uuid"))]
    pub consistencygroup_id: Option<String>,
    /// Whether it can be attached more than once.
    pub multiattach: bool,
    /// Its attachments in status attached.
    pub attachments: Vec<VolumeAttachment>,
    /// Migration; admins only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub migration_status: Maybe<String>,
    /// `host@backend#pool`; admins only.
    #[serde(
        rename = "os-vol-host-attr:host",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub host: Maybe<String>,
    /// Owner.
    #[serde(
        rename = "os-vol-tenant-attr:tenant_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub tenant_id: Option<String>,
    /// Migration again; admins only.
    #[serde(
        rename = "os-vol-mig-status-attr:migstat",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub migstat: Maybe<String>,
    /// Back-end name after a migration; admins only.
    #[serde(
        rename = "os-vol-mig-status-attr:name_id",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("format" = "uuid"))]
    pub name_id: Maybe<String>,
    /// What is known of the image it was made from, if anything is; in details only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_image_metadata: Option<Metadata>,
    /// Generic group; from 3.13.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    #[schemars(extend("x-openstack" = since(13)))]
    pub group_id: Maybe<String>,
    /// Id given by the back end; from 3.21, admins only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(21)))]
    pub provider_id: Maybe<String>,
    /// Whether targets are shared; from 3.48, null from 3.69 only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = since(48)))]
    pub shared_targets: Maybe<bool>,
    /// Service that owns it; from 3.48.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    #[schemars(extend("x-openstack" = since(48)))]
    pub service_uuid: Maybe<String>,
    /// Cluster; from 3.61, admins only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(61)))]
    pub cluster_name: Maybe<String>,
    /// Id of the type; from 3.63.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    #[schemars(extend("x-openstack" = since(63)))]
    pub volume_type_id: Option<String>,
    /// Whether it counts into quotas; from 3.65.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = since(65)))]
    pub consumes_quota: Option<bool>,
    /// Name of its key; from 3.64, of encrypted volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"), extend("x-openstack" = optional_since(64)))]
    pub encryption_key_id: Option<String>,
}

/// Who uses a volume, as the volume's answer shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeAttachment {
    /// The volume's id once more.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// The attachment's id.
    #[schemars(extend("format" = "uuid"))]
    pub attachment_id: String,
    /// The volume's id.
    #[schemars(extend("format" = "uuid"))]
    pub volume_id: String,
    /// Server.
    #[schemars(extend("format" = "uuid"))]
    pub server_id: Option<String>,
    /// Host; admins and services only, else null.
    pub host_name: Option<String>,
    /// Mount point.
    pub device: Option<String>,
    /// Since when, UTC.
    #[schemars(regex(pattern = TIME))]
    pub attached_at: Option<String>,
}

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeBody {
    /// The volume.
    pub volume: Volume,
}

/// A volume of the short list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeSummary {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// Display name.
    #[serde(default)]
    pub name: Option<String>,
    /// `self` and `bookmark`.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// A page of volumes in either form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "VolumeListOf{V}")]
pub struct VolumeList<V> {
    /// The volumes.
    pub volumes: Vec<V>,
    /// The next page, if there may be one.
    #[serde(default = "no_links", skip_serializing_if = "Option::is_none")]
    pub volumes_links: Option<Vec<Link>>,
    /// All matches, if asked for; from 3.45.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(45)))]
    pub count: Option<u64>,
}

/// The detail list.
pub type Volumes = VolumeList<Volume>;

/// Totals of a project's volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeSummaryBody {
    /// The totals.
    #[serde(rename = "volume-summary")]
    pub volume_summary: VolumeTotals,
}

/// What [`VolumeSummaryBody`] holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeTotals {
    /// Number of volumes.
    pub total_count: u64,
    /// Sum of their sizes in GiB.
    pub total_size: u64,
    /// Each metadata key with its distinct values; from 3.36.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = since(36)))]
    pub metadata: Option<std::collections::BTreeMap<String, Vec<String>>>,
}

/// What a client asks for in a new volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeCreate {
    /// Size in GiB; may be left out with a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Type by name or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    /// Snapshot to make it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Volume to make it from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_volid: Option<String>,
    /// Image to make it from, by id or name.
    #[serde(rename = "imageRef", skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// Availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// User metadata.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Body of a creation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeCreateBody {
    /// The new volume.
    pub volume: VolumeCreate,
}

/// What a client changes of a volume or snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeUpdate {
    /// Display name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub name: Maybe<String>,
    /// Description.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub description: Maybe<String>,
    /// Replaces all user metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Body of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeUpdateBody {
    /// The changes.
    pub volume: VolumeUpdate,
}

/// A new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extend {
    /// GiB, larger than now.
    pub new_size: u64,
}

/// Body of the action that extends a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtendBody {
    /// The new size.
    #[serde(rename = "os-extend")]
    pub extend: Extend,
}
