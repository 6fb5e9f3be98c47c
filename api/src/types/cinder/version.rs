//! Version documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A link of a version document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionLink {
    /// `self` or `describedby`.
    pub rel: String,
    /// The address.
    pub href: String,
    /// Media type of what is there.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// A media type of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MediaType {
    /// The common form.
    pub base: String,
    /// The form with the version in it.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// A version of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Version {
    /// Such as `v3.0`.
    pub id: String,
    /// `CURRENT` or `DEPRECATED`.
    pub status: String,
    /// The highest microversion.
    pub version: String,
    /// The lowest microversion.
    pub min_version: String,
    /// When it last changed.
    pub updated: String,
    /// `describedby` and `self`.
    pub links: Vec<VersionLink>,
    /// Media types.
    #[serde(rename = "media-types")]
    pub media_types: Vec<MediaType>,
}

/// All versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// The versions.
    pub versions: Vec<Version>,
}
