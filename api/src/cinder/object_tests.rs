//! Volumes, snapshots and attachments through the router: what depends on what.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::records::Snapshot;
use super::tests::{Site, id_of, message};
use crate::catalogue::View;
use crate::jobs::{Registry, run_pending};
use crate::testing::Answer;

impl Site {
    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body).await
    }

    pub(super) async fn make(&self, kind: &str, wanted: Value) -> String {
        let made = self
            .post(&format!("/{kind}s"), json!({ kind: wanted }))
            .await;
        assert!(made.status.is_success(), "{:?}", made.body);
        id_of(&made)
    }

    pub(super) async fn shown(&self, kind: &str, id: &str) -> Value {
        let shown = self.get(&format!("/{kind}s/{id}")).await;
        shown.body[kind].clone()
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, Value::Null).await
    }
}

#[tokio::test]
async fn a_source_deleted_while_its_clone_is_queued_is_there_for_it() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let snapshot = site.make("snapshot", json!({"volume_id": volume})).await;
    site.run_jobs();
    let of_snapshot = site.make("volume", json!({"snapshot_id": snapshot})).await;
    let deleted = site.delete(&format!("/snapshots/{snapshot}")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    site.run_jobs();
    let of_volume = site.make("volume", json!({"source_volid": volume})).await;
    let deleted = site.delete(&format!("/volumes/{volume}")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    site.run_jobs();
    for clone in [of_snapshot, of_volume] {
        assert_eq!(site.shown("volume", &clone).await["status"], "available");
    }
    for gone in [
        format!("/volumes/{volume}"),
        format!("/snapshots/{snapshot}"),
    ] {
        assert_eq!(site.get(&gone).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_cascade_takes_snapshots_that_are_going_already() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let snapshot = site.make("snapshot", json!({"volume_id": volume})).await;
    let cascade = format!("/volumes/{volume}?cascade=true");
    let busy = site.delete(&cascade).await;
    assert_eq!(busy.status, StatusCode::BAD_REQUEST);
    site.run_jobs();
    site.delete(&format!("/snapshots/{snapshot}")).await;
    assert_eq!(
        site.shown("snapshot", &snapshot).await["status"],
        "deleting"
    );
    let deleted = site.delete(&cascade).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    site.run_jobs();
    for gone in [
        format!("/volumes/{volume}"),
        format!("/snapshots/{snapshot}"),
    ] {
        assert_eq!(site.get(&gone).await.status, StatusCode::NOT_FOUND);
    }
    let quotas = format!("/os-quota-sets/{}?usage=true", site.project);
    let used = site.get(&quotas).await.body["quota_set"].clone();
    for name in ["volumes", "snapshots", "gigabytes"] {
        assert_eq!(used[name]["in_use"], 0, "{used}");
    }
}

#[tokio::test]
async fn a_volume_stays_while_one_of_its_snapshots_could_not_go() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let snapshot = site.make("snapshot", json!({"volume_id": volume})).await;
    site.run_jobs();
    site.delete(&format!("/volumes/{volume}?cascade=true"))
        .await;
    // Without a handler the deletion of the snapshot fails, and its row stays.
    let mut only_volumes = Registry::default();
    only_volumes.add(super::work::DELETE_VOLUME, super::work::DeleteVolume);
    run_pending(&site.cloud.services, &only_volumes).unwrap();
    assert_eq!(
        site.shown("volume", &volume).await["status"],
        "error_deleting"
    );
    let id = Uuid::parse_str(&snapshot).unwrap();
    let left = site
        .cloud
        .services
        .catalogue()
        .read(|reader| reader.get::<Snapshot>(&id));
    assert!(left.unwrap().is_some());
}

#[tokio::test]
async fn what_a_volume_is_made_of_says_whether_it_is_bootable() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let flag = json!({"os-set_bootable": {"bootable": true}});
    site.post(&format!("/volumes/{volume}/action"), flag).await;
    let snapshot = site.make("snapshot", json!({"volume_id": volume})).await;
    site.run_jobs();
    for source in [
        json!({"snapshot_id": snapshot}),
        json!({"source_volid": volume}),
    ] {
        let made = site.make("volume", source).await;
        assert_eq!(site.shown("volume", &made).await["bootable"], "true");
    }
    let plain = site.make("volume", json!({"size": 1})).await;
    assert_eq!(site.shown("volume", &plain).await["bootable"], "false");
}

#[tokio::test]
async fn a_detachment_names_an_attachment_there_is() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    let other = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let action = format!("/volumes/{volume}/action");
    for id in [&volume, &other] {
        let attach =
            json!({"os-attach": {"instance_uuid": Uuid::new_v4(), "mountpoint": "/dev/vdb"}});
        let done = site.post(&format!("/volumes/{id}/action"), attach).await;
        assert_eq!(done.status, StatusCode::ACCEPTED, "{:?}", done.body);
    }
    let elsewhere = site.shown("volume", &other).await["attachments"][0]["attachment_id"].clone();
    for (id, status) in [
        (json!(Uuid::new_v4()), StatusCode::CONFLICT),
        (elsewhere, StatusCode::BAD_REQUEST),
        (json!("x"), StatusCode::BAD_REQUEST),
    ] {
        for name in ["os-detach", "os-force_detach"] {
            let body = json!({ name: {"attachment_id": id} });
            let refused = site.post(&action, body).await;
            assert_eq!(refused.status, status, "{id} {:?}", refused.body);
        }
    }
    assert_eq!(site.shown("volume", &volume).await["status"], "in-use");
    let own = site.shown("volume", &volume).await["attachments"][0]["attachment_id"].clone();
    let done = site
        .post(&action, json!({"os-detach": {"attachment_id": own}}))
        .await;
    assert_eq!(done.status, StatusCode::ACCEPTED);
    assert_eq!(site.shown("volume", &volume).await["status"], "available");
}

