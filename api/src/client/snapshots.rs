//! Snapshots.

use std::time::Duration;

use super::volumes::{all_pages, as_id, escape, has_next, only, settle};
use super::{Client, ErrorKind, Reach, Result, Service};
use crate::types::cinder::{
    Snapshot, SnapshotBody, SnapshotCreate, SnapshotCreateBody, SnapshotList,
};

impl Client {
    /// All snapshots in reach, of one volume or of all, the newest first.
    ///
    /// # Errors
    /// Any kind.
    pub fn snapshots(&self, reach: Reach, volume_id: Option<&str>) -> Result<Vec<Snapshot>> {
        let filter = volume_id.map_or_else(String::new, |id| format!("&volume_id={}", escape(id)));
        self.snapshots_where(reach, &filter)
    }

    fn snapshots_where(&self, reach: Reach, filter: &str) -> Result<Vec<Snapshot>> {
        let reach = reach.query();
        all_pages(
            |snapshot: &Snapshot| &snapshot.id,
            |marker| {
                let path = format!("snapshots/detail?limit=1000{reach}{filter}{marker}");
                let page: SnapshotList = self.get(Service::BlockStorage, &path)?;
                Ok((page.snapshots, has_next(page.snapshots_links.as_ref())))
            },
        )
    }

    /// A snapshot by id.
    ///
    /// # Errors
    /// `NotFound` and any other kind.
    pub fn snapshot(&self, id: &str) -> Result<Snapshot> {
        let path = format!("snapshots/{}", escape(id));
        let body: SnapshotBody = self.get(Service::BlockStorage, &path)?;
        Ok(body.snapshot)
    }

    /// A snapshot by id or name. An id wins; a name of several snapshots is `Ambiguous`.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous` and any other kind.
    pub fn find_snapshot(&self, name_or_id: &str) -> Result<Snapshot> {
        if let Some(id) = as_id(name_or_id) {
            match self.snapshot(&id) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => return done,
            }
        }
        let filter = format!("&name={}", escape(name_or_id));
        let mut found = self.snapshots_where(Reach::Project, &filter)?;
        found.retain(|snapshot| snapshot.name.as_deref() == Some(name_or_id));
        only("snapshot", name_or_id, found, |snapshot| &snapshot.id)
    }

    /// Takes a snapshot; it may still be `creating` when this returns.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_snapshot(&self, snapshot: SnapshotCreate) -> Result<Snapshot> {
        let body = SnapshotCreateBody { snapshot };
        let body: SnapshotBody = self.post(Service::BlockStorage, "snapshots", &body)?;
        Ok(body.snapshot)
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_snapshot(&self, id: &str) -> Result<()> {
        self.delete(Service::BlockStorage, &format!("snapshots/{}", escape(id)))
    }

    /// Waits until a snapshot's status rests, and returns the snapshot then.
    ///
    /// # Errors
    /// As `settle_volume`.
    pub fn settle_snapshot(&self, id: &str, timeout: Duration) -> Result<Snapshot> {
        let of = format!("snapshot {id}");
        settle(
            &of,
            timeout,
            || self.snapshot(id),
            |snapshot| &snapshot.status,
        )
    }
}
