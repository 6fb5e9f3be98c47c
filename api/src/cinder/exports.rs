//! What attachments let hosts open: the name of an export leads to a volume, while it is attached.

use uuid::Uuid;

use super::records::{Attachment, BY_EXPORT, BY_NAME, Volume};
use crate::catalogue::{self, Catalogue, Key, Query, View};

/// What an export gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportTarget {
    /// The attachment.
    pub attachment_id: Uuid,
    /// The volume.
    pub volume_id: Uuid,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// The target of an export's name; `None` unless a live attachment has exactly this name. The lookup
/// is by index key, so its time says nothing about how much of a guess was right.
///
/// # Errors
/// Those of the catalogue.
pub fn resolve_export(
    catalogue: &Catalogue,
    token: &str,
) -> catalogue::Result<Option<ExportTarget>> {
    let query = Query::by(BY_EXPORT, Key::new().text(token));
    let attachment = catalogue.read(|reader| reader.first::<Attachment>(&query))?;
    Ok(attachment.map(|attachment| ExportTarget {
        attachment_id: attachment.id,
        volume_id: attachment.volume_id,
        read_only: attachment.mode.as_deref() == Some("ro"),
    }))
}

/// Volumes of this name, of all projects.
///
/// # Errors
/// Those of the catalogue.
pub fn volumes_named(catalogue: &Catalogue, name: &str) -> catalogue::Result<Vec<Volume>> {
    catalogue.read(|reader| reader.list(&Query::by(BY_NAME, Key::new().text(name))))
}

/// All volumes, by id.
///
/// # Errors
/// Those of the catalogue.
pub fn all_volumes(catalogue: &Catalogue) -> catalogue::Result<Vec<Volume>> {
    catalogue.read(|reader| reader.list(&Query::all()))
}
