//! The transfer as stored, and its key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::Caller;
use crate::catalogue::{self, Index, Key, Query, Record, View, Writer};
use crate::cinder::records::{BY_CREATED, BY_PROJECT, BY_VOLUME, newest};
use crate::fault::Fault;

/// Random bytes of a key, which is shown in hex.
const KEY_BYTES: usize = 8;

/// A volume on offer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub(super) id: Uuid,
    /// The donor.
    pub(super) project_id: String,
    pub(super) volume_id: Uuid,
    pub(super) name: Option<String>,
    /// Whether the volume's snapshots stay with the donor.
    pub(super) no_snapshots: bool,
    pub(super) lock: KeyLock,
    pub(super) created_us: u64,
}

/// What tells whether a key is the right one, and not the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyLock {
    salt: [u8; blake3::KEY_LEN],
    hash: [u8; blake3::OUT_LEN],
}

impl KeyLock {
    /// A new key and its lock.
    pub(super) fn new() -> Result<(String, Self), Fault> {
        let (mut key, mut salt) = ([0; KEY_BYTES], [0; blake3::KEY_LEN]);
        getrandom::fill(&mut key).map_err(Fault::internal)?;
        getrandom::fill(&mut salt).map_err(Fault::internal)?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = *blake3::keyed_hash(&salt, key.as_bytes()).as_bytes();
        Ok((key, Self { salt, hash }))
    }

    /// Whether a key fits. Hashes compare in constant time.
    pub(super) fn opens(&self, key: &str) -> bool {
        blake3::keyed_hash(&self.salt, key.as_bytes()) == blake3::Hash::from_bytes(self.hash)
    }
}

impl Record for Transfer {
    const TABLE: &'static str = "transfers";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let of_project = Key::new().text(&self.project_id);
        vec![
            (BY_CREATED, newest(Key::new(), self.created_us, self.id)),
            (BY_PROJECT, newest(of_project, self.created_us, self.id)),
            (BY_VOLUME, Key::new().uuid(self.volume_id)),
        ]
    }
}

fn no_transfer(id: &str) -> Fault {
    Fault::not_found(format!("Transfer {id} could not be found."))
}

/// The transfer with an id, whoever asks: for those who have its key.
pub(super) fn find_any(view: &impl View, id: &str) -> Result<Transfer, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_transfer(id))?;
    view.get(&parsed)?.ok_or_else(|| no_transfer(id))
}

/// The transfer if it is the caller's to see, or 404.
pub(super) fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Transfer, Fault> {
    let found = find_any(view, id)?;
    match caller.sees(&found.project_id) {
        true => Ok(found),
        false => Err(no_transfer(id)),
    }
}

/// Removes what was on offer of a volume that is gone.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn forget(writer: &Writer, volume: Uuid) -> catalogue::Result<()> {
    let of_volume = Query::by(BY_VOLUME, Key::new().uuid(volume));
    for transfer in writer.list::<Transfer>(&of_volume)? {
        writer.delete::<Transfer>(&transfer.id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::KeyLock;

    #[test]
    fn a_lock_opens_to_its_key_alone_and_does_not_hold_it() {
        let (key, lock) = KeyLock::new().unwrap();
        assert_eq!(key.len(), 16);
        assert!(lock.opens(&key));
        assert!(!lock.opens("wrong") && !lock.opens(""));
        let stored = serde_json::to_string(&lock).unwrap();
        assert!(!stored.contains(&key));
        assert!(!KeyLock::new().unwrap().1.opens(&key));
    }
}
