//! Parts of the service through the router: what admins change, and what follows.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::tests::{Site, id_of, message};
use crate::log_levels::{LogControl, LogLevel};
use crate::testing::{Answer, Cloud};

const HOST: &str = "cinderblock@pool";

impl Site {
    async fn put_service(&self, action: &str, body: Value) -> Answer {
        let path = format!("/os-services/{action}");
        self.call("PUT", &path, body).await
    }

    async fn volume_service(&self) -> Value {
        let list = self.get("/os-services?binary=cinder-volume").await;
        list.body["services"][0].clone()
    }
}

#[tokio::test]
async fn a_disabled_service_gets_no_volumes_until_it_is_enabled() {
    let site = Site::new().await;
    let named = json!({"binary": "cinder-volume", "host": HOST, "disabled_reason": "moving"});
    let off = site.put_service("disable-log-reason", named).await;
    assert_eq!(
        off.body,
        json!({"binary": "cinder-volume", "service": "", "host": HOST, "status": "disabled",
            "disabled": true, "disabled_reason": "moving"})
    );
    let service = site.volume_service().await;
    assert_eq!(
        (&service["status"], &service["disabled_reason"]),
        (&json!("disabled"), &json!("moving"))
    );
    let zones = site.get("/os-availability-zone").await;
    assert_eq!(
        zones.body["availabilityZoneInfo"][0]["zoneState"]["available"],
        false
    );
    let hosts = site.get("/os-hosts").await;
    assert_eq!(hosts.body["hosts"].as_array().unwrap().len(), 2);
    let make = json!({"volume": {"size": 1}});
    let failed = id_of(&site.call("POST", "/volumes", make.clone()).await);
    site.run_jobs();
    let shown = site.get(&format!("/volumes/{failed}")).await;
    assert_eq!(shown.body["volume"]["status"], "error");
    let told = site.get("/messages").await;
    assert_eq!(
        told.body["messages"][0]["event_id"],
        "VOLUME_VOLUME_001_003"
    );
    let named = json!({"service": "cinder-volume", "host": HOST});
    let on = site.put_service("enable", named).await;
    assert_eq!(
        (&on.body["status"], &on.body["binary"]),
        (&json!("enabled"), &json!(""))
    );
    let made = id_of(&site.call("POST", "/volumes", make).await);
    site.run_jobs();
    let shown = site.get(&format!("/volumes/{made}")).await;
    assert_eq!(shown.body["volume"]["status"], "available");
}

#[tokio::test]
async fn a_frozen_host_keeps_what_it_has() {
    let site = Site::new().await;
    let make = json!({"volume": {"size": 1}});
    let volume = id_of(&site.call("POST", "/volumes", make).await);
    site.run_jobs();
    let host = json!({"host": HOST});
    let frozen = site.put_service("freeze", host.clone()).await;
    assert_eq!(frozen.status, StatusCode::OK);
    let twice = site.put_service("freeze", host.clone()).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    let service = site.volume_service().await;
    assert_eq!(
        (&service["frozen"], &service["disabled_reason"]),
        (&json!(true), &json!("frozen"))
    );
    let path = format!("/volumes/{volume}");
    let kept = site.call("DELETE", &path, Value::Null).await;
    assert!(message(&kept).contains("not allowed on frozen storage backends"));
    let take = json!({"snapshot": {"volume_id": volume}});
    let none = site.call("POST", "/snapshots", take.clone()).await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.put_service("thaw", host).await.status, StatusCode::OK);
    let taken = site.call("POST", "/snapshots", take).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    let service = site.volume_service().await;
    assert_eq!(
        (&service["frozen"], &service["status"]),
        (&json!(false), &json!("enabled"))
    );
}

