//! Backups through the router: what is answered, and what the state is in the end.

mod pins;
mod refusals;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use store::{Durability, SnapshotId, VolumeId};
use uuid::Uuid;

use super::records::Backup;
use crate::backup::Method;
use crate::catalogue::View;
use crate::cinder::tests::{Site, id_of, message};
use crate::fault::Fault;
use crate::testing::Cloud;

/// Where the bytes are that a test changes.
const AT: u64 = 5 << 20;

impl Site {
    /// A volume of one GiB with something in it.
    async fn filled(&self, fill: u8) -> String {
        let volume = self
            .make("volume", json!({"size": 1, "name": "disk"}))
            .await;
        self.run_jobs();
        self.fill(&volume, fill);
        volume
    }

    fn disk(&self, volume: &str) -> store::Volume {
        let id = VolumeId(volume.parse().unwrap());
        self.cloud.store("pool").volume(id).unwrap()
    }

    fn fill(&self, volume: &str, fill: u8) {
        let data = vec![fill; 100_000];
        self.disk(volume)
            .write(AT, &data, Durability::Buffered)
            .unwrap();
    }

    fn byte(&self, volume: &str) -> u8 {
        let mut byte = [0];
        self.disk(volume).read(AT + 9, &mut byte).unwrap();
        byte[0]
    }

    async fn back_up(&self, wanted: Value) -> String {
        self.cloud.advance_s(1);
        let id = self.make("backup", wanted).await;
        self.run_jobs();
        let shown = self.shown("backup", &id).await;
        assert_eq!(shown["status"], "available", "{shown}");
        id
    }

    async fn restore(&self, backup: &str, wanted: Value) -> String {
        let path = format!("/backups/{backup}/restore");
        let answer = self.post(&path, json!({ "restore": wanted })).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
        let volume = answer.body["restore"]["volume_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let busy = self.shown("volume", &volume).await;
        assert_eq!(busy["status"], "restoring-backup");
        assert_eq!(self.shown("backup", backup).await["status"], "restoring");
        self.run_jobs();
        assert_eq!(self.shown("backup", backup).await["status"], "available");
        volume
    }

    async fn status(&self, kind: &str, id: &str) -> String {
        self.shown(kind, id).await["status"]
            .as_str()
            .unwrap_or("gone")
            .to_owned()
    }

    fn row(&self, backup: &str) -> Backup {
        let id: Uuid = backup.parse().unwrap();
        let row = self
            .cloud
            .services
            .catalogue()
            .read(|reader| Ok::<_, Fault>(reader.get::<Backup>(&id)?));
        row.unwrap().unwrap()
    }

    /// Snapshots of the engine, those of the API aside.
    fn frozen(&self) -> Vec<SnapshotId> {
        self.cloud
            .store("pool")
            .snapshots()
            .iter()
            .map(|info| info.id)
            .collect()
    }

    async fn used(&self) -> (Value, Value) {
        let path = format!("/os-quota-sets/{}?usage=true", self.project);
        let set = self.get(&path).await.body["quota_set"].clone();
        let of = |name: &str| set[name]["in_use"].clone();
        (of("backups"), of("backup_gigabytes"))
    }
}

#[tokio::test]
async fn a_backup_comes_back_onto_a_new_volume() {
    let site = Site::new().await;
    let volume = site.filled(7).await;
    let wanted = json!({"volume_id": volume, "name": "b", "container": "box",
        "metadata": {"k": "v"}});
    let made = site.post("/backups", json!({ "backup": wanted })).await;
    assert_eq!(made.status, StatusCode::ACCEPTED);
    let backup = id_of(&made);
    let keys: Vec<&String> = made.body["backup"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "name", "links"]);
    assert_eq!(site.status("volume", &volume).await, "backing-up");
    assert_eq!(site.status("backup", &backup).await, "creating");
    site.run_jobs();
    assert_eq!(site.status("volume", &volume).await, "available");
    let shown = site.shown("backup", &backup).await;
    for (key, value) in [
        ("status", json!("available")),
        ("size", json!(1)),
        ("container", json!("box")),
        ("availability_zone", json!("nova")),
        ("volume_id", json!(volume)),
        ("is_incremental", json!(false)),
        ("has_dependent_backups", json!(false)),
        ("fail_reason", Value::Null),
        ("snapshot_id", Value::Null),
        ("metadata", json!({"k": "v"})),
        ("os-backup-project-attr:project_id", json!(site.project)),
        ("data_timestamp", shown["created_at"].clone()),
    ] {
        assert_eq!(shown[key], value, "{key} of {shown}");
    }
    assert!(shown["object_count"].as_u64().unwrap() >= 3, "{shown}");
    site.fill(&volume, 8);
    let restored = site.restore(&backup, json!({})).await;
    let new = site.shown("volume", &restored).await;
    assert_eq!(
        (new["status"].as_str(), new["name"].as_str()),
        (Some("available"), Some("disk"))
    );
    assert_eq!(new["metadata"]["src_backup_id"], json!(backup));
    assert_eq!((site.byte(&restored), site.byte(&volume)), (7, 8));
    assert_eq!(site.used().await, (json!(1), json!(1)));
}

