//! Migration, retype and revert behind the router, with two backends.

use serde_json::{Value, json};
use store::{Durability, VolumeId};

use crate::testing::{Answer, Cloud};

const V: &str = "/volume/v3";

struct Site {
    cloud: Cloud,
    token: String,
}

impl Site {
    async fn new() -> Self {
        let cloud = Cloud::with_backends(&["a", "b"]);
        let token = cloud.admin().await;
        let site = Self { cloud, token };
        for name in ["a", "b"] {
            let specs = json!({"volume_backend_name": name});
            let body = json!({"volume_type": {"name": name, "extra_specs": specs}});
            assert_eq!(site.call("POST", "/types", body).await.status, 200);
        }
        site
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [
            ("X-Auth-Token", self.token.as_str()),
            ("OpenStack-API-Version", "volume 3.50"),
        ];
        let path = format!("{V}{path}");
        self.cloud.send(method, &path, &headers, body).await
    }

    /// A volume on `a` with a pattern in it.
    async fn filled(&self) -> String {
        let body = json!({"volume": {"size": 1, "volume_type": "a"}});
        let made = self.call("POST", "/volumes", body).await;
        let id = made.body["volume"]["id"].as_str().unwrap().to_owned();
        self.cloud.run_jobs();
        self.write("a", &id, 7);
        id
    }

    fn write(&self, backend: &str, id: &str, byte: u8) {
        let volume = self.disk(backend, id);
        let data = vec![byte; 3 << 20];
        volume.write(1 << 20, &data, Durability::Durable).unwrap();
    }

    fn disk(&self, backend: &str, id: &str) -> store::Volume {
        let id = VolumeId(id.parse().unwrap());
        self.cloud.store(backend).volume(id).unwrap()
    }

    fn is_on(&self, backend: &str, id: &str) -> bool {
        let id = VolumeId(id.parse().unwrap());
        self.cloud.store(backend).volume(id).is_ok()
    }

    /// The bytes around the pattern.
    fn bytes(&self, backend: &str, id: &str) -> (u8, u8, u8, u8) {
        let mut found = vec![9; 6 << 20];
        self.disk(backend, id).read(0, &mut found).unwrap();
        (
            found[0],
            found[1 << 20],
            found[(4 << 20) - 1],
            found[4 << 20],
        )
    }

    async fn act(&self, id: &str, body: Value) -> Answer {
        self.call("POST", &format!("/volumes/{id}/action"), body)
            .await
    }

    async fn shown(&self, id: &str) -> Value {
        let shown = self
            .call("GET", &format!("/volumes/{id}"), Value::Null)
            .await;
        shown.body["volume"].clone()
    }
}

#[tokio::test]
async fn a_migration_moves_the_bytes_and_leaves_nothing() {
    let site = Site::new().await;
    let id = site.filled().await;
    let anywhere = json!({"volume_type": {"name": "any"}});
    site.call("POST", "/types", anywhere).await;
    site.act(&id, json!({"os-retype": {"new_type": "any"}}))
        .await;
    let wanted = json!({"os-migrate_volume": {"host": "cinderblock@b#b", "lock_volume": true}});
    assert_eq!(site.act(&id, wanted.clone()).await.status, 202);
    let shown = site.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["migration_status"]),
        (&json!("maintenance"), &json!("migrating"))
    );
    assert_eq!(
        site.call("DELETE", &format!("/volumes/{id}"), Value::Null)
            .await
            .status,
        400
    );
    site.cloud.run_jobs();
    let shown = site.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["migration_status"]),
        (&json!("available"), &json!("success"))
    );
    assert_eq!(shown["os-vol-host-attr:host"], "cinderblock@b#b");
    assert_eq!(site.bytes("b", &id), (0, 7, 7, 0));
    assert!(!site.is_on("a", &id));
    assert_eq!(
        site.act(&id, wanted).await.status,
        400,
        "it is there already"
    );
    let nowhere = json!({"os-migrate_volume": {"host": "cinderblock@c"}});
    assert_eq!(site.act(&id, nowhere).await.status, 400);
    let both = json!({"os-migrate_volume": {"host": "h", "cluster": "c"}});
    assert_eq!(site.act(&id, both).await.status, 400);
}

#[tokio::test]
async fn a_type_of_another_backend_moves_the_volume_if_wanted() {
    let site = Site::new().await;
    let id = site.filled().await;
    let retype = |policy: &str| json!({"os-retype": {"new_type": "b", "migration_policy": policy}});
    assert_eq!(site.act(&id, retype("never")).await.status, 202);
    assert_eq!(site.shown(&id).await["status"], "retyping");
    site.cloud.run_jobs();
    let shown = site.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["volume_type"]),
        (&json!("available"), &json!("a"))
    );
    assert_eq!(shown["migration_status"], Value::Null);
    assert_eq!(site.act(&id, retype("on-demand")).await.status, 202);
    site.cloud.run_jobs();
    let shown = site.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["volume_type"]),
        (&json!("available"), &json!("b"))
    );
    assert_eq!(shown["migration_status"], "success");
    assert_eq!(site.bytes("b", &id), (0, 7, 7, 0));
    assert!(!site.is_on("a", &id));
}

