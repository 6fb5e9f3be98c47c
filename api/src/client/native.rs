//! The native API.

use serde_json::json;

use super::volumes::escape;
use super::{Client, Result, Service};
use crate::types::native::{
    Event, EventList, ExportConnection, ExportList, JobList, JobView, ReclaimResult, ScrubList,
    ScrubView, SourceLength, Stats, Tree, VolumeSpace, VolumeStats, VolumeStatsList,
};

impl Client {
    /// The daemon at a glance.
    ///
    /// # Errors
    /// Any kind.
    pub fn stats(&self) -> Result<Stats> {
        self.get(Service::Native, "stats")
    }

    /// Space and traffic of all volumes.
    ///
    /// # Errors
    /// Any kind.
    pub fn all_volume_stats(&self) -> Result<Vec<VolumeStats>> {
        let list: VolumeStatsList = self.get(Service::Native, "volumes")?;
        Ok(list.volumes)
    }

    /// Space and traffic of one volume.
    ///
    /// # Errors
    /// Any kind.
    pub fn volume_stats(&self, id: &str) -> Result<VolumeStats> {
        self.get(Service::Native, &format!("volumes/{}/stats", escape(id)))
    }

    /// Length in bytes of the image a volume was filled from.
    ///
    /// # Errors
    /// Any kind.
    pub fn source_length(&self, id: &str) -> Result<Option<u64>> {
        let path = format!("volumes/{}/source-length", escape(id));
        let answer: SourceLength = self.get(Service::Native, &path)?;
        Ok(answer.source_length_bytes)
    }

    /// Records the length in bytes of the image a volume was filled from.
    ///
    /// # Errors
    /// Any kind.
    pub fn set_source_length(&self, id: &str, bytes: u64) -> Result<()> {
        let path = format!("volumes/{}/source-length", escape(id));
        let body = SourceLength {
            source_length_bytes: Some(bytes),
        };
        self.put::<SourceLength>(Service::Native, &path, &body)?;
        Ok(())
    }

    /// What a volume holds and shares, and what deleting gives back.
    ///
    /// # Errors
    /// Any kind.
    pub fn volume_space(&self, id: &str) -> Result<VolumeSpace> {
        self.get(Service::Native, &format!("volumes/{}/space", escape(id)))
    }

    /// At most `limit` events after the one of id `after`, the oldest first; without `after` the
    /// newest.
    ///
    /// # Errors
    /// Any kind.
    pub fn events(&self, after: Option<u64>, limit: usize) -> Result<Vec<Event>> {
        let after = after.map_or_else(String::new, |id| format!("&after={id}"));
        let path = format!("events?limit={limit}{after}");
        Ok(self.get::<EventList>(Service::Native, &path)?.events)
    }

    /// The newest `limit` jobs.
    ///
    /// # Errors
    /// Any kind.
    pub fn jobs(&self, limit: usize) -> Result<Vec<JobView>> {
        let list: JobList = self.get(Service::Native, &format!("jobs?limit={limit}"))?;
        Ok(list.jobs)
    }

    /// The open NBD connections.
    ///
    /// # Errors
    /// Any kind.
    pub fn connections(&self) -> Result<Vec<ExportConnection>> {
        let list: ExportList = self.get(Service::Native, "exports")?;
        Ok(list.connections)
    }

    /// Packs, and frees what nothing refers to; returns the bytes given back.
    ///
    /// # Errors
    /// Any kind.
    pub fn reclaim(&self) -> Result<u64> {
        let answer: ReclaimResult = self.post(Service::Native, "reclaim", &json!({}))?;
        Ok(answer.reclaimed_bytes)
    }

    /// Asks for a round of scrub, of one backend or of all.
    ///
    /// # Errors
    /// Any kind.
    pub fn start_scrub(&self, backend: Option<&str>) -> Result<Vec<ScrubView>> {
        let path = match backend {
            Some(name) => format!("scrub?backend={}", escape(name)),
            None => "scrub".to_owned(),
        };
        let answer: ScrubList = self.post(Service::Native, &path, &json!({}))?;
        Ok(answer.pools)
    }

    /// How scrubbing stands, by backend.
    ///
    /// # Errors
    /// Any kind.
    pub fn scrub(&self) -> Result<Vec<ScrubView>> {
        let list: ScrubList = self.get(Service::Native, "scrub")?;
        Ok(list.pools)
    }

    /// All volumes with their snapshots.
    ///
    /// # Errors
    /// Any kind.
    pub fn tree(&self) -> Result<Tree> {
        self.get(Service::Native, "tree")
    }
}