#[tokio::test]
async fn increments_are_found_by_maps_and_without_them_by_hash() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let full = site.back_up(json!({"volume_id": volume})).await;
    assert_eq!(site.frozen(), [site.row(&full).frozen()]);
    site.fill(&volume, 2);
    let second = site
        .back_up(json!({"volume_id": volume, "incremental": true}))
        .await;
    let row = site.row(&second);
    assert_eq!(
        (row.method, row.parent_id),
        (Some(Method::Map), full.parse().ok())
    );
    assert_eq!(site.frozen(), [row.frozen()]);
    site.cloud
        .store("pool")
        .delete_snapshot(row.frozen())
        .unwrap();
    site.fill(&volume, 3);
    let third = site
        .back_up(json!({"volume_id": volume, "incremental": "yes"}))
        .await;
    assert_eq!(site.row(&third).method, Some(Method::Fingerprint));
    for (backup, content) in [(&full, 1), (&second, 2), (&third, 3)] {
        let restored = site.restore(backup, json!({"name": "r"})).await;
        assert_eq!(site.byte(&restored), content);
    }
    assert_eq!(
        site.shown("backup", &full).await["has_dependent_backups"],
        true
    );
    assert_eq!(site.shown("backup", &third).await["is_incremental"], true);
    let refused = site.delete(&format!("/backups/{full}")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        message(&refused),
        "Invalid backup: Incremental backups exist for this backup."
    );
    for backup in [third, second, full] {
        let path = format!("/backups/{backup}");
        assert_eq!(site.delete(&path).await.status, StatusCode::ACCEPTED);
        site.run_jobs();
        assert_eq!(site.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(site.used().await, (json!(0), json!(0)));
    assert!(site.frozen().is_empty(), "the pin went with its backup");
}

#[tokio::test]
async fn a_volume_in_use_is_backed_up_by_force_and_stays_in_use() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    site.post(
        "/attachments",
        json!({"attachment": {"volume_uuid": volume, "instance_uuid": Uuid::new_v4(),
            "connector": {"host": "h"}}}),
    )
    .await;
    let attachments = site.get("/attachments").await;
    let attachment = attachments.body["attachments"][0]["id"].as_str().unwrap();
    let complete = format!("/attachments/{attachment}/action");
    site.post(&complete, json!({"os-complete": {}})).await;
    assert_eq!(site.status("volume", &volume).await, "in-use");
    let refused = site
        .post("/backups", json!({"backup": {"volume_id": volume}}))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        message(&refused),
        "Invalid volume: Backing up an in-use volume must use the force flag."
    );
    let backup = site
        .back_up(json!({"volume_id": volume, "force": true}))
        .await;
    assert_eq!(site.status("volume", &volume).await, "in-use");
    let snapshots = site.get("/snapshots?all_tenants=1").await;
    assert_eq!(
        snapshots.body["snapshots"],
        json!([]),
        "the API shows no inner snapshot"
    );
    let restored = site.restore(&backup, json!({})).await;
    assert_eq!(site.byte(&restored), 1);
}

