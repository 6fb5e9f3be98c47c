//! Volumes of images and images of volumes, through the router and down to the bytes.

mod elsewhere;
mod encrypted;
mod refusals;
mod uploads;

use std::process::Command;
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};
use store::{Durability, VolumeId};
use uuid::Uuid;

use super::masters;
use crate::catalogue::{self, Query, View};
use crate::cinder::tests::{Site, id_of};
use crate::glance::data;
use crate::glance::records::{Image, ImageData, Status};
use crate::jobs::{BY_CREATED, Job, unfinished};
use crate::server::job_registry;
use crate::testing::{Answer, Cloud};

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
/// Length of the disks in these images.
const DISK_BYTES: usize = 8 * MIB;

/// A disk with something in it.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; DISK_BYTES];
    let line = |number: usize| format!("boot sector {number:08}\n").into_bytes();
    let text: Vec<u8> = (0..4000).flat_map(line).collect();
    disk[2 * MIB..2 * MIB + text.len()].copy_from_slice(&text);
    disk
}

/// The same as a qcow2.
fn qcow2() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (raw, image) = (dir.path().join("raw"), dir.path().join("qcow2"));
    std::fs::write(&raw, disk()).unwrap();
    let status = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &image])
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(image).unwrap()
}

/// A cloud with images in it.
struct Gallery {
    site: Site,
}

impl Gallery {
    async fn new() -> Self {
        Self::on(Cloud::new()).await
    }

    async fn on(cloud: Cloud) -> Self {
        Self {
            site: Site::on(cloud).await,
        }
    }

    fn backend(&self) -> String {
        let services = &self.site.cloud.services;
        services.backends().first().name().to_owned()
    }

    /// An active image of these bytes, as an upload leaves it; `more` may change its row.
    fn image(&self, format: &str, bytes: &[u8], more: impl FnOnce(&mut Image)) -> Uuid {
        let len = bytes.len() as u64;
        let id = self.sized(format, len, more);
        let services = &self.site.cloud.services;
        let data = self.row(id).data.unwrap();
        let volume = data::volume_of(services, &data).unwrap();
        volume.write(0, bytes, Durability::Durable).unwrap();
        id
    }

    /// The same without a byte written.
    fn sized(&self, format: &str, len: u64, more: impl FnOnce(&mut Image)) -> Uuid {
        let services = &self.site.cloud.services;
        let mut image = Image::new(Some(&self.site.project), services.now_us());
        let data = ImageData::fresh(image.id, &self.backend(), len);
        let spec = data::spec(services, image.owner.as_deref(), &data);
        let store = services.store_of(Some(&data.backend)).unwrap();
        store.create_volume(VolumeId(data.volume), spec).unwrap();
        image.name = Some("an image".to_owned());
        image.status = Status::Active;
        image.disk_format = Some(format.to_owned());
        image.container_format = Some("bare".to_owned());
        image.size_bytes = Some(len);
        image.data = Some(data);
        more(&mut image);
        let insert = |writer: &catalogue::Writer| writer.insert(&image);
        services.catalogue().write(insert).unwrap();
        image.id
    }

    fn row(&self, id: Uuid) -> Image {
        let catalogue = self.site.cloud.services.catalogue();
        let found = catalogue.read(|reader| reader.get::<Image>(&id));
        found.unwrap().unwrap()
    }

    async fn create(&self, image: Uuid, more: Value) -> Answer {
        let mut wanted = json!({"size": 1, "imageRef": image});
        wanted
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.site
            .post("/volumes", json!({ "volume": wanted }))
            .await
    }

    /// A volume of an image, made to its end, and the kind of job that made it.
    async fn volume(&self, image: Uuid, more: Value) -> (String, String) {
        let made = self.create(image, more).await;
        assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
        let job = self.job();
        self.site.run_jobs();
        (id_of(&made), job.kind)
    }

    /// The newest job.
    fn job(&self) -> Job {
        let catalogue = self.site.cloud.services.catalogue();
        let newest = Query::by(BY_CREATED, catalogue::Key::new());
        let found = catalogue.read(|reader| reader.first::<Job>(&newest));
        found.unwrap().unwrap()
    }

