//! What is refused, what fails, and what that leaves behind.

use std::path::PathBuf;

use http::StatusCode;
use serde_json::json;

use crate::cinder::tests::{Site, message};

#[tokio::test]
async fn what_cannot_be_is_refused_in_the_words_of_the_real_service() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    for (wanted, said) in [
        (json!({"name": "x"}), "'volume_id' is a required property"),
        (
            json!({"volume_id": volume, "colour": 1}),
            "('colour' was unexpected)",
        ),
        (
            json!({"volume_id": volume, "name": "n".repeat(256)}),
            "is too long",
        ),
        (
            json!({"volume_id": volume, "incremental": true}),
            "Invalid backup: No backups available to do an incremental backup.",
        ),
    ] {
        let refused = site.post("/backups", json!({ "backup": wanted })).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(message(&refused).contains(said), "{}", message(&refused));
    }
    assert_eq!(site.used().await, (json!(0), json!(0)));
    let backup = site.back_up(json!({"volume_id": volume})).await;
    let action = format!("/backups/{backup}/action");
    let refused = site
        .post(&action, json!({"os-reset_status": {"status": "flying"}}))
        .await;
    assert_eq!(
        message(&refused),
        "Backup status: flying is invalid, valid statuses are: ['available', 'error']."
    );
    let reset = json!({"os-reset_status": {"status": "error"}});
    assert_eq!(site.post(&action, reset).await.status, StatusCode::ACCEPTED);
    assert_eq!(site.status("backup", &backup).await, "error");
    let path = format!("/backups/{backup}/restore");
    let refused = site.post(&path, json!({"restore": {}})).await;
    assert_eq!(
        message(&refused),
        "Invalid backup: Backup status must be available"
    );
    let updated = json!({"backup": {"name": "new", "metadata": {"a": "b"}}});
    let put = site
        .call("PUT", &format!("/backups/{backup}"), updated)
        .await;
    assert_eq!(
        (put.status, &put.body["backup"]["name"]),
        (StatusCode::OK, &json!("new"))
    );
    let forced = site.post(&action, json!({"os-force_delete": {}})).await;
    assert_eq!(forced.status, StatusCode::ACCEPTED);
    let reset = json!({"os-reset_status": {"status": "available"}});
    assert_eq!(site.post(&action, reset).await.status, StatusCode::ACCEPTED);
    assert_eq!(site.status("backup", &backup).await, "deleting");
    site.run_jobs();
    assert_eq!(site.status("backup", &backup).await, "gone");
}

#[tokio::test]
async fn quotas_bind_and_what_fails_keeps_nothing() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let limits = format!("/os-quota-sets/{}", site.project);
    let limited = json!({"quota_set": {"backups": 1, "backup_gigabytes": 5}});
    site.call("PUT", &limits, limited).await;
    let backup = site.back_up(json!({"volume_id": volume})).await;
    let refused = site
        .post("/backups", json!({"backup": {"volume_id": volume}}))
        .await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        message(&refused),
        "BackupLimitExceeded: Maximum number of backups allowed (1) exceeded"
    );
    assert_eq!(site.status("volume", &volume).await, "available");
    site.delete(&format!("/backups/{backup}")).await;
    site.run_jobs();
    let zone = json!({"volume_id": volume, "availability_zone": "elsewhere"});
    let failed = site.make("backup", zone).await;
    site.run_jobs();
    let shown = site.shown("backup", &failed).await;
    assert_eq!(shown["status"], "error");
    assert_eq!(
        shown["fail_reason"],
        "Service not found for creating backup."
    );
    assert_eq!(site.status("volume", &volume).await, "available");
    assert!(site.frozen().is_empty());
    assert_eq!(site.used().await, (json!(1), json!(1)));
    site.delete(&format!("/backups/{failed}")).await;
    site.run_jobs();
    assert_eq!(site.used().await, (json!(0), json!(0)));
}

#[tokio::test]
async fn a_damaged_backup_restores_nothing_silently() {
    let site = Site::new().await;
    let volume = site.filled(1).await;
    let backup = site.back_up(json!({"volume_id": volume})).await;
    let mut packs = Vec::new();
    files(site.cloud.backups(), &mut packs);
    packs.retain(|path| path.to_string_lossy().contains("/packs/"));
    let mut bytes = std::fs::read(&packs[0]).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&packs[0], bytes).unwrap();
    for (wanted, status) in [
        (json!({}), "error"),
        (json!({"volume_id": volume}), "error_restoring"),
    ] {
        let restored = site.restore(&backup, wanted).await;
        assert_eq!(site.status("volume", &restored).await, status);
    }
}

fn files(dir: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(path, found),
            false => found.push(path),
        }
    }
}