#[tokio::test]
async fn events_name_project_and_request() {
    let site = Site::new().await;
    let made = site.post("/volumes", json!({"volume": {"size": 1}})).await;
    let (volume, request) = (id_of(&made), made.header("x-openstack-request-id"));
    site.run_jobs();
    let body = json!({"attachment": {"volume_uuid": volume}});
    let attached = site.post("/attachments", body).await;
    let attachment = id_of(&attached);
    site.delete(&format!("/attachments/{attachment}")).await;
    let events = site
        .cloud
        .call(&site.admin, "GET", "/cinderblock/v1/events", Value::Null)
        .await;
    let events = events.body["events"].as_array().unwrap().clone();
    let about: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["object"] == json!(volume) && event["project"] == json!(site.project))
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap();
            (text("kind"), text("request_id"))
        })
        .collect();
    let kinds: Vec<&str> = about.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            "volume.creating",
            "volume.create.done",
            "attachment.created",
            "attachment.deleted"
        ]
    );
    // The work is done on behalf of the request that asked for it.
    assert_eq!((about[0].1, about[1].1), (request, request));
    assert_eq!(about[2].1, attached.header("x-openstack-request-id"));
    assert!(events.iter().any(|event| {
        let text = event["message"].as_str().unwrap();
        event["kind"] == "attachment.created" && text.contains(&attachment)
    }));
}

#[tokio::test]
async fn a_marker_is_an_object_that_the_caller_sees() {
    let site = Site::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(site.make("volume", json!({"size": 1})).await);
        site.cloud.advance_s(1);
    }
    site.run_jobs();
    let member = site.cloud.token_of_another_project(&site.admin).await;
    for query in ["", "&status=available", "&sort=size:asc"] {
        for path in ["volumes", "volumes/detail"] {
            let path = format!("/volume/v3/{path}?marker={}{query}", ids[0]);
            let answer = site.cloud.call(&member, "GET", &path, Value::Null).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(
                message(&answer),
                format!("Volume {} could not be found.", ids[0])
            );
        }
    }
    let names = async |query: String| {
        let list = site.get(&format!("/volumes?{query}")).await;
        let items = list.body["volumes"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(format!("marker={}", ids[2])).await,
        [&*ids[1], &*ids[0]]
    );
    // One that has left the list keeps its place in it.
    let reset = json!({"os-reset_status": {"status": "error"}});
    site.post(&format!("/volumes/{}/action", ids[1]), reset)
        .await;
    let query = format!("status=available&marker={}", ids[1]);
    assert_eq!(names(query).await, [&*ids[0]]);
    let query = format!("sort=created_at:asc&marker={}", ids[1]);
    assert_eq!(names(query).await, [&*ids[2]]);
}

