//! What the service tells of itself and is told: parts, hosts, clusters, pools, zones.

use super::{spelled_flag, words_or_null};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::shape::{
    Field, Shape, any, any_of, field, flag, int, list, map_of, maybe, null, object, text, text_of,
    time, wire, words, wrapped,
};
use crate::openapi::{Operation, parameter, truth};
use crate::policy::Rule;
use crate::types::cinder::{AvailabilityZones, ExtensionBody, Extensions, ServiceList};

/// The microversion that brought clusters.
const CLUSTERS_SINCE: u16 = 7;
/// The microversion that brought levels of the log.
const LOGS_SINCE: u16 = 32;

pub(in crate::cinder) const LIST: Operation =
    Operation::get("/os-services", "List the parts of the service.")
        .rule(Rule::ServicesIndex)
        .query(&[&[
            parameter("host", text, "Parts of this host."),
            parameter("binary", text, "Parts of this kind."),
        ]])
        .answers(200, wire::<ServiceList>);
pub(in crate::cinder) const ENABLE: Operation =
    Operation::put("/os-services/enable", "Give a part new work again.")
        .rule(Rule::ServicesUpdate)
        .body(|| object(part()))
        .answers(200, || object(state()));
pub(in crate::cinder) const DISABLE: Operation =
    Operation::put("/os-services/disable", "Give a part no new work.")
        .rule(Rule::ServicesUpdate)
        .body(|| object(part()))
        .answers(200, || object(state()));
pub(in crate::cinder) const DISABLE_WITH_REASON: Operation = Operation::put(
    "/os-services/disable-log-reason",
    "Give a part no new work, and say why.",
)
.rule(Rule::ServicesUpdate)
.body(|| {
    let reason = maybe("disabled_reason", text_of(1, TEXT_MAX));
    object(part().into_iter().chain([reason]))
})
.answers(200, || {
    let reason = field("disabled_reason", text().or_null());
    object(state().into_iter().chain([reason]))
});
pub(in crate::cinder) const FREEZE: Operation =
    Operation::put("/os-services/freeze", "Let a host make no changes.")
        .rule(Rule::ServicesUpdate)
        .body(|| object(place()))
        .empty(200);
pub(in crate::cinder) const THAW: Operation =
    Operation::put("/os-services/thaw", "Let a host make changes again.")
        .rule(Rule::ServicesUpdate)
        .body(|| object(place()))
        .empty(200);
pub(in crate::cinder) const FAILOVER_HOST: Operation = Operation::put(
    "/os-services/failover_host",
    "Go over to the replica of a host.",
)
.rule(Rule::ServicesUpdate)
.body(|| {
    object(
        place()
            .into_iter()
            .chain([maybe("backend_id", words_or_null())]),
    )
})
.empty(202);
pub(in crate::cinder) const FAILOVER: Operation =
    FAILOVER_HOST.at("/os-services/failover").since(26);
pub(in crate::cinder) const SET_LOG: Operation =
    Operation::put("/os-services/set-log", "Set levels of the log.")
        .since(LOGS_SINCE)
        .rule(Rule::ServicesUpdate)
        .body(|| object(log().into_iter().chain([maybe("level", words_or_null())])))
        .empty(202);
pub(in crate::cinder) const GET_LOG: Operation =
    Operation::put("/os-services/get-log", "Show levels of the log.")
        .since(LOGS_SINCE)
        .rule(Rule::ServicesUpdate)
        .body(|| object(log()))
        .answers(200, log_levels);

pub(in crate::cinder) const HOSTS: Operation = Operation::get("/os-hosts", "List hosts.")
    .rule(Rule::Hosts)
    .query(&[&[parameter("zone", text, "Hosts of this zone.")]])
    .answers(200, hosts);
pub(in crate::cinder) const HOST: Operation =
    Operation::get("/os-hosts/{host}", "Show what projects have on a host.")
        .rule(Rule::Hosts)
        .answers(200, host);
