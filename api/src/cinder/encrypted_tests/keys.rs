//! What is told of keys, and who gets a volume with its key.

use http::StatusCode;
use serde_json::{Value, json};

use super::{SECRET, Vault};
use crate::cinder::tests::message;

#[tokio::test]
async fn keys_have_names_that_encrypted_objects_show() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let open = vault.volume("open", "nothing").await;
    let site = &vault.site;
    let name = site.shown("volume", &volume).await["encryption_key_id"].clone();
    assert!(name.as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert_eq!(
        site.shown("volume", &open).await.get("encryption_key_id"),
        None
    );
    let meta = site
        .get(&format!("/volumes/{volume}/encryption"))
        .await
        .body;
    assert_eq!(
        meta,
        json!({"encryption_key_id": name, "provider": "luks", "control_location": "back-end",
            "cipher": null, "key_size": 256})
    );
    let one = site
        .get(&format!("/volumes/{volume}/encryption/encryption_key_id"))
        .await;
    assert_eq!(one.body, name);
    let older = [
        ("X-Auth-Token", site.admin.as_str()),
        ("OpenStack-API-Version", "volume 3.63"),
    ];
    let path = format!("/volume/v3/volumes/{volume}");
    let older = site.cloud.send("GET", &path, &older, Value::Null).await;
    assert_eq!(older.body["volume"].get("encryption_key_id"), None);
    assert_eq!(older.body["volume"]["encrypted"], json!(true));
    let backup = vault.make("backup", json!({"volume_id": volume})).await;
    let other = site.shown("backup", &backup).await["encryption_key_id"].clone();
    assert!(other.is_string() && other != name);
    let plain = vault.make("backup", json!({"volume_id": open})).await;
    assert_eq!(
        site.shown("backup", &plain).await.get("encryption_key_id"),
        None
    );
}

#[tokio::test]
async fn an_encrypted_volume_is_handed_over_with_its_snapshots() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    vault.make("snapshot", json!({"volume_id": volume})).await;
    let offer = async |version: &str, path: &str, wanted: Value| {
        let site = &vault.site;
        let headers = [
            ("X-Auth-Token", site.admin.as_str()),
            ("OpenStack-API-Version", version),
        ];
        let path = format!("/volume/v3{path}");
        let body = json!({ "transfer": wanted });
        site.cloud.send("POST", &path, &headers, body).await
    };
    let plainly = json!({"volume_id": volume});
    for (version, path) in [
        ("volume 3.69", "/volume-transfers"),
        ("volume 3.71", "/os-volume-transfer"),
    ] {
        let refused = offer(version, path, plainly.clone()).await;
        assert_eq!(
            (refused.status, message(&refused)),
            (
                StatusCode::BAD_REQUEST,
                "Invalid volume: transferring encrypted volume is not supported"
            )
        );
    }
    let alone = json!({"volume_id": volume, "no_snapshots": true});
    let refused = offer("volume 3.70", "/volume-transfers", alone).await;
    assert_eq!(
        message(&refused),
        "Invalid volume: transferring an encrypted volume without its snapshots is not supported"
    );
    assert_eq!(vault.status(&volume).await, "available");
    let made = offer("volume 3.70", "/volume-transfers", plainly).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let transfer = &made.body["transfer"];
    let receiver = vault
        .site
        .cloud
        .token_of_another_project(&vault.site.admin)
        .await;
    let path = format!(
        "/volume/v3/volume-transfers/{}/accept",
        transfer["id"].as_str().unwrap()
    );
    let body = json!({"accept": {"auth_key": transfer["auth_key"]}});
    let headers = [
        ("X-Auth-Token", receiver.as_str()),
        ("OpenStack-API-Version", "volume 3.70"),
    ];
    let taken = vault.site.cloud.send("POST", &path, &headers, body).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{:?}", taken.body);
    vault.check(&volume, true, SECRET).await;
}

#[tokio::test]
async fn an_encrypted_volume_stays_managed() {
    let vault = Vault::new().await;
    let volume = vault.volume("secret", SECRET).await;
    let refused = vault.act(&volume, json!({"os-unmanage": {}})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    vault.check(&volume, true, SECRET).await;
    let open = vault.volume("open", "nothing").await;
    vault.act(&open, json!({"os-unmanage": {}})).await;
    vault.site.run_jobs();
    let manage = |volume_type: &str| {
        json!({"volume": {"host": "cinderblock@pool#pool", "volume_type": volume_type,
            "ref": {"source-name": format!("volume-{open}")}}})
    };
    let refused = vault
        .site
        .post("/manageable_volumes", manage("secret"))
        .await;
    assert_eq!(
        refused.status,
        StatusCode::BAD_REQUEST,
        "{:?}",
        refused.body
    );
    let taken = vault.site.post("/manageable_volumes", manage("open")).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{:?}", taken.body);
}
