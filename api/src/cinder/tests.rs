//! Types, quotas and what the service tells of itself, through the router.

use http::StatusCode;
use serde_json::{Value, json};

use crate::jobs::run_pending;
use crate::server::job_registry;
use crate::testing::{Answer, Cloud, PASSWORD};

const BASE: &str = "/volume/v3";

/// A cloud with an admin's token.
pub(super) struct Site {
    pub(super) cloud: Cloud,
    pub(super) admin: String,
    pub(super) project: String,
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::on(Cloud::new()).await
    }

    pub(super) async fn on(cloud: Cloud) -> Self {
        let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
        let login = cloud.login("admin", PASSWORD, scope).await;
        Self {
            admin: login.header("x-subject-token").to_owned(),
            project: login.body["token"]["project"]["id"]
                .as_str()
                .unwrap()
                .to_owned(),
            cloud,
        }
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [
            ("X-Auth-Token", self.admin.as_str()),
            ("OpenStack-API-Version", "volume 3.71"),
        ];
        let path = format!("{BASE}{path}");
        self.cloud.send(method, &path, &headers, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    /// Creates a type and returns its id.
    pub(super) async fn create_type(&self, name: &str, is_public: bool) -> String {
        let body = json!({"volume_type": {
            "name": name, "os-volume-type-access:is_public": is_public,
        }});
        let made = self.call("POST", "/types", body).await;
        assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
        made.body["volume_type"]["id"].as_str().unwrap().to_owned()
    }

    pub(super) fn run_jobs(&self) {
        run_pending(&self.cloud.services, &job_registry()).unwrap();
    }

    async fn create_volume(&self, volume: Value) -> Answer {
        let made = self
            .call("POST", "/volumes", json!({ "volume": volume }))
            .await;
        self.run_jobs();
        made
    }
}

/// The id of what a call made.
pub(super) fn id_of(answer: &Answer) -> String {
    let made = answer.body.as_object().unwrap().values().next().unwrap();
    made["id"].as_str().unwrap().to_owned()
}

pub(super) fn message(answer: &Answer) -> &str {
    let fault = answer.body.as_object().unwrap().values().next().unwrap();
    fault["message"].as_str().unwrap()
}

#[tokio::test]
async fn the_default_type_is_there_and_stays() {
    let site = Site::new().await;
    let shown = site.get("/types/default").await;
    let found = &shown.body["volume_type"];
    assert_eq!(found["name"], "__DEFAULT__");
    assert!(found.get("os-volume-type-access:is_public").is_none());
    let path = format!("/types/{}", found["id"].as_str().unwrap());
    let only = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(only.status, StatusCode::BAD_REQUEST);
    assert!(message(&only).contains("only currently defined"));
    site.create_type("other", true).await;
    let default = site.call("DELETE", &path, Value::Null).await;
    assert!(message(&default).contains("is the default volume type"));
}

#[tokio::test]
async fn types_are_made_changed_and_removed() {
    let site = Site::new().await;
    let id = site.create_type("gold", true).await;
    let again = json!({"volume_type": {"name": "gold"}});
    let again = site.call("POST", "/types", again).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let blank = json!({"volume_type": {"name": " "}});
    let blank = site.call("POST", "/types", blank).await;
    assert_eq!(
        message(&blank),
        "An invalid 'name' value was provided. The 'name' can not be empty."
    );
    let path = format!("/types/{id}");
    let specs = json!({"extra_specs": {"driver:k": "v", "multiattach": "<is> True"}});
    let added = site
        .call("POST", &format!("{path}/extra_specs"), specs.clone())
        .await;
    assert_eq!((added.status, added.body), (StatusCode::OK, specs));
    let two = json!({"k": "1", "l": "2"});
    let two = site
        .call("PUT", &format!("{path}/extra_specs/x:k"), two)
        .await;
    assert_eq!(
        message(&two),
        "{'k': '1', 'l': '2'} has too many properties"
    );
    let change = json!({"volume_type": {"description": "new"}});
    let changed = site.call("PUT", &path, change).await;
    assert_eq!(changed.body["volume_type"]["description"], "new");
    let used = site
        .create_volume(json!({"size": 1, "volume_type": "gold"}))
        .await;
    assert_eq!(used.status, StatusCode::ACCEPTED, "{:?}", used.body);
    let refused = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(message(&refused), "Target volume type is still in use.");
    let volume = used.body["volume"]["id"].as_str().unwrap().to_owned();
    let action = format!("/volumes/{volume}/action");
    let retype = json!({"os-retype": {"new_type": "__DEFAULT__", "migration_policy": "never"}});
    let retyped = site.call("POST", &action, retype.clone()).await;
    assert_eq!(retyped.status, StatusCode::ACCEPTED, "{:?}", retyped.body);
    let same = site.call("POST", &action, retype).await;
    assert!(message(&same).contains("same as original"));
    let shown = site.get(&format!("/volumes/{volume}")).await;
    assert_eq!(shown.body["volume"]["volume_type"], "__DEFAULT__");
    assert_eq!(shown.body["volume"]["multiattach"], false);
    site.call("DELETE", &format!("/volumes/{volume}"), Value::Null)
        .await;
    site.run_jobs();
    let gone = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
    assert_eq!(site.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn private_types_are_for_the_projects_they_name() {
    let site = Site::new().await;
    let id = site.create_type("secret", false).await;
    let (path, project) = (format!("/types/{id}"), site.project.clone());
    let names = async |query: &str| {
        let list = site.get(&format!("/types{query}")).await;
        let items = list.body["volume_types"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["__DEFAULT__"]);
    assert_eq!(names("?is_public=False").await, ["secret"]);
    let add = json!({"addProjectAccess": {"project": project}});
    let action = format!("{path}/action");
    let added = site.call("POST", &action, add.clone()).await;
    assert_eq!(added.status, StatusCode::ACCEPTED);
    let twice = site.call("POST", &action, add).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert_eq!(names("?sort=name:asc").await, ["secret", "__DEFAULT__"]);
    let access = site.get(&format!("{path}/os-volume-type-access")).await;
    assert_eq!(
        access.body["volume_type_access"],
        json!([{"volume_type_id": id, "project_id": project}])
    );
    let remove = json!({"removeProjectAccess": {"project": project}});
    let removed = site.call("POST", &action, remove.clone()).await;
    assert_eq!(removed.status, StatusCode::ACCEPTED);
    let missing = site.call("POST", &action, remove).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn projects_have_default_types_of_their_own() {
    let site = Site::new().await;
    let id = site.create_type("silver", true).await;
    let path = format!("/default-types/{}", site.project);
    assert_eq!(site.get(&path).await.status, StatusCode::NOT_FOUND);
    let body = json!({"default_type": {"volume_type": "silver"}});
    let set = site.call("PUT", &path, body).await;
    assert_eq!(set.body["default_type"]["volume_type_id"], json!(id));
    let made = site.create_volume(json!({"size": 1})).await;
    assert_eq!(made.body["volume"]["volume_type"], "silver");
    let unset = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(unset.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn quotas_bind_and_are_counted() {
    let site = Site::new().await;
    let path = format!("/os-quota-sets/{}", site.project);
    let set = async |quotas: Value| {
        let body = json!({ "quota_set": quotas });
        site.call("PUT", &path, body).await
    };
    let first = site.create_volume(json!({"size": 2})).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{:?}", first.body);
    let low = set(json!({"volumes": 0})).await;
    assert_eq!(
        message(&low),
        "Quota volumes limit must be equal or greater than existing resources. Current usage is \
         1 and the requested limit is 0."
    );
    let bad = set(json!({"colour": 1})).await;
    assert_eq!(
        message(&bad),
        "Invalid input received: Bad key(s) in quota set: colour"
    );
    let done = set(json!({"volumes": 1, "gigabytes": 5})).await;
    assert_eq!(done.body["quota_set"]["volumes"], 1);
    let over = site.create_volume(json!({"size": 1})).await;
    assert_eq!(over.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(over.header("retry-after"), "0");
    set(json!({"volumes": -1, "gigabytes___DEFAULT__": 3})).await;
    let over = site.create_volume(json!({"size": 2})).await;
    assert!(message(&over).contains("exceeds allowed gigabytes___DEFAULT__ quota"));
    let usage = site.get(&format!("{path}?usage=True")).await;
    assert_eq!(
        usage.body["quota_set"]["gigabytes"],
        json!({"limit": 5, "in_use": 2, "reserved": 0})
    );
    let limits = site.get("/limits").await;
    assert_eq!(limits.body["limits"]["absolute"]["totalVolumesUsed"], 1);
    let reset = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(reset.status, StatusCode::OK);
    let plain = site.get(&path).await;
    assert_eq!(plain.body["quota_set"]["gigabytes"], 1000);
}

#[tokio::test]
async fn the_default_class_changes_all_projects() {
    let site = Site::new().await;
    let body = json!({"quota_class_set": {"volumes": 7}});
    let changed = site.call("PUT", "/os-quota-class-sets/default", body).await;
    assert_eq!(changed.body["quota_class_set"]["volumes"], 7);
    assert!(changed.body["quota_class_set"].get("id").is_none());
    let defaults = format!("/os-quota-sets/{}/defaults", site.project);
    assert_eq!(site.get(&defaults).await.body["quota_set"]["volumes"], 7);
}

#[tokio::test]
async fn the_service_tells_of_itself() {
    let site = Site::new().await;
    let zones = site.get("/os-availability-zone").await;
    assert_eq!(
        zones.body["availabilityZoneInfo"][0],
        json!({"zoneName": "nova", "zoneState": {"available": true}})
    );
    let parts = site.get("/os-services?binary=cinder-volume").await;
    assert_eq!(parts.body["services"][0]["backend_state"], "up");
    let pools = site.get("/scheduler-stats/get_pools?detail=true").await;
    let capabilities = &pools.body["pools"][0]["capabilities"];
    assert!(capabilities["total_capacity_gb"].as_f64().unwrap() > 0.0);
    let maybe = site.get("/scheduler-stats/get_pools?detail=maybe").await;
    assert_eq!(
        message(&maybe),
        "Value 'maybe' for 'detail' is not a boolean."
    );
    let extension = site.get("/extensions/os-types-manage").await;
    assert_eq!(extension.body["extension"]["name"], "TypesManage");
}

#[tokio::test]
async fn version_2_is_version_3_of_old() {
    let site = Site::new().await;
    site.create_volume(json!({"size": 1, "name": "v"})).await;
    let v2 = async |path: &str| {
        let path = format!("/volume/v2{path}");
        site.cloud
            .call(&site.admin, "GET", &path, Value::Null)
            .await
    };
    let project = &site.project;
    let list = v2(&format!("/{project}/volumes")).await;
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(list.header("openstack-api-version"), "");
    let href = list.body["volumes"][0]["links"][0]["href"].as_str();
    assert!(href.unwrap().contains(&format!("/v2/{project}/volumes/")));
    for path in [
        "/volumes".to_owned(),
        format!("/{project}/attachments"),
        format!("/{project}/volumes/summary"),
    ] {
        assert_eq!(v2(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn version_2_shows_itself_to_callers_with_a_token() {
    let site = Site::new().await;
    for path in ["/volume/v2", "/volume/v2/"] {
        let shown = site.cloud.call(&site.admin, "GET", path, Value::Null).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        let versions = shown.body["versions"].as_array().unwrap();
        let ids: Vec<_> = versions.iter().map(|version| &version["id"]).collect();
        assert_eq!(ids, ["v2.0"]);
        let bad = site.cloud.call("bad", "GET", path, Value::Null).await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
        let nobody = site.cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn metadata_is_changed_only_by_those_who_know_it() {
    let site = Site::new().await;
    let made = site
        .create_volume(json!({"size": 1, "metadata": {"a": "1"}}))
        .await;
    let id = made.body["volume"]["id"].as_str().unwrap();
    let path = format!("{BASE}/volumes/{id}/metadata");
    let tag = site.get(&format!("/volumes/{id}/metadata")).await;
    let tag = tag.header("etag");
    assert!(!tag.is_empty());
    let put = async |tag: &str| {
        let headers = [
            ("X-Auth-Token", site.admin.as_str()),
            ("OpenStack-API-Version", "volume 3.15"),
            ("If-Match", tag),
        ];
        let body = json!({"metadata": {"b": "2"}});
        site.cloud.send("PUT", &path, &headers, body).await.status
    };
    assert_eq!(put("deadbeef").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(put(tag).await, StatusCode::OK);
    assert_eq!(put(tag).await, StatusCode::PRECONDITION_FAILED);
}
