//! Default volume types of projects.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::Record;

/// The type of a project's volumes that ask for none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProjectDefault {
    /// Project.
    pub(super) project_id: String,
    /// Its default type.
    pub(super) volume_type_id: Uuid,
}

impl Record for ProjectDefault {
    const TABLE: &'static str = "default_types";
    type Id = str;

    fn id(&self) -> &str {
        &self.project_id
    }
}
