//! What attachments let hosts open: the name of an export leads to a volume, while it is attached.

use uuid::Uuid;

use super::qos::{IoLimits, limits_of_volume};
use super::records::{Attachment, BY_EXPORT, BY_NAME, Snapshot, Volume};
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
        // Whatever is not said to be writable is not.
        read_only: attachment.mode.as_deref() != Some("rw"),
    }))
}

/// What the back end holds the exports of a volume to.
///
/// # Errors
/// Those of the catalogue.
pub fn io_limits(catalogue: &Catalogue, volume: Uuid) -> catalogue::Result<IoLimits> {
    catalogue.read(|reader| limits_of_volume(reader, volume))
}

/// Volumes of this name, of all projects.
///
/// # Errors
/// Those of the catalogue.
pub fn volumes_named(catalogue: &Catalogue, name: &str) -> catalogue::Result<Vec<Volume>> {
    catalogue.read(|reader| reader.list(&Query::by(BY_NAME, Key::new().text(name))))
}

/// The name of the backend that a volume may be opened on; `None` while it is being moved.
///
/// # Errors
/// Those of the catalogue.
pub fn backend_of_volume(catalogue: &Catalogue, id: Uuid) -> catalogue::Result<Option<String>> {
    let volume = catalogue.read(|reader| reader.get::<Volume>(&id))?;
    let resting = volume.filter(|volume| !volume.is_migrating());
    Ok(resting.and_then(|volume| volume.backend))
}

/// The name of the backend that a snapshot is on.
///
/// # Errors
/// Those of the catalogue.
pub fn backend_of_snapshot(catalogue: &Catalogue, id: Uuid) -> catalogue::Result<Option<String>> {
    let snapshot = catalogue.read(|reader| reader.get::<Snapshot>(&id))?;
    Ok(snapshot.and_then(|snapshot| snapshot.backend))
}

/// All volumes, by id.
///
/// # Errors
/// Those of the catalogue.
pub fn all_volumes(catalogue: &Catalogue) -> catalogue::Result<Vec<Volume>> {
    catalogue.read(|reader| reader.list(&Query::all()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use uuid::Uuid;

    use super::resolve_export;
    use crate::catalogue::Catalogue;
    use crate::cinder::attaching::connect;
    use crate::cinder::records::{Attachment, Volume};
    use crate::fault::Fault;

    fn volume() -> Volume {
        serde_json::from_value(json!({
            "id": Uuid::new_v4(), "project_id": "p", "user_id": "u", "name": null,
            "description": null, "size_gib": 1, "status": "reserved", "previous_status": null,
            "attach_status": "reserved", "volume_type_id": Uuid::nil(), "snapshot_id": null,
            "source_volid": null, "metadata": {}, "bootable": false, "read_only": null,
            "multiattach": false, "source_length": null, "created_us": 1, "updated_us": null,
        }))
        .unwrap()
    }

    fn reserved(volume: &Volume, mode: Option<&str>) -> Attachment {
        Attachment {
            id: Uuid::new_v4(),
            project_id: "p".to_owned(),
            volume_id: volume.id,
            instance_id: None,
            status: "reserved".to_owned(),
            mode: mode.map(str::to_owned),
            connector: None,
            export: None,
            mountpoint: None,
            by_action: false,
            qos_specs: Value::Null,
            created_us: 1,
            attached_us: None,
        }
    }

    fn connector(mode: Option<&str>) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("host".to_owned(), json!("h"));
        map.extend(mode.map(|mode| ("mode".to_owned(), json!(mode))));
        map
    }

    #[test]
    fn a_mode_asked_for_at_the_beginning_stands() {
        let volume = volume();
        for (made, told, read_only) in [
            (Some("ro"), Some("rw"), true),
            (Some("ro"), None, true),
            (Some("rw"), Some("ro"), false),
            (None, Some("ro"), true),
            (None, None, false),
        ] {
            let mut attachment = reserved(&volume, made);
            connect(&mut attachment, &volume, connector(told), 1).unwrap();
            let catalogue = Catalogue::in_memory().unwrap();
            catalogue
                .write::<_, Fault>(|writer| Ok(writer.insert(&attachment)?))
                .unwrap();
            let export = attachment.export.unwrap();
            let target = resolve_export(&catalogue, &export).unwrap().unwrap();
            assert_eq!(target.read_only, read_only, "{made:?} {told:?}");
            assert!(resolve_export(&catalogue, &export[1..]).unwrap().is_none());
        }
    }

    #[test]
    fn connecting_again_changes_neither_export_nor_state() {
        let volume = volume();
        let mut attachment = reserved(&volume, None);
        connect(&mut attachment, &volume, connector(None), 1).unwrap();
        let export = attachment.export.clone();
        attachment.status = "attached".to_owned();
        connect(&mut attachment, &volume, connector(Some("ro")), 1).unwrap();
        assert_eq!(
            (attachment.export, attachment.status.as_str()),
            (export, "attached")
        );
        let mut odd = reserved(&volume, None);
        assert!(connect(&mut odd, &volume, connector(Some("anything")), 1).is_err());
    }
}
