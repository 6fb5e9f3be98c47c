//! Which volume is given to whom over NBD.
//!
//! Over TCP only the exports of live attachments exist, by their secret names, and nothing is
//! listed. Over the unix socket root and the daemon's own user reach every volume and snapshot;
//! others are turned away. What is given out is remembered, so that the connections of an attachment
//! can be ended with it.

mod device;
mod resolve;
mod sessions;
mod throttle;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use api::cinder::IoLimits;
use api::clock::Clock;
use api::server::{Connection, ExportControl, Transport};
use nbd::{ExportEntry, Exports, OpenError, Opened, Principal, StopToken};
use store::{ErrorKind, SnapshotId, Store, VolumeId};
use uuid::Uuid;

use device::{SnapshotDevice, Traffic, VolumeDevice};
use resolve::resolve;
pub(crate) use resolve::{Attached, Candidate, Directory, Listed, Target};
use sessions::{NewSession, Sessions};
use throttle::{ThrottledDevice, Throttles};

/// How long a withdrawn export's last requests may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Volumes listed at most; the listing is for people and travels in one packet each.
const LISTED_MAX: usize = 4096;

/// The exports of a pool.
pub(crate) struct VolumeExports {
    /// Set once the catalogue is open; listeners may be there before.
    directory: OnceLock<Box<dyn Directory>>,
    own_uid: u32,
    clock: Clock,
    sessions: Arc<Sessions>,
    throttles: Throttles,
}

/// What to open, as decided from principal and name.
struct Grant {
    target: Target,
    read_only: bool,
    transport: Transport,
    /// The attachment and the secret name it came in by.
    attachment: Option<(Uuid, String)>,
    log_name: String,
}

impl VolumeExports {
    /// Exports for `own_uid` and root; nothing can be opened before
    /// [`VolumeExports::connect`].
    pub(crate) fn new(own_uid: u32, clock: Clock) -> Self {
        Self {
            directory: OnceLock::new(),
            own_uid,
            clock,
            sessions: Arc::default(),
            throttles: Throttles::new(monotonic()),
        }
    }

    /// Says where names are looked up; only the first call counts.
    pub(crate) fn connect(&self, directory: Box<dyn Directory>) {
        let _ = self.directory.set(directory);
    }

    /// Turns away requests that wait for their turn, so that their connections can end.
    pub(crate) fn release(&self) {
        self.throttles.release();
    }

    /// What a volume's type lets its exports do.
    fn limits(&self, volume: Uuid) -> IoLimits {
        let directory = self.directory.get();
        directory.map_or_else(IoLimits::default, |directory| directory.limits(volume))
    }

    fn directory(&self) -> Result<&dyn Directory, OpenError> {
        match self.directory.get() {
            Some(directory) => Ok(directory.as_ref()),
            None => Err(OpenError::Refused("the server is starting".to_owned())),
        }
    }

    fn is_operator(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid
    }

    fn grant(&self, principal: &Principal, name: &str) -> Result<Grant, OpenError> {
        match principal {
            Principal::Tcp(_) => self.grant_attached(name),
            Principal::Unix { uid, .. } if self.is_operator(*uid) => self.grant_operator(name),
            Principal::Unix { uid, .. } => {
                tracing::warn!(uid, "refused on the operators' socket");
                let message = "this socket is for root and the daemon's own user";
                Err(OpenError::Refused(message.to_owned()))
            }
        }
    }

    fn grant_attached(&self, name: &str) -> Result<Grant, OpenError> {
        let attached = self.directory()?.attached(name).ok_or(OpenError::Unknown)?;
        Ok(Grant {
            target: Target::Volume(attached.volume),
            read_only: attached.read_only,
            transport: Transport::Tcp,
            attachment: Some((attached.attachment, name.to_owned())),
            // The name is a secret; the attachment's id is not.
            log_name: format!("attachment {}", attached.attachment),
        })
    }

    fn grant_operator(&self, name: &str) -> Result<Grant, OpenError> {
        let target = resolve(self.directory()?, name)?;
        Ok(Grant {
            target,
            read_only: matches!(target, Target::Snapshot(_)),
            transport: Transport::Unix,
            attachment: None,
            log_name: match target {
                Target::Volume(id) => format!("volume {id}"),
                Target::Snapshot(id) => format!("snapshot {id}"),
            },
        })
    }

    /// The pool that holds what was granted.
    fn store_of(&self, grant: &Grant) -> Result<Store, OpenError> {
        let store = self.directory()?.store_of(grant.target);
        store.ok_or(OpenError::Unknown)
    }

    /// Looks up once more, now that whoever withdraws the export, or is about to move the volume,
    /// finds the session.
    fn confirm(&self, grant: &Grant) -> Result<(), OpenError> {
        self.store_of(grant)?;
        match &grant.attachment {
            Some((_, token)) if self.directory()?.attached(token).is_none() => {
                Err(OpenError::Unknown)
            }
            _ => Ok(()),
        }
    }

