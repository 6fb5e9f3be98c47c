//! What the service tells of itself: services, zones, pools and extensions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Maybe, TIME, optional_since, present, since};

/// A part of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Service {
    /// `cinder-volume` or `cinder-scheduler`.
    pub binary: String,
    /// Host.
    pub host: String,
    /// Availability zone.
    pub zone: String,
    /// `enabled` or `disabled`.
    pub status: String,
    /// `up` or `down`.
    pub state: String,
    /// Heartbeat, UTC.
    #[schemars(regex(pattern = TIME))]
    pub updated_at: Option<String>,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Replication; volume services only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub replication_status: Maybe<String>,
    /// Back end after a failover; volume services only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub active_backend_id: Maybe<String>,
    /// Whether it is frozen; volume services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<bool>,
    /// Cluster; from 3.7.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = since(7)))]
    pub cluster: Maybe<String>,
    /// `up` or `down`; from 3.49, volume services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-openstack" = optional_since(49)))]
    pub backend_state: Option<String>,
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceList {
    /// The services.
    pub services: Vec<Service>,
}

/// Whether a zone can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZoneState {
    /// Usable.
    pub available: bool,
}

/// An availability zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityZone {
    /// Name.
    pub zone_name: String,
    /// Whether it can be used.
    pub zone_state: ZoneState,
}

/// All zones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailabilityZones {
    /// The zones.
    pub availability_zone_info: Vec<AvailabilityZone>,
}

/// What a pool can do and holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PoolCapabilities {
    /// Back end.
    pub volume_backend_name: String,
    /// Who made the program.
    pub vendor_name: String,
    /// Its version.
    pub driver_version: String,
    /// `nbd`.
    pub storage_protocol: String,
    /// Size of the pool in GiB, or the text `unknown`.
    pub total_capacity_gb: Value,
    /// Free space in GiB, or the text `unknown`.
    pub free_capacity_gb: Value,
    /// Sum of the volumes' sizes in GiB.
    pub allocated_capacity_gb: f64,
    /// As allocated.
    pub provisioned_capacity_gb: f64,
    /// Per cent kept free.
    pub reserved_percentage: u32,
    /// Whether volumes take space only as they are written.
    pub thin_provisioning_support: bool,
    /// Whether volumes take all their space at once.
    pub thick_provisioning_support: bool,
    /// Whether a volume can be attached more than once.
    pub multiattach: bool,
    /// Whether the type's QoS is obeyed.
    #[serde(rename = "QoS_support")]
    pub qos_support: bool,
    /// When this was found out, UTC.
    pub timestamp: String,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// `host@backend#pool`.
    pub name: String,
    /// With `detail=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<PoolCapabilities>,
}

/// All pools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pools {
    /// The pools.
    pub pools: Vec<Pool>,
}

/// An extension of the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extension {
    /// Name.
    pub name: String,
    /// Alias.
    pub alias: String,
    /// Description.
    pub description: String,
    /// When it last changed.
    pub updated: String,
    /// Always empty.
    #[serde(default)]
    pub links: Vec<Value>,
}

/// All extensions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extensions {
    /// The extensions.
    pub extensions: Vec<Extension>,
}

/// One extension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExtensionBody {
    /// The extension.
    pub extension: Extension,
}
