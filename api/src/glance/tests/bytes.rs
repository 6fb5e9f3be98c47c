//! The bytes of images: uploads, downloads, ranges, and what becomes of them in the store.

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use store::VolumeId;
use uuid::Uuid;

use super::{OCTETS, World};
use crate::catalogue::{Query, View};
use crate::fault::Fault;
use crate::glance::data;
use crate::glance::records::{Image, ImageData, Status, Upload};

/// Bytes that differ from block to block, with holes.
fn pattern(len: usize) -> Vec<u8> {
    let byte = |at: usize| match (at / 4096) % 3 {
        1 => 0,
        _ => ((at * 31 + at / 4096) % 251) as u8 + 1,
    };
    (0..len).map(byte).collect()
}

impl World {
    async fn download(&self, id: &str, range: Option<&str>) -> (StatusCode, Vec<u8>, String) {
        let path = format!("/images/{id}/file");
        let headers: Vec<(&str, &str)> = range.map(|range| ("Range", range)).into_iter().collect();
        let answer = self.data(&self.other, "GET", &path, &headers, Body::empty());
        let (status, headers, bytes) = answer.await;
        let told = headers.get("content-range");
        let told = told.map_or("", |value| value.to_str().unwrap());
        (status, bytes, told.to_owned())
    }

    fn row(&self, id: &str) -> Image {
        let id = Uuid::parse_str(id).unwrap();
        let found = self
            .cloud
            .services
            .catalogue()
            .read(|reader| Ok::<_, Fault>(reader.get::<Image>(&id)?));
        found.unwrap().unwrap()
    }

    fn uploads(&self) -> usize {
        let catalogue = self.cloud.services.catalogue();
        let found = catalogue.read(|reader| Ok::<_, Fault>(reader.count::<Upload>(&Query::all())?));
        found.unwrap() as usize
    }
}

#[tokio::test]
async fn what_is_uploaded_is_downloaded() {
    let world = World::new().await;
    for len in [0, 1, 4096, 3 * 1024 * 1024 + 17] {
        let id = world.image(json!({})).await;
        let wanted = pattern(len);
        assert_eq!(
            world.upload(&id, wanted.clone()).await,
            StatusCode::NO_CONTENT
        );
        let shown = world.shown(&id).await;
        assert_eq!(
            (&shown["status"], &shown["size"]),
            (&json!("active"), &json!(len))
        );
        assert_eq!(shown["stores"], "pool");
        let (status, bytes, _) = world.download(&id, None).await;
        assert_eq!(status, StatusCode::OK);
        assert!(bytes == wanted, "{len} bytes differ");
    }
    assert_eq!(world.uploads(), 0);
}

#[tokio::test]
async fn sums_are_those_of_the_data() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    world.upload(&id, b"0123456789abcdef".to_vec()).await;
    let shown = world.shown(&id).await;
    assert_eq!(shown["checksum"], "4032af8d61035123906e58e067140cc5");
    assert_eq!(shown["os_hash_algo"], "sha512");
    assert_eq!(shown["virtual_size"], 16);
    assert!(
        shown["os_hash_value"]
            .as_str()
            .unwrap()
            .starts_with("1c043fbe4bca7c79")
    );
    let path = format!("/images/{id}/file");
    let answer = world
        .data(&world.other, "GET", &path, &[], Body::empty())
        .await;
    assert_eq!(answer.1["content-md5"], "4032af8d61035123906e58e067140cc5");
    assert_eq!(answer.1["content-length"], "16");
    assert_eq!(answer.1["content-type"], "application/octet-stream");
}

