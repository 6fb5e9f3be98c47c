//! Group snapshots, and groups made from others.

use http::StatusCode;
use serde_json::json;
use store::VolumeId;
use uuid::Uuid;

use super::{Yard, delete};
use crate::cinder::tests::{id_of, message};

#[tokio::test]
async fn a_group_snapshot_holds_all_volumes_and_makes_groups() {
    let yard = Yard::new().await;
    let group = yard.group("source").await;
    let volumes = [yard.volume(&group).await, yard.volume(&group).await];
    for volume in &volumes {
        yard.write(volume, 1);
    }
    let wanted = json!({"group_snapshot": {"group_id": group, "name": "cut"}});
    let made = yard.site.post("/group_snapshots", wanted).await;
    let cut = id_of(&made);
    assert_eq!(made.status, StatusCode::ACCEPTED);
    assert_eq!(
        made.body,
        json!({"group_snapshot": {"id": cut, "name": "cut", "group_type_id": yard.group_type}})
    );
    assert_eq!(yard.used().await, [1, 2, 2, 4]);
    // The power may fail between the engine's cut and the rows' new status.
    yard.run_unclosed(&cut);
    for volume in &volumes {
        yard.write(volume, 2);
    }
    yard.site.run_jobs();
    let shown = yard.site.shown("group_snapshot", &cut).await;
    assert_eq!(
        (&shown["status"], &shown["group_id"]),
        (&json!("available"), &json!(group))
    );
    let parts = yard.site.get("/snapshots/detail").await.body["snapshots"].clone();
    let parts = parts.as_array().unwrap();
    assert_eq!(parts.len(), 2);
    for part in parts {
        assert_eq!(part["status"], "available");
        assert_eq!(part["group_snapshot_id"], json!(cut));
        let path = format!("/snapshots/{}", part["id"].as_str().unwrap());
        assert_eq!(
            yard.site.delete(&path).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    let busy = yard.act(&group, delete(true)).await;
    assert_eq!(
        message(&busy),
        "Invalid Group: Group has existing snapshots."
    );
    let from = json!({"create-from-src": {"name": "copy", "group_snapshot_id": cut}});
    let copied = yard.site.post("/groups/action", from).await;
    assert_eq!(copied.status, StatusCode::ACCEPTED, "{:?}", copied.body);
    let copy = id_of(&copied);
    let early = yard.site.delete(&format!("/group_snapshots/{cut}")).await;
    assert_eq!(early.status, StatusCode::BAD_REQUEST);
    yard.run_unclosed(&copy);
    yard.site.run_jobs();
    let shown = yard.site.shown("group", &copy).await;
    assert_eq!(shown["status"], "available");
    assert_eq!(shown["group_snapshot_id"], json!(cut));
    for volume in yard.members(&copy).await {
        assert_eq!(yard.read(&volume), 1);
        assert_eq!(
            yard.site.shown("volume", &volume).await["status"],
            "available"
        );
    }
    let deleted = yard.site.delete(&format!("/group_snapshots/{cut}")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    yard.run_unclosed(&cut);
    yard.site.run_jobs();
    let gone = yard.site.get(&format!("/group_snapshots/{cut}")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(yard.used().await, [2, 4, 0, 4]);
}

#[tokio::test]
async fn a_group_of_a_group_holds_one_cut_and_leaves_nothing_behind() {
    let yard = Yard::new().await;
    let group = yard.group("source").await;
    let volumes = [yard.volume(&group).await, yard.volume(&group).await];
    for volume in &volumes {
        yard.write(volume, 1);
    }
    let from = json!({"create-from-src": {"source_group_id": group}});
    let copy = id_of(&yard.site.post("/groups/action", from).await);
    let early = yard.act(&group, delete(true)).await;
    assert_eq!(early.status, StatusCode::BAD_REQUEST);
    yard.run_unclosed(&copy);
    // Run again after a crash, the work must not take what was written since.
    for volume in &volumes {
        yard.write(volume, 2);
    }
    yard.site.run_jobs();
    let copies = yard.members(&copy).await;
    assert_eq!(copies.len(), 2);
    for volume in &copies {
        assert_eq!(yard.read(volume), 1);
    }
    assert_eq!(yard.site.cloud.store("pool").snapshots().len(), 0);
    assert_eq!(yard.used().await, [2, 4, 0, 4]);
}

#[tokio::test]
async fn failures_end_in_error_and_give_back_what_goes() {
    let yard = Yard::new().await;
    let group = yard.group("source").await;
    let volume = yard.volume(&group).await;
    let engine_id = VolumeId(Uuid::parse_str(&volume).unwrap());
    let store = yard.site.cloud.store("pool");
    store.delete_volume(engine_id).unwrap();
    let cut = yard
        .site
        .make("group_snapshot", json!({"group_id": group}))
        .await;
    let from = json!({"create-from-src": {"source_group_id": group}});
    let copy = id_of(&yard.site.post("/groups/action", from).await);
    yard.site.run_jobs();
    assert_eq!(
        yard.site.shown("group_snapshot", &cut).await["status"],
        "error"
    );
    assert_eq!(yard.site.shown("group", &copy).await["status"], "error");
    let told = yard.site.get("/messages").await;
    let told = told.body["messages"].as_array().unwrap().clone();
    let told: Vec<&str> = told
        .iter()
        .map(|message| message["event_id"].as_str().unwrap())
        .collect();
    let expected = ["VOLUME_VOLUME_008_001", "VOLUME_VOLUME_SNAPSHOT_009_"];
    for start in expected {
        assert!(
            told.iter().any(|event| event.starts_with(start)),
            "{told:?}"
        );
    }
    let broken = yard.members(&copy).await.pop().unwrap();
    assert_eq!(yard.site.shown("volume", &broken).await["status"], "error");
    assert_eq!(yard.used().await, [2, 2, 1, 3]);
    yard.site.delete(&format!("/group_snapshots/{cut}")).await;
    yard.site.run_jobs();
    for group in [group, copy] {
        let deleted = yard.act(&group, delete(true)).await;
        assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    }
    yard.site.run_jobs();
    assert_eq!(yard.used().await, [0, 0, 0, 0]);
    assert_eq!((store.volumes().len(), store.snapshots().len()), (0, 0));
}

#[tokio::test]
async fn a_frozen_host_makes_and_removes_nothing_of_groups() {
    let yard = Yard::new().await;
    let group = yard.group("a").await;
    yard.volume(&group).await;
    let cut = yard
        .site
        .make("group_snapshot", json!({"group_id": group}))
        .await;
    yard.site.run_jobs();
    let host = "cinderblock@pool";
    let frozen = yard
        .site
        .call("PUT", "/os-services/freeze", json!({"host": host}))
        .await;
    assert_eq!(frozen.status, StatusCode::OK, "{:?}", frozen.body);
    let wanted = json!({"group_snapshot": {"group_id": group}});
    let from = json!({"create-from-src": {"source_group_id": group}});
    for refused in [
        yard.site.post("/group_snapshots", wanted).await,
        yard.site.post("/groups/action", from).await,
        yard.site.delete(&format!("/group_snapshots/{cut}")).await,
        yard.act(&group, delete(true)).await,
    ] {
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{:?}",
            refused.body
        );
        assert!(
            message(&refused).contains("frozen"),
            "{}",
            message(&refused)
        );
    }
}
