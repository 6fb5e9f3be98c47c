//! The services as one router, and what all handlers share.
//!
//! [`router`] is the single listener: `/identity`, `/volume`, `/image` and `/cinderblock/v1`.
//! [`identity_root`] and [`volume_root`] are the same services at the bare roots, for the classic
//! ports. Links are made from the configured addresses, never from the Host header.
//!
//! Order of a Block Storage request: request id, project segment taken off the path, token (401),
//! path and method (404), version header (400, 406), project of the URL (400), handler.

mod backends;
mod config;
mod headers;
pub(crate) mod request;
mod router;
#[cfg(test)]
mod tests;
mod trace;
mod versions;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tracing::Instrument;
use uuid::Uuid;

use crate::audit::{self, AuditLog};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::events::{Events, NewEvent};
use crate::fault::Fault;
use crate::jobs::{Registry, Runner};
use crate::keystone::{Callers, LoginLimiter};
use crate::log_levels::LogControl;
use crate::native::TreeVersion;
use crate::{cinder, glance, keystone, native};

pub use backends::{Backend, BackendSettings, Backends};
pub use config::{Config, StaticService};
pub(crate) use headers::HTML;
pub(crate) use router::{NOT_IN_V2, image_operations, root_operations, volume_operations};
pub use router::{UrlProject, identity_root, image_root, router, volume_root};

/// Calls that may block at the same time; more wait their turn. Twice the usual number of cores:
/// most of them wait for a disk.
const BLOCKING_MAX: usize = 16;
/// Password hashes computed at the same time at most: each takes 19 MiB.
const HASHING_MAX: usize = 4;
/// Jobs running at the same time.
const JOB_WORKERS: usize = 4;

/// How a connection reached the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// The unix socket.
    Unix,
}

/// A live NBD connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Rises with every connection of this run.
    pub id: u64,
    /// The volume or snapshot it reads and writes.
    pub object: Uuid,
    /// The attachment it came in by, over TCP.
    pub attachment: Option<Uuid>,
    /// How it came in.
    pub transport: Transport,
    /// Address or uid of the other side.
    pub peer: String,
    /// Whether it may not write.
    pub read_only: bool,
    /// When it was opened, microseconds since 1970.
    pub opened_us: u64,
    /// Bytes read through it.
    pub read_bytes: u64,
    /// Bytes written through it.
    pub written_bytes: u64,
}

/// What the services ask of the NBD side.
pub trait ExportControl: Send + Sync {
    /// Ends every connection of an attachment's export; returns when none is left. The export's
    /// token is the random name it is opened by.
    fn close_export(&self, token: &str);
    /// Reads again what the exports of volumes are held to: limits may have changed.
    fn limits_changed(&self) {}
    /// The live connections.
    fn connections(&self) -> Vec<Connection>;
}

/// What [`Services`] are made of.
pub struct Parts {
    /// The objects.
    pub catalogue: Catalogue,
    /// The bytes.
    pub backends: Backends,
    /// Settings.
    pub config: Config,
    /// The NBD side.
    pub exports: Arc<dyn ExportControl>,
    /// The time.
    pub clock: Clock,
}

struct Inner {
    catalogue: Catalogue,
    backends: Backends,
    config: Config,
    exports: Arc<dyn ExportControl>,
    clock: Clock,
    events: Events,
    logins: LoginLimiter,
    callers: Callers,
    started_us: u64,
    tree: TreeVersion,
    stopping: AtomicBool,
    reclaiming: Arc<Semaphore>,
    explaining: Arc<Semaphore>,
    blocking: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
    /// Set once the log can be spoken to; without it levels are neither shown nor set.
    logs: OnceLock<Arc<dyn LogControl>>,
    /// Set where there is an audit log.
    audit: OnceLock<Arc<dyn AuditLog>>,
}

/// Half of the cores: a hash keeps one busy for some 20 ms, and a flood of logins must leave room for
/// those who are in.
fn hashing_permits() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, HASHING_MAX)
}

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

