//! Images and encrypted volumes.

use http::StatusCode;
use serde_json::json;
use store::{Encryption, VolumeId};

use super::{Gallery, disk, qcow2};
use crate::cinder::tests::message;
use crate::glance::records::Status;

async fn vault() -> Gallery {
    let gallery = Gallery::new().await;
    let id = gallery.site.create_type("secret", true).await;
    let wanted = json!({"encryption": {
        "provider": "luks", "control_location": "back-end", "key_size": 256,
    }});
    let path = format!("/types/{id}/encryption");
    let made = gallery.site.post(&path, wanted).await;
    assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    gallery
}

impl Gallery {
    fn encryption(&self, id: uuid::Uuid) -> Encryption {
        let store = self.site.cloud.services.backends().first().store();
        store.volume_info(VolumeId(id)).unwrap().encryption
    }
}

#[tokio::test]
async fn an_image_is_copied_into_an_encrypted_volume() {
    let gallery = vault().await;
    let images = [
        gallery.image("raw", &disk(), |_| ()),
        gallery.image("qcow2", &qcow2(), |_| ()),
    ];
    for image in images {
        let secret = json!({"volume_type": "secret"});
        let (volume, kind) = gallery.volume(image, secret).await;
        assert_eq!(kind, "volume.fill_from_image");
        gallery.check(&volume).await;
        let id = volume.parse().unwrap();
        assert_eq!(gallery.encryption(id), Encryption::DomainKey);
        // A second image in its place is as encrypted.
        let action = json!({"os-reimage": {"image_id": image}});
        gallery.act(&volume, action).await;
        gallery.site.run_jobs();
        gallery.check(&volume).await;
        assert_eq!(gallery.encryption(id), Encryption::DomainKey);
    }
}

#[tokio::test]
async fn the_image_of_an_encrypted_volume_stays_encrypted() {
    let gallery = vault().await;
    let image = gallery.image("raw", &disk(), |_| ());
    let secret = json!({"volume_type": "secret"});
    let (volume, _) = gallery.volume(image, secret.clone()).await;
    let upload = |format: &str| json!({"os-volume_upload_image": {"image_name": "sealed", "disk_format": format}});
    let converted = gallery.act(&volume, upload("qcow2")).await;
    assert!(message(&converted).starts_with("An encrypted volume uploaded as an image must use"));
    let made = gallery.act(&volume, upload("raw")).await;
    let sealed = &made.body["os-volume_upload_image"]["image_id"];
    let sealed = sealed.as_str().unwrap().parse().unwrap();
    gallery.site.run_jobs();
    let row = gallery.row(sealed);
    assert_eq!(row.status, Status::Active);
    assert!(row.properties.contains_key("cinder_encryption_key_id"));
    assert_eq!(
        gallery.encryption(row.data.unwrap().volume),
        Encryption::DomainKey
    );
    // Neither in the open nor with the volume that had the key.
    let open = gallery.create(sealed, json!({})).await;
    assert_eq!(open.status, StatusCode::BAD_REQUEST);
    gallery.site.delete(&format!("/volumes/{volume}")).await;
    gallery.site.run_jobs();
    let (copy, _) = gallery.volume(sealed, secret).await;
    gallery.check(&copy).await;
    let id = copy.parse().unwrap();
    assert_eq!(gallery.encryption(id), Encryption::DomainKey);
}
