//! Wire structs of the native API, `/cinderblock/v1`: what OpenStack has no call for.
//!
//! | request | answer | who |
//! |---|---|---|
//! | `GET /stats` | [`Stats`] | admin |
//! | `GET /health` | [`Health`] | admin |
//! | `GET /volumes` | [`VolumeStatsList`] | admin |
//! | `GET /volumes/{id}/stats` | [`VolumeStats`] | owner |
//! | `GET`, `PUT /volumes/{id}/source-length` | [`SourceLength`] | owner |
//! | `GET /volumes/{id}/explain` | [`Explain`] | owner |
//! | `GET /volumes/{id}/space` | [`VolumeSpace`] | admin |
//! | `GET /events?after=ID&limit=N` | [`EventList`], oldest first | admin |
//! | `GET /jobs?limit=N`, `GET /jobs/{id}` | [`JobList`], [`JobView`] | admin |
//! | `GET /exports` | [`ExportList`] | admin |
//! | `POST /reclaim` | [`ReclaimResult`] | admin |
//! | `POST /scrub?backend=NAME` | [`ScrubList`], once asked for | admin |
//! | `GET /scrub` | [`ScrubList`] | admin |
//! | `GET /tree` | [`Tree`] | admin |
//!
//! Times are microseconds since 1970. Counters run since the daemon started and never fall while it
//! runs; rates and ratios are the reader's to compute. Readers accept unknown fields and the absence
//! of known ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the pool fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// All is well.
    #[default]
    Ok,
    /// It works, but someone should look.
    Warning,
    /// It has stopped acknowledging writes.
    Failed,
}

/// Health and the reasons, as sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Health {
    /// The worst of all checks.
    pub state: HealthState,
    /// Why it is not `ok`.
    pub reasons: Vec<String>,
}

/// Space of the pool in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PoolSpace {
    /// Sizes of all volumes added up.
    pub logical_bytes: u64,
    /// What is mapped through each volume, added up: what they share counts for each.
    pub referenced_bytes: u64,
    /// Distinct packed data before compression.
    pub unique_bytes: u64,
    /// Packed data on disk after deduplication and compression.
    pub stored_bytes: u64,
    /// Part of `stored_bytes` that nothing needs any more.
    pub dead_bytes: u64,
    /// Part of `stored_bytes` that recompression has not looked at yet.
    pub loose_bytes: u64,
    /// Journal blocks that are not packed yet.
    pub raw_tier_bytes: u64,
    /// What the raw tier may hold before writers wait.
    pub raw_tier_quota_bytes: u64,
    /// The metadata files.
    pub metadata_bytes: u64,
    /// Free space of the file system.
    pub free_bytes: u64,
    /// Capacity of the file system.
    pub total_bytes: u64,
}

/// What hosts did since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostTraffic {
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Write operations.
    pub write_ops: u64,
    /// Read operations.
    pub read_ops: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes that packing found to be stored already.
    pub dedup_hit_bytes: u64,
}

/// The whole daemon at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Stats {
    /// When this was read.
    pub at_us: u64,
    /// When the daemon started.
    pub started_us: u64,
    /// Version of the daemon.
    pub version: String,
    /// How the pool fares.
    pub health: Health,
    /// Space.
    pub pool: PoolSpace,
    /// Traffic.
    pub host: HostTraffic,
    /// Volumes in the pool.
    pub volumes: u64,
    /// Snapshots in the pool.
    pub snapshots: u64,
    /// Open NBD connections.
    pub connections: u64,
}

/// Space and traffic of one volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeStats {
    /// The volume.
    pub id: String,
    /// What the guest sees.
    pub logical_bytes: u64,
    /// What is mapped through the volume, shared with snapshots or not.
    pub referenced_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Write operations.
    pub write_ops: u64,
    /// Read operations.
    pub read_ops: u64,
}

/// Statistics of all volumes, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeStatsList {
    /// One entry a volume.
    pub volumes: Vec<VolumeStats>,
}