impl Services {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let started_us = parts.clock.now_us();
        Self(Arc::new(Inner {
            events: Events::new(started_us),
            started_us,
            tree: TreeVersion::default(),
            stopping: AtomicBool::new(false),
            reclaiming: Arc::new(Semaphore::new(1)),
            explaining: Arc::new(Semaphore::new(1)),
            logins: LoginLimiter::default(),
            callers: Callers::default(),
            blocking: Arc::new(Semaphore::new(BLOCKING_MAX)),
            hashing: Arc::new(Semaphore::new(hashing_permits())),
            logs: OnceLock::new(),
            audit: OnceLock::new(),
            catalogue: parts.catalogue,
            backends: parts.backends,
            config: parts.config,
            exports: parts.exports,
            clock: parts.clock,
        }))
    }

    /// The objects. Blocks; in async code go through [`Services::blocking`].
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// The bytes. Blocks; in async code go through [`Services::blocking`].
    pub fn backends(&self) -> &Backends {
        &self.0.backends
    }

    /// The pool of a row's backend.
    ///
    /// # Errors
    /// As [`Backends::store_of`].
    pub fn store_of(&self, backend: Option<&str>) -> store::Result<&store::Store> {
        self.0.backends.store_of(backend)
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The NBD side.
    pub fn exports(&self) -> &dyn ExportControl {
        self.0.exports.as_ref()
    }

    /// Says how the levels of the log are set; only the first call counts.
    pub fn connect_logs(&self, logs: Arc<dyn LogControl>) {
        let _ = self.0.logs.set(logs);
    }

    /// Says where audit records go; only the first call counts.
    pub fn connect_audit(&self, audit: Arc<dyn AuditLog>) {
        let _ = self.0.audit.set(audit);
    }

    /// Where audit records go.
    pub(crate) fn audit(&self) -> Option<&dyn AuditLog> {
        self.0.audit.get().map(AsRef::as_ref)
    }

    /// The levels of the log.
    pub(crate) fn logs(&self) -> Option<&dyn LogControl> {
        self.0.logs.get().map(AsRef::as_ref)
    }

    /// What happened lately.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Records an event of an object, and of its project if it has one, now and on behalf of the
    /// present request.
    pub fn event(&self, kind: &str, project: Option<&str>, object: &str, message: String) {
        audit::note_change(kind, object);
        self.0.events.record(NewEvent {
            at_us: self.now_us(),
            kind,
            object,
            project,
            message,
            request_id: request::current(),
        });
    }

    /// The time's source.
    #[cfg(test)]
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        self.0.clock.now_us()
    }

    /// When the services were put together, microseconds since 1970.
    pub(crate) fn started_us(&self) -> u64 {
        self.0.started_us
    }

    /// Whether running jobs should stop where they are.
    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stopping(&self, stopping: bool) {
        self.0.stopping.store(stopping, Ordering::Relaxed);
    }

    pub(crate) fn tree(&self) -> &TreeVersion {
        &self.0.tree
    }

    pub(crate) fn logins(&self) -> &LoginLimiter {
        &self.0.logins
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.callers
    }

    /// Runs blocking work on the one bounded pool; callers wait while it is full.
    ///
    /// # Errors
    /// Those of `work`, and 500 when it panicked.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_pool(self.0.blocking.clone(), work).await
    }

    /// As [`Services::blocking`], for work that is mostly password hashing: it must not keep other
    /// requests from their turn.
    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_pool(self.0.hashing.clone(), work).await
    }

    /// As [`Services::blocking`], for reclaims: they take minutes, run one at a time, and must not
    /// keep other requests from their turn.
    pub(crate) async fn reclaiming<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_pool(self.0.reclaiming.clone(), work).await
    }

    /// As [`Services::reclaiming`], for walks of an engine's whole map.
    pub(crate) async fn explaining<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_pool(self.0.explaining.clone(), work).await
    }

    /// Carries work through that must not end half-way because whoever asked for it has left.
    ///
    /// # Errors
    /// Those of `work`, and 500 when it panicked.
    pub(crate) async fn unbroken<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let work = request::go_on_with(request::taken(), work);
        let task = tokio::spawn(work.instrument(tracing::Span::current()));
        task.await.map_err(Fault::internal)?
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        pool: Arc<Semaphore>,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = pool.acquire_owned().await.map_err(Fault::internal)?;
        let services = self.clone();
        let (span, request) = (tracing::Span::current(), request::taken());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            span.in_scope(|| request::go_on(request, || work(&services)))
        })
        .await
        .map_err(Fault::internal)?
    }
}

/// Writes what must exist before the first request, and changes nothing that does. The password is
/// used only when the admin user is created.
///
/// # Errors
/// Those of the catalogue and of hashing.
pub fn bootstrap(services: &Services, admin_password: &str) -> Result<(), Fault> {
    if services.config().keystone.is_none() {
        keystone::bootstrap(services, admin_password)?;
    }
    let now_us = services.now_us();
    services.catalogue().write(|writer| {
        cinder::bootstrap(writer, now_us)?;
        glance::bootstrap(writer, now_us)
    })?;
    Ok(())
}

/// All job handlers.
pub fn job_registry() -> Registry {
    let mut registry = Registry::default();
    cinder::register(&mut registry);
    glance::register(&mut registry);
    native::register(&mut registry);
    registry
}

/// Starts the workers; jobs an earlier run left are resumed.
///
/// # Errors
/// When the system has no more threads.
pub fn start_jobs(services: &Services) -> std::io::Result<Runner> {
    Runner::start(services, &job_registry(), JOB_WORKERS)
}