#[tokio::test]
async fn a_connector_is_answered_with_the_connection_and_changes_the_rest_later() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let made = site
        .post(
            "/attachments",
            json!({"attachment": {"volume_uuid": volume}}),
        )
        .await;
    let path = format!("/attachments/{}", id_of(&made));
    let empty = json!({"attachment": {"connector": {}}});
    let refused = site.call("PUT", &path, empty).await;
    assert!(message(&refused).ends_with("Value: {}. {} should be non-empty"));
    let connector = json!({"attachment": {"connector": {"host": "h", "mode": "ro"}}});
    let updated = site.call("PUT", &path, connector).await;
    let answer = &updated.body["attachment"];
    assert_eq!(answer["connection_info"]["access_mode"], "ro");
    assert_eq!(
        (&answer["status"], &answer["attach_mode"]),
        (&json!("reserved"), &json!("null"))
    );
    let shown = site.get(&path).await.body["attachment"].clone();
    assert_eq!(
        (&shown["status"], &shown["attach_mode"]),
        (&json!("attaching"), &json!("ro"))
    );
    site.post(&format!("{path}/action"), json!({"os-complete": {}}))
        .await;
    // Only the old calls tell the mode in the volume's metadata.
    let shown = site.shown("volume", &volume).await;
    assert_eq!(
        (&shown["status"], &shown["metadata"]),
        (&json!("in-use"), &json!({}))
    );
    let again = json!({"os-attach": {"instance_uuid": Uuid::new_v4(), "mountpoint": "/dev/vdb"}});
    let again = site.post(&format!("/volumes/{volume}/action"), again).await;
    assert!(message(&again).contains("already attached"));
}

#[tokio::test]
async fn volumes_in_error_are_not_attached() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let reset = json!({"os-reset_status": {"status": "error_extending"}});
    site.post(&format!("/volumes/{volume}/action"), reset).await;
    let body = json!({"attachment": {"volume_uuid": volume}});
    let refused = site.post("/attachments", body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("currently has a status of: error_extending"));
}

