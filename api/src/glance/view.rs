//! What clients are shown of an image.

use serde_json::{Map, Value, json};

use super::hashing::ALGORITHM;
use super::records::Image;
use crate::clock::image_time;

/// The path of an image, as all its links give it.
pub(super) fn path_of(image: &Image) -> String {
    format!("/v2/images/{}", image.id)
}

/// An image: custom properties beside its own.
pub(super) fn show(image: &Image) -> Value {
    let path = path_of(image);
    let mut view = Map::new();
    for (name, value) in &image.properties {
        view.insert(name.clone(), json!(value));
    }
    let hashes = image.hashes.as_ref();
    let own = json!({
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility.word(),
        "size": image.size_bytes,
        "virtual_size": image.virtual_size_bytes,
        "status": image.status.word(),
        "checksum": hashes.map(|hashes| &hashes.checksum),
        "protected": image.protected,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": image.owner,
        "os_hidden": image.hidden,
        "os_hash_algo": hashes.map(|_| ALGORITHM),
        "os_hash_value": hashes.map(|hashes| &hashes.sha512),
        "id": image.id,
        "created_at": image_time(image.created_us),
        "updated_at": image_time(image.updated_us),
        "tags": image.tags,
        "self": path,
        "file": format!("{path}/file"),
        "schema": "/v2/schemas/image",
    });
    // What an image is comes after what its owner says of it, and so has the last word.
    if let Value::Object(own) = own {
        view.extend(own);
    }
    if let Some(data) = &image.data {
        view.insert("stores".to_owned(), json!(data.backend));
    }
    Value::Object(view)
}
