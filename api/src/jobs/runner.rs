//! The workers.

use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::record::{FINISHED, QUEUE};
use super::{Job, JobError, JobState, Registry};
use crate::catalogue::{self, Catalogue, Query, View};
use crate::server::{Services, request};

/// How far into the queue a worker looks for a job whose object is free.
const LOOKAHEAD: usize = 256;
/// Finished jobs kept for people to look at.
const FINISHED_MAX: u64 = 1000;
/// Finished jobs removed at most with each that is added.
const PURGE_STEP: usize = 4;
/// Long jobs that run at a time, whatever the number of workers.
const LONG_MAX: usize = 2;
/// A worker looks again after this long at the latest, in case an earlier attempt failed.
const IDLE_WAIT: Duration = Duration::from_secs(5);

/// The objects that some jobs work on, and those that they read.
#[derive(Clone, Default)]
struct Objects {
    own: HashSet<String>,
    read: HashMap<String, usize>,
    /// Running jobs of long kinds.
    long: usize,
}

impl Objects {
    /// Whether a job may run beside these: readers of one object may, and nothing else that shares.
    fn admit(&self, job: &Job) -> bool {
        let free = |object: &String| !self.own.contains(object) && !self.read.contains_key(object);
        job.owned().all(free) && !job.reads.iter().any(|object| self.own.contains(object))
    }

    fn add(&mut self, job: &Job) {
        self.own.extend(job.owned().cloned());
        for object in &job.reads {
            *self.read.entry(object.clone()).or_default() += 1;
        }
    }

    /// Takes out a job that was admitted and added.
    fn remove(&mut self, job: &Job) {
        for object in job.owned() {
            self.own.remove(object);
        }
        for object in &job.reads {
            if let Some(readers) = self.read.get_mut(object) {
                *readers -= 1;
                if *readers == 0 {
                    self.read.remove(object);
                }
            }
        }
    }
}

/// What the running jobs hold. Locked only to pick a job, never while one runs.
#[derive(Default)]
struct Claims(Mutex<Objects>);

impl Claims {
    /// The oldest job that neither a running nor an older waiting job stands in the way of. Long
    /// ones leave workers to the others.
    fn next(&self, catalogue: &Catalogue, registry: &Registry) -> catalogue::Result<Option<Job>> {
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = catalogue.read(|reader| {
            reader.list::<Job>(&Query::by(QUEUE, catalogue::Key::new()).limit(LOOKAHEAD))
        })?;
        let mut before = claimed.clone();
        let next = waiting.into_iter().find(|job| {
            let free = before.admit(job);
            before.add(job);
            free && (claimed.long < LONG_MAX || !registry.is_long(job))
        });
        if let Some(job) = &next {
            claimed.add(job);
            claimed.long += usize::from(registry.is_long(job));
        }
        Ok(next)
    }

    fn release(&self, job: &Job, registry: &Registry) {
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.remove(job);
        claimed.long -= usize::from(registry.is_long(job));
    }
}