    /// Holds what came in by an attachment to the limits of its volume.
    fn throttled(
        &self,
        grant: &Grant,
        device: Arc<dyn nbd::Device>,
        stop: &StopToken,
    ) -> Arc<dyn nbd::Device> {
        let Target::Volume(volume) = grant.target else {
            return device;
        };
        if grant.attachment.is_none() {
            return device;
        }
        Arc::new(ThrottledDevice {
            device,
            throttle: self.throttles.of(volume, || self.limits(volume)),
            stop: stop.clone(),
        })
    }

    fn device(
        &self,
        store: &Store,
        grant: &Grant,
        traffic: &Arc<Traffic>,
    ) -> store::Result<Arc<dyn nbd::Device>> {
        let traffic = traffic.clone();
        Ok(match grant.target {
            Target::Volume(id) => Arc::new(VolumeDevice {
                id,
                volume: store.volume(VolumeId(id))?,
                read_only: grant.read_only,
                traffic,
            }),
            Target::Snapshot(id) => Arc::new(SnapshotDevice {
                id,
                snapshot: store.snapshot(SnapshotId(id))?,
                traffic,
            }),
        })
    }
}

/// The time since now, which no change of the system's clock moves.
fn monotonic() -> throttle::NowUs {
    let begun = Instant::now();
    Arc::new(move || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Why the engine did not open what the catalogue knows.
fn open_error(log_name: &str, error: &store::Error) -> OpenError {
    tracing::warn!(export = log_name, %error, "not opened");
    match error.kind() {
        // Being made or removed just now.
        ErrorKind::NotFound => OpenError::Unknown,
        ErrorKind::Busy => OpenError::Refused("it is busy".to_owned()),
        ErrorKind::Corrupt | ErrorKind::UnsupportedFormat => {
            OpenError::Refused("its stored data is damaged".to_owned())
        }
        ErrorKind::KeyUnavailable => OpenError::Refused("its key is not at hand".to_owned()),
        ErrorKind::AlreadyExists
        | ErrorKind::InvalidInput
        | ErrorKind::NoSpace
        | ErrorKind::Failed
        | ErrorKind::Io => OpenError::Refused("the storage failed".to_owned()),
    }
}

impl Exports for VolumeExports {
    fn open(&self, principal: &Principal, name: &str) -> Result<Opened, OpenError> {
        let grant = self.grant(principal, name)?;
        let store = self.store_of(&grant)?;
        let traffic = Arc::new(Traffic::default());
        let device = self
            .device(&store, &grant, &traffic)
            .map_err(|error| open_error(&grant.log_name, &error))?;
        let (Target::Volume(object) | Target::Snapshot(object)) = grant.target;
        let (guard, stop) = self.sessions.add(NewSession {
            connection: Connection {
                id: 0,
                object,
                attachment: grant.attachment.as_ref().map(|(id, _)| *id),
                transport: grant.transport,
                peer: principal.to_string(),
                read_only: grant.read_only,
                opened_us: self.clock.now_us(),
                read_bytes: 0,
                written_bytes: 0,
            },
            token: grant.attachment.as_ref().map(|(_, token)| token.clone()),
            traffic,
        });
        self.confirm(&grant)?;
        let device = self.throttled(&grant, device, &stop);
        Ok(Opened {
            device,
            description: String::new(),
            log_name: grant.log_name,
            stop,
            guard: Some(Box::new(guard)),
        })
    }

    fn list(&self, principal: &Principal) -> Vec<ExportEntry> {
        let operator = match principal {
            Principal::Tcp(_) => false,
            Principal::Unix { uid, .. } => self.is_operator(*uid),
        };
        let Some(directory) = self.directory.get().filter(|_| operator) else {
            return Vec::new();
        };
        let entry = |volume: Listed| ExportEntry {
            name: volume.id.to_string(),
            description: format!("{} of project {}", volume.name, volume.project),
        };
        let volumes = directory.volumes().into_iter();
        volumes.take(LISTED_MAX).map(entry).collect()
    }
}

impl ExportControl for VolumeExports {
    fn close_export(&self, token: &str) {
        let Some(stop) = self.sessions.withdraw(token) else {
            return;
        };
        stop.stop();
        if !stop.wait_idle(CLOSE_LIMIT) {
            tracing::error!("a connection of a withdrawn export does not end");
        }
    }

    fn limits_changed(&self) {
        self.throttles.refresh(|volume| self.limits(volume));
    }

    fn connections(&self) -> Vec<Connection> {
        self.sessions.list()
    }
}

#[cfg(test)]
mod tests;
