//! `/volumes/{id}/encryption`: what a hypervisor must know to read an encrypted volume.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value};

use super::{encryption, volumes};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::cinder::operations::volumes as ops;
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::ENCRYPTION, index)
        .on(ops::ENCRYPTION_KEY, show)
}

/// The key's name and what the type says. The key itself is not to be had, as the store decrypts:
/// nobody who attaches the volume has anything to do.
fn metadata(view: &impl View, caller: &Caller, id: &str) -> Result<Map<String, Value>, Fault> {
    let volume = volumes::find(view, caller, id)?;
    caller.check(Rule::VolumeEncryptionMetadata, &volume)?;
    let mut found = Map::new();
    found.insert("encryption_key_id".to_owned(), Value::Null);
    let key_id = encryption::key_id(volume.id).to_string();
    if let Some(own) = encryption::of_type(view, volume.volume_type_id)? {
        found.insert("encryption_key_id".to_owned(), key_id.into());
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
