//! Encrypted volumes that change their type, their backend or their content.

use http::StatusCode;
use serde_json::json;
use store::{VolumeId, VolumeSpec};
use uuid::Uuid;

use super::{OPEN, SECRET, Vault};
use crate::cinder::tests::message;
use crate::jobs::{Job, unfinished_of};
use crate::server::job_registry;
use crate::testing::Cloud;

fn retype(to: &str, policy: &str) -> serde_json::Value {
    json!({"os-retype": {"new_type": to, "migration_policy": policy}})
}

impl Vault {
    async fn retype(&self, volume: &str, to: &str) {
        let asked = self.act(volume, retype(to, "on-demand")).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{:?}", asked.body);
        assert_eq!(self.status(volume).await, "retyping");
        self.site.run_jobs();
        let shown = self.site.shown("volume", volume).await;
        assert_eq!(shown["volume_type"], to);
        assert_eq!(shown["migration_status"], "success");
    }

    /// The one unfinished job of a volume.
    fn job(&self, volume: &str) -> Job {
        let catalogue = self.site.cloud.services.catalogue();
        let jobs = catalogue.read(|reader| unfinished_of(reader, volume));
        jobs.unwrap().remove(0)
    }

    fn run_unclosed(&self, job: &Job) {
        let handler = job_registry().get(&job.kind).unwrap();
        handler.run(&self.site.cloud.services, job).unwrap();
    }

    fn volumes(&self) -> usize {
        let backends = self.site.cloud.services.backends();
        let count = |backend: &crate::server::Backend| backend.store().volumes().len();
        backends.iter().map(count).sum()
    }
}

#[tokio::test]
async fn a_retype_encrypts_and_decrypts_what_is_there() {
    let vault = Vault::new().await;
    let volume = vault.volume("open", SECRET).await;
    let plain = vault.info(&volume).domain;
    vault.retype(&volume, "secret").await;
    vault.check(&volume, true, SECRET).await;
    assert_ne!(vault.info(&volume).domain, plain);
    // What is written from now on is not readable; what was before is until its space is used again.
    vault.write(&volume, OPEN);
    assert!(vault.files_with(OPEN).is_empty());
    vault.retype(&volume, "open").await;
    vault.check(&volume, false, OPEN).await;
    assert_eq!(vault.info(&volume).domain, plain);
    assert!(!vault.files_with(OPEN).is_empty());
    assert_eq!(vault.volumes(), 1, "nothing is left beside it");
    // Of two encrypted types each has its own keys, if they are not alike.
    vault.encrypted_type("other", 128).await;
    vault.encrypted_type("alike", 256).await;
    vault.retype(&volume, "secret").await;
    let before = vault.info(&volume).domain;
    vault.retype(&volume, "other").await;
    assert_ne!(vault.info(&volume).domain, before);
    vault.check(&volume, true, OPEN).await;
    vault.retype(&volume, "secret").await;
    let before = vault.info(&volume).domain;
    let asked = vault.act(&volume, retype("alike", "never")).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    assert_eq!(vault.status(&volume).await, "available");
    assert_eq!(vault.info(&volume).domain, before);
}

#[tokio::test]
async fn a_retype_that_may_not_copy_leaves_the_volume_as_it_was() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let asked = vault.act(&volume, retype("open", "never")).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    vault.site.run_jobs();
    vault.check(&volume, true, SECRET).await;
    vault.make("snapshot", json!({"volume_id": volume})).await;
    vault.act(&volume, retype("open", "on-demand")).await;
    vault.site.run_jobs();
    vault.check(&volume, true, SECRET).await;
    assert_eq!(
        vault.site.shown("volume", &volume).await["volume_type"],
        "secret"
    );
    for source in [json!({"source_volid": volume, "volume_type": "open"})] {
        let refused = vault
            .site
            .post("/volumes", json!({ "volume": source }))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(message(&refused).contains("requested type is not compatible"));
    }
}

