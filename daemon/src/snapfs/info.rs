//! The text of `info.json`: what is known of a snapshot, without asking anybody.

use jiff::Timestamp;
use serde_json::json;

use super::tree::Record;

/// The document, with a line end. The same record always gives the same text.
pub(super) fn text(record: &Record) -> String {
    let us = i64::try_from(record.created_us).unwrap_or(i64::MAX);
    let created_at = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
    let document = json!({
        "snapshot": {"id": record.id, "name": record.name},
        "volume": {"id": record.volume_id, "name": record.volume_name},
        "project_id": record.project_id,
        "size_bytes": record.size_bytes,
        "created_at": created_at.to_string(),
        "created_us": record.created_us,
        "format": "raw",
    });
    format!("{document:#}\n")
}