pub(in crate::cinder) const UPDATE_HOST: Operation =
    Operation::put("/os-hosts/{host}", "Enable or disable a host.")
        .rule(Rule::Hosts)
        .body(|| map_of(text()))
        .answers(200, || {
            object([
                maybe("host", text()),
                maybe("status", words(&["enabled", "disabled"])),
            ])
        });

pub(in crate::cinder) const CLUSTERS: Operation =
    Operation::get("/clusters", "List clusters, of which there are none.")
        .since(CLUSTERS_SINCE)
        .rule(Rule::ClustersGetAll)
        .query(&[&[
            parameter("name", text, "Clusters of this name."),
            parameter("binary", text, "Clusters of this kind."),
            parameter("is_up", truth, "Clusters that are up, or not."),
            parameter("disabled", truth, "Clusters that are disabled, or not."),
        ]])
        .answers(200, || wrapped("clusters", list(cluster())));
pub(in crate::cinder) const CLUSTERS_DETAIL: Operation = CLUSTERS.at("/clusters/detail");
pub(in crate::cinder) const CLUSTER: Operation =
    Operation::get("/clusters/{name}", "Show a cluster.")
        .since(CLUSTERS_SINCE)
        .rule(Rule::ClustersGet)
        .query(&[&[parameter("binary", text, "Its kind.")]])
        .answers(200, || wrapped("cluster", cluster()));
pub(in crate::cinder) const ENABLE_CLUSTER: Operation =
    Operation::put("/clusters/enable", "Give a cluster new work again.")
        .since(CLUSTERS_SINCE)
        .rule(Rule::ClustersUpdate)
        .body(|| object(named_cluster()))
        .answers(200, || wrapped("cluster", cluster()));
pub(in crate::cinder) const DISABLE_CLUSTER: Operation =
    Operation::put("/clusters/disable", "Give a cluster no new work.")
        .since(CLUSTERS_SINCE)
        .rule(Rule::ClustersUpdate)
        .body(|| {
            let reason = maybe("disabled_reason", words_or_null());
            object(named_cluster().into_iter().chain([reason]))
        })
        .answers(200, || wrapped("cluster", cluster()));

pub(in crate::cinder) const CLEANUP: Operation =
    Operation::post("/workers/cleanup", "Let parts clean up what a crash left.")
        .since(24)
        .rule(Rule::WorkersCleanup)
        .body_if_any(cleanup)
        .answers(202, cleaned);
pub(in crate::cinder) const POOLS: Operation =
    Operation::get("/scheduler-stats/get_pools", "List pools.")
        .rule(Rule::SchedulerStatsGetPools)
        .query(&[&[
            parameter("detail", truth, "Show what they can do and hold."),
            parameter("name", text, "Pools of this name.").since(28),
            parameter("volume_type", text, "Pools for this type.").since(35),
        ]])
        .answers(200, pools);
pub(in crate::cinder) const CAPABILITIES: Operation =
    Operation::get("/capabilities/{host}", "Show what a backend can do.")
        .rule(Rule::Capabilities)
        .answers(200, capabilities);
pub(in crate::cinder) const ZONES: Operation =
    Operation::get("/os-availability-zone", "List availability zones.")
        .answers(200, wire::<AvailabilityZones>);
pub(in crate::cinder) const EXTENSIONS: Operation =
    Operation::get("/extensions", "List extensions of the interface.")
        .answers(200, wire::<Extensions>);
pub(in crate::cinder) const EXTENSION: Operation =
    Operation::get("/extensions/{alias}", "Show an extension of the interface.")
        .answers(200, wire::<ExtensionBody>);
pub(in crate::cinder) const FILTERS: Operation =
    Operation::get("/resource_filters", "List what lists can be filtered by.")
        .since(33)
        .query(&[&[parameter("resource", text, "Those of this list.")]])
        .answers(200, || {
            let one = object([field("resource", text()), field("filters", list(text()))]);
            wrapped("resource_filters", list(one))
        });