#[tokio::test]
async fn ranges_are_parts() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let wanted = pattern(2 * 1024 * 1024 + 100);
    let len = wanted.len();
    world.upload(&id, wanted.clone()).await;
    for (range, start, end) in [
        ("bytes=2-5", 2, 6),
        ("bytes=1048570-1048590", 1_048_570, 1_048_591),
        ("bytes=-7", len - 7, len),
        ("bytes=2097200-", 2_097_200, len),
    ] {
        let (status, bytes, told) = world.download(&id, Some(range)).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert!(bytes == wanted[start..end], "{range}");
        assert_eq!(told, format!("bytes {start}-{}/{len}", end - 1));
    }
    let beyond = world.download(&id, Some("bytes=99999999-")).await;
    assert_eq!(beyond.0, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn data_comes_once_and_of_the_right_type() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/file");
    let empty = world.download(&id, None).await;
    assert_eq!(empty.0, StatusCode::NO_CONTENT);
    let kind = [("Content-Type", "application/json")];
    let wrong = world
        .data(&world.other, "PUT", &path, &kind, Body::from("x"))
        .await;
    assert_eq!(wrong.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        world.upload(&id, b"x".to_vec()).await,
        StatusCode::NO_CONTENT
    );
    let again = world
        .data(&world.other, "PUT", &path, &[OCTETS], Body::from("x"))
        .await;
    assert_eq!(again.0, StatusCode::CONFLICT);
    let page = String::from_utf8(again.2).unwrap();
    assert!(page.contains("Image status transition from active to saving is not allowed"));
    let bare = world
        .ask(&world.other, "POST", "/images", json!({"name": "x"}))
        .await;
    let bare = bare.body["id"].as_str().unwrap();
    assert_eq!(
        world.upload(bare, b"x".to_vec()).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(world.shown(bare).await["status"], "queued");
}

#[tokio::test]
async fn zeroes_take_no_space_and_bytes_are_a_volume_that_nobody_is_offered() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    world.upload(&id, vec![0; 5 << 20]).await;
    let data = world.row(&id).data.unwrap();
    assert_eq!(data.size_bytes, 5 << 20);
    let volume = data::volume_of(&world.cloud.services, &data).unwrap();
    assert_eq!(volume.size_bytes(), 5 << 20);
    let extents = volume.extents(0, 5 << 20, 100).unwrap();
    assert!(
        extents
            .iter()
            .all(|extent| extent.kind != store::ExtentKind::Data)
    );
    let path = "/volume/v3/manageable_volumes?host=cinderblock@pool";
    let latest = ("OpenStack-API-Version", "volume latest");
    let headers = [("X-Auth-Token", world.admin.as_str()), latest];
    let offered = world.cloud.send("GET", path, &headers, Value::Null).await;
    assert_eq!(offered.body["manageable-volumes"], json!([]));
}

#[tokio::test]
async fn deleting_an_image_removes_its_bytes_and_clones_live_on() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    world.upload(&id, pattern(100_000)).await;
    let data = world.row(&id).data.unwrap();
    let store = world.cloud.store("pool");
    let clone = VolumeId(Uuid::new_v4());
    let mut spec = data::spec(
        &world.cloud.services,
        world.row(&id).owner.as_deref(),
        &data,
    );
    spec.size_bytes = 1 << 30;
    store
        .clone_volume(clone, VolumeId(data.volume), spec)
        .unwrap();
    let path = format!("/images/{id}");
    world.ask(&world.other, "DELETE", &path, Value::Null).await;
    world.cloud.run_jobs();
    assert!(store.volume(VolumeId(data.volume)).is_err());
    let mut read = vec![0; 100_000];
    store.volume(clone).unwrap().read(0, &mut read).unwrap();
    assert!(read == pattern(100_000));
}

/// A body of which only a part comes, and then the connection breaks.
fn broken(part: Vec<u8>) -> Body {
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        sender.send_data(Bytes::from(part)).await.unwrap();
        // Room for one only: when this is accepted, the first was read.
        let _ = sender.send_data(Bytes::from_static(b"more")).await;
        sender.abort(std::io::Error::other("the connection broke"));
    });
    Body::new(channel)
}

