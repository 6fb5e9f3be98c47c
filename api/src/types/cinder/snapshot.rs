//! Snapshots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Maybe, Metadata, TIME, optional_since, present};

/// A snapshot, in the summary and the detail form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Snapshot {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// Creation time, UTC.
    #[schemars(regex(pattern = TIME))]
    pub created_at: String,
    /// Last change, UTC.
    #[schemars(regex(pattern = TIME))]
    pub updated_at: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// The volume it was taken of.
    #[schemars(extend("format" = "uuid"))]
    pub volume_id: String,
    /// Status, such as `available`.
    pub status: String,
    /// Size of the volume in GiB.
    pub size: u64,
    /// User metadata.
    pub metadata: Metadata,
    /// Owner; detail only.
    #[serde(
        rename = "os-extended-snapshot-attributes:project_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<String>,
    /// Per cent as text; detail only.
    #[serde(
        rename = "os-extended-snapshot-attributes:progress",
        skip_serializing_if = "Option::is_none"
    )]
    pub progress: Option<String>,
    /// Group snapshot; from 3.14, detail only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    #[schemars(extend("x-openstack" = optional_since(14)))]
    pub group_snapshot_id: Maybe<String>,
    /// Creator; from 3.41, detail only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(41)))]
    pub user_id: Maybe<String>,
    /// Whether it counts into quotas; from 3.65, detail only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(65)))]
    pub consumes_quota: Option<bool>,
}

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotBody {
    /// The snapshot.
    pub snapshot: Snapshot,
}

/// A page of snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotList {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// The next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_links: Option<Vec<Link>>,
    /// All matches, if asked for; from 3.45.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(45)))]
    pub count: Option<u64>,
}

/// What a client asks for in a new snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SnapshotCreate {
    /// The volume.
    pub volume_id: String,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Also of a volume in use; needed below 3.66, and refused as `false` from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// User metadata.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Body of a creation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotCreateBody {
    /// The new snapshot.
    pub snapshot: SnapshotCreate,
}