fn short() -> Shape {
    text_of(1, TEXT_MAX)
}

fn host_name() -> Shape {
    short().like(r"^[a-zA-Z0-9._#@:/+\[\]-]*$").or_null()
}

fn part() -> [Field; 4] {
    [
        maybe("binary", short()),
        maybe("service", short()),
        maybe("host", host_name()),
        maybe("cluster", words_or_null()),
    ]
}

fn place() -> [Field; 2] {
    [
        maybe("host", host_name()),
        maybe("cluster", words_or_null()),
    ]
}

fn state() -> [Field; 5] {
    [
        field("host", text()),
        field("service", text()),
        field("binary", text()),
        field("status", words(&["enabled", "disabled"])),
        field("disabled", flag()),
    ]
}

fn log() -> [Field; 3] {
    let binaries = words(&crate::cinder::services::LOG_BINARIES);
    [
        maybe("binary", binaries),
        maybe("server", words_or_null()),
        maybe("prefix", words_or_null()),
    ]
}

fn log_levels() -> Shape {
    let one = object([
        field("binary", text()),
        field("host", text()),
        field("levels", map_of(text())),
    ]);
    wrapped("log_levels", list(one))
}

fn hosts() -> Shape {
    let one = object([
        field("host_name", text()),
        field("service", text()),
        field("zone", text()),
        field("service-status", words(&["available", "unavailable"])),
        field("service-state", words(&["enabled", "disabled"])),
        field("last-update", time().or_null()),
    ]);
    wrapped("hosts", list(one))
}

fn host() -> Shape {
    let digits = || text().like("^[0-9]+$");
    let resource = object([
        field("host", text()),
        field("project", text()),
        field("volume_count", digits()),
        field("total_volume_gb", digits()),
        field("snapshot_count", digits()),
        field("total_snapshot_gb", digits()),
    ]);
    wrapped("host", list(wrapped("resource", resource)))
}

fn named_cluster() -> [Field; 2] {
    [field("name", short()), maybe("binary", words_or_null())]
}

fn cluster() -> Shape {
    object([
        field("name", text()),
        field("binary", text()),
        field("state", text()),
        field("status", text()),
        field("replication_status", text().or_null()).since(26),
    ])
    .open()
    .named("Cluster")
}

fn cleanup() -> Shape {
    let id = any_of([int(), text().like("^[0-9]*$"), null()]);
    object([
        maybe("cluster_name", words_or_null()),
        maybe("service_id", id),
        maybe("host", words_or_null()),
        maybe(
            "binary",
            words(&["cinder-volume", "cinder-scheduler"]).or_null(),
        ),
        maybe("is_up", any_of([spelled_flag(), null()])),
        maybe("disabled", any_of([spelled_flag(), null()])),
        maybe("resource_id", super::uuid_or_null()),
        maybe("resource_type", text().or_null()),
    ])
}

fn cleaned() -> Shape {
    let part = || {
        list(object([
            field("id", int()),
            field("host", text()),
            field("binary", text()),
            field("cluster_name", text().or_null()),
        ]))
    };
    object([field("cleaning", part()), field("unavailable", part())])
}

fn pools() -> Shape {
    let pool = object([field("name", text()), maybe("capabilities", map_of(any()))]);
    wrapped("pools", list(pool))
}

fn capabilities() -> Shape {
    let property = object([
        field("title", text()),
        field("description", text()),
        field("type", text()),
    ]);
    object([
        field("namespace", text()),
        field("vendor_name", text().or_null()),
        field("volume_backend_name", text().or_null()),
        field("pool_name", text().or_null()),
        field("driver_version", text().or_null()),
        field("storage_protocol", text().or_null()),
        field("display_name", text().or_null()),
        field("description", text().or_null()),
        field("visibility", text().or_null()),
        field("replication_targets", list(any())),
        field("properties", map_of(property)),
    ])
    .named("Capabilities")
}
