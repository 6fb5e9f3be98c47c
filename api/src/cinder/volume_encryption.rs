//! `/volumes/{id}/encryption`: what a hypervisor must know to read an encrypted volume.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::{encryption, volumes};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;

/// The routes.
pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/volumes/{id}/encryption", get(index))
        .route("/volumes/{id}/encryption/{key}", get(show))
}

/// What the type says. No key is told, as the store keeps it and decrypts: nobody who attaches the
/// volume has anything to do.
fn metadata(view: &impl View, caller: &Caller, id: &str) -> Result<Map<String, Value>, Fault> {
    let volume = volumes::find(view, caller, id)?;
    caller.check(Rule::VolumeEncryptionMetadata, &volume)?;
    let mut found = Map::new();
    found.insert("encryption_key_id".to_owned(), Value::Null);
    if let Some(own) = encryption::of_type(view, volume.volume_type_id)? {
        found.insert("control_location".to_owned(), own.control_location.into());
        found.insert("provider".to_owned(), own.provider.into());
        found.insert("cipher".to_owned(), own.cipher.into());
        found.insert("key_size".to_owned(), own.key_size.into());
    }
    Ok(found)
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let found = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|reader| metadata(reader, &caller, &id))
        })
        .await?;
    Ok(Json(Value::Object(found)))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let mut found = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|reader| metadata(reader, &caller, &id))
        })
        .await?;
    // A bare value, as the real service answers.
    found
        .remove(&key)
        .map(Json)
        .ok_or_else(Fault::version_not_found)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use crate::cinder::tests::{Site, id_of, message};

    #[tokio::test]
    async fn types_say_how_their_volumes_are_encrypted() {
        let site = Site::new().await;
        let make = json!({"volume_type": {"name": "secret"}});
        let volume_type = id_of(&site.call("POST", "/types", make).await);
        let path = format!("/types/{volume_type}/encryption");
        assert_eq!(site.get(&path).await.body, json!({}));
        let odd = json!({"encryption": {"provider": "luks", "control_location": "nowhere"}});
        let odd = site.call("POST", &path, odd).await;
        assert!(message(&odd).ends_with("'nowhere' is not one of ['front-end', 'back-end']"));
        let wanted = json!({"encryption": {
            "provider": "luks", "control_location": "front-end", "key_size": "256",
        }});
        let made = site.call("POST", &path, wanted.clone()).await;
        let own = made.body["encryption"]["encryption_id"].as_str().unwrap();
        assert_eq!(
            made.body["encryption"],
            json!({"provider": "luks", "control_location": "front-end", "key_size": 256,
                "encryption_id": own, "volume_type_id": volume_type})
        );
        let again = site.call("POST", &path, wanted).await;
        assert_eq!(
            message(&again),
            format!("Volume type encryption for type {volume_type} already exists.")
        );
        let one = format!("{path}/{own}");
        let change = json!({"encryption": {"cipher": "aes-xts-plain64"}});
        let changed = site.call("PUT", &one, change.clone()).await;
        assert_eq!((changed.status, changed.body), (StatusCode::OK, change));
        let cipher = site.get(&format!("{path}/cipher")).await;
        assert_eq!(cipher.body, json!({"cipher": "aes-xts-plain64"}));
        let gone = site.call("DELETE", &one, Value::Null).await;
        assert_eq!(gone.status, StatusCode::ACCEPTED);
        let missing = site.call("DELETE", &one, Value::Null).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }

    /// A volume of a type that asks for encryption, made, and its id.
    async fn encrypted(site: &Site) -> String {
        let make = json!({"volume_type": {"name": "secret"}});
        let volume_type = id_of(&site.call("POST", "/types", make).await);
        let path = format!("/types/{volume_type}/encryption");
        let wanted = json!({"encryption": {"provider": "luks", "control_location": "back-end"}});
        site.call("POST", &path, wanted).await;
        let make = json!({"volume": {"size": 1, "volume_type": "secret"}});
        let volume = id_of(&site.call("POST", "/volumes", make).await);
        site.run_jobs();
        volume
    }

    fn info(site: &Site, id: &str) -> store::VolumeInfo {
        let id = store::VolumeId(uuid::Uuid::parse_str(id).unwrap());
        site.cloud.store("pool").volume_info(id).unwrap()
    }

    #[tokio::test]
    async fn volumes_of_an_encrypted_type_are_encrypted_and_so_are_their_clones() {
        let site = Site::new().await;
        let volume = encrypted(&site).await;
        let shown = site.get(&format!("/volumes/{volume}")).await;
        assert_eq!(shown.body["volume"]["encrypted"], json!(true));
        assert_eq!(shown.body["volume"]["status"], json!("available"));
        let meta = site.get(&format!("/volumes/{volume}/encryption")).await;
        assert_eq!(meta.body["control_location"], json!("back-end"));
        assert_eq!(
            info(&site, &volume).encryption,
            store::Encryption::DomainKey
        );
        let make = json!({"volume": {"size": 1, "source_volid": volume}});
        let clone = id_of(&site.call("POST", "/volumes", make).await);
        let make = json!({"snapshot": {"volume_id": volume}});
        let snapshot = id_of(&site.call("POST", "/snapshots", make).await);
        site.run_jobs();
        let make = json!({"volume": {"size": 2, "snapshot_id": snapshot}});
        let second = id_of(&site.call("POST", "/volumes", make).await);
        site.run_jobs();
        for copy in [clone, second] {
            let shown = site.get(&format!("/volumes/{copy}")).await;
            assert_eq!(shown.body["volume"]["status"], json!("available"));
            assert_eq!(shown.body["volume"]["encrypted"], json!(true));
            assert_eq!(info(&site, &copy).domain, info(&site, &volume).domain);
            assert_eq!(info(&site, &copy).encryption, store::Encryption::DomainKey);
        }
        let plain = json!({"volume": {"size": 1}});
        let plain = id_of(&site.call("POST", "/volumes", plain).await);
        site.run_jobs();
        assert_eq!(info(&site, &plain).encryption, store::Encryption::None);
        assert_ne!(info(&site, &plain).domain, info(&site, &volume).domain);
    }

    #[tokio::test]
    async fn nothing_makes_an_encrypted_volume_plain() {
        let site = Site::new().await;
        let volume = encrypted(&site).await;
        let other = json!({"volume_type": {"name": "open"}});
        site.call("POST", "/types", other).await;
        let make = json!({"volume": {"size": 1, "source_volid": volume, "volume_type": "open"}});
        let refused = site.call("POST", "/volumes", make).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(message(&refused).contains("requested type is not compatible"));
        let action = format!("/volumes/{volume}/action");
        let retype = json!({"os-retype": {"new_type": "open", "migration_policy": "on-demand"}});
        let refused = site.call("POST", &action, retype).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let backup = json!({"backup": {"volume_id": volume}});
        let refused = site.call("POST", "/backups", backup).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(
            message(&refused).contains("encrypted"),
            "{}",
            message(&refused)
        );
    }

    #[tokio::test]
    async fn a_plain_volume_has_no_key() {
        let site = Site::new().await;
        let make = json!({"volume": {"size": 1}});
        let volume = id_of(&site.call("POST", "/volumes", make).await);
        let path = format!("/volumes/{volume}/encryption");
        let shown = site.get(&path).await;
        assert_eq!(shown.body, json!({"encryption_key_id": null}));
        let key = site.get(&format!("{path}/encryption_key_id")).await;
        assert_eq!((key.status, key.body), (StatusCode::OK, Value::Null));
        let odd = site.get(&format!("{path}/colour")).await;
        assert_eq!(odd.status, StatusCode::NOT_FOUND);
        let action = format!("/volumes/{volume}/action");
        site.run_jobs();
        let body = json!({"os-extend_volume_completion": {"error": false}});
        let told = site.call("POST", &action, body).await;
        assert_eq!(
            message(&told),
            "Invalid volume: Volume is not being extended."
        );
    }
}
