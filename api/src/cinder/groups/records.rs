//! Groups and group snapshots as the catalogue keeps them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::{Index, Key, Record};
use crate::cinder::quotas::Change;
use crate::cinder::records::{BY_GROUP, BY_SOURCE, list_keys, newest};
use crate::policy::Target;

/// Groups by their type.
pub(super) const BY_TYPE: Index = Index("type");

/// A group of volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Id.
    pub(crate) id: Uuid,
    /// Owner.
    pub(crate) project_id: String,
    /// Creator.
    pub(crate) user_id: String,
    /// Name.
    pub(crate) name: Option<String>,
    /// Description.
    pub(crate) description: Option<String>,
    /// Status, such as `available`.
    pub(crate) status: String,
    /// Name of the backend that its volumes are on, empty for the first; none when no backend has
    /// what its types ask for.
    pub(crate) backend: Option<String>,
    /// Type.
    pub(crate) group_type_id: Uuid,
    /// The types that its volumes may have.
    pub(crate) volume_type_ids: Vec<Uuid>,
    /// The group snapshot it was made from.
    pub(crate) group_snapshot_id: Option<Uuid>,
    /// The group it was made from.
    pub(crate) source_group_id: Option<Uuid>,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub(crate) updated_us: Option<u64>,
}

impl Group {
    /// What a group counts for in its project's use, without its volumes.
    pub(super) fn counts() -> Change {
        Change {
            groups: 1,
            ..Change::default()
        }
    }
}

impl Record for Group {
    const TABLE: &'static str = "groups";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        keys.push((BY_TYPE, Key::new().uuid(self.group_type_id)));
        let source = self.group_snapshot_id.or(self.source_group_id);
        keys.extend(source.map(|source| (BY_SOURCE, Key::new().uuid(source))));
        keys
    }
}

impl<'a> From<&'a Group> for Target<'a> {
    fn from(group: &'a Group) -> Self {
        Self {
            project_id: Some(&group.project_id),
            user_id: Some(&group.user_id),
        }
    }
}

/// A snapshot of all volumes of a group, at one point in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupSnapshot {
    /// Id.
    pub(crate) id: Uuid,
    /// Owner.
    pub(crate) project_id: String,
    /// Creator.
    pub(crate) user_id: String,
    /// The group.
    pub(crate) group_id: Uuid,
    /// The group's type.
    pub(crate) group_type_id: Uuid,
    /// Name.
    pub(crate) name: Option<String>,
    /// Description.
    pub(crate) description: Option<String>,
    /// Status, such as `available`.
    pub(crate) status: String,
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub(crate) updated_us: Option<u64>,
}

impl Record for GroupSnapshot {
    const TABLE: &'static str = "group_snapshots";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        let of_group = Key::new().uuid(self.group_id);
        keys.push((BY_GROUP, newest(of_group, self.created_us, self.id)));
        keys
    }
}

impl<'a> From<&'a GroupSnapshot> for Target<'a> {
    fn from(snapshot: &'a GroupSnapshot) -> Self {
        Self {
            project_id: Some(&snapshot.project_id),
            user_id: Some(&snapshot.user_id),
        }
    }
}
