//! Attachments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An attachment, in the summary and the detail form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Attachment {
    /// Id.
    pub id: String,
    /// `reserved`, `attaching`, `attached`, …
    pub status: String,
    /// Server.
    pub instance: Option<String>,
    /// Volume.
    pub volume_id: String,
    /// Since when, or the empty text; detail only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_at: Option<String>,
    /// Until when, or the empty text; detail only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached_at: Option<String>,
    /// `rw`, `ro` or the text `null`; detail only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_mode: Option<String>,
    /// How to reach it, `{}` until a connector is given; detail only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_info: Option<Map<String, Value>>,
}

impl Attachment {
    /// The connection information as ours, if it is complete.
    pub fn connection(&self) -> Option<ConnectionInfo> {
        let info = self.connection_info.clone()?;
        serde_json::from_value(Value::Object(info)).ok()
    }
}

/// How a host reaches an attached volume: flat, as attachments have it.
///
/// The export name is the capability; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionInfo {
    /// `nbd`.
    pub driver_volume_type: String,
    /// Host name or address of the NBD listener.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The export's name: 128 random bits in hex.
    pub export: String,
    /// `nbd://host:port/export`.
    pub uri: String,
    /// `rw` or `ro`.
    pub access_mode: String,
    /// The volume.
    #[schemars(extend("format" = "uuid"))]
    pub volume_id: String,
    /// The attachment.
    #[schemars(extend("format" = "uuid"))]
    pub attachment_id: String,
    /// Whether the host has to decrypt.
    #[serde(default)]
    pub encrypted: bool,
    /// QoS settings of the type.
    #[serde(default)]
    pub qos_specs: Option<Map<String, Value>>,
    /// Whether the host may cache.
    #[serde(default)]
    pub cacheable: bool,
    /// Whether the host must use several paths.
    #[serde(default)]
    pub enforce_multipath: bool,
}

impl std::fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("volume_id", &self.volume_id)
            .field("access_mode", &self.access_mode)
            .finish_non_exhaustive()
    }
}

/// One attachment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentBody {
    /// The attachment.
    pub attachment: Attachment,
}

/// A page of attachments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attachments {
    /// The attachments.
    pub attachments: Vec<Attachment>,
}

/// What a client asks for in a new attachment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AttachmentCreate {
    /// The volume.
    pub volume_uuid: String,
    /// Server, or any UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_uuid: Option<String>,
    /// Who connects; without one the volume is only reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<Map<String, Value>>,
    /// `rw` or `ro`; from 3.54.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Body of a creation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentCreateBody {
    /// The new attachment.
    pub attachment: AttachmentCreate,
}

/// The connector of a reserved attachment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentUpdate {
    /// Who connects.
    pub connector: Map<String, Value>,
}

/// Body of an update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentUpdateBody {
    /// The change.
    pub attachment: AttachmentUpdate,
}
