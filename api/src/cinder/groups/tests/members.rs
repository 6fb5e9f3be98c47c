//! Groups and what is in them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Yard, delete};
use crate::cinder::tests::message;

#[tokio::test]
async fn a_group_is_made_shown_listed_and_deleted_with_its_volumes() {
    let yard = Yard::new().await;
    let group = yard.group("first").await;
    let shown = yard.site.shown("group", &group).await;
    let expected = json!({
        "id": group, "name": "first", "description": null, "status": "available",
        "availability_zone": "nova", "created_at": shown["created_at"],
        "group_type": yard.group_type, "volume_types": [yard.volume_type],
        "group_snapshot_id": null, "source_group_id": null, "replication_status": "disabled",
        "project_id": yard.site.project,
    });
    assert_eq!(shown, expected);
    let volume = yard.volume(&group).await;
    let row = yard.site.shown("volume", &volume).await;
    assert_eq!(row["group_id"], json!(group));
    assert_eq!(row["consistencygroup_id"], Value::Null);
    let list = yard.site.get("/groups").await;
    assert_eq!(
        list.body,
        json!({"groups": [{"id": group, "name": "first"}]})
    );
    let list = yard
        .site
        .get("/groups/detail?list_volume=true&name=first")
        .await;
    assert_eq!(list.body["groups"][0]["volumes"], json!([volume]));
    let by_group = yard.site.get(&format!("/volumes?group_id={group}")).await;
    assert_eq!(by_group.body["volumes"][0]["id"], json!(volume));
    assert_eq!(yard.used().await, [1, 1, 0, 1]);
    // What is in a group goes with it alone.
    let path = format!("/volumes/{volume}");
    for path in [path.clone(), format!("{path}?force=true")] {
        assert_eq!(
            yard.site.delete(&path).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    let in_use = yard
        .site
        .delete(&format!("/group_types/{}", yard.group_type))
        .await;
    assert_eq!(message(&in_use), "Target group type is still in use.");
    let refused = yard.act(&group, delete(false)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("still contains volumes"));
    let deleted = yard.act(&group, delete(true)).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    assert_eq!(yard.site.shown("group", &group).await["status"], "deleting");
    yard.site.run_jobs();
    for path in [path, format!("/groups/{group}")] {
        assert_eq!(yard.site.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(yard.used().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn members_and_names_change() {
    let yard = Yard::new().await;
    let (group, other) = (yard.group("a").await, yard.group("b").await);
    let (one, two) = (yard.volume(&group).await, yard.volume(&group).await);
    let removed = yard
        .change(&group, json!({"remove_volumes": two, "name": "c"}))
        .await;
    assert_eq!(removed.status, StatusCode::ACCEPTED, "{:?}", removed.body);
    assert_eq!(yard.members(&group).await, [one.as_str()]);
    let shown = yard.site.shown("group", &group).await;
    assert_eq!(
        (&shown["name"], &shown["status"]),
        (&json!("c"), &json!("available"))
    );
    assert_eq!(
        yard.site.shown("volume", &two).await["group_id"],
        Value::Null
    );
    let added = yard
        .change(&group, json!({"add_volumes": format!("{one},{two}")}))
        .await;
    assert_eq!(added.status, StatusCode::ACCEPTED, "{:?}", added.body);
    assert_eq!(yard.members(&group).await.len(), 2);
    let alien = yard.site.make("volume", json!({"size": 1})).await;
    yard.site.run_jobs();
    for (change, says) in [
        (
            json!({"add_volumes": alien}),
            "is not supported by the group.",
        ),
        (
            json!({"remove_volumes": alien}),
            "because it is not in the group.",
        ),
        (
            json!({"add_volumes": "nonsense"}),
            "because volume cannot be found.",
        ),
        (
            json!({"add_volumes": alien, "remove_volumes": alien}),
            "are in both add and remove volume list.",
        ),
        (json!({"name": "c"}), "or remove_volumes were provided."),
        (json!({}), "{} is not valid under any of the given schemas"),
    ] {
        let refused = yard.change(&group, change.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{change}");
        assert!(message(&refused).ends_with(says), "{}", message(&refused));
    }
    let taken = yard.change(&other, json!({"add_volumes": one})).await;
    assert!(message(&taken).ends_with(&format!("already in group {group}.")));
    // Another type is another kind of member.
    let retype = json!({"os-retype": {"new_type": "__DEFAULT__", "migration_policy": "never"}});
    let retyped = yard
        .site
        .post(&format!("/volumes/{one}/action"), retype)
        .await;
    assert_eq!(retyped.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_group_that_no_backend_is_good_for_is_in_error() {
    let yard = Yard::new().await;
    let path = format!("/types/{}/extra_specs", yard.volume_type);
    let specs = json!({"extra_specs": {"telepathy": "<is> True"}});
    yard.site.post(&path, specs).await;
    let group = yard.group("nowhere").await;
    assert_eq!(yard.site.shown("group", &group).await["status"], "error");
    yard.volume(&group).await;
    let cut = json!({"group_snapshot": {"group_id": group}});
    let cut = yard.site.post("/group_snapshots", cut).await;
    assert_eq!(
        message(&cut),
        "Invalid volume: volume is not assigned to a host"
    );
    let from = json!({"create-from-src": {"source_group_id": group}});
    let copy = yard.site.post("/groups/action", from).await;
    assert_eq!(copy.status, StatusCode::BAD_REQUEST);
    assert!(message(&copy).starts_with("Invalid Group: No valid host to create group"));
    let deleted = yard.act(&group, delete(true)).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    yard.site.run_jobs();
    assert_eq!(yard.used().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn limits_bind_all_that_a_request_makes_or_nothing() {
    let yard = Yard::new().await;
    let group = yard.group("a").await;
    for _ in 0..2 {
        yard.volume(&group).await;
    }
    let path = format!("/os-quota-sets/{}", yard.site.project);
    let limits = json!({"quota_set": {"groups": 1, "snapshots": 1}});
    yard.site.call("PUT", &path, limits).await;
    let cut = json!({"group_snapshot": {"group_id": group}});
    let cut = yard.site.post("/group_snapshots", cut).await;
    assert_eq!(cut.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(message(&cut).starts_with("SnapshotLimitExceeded"));
    let wanted = json!({"group": {
        "group_type": "gt", "volume_types": ["vt"],
    }});
    let more = yard.site.post("/groups", wanted).await;
    assert_eq!(more.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        message(&more),
        "GroupLimitExceeded: Maximum number of groups allowed (1) exceeded"
    );
    let limits = json!({"quota_set": {"groups": 5, "volumes": 3}});
    yard.site.call("PUT", &path, limits).await;
    let from = json!({"create-from-src": {"source_group_id": group}});
    let copy = yard.site.post("/groups/action", from).await;
    assert_eq!(copy.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(yard.used().await, [1, 2, 0, 2]);
    let list = yard.site.get("/groups").await;
    assert_eq!(list.body["groups"].as_array().unwrap().len(), 1);
}