#[tokio::test]
async fn a_snapshot_is_backed_up_as_it_was() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let snapshot = site.make("snapshot", json!({"volume_id": volume})).await;
    site.run_jobs();
    site.fill(&volume, 2);
    let wanted = json!({"volume_id": volume, "snapshot_id": snapshot});
    let made = site.make("backup", wanted).await;
    assert_eq!(site.status("snapshot", &snapshot).await, "backing-up");
    assert_eq!(site.status("volume", &volume).await, "available");
    site.run_jobs();
    assert_eq!(site.status("snapshot", &snapshot).await, "available");
    let shown = site.shown("backup", &made).await;
    let taken = site.shown("snapshot", &snapshot).await;
    assert_eq!(shown["data_timestamp"], taken["created_at"]);
    // The pin is a snapshot of its own: that of the user may go.
    site.delete(&format!("/snapshots/{snapshot}")).await;
    site.run_jobs();
    let next = site
        .back_up(json!({"volume_id": volume, "incremental": true}))
        .await;
    assert_eq!(site.row(&next).method, Some(Method::Map));
    let restored = site.restore(&made, json!({})).await;
    assert_eq!(site.byte(&restored), 1);
    // A backup that the snapshot is older than is no parent of it.
    let older = site.make("snapshot", json!({"volume_id": volume})).await;
    site.run_jobs();
    let wrong = json!({"volume_id": restored, "snapshot_id": older});
    let refused = site.post("/backups", json!({ "backup": wrong })).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("does not match with snapshot.volume_id"));
}

#[tokio::test]
async fn a_volume_that_is_there_is_overwritten_if_it_is_large_enough() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let backup = site.back_up(json!({"volume_id": volume})).await;
    let large = site.make("volume", json!({"size": 2})).await;
    site.run_jobs();
    site.fill(&large, 9);
    site.disk(&large)
        .write(0, &[9; 512], Durability::Buffered)
        .unwrap();
    assert_eq!(
        site.restore(&backup, json!({"volume_id": large})).await,
        large
    );
    assert_eq!(site.status("volume", &large).await, "available");
    let mut start = [1; 512];
    site.disk(&large).read(0, &mut start).unwrap();
    assert_eq!((site.byte(&large), start), (1, [0; 512]));
    let of_large = site.back_up(json!({"volume_id": large})).await;
    let path = format!("/backups/{of_large}/restore");
    let refused = site
        .post(&path, json!({"restore": {"volume_id": volume}}))
        .await;
    assert_eq!(
        message(&refused),
        "Invalid volume: volume size 1 is too small to restore backup of size 2."
    );
    let missing = site
        .post(&path, json!({"restore": {"volume_id": Uuid::nil()}}))
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_new_volume_may_come_from_a_backup() {
    let site = Site::new().await;
    let volume = site.filled(4).await;
    let backup = site.back_up(json!({"volume_id": volume})).await;
    let wanted = json!({"backup_id": backup, "size": 2, "name": "mine"});
    let made = site.post("/volumes", json!({ "volume": wanted })).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    assert_eq!(made.body["volume"]["status"], "creating");
    site.run_jobs();
    let shown = site.shown("volume", &id_of(&made)).await;
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("available"), &json!(2))
    );
    assert_eq!(
        (site.byte(&id_of(&made)), &shown["name"]),
        (4, &json!("mine"))
    );
    for (wanted, status) in [
        (json!({"backup_id": Uuid::nil()}), StatusCode::NOT_FOUND),
        (
            json!({"backup_id": backup, "source_volid": volume}),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let refused = site.post("/volumes", json!({ "volume": wanted })).await;
        assert_eq!(refused.status, status, "{:?}", refused.body);
    }
}

