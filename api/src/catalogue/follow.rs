//! What is kept in memory of a table and follows its changes.
//!
//! A [`Follower`] is made from a whole table once, and told of every change that commits. As long as
//! there are followers, each commit that changes their tables gets a number, which is stored with
//! it: a reader knows by the number which commit it sees, and asks a follower about exactly that
//! state. A follower may decline, of states that it has forgotten; readers then read the table.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use super::record::decode;
use super::view::{Query, Reader, View};
use super::{Record, Result};

/// Looks at the followers while a commit that a reader sees is not with them yet: the committing
/// thread needs microseconds, once it gets a processor.
const LOOKS: usize = 500;
/// Between looks.
const PAUSE: Duration = Duration::from_micros(100);

/// Follows the table of a record.
pub trait Follower: Default + Send + Sync + 'static {
    /// The record.
    type Of: Record;

    /// Takes in a record that was added or changed by commit `version`.
    fn put(&mut self, record: &Self::Of, version: u64);

    /// Takes out the record with this encoded id, which commit `version` removed.
    fn delete(&mut self, id: &[u8], version: u64);

    /// States before this commit are none of its business; called once, after the whole table.
    fn begin(&mut self, version: u64);
}

/// A follower of any table.
trait AnyFollower: Send + Sync {
    fn apply(&mut self, change: &Change, version: u64) -> Result<()>;
    fn as_any(&self) -> &dyn Any;
}

impl<F: Follower> AnyFollower for F {
    fn apply(&mut self, change: &Change, version: u64) -> Result<()> {
        match &change.value {
            Some(value) => self.put(&decode::<F::Of>(value)?, version),
            None => self.delete(&change.id, version),
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// One changed record; without a value it was removed.
pub(super) struct Change {
    pub(super) table: &'static str,
    pub(super) id: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

#[derive(Default)]
struct State {
    /// The last commit that all followers know.
    version: u64,
    followers: HashMap<&'static str, Box<dyn AnyFollower>>,
}

/// The followers of a catalogue, one a table at most.
#[derive(Default)]
pub(super) struct Followers {
    /// Held from the beginning of a write transaction until its changes are known here.
    writing: Mutex<()>,
    state: RwLock<State>,
}

impl Followers {
    /// Waits until it is one's turn to write.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables whose changes must be told; stays true for the whole turn.
    pub(super) fn tables(&self) -> Vec<&'static str> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.followers.keys().copied().collect()
    }

    /// Tells of a commit. A follower that cannot read its record is given up and made anew later.
    pub(super) fn tell(&self, changes: &[Change], version: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.version = version;
        for change in changes {
            let follower = state.followers.get_mut(change.table);
            let told = follower.map(|follower| follower.apply(change, version));
            if let Some(Err(error)) = told {
                tracing::error!(%error, table = change.table, "what is kept of a table is dropped");
                state.followers.remove(change.table);
            }
        }
    }

    /// Asks a follower about the state after commit `version`; `None` without one, or when `look`
    /// declines.
    pub(super) fn ask<F: Follower, T>(
        &self,
        version: u64,
        look: impl FnOnce(&F) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..LOOKS {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let follower = state.followers.get(F::Of::TABLE)?;
            if state.version >= version {
                return follower.as_any().downcast_ref::<F>().and_then(look);
            }
            drop(state);
            std::thread::sleep(PAUSE);
        }
        None
    }

    /// Makes the follower of a table unless there is one or somebody is writing, as the caller may.
    pub(super) fn make<F: Follower>(&self, begin: impl Fn() -> Result<Reader>) -> Result<()> {
        let has = |state: &State| state.followers.contains_key(F::Of::TABLE);
        if has(&self.state.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let _turn = match self.writing.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        // Nothing commits before the follower is in place.
        let reader = begin()?;
        let version = reader.version()?;
        let mut follower = F::default();
        reader.walk::<F::Of>(&Query::all(), |record| {
            follower.put(&record, version);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        follower.begin(version);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.version = version;
        if !has(&state) {
            state.followers.insert(F::Of::TABLE, Box::new(follower));
        }
        Ok(())
    }
}
