//! The operations of the native API, from which routes and the OpenAPI document are made.

use crate::openapi::shape::{Shape, int_of, maybe, object, text, wire};
use crate::openapi::{Operation, Parameter, parameter};
use crate::policy::Rule;
use crate::types::native::{
    EventList, Explain, ExportList, Health, JobList, JobView, ReclaimResult, ScrubList,
    SourceLength, Stats, Tree, VolumeSpace, VolumeStats, VolumeStatsList,
};

pub(super) const STATS: Operation = Operation::get("/stats", "Show the daemon at a glance.")
    .rule(Rule::NativeGetStats)
    .answers(200, wire::<Stats>);
pub(super) const HEALTH: Operation = Operation::get("/health", "Show how the pools fare, and why.")
    .rule(Rule::NativeGetHealth)
    .answers(200, wire::<Health>);
pub(super) const ALL_VOLUME_STATS: Operation =
    Operation::get("/volumes", "Show space and traffic of all volumes.")
        .rule(Rule::NativeGetAllVolumeStats)
        .answers(200, wire::<VolumeStatsList>);
pub(super) const VOLUME_STATS: Operation =
    Operation::get("/volumes/{id}/stats", "Show space and traffic of a volume.")
        .rule(Rule::NativeGetVolumeStats)
        .answers(200, wire::<VolumeStats>)
        .faults(&[409]);
pub(super) const EXPLAIN: Operation = Operation::get(
    "/volumes/{id}/explain",
    "Show where a volume's bytes come from.",
)
.rule(Rule::NativeExplainVolume)
.answers(200, wire::<Explain>)
.faults(&[409]);
pub(super) const VOLUME_SPACE: Operation = Operation::get(
    "/volumes/{id}/space",
    "Show what a volume shares with whom, and what deleting it or its snapshots gives back.",
)
.rule(Rule::NativeGetVolumeSpace)
.answers(200, wire::<VolumeSpace>)
.faults(&[409]);
pub(super) const SOURCE_LENGTH: Operation = Operation::get(
    "/volumes/{id}/source-length",
    "Show the length of the image a volume was filled from.",
)
.rule(Rule::NativeGetSourceLength)
.answers(200, wire::<SourceLength>);
pub(super) const SET_SOURCE_LENGTH: Operation = Operation::put(
    "/volumes/{id}/source-length",
    "Set the length of the image a volume was filled from.",
)
.rule(Rule::NativeSetSourceLength)
.body(|| {
    let length = int_of(0, i64::MAX).or_null();
    object([maybe("source_length_bytes", length)]).open()
})
.answers(200, wire::<SourceLength>);
pub(super) const EVENTS: Operation = Operation::get("/events", "List what happened, oldest first.")
    .rule(Rule::NativeGetEvents)
    .query(&[
        &[parameter("after", count, "Only events with larger ids.")],
        LIMIT,
    ])
    .answers(200, wire::<EventList>);
pub(super) const JOBS: Operation = Operation::get("/jobs", "List work, newest first.")
    .rule(Rule::NativeGetJobs)
    .query(&[LIMIT])
    .answers(200, wire::<JobList>);
pub(super) const JOB: Operation = Operation::get("/jobs/{id}", "Show a piece of work.")
    .rule(Rule::NativeGetJob)
    .answers(200, wire::<JobView>);
pub(super) const EXPORTS: Operation = Operation::get("/exports", "List open NBD connections.")
    .rule(Rule::NativeGetExports)
    .answers(200, wire::<ExportList>);
pub(super) const RECLAIM: Operation = Operation::post(
    "/reclaim",
    "Give what nothing needs back to the file system.",
)
.rule(Rule::NativeReclaim)
.answers(200, wire::<ReclaimResult>)
.faults(&[409]);
pub(super) const START_SCRUB: Operation = Operation::post(
    "/scrub",
    "Ask for a round of scrub, which reads and verifies all that is stored.",
)
.rule(Rule::NativeScrub)
.query(&[&[parameter("backend", text, "Only the pool of this backend.")]])
.answers(200, wire::<ScrubList>);
pub(super) const SCRUB: Operation = Operation::get("/scrub", "Show how scrubbing stands.")
    .rule(Rule::NativeGetScrub)
    .answers(200, wire::<ScrubList>);
pub(super) const TREE: Operation = Operation::get(
    "/tree",
    "List all volumes with their snapshots, of all projects.",
)
.rule(Rule::NativeGetTree)
.answers(200, wire::<Tree>);

const LIMIT: &[Parameter] = &[parameter("limit", count, "Most items; 100 if not told.")];

fn count() -> Shape {
    int_of(0, i64::MAX)
}
