//! What an attachment does: reserving its volume, making and closing its export, and the status of
//! the volume that follows.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::records::{Attachment, Volume};
use super::validate;
use super::volume_view::attachments_of;
use crate::catalogue::Writer;
use crate::fault::Fault;
use crate::server::Services;

/// `rw` or `ro` under `mode`.
pub(super) fn mode_of(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match map.get("mode") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(mode)) if mode == "rw" || mode == "ro" => Ok(Some(mode.clone())),
        Some(other) => {
            let reason = format!("{} is not one of ['rw', 'ro']", validate::repr(other));
            Err(validate::invalid("mode", other, &reason))
        }
    }
}

/// Adds a reserved attachment; the volume's status follows by [`refresh`].
pub(super) fn reserve(
    services: &Services,
    writer: &Writer,
    volume: &Volume,
    instance_id: Option<Uuid>,
) -> Result<Attachment, Fault> {
    let attachment = Attachment {
        id: Uuid::new_v4(),
        project_id: volume.project_id.clone(),
        volume_id: volume.id,
        instance_id,
        status: "reserved".to_owned(),
        mode: None,
        connector: None,
        export: None,
        mountpoint: None,
        by_action: false,
        qos_specs: Value::Null,
        created_us: services.now_us(),
        attached_us: None,
    };
    writer.insert(&attachment)?;
    Ok(attachment)
}

/// Takes the connector: from here on there is an export. The mode the attachment was made with
/// stands, whatever the connector says.
pub(super) fn connect(
    attachment: &mut Attachment,
    volume: &Volume,
    connector: Map<String, Value>,
    now_us: u64,
) -> Result<(), Fault> {
    let told = mode_of(&connector)?;
    let read_only = volume.read_only == Some(true);
    let mode = (attachment.mode.clone())
        .or(told)
        .unwrap_or_else(|| if read_only { "ro" } else { "rw" }.to_owned());
    if read_only && mode != "ro" {
        return Err(Fault::bad_request(format!(
            "Invalid volume attachment mode rw for the read-only volume {}.",
            volume.id
        )));
    }
    if attachment.export.is_none() {
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(Fault::internal)?;
        attachment.export = Some(token.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    attachment.mode = Some(mode);
    attachment.mountpoint = connector
        .get("mountpoint")
        .and_then(Value::as_str)
        .map(str::to_owned);
    attachment.connector = Some(connector);
    if attachment.status != "attached" {
        attachment.status = "attaching".to_owned();
        attachment.attached_us = Some(now_us);
    }
    Ok(())
}

/// Gives a volume the status that follows from its attachments.
pub(super) fn refresh(
    services: &Services,
    writer: &Writer,
    mut volume: Volume,
) -> Result<Volume, Fault> {
    let left = attachments_of(writer, &volume)?;
    let any = |status: &str| left.iter().any(|one| one.status == status);
    let (status, attach_status) = if any("attached") {
        ("in-use", "attached")
    } else if any("attaching") {
        ("attaching", "attaching")
    } else if any("detaching") {
        ("detaching", "detaching")
    } else if any("reserved") {
        ("reserved", "reserved")
    } else {
        ("available", "detached")
    };
    volume.status = status.to_owned();
    volume.attach_status = attach_status.to_owned();
    volume.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    Ok(volume)
}

/// How a host reaches the volume, flat as attachments have it; `None` without a connector.
pub(super) fn connection_info(services: &Services, attachment: &Attachment) -> Option<Value> {
    let export = attachment.export.as_ref()?;
    let config = services.config();
    let (host, port) = (&config.nbd_host, config.nbd_port);
    // An IPv6 address needs brackets in a URI.
    let in_uri = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    Some(json!({
        "driver_volume_type": "nbd",
        "host": host,
        "port": port,
        "export": export,
        "uri": format!("nbd://{in_uri}:{port}/{export}"),
        "access_mode": attachment.mode.as_deref().unwrap_or("rw"),
        "volume_id": attachment.volume_id,
        "attachment_id": attachment.id,
        "encrypted": false,
        "qos_specs": attachment.qos_specs,
        "cacheable": false,
        "enforce_multipath": false,
    }))
}

/// Ends the connections of an attachment whose row is gone: no new one can be made any more.
pub(super) fn close(services: &Services, gone: &Attachment) {
    if let Some(export) = &gone.export {
        services.exports().close_export(export);
    }
    announce(services, "attachment.deleted", gone);
}

/// Records what happened to an attachment, as an event of its volume.
pub(super) fn announce(services: &Services, kind: &str, attachment: &Attachment) {
    let (volume, project) = (attachment.volume_id.to_string(), &attachment.project_id);
    let message = format!("attachment {}", attachment.id);
    services.event(kind, Some(project), &volume, message);
}