/// The length of the image a volume was filled from; an export is cut to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceLength {
    /// Bytes; null when the volume was not imported.
    pub source_length_bytes: Option<u64>,
}

/// Where a volume's bytes come from: its chain of layers, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Explain {
    /// The volume.
    pub volume_id: String,
    /// Space and traffic.
    pub stats: VolumeStats,
    /// Part of the content that is data, in bytes.
    pub data_bytes: u64,
    /// Part that is allocated zeroes, in bytes.
    pub zero_bytes: u64,
    /// Part that was never written or was discarded, in bytes.
    pub hole_bytes: u64,
    /// Runs of one kind that make up the volume.
    pub extents: u64,
    /// Snapshots of the volume.
    pub snapshots: u64,
    /// Length of the image it was filled from.
    pub source_length_bytes: Option<u64>,
}

/// Bytes that chunks take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SpaceTaken {
    /// The chunks themselves, each once, before compression.
    pub plain_bytes: u64,
    /// On disk in packs, after deduplication and compression.
    pub stored_bytes: u64,
    /// On disk in the raw tier, of chunks that are not packed yet.
    pub raw_bytes: u64,
}

/// A volume or snapshot that has stored data in common with a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SharedSpace {
    /// `volume` or `snapshot`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name, which may be empty.
    pub name: String,
    /// Its project; empty for one that is not in the catalogue.
    pub project_id: String,
    /// What it maps of the volume's chunks; one that it maps twice counts twice.
    pub bytes: u64,
}

/// What a snapshot of a volume costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SnapshotSpace {
    /// Its id.
    pub id: String,
    /// Its name, which may be empty.
    pub name: String,
    /// When it was taken.
    pub created_us: u64,
    /// What it maps.
    pub referenced_bytes: u64,
    /// What deleting it alone gives back.
    pub frees: SpaceTaken,
}

/// What a volume holds and shares, and what deleting gives back once reclaim has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeSpace {
    /// The volume.
    pub volume_id: String,
    /// The moment it is true of.
    pub as_of_us: u64,
    /// What the guest sees.
    pub logical_bytes: u64,
    /// What is mapped.
    pub referenced_bytes: u64,
    /// Distinct chunks among that.
    pub unique_bytes: u64,
    /// What those take, shared with others or not.
    pub holds: SpaceTaken,
    /// What deleting the volume gives back while its snapshots stay.
    pub frees: SpaceTaken,
    /// What deleting the volume and all its snapshots gives back.
    pub frees_with_snapshots: SpaceTaken,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotSpace>,
    /// Other volumes and snapshots with data in common, most first; at most 1000.
    pub shared: Vec<SharedSpace>,
    /// How many more there are.
    pub shared_omitted: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Event {
    /// Rises with every event, also over restarts.
    pub id: u64,
    /// When.
    pub at_us: u64,
    /// What happened, such as `volume.created`.
    pub kind: String,
    /// Id of the object it happened to.
    pub object: String,
    /// Project of the object, if it has one.
    pub project: Option<String>,
    /// One line for people.
    pub message: String,
    /// The request that caused it, if one did.
    pub request_id: Option<String>,
}

/// Events, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// At most as many as were asked for.
    pub events: Vec<Event>,
}

/// A piece of asynchronous work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// What it does, such as `volume.create`.
    pub kind: String,
    /// Id of the object it works on.
    pub object: String,
    /// Project of the object, if it has one.
    pub project: Option<String>,
    /// `queued`, `running`, `done` or `failed`.
    pub state: String,
    /// Per cent done, as far as known.
    pub progress: u8,
    /// When it was queued.
    pub created_us: u64,
    /// When it last changed.
    pub updated_us: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Jobs, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobList {
    /// At most as many as were asked for.
    pub jobs: Vec<JobView>,
}

/// The kind of socket a host came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// A TCP connection to an attachment's export.
    #[default]
    Tcp,
    /// The operators' unix socket.
    Unix,
}

