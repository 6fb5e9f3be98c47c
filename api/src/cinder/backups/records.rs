//! Backups as the catalogue keeps them, and the snapshots that make the next increment cheap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::SnapshotId;
use uuid::Uuid;

use crate::backup::{Ancestor, Method};
use crate::catalogue::{Index, Key, Record};
use crate::cinder::quotas::Change;
use crate::cinder::records::{Object, list_keys, name_key, volume_key};
use crate::policy::Target;

/// Backups by the backup that they are the difference from.
pub(super) const BY_PARENT: Index = Index("parent");

/// Backups by their id on the target.
pub(super) const BY_STORED: Index = Index("stored");

/// A backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cinder) struct Backup {
    /// Id; on the target too, unless it was imported under another.
    pub(in crate::cinder) id: Uuid,
    /// Owner.
    pub(in crate::cinder) project_id: String,
    /// Creator.
    pub(in crate::cinder) user_id: String,
    /// The volume it is of; all zeroes while a record is being imported.
    pub(in crate::cinder) volume_id: Uuid,
    /// The API's snapshot that it was made of.
    pub(in crate::cinder) snapshot_id: Option<Uuid>,
    /// The backup that it is the difference from.
    pub(in crate::cinder) parent_id: Option<Uuid>,
    /// Name.
    pub(in crate::cinder) name: Option<String>,
    /// Description.
    pub(in crate::cinder) description: Option<String>,
    /// Container, as asked for or by default.
    pub(in crate::cinder) container: Option<String>,
    /// Zone, as asked for and then as it is.
    pub(in crate::cinder) availability_zone: Option<String>,
    /// Status, such as `available`.
    pub(in crate::cinder) status: String,
    /// Why it failed.
    pub(in crate::cinder) fail_reason: Option<String>,
    /// Size of the volume in GiB.
    pub(in crate::cinder) size_gib: u64,
    /// Objects it brought to the target.
    pub(in crate::cinder) object_count: u64,
    /// User metadata.
    pub(in crate::cinder) metadata: BTreeMap<String, String>,
    /// When the data was as it is in the backup, microseconds since 1970.
    pub(in crate::cinder) data_us: u64,
    /// Where on the target it is, and what its manifest must be; once it is there.
    pub(in crate::cinder) stored: Option<Ancestor>,
    /// How it was found out what to write; once it is there.
    pub(in crate::cinder) method: Option<Method>,
    /// Whether its chunks are encrypted, or will be.
    #[serde(default)]
    pub(in crate::cinder) encrypted: bool,
    /// The type of the volume, which one made for a restore gets; that of an encrypted one.
    #[serde(default)]
    pub(in crate::cinder) volume_type_id: Option<Uuid>,
    /// Repository that it is being written to.
    pub(in crate::cinder) repository: String,
    /// Microseconds since 1970.
    pub(in crate::cinder) created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub(in crate::cinder) updated_us: Option<u64>,
}

impl Backup {
    /// The snapshot in the engine that is read, and kept for the next increment: no row names it.
    pub(super) fn frozen(&self) -> SnapshotId {
        SnapshotId(Uuid::new_v5(&self.id, b"frozen"))
    }
}

impl Record for Backup {
    const TABLE: &'static str = "backups";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let mut keys = list_keys(&self.project_id, self.created_us, self.id);
        keys.push(name_key(self.name.as_deref()));
        keys.push(volume_key(self.volume_id, self.created_us, self.id));
        let parent = self.parent_id;
        keys.extend(parent.map(|parent| (BY_PARENT, Key::new().uuid(parent))));
        let stored = self.stored.as_ref();
        keys.extend(stored.map(|stored| (BY_STORED, Key::new().uuid(stored.id))));
        keys
    }
}

impl<'a> From<&'a Backup> for Target<'a> {
    fn from(backup: &'a Backup) -> Self {
        Self {
            project_id: Some(&backup.project_id),
            user_id: Some(&backup.user_id),
        }
    }
}

impl Object for Backup {
    const KIND: &'static str = "backup";

    fn project(&self) -> &str {
        &self.project_id
    }

    fn counts(&self) -> Change {
        Change {
            backups: 1,
            backup_gigabytes: i64::try_from(self.size_gib).unwrap_or(i64::MAX),
            ..Change::default()
        }
    }

    fn status(&mut self) -> &mut String {
        &mut self.status
    }

    fn pairs(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.metadata
    }

    fn touch(&mut self, now_us: u64) {
        self.updated_us = Some(now_us);
    }
}

/// The snapshot of a volume that its newest backup was read from. While it is there, the next
/// increment finds by maps what was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pin {
    /// The volume.
    pub(super) volume_id: Uuid,
    /// The backup.
    pub(super) backup_id: Uuid,
    /// The engine's snapshot.
    pub(super) snapshot: Uuid,
}

impl Record for Pin {
    const TABLE: &'static str = "backup_pins";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.volume_id
    }
}
