//! Backups of encrypted volumes: readable to whoever has the master key, and to nobody else.

use http::StatusCode;
use serde_json::{Value, json};

use super::{OPEN, SECRET, Vault, files_with};
use crate::testing::Cloud;

impl Vault {
    async fn back_up(&self, volume: &str, incremental: bool) -> String {
        self.site.cloud.advance_s(1);
        let wanted = json!({"volume_id": volume, "incremental": incremental});
        self.make("backup", wanted).await
    }

    /// The volume that a backup is restored to, whatever becomes of it.
    async fn restore(&self, backup: &str, wanted: Value) -> String {
        let path = format!("/backups/{backup}/restore");
        let answer = self.site.post(&path, json!({ "restore": wanted })).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
        self.site.run_jobs();
        let volume = &answer.body["restore"]["volume_id"];
        volume.as_str().unwrap().to_owned()
    }

    /// Takes over a backup of another cloud.
    async fn import(&self, from: &Self, backup: &str) {
        let path = format!("/backups/{backup}/export_record");
        let record = from.site.get(&path).await.body;
        let taken = self.site.post("/backups/import_record", record).await;
        assert_eq!(taken.status, StatusCode::CREATED, "{:?}", taken.body);
        self.site.run_jobs();
        let shown = self.site.shown("backup", backup).await;
        assert_eq!(shown["status"], "available", "{shown}");
        assert!(shown["encryption_key_id"].is_string());
    }

    fn target_holds(&self, word: &str) -> bool {
        !files_with(&self.site.cloud.backups(), word).is_empty()
    }
}

#[tokio::test]
async fn backups_of_encrypted_volumes_tell_nothing_and_come_back() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let full = vault.back_up(&volume, false).await;
    vault.write(&volume, OPEN);
    let increment = vault.back_up(&volume, true).await;
    let snapshot = vault.make("snapshot", json!({"volume_id": volume})).await;
    let wanted = json!({"volume_id": volume, "snapshot_id": snapshot});
    let of_snapshot = vault.make("backup", wanted).await;
    for (backup, word) in [(&full, SECRET), (&increment, OPEN), (&of_snapshot, OPEN)] {
        // Without a volume named, the type is that of the volume that was backed up.
        let restored = vault.restore(backup, json!({})).await;
        vault.check(&restored, true, word).await;
        let wanted = json!({"volume": {"size": 1, "backup_id": backup}});
        let made = vault.site.post("/volumes", wanted).await;
        vault.site.run_jobs();
        let made = crate::cinder::tests::id_of(&made);
        vault.check(&made, true, word).await;
    }
    for word in [SECRET, OPEN] {
        assert!(vault.files_with(word).is_empty());
    }
    // Equal chunks of backups of one volume are there once.
    let objects = async |backup: &String| {
        let shown = vault.site.shown("backup", backup).await;
        shown["object_count"].as_u64().unwrap()
    };
    assert!(objects(&of_snapshot).await < objects(&full).await);
    // The search finds backups of what is not encrypted.
    let open = vault.volume("open", OPEN).await;
    vault.back_up(&open, false).await;
    assert!(vault.target_holds(OPEN) && !vault.target_holds(SECRET));
    // A backup outlives the volume and its key.
    for path in [
        format!("/snapshots/{snapshot}"),
        format!("/volumes/{volume}"),
    ] {
        vault.site.delete(&path).await;
        vault.site.run_jobs();
    }
    let restored = vault.restore(&increment, json!({})).await;
    vault.check(&restored, true, OPEN).await;
}

#[tokio::test]
async fn an_encrypted_backup_does_not_become_readable_by_being_restored() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let backup = vault.back_up(&volume, false).await;
    let open = vault
        .make("volume", json!({"size": 1, "volume_type": "open"}))
        .await;
    vault.restore(&backup, json!({"volume_id": open})).await;
    assert_eq!(vault.status(&open).await, "error_restoring");
    let wanted = json!({"volume": {"size": 1, "backup_id": backup, "volume_type": "open"}});
    let refused = vault.site.post("/volumes", wanted).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(vault.files_with(SECRET).is_empty());
    // The other way there is nothing against it.
    let plain = vault.volume("open", OPEN).await;
    let backup = vault.back_up(&plain, false).await;
    vault.restore(&backup, json!({"volume_id": volume})).await;
    vault.check(&volume, true, OPEN).await;
}

#[tokio::test]
async fn another_daemon_restores_with_the_same_master_key_only() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let backup = vault.back_up(&volume, false).await;
    let key = vault.site.cloud.dir().join("master.key");
    for has_key in [true, false] {
        let other = Vault::on(Cloud::sharing_backups(&vault.site.cloud)).await;
        let there = other.site.cloud.dir().join("master.key");
        if has_key {
            std::fs::copy(&key, &there).unwrap();
        }
        other.import(&vault, &backup).await;
        let wanted = json!({"volume": {"size": 1, "backup_id": backup, "volume_type": "secret"}});
        let made = other.site.post("/volumes", wanted).await;
        other.site.run_jobs();
        let made = crate::cinder::tests::id_of(&made);
        if has_key {
            other.check(&made, true, SECRET).await;
            assert!(files_with(other.site.cloud.dir(), SECRET).is_empty());
            continue;
        }
        assert_eq!(other.status(&made).await, "error");
        assert!(
            !there.exists(),
            "no key was made that would keep the right one out"
        );
        // A key of its own opens nothing either.
        let own = other.volume("secret", OPEN).await;
        assert!(there.exists());
        other.restore(&backup, json!({"volume_id": own})).await;
        assert_eq!(other.status(&own).await, "error_restoring");
        assert!(other.holds(&own, OPEN));
    }
}
