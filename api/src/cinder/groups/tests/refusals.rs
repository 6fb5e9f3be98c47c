//! What is refused, and to whom.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Yard, delete};
use crate::cinder::tests::{id_of, message};

#[tokio::test]
async fn actions_have_their_versions_and_refusals() {
    let yard = Yard::new().await;
    let group = yard.group("a").await;
    let path = format!("/volume/v3/groups/{group}/action");
    let send = async |version: &str, path: &str, body: Value| {
        let version = format!("volume {version}");
        let headers = [
            ("X-Auth-Token", yard.site.admin.as_str()),
            ("OpenStack-API-Version", &version),
        ];
        yard.site.cloud.send("POST", path, &headers, body).await
    };
    let reset = |status: &str| json!({"reset_status": {"status": status}});
    for (version, body, status) in [
        ("3.19", reset("error"), StatusCode::NOT_FOUND),
        ("3.20", reset("Error"), StatusCode::ACCEPTED),
        ("3.20", reset("in-use"), StatusCode::BAD_REQUEST),
        (
            "3.37",
            json!({"enable_replication": {}}),
            StatusCode::NOT_FOUND,
        ),
        (
            "3.38",
            json!({"enable_replication": {}}),
            StatusCode::BAD_REQUEST,
        ),
        (
            "3.38",
            json!({"disable_replication": {}}),
            StatusCode::BAD_REQUEST,
        ),
        (
            "3.38",
            json!({"list_replication_targets": {}}),
            StatusCode::BAD_REQUEST,
        ),
        (
            "3.38",
            json!({"failover_replication": {"secondary_backend_id": "x"}}),
            StatusCode::BAD_REQUEST,
        ),
        (
            "3.14",
            json!({"create-from-src": {}}),
            StatusCode::BAD_REQUEST,
        ),
        ("3.71", json!({"dance": {}}), StatusCode::BAD_REQUEST),
    ] {
        let answer = send(version, &path, body.clone()).await;
        assert_eq!(answer.status, status, "{version} {body}");
    }
    assert_eq!(yard.site.shown("group", &group).await["status"], "error");
    let none = "/volume/v3/groups/action";
    for body in [delete(true), reset("error")] {
        assert_eq!(
            send("3.71", none, body).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    let by_accident = yard.site.delete(&format!("/groups/{group}")).await;
    assert_eq!(by_accident.status, StatusCode::BAD_REQUEST);
    let missing = json!({"create-from-src": {"group_snapshot_id": Uuid::nil()}});
    let missing = send("3.14", none, missing).await;
    assert_eq!(
        message(&missing),
        format!("GroupSnapshot {} could not be found.", Uuid::nil())
    );
}

#[tokio::test]
async fn groups_of_others_are_not_found() {
    let yard = Yard::new().await;
    let group = yard.group("mine").await;
    yard.volume(&group).await;
    let cut = yard
        .site
        .make("group_snapshot", json!({"group_id": group}))
        .await;
    let other = yard
        .site
        .cloud
        .token_of_another_project(&yard.site.admin)
        .await;
    let headers = [
        ("X-Auth-Token", other.as_str()),
        ("OpenStack-API-Version", "volume 3.71"),
    ];
    let send = async |method: &str, path: &str, body: Value| {
        let path = format!("/volume/v3{path}");
        yard.site.cloud.send(method, &path, &headers, body).await
    };
    let action = format!("/groups/{group}/action");
    for (method, path, body) in [
        ("GET", format!("/groups/{group}"), Value::Null),
        ("GET", format!("/group_snapshots/{cut}"), Value::Null),
        ("GET", format!("/consistencygroups/{group}"), Value::Null),
        ("DELETE", format!("/cgsnapshots/{cut}"), Value::Null),
        ("POST", action.clone(), delete(true)),
        (
            "POST",
            "/group_snapshots".to_owned(),
            json!({"group_snapshot": {"group_id": group}}),
        ),
        (
            "POST",
            "/volumes".to_owned(),
            json!({"volume": {"size": 1, "volume_type": "vt", "group_id": group}}),
        ),
    ] {
        let answer = send(method, &path, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    let list = send("GET", "/groups?all_tenants=1", Value::Null).await;
    assert_eq!(list.body, json!({"groups": []}));
    let list = yard.site.get("/groups?all_tenants=0").await;
    assert_eq!(list.body["groups"].as_array().unwrap().len(), 1);
    // One's own: all but what is for admins.
    let wanted = json!({"group": {"group_type": "gt", "volume_types": ["vt"]}});
    let own = id_of(&send("POST", "/groups", wanted).await);
    let reset = json!({"reset_status": {"status": "error"}});
    let refused = send("POST", &format!("/groups/{own}/action"), reset).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let gone = send("POST", &format!("/groups/{own}/action"), delete(false)).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
}
