//! Messages through the router: who is told of what, and for how long.

use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::tests::{Site, id_of, message};

/// Makes a volume of a type that no pool has the capabilities for, and runs the job.
async fn unplaceable(site: &Site) -> String {
    let made = site.call("POST", "/types", json!({"volume_type": {"name": "odd"}}));
    let volume_type = id_of(&made.await);
    let specs = json!({"extra_specs": {"vendor_name": "somebody else"}});
    let path = format!("/types/{volume_type}/extra_specs");
    assert_eq!(site.call("POST", &path, specs).await.status, StatusCode::OK);
    let wanted = json!({"volume": {"size": 1, "volume_type": "odd"}});
    let made = site.call("POST", "/volumes", wanted).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    site.run_jobs();
    id_of(&made)
}

#[tokio::test]
async fn a_volume_without_a_pool_fails_and_says_why() {
    let site = Site::new().await;
    let volume = unplaceable(&site).await;
    let shown = site.get(&format!("/volumes/{volume}")).await;
    assert_eq!(shown.body["volume"]["status"], "error");
    let list = site.get("/messages").await;
    let found = &list.body["messages"][0];
    assert_eq!(found["event_id"], "VOLUME_VOLUME_001_003");
    assert_eq!(
        found["user_message"],
        "schedule allocate volume:Could not find any available weighted backend."
    );
    assert_eq!(found["resource_uuid"], volume.as_str());
    assert_eq!(found["resource_type"], "VOLUME");
    assert_eq!(found["message_level"], "ERROR");
    assert!(found["request_id"].as_str().unwrap().starts_with("req-"));
    assert!(found["guaranteed_until"].as_str() > found["created_at"].as_str());
    let path = format!("/messages/{}", found["id"].as_str().unwrap());
    let one = site.get(&path).await;
    assert_eq!(&one.body["message"], found);
    let gone = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let missing = site.get(&path).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(message(&missing).starts_with("Message "));
}

#[tokio::test]
async fn failed_jobs_tell_and_lists_filter() {
    let site = Site::new().await;
    let made = site.call("POST", "/volumes", json!({"volume": {"size": 1}}));
    let volume = id_of(&made.await);
    site.run_jobs();
    let extend = json!({"os-extend": {"new_size": 2}});
    let path = format!("/volumes/{volume}/action");
    site.call("POST", &path, extend).await;
    // Its bytes are gone behind the catalogue's back.
    let id = uuid::Uuid::parse_str(&volume).unwrap();
    site.cloud
        .store("pool")
        .delete_volume(store::VolumeId(id))
        .unwrap();
    site.run_jobs();
    let wanted = json!({"snapshot": {"volume_id": volume, "force": true}});
    let reset = json!({"os-reset_status": {"status": "available"}});
    site.call("POST", &path, reset).await;
    let headers = [
        ("X-Auth-Token", site.admin.as_str()),
        ("OpenStack-API-Version", "volume 3.5"),
    ];
    let snapshots = "/volume/v3/snapshots";
    let taken = site.cloud.send("POST", snapshots, &headers, wanted).await;
    let snapshot = id_of(&taken);
    site.run_jobs();
    let ids = async |query: &str| {
        let list = site.get(&format!("/messages?{query}")).await;
        let all = list.body["messages"].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["event_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (extend, snap) = ("VOLUME_VOLUME_007_010", "VOLUME_VOLUME_SNAPSHOT_009_013");
    assert_eq!(ids("sort=event_id:asc").await, [extend, snap]);
    assert_eq!(ids(&format!("resource_uuid={snapshot}")).await, [snap]);
    assert_eq!(ids(&format!("event_id={extend}")).await, [extend]);
    assert!(ids("message_level=INFO").await.is_empty());
    let page = site.get("/messages?limit=1").await;
    assert_eq!(page.body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(page.body["messages_links"][0]["rel"], "next");
}

#[tokio::test]
async fn other_projects_see_nothing_and_old_versions_have_no_messages() {
    let site = Site::new().await;
    unplaceable(&site).await;
    let id = id_of_first(&site).await;
    let other = site.cloud.token_of_another_project(&site.admin).await;
    let as_other = |version: &'static str| {
        [
            ("X-Auth-Token", other.clone()),
            ("OpenStack-API-Version", version.to_owned()),
        ]
    };
    let send = async |version, path: &str| {
        let headers = as_other(version);
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let path = format!("/volume/v3{path}");
        site.cloud.send("GET", &path, &headers, Value::Null).await
    };
    let list = send("volume 3.71", "/messages").await;
    assert_eq!(list.body, json!({"messages": []}));
    let one = send("volume 3.71", &format!("/messages/{id}")).await;
    assert_eq!(one.status, StatusCode::NOT_FOUND);
    let old = send("volume 3.2", "/messages").await;
    assert_eq!(old.status, StatusCode::NOT_FOUND);
    let odd = send("volume 3.71", "/messages?colour=red").await;
    assert_eq!(
        message(&odd),
        "Invalid filters colour are found in query options."
    );
    // Filters came with 3.5: before, they are not looked at.
    let early = send("volume 3.4", "/messages?limit=nothing").await;
    assert_eq!(early.status, StatusCode::OK);
}

async fn id_of_first(site: &Site) -> String {
    let list = site.get("/messages").await;
    let id = list.body["messages"][0]["id"].as_str();
    id.unwrap().to_owned()
}

#[tokio::test]
async fn messages_go_when_their_time_is_over() {
    let site = Site::new().await;
    unplaceable(&site).await;
    let first = id_of_first(&site).await;
    site.cloud.advance_s(31 * 24 * 3600);
    let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
    let login = site.cloud.login("admin", crate::testing::PASSWORD, scope);
    let site = Site {
        admin: login.await.header("x-subject-token").to_owned(),
        ..site
    };
    assert_eq!(site.get("/messages").await.body, json!({"messages": []}));
    let one = site.get(&format!("/messages/{first}")).await;
    assert_eq!(one.status, StatusCode::NOT_FOUND);
    // The next failure removes the row itself.
    let wanted = json!({"volume": {"size": 1, "volume_type": "odd"}});
    site.call("POST", "/volumes", wanted).await;
    site.run_jobs();
    let list = site.get("/messages").await;
    assert_eq!(list.body["messages"].as_array().unwrap().len(), 1);
    assert_ne!(list.body["messages"][0]["id"], first.as_str());
}