    async fn act(&self, volume: &str, action: Value) -> Answer {
        let path = format!("/volumes/{volume}/action");
        self.site.post(&path, action).await
    }

    async fn shown(&self, volume: &str) -> Value {
        self.site.shown("volume", volume).await
    }

    /// What a volume begins with.
    fn content(&self, volume: &str) -> Vec<u8> {
        let id = VolumeId(volume.parse().unwrap());
        let backends = self.site.cloud.services.backends();
        let mut found = backends
            .iter()
            .filter_map(|one| one.store().volume(id).ok());
        let volume = found.next().expect("the volume is in a pool");
        let mut bytes = vec![1; DISK_BYTES];
        volume.read(0, &mut bytes).unwrap();
        bytes
    }

    /// Whether a volume is made, and is the disk.
    async fn check(&self, volume: &str) {
        let shown = self.shown(volume).await;
        assert_eq!(shown["status"], "available", "{shown}");
        assert!(self.content(volume) == disk(), "{shown}");
    }
}

#[tokio::test]
async fn a_raw_image_becomes_a_volume_at_once_whatever_its_size() {
    let gallery = Gallery::new().await;
    let small = gallery.image("raw", &disk(), |image| {
        image.properties.insert("os_distro".into(), "debian".into());
        image.properties.insert("size".into(), "lie".into());
        (image.min_disk, image.min_ram) = (1, 256);
    });
    let (volume, kind) = gallery.volume(small, json!({"name": "root"})).await;
    assert_eq!(kind, "volume.clone_image");
    gallery.check(&volume).await;
    let shown = gallery.shown(&volume).await;
    assert_eq!(shown["bootable"], "true");
    assert_eq!(
        shown["volume_image_metadata"],
        json!({
            "container_format": "bare", "disk_format": "raw", "image_id": small,
            "image_name": "an image", "min_disk": "1", "min_ram": "256", "os_distro": "debian",
            "signature_verified": "False", "size": DISK_BYTES.to_string(),
        })
    );
    // What is made of it says so too.
    let (copy, _) = (
        gallery
            .site
            .make("volume", json!({"source_volid": volume}))
            .await,
        gallery.site.run_jobs(),
    );
    let copied = gallery.shown(&copy).await;
    assert_eq!(copied["bootable"], "true");
    assert_eq!(
        copied["volume_image_metadata"],
        shown["volume_image_metadata"]
    );
    // An image of 900 GiB takes as long.
    let large = gallery.sized("raw", 900 * GIB, |_| ());
    let begin = Instant::now();
    let (volume, kind) = gallery.volume(large, json!({"size": 900})).await;
    let took = begin.elapsed();
    assert_eq!(kind, "volume.clone_image");
    assert_eq!(gallery.shown(&volume).await["status"], "available");
    // A hundred milliseconds are promised for a program that is not a debug build on a busy machine.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[tokio::test]
async fn a_converted_image_is_converted_once_in_a_pool() {
    let gallery = Gallery::new().await;
    let image = gallery.image("qcow2", &qcow2(), |_| ());
    let (first, kind) = gallery.volume(image, json!({})).await;
    assert_eq!(kind, "volume.fill_from_image");
    gallery.check(&first).await;
    let (second, kind) = gallery.volume(image, json!({})).await;
    assert_eq!(kind, "volume.clone_image");
    gallery.check(&second).await;
    // The copy goes with its image, and volumes stay.
    let services = &gallery.site.cloud.services;
    let copy = VolumeId(masters::id_of(image, &gallery.backend()));
    let store = services.backends().first().store();
    assert!(store.volume_info(copy).is_ok());
    let forget = |writer: &catalogue::Writer| masters::forget(writer, image, 1);
    services.catalogue().write(forget).unwrap();
    gallery.site.run_jobs();
    assert!(store.volume_info(copy).is_err());
    gallery.check(&second).await;
    // The next one is converted again.
    let (third, kind) = gallery.volume(image, json!({})).await;
    assert_eq!(kind, "volume.fill_from_image");
    gallery.check(&third).await;
}

#[tokio::test]
async fn two_volumes_at_once_share_one_conversion() {
    let gallery = Gallery::new().await;
    let image = gallery.image("qcow2", &qcow2(), |_| ());
    let (one, other) = (
        gallery.create(image, json!({})).await,
        gallery.create(image, json!({})).await,
    );
    let catalogue = gallery.site.cloud.services.catalogue();
    let waiting = catalogue.read(unfinished).unwrap();
    let master = masters::id_of(image, &gallery.backend()).to_string();
    // Both own the copy, so that one waits for the other.
    assert!(waiting.iter().all(|job| job.owns == [master.clone()]));
    gallery.site.run_jobs();
    for volume in [id_of(&one), id_of(&other)] {
        gallery.check(&volume).await;
    }
}

#[tokio::test]
async fn a_job_that_a_kill_cut_short_runs_again() {
    let gallery = Gallery::new().await;
    let (raw, converted) = (
        gallery.image("raw", &disk(), |_| ()),
        gallery.image("qcow2", &qcow2(), |_| ()),
    );
    for image in [raw, converted] {
        let made = gallery.create(image, json!({})).await;
        let job = gallery.job();
        let registry = job_registry();
        let handler = registry.get(&job.kind).unwrap();
        // All the work is done, and nobody wrote that down.
        handler.run(&gallery.site.cloud.services, &job).unwrap();
        gallery.site.run_jobs();
        gallery.check(&id_of(&made)).await;
    }
}

#[tokio::test]
async fn an_image_elsewhere_is_copied() {
    let gallery = Gallery::on(Cloud::with_backends(&["one", "two"])).await;
    let body = json!({"volume_type": {"name": "far", "extra_specs": {
        "volume_backend_name": "two",
    }}});
    gallery.site.post("/types", body).await;
    let far = json!({"volume_type": "far"});
    let image = gallery.image("raw", &disk(), |_| ());
    let (volume, kind) = gallery.volume(image, far.clone()).await;
    assert_eq!(kind, "volume.fill_from_image");
    gallery.check(&volume).await;
    let image = gallery.image("qcow2", &qcow2(), |_| ());
    gallery.volume(image, far.clone()).await;
    let (volume, kind) = gallery.volume(image, far).await;
    assert_eq!(kind, "volume.clone_image");
    gallery.check(&volume).await;
}

#[tokio::test]
async fn an_image_names_the_type_of_volumes_that_ask_for_none() {
    let gallery = Gallery::new().await;
    gallery.site.create_type("gold", true).await;
    gallery.site.create_type("silver", true).await;
    let image = gallery.image("raw", &disk(), |image| {
        let key = "cinder_img_volume_type".to_owned();
        image.properties.insert(key, "gold".to_owned());
    });
    for (asked, given) in [
        (json!({}), "gold"),
        (json!({"volume_type": "silver"}), "silver"),
    ] {
        let (volume, _) = gallery.volume(image, asked).await;
        assert_eq!(gallery.shown(&volume).await["volume_type"], given);
    }
}

#[tokio::test]
async fn a_volume_gets_another_image() {
    let gallery = Gallery::new().await;
    let empty = gallery.sized("raw", 4096, |_| ());
    let (raw, converted) = (
        gallery.image("raw", &disk(), |_| ()),
        gallery.image("qcow2", &qcow2(), |_| ()),
    );
    for image in [raw, converted] {
        let (volume, _) = gallery.volume(empty, json!({})).await;
        let action = json!({"os-reimage": {"image_id": image}});
        let begun = gallery.act(&volume, action).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{:?}", begun.body);
        let during = gallery.shown(&volume).await;
        assert_eq!(during["status"], "downloading");
        gallery.site.run_jobs();
        gallery.check(&volume).await;
        let after = gallery.shown(&volume).await;
        let told = &after["volume_image_metadata"]["image_id"];
        assert_eq!(told, &json!(image.to_string()));
    }
}
