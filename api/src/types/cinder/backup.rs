//! Backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Maybe, Metadata, TIME, no_links, optional_since, present, since};

/// A backup in the summary form, which creations and updates answer too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BackupSummary {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Where it is.
    pub links: Vec<Link>,
}

/// A backup in the detail form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Backup {
    /// Id, name and links.
    #[serde(flatten)]
    pub summary: BackupSummary,
    /// Status, such as `available`.
    pub status: String,
    /// Size of the volume in GiB.
    pub size: u64,
    /// Objects it brought to the target.
    pub object_count: Option<u64>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Container.
    pub container: Option<String>,
    /// Creation time, UTC.
    #[schemars(regex(pattern = TIME))]
    pub created_at: String,
    /// Last change, UTC.
    #[schemars(regex(pattern = TIME))]
    pub updated_at: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Why it failed.
    pub fail_reason: Option<String>,
    /// The volume; all zeroes while a record is being imported.
    #[schemars(extend("format" = "uuid"))]
    pub volume_id: String,
    /// Whether it is the difference from another.
    pub is_incremental: bool,
    /// Whether others are differences from it.
    pub has_dependent_backups: bool,
    /// The snapshot it was made of.
    #[schemars(extend("format" = "uuid"))]
    pub snapshot_id: Option<String>,
    /// When the data was as it is in the backup, UTC.
    #[schemars(regex(pattern = TIME))]
    pub data_timestamp: Option<String>,
    /// Owner; from 3.18, for admins.
    #[serde(
        rename = "os-backup-project-attr:project_id",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-openstack" = optional_since(18)))]
    pub project_id: Option<String>,
    /// User metadata; from 3.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = since(43)))]
    pub metadata: Option<Metadata>,
    /// Creator; from 3.56, for admins.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(56)))]
    pub user_id: Maybe<String>,
    /// Name of its key; from 3.64, of encrypted backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"), extend("x-openstack" = optional_since(64)))]
    pub encryption_key_id: Option<String>,
}

/// What a restore answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restore {
    /// The backup.
    #[schemars(extend("format" = "uuid"))]
    pub backup_id: String,
    /// The volume it goes to.
    #[schemars(extend("format" = "uuid"))]
    pub volume_id: String,
    /// Its name.
    pub volume_name: Option<String>,
}

/// What another daemon needs to know of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRecord {
    /// Which program's format it is in.
    pub backup_service: String,
    /// The record itself: JSON in base64.
    pub backup_url: String,
}

/// One backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BackupBodyOf{B}")]
pub struct BackupBody<B> {
    /// The backup.
    pub backup: B,
}

/// A page of backups in either form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BackupListOf{B}")]
pub struct BackupList<B> {
    /// The backups.
    pub backups: Vec<B>,
    /// The next page, if there may be one.
    #[serde(default = "no_links", skip_serializing_if = "Option::is_none")]
    pub backups_links: Option<Vec<Link>>,
    /// All matches, if asked for; from 3.45.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(45)))]
    pub count: Option<u64>,
}

/// What a restore answers, wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreBody {
    /// The restore.
    pub restore: Restore,
}

/// A record, wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRecordBody {
    /// The record.
    #[serde(rename = "backup-record")]
    pub backup_record: BackupRecord,
}
