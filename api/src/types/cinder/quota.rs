//! Quota sets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limit, use and reservation of one quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaUsage {
    /// -1 is no limit.
    pub limit: i64,
    /// What exists.
    pub in_use: i64,
    /// What is being made.
    pub reserved: i64,
}

/// One quota, as a number or with its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum QuotaValue {
    /// The limit alone.
    Limit(i64),
    /// With `usage=true`.
    Usage(QuotaUsage),
}

impl QuotaValue {
    /// The limit; -1 is none.
    pub fn limit(&self) -> i64 {
        match self {
            Self::Limit(limit) => *limit,
            Self::Usage(usage) => usage.limit,
        }
    }
}

/// All quotas of a project: `volumes`, `gigabytes`, `snapshots`, … and three for each type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaSet {
    /// Project; absent in the answer of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The quotas by name.
    #[serde(flatten)]
    pub quotas: BTreeMap<String, QuotaValue>,
}

/// One quota set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaSetBody {
    /// The quota set.
    pub quota_set: QuotaSet,
}