#[tokio::test]
async fn an_admin_who_resets_a_migration_keeps_what_was_written() {
    let site = Site::new().await;
    let id = site.filled().await;
    let retype = json!({"os-retype": {"new_type": "b", "migration_policy": "on-demand"}});
    assert_eq!(site.act(&id, retype).await.status, 202);
    let reset = json!({"os-reset_status": {"status": "available", "migration_status": "none"}});
    assert_eq!(site.act(&id, reset).await.status, 202);
    site.cloud.run_jobs();
    let shown = site.shown(&id).await;
    assert_eq!(shown["os-vol-host-attr:host"], "cinderblock@a#a");
    assert_eq!(site.bytes("a", &id), (0, 7, 7, 0));
    assert!(!site.is_on("b", &id));
}

#[tokio::test]
async fn a_volume_goes_back_to_its_latest_snapshot() {
    let site = Site::new().await;
    let id = site.filled().await;
    let none = json!({"revert": {"snapshot_id": id}});
    assert_eq!(site.act(&id, none).await.status, 400);
    let body = json!({"snapshot": {"volume_id": id, "force": true}});
    let made = site.call("POST", "/snapshots", body).await;
    let snapshot = made.body["snapshot"]["id"].as_str().unwrap();
    site.cloud.run_jobs();
    site.write("a", &id, 8);
    let revert = json!({"revert": {"snapshot_id": snapshot}});
    assert_eq!(site.act(&id, revert.clone()).await.status, 202);
    assert_eq!(site.shown(&id).await["status"], "reverting");
    assert_eq!(site.act(&id, revert).await.status, 409);
    site.cloud.run_jobs();
    assert_eq!(site.shown(&id).await["status"], "available");
    let shown = site
        .call("GET", &format!("/snapshots/{snapshot}"), Value::Null)
        .await;
    assert_eq!(shown.body["snapshot"]["status"], "available");
    assert_eq!(site.bytes("a", &id), (0, 7, 7, 0));
    let moved = json!({"os-migrate_volume": {"host": "cinderblock@b"}});
    assert_eq!(
        site.act(&id, moved).await.status,
        400,
        "snapshots stay where they are"
    );
}

#[tokio::test]
async fn a_move_that_fails_is_told() {
    let site = Site::new().await;
    let body = json!({"volume": {"size": 1}});
    let made = site.call("POST", "/volumes", body).await;
    let id = made.body["volume"]["id"].as_str().unwrap().to_owned();
    site.cloud.run_jobs();
    let attach = json!({"os-attach": {"instance_uuid": id, "mountpoint": "/dev/vdb"}});
    assert_eq!(site.act(&id, attach).await.status, 202);
    let other = if site.is_on("a", &id) { "b" } else { "a" };
    let moved = json!({"os-migrate_volume": {"host": format!("cinderblock@{other}")}});
    assert_eq!(site.act(&id, moved).await.status, 202);
    site.cloud.run_jobs();
    let shown = site.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["migration_status"]),
        (&json!("in-use"), &json!("error"))
    );
    let told = site.call("GET", "/messages", Value::Null).await;
    assert_eq!(
        told.body["messages"][0]["user_message"],
        "migrate volume:A volume in use cannot move to another backend."
    );
    assert_eq!(told.body["messages"][0]["resource_uuid"], id);
}

#[tokio::test]
async fn a_revert_that_fails_is_told() {
    let site = Site::new().await;
    let id = site.filled().await;
    let body = json!({"snapshot": {"volume_id": id, "force": true}});
    let made = site.call("POST", "/snapshots", body).await;
    let snapshot = made.body["snapshot"]["id"].as_str().unwrap().to_owned();
    site.cloud.run_jobs();
    let gone = store::SnapshotId(snapshot.parse().unwrap());
    site.cloud.store("a").delete_snapshot(gone).unwrap();
    let revert = json!({"revert": {"snapshot_id": snapshot}});
    assert_eq!(site.act(&id, revert).await.status, 202);
    site.cloud.run_jobs();
    assert_eq!(site.shown(&id).await["status"], "error");
    let told = site.call("GET", "/messages", Value::Null).await;
    assert_eq!(
        told.body["messages"][0]["user_message"],
        "revert volume to snapshot:Volume failed to revert to the snapshot."
    );
}
