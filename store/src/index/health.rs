//! Keeping damage of the metadata file from ending the process.
//!
//! redb checks its pages only while it repairs; on one that was damaged later it may panic. Every use
//! of it runs inside [`Health::guard`], which makes an error of the panic. From then on nothing of
//! redb runs any more, not even to clean up: what it has in memory can not be trusted, and what it
//! might write could make the damage worse. The file stays open and locked until the process ends.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{Error, ErrorKind, Result};

type Listener = Box<dyn Fn() + Send + Sync>;

/// Whether damage has shown, shared by the index and its transactions.
#[derive(Clone, Default)]
pub(crate) struct Health {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    damaged: AtomicBool,
    listener: OnceLock<Listener>,
}

impl Health {
    /// Has `listener` called when damage shows. The first listener stays.
    pub(super) fn listen(&self, listener: Listener) {
        let _ = self.shared.listener.set(listener);
    }

    fn is_damaged(&self) -> bool {
        self.shared.damaged.load(Ordering::Acquire)
    }

    /// Runs something that uses redb.
    ///
    /// # Errors
    /// Those of `work`; `Corrupt` when it panics and `Failed` ever after.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.is_damaged() {
            let context = "metadata: not used any more since damage was found";
            return Err(Error::new(ErrorKind::Failed, context));
        }
        // Nothing that a panic leaves half done is looked at again.
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            self.note_damage();
            let context = "metadata: the file is damaged: using it does not end well";
            Err(Error::new(ErrorKind::Corrupt, context))
        })
    }

    /// Drops a part of redb, or leaves it be after damage.
    pub(super) fn dispose<T>(&self, part: Option<T>) {
        if self.is_damaged() {
            mem::forget(part);
        } else if catch_unwind(AssertUnwindSafe(move || drop(part))).is_err() {
            self.note_damage();
        }
    }

    fn note_damage(&self) {
        tracing::error!("the metadata file is damaged: the pool stops");
        self.shared.damaged.store(true, Ordering::Release);
        if let Some(listener) = self.shared.listener.get() {
            listener();
        }
    }
}