#[tokio::test]
async fn an_upload_that_breaks_leaves_nothing_behind() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let before = world.volumes();
    let path = format!("/images/{id}/file");
    let body = broken(pattern(3 << 20));
    let answer = world
        .data(&world.other, "PUT", &path, &[OCTETS], body)
        .await;
    assert_eq!(answer.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.shown(&id).await["status"], "queued");
    world.cloud.run_jobs();
    assert_eq!((world.volumes(), world.uploads()), (before, 0));
    assert_eq!(
        world.upload(&id, b"again".to_vec()).await,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn an_image_deleted_while_its_data_comes_stays_deleted() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let before = world.volumes();
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    let path = format!("/images/{id}/file");
    let upload = world.data(&world.other, "PUT", &path, &[OCTETS], Body::new(channel));
    let rest = async {
        // Three are accepted when at least one was read, so the upload has begun.
        for _ in 0..3 {
            sender
                .send_data(Bytes::from(vec![1; 1 << 20]))
                .await
                .unwrap();
        }
        assert_eq!(world.shown(&id).await["status"], "saving");
        let path = format!("/images/{id}");
        let gone = world.ask(&world.other, "DELETE", &path, Value::Null).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        drop(sender);
    };
    let (answer, ()) = tokio::join!(upload, rest);
    assert_eq!(answer.0, StatusCode::GONE);
    world.cloud.run_jobs();
    assert_eq!((world.volumes(), world.uploads()), (before, 0));
}

#[tokio::test]
async fn a_start_after_a_crash_clears_what_was_arriving() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let before = world.volumes();
    let mut row = world.row(&id);
    let place = ImageData::fresh(row.id, "pool", 1 << 20);
    let spec = data::spec(&world.cloud.services, row.owner.as_deref(), &place);
    let store = world.cloud.store("pool");
    store.create_volume(VolumeId(place.volume), spec).unwrap();
    row.status = Status::Saving;
    let left = Upload {
        volume: place.volume,
        backend: place.backend,
        image: row.id,
    };
    let catalogue = world.cloud.services.catalogue();
    let crashed = catalogue.write(|writer| {
        writer.put(&row)?;
        Ok::<_, Fault>(writer.insert(&left)?)
    });
    crashed.unwrap();
    crate::server::bootstrap(&world.cloud.services, crate::testing::PASSWORD).unwrap();
    world.cloud.run_jobs();
    assert_eq!(world.shown(&id).await["status"], "queued");
    assert_eq!((world.volumes(), world.uploads()), (before, 0));
}

#[tokio::test]
async fn a_claim_of_more_than_a_volume_can_hold_is_refused() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/file");
    for (size, status) in [("99999999999999999", 413), ("x", 400)] {
        let headers = [OCTETS, ("x-openstack-image-size", size)];
        let answer = world.data(&world.other, "PUT", &path, &headers, Body::from("x"));
        assert_eq!(answer.await.0.as_u16(), status);
        assert_eq!(world.shown(&id).await["status"], "queued");
    }
    // A claim of 10 GB for one byte costs nothing and is not believed.
    let headers = [OCTETS, ("x-openstack-image-size", "10000000000")];
    let answer = world.data(&world.other, "PUT", &path, &headers, Body::from("x"));
    assert_eq!(answer.await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.shown(&id).await["size"], 1);
    let volume = data::volume_of(&world.cloud.services, &world.row(&id).data.unwrap());
    assert_eq!(volume.unwrap().size_bytes(), 4096);
}

#[tokio::test]
async fn deactivated_data_is_for_administrators() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    world.upload(&id, b"data".to_vec()).await;
    let act = async |word: &str| {
        let path = format!("/images/{id}/actions/{word}");
        world
            .ask(&world.other, "POST", &path, Value::Null)
            .await
            .status
    };
    assert_eq!(act("deactivate").await, StatusCode::NO_CONTENT);
    assert_eq!(act("deactivate").await, StatusCode::NO_CONTENT);
    assert_eq!(world.shown(&id).await["status"], "deactivated");
    assert_eq!(world.download(&id, None).await.0, StatusCode::FORBIDDEN);
    let path = format!("/images/{id}/file");
    let admin = world
        .data(&world.admin, "GET", &path, &[], Body::empty())
        .await;
    assert_eq!(admin.2, b"data");
    assert_eq!(act("reactivate").await, StatusCode::NO_CONTENT);
    assert_eq!(world.download(&id, None).await.1, b"data");
    let queued = world.image(json!({})).await;
    let path = format!("/images/{queued}/actions/deactivate");
    let refused = world.ask(&world.other, "POST", &path, Value::Null).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_volume_becomes_an_image_whose_sums_follow() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let row = world.row(&id);
    let place = ImageData::fresh(row.id, "pool", 100_000);
    let spec = data::spec(&world.cloud.services, row.owner.as_deref(), &place);
    let store = world.cloud.store("pool");
    store.create_volume(VolumeId(place.volume), spec).unwrap();
    let volume = data::volume_of(&world.cloud.services, &place).unwrap();
    volume
        .write(0, &pattern(100_000), store::Durability::Durable)
        .unwrap();
    let catalogue = world.cloud.services.catalogue();
    let adopted =
        catalogue.write(|writer| Ok::<_, Fault>(data::adopt(writer, row.id, place.clone(), 7)?));
    assert!(adopted.unwrap());
    let shown = world.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["checksum"]),
        (&json!("active"), &Value::Null)
    );
    world.cloud.run_jobs();
    let twin = world.image(json!({})).await;
    world.upload(&twin, pattern(100_000)).await;
    let (adopted, uploaded) = (world.shown(&id).await, world.shown(&twin).await);
    assert_eq!(adopted["checksum"], uploaded["checksum"]);
    assert_eq!(adopted["os_hash_value"], uploaded["os_hash_value"]);
    let late = catalogue
        .write(|writer| Ok::<_, Fault>(data::adopt(writer, Uuid::nil(), place.clone(), 8)?));
    assert!(!late.unwrap(), "an image that is gone takes nothing");
}