#[tokio::test]
async fn bodies_are_refused_in_the_words_of_the_schemas() {
    let site = Site::new().await;
    let hints = |hints: Value| json!({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints});
    let id = Uuid::new_v4();
    for (body, words) in [
        (
            hints(json!({"same_host": "x"})),
            "field/attribute same_host. Value: x. 'x' is not valid",
        ),
        (
            hints(json!({"different_host": [id, id]})),
            "field/attribute different_host",
        ),
        (hints(json!("x")), "'x' is not of type 'object', 'null'"),
        (
            hints(json!({"query": 1})),
            "1 is not of type 'string', 'object'",
        ),
        (
            json!({"volume": {"size": 1, "multiattach": "perhaps"}}),
            "'perhaps' is not valid under",
        ),
        (json!([1]), "[1] is not of type 'object'"),
        // The client's keys come back in the client's order.
        (
            json!({"volume": {"size": 1, "user_id": "x", "colour": "y"}}),
            "Value: {'size': 1, 'user_id': 'x', 'colour': 'y'}. Additional properties are not \
             allowed ('colour', 'user_id' were unexpected)",
        ),
    ] {
        let refused = site.post("/volumes", body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(message(&refused).contains(words), "{}", message(&refused));
    }
    let fine = hints(json!({"same_host": [id], "local_to_instance": null, "other": 1}));
    assert_eq!(
        site.post("/volumes", fine).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn a_snapshot_of_nothing_finds_no_volume() {
    let site = Site::new().await;
    let snap = async |volume: Value| {
        let body = json!({"snapshot": {"volume_id": volume}});
        site.post("/snapshots", body).await
    };
    let none = snap(Value::Null).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(message(&none), "Volume None could not be found.");
    for not_an_id in [json!("x"), json!(7), json!("None")] {
        let refused = snap(not_an_id).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn answers_from_outside_of_the_api_have_its_frameworks_form() {
    let site = Site::new().await;
    let options = site.cloud.send("OPTIONS", "/volume/v3/", &[], Value::Null);
    let options = options.await;
    assert_eq!(options.status, StatusCode::OK);
    assert!(!options.header("x-openstack-request-id").is_empty());
    let posted = site.cloud.send("POST", "/volume/", &[], json!({})).await;
    assert_eq!(posted.status, StatusCode::BAD_REQUEST);
    assert_eq!(posted.header("allow"), "");
    let large = "x".repeat(crate::body::BODY_BYTES_MAX);
    let large = site
        .post("/volumes", json!({"volume": {"description": large}}))
        .await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(large.body["code"], "413 Request Entity Too Large");
    assert_eq!(large.header("x-compute-request-id"), "");
    let volume = site.make("volume", json!({"size": 1})).await;
    let metadata = site.get(&format!("/volumes/{volume}/metadata")).await;
    assert!(metadata.header("content-type").starts_with("text/html"));
    assert_eq!(metadata.body, json!({"metadata": {}}));
}

#[tokio::test]
async fn a_reset_refuses_what_words_alone_cannot_do() {
    let site = Site::new().await;
    let volume = site.make("volume", json!({"size": 1})).await;
    site.run_jobs();
    let action = format!("/volumes/{volume}/action");
    for (reset, words) in [
        (
            json!({"status": "Deleting"}),
            "Cannot reset-state to deleting",
        ),
        (json!({"status": "in-use"}), "does not have any attachments"),
        (json!({}), "Must specify 'status', 'attach_status' or"),
        (
            json!({"status": "flying"}),
            "flying is invalid, valid statuses are: ('creating', ",
        ),
        (
            json!({"attach_status": "half"}),
            "half is invalid, valid statuses are: ['attached', ",
        ),
        (
            json!({"migration_status": "half"}),
            "Volume migration status: half is invalid",
        ),
        (json!({"colour": "red"}), "('colour' was unexpected)"),
    ] {
        let refused = site.post(&action, json!({"os-reset_status": reset})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{reset}");
        assert!(message(&refused).contains(words), "{}", message(&refused));
    }
    let made = site
        .post(
            "/attachments",
            json!({"attachment": {"volume_uuid": volume}}),
        )
        .await;
    for (reset, status) in [
        (json!({"status": "in-use"}), "in-use"),
        (
            json!({"status": "available", "attach_status": "detached"}),
            "available",
        ),
    ] {
        let done = site.post(&action, json!({"os-reset_status": reset})).await;
        assert_eq!(done.status, StatusCode::ACCEPTED, "{:?}", done.body);
        assert_eq!(site.shown("volume", &volume).await["status"], status);
    }
    let gone = site.get(&format!("/attachments/{}", id_of(&made))).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn names_are_sorted_as_texts_and_sizes_as_numbers() {
    let site = Site::new().await;
    let mut wanted = vec!["10", "1a", "9"];
    for name in ["9", "1a", "10"] {
        let size = name.trim_end_matches('a').parse::<u64>().unwrap();
        site.make("volume", json!({"name": name, "size": size}))
            .await;
    }
    let names = async |sort: &str| {
        let list = site.get(&format!("/volumes?sort={sort}")).await;
        let items = list.body["volumes"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("name:asc").await, wanted);
    wanted.reverse();
    assert_eq!(names("name:desc").await, wanted);
    assert_eq!(names("size:asc").await, ["1a", "9", "10"]);
}
