//! Limits of a project.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Totals allowed and used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AbsoluteLimits {
    /// Volumes; -1 is no limit.
    pub max_total_volumes: i64,
    /// GiB of volumes and snapshots.
    pub max_total_volume_gigabytes: i64,
    /// Snapshots.
    pub max_total_snapshots: i64,
    /// Backups.
    pub max_total_backups: i64,
    /// GiB of backups.
    pub max_total_backup_gigabytes: i64,
    /// Volumes that exist or are being made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_volumes_used: Option<i64>,
    /// Their GiB, with those of snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_gigabytes_used: Option<i64>,
    /// Snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_snapshots_used: Option<i64>,
    /// Backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_backups_used: Option<i64>,
    /// GiB of backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_backup_gigabytes_used: Option<i64>,
}

/// Limits of rate and total.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Rate limits; none.
    #[serde(default)]
    pub rate: Vec<Value>,
    /// Totals.
    pub absolute: AbsoluteLimits,
}

/// The wrapper.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsBody {
    /// The limits.
    pub limits: Limits,
}