/// One open NBD connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExportConnection {
    /// Rises with every connection of this run.
    pub id: u64,
    /// Export name; the secret part of an attachment's name is masked.
    pub export: String,
    /// The volume or snapshot behind it.
    pub volume_id: String,
    /// Who is connected: an address, or a user id.
    pub peer: String,
    /// Through what.
    pub kind: ConnectionKind,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Bytes read by this connection.
    pub read_bytes: u64,
    /// Bytes written by this connection.
    pub written_bytes: u64,
    /// When it was opened.
    pub since_us: u64,
}

/// All open NBD connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExportList {
    /// One entry a connection.
    pub connections: Vec<ExportConnection>,
}

/// What a reclaim gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReclaimResult {
    /// Bytes returned to the file system.
    pub reclaimed_bytes: u64,
}

/// A volume or snapshot, or part of one, that damage makes unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScrubAffected {
    /// The volume, or the one that the snapshot was taken of.
    pub volume_id: String,
    /// The snapshot, if it is one.
    pub snapshot_id: Option<String>,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len_bytes: u64,
}

/// Something that scrub found not to be as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScrubFinding {
    /// What is wrong and where.
    pub message: String,
    /// What cannot be read for it.
    pub affected: Vec<ScrubAffected>,
    /// Whether more is affected than is listed.
    pub more: bool,
    /// Whether it has been put right.
    pub repaired: bool,
}

/// How scrubbing of a backend's pool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScrubView {
    /// The backend.
    pub backend: String,
    /// Whether a round is under way or asked for.
    pub running: bool,
    /// When the round began that is under way or was the last.
    pub begun_us: u64,
    /// When the pool was last verified as a whole; 0 for never.
    pub finished_us: u64,
    /// Bytes that the round has read since the daemon started.
    pub read_bytes: u64,
    /// What is damaged, by the round that is under way or was the last.
    pub damaged: u64,
    /// What of it was repaired.
    pub repaired: u64,
    /// Rounds that ended since the daemon started.
    pub rounds: u64,
    /// The latest damages found since the daemon started.
    pub findings: Vec<ScrubFinding>,
    /// Why the round cannot go on, if so.
    pub stalled: Option<String>,
}

/// How scrubbing stands, by backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScrubList {
    /// One entry a backend.
    pub pools: Vec<ScrubView>,
}

/// A snapshot as the mount shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TreeSnapshot {
    /// Its id.
    pub id: String,
    /// Its name, which need not be unique and may be empty.
    pub name: String,
    /// The volume's size when it was taken.
    pub size_bytes: u64,
    /// When it was taken.
    pub created_us: u64,
}

/// A volume as the mount shows it, with its snapshots, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TreeVolume {
    /// Its id.
    pub id: String,
    /// Its name, which need not be unique and may be empty.
    pub name: String,
    /// Its project.
    pub project_id: String,
    /// What the guest sees.
    pub size_bytes: u64,
    /// When it was created.
    pub created_us: u64,
    /// Its snapshots.
    pub snapshots: Vec<TreeSnapshot>,
}

/// All volumes and their snapshots, of all projects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tree {
    /// Rises whenever the tree changes, so that a reader can keep what it has.
    pub generation: u64,
    /// The volumes, by id.
    pub volumes: Vec<TreeVolume>,
}

#[cfg(test)]
mod tests {
    use super::{Event, HealthState, Stats};

    #[test]
    fn an_answer_with_other_fields_is_read() {
        let text = r#"{"health": {"state": "warning"}, "new": 1, "pool": {"free_bytes": 7}}"#;
        let stats: Stats = serde_json::from_str(text).unwrap();
        assert_eq!(stats.health.state, HealthState::Warning);
        assert_eq!((stats.pool.free_bytes, stats.pool.total_bytes), (7, 0));
        assert_eq!(
            serde_json::from_str::<Event>("{}").unwrap(),
            Event::default()
        );
    }
}
