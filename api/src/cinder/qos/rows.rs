//! QoS specs as stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::{Index, Key, Query, Record, View};
use crate::cinder::records::{BY_CREATED, BY_NAME, BY_QOS, VolumeType, newest};
use crate::fault::Fault;

/// Who enforces specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Consumer {
    /// The storage.
    BackEnd,
    /// The hypervisor.
    FrontEnd,
    /// Each of them.
    Both,
}

impl Consumer {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "back-end" => Some(Self::BackEnd),
            "front-end" => Some(Self::FrontEnd),
            "both" => Some(Self::Both),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::BackEnd => "back-end",
            Self::FrontEnd => "front-end",
            Self::Both => "both",
        }
    }
}

/// Limits by their names, as texts: which of them mean something is for the consumer to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QosSpecs {
    pub(super) id: Uuid,
    /// Unique.
    pub(super) name: String,
    pub(super) consumer: Consumer,
    pub(super) specs: BTreeMap<String, Option<String>>,
    pub(super) created_us: u64,
}

impl Record for QosSpecs {
    const TABLE: &'static str = "qos_specs";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        vec![
            (BY_CREATED, newest(Key::new(), self.created_us, self.id)),
            (BY_NAME, Key::new().text(&self.name)),
        ]
    }
}

pub(super) fn no_specs(id: &str) -> Fault {
    Fault::not_found(format!("No such QoS spec {id}."))
}

/// The specs with an id, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<QosSpecs, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_specs(id))?;
    view.get(&parsed)?.ok_or_else(|| no_specs(id))
}

/// The types that refer to specs.
pub(super) fn types_with(view: &impl View, specs: Uuid) -> Result<Vec<VolumeType>, Fault> {
    Ok(view.list(&Query::by(BY_QOS, Key::new().uuid(specs)))?)
}
