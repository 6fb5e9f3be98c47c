//! Volume types and defaults of projects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Link, Maybe, present};

/// Extra specs of a type; a value may be null.
pub type ExtraSpecs = BTreeMap<String, Option<String>>;

/// A volume type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeType {
    /// Id.
    #[schemars(extend("format" = "uuid"))]
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether every project may use it.
    pub is_public: bool,
    /// Description.
    pub description: Option<String>,
    /// Extra specs, those that the caller may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_specs: Option<ExtraSpecs>,
    /// QoS specification; admins only.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub qos_specs_id: Maybe<String>,
    /// Repeats `is_public`; members only, not in the answer of an update.
    #[serde(
        rename = "os-volume-type-access:is_public",
        skip_serializing_if = "Option::is_none"
    )]
    pub access_is_public: Option<bool>,
}

/// One type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeTypeBody {
    /// The type.
    pub volume_type: VolumeType,
}

/// A page of types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeTypeList {
    /// The types.
    pub volume_types: Vec<VolumeType>,
    /// The next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_type_links: Option<Vec<Link>>,
}

/// The default type of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefaultType {
    /// Project.
    pub project_id: String,
    /// Id of the type.
    #[schemars(extend("format" = "uuid"))]
    pub volume_type_id: String,
}

/// One default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefaultTypeBody {
    /// The default.
    pub default_type: DefaultType,
}

/// All defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DefaultTypes {
    /// The defaults.
    pub default_types: Vec<DefaultType>,
}
