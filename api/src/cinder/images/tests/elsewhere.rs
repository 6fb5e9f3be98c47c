//! Images at a Glance elsewhere: another cloud's Image, on a socket of this machine.

use http::StatusCode;
use serde_json::{Value, json};
use store::VolumeId;
use uuid::Uuid;

use super::{DISK_BYTES, GIB, Gallery, disk, qcow2};
use crate::cinder::tests::{Site, id_of, message};
use crate::external::glance::tests::{Elsewhere, Trouble};
use crate::jobs::{Job, JobError};
use crate::server::job_registry;
use crate::testing::Cloud;

/// A cloud whose images are elsewhere, and that other cloud.
struct Pair {
    gallery: Gallery,
    elsewhere: Elsewhere,
}

impl Pair {
    async fn new() -> Self {
        let elsewhere = Elsewhere::new().await;
        let keystone = elsewhere.peer.client();
        let cloud = Cloud::with_glance(keystone.clone(), elsewhere.client(keystone));
        let admin = elsewhere.peer.cloud.admin().await;
        let rules = std::sync::Arc::default();
        let client = elsewhere.peer.client();
        let caller = client.caller_of(&admin, None, rules).await.unwrap();
        let project = caller.project_id().unwrap().to_owned();
        let site = Site {
            cloud,
            admin,
            project,
        };
        Self {
            gallery: Gallery { site },
            elsewhere,
        }
    }

    async fn image(&self, wanted: Value, bytes: &[u8]) -> Uuid {
        let admin = &self.gallery.site.admin;
        self.elsewhere.image(admin, wanted, Some(bytes)).await
    }

    /// The peer answers on this runtime: what blocks must let it.
    fn run_jobs(&self) {
        tokio::task::block_in_place(|| self.gallery.site.run_jobs());
    }

    fn run(&self, job: &Job) -> Result<(), JobError> {
        let handler = job_registry().get(&job.kind).unwrap();
        let services = &self.gallery.site.cloud.services;
        tokio::task::block_in_place(|| handler.run(services, job))
    }

    async fn volume(&self, image: Uuid, more: Value) -> (String, String) {
        let made = self.gallery.create(image, more).await;
        assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
        let job = self.gallery.job();
        self.run_jobs();
        (id_of(&made), job.kind)
    }

    /// What a request for a volume of an image is answered.
    async fn refused(&self, image: &str, size: u64) -> (StatusCode, String) {
        let wanted = json!({"volume": {"size": size, "imageRef": image}});
        let answer = self.gallery.site.post("/volumes", wanted).await;
        assert_ne!(answer.status, StatusCode::ACCEPTED);
        (answer.status, message(&answer).to_owned())
    }

    async fn upload(&self, volume: &str, more: Value) -> crate::testing::Answer {
        let mut args = json!({"image_name": "made"});
        let all = args.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        let action = json!({ "os-volume_upload_image": args });
        self.gallery.act(volume, action).await
    }

    async fn encrypted_type(&self) {
        let site = &self.gallery.site;
        let id = site.create_type("secret", true).await;
        let wanted = json!({"encryption": {
            "provider": "luks", "control_location": "back-end", "key_size": 256,
        }});
        let made = site.post(&format!("/types/{id}/encryption"), wanted).await;
        assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    }

    fn volumes(&self) -> usize {
        let backends = self.gallery.site.cloud.services.backends();
        backends.first().store().volumes().len()
    }

