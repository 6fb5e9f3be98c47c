//! Writing to the index in turns.
//!
//! redb lets the next transaction begin as soon as one is committed. Whoever follows the index is told of
//! it only then, so a writer keeps its turn until that is done as well: transactions are told whole and
//! in the order of their commits, and who begins to follow misses none.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Who may write.
#[derive(Default)]
pub(super) struct Turns {
    is_taken: Mutex<bool>,
    ended: Condvar,
}

impl Turns {
    /// Waits for the turn of whoever writes now to end.
    pub(super) fn take(self: &Arc<Self>) -> Turn {
        let is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.ended.wait_while(is_taken, |is_taken| *is_taken);
        *free.unwrap_or_else(PoisonError::into_inner) = true;
        Turn(Arc::clone(self))
    }
}

/// The right to write, until it is dropped.
pub(super) struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let turns = &self.0;
        *turns
            .is_taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = false;
        turns.ended.notify_one();
    }
}