#[tokio::test]
async fn an_upload_that_a_crash_ended_leaves_the_image_queued() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let before = world.volumes();
    let mut row = world.row(&id);
    row.status = Status::Saving;
    let place = ImageData::fresh(row.id, "pool", 1);
    let spec = data::spec(&world.cloud.services, row.owner.as_deref(), &place);
    let store = world.cloud.store("pool");
    store.create_volume(VolumeId(place.volume), spec).unwrap();
    let catalogue = world.cloud.services.catalogue();
    let failed = catalogue.write(|writer| {
        writer.put(&row)?;
        writer.insert(&Upload {
            volume: place.volume,
            backend: place.backend.clone(),
            image: row.id,
        })?;
        Ok::<_, Fault>(data::drop_uploads(writer, 7)?)
    });
    failed.unwrap();
    world.cloud.run_jobs();
    assert_eq!(world.shown(&id).await["status"], "queued");
    assert_eq!(world.volumes(), before);
}

/// The start of a qcow2 image of 1 GiB, with a name of another file if there is one.
fn qcow2(backing: Option<&str>) -> Vec<u8> {
    let mut image = vec![0; 1 << 18];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    if let Some(name) = backing {
        image[8..16].copy_from_slice(&1024_u64.to_be_bytes());
        image[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
        image[1024..1024 + name.len()].copy_from_slice(name.as_bytes());
    }
    image[20..24].copy_from_slice(&16_u32.to_be_bytes());
    image[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    image[36..40].copy_from_slice(&2_u32.to_be_bytes());
    image[40..48].copy_from_slice(&(1_u64 << 16).to_be_bytes());
    image[48..56].copy_from_slice(&(2_u64 << 16).to_be_bytes());
    image[56..60].copy_from_slice(&1_u32.to_be_bytes());
    image[96..100].copy_from_slice(&4_u32.to_be_bytes());
    image[100..104].copy_from_slice(&104_u32.to_be_bytes());
    image
}

#[tokio::test]
async fn data_must_be_what_the_image_says_and_lead_nowhere() {
    let world = World::new().await;
    let before = world.volumes();
    for (format, data) in [
        ("qcow2", b"no such header".to_vec()),
        ("vmdk", qcow2(None)),
        ("qcow2", qcow2(Some("/etc/shadow"))),
    ] {
        let id = world.image(json!({"disk_format": format})).await;
        let path = format!("/images/{id}/file");
        let body = Body::from(data);
        let sent = world
            .data(&world.other, "PUT", &path, &[OCTETS], body)
            .await;
        assert_eq!(sent.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{format}");
        let shown = world.shown(&id).await;
        assert_eq!(
            (&shown["status"], &shown["size"]),
            (&json!("queued"), &Value::Null)
        );
    }
    world.cloud.run_jobs();
    assert_eq!(world.volumes(), before);
    let id = world.image(json!({"disk_format": "qcow2"})).await;
    assert_eq!(world.upload(&id, qcow2(None)).await, StatusCode::NO_CONTENT);
    assert_eq!(world.shown(&id).await["virtual_size"], 1 << 30);
}
