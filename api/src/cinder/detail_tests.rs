//! Details of answers that clients can tell services apart by, through the router.

use http::StatusCode;
use serde_json::{Value, json};

use super::tests::{Site, id_of, message};
use crate::testing::Answer;

impl Site {
    /// A volume that is there.
    async fn volume(&self) -> String {
        let made = self.call("POST", "/volumes", json!({"volume": {"size": 1}}));
        let id = id_of(&made.await);
        self.run_jobs();
        id
    }

    async fn act(&self, volume: &str, body: Value) -> Answer {
        let path = format!("/volumes/{volume}/action");
        self.call("POST", &path, body).await
    }

    async fn as_of(&self, minor: u16, method: &str, path: &str, body: Value) -> Answer {
        let version = format!("volume 3.{minor}");
        let headers = [
            ("X-Auth-Token", self.admin.as_str()),
            ("OpenStack-API-Version", version.as_str()),
        ];
        let path = format!("/volume/v3{path}");
        self.cloud.send(method, &path, &headers, body).await
    }
}

#[tokio::test]
async fn image_metadata_are_part_of_details_while_there_are_any() {
    let site = Site::new().await;
    let id = site.volume().await;
    let path = format!("/volumes/{id}");
    let shown = async || site.get(&path).await.body["volume"].clone();
    assert!(shown().await.get("volume_image_metadata").is_none());
    let set = json!({"os-set_image_metadata": {"metadata": {"os": "x"}}});
    site.act(&id, set).await;
    assert_eq!(shown().await["volume_image_metadata"], json!({"os": "x"}));
    let list = site.get("/volumes/detail").await;
    assert_eq!(
        list.body["volumes"][0]["volume_image_metadata"],
        json!({"os": "x"})
    );
    let renamed = site
        .call("PUT", &path, json!({"volume": {"name": "n"}}))
        .await;
    assert!(
        renamed.body["volume"]
            .get("volume_image_metadata")
            .is_none()
    );
    let unset = site
        .act(&id, json!({"os-unset_image_metadata": {"key": "os"}}))
        .await;
    assert_eq!(unset.status, StatusCode::OK);
    assert_eq!(unset.header("content-type"), "text/html; charset=UTF-8");
    assert_eq!(unset.header("x-compute-request-id"), "");
    assert!(shown().await.get("volume_image_metadata").is_none());
}

#[tokio::test]
async fn actions_that_came_later_are_not_found_before() {
    let site = Site::new().await;
    let path = format!("/volumes/{}/action", site.volume().await);
    for (minor, action) in [(40, "revert"), (68, "os-reimage")] {
        let body = json!({ action: {} });
        let before = site.as_of(minor - 1, "POST", &path, body.clone()).await;
        assert_eq!(before.status, StatusCode::NOT_FOUND, "{action}");
        assert_eq!(message(&before), "The resource could not be found.");
        let after = site.as_of(minor, "POST", &path, body).await;
        assert_eq!(after.status, StatusCode::BAD_REQUEST, "{action}");
    }
}

#[tokio::test]
async fn an_attachment_has_its_time_from_the_connector_on() {
    let site = Site::new().await;
    let body = json!({"attachment": {"volume_uuid": site.volume().await}});
    let made = id_of(&site.call("POST", "/attachments", body).await);
    let path = format!("/attachments/{made}");
    assert_eq!(site.get(&path).await.body["attachment"]["attached_at"], "");
    let connector = json!({"attachment": {"connector": {"host": "h"}}});
    site.call("PUT", &path, connector).await;
    let shown = site.get(&path).await;
    let attachment = &shown.body["attachment"];
    assert_eq!(attachment["status"], "attaching");
    assert!(
        attachment["attached_at"]
            .as_str()
            .unwrap()
            .starts_with("20")
    );
}

#[tokio::test]
async fn attachments_of_a_shared_volume_are_made_one_after_another() {
    let site = Site::new().await;
    let specs = json!({"multiattach": "<is> True"});
    let shared = json!({"volume_type": {"name": "shared", "extra_specs": specs}});
    site.call("POST", "/types", shared).await;
    let body = json!({"volume": {"size": 1, "volume_type": "shared"}});
    let id = id_of(&site.call("POST", "/volumes", body).await);
    site.run_jobs();
    let status = async || {
        let shown = site.get(&format!("/volumes/{id}")).await;
        shown.body["volume"]["status"].as_str().unwrap().to_owned()
    };
    let reserve = async || {
        let server = uuid::Uuid::new_v4();
        let body = json!({"attachment": {"volume_uuid": id, "instance_uuid": server}});
        site.call("POST", "/attachments", body).await
    };
    let first = id_of(&reserve().await);
    assert_eq!(status().await, "reserved");
    let refused = reserve().await;
    assert!(message(&refused).contains("available or in-use or downloading to reserve"));
    let connector = json!({"attachment": {"connector": {"host": "h"}}});
    let path = format!("/attachments/{first}");
    site.call("PUT", &path, connector).await;
    assert_eq!(status().await, "attaching");
    let complete = json!({"os-complete": null});
    site.call("POST", &format!("{path}/action"), complete).await;
    assert_eq!(status().await, "in-use");
    assert_eq!(reserve().await.status, StatusCode::OK);
    assert_eq!(status().await, "reserved");
}

#[tokio::test]
async fn filters_that_came_later_hold_where_filters_are_configured() {
    let site = Site::new().await;
    site.volume().await;
    let path = "/volumes?created_at=when";
    for (minor, status) in [(30, 200), (31, 400), (60, 400)] {
        let list = site.as_of(minor, "GET", path, Value::Null).await;
        assert_eq!(list.status.as_u16(), status, "3.{minor}");
    }
}

#[tokio::test]
async fn odd_parameters_of_lists_are_refused_as_the_real_service_does() {
    let site = Site::new().await;
    let volume = site.volume().await;
    for (minor, path, status) in [
        (71, "/volumes?limit=99999999999999999999", 200),
        (71, "/volumes?offset=99999999999999999999", 400),
        (71, "/volumes?marker=", 404),
        (71, "/volumes?sort=", 400),
        (71, "/volumes?all_tenants=abc", 400),
        (71, "/snapshots?all_tenants=abc", 200),
        (71, "/snapshots?sort=size", 400),
        (71, "/snapshots?bootable=zz", 200),
        (71, "/volumes?bootable=zz", 400),
        (71, "/volumes?consumes_quota=zz", 400),
        (30, "/scheduler-stats/get_pools?colour=red", 200),
        (31, "/scheduler-stats/get_pools?colour=red", 400),
        (0, "/os-volume-transfer?limit=x", 400),
        (0, "/os-volume-transfer?offset=-1", 400),
    ] {
        let list = site.as_of(minor, "GET", path, Value::Null).await;
        assert_eq!(list.status.as_u16(), status, "3.{minor} {path}");
    }
    let member = site.cloud.token_of_another_project(&site.admin).await;
    for (minor, query, status) in [
        (30, "name~=a", 200),
        (31, "name~=a", 400),
        (71, "name~=a", 400),
        (44, "with_count=1", 400),
        (45, "with_count=1", 200),
    ] {
        let version = format!("volume 3.{minor}");
        let headers = [
            ("X-Auth-Token", member.as_str()),
            ("OpenStack-API-Version", version.as_str()),
        ];
        let path = format!("/volume/v3/volumes?{query}");
        let list = site.cloud.send("GET", &path, &headers, Value::Null).await;
        assert_eq!(list.status.as_u16(), status, "3.{minor} {query}");
    }
    assert!(!volume.is_empty());
}