#[tokio::test]
async fn a_retype_goes_on_after_a_crash_at_any_of_its_steps() {
    let vault = Vault::new().await;
    for lost in [false, true] {
        let volume = vault.volume("open", SECRET).await;
        vault.act(&volume, retype("secret", "on-demand")).await;
        let job = vault.job(&volume);
        vault.run_unclosed(&job);
        if lost {
            // As if the power had gone when the old volume was removed and the copy not in its place.
            let (store, info) = (vault.store(&volume).clone(), vault.info(&volume));
            let beside = VolumeId(Uuid::new_v5(&job.id, b"beside"));
            let spec = VolumeSpec {
                size_bytes: info.size_bytes,
                domain: info.domain,
                packing: store::Packing::Background,
                encryption: info.encryption,
            };
            store.clone_volume(beside, info.id, spec).unwrap();
            store.delete_volume(info.id).unwrap();
        }
        vault.site.run_jobs();
        vault.check(&volume, true, SECRET).await;
    }
    assert_eq!(vault.volumes(), 2);
}

#[tokio::test]
async fn a_type_keeps_its_encryption_while_a_volume_is_on_its_way_to_it() {
    let vault = Vault::new().await;
    let volume = vault.volume("open", SECRET).await;
    let types = vault.site.get("/types").await.body["volume_types"].clone();
    let mut all = types.as_array().unwrap().iter();
    let secret = all.find(|one| one["name"] == "secret").unwrap();
    let id = secret["id"].as_str().unwrap();
    let path = format!("/types/{id}/encryption");
    let shown = vault.site.get(&path).await.body;
    let one = format!("{path}/{}", shown["encryption_id"].as_str().unwrap());
    vault.act(&volume, retype("secret", "on-demand")).await;
    let refused = vault.site.delete(&one).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("in use"));
    vault.site.run_jobs();
    vault.check(&volume, true, SECRET).await;
}

#[tokio::test]
async fn encrypted_volumes_go_from_one_backend_to_another() {
    let vault = Vault::on(Cloud::with_backends(&["a", "b"])).await;
    let volume = vault.volume("secret", SECRET).await;
    let here = vault.site.shown("volume", &volume).await["os-vol-host-attr:host"].clone();
    let (here, there) = match here.as_str().unwrap().ends_with("#a") {
        true => ("a", "b"),
        false => ("b", "a"),
    };
    let host = format!("cinderblock@{there}#{there}");
    let asked = vault
        .act(&volume, json!({"os-migrate_volume": {"host": host}}))
        .await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{:?}", asked.body);
    vault.site.run_jobs();
    vault.check(&volume, true, SECRET).await;
    let shown = vault.site.shown("volume", &volume).await;
    assert_eq!(shown["os-vol-host-attr:host"], json!(host));
    // A type that is only on the other backend takes a retype back, decrypting it.
    let specs = json!({"volume_backend_name": here});
    let wanted = json!({"volume_type": {"name": "back", "extra_specs": specs}});
    vault.site.post("/types", wanted).await;
    let snapshot = vault.make("snapshot", json!({"volume_id": volume})).await;
    let refused = json!({"volume": {"snapshot_id": snapshot, "volume_type": "back"}});
    let refused = vault.site.post("/volumes", refused).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    vault.site.delete(&format!("/snapshots/{snapshot}")).await;
    vault.site.run_jobs();
    assert_eq!(vault.files_with(SECRET), Vec::<std::path::PathBuf>::new());
    vault.retype(&volume, "back").await;
    vault.check(&volume, false, SECRET).await;
    assert_eq!(vault.volumes(), 1);
    assert!(!vault.files_with(SECRET).is_empty());
}

#[tokio::test]
async fn an_encrypted_volume_goes_back_to_its_snapshot() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let snapshot = vault.make("snapshot", json!({"volume_id": volume})).await;
    vault.write(&volume, OPEN);
    let revert = json!({"revert": {"snapshot_id": snapshot}});
    assert_eq!(
        vault.act(&volume, revert).await.status,
        StatusCode::ACCEPTED
    );
    vault.site.run_jobs();
    vault.check(&volume, true, SECRET).await;
    for word in [SECRET, OPEN] {
        assert!(vault.files_with(word).is_empty());
    }
}
