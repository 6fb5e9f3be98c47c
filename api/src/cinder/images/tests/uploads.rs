//! Images made of volumes.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DISK_BYTES, GIB, Gallery, disk};
use crate::catalogue::View;
use crate::cinder::tests::message;
use crate::glance::data;
use crate::glance::records::{Image, Status, Visibility};

impl Gallery {
    /// Begins to make an image of a volume, and answers what is told of it.
    async fn begin(&self, volume: &str, more: Value) -> (Uuid, Value) {
        let mut args = json!({"image_name": "made"});
        let all = args.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        let action = json!({ "os-volume_upload_image": args });
        let begun = self.act(volume, action).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
        let told = begun.body["os-volume_upload_image"].clone();
        (told["image_id"].as_str().unwrap().parse().unwrap(), told)
    }
}

#[tokio::test]
async fn a_volume_becomes_an_image_and_that_a_volume() {
    let gallery = Gallery::new().await;
    let first = gallery.image("raw", &disk(), |image| {
        let pairs = [("os_distro", "debian"), ("img_signature", "x")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        image.properties.extend(pairs);
    });
    let (volume, _) = gallery.volume(first, json!({})).await;
    let more = json!({"visibility": "private", "protected": true});
    let (made, told) = gallery.begin(&volume, more).await;
    assert_eq!(told["status"], "uploading");
    assert_eq!(
        (&told["visibility"], &told["protected"]),
        (&json!("private"), &json!(true))
    );
    assert_eq!(told["volume_type"]["name"], "__DEFAULT__");
    assert_eq!(gallery.shown(&volume).await["status"], "uploading");
    assert_eq!(gallery.row(made).status, Status::Saving);
    gallery.site.run_jobs();
    assert_eq!(gallery.shown(&volume).await["status"], "available");
    let image = gallery.row(made);
    assert_eq!(
        (image.status, image.visibility),
        (Status::Active, Visibility::Private)
    );
    assert_eq!(image.size_bytes, Some(GIB));
    // What describes the other image stays with it.
    let properties = json!(image.properties);
    assert_eq!(properties, json!({"os_distro": "debian"}));
    // The image outlives the volume.
    gallery.site.delete(&format!("/volumes/{volume}")).await;
    gallery.site.run_jobs();
    let (second, kind) = gallery.volume(made, json!({})).await;
    assert_eq!(kind, "volume.clone_image");
    gallery.check(&second).await;
}

#[tokio::test]
async fn a_volume_becomes_an_image_of_another_format() {
    let gallery = Gallery::new().await;
    let first = gallery.image("raw", &disk(), |_| ());
    let (volume, _) = gallery.volume(first, json!({})).await;
    for format in ["qcow2", "vmdk"] {
        let (made, _) = gallery.begin(&volume, json!({"disk_format": format})).await;
        gallery.site.run_jobs();
        let image = gallery.row(made);
        assert_eq!(image.status, Status::Active);
        assert_eq!(image.virtual_size_bytes, Some(GIB));
        let len = image.size_bytes.unwrap();
        assert!(len < 2 * DISK_BYTES as u64, "{format}: {len}");
        let bytes = data::volume_of(&gallery.site.cloud.services, &image.data.unwrap());
        let mut head = [0; 4];
        bytes.unwrap().read(0, &mut head).unwrap();
        assert!(&head == b"QFI\xfb" || &head == b"KDMV", "{head:?}");
        let (copy, _) = gallery.volume(made, json!({})).await;
        gallery.check(&copy).await;
    }
    let store = gallery.site.cloud.services.backends().first().store();
    // Three images, two converted copies and three volumes: nothing else is left.
    assert_eq!(store.volumes().len(), 3 + 2 + 3);
}

#[tokio::test]
async fn an_image_that_cannot_be_made_is_taken_away() {
    let gallery = Gallery::new().await;
    let first = gallery.image("raw", &disk(), |_| ());
    let (volume, _) = gallery.volume(first, json!({})).await;
    let (made, _) = gallery
        .begin(&volume, json!({"disk_format": "ploop"}))
        .await;
    gallery.site.run_jobs();
    assert_eq!(gallery.shown(&volume).await["status"], "available");
    let catalogue = gallery.site.cloud.services.catalogue();
    let left = catalogue.read(|reader| reader.get::<Image>(&made));
    assert!(left.unwrap().is_none());
    let told = gallery.site.get("/messages").await;
    assert_eq!(
        told.body["messages"][0]["event_id"],
        "VOLUME_VOLUME_003_004"
    );
}

#[tokio::test]
async fn only_volumes_that_can_be_read_become_images() {
    let gallery = Gallery::new().await;
    let first = gallery.image("raw", &disk(), |_| ());
    let (volume, _) = gallery.volume(first, json!({})).await;
    gallery.begin(&volume, json!({})).await;
    let action = json!({"os-volume_upload_image": {"image_name": "again"}});
    let again = gallery.act(&volume, action).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        message(&again),
        format!("Invalid volume: Volume {volume} status must be available")
    );
}
