//! Groups through the router, with real volumes below.

use http::StatusCode;
use serde_json::{Value, json};
use store::{Durability, VolumeId};
use uuid::Uuid;

use crate::cinder::tests::{Site, id_of, message};
use crate::jobs::unfinished_of;
use crate::server::job_registry;
use crate::testing::Answer;

/// A site with a group type and a volume type.
struct Yard {
    site: Site,
    group_type: String,
    volume_type: String,
}

impl Yard {
    async fn new() -> Self {
        let site = Site::new().await;
        let group_type = site.make("group_type", json!({"name": "gt"})).await;
        let volume_type = site.create_type("vt", true).await;
        Self {
            site,
            group_type,
            volume_type,
        }
    }

    async fn group(&self, name: &str) -> String {
        let wanted = json!({
            "name": name, "group_type": self.group_type, "volume_types": [self.volume_type],
        });
        self.site.make("group", wanted).await
    }

    async fn volume(&self, group: &str) -> String {
        let wanted = json!({"size": 1, "volume_type": self.volume_type, "group_id": group});
        let id = self.site.make("volume", wanted).await;
        self.site.run_jobs();
        id
    }

    async fn act(&self, group: &str, action: Value) -> Answer {
        self.site
            .post(&format!("/groups/{group}/action"), action)
            .await
    }

    async fn change(&self, group: &str, change: Value) -> Answer {
        let path = format!("/groups/{group}");
        self.site.call("PUT", &path, json!({"group": change})).await
    }

    async fn used(&self) -> [u64; 4] {
        let path = format!("/os-quota-sets/{}?usage=true", self.site.project);
        let set = self.site.get(&path).await.body["quota_set"].clone();
        ["groups", "volumes", "snapshots", "gigabytes"]
            .map(|name| set[name]["in_use"].as_u64().unwrap())
    }

    /// The volumes of a group.
    async fn members(&self, group: &str) -> Vec<String> {
        let shown = self
            .site
            .get(&format!("/groups/{group}?list_volume=true"))
            .await;
        let ids = shown.body["group"]["volumes"].as_array().unwrap().clone();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    fn write(&self, volume: &str, byte: u8) {
        let id = VolumeId(Uuid::parse_str(volume).unwrap());
        let volume = self.site.cloud.store("pool").volume(id).unwrap();
        volume
            .write(0, &[byte; 4096], Durability::Buffered)
            .unwrap();
    }

    fn read(&self, volume: &str) -> u8 {
        let id = VolumeId(Uuid::parse_str(volume).unwrap());
        let volume = self.site.cloud.store("pool").volume(id).unwrap();
        let mut buffer = [0; 4096];
        volume.read(0, &mut buffer).unwrap();
        buffer[0]
    }

    /// Does the work of the queued job of an object without closing it, as if the power failed then.
    fn run_unclosed(&self, object: &str) {
        let services = &self.site.cloud.services;
        let jobs = services
            .catalogue()
            .read(|reader| unfinished_of(reader, object));
        let job = jobs.unwrap().pop().unwrap();
        let handler = job_registry().get(&job.kind).unwrap();
        handler.run(services, &job).unwrap();
    }
}

const DELETE_ALL: &str = "delete-volumes";

fn delete(with_volumes: bool) -> Value {
    json!({"delete": {DELETE_ALL: with_volumes}})
}

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
async fn consistency_groups_are_groups_of_their_own_type() {
    let yard = Yard::new().await;
    let wanted = json!({"consistencygroup": {"name": "cg", "volume_types": "vt,"}});
    let made = yard.site.post("/consistencygroups", wanted).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let group = id_of(&made);
    let shown = yard.site.shown("consistencygroup", &group).await;
    assert_eq!(shown["volume_types"], json!([yard.volume_type]));
    assert_eq!(shown["status"], "available");
    assert_eq!(shown.as_object().unwrap().len(), 7);
    let hidden = yard.site.get(&format!("/groups/{group}")).await;
    assert_eq!(hidden.status, StatusCode::BAD_REQUEST);
    assert!(message(&hidden).contains("Migrated group can only be operated by CG APIs."));
    assert_eq!(yard.site.get("/groups").await.body, json!({"groups": []}));
    let list = yard.site.get("/consistencygroups").await;
    assert_eq!(
        list.body["consistencygroups"],
        json!([{"id": group, "name": "cg"}])
    );
    let wanted = json!({"size": 1, "volume_type": "vt", "consistencygroup_id": group});
    let volume = yard.site.make("volume", wanted).await;
    yard.site.run_jobs();
    yard.write(&volume, 1);
    let row = yard.site.shown("volume", &volume).await;
    assert_eq!(row["consistencygroup_id"], json!(group));
    let cut = yard
        .site
        .make("cgsnapshot", json!({"consistencygroup_id": group}))
        .await;
    yard.site.run_jobs();
    yard.write(&volume, 2);
    let shown = yard.site.shown("cgsnapshot", &cut).await;
    assert_eq!(shown["consistencygroup_id"], json!(group));
    assert_eq!(shown["status"], "available");
    assert_eq!(
        yard.site.get("/group_snapshots").await.body,
        json!({"group_snapshots": []})
    );
    let list = yard.site.get("/cgsnapshots/detail?limit=1").await;
    assert_eq!(list.body, json!({"cgsnapshots": [shown]}));
    let from = json!({"consistencygroup-from-src": {"cgsnapshot_id": cut}});
    let made = yard
        .site
        .post("/consistencygroups/create_from_src", from)
        .await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let copy = id_of(&made);
    yard.site.run_jobs();
    let volumes = yard
        .site
        .get(&format!("/volumes/detail?group_id={copy}"))
        .await;
    let volumes = volumes.body["volumes"].as_array().unwrap().clone();
    assert_eq!(yard.read(volumes[0]["id"].as_str().unwrap()), 1);
    let rename = json!({"consistencygroup": {"name": "new"}});
    let path = format!("/consistencygroups/{copy}");
    let renamed = yard
        .site
        .call("PUT", &format!("{path}/update"), rename)
        .await;
    assert_eq!(renamed.status, StatusCode::ACCEPTED);
    assert_eq!(
        yard.site.shown("consistencygroup", &copy).await["name"],
        "new"
    );
    let kept = yard
        .site
        .post(&format!("{path}/delete"), json!({"consistencygroup": {}}))
        .await;
    assert_eq!(kept.status, StatusCode::BAD_REQUEST);
    let gone = yard.site.delete(&format!("/cgsnapshots/{cut}")).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
    yard.site.run_jobs();
    for group in [group, copy] {
        let force = json!({"consistencygroup": {"force": true}});
        let path = format!("/consistencygroups/{group}/delete");
        let deleted = yard.site.post(&path, force).await;
        assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    }
    yard.site.run_jobs();
    assert_eq!(yard.used().await, [0, 0, 0, 0]);
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
