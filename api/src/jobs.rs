//! Asynchronous work as crash-safe jobs in the catalogue.
//!
//! A job is queued by the same transaction that gives its object a transitional status, and closed
//! by the transaction that gives the final one, so the two never disagree:
//!
//! ```text
//! write: status = creating, enqueue ──► queued ──► running ──► done | failed
//!                                                     │          (write: final status, close)
//!                            start after a crash ─────┘ runs it again
//! ```
//!
//! [`Handler::run`] may therefore run more than once and must be idempotent. Jobs of one object run
//! one after another in the order they were queued; others run side by side on a bounded pool of
//! plain threads. A job may also read other objects, as a clone does its source: jobs of these
//! which are older run before it and those which are younger after it, so that a source deleted
//! meanwhile goes when its clones are there. And it may own more than one, as the snapshot of a
//! group does its snapshots.

mod progress;
mod record;
mod runner;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalogue::{self, Key, Query, View, Writer};
use crate::server::{Services, request};

pub(crate) use progress::Progress;
pub use record::{BY_CREATED, Job, JobState, OF_OBJECT};
pub use runner::{Runner, run_pending};

/// Why a job failed, as shown to operators.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JobError(pub String);

/// The text of a job that was stopped with the daemon; no other job fails with it.
const INTERRUPTED: &str = "interrupted: the daemon is stopping";

impl JobError {
    /// The job stops because the daemon does. It has not failed: it runs again at the next start.
    pub(crate) fn interrupted() -> Self {
        Self(INTERRUPTED.to_owned())
    }

    /// Whether this is [`Self::interrupted`].
    pub(crate) fn is_interruption(&self) -> bool {
        self.0 == INTERRUPTED
    }
}

impl From<store::Error> for JobError {
    fn from(error: store::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<catalogue::Error> for JobError {
    fn from(error: catalogue::Error) -> Self {
        Self(error.to_string())
    }
}

/// Does the work of one kind of job.
pub trait Handler: Send + Sync {
    /// The work itself; blocks. Idempotent: it may have run before, in part or whole.
    ///
    /// # Errors
    /// Why it cannot be done; the job then fails.
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError>;

    /// Gives the object its final status, in the transaction that closes the job. The object may
    /// have gone meanwhile.
    ///
    /// # Errors
    /// Those of the catalogue; the whole job is then run again.
    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        now_us: u64,
    ) -> catalogue::Result<()>;

    /// Whether the work may take minutes: only some of the workers do such jobs at a time.
    fn is_long(&self) -> bool {
        false
    }

    /// Tells others, once the job is closed; a crash may come before.
    fn closed(&self, _services: &Services) {}
}

/// The handlers by kind.
#[derive(Clone, Default)]
pub struct Registry(HashMap<&'static str, Arc<dyn Handler>>);

impl Registry {
    /// Adds the handler of a kind; each kind has one.
    pub fn add(&mut self, kind: &'static str, handler: impl Handler + 'static) {
        let old = self.0.insert(kind, Arc::new(handler));
        debug_assert!(old.is_none(), "two handlers for jobs of kind {kind}");
    }

    fn is_long(&self, job: &Job) -> bool {
        self.get(&job.kind).is_some_and(|handler| handler.is_long())
    }

    pub(crate) fn get(&self, kind: &str) -> Option<Arc<dyn Handler>> {
        self.0.get(kind).cloned()
    }
}

/// Queues a job in the caller's transaction; workers are woken when it commits. It is younger than
/// all others, whatever the clock says: the order of jobs is that of their times.
///
/// # Errors
/// Those of the catalogue.
pub fn enqueue(writer: &Writer, mut job: Job) -> catalogue::Result<()> {
    writer.touch_jobs();
    let newest = Query::by(BY_CREATED, Key::new());
    if let Some(newest) = writer.first::<Job>(&newest)? {
        job.created_us = job.created_us.max(newest.created_us.saturating_add(1));
    }
    job.request_id = job.request_id.or_else(request::current);
    writer.insert(&job)
}

/// All unfinished jobs, the oldest first.
///
/// # Errors
/// Those of the catalogue.
pub(crate) fn unfinished(view: &impl View) -> catalogue::Result<Vec<Job>> {
    view.list(&Query::by(record::QUEUE, Key::new()))
}

/// The unfinished jobs of an object, the oldest first.
///
/// # Errors
/// Those of the catalogue.
pub fn unfinished_of(view: &impl View, object: &str) -> catalogue::Result<Vec<Job>> {
    let key = Key::new().text(object).flag(false);
    view.list(&Query::by(OF_OBJECT, key))
}
