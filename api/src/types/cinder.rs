//! Block Storage bodies: what the services answer and the clients read and send.
//!
//! One struct serves both sides: the services fill in exactly the fields of the asked microversion,
//! and readers accept their absence and any they do not know. A field that is left out below a
//! microversion or for some callers is an `Option`; where it can also be null it is a [`Maybe`].

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

mod attachment;
mod backup;
mod limits;
mod quota;
mod service;
mod snapshot;
mod version;
mod volume;
mod volume_type;

pub use attachment::{
    Attachment, AttachmentBody, AttachmentCreate, AttachmentCreateBody, AttachmentUpdate,
    AttachmentUpdateBody, Attachments, ConnectionInfo,
};
pub use backup::{
    Backup, BackupBody, BackupList, BackupRecord, BackupRecordBody, BackupSummary, Restore,
    RestoreBody,
};
pub use limits::{AbsoluteLimits, Limits, LimitsBody};
pub use quota::{QuotaSet, QuotaSetBody, QuotaUsage, QuotaValue};
pub use service::{
    AvailabilityZone, AvailabilityZones, Extension, ExtensionBody, Extensions, Pool,
    PoolCapabilities, Pools, Service, ServiceList, ZoneState,
};
pub use snapshot::{Snapshot, SnapshotBody, SnapshotCreate, SnapshotCreateBody, SnapshotList};
pub use version::{MediaType, Version, VersionLink, Versions};
pub use volume::{
    Extend, ExtendBody, Volume, VolumeAttachment, VolumeBody, VolumeCreate, VolumeCreateBody,
    VolumeList, VolumeSummary, VolumeSummaryBody, VolumeTotals, VolumeUpdate, VolumeUpdateBody,
    Volumes,
};
pub use volume_type::{
    DefaultType, DefaultTypeBody, DefaultTypes, ExtraSpecs, VolumeType, VolumeTypeBody,
    VolumeTypeList,
};

/// A field that may be absent (outer `None`) or null (inner `None`).
pub type Maybe<T> = Option<Option<T>>;

/// Pairs of user metadata.
pub type Metadata = std::collections::BTreeMap<String, String>;

/// Times as answers have them, in UTC.
const TIME: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)?$";

/// What the schema of a field says that is there from 3.`minor` on.
fn since(minor: u16) -> Value {
    json!({"min-ver": format!("3.{minor}"), "required": true})
}

/// As [`since`], of a field that may be absent then.
fn optional_since(minor: u16) -> Value {
    json!({"min-ver": format!("3.{minor}")})
}

/// That there is no next page; with a path to it, so that pages need no default of their items.
fn no_links() -> Option<Vec<Link>> {
    None
}

/// Tells null from absence: serde calls this only for fields that are there.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Maybe<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A link to an object or a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// `self`, `bookmark` or `next`.
    pub rel: String,
    /// The address.
    pub href: String,
}

/// The `metadata` wrapper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetadataBody {
    /// The pairs.
    pub metadata: Metadata,
}

/// The `meta` wrapper of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetaBody {
    /// The one pair.
    pub meta: Metadata,
}

/// A fault's inside; the key around it names its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultDetail {
    /// The status again.
    #[serde(default)]
    pub code: u16,
    /// What went wrong.
    #[serde(default)]
    pub message: String,
    /// Identity's name of the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Seconds to wait, as text; quota faults only.
    #[serde(
        default,
        rename = "retryAfter",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<String>,
}

/// A fault's body: one key (`badRequest`, `itemNotFound`, `error`, …) and its detail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FaultBody(pub std::collections::BTreeMap<String, FaultDetail>);

#[cfg(test)]
mod tests {
    use super::{QuotaValue, Volume, VolumeBody};

    #[test]
    fn absent_and_null_are_kept_apart() {
        let text = r#"{"volume": {"id": "x", "host": 1, "group_id": null, "bootable": "false"}}"#;
        let body: VolumeBody = serde_json::from_str(text).unwrap();
        assert_eq!(body.volume.group_id, Some(None));
        assert_eq!(body.volume.provider_id, None);
        let value = serde_json::to_value(&body.volume).unwrap();
        assert!(value["group_id"].is_null() && value.get("group_id").is_some());
        assert!(value.get("provider_id").is_none());
    }

    #[test]
    fn any_older_answer_is_read() {
        let volume: Volume = serde_json::from_str("{}").unwrap();
        assert_eq!(volume, Volume::default());
        let number: QuotaValue = serde_json::from_str("-1").unwrap();
        assert_eq!(number.limit(), -1);
    }
}