#[tokio::test]
async fn lists_filter_sort_and_count() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let other = site.filled(2).await;
    let mut all = Vec::new();
    for (name, of) in [("b", &volume), ("a", &volume), ("c", &other)] {
        all.push(site.back_up(json!({"volume_id": of, "name": name})).await);
    }
    let names = async |path: &str| -> Vec<String> {
        let listed = site.get(path).await;
        let items = listed.body["backups"].as_array().expect(path).clone();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("/backups").await, ["c", "a", "b"]);
    assert_eq!(
        names("/backups/detail?sort=name:asc").await,
        ["a", "b", "c"]
    );
    assert_eq!(names(&format!("/backups?volume_id={other}")).await, ["c"]);
    assert_eq!(names("/backups?name~=b").await, ["b"]);
    let page = site.get("/backups/detail?limit=1&with_count=true").await;
    assert_eq!(page.body["count"], 3);
    let next = page.body["backups_links"][0]["href"].as_str().unwrap();
    assert!(
        next.contains("/backups/detail?") && next.contains(&all[2]),
        "{next}"
    );
    assert_eq!(names(&format!("/backups?marker={}", all[1])).await, ["b"]);
    assert!(names("/backups?colour=red").await.is_empty());
    let unknown = site.get("/backups?all_tenants=perhaps").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    let marker = site.get(&format!("/backups?marker={}", Uuid::nil())).await;
    assert_eq!(marker.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_record_lets_another_cloud_restore() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    site.back_up(json!({"volume_id": volume, "name": "full"}))
        .await;
    site.fill(&volume, 2);
    let wanted = json!({"volume_id": volume, "name": "inc", "incremental": true});
    let backup = site.back_up(wanted).await;
    let record = site.get(&format!("/backups/{backup}/export_record")).await;
    assert_eq!(record.status, StatusCode::OK);
    let again = site
        .post("/backups/import_record", record.body.clone())
        .await;
    assert_eq!(
        message(&again),
        "Invalid backup: Backup already exists in database."
    );

    let other = Site::on(Cloud::sharing_backups(&site.cloud)).await;
    let imported = other
        .post("/backups/import_record", record.body.clone())
        .await;
    assert_eq!(imported.status, StatusCode::CREATED, "{:?}", imported.body);
    assert_eq!(id_of(&imported), backup);
    other.run_jobs();
    let shown = other.shown("backup", &backup).await;
    let before = site.shown("backup", &backup).await;
    for key in [
        "status",
        "name",
        "size",
        "volume_id",
        "is_incremental",
        "data_timestamp",
    ] {
        assert_eq!(shown[key], before[key], "{key}");
    }
    assert_eq!(other.used().await, (json!(1), json!(1)));
    let restored = other.restore(&backup, json!({"name": "r"})).await;
    assert_eq!(other.byte(&restored), 2);

    // Another id stands for the same backup, which goes with the last of the two.
    let alias = Uuid::new_v4().to_string();
    let renamed = renamed(&record.body, &alias);
    other.post("/backups/import_record", renamed).await;
    other.run_jobs();
    other.delete(&format!("/backups/{alias}")).await;
    other.run_jobs();
    assert_eq!(other.status("backup", &alias).await, "gone");
    let restored = other.restore(&backup, json!({"name": "r"})).await;
    assert_eq!(other.byte(&restored), 2);

    let mut foreign = record.body;
    foreign["backup-record"]["backup_service"] = json!("somebody.else");
    other.delete(&format!("/backups/{backup}")).await;
    other.run_jobs();
    let failed = other.post("/backups/import_record", foreign).await;
    other.run_jobs();
    assert_eq!(other.status("backup", &id_of(&failed)).await, "error");
    let bad = json!({"backup-record": {"backup_service": "x", "backup_url": "zz"}});
    let refused = other.post("/backups/import_record", bad).await;
    assert_eq!(
        message(&refused),
        "Invalid input for field/attribute backup_url. Value: zz. 'zz' is not a 'base64'"
    );
}

/// A record with another id in it.
fn renamed(record: &Value, id: &str) -> Value {
    let url = record["backup-record"]["backup_url"].as_str().unwrap();
    let bytes = STANDARD.decode(url).unwrap();
    let mut inner: Value = serde_json::from_slice(&bytes).unwrap();
    inner["id"] = json!(id);
    let mut renamed = record.clone();
    renamed["backup-record"]["backup_url"] = json!(STANDARD.encode(inner.to_string()));
    renamed
}