    async fn last_message(&self) -> String {
        let told = self.gallery.site.get("/messages").await;
        let event = &told.body["messages"][0]["event_id"];
        event.as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_fetched_once_and_then_cloned() {
    let pair = Pair::new().await;
    let gallery = &pair.gallery;
    let raw = json!({"name": "one", "visibility": "private", "os_distro": "debian", "min_ram": 64});
    let qcow = json!({"disk_format": "qcow2"});
    for (fetched, (wanted, bytes)) in [(raw, disk()), (qcow, qcow2())].into_iter().enumerate() {
        let image = pair.image(wanted, &bytes).await;
        let (first, kind) = pair.volume(image, json!({})).await;
        assert_eq!(kind, "volume.fill_from_image");
        gallery.check(&first).await;
        let (second, kind) = pair.volume(image, json!({})).await;
        assert_eq!(kind, "volume.clone_image");
        gallery.check(&second).await;
        assert_eq!(pair.elsewhere.fetched(), fetched + 1);
        let shown = gallery.shown(&second).await;
        assert_eq!(shown["bootable"], "true");
        let told = &shown["volume_image_metadata"];
        assert_eq!(told["image_id"], json!(image));
        if fetched == 0 {
            assert_eq!(told["os_distro"], "debian");
            assert_eq!(told["min_ram"], "64");
            assert_eq!(told["image_name"], "one");
            assert_eq!(told["checksum"].as_str().unwrap().len(), 32);
        }
    }
    // Four volumes and two copies; what was converted is gone.
    assert_eq!(pair.volumes(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_become_encrypted_volumes_and_others_content() {
    let pair = Pair::new().await;
    pair.encrypted_type().await;
    let gallery = &pair.gallery;
    let images = [
        pair.image(json!({}), &disk()).await,
        pair.image(json!({"disk_format": "qcow2"}), &qcow2()).await,
    ];
    let empty = pair.image(json!({}), &[0; 4096]).await;
    for image in images {
        let secret = json!({"volume_type": "secret"});
        let (volume, _) = pair.volume(image, secret).await;
        gallery.check(&volume).await;
        let services = &gallery.site.cloud.services;
        let store = services.backends().first().store();
        let info = store.volume_info(VolumeId(volume.parse().unwrap()));
        assert_eq!(info.unwrap().encryption, store::Encryption::DomainKey);
        let (volume, _) = pair.volume(empty, json!({})).await;
        let action = json!({"os-reimage": {"image_id": image}});
        let begun = gallery.act(&volume, action).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
        pair.run_jobs();
        gallery.check(&volume).await;
        let told = &gallery.shown(&volume).await["volume_image_metadata"]["image_id"];
        assert_eq!(told, &json!(image));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_become_a_volume_is_refused_at_once() {
    let pair = Pair::new().await;
    let admin = &pair.gallery.site.admin;
    let unknown = "Invalid image identifier or unable to access requested image.";
    let none = Uuid::new_v4().to_string();
    for name in [none.as_str(), "no such name", "a/b"] {
        let (status, told) = pair.refused(name, 1).await;
        assert_eq!((status, told.as_str()), (StatusCode::BAD_REQUEST, unknown));
    }
    let queued = pair.elsewhere.image(admin, json!({}), None).await;
    let (status, told) = pair.refused(&queued.to_string(), 1).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(told.contains("is not active"), "{told}");
    let large = pair.image(json!({"min_disk": 2, "name": "x"}), b"a").await;
    let (_, told) = pair.refused(&large.to_string(), 1).await;
    assert!(told.contains("minDisk size 2GB"), "{told}");
    let sealed = json!({"cinder_encryption_key_id": "5c3b1b1e-3f9f-4dd5-8c2a-6f1c2f6f0a01"});
    let sealed = pair.image(sealed, b"a").await;
    let (_, told) = pair.refused(&sealed.to_string(), 1).await;
    assert!(told.contains("a key that is not here"), "{told}");
    // By name, as by id; one of two is nobody.
    pair.image(json!({"name": "only"}), b"a").await;
    let wanted = json!({"volume": {"size": 1, "imageRef": "only"}});
    let made = pair.gallery.site.post("/volumes", wanted).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    pair.image(json!({"name": "only"}), b"a").await;
    let (status, told) = pair.refused("only", 1).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told}");
    // Another's private image is none, for a volume and for its content.
    let theirs = &pair.elsewhere.peer.cloud;
    let somebody = theirs.token_of_another_project(admin).await;
    let hidden = pair.image(json!({"visibility": "private"}), b"a").await;
    let wanted = json!({"volume": {"size": 1, "imageRef": hidden}});
    let cloud = &pair.gallery.site.cloud;
    let path = "/volume/v3/volumes";
    let refused = cloud.call(&somebody, "POST", path, wanted).await;
    assert_eq!(message(&refused), unknown);
    let volume = id_of(&made);
    let action = json!({"os-reimage": {"image_id": none}});
    let refused = pair.gallery.act(&volume, action).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{:?}", refused.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_the_image_are_no_volume() {
    let pair = Pair::new().await;
    let image = pair.image(json!({}), &disk()).await;
    let converted = pair.image(json!({"disk_format": "qcow2"}), &qcow2()).await;
    // Says that it is raw, and would be opened as something else.
    let lying = pair.image(json!({"disk_format": "aki"}), &qcow2()).await;
    let troubles = [
        Trouble::Broken,
        Trouble::Short,
        Trouble::Long,
        Trouble::Wrong,
    ];
    for trouble in troubles {
        pair.elsewhere.suffer(trouble);
        for image in [image, converted] {
            let (volume, _) = pair.volume(image, json!({})).await;
            let shown = pair.gallery.shown(&volume).await;
            assert_eq!(shown["status"], "error", "{trouble:?}");
            assert!(!pair.last_message().await.is_empty());
            let path = format!("/volumes/{volume}");
            pair.gallery.site.delete(&path).await;
            pair.run_jobs();
        }
        // Nothing is kept of it.
        assert_eq!(pair.volumes(), 0, "{trouble:?}");
    }
    pair.elsewhere.suffer(Trouble::None);
    let (volume, _) = pair.volume(image, json!({})).await;
    pair.gallery.check(&volume).await;
    // Nobody looks into what does not say what it is.
    let (volume, _) = pair.volume(lying, json!({})).await;
    assert_eq!(pair.gallery.shown(&volume).await["status"], "available");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_attempt_that_failed_is_in_the_next() {
    let pair = Pair::new().await;
    let image = pair.image(json!({}), &disk()).await;
    let made = pair.gallery.create(image, json!({})).await;
    let job = pair.gallery.job();
    // One bit among zeroes, which nobody writes the second time.
    pair.elsewhere.suffer(Trouble::Wrong);
    assert!(!pair.run(&job).unwrap_err().is_interruption());
    pair.elsewhere.suffer(Trouble::None);
    pair.run_jobs();
    pair.gallery.check(&id_of(&made)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_glance_that_is_away_keeps_nobody_waiting() {
    let pair = Pair::new().await;
    let image = pair.image(json!({}), &disk()).await;
    pair.elsewhere.suffer(Trouble::Silent);
    let made = pair.gallery.create(image, json!({})).await;
    let job = pair.gallery.job();
    let services = pair.gallery.site.cloud.services.clone();
    // A job that waits ends with the daemon, and goes on with the next.
    services.set_stopping(true);
    assert!(pair.run(&job).unwrap_err().is_interruption());
    services.set_stopping(false);
    pair.elsewhere.suffer(Trouble::None);
    // The caller's token was lent to the first attempt; the second asks as ourselves.
    pair.run_jobs();
    pair.gallery.check(&id_of(&made)).await;
}

#[tokio::test]
async fn requests_are_told_that_there_is_no_glance() {
    use crate::external::glance::{Glance, Settings};
    let elsewhere = Elsewhere::new().await;
    let keystone = elsewhere.peer.client();
    // Taken and let go: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let glance = Glance::new(&Settings { url, ca: None }, keystone.clone()).unwrap();
    let cloud = Cloud::with_glance(keystone, glance);
    let token = elsewhere.peer.cloud.admin().await;
    let wanted = json!({"volume": {"size": 1, "imageRef": Uuid::new_v4()}});
    let told = cloud
        .call(&token, "POST", "/volume/v3/volumes", wanted)
        .await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(message(&told).contains("Image service is temporarily"));
    // Volumes without images do not need it, and Image is not served.
    let wanted = json!({"volume": {"size": 1}});
    let made = cloud
        .call(&token, "POST", "/volume/v3/volumes", wanted)
        .await;
    assert_eq!(made.status, StatusCode::ACCEPTED);
    let headers = [("X-Auth-Token", token.as_str())];
    let image = cloud
        .raw("GET", "/image/v2/images", &headers, Vec::new())
        .await;
    assert_eq!(image.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_becomes_an_image_elsewhere() {
    let pair = Pair::new().await;
    let (gallery, admin) = (&pair.gallery, &pair.gallery.site.admin);
    let first = json!({"os_distro": "debian", "img_signature": "x", "min_ram": 64});
    let first = pair.image(first, &disk()).await;
    let (volume, _) = pair.volume(first, json!({})).await;
    for format in ["raw", "qcow2"] {
        let more = json!({"disk_format": format, "visibility": "private", "protected": true});
        let begun = pair.upload(&volume, more).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
        let told = &begun.body["os-volume_upload_image"];
        assert_eq!(told["status"], "uploading");
        assert_eq!(
            (&told["visibility"], &told["protected"]),
            (&json!("private"), &json!(true))
        );
        assert_eq!(gallery.shown(&volume).await["status"], "uploading");
        let made: Uuid = told["image_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(pair.elsewhere.shown(admin, made).await["status"], "queued");
        // What is written from now on is not part of it only once the job has begun.
        pair.run_jobs();
        assert_eq!(gallery.shown(&volume).await["status"], "available");
        let image = pair.elsewhere.shown(admin, made).await;
        assert_eq!(image["status"], "active", "{image}");
        assert_eq!(image["disk_format"], format);
        assert_eq!(image["os_distro"], "debian");
        assert!(image.get("img_signature").is_none());
        assert_eq!(image["owner"], json!(gallery.site.project));
        let size = image["size"].as_u64().unwrap();
        match format {
            "raw" => assert_eq!(size, GIB),
            _ => assert!(size < 2 * DISK_BYTES as u64, "{size}"),
        }
        // Two are the volume and the copy it was made of: neither moment nor conversion is left.
        assert_eq!(pair.volumes(), 2);
        if format != "raw" {
            let (copy, _) = pair.volume(made, json!({})).await;
            gallery.check(&copy).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_brought_is_taken_away() {
    let pair = Pair::new().await;
    let (gallery, admin) = (&pair.gallery, &pair.gallery.site.admin);
    let first = pair.image(json!({}), &disk()).await;
    let (volume, _) = pair.volume(first, json!({})).await;
    let volumes = pair.volumes();
    for (format, trouble) in [("raw", Trouble::Broken), ("ploop", Trouble::None)] {
        let begun = pair.upload(&volume, json!({"disk_format": format})).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
        let made = begun.body["os-volume_upload_image"]["image_id"].as_str();
        let made: Uuid = made.unwrap().parse().unwrap();
        pair.elsewhere.suffer(trouble);
        pair.run_jobs();
        assert_eq!(gallery.shown(&volume).await["status"], "available");
        let left = pair.elsewhere.shown(admin, made).await;
        assert!(left.get("id").is_none(), "{left}");
        assert_eq!(pair.last_message().await, "VOLUME_VOLUME_003_004");
        assert_eq!(pair.volumes(), volumes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_not_to_be_leaves_nothing_elsewhere() {
    let pair = Pair::new().await;
    pair.encrypted_type().await;
    let (gallery, admin) = (&pair.gallery, &pair.gallery.site.admin);
    let first = pair.image(json!({}), &disk()).await;
    let secret = json!({"volume_type": "secret"});
    let (sealed, _) = pair.volume(first, secret).await;
    let refused = pair.upload(&sealed, json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let told = message(&refused);
    assert!(told.contains("is encrypted"), "{told}");
    let (busy, _) = pair.volume(first, json!({})).await;
    let volume = gallery.site.make("volume", json!({"size": 1})).await;
    pair.run_jobs();
    pair.upload(&busy, json!({})).await;
    let refused = pair.upload(&busy, json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(message(&refused).contains("status must be available"));
    // What Glance refuses is told in its words.
    let refused = pair
        .upload(&volume, json!({"container_format": "odd"}))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(gallery.shown(&volume).await["status"], "available");
    let cloud = &pair.elsewhere.peer.cloud;
    let path = "/image/v2/images";
    let images = cloud.call(admin, "GET", path, Value::Null).await;
    // The first, and that which is under way.
    assert_eq!(images.body["images"].as_array().unwrap().len(), 2);
}