#[tokio::test]
async fn table_of_refusals() {
    let site = Site::new().await;
    for (action, body, status, says) in [
        (
            "disable",
            json!({"binary": "cinder-volume", "host": "nowhere"}),
            404,
            "Service cinder-volume could not be found on host nowhere.",
        ),
        (
            "enable",
            json!({"binary": "cinder-volume"}),
            400,
            "Invalid input received: Host field is missing.",
        ),
        (
            "enable",
            json!({"host": HOST}),
            400,
            "{'host': 'cinderblock@pool'} is not valid under any of the given schemas",
        ),
        (
            "freeze",
            json!({"host": "nowhere"}),
            400,
            "No service found with host=nowhere",
        ),
        (
            "freeze",
            json!({"host": "a", "cluster": "b"}),
            400,
            "Invalid input received: One and only one of cluster and host must be set.",
        ),
        (
            "thaw",
            json!({"host": HOST}),
            400,
            "Invalid input received: No service could be changed: frozen in ['cinderblock@pool'] must be True to failover.",
        ),
        (
            "failover_host",
            json!({"host": HOST, "backend_id": "x"}),
            400,
            "Invalid input received: No service could be changed: replication_status in ['cinderblock@pool'] must be ['enabled', 'failed-over'] and must be up to failover.",
        ),
        (
            "failover",
            json!({"cluster": "c"}),
            400,
            "No service found with cluster=c",
        ),
        (
            "disable",
            json!({"binary": "b", "host": "h", "colour": 1}),
            400,
            "Additional properties are not allowed ('colour' was unexpected)",
        ),
        (
            "set-log",
            json!({"binary": "cinder-api", "level": "LOUD"}),
            400,
            "Invalid input received: LOUD is not a valid log level.",
        ),
    ] {
        let refused = site.put_service(action, body).await;
        assert_eq!(
            (refused.status.as_u16(), message(&refused)),
            (status, says),
            "{action}"
        );
    }
    let unknown = site.put_service("fly", json!({"binary": "x"})).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

/// A log whose levels a test can look at.
#[derive(Default)]
struct Levels(Mutex<Vec<(String, LogLevel)>>);

impl LogControl for Levels {
    fn levels(&self, prefix: &str) -> Vec<(String, LogLevel)> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .cloned()
            .collect()
    }
    fn set(&self, prefix: &str, level: LogLevel) {
        self.0.lock().unwrap().push((prefix.to_owned(), level));
    }
}

