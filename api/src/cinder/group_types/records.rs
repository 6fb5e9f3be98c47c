//! Group types as the catalogue keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::{Index, Key, Record};
use crate::cinder::records::{BY_CREATED, BY_NAME};

/// A group type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupType {
    /// Id.
    pub(crate) id: Uuid,
    /// Name, unique.
    pub(crate) name: String,
    /// Description.
    pub(crate) description: Option<String>,
    /// Whether those who are no admins find it in lists.
    pub(crate) is_public: bool,
    /// What groups of it need of a back end.
    pub(crate) group_specs: BTreeMap<String, Option<String>>,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub(crate) updated_us: Option<u64>,
}

impl Record for GroupType {
    const TABLE: &'static str = "group_types";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let newest = Key::new().number_desc(self.created_us).uuid_desc(self.id);
        vec![(BY_CREATED, newest), (BY_NAME, Key::new().text(&self.name))]
    }
}
