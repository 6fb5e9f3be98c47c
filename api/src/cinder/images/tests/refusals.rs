//! Images that no volume is made of.

use http::StatusCode;
use serde_json::json;

use super::{GIB, Gallery, disk, qcow2};
use crate::cinder::tests::{id_of, message};
use crate::glance::records::{Status, Visibility};

#[tokio::test]
async fn a_volume_has_to_suit_its_image() {
    let gallery = Gallery::new().await;
    let idle = gallery.image("raw", &disk(), |image| image.status = Status::Deactivated);
    let large = gallery.sized("raw", 2 * GIB + 1, |_| ());
    let demanding = gallery.image("raw", &disk(), |image| image.min_disk = 7);
    let wide = gallery.image("qcow2", &qcow2(), |image| {
        image.virtual_size_bytes = Some(10 * GIB);
    });
    for (image, words) in [
        (idle, format!("Invalid input received: Image {idle} is not active.")),
        (
            large,
            "Invalid input received: Size of specified image 3GB is larger than volume size 1GB.".into(),
        ),
        (
            demanding,
            "Invalid input received: Volume size 1GB cannot be smaller than the image minDisk size 7GB.".into(),
        ),
        (
            wide,
            format!(
                "Image {wide} is unacceptable: Image virtual size is 10GB and doesn't fit in a volume of size 1GB."
            ),
        ),
    ] {
        let refused = gallery.create(image, json!({})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(message(&refused), words);
    }
}

#[tokio::test]
async fn images_are_found_by_id_address_and_name() {
    let gallery = Gallery::new().await;
    let image = gallery.image("raw", &disk(), |image| image.name = Some("debian".into()));
    for reference in [
        image.to_string(),
        format!("http://glance/images/{image}"),
        "debian".to_owned(),
    ] {
        let body = json!({"volume": {"size": 1, "imageRef": reference}});
        let made = gallery.site.post("/volumes", body).await;
        assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    }
    gallery.image("raw", &disk(), |image| image.name = Some("debian".into()));
    let body = json!({"volume": {"size": 1, "image_id": "debian"}});
    let twice = gallery.site.post("/volumes", body).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    for reference in ["nothing", "/", "../../etc/shadow"] {
        let body = json!({"volume": {"size": 1, "imageRef": reference}});
        let missing = gallery.site.post("/volumes", body).await;
        assert_eq!(
            message(&missing),
            "Invalid image identifier or unable to access requested image."
        );
    }
}

#[tokio::test]
async fn what_another_project_keeps_to_itself_is_not_there() {
    let gallery = Gallery::new().await;
    let hidden = gallery.image("raw", &disk(), |image| {
        image.visibility = Visibility::Private;
        image.name = Some("hidden".into());
    });
    let cloud = &gallery.site.cloud;
    let other = cloud.token_of_another_project(&gallery.site.admin).await;
    for reference in [hidden.to_string(), "hidden".to_owned()] {
        let body = json!({"volume": {"size": 1, "imageRef": reference}});
        let refused = cloud.call(&other, "POST", "/volume/v3/volumes", body).await;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{:?}",
            refused.body
        );
    }
}

#[tokio::test]
async fn a_crafted_image_makes_no_volume() {
    let gallery = Gallery::new().await;
    let mut bytes = qcow2();
    // A backing file, in an image that came in without being looked at.
    bytes[8..16].copy_from_slice(&512_u64.to_be_bytes());
    bytes[16..20].copy_from_slice(&11_u32.to_be_bytes());
    bytes[512..523].copy_from_slice(b"/etc/shadow");
    let crafted = gallery.image("qcow2", &bytes, |_| ());
    // A disk of 10 GiB in a small file that nobody asked.
    let claim = {
        let mut bytes = qcow2();
        bytes[24..32].copy_from_slice(&(10 * GIB).to_be_bytes());
        bytes[36..40].copy_from_slice(&20_u32.to_be_bytes());
        gallery.image("qcow2", &bytes, |_| ())
    };
    for image in [crafted, claim] {
        let (volume, _) = gallery.volume(image, json!({})).await;
        let shown = gallery.shown(&volume).await;
        assert_eq!(
            (&shown["status"], &shown["bootable"]),
            (&json!("error"), &json!("false"))
        );
        let of_volume = format!("/messages?resource_uuid={volume}");
        let told = gallery.site.get(&of_volume).await;
        assert_eq!(told.body["messages"].as_array().map(Vec::len), Some(1));
    }
    // The pool keeps nothing of them but the images.
    let store = gallery.site.cloud.services.backends().first().store();
    let volumes = store.volumes();
    assert_eq!(volumes.len(), 2, "{volumes:?}");
}

#[tokio::test]
async fn only_volumes_at_rest_get_another_image() {
    let gallery = Gallery::new().await;
    let image = gallery.image("raw", &disk(), |_| ());
    let volume = id_of(&gallery.create(image, json!({})).await);
    let action = json!({"os-reimage": {"image_id": image}});
    let early = gallery.act(&volume, action.clone()).await;
    assert_eq!(
        message(&early),
        format!(
            "Invalid volume: Volume {volume} status must be available or error, but current status is creating."
        )
    );
    gallery.site.run_jobs();
    let missing = json!({"os-reimage": {"image_id": volume}});
    let missing = gallery.act(&volume, missing).await;
    assert_eq!(
        (missing.status, message(&missing)),
        (
            StatusCode::NOT_FOUND,
            format!("Image {volume} could not be found.").as_str()
        )
    );
    let large = gallery.sized("raw", 2 * GIB, |_| ());
    let large = json!({"os-reimage": {"image_id": large}});
    let large = gallery.act(&volume, large).await;
    assert_eq!(large.status, StatusCode::BAD_REQUEST);
    assert_eq!(gallery.shown(&volume).await["status"], "available");
}