#[tokio::test]
async fn log_levels_are_set_and_shown() {
    let site = Site::new().await;
    let levels = Arc::new(Levels::default());
    site.cloud.services.connect_logs(levels.clone());
    let body = json!({"binary": "*", "prefix": "store", "level": "Debug"});
    assert_eq!(
        site.put_service("set-log", body).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(levels.levels(""), [("store".to_owned(), LogLevel::Debug)]);
    let elsewhere = json!({"server": "elsewhere", "prefix": "api", "level": "INFO"});
    site.put_service("set-log", elsewhere).await;
    assert_eq!(levels.levels("").len(), 1);
    let shown = site
        .put_service("get-log", json!({"binary": "cinder-api"}))
        .await;
    assert_eq!(
        shown.body["log_levels"],
        json!([{"binary": "cinder-api", "host": "cinderblock", "levels": {"store": "DEBUG"}}])
    );
    let all = site.put_service("get-log", json!({"prefix": "none"})).await;
    assert_eq!(all.body["log_levels"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn hosts_tell_what_projects_have() {
    let site = Site::new().await;
    let make = json!({"volume": {"size": 3}});
    site.call("POST", "/volumes", make).await;
    site.run_jobs();
    let list = site.get("/os-hosts?zone=nova").await;
    assert_eq!(list.body["hosts"].as_array().unwrap().len(), 3);
    assert_eq!(
        site.get("/os-hosts?zone=x").await.body,
        json!({"hosts": []})
    );
    let shown = site.get(&format!("/os-hosts/{HOST}")).await;
    let resources = shown.body["host"].as_array().unwrap();
    assert_eq!(resources[0]["resource"]["project"], "(total)");
    assert_eq!(
        resources[1]["resource"],
        json!({"host": HOST, "project": site.project, "volume_count": "1",
            "total_volume_gb": "3", "snapshot_count": "0", "total_snapshot_gb": "0"})
    );
    let missing = site.get("/os-hosts/nowhere").await;
    assert_eq!(
        message(&missing),
        "Service cinder-volume could not be found on host nowhere."
    );
    let path = format!("/os-hosts/{HOST}");
    let off = site.call("PUT", &path, json!({"Status": "Disable"})).await;
    assert_eq!(off.body, json!({"host": HOST, "status": "disabled"}));
    assert_eq!(site.volume_service().await["status"], "disabled");
    let odd = site.call("PUT", &path, json!({"status": "maybe"})).await;
    assert!(message(&odd).ends_with("'maybe' is not one of ['enable', 'disable']"));
    let odd = site.call("PUT", &path, json!({"Status": "maybe"})).await;
    assert_eq!(message(&odd), "Invalid status: 'maybe'");
    let odd = site.call("PUT", "/os-hosts/update", json!({})).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn hosts_have_their_own_volumes_only() {
    let site = Site::on(Cloud::with_backends(&["a", "b"])).await;
    let specs = json!({"volume_backend_name": "b"});
    let body = json!({"volume_type": {"name": "b", "extra_specs": specs}});
    site.call("POST", "/types", body).await;
    let make = json!({"volume": {"size": 2, "volume_type": "b"}});
    site.call("POST", "/volumes", make).await;
    site.run_jobs();
    for (host, volumes) in [("cinderblock@a", "0"), ("cinderblock@b", "1")] {
        let shown = site.get(&format!("/os-hosts/{host}")).await;
        let total = &shown.body["host"][0]["resource"];
        assert_eq!(total["volume_count"], volumes, "{host}");
    }
}

#[tokio::test]
async fn the_backup_service_is_listed() {
    let site = Site::new().await;
    let list = site.get("/os-services?binary=cinder-backup").await;
    let service = &list.body["services"][0];
    assert_eq!(
        (&service["host"], &service["state"]),
        (&json!("cinderblock"), &json!("up"))
    );
    assert!(service.get("frozen").is_none(), "it is of volume services");
}

#[tokio::test]
async fn clusters_workers_and_filters_answer() {
    let site = Site::new().await;
    assert_eq!(
        site.get("/clusters/detail").await.body,
        json!({"clusters": []})
    );
    let odd = site.get("/clusters?colour=red").await;
    assert_eq!(
        message(&odd),
        "Invalid input received: Invalid filter keys: colour"
    );
    let none = site.get("/clusters/nope").await;
    let says = "Cluster {'binary': 'cinder-volume', 'name': 'nope'} could not be found.";
    assert_eq!(message(&none), says);
    let none = site
        .call("PUT", "/clusters/enable", json!({"name": "nope"}))
        .await;
    assert_eq!((none.status, message(&none)), (StatusCode::NOT_FOUND, says));
    let clean = async |body: Value| site.call("POST", "/workers/cleanup", body).await;
    let done = clean(json!({"host": "nowhere"})).await;
    assert_eq!(
        (done.status, done.body),
        (
            StatusCode::ACCEPTED,
            json!({"cleaning": [], "unavailable": []})
        )
    );
    let up = clean(json!({"is_up": true, "binary": "cinder-volume"})).await;
    assert_eq!(
        up.body["cleaning"],
        json!([{"id": 2, "host": HOST, "binary": "cinder-volume", "cluster_name": null}])
    );
    let odd = clean(json!({"disabled": "zz"})).await;
    assert!(message(&odd).starts_with("Invalid input for field/attribute disabled. Value: zz."));
    let odd = clean(json!({"resource_type": "group"})).await;
    assert!(message(&odd).contains("must be Backup, Snapshot or Volume"));
    let filters = site.get("/resource_filters?resource=pool").await;
    assert_eq!(
        filters.body["resource_filters"],
        json!([{"resource": "pool", "filters": ["name", "volume_type"]}])
    );
    let extension = site.get("/extensions/qos-specs").await;
    assert_eq!(extension.body["extension"]["name"], "Qos_specs_manage");
}