/// The running pool of workers. Jobs left by an earlier run are taken up at once.
pub struct Runner {
    services: Services,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Runner {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(services: &Services, registry: &Registry, workers: usize) -> io::Result<Self> {
        let mut runner = Self {
            services: services.clone(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        services.set_stopping(false);
        let claims = Arc::new(Claims::default());
        for number in 0..workers {
            let (services, registry) = (services.clone(), registry.clone());
            let (stop, claims) = (runner.stop.clone(), claims.clone());
            let thread = std::thread::Builder::new()
                .name(format!("job-{number}"))
                .spawn(move || work(&services, &registry, &claims, &stop))?;
            runner.threads.push(thread);
        }
        Ok(runner)
    }

    /// Lets running jobs end, or stop half-way if they can, starts no more, and waits for the
    /// threads.
    pub fn stop(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.services.set_stopping(true);
        self.services.catalogue().signal().raise();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a job worker panicked");
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

fn work(services: &Services, registry: &Registry, claims: &Claims, stop: &AtomicBool) {
    let signal = services.catalogue().signal().clone();
    loop {
        // Taken before looking, so that a job queued meanwhile is not slept over.
        let seen = signal.generation();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let ran = match claims.next(services.catalogue(), registry) {
            Ok(Some(job)) => {
                let ran = run_one(services, registry, &job);
                claims.release(&job, registry);
                ran
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "the queue of jobs cannot be read");
                false
            }
        };
        if ran {
            signal.raise();
        } else {
            signal.wait(seen, IDLE_WAIT);
        }
    }
}

/// Runs all queued jobs on the calling thread until none is left; for tests and tools.
///
/// # Errors
/// Those of the catalogue.
pub fn run_pending(services: &Services, registry: &Registry) -> catalogue::Result<()> {
    let claims = Claims::default();
    while let Some(job) = claims.next(services.catalogue(), registry)? {
        let ran = run_one(services, registry, &job);
        claims.release(&job, registry);
        if !ran {
            let context = format!("job {} could not be closed", job.id);
            return Err(catalogue::Error::new(catalogue::ErrorKind::Failed, context));
        }
    }
    Ok(())
}

/// Runs and closes one job on behalf of the request that queued it; false when it could not be
/// closed and stays queued.
fn run_one(services: &Services, registry: &Registry, job: &Job) -> bool {
    let span = tracing::info_span!(
        "job",
        id = %job.id,
        kind = job.kind,
        object = job.object,
        request = job.request_id
    );
    let run = || run_here(services, registry, job);
    span.in_scope(|| request::within(job.request_id.as_deref(), run))
}

fn run_here(services: &Services, registry: &Registry, job: &Job) -> bool {
    let result = attempt(services, registry, job);
    if let Err(error) = &result {
        if error.is_interruption() {
            tracing::info!("the job goes on at the next start");
            return false;
        }
        tracing::warn!(%error, "job failed");
    }
    match close(services, registry, job, &result) {
        Ok(()) => {
            if let Some(handler) = registry.get(&job.kind) {
                handler.closed(services);
            }
            announce(services, job, &result);
            true
        }
        Err(error) => {
            tracing::error!(%error, "job could not be closed; it will run again");
            false
        }
    }
}

fn attempt(services: &Services, registry: &Registry, job: &Job) -> Result<(), JobError> {
    let Some(handler) = registry.get(&job.kind) else {
        return Err(JobError(format!(
            "no handler for jobs of kind {}",
            job.kind
        )));
    };
    services.catalogue().write_relaxed(|writer| {
        writer.update::<Job>(&job.id, |job| {
            job.state = JobState::Running;
            job.updated_us = services.now_us();
        })
    })?;
    let run = AssertUnwindSafe(|| handler.run(services, job));
    catch_unwind(run).unwrap_or_else(|_| Err(JobError("the handler panicked".to_owned())))
}

fn close(
    services: &Services,
    registry: &Registry,
    job: &Job,
    result: &Result<(), JobError>,
) -> catalogue::Result<()> {
    let now_us = services.now_us();
    // A crash that takes this back leaves the job unfinished, and it runs again.
    services.catalogue().write_early(|writer| {
        if let Some(handler) = registry.get(&job.kind) {
            let result = result.as_ref().map(|_| ());
            handler.finish(writer, job, result, now_us)?;
        }
        writer.update::<Job>(&job.id, |job| {
            job.updated_us = now_us;
            job.error = result.as_ref().err().map(ToString::to_string);
            job.state = if result.is_ok() {
                JobState::Done
            } else {
                JobState::Failed
            };
            job.progress = if result.is_ok() { 100 } else { job.progress };
        })?;
        purge(writer)
    })
}

/// Forgets the oldest finished jobs beyond the number kept.
fn purge(writer: &catalogue::Writer) -> catalogue::Result<()> {
    let finished = Query::by(FINISHED, catalogue::Key::new());
    if writer.count::<Job>(&finished)? > FINISHED_MAX {
        for job in writer.list::<Job>(&finished.limit(PURGE_STEP))? {
            writer.delete::<Job>(&job.id)?;
        }
    }
    Ok(())
}

fn announce(services: &Services, job: &Job, result: &Result<(), JobError>) {
    let (suffix, message) = match result {
        Ok(()) => ("done", String::new()),
        Err(error) => ("failed", error.to_string()),
    };
    let kind = format!("{}.{suffix}", job.kind);
    services.event(&kind, job.project.as_deref(), &job.object, message);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::{Job, Objects};

    #[test]
    fn what_a_job_owns_besides_its_object_is_claimed_like_it() {
        let (group, volume, snapshot) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let of = |object: Uuid| Job::new("test", &object.to_string(), None, Value::Null, 1);
        let cut = of(group).owning(snapshot).reading(volume);
        let mut claimed = Objects::default();
        claimed.add(&cut);
        let other = Uuid::new_v4();
        for (job, free) in [
            (of(group), false),
            (of(snapshot), false),
            (of(volume), false),
            (of(other).owning(volume), false),
            (of(other).reading(snapshot), false),
            (of(other).reading(volume), true),
            (of(other), true),
        ] {
            assert_eq!(claimed.admit(&job), free, "{job:?}");
        }
        claimed.remove(&cut);
        assert!(claimed.admit(&cut) && claimed.own.is_empty() && claimed.read.is_empty());
    }
}
