//! What a long job tells while it runs, and how it learns that it must stop.

use std::cell::Cell;

use super::{Job, JobError};
use crate::catalogue::{self, View};
use crate::server::Services;

/// The progress of one running job.
pub(crate) struct Progress<'a> {
    services: &'a Services,
    job: &'a Job,
    /// Per cent last written down, and when, microseconds since 1970.
    told: Cell<(u8, u64)>,
}

/// Time between two notes in the catalogue.
const PAUSE_US: u64 = 500_000;

impl<'a> Progress<'a> {
    pub(crate) fn new(services: &'a Services, job: &'a Job) -> Self {
        Self {
            services,
            job,
            told: Cell::new((job.progress, 0)),
        }
    }

    /// Notes that `done` of `all` is done, now and then; cheap enough for every step.
    ///
    /// # Errors
    /// When the daemon is stopping: the job must end, and is run again at the next start.
    pub(crate) fn report(&self, done: u64, all: u64) -> Result<(), JobError> {
        if self.services.is_stopping() {
            return Err(JobError::interrupted());
        }
        // 100 is for jobs that are closed.
        let per_cent = (u128::from(done) * 100 / u128::from(all.max(1))).min(99) as u8;
        let (told, at_us) = self.told.get();
        if per_cent == told || self.services.now_us().saturating_sub(at_us) < PAUSE_US {
            return Ok(());
        }
        self.told.set((per_cent, self.services.now_us()));
        self.services.catalogue().write_relaxed(|writer| {
            if let Some(mut job) = writer.get::<Job>(&self.job.id)? {
                job.progress = per_cent;
                writer.put(&job)?;
            }
            Ok::<_, catalogue::Error>(())
        })?;
        Ok(())
    }
}
