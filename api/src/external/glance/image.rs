//! What Glance tells of an image, and is told of a new one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What images have that is no property: the base properties of Glance's schema.
const BASE: [&str; 26] = [
    "checksum",
    "container_format",
    "created_at",
    "direct_url",
    "disk_format",
    "file",
    "id",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "tags",
    "updated_at",
    "validation_data",
    "virtual_size",
    "visibility",
];

/// An image.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) status: String,
    pub(crate) size: Option<u64>,
    pub(crate) virtual_size: Option<u64>,
    min_disk: Option<i64>,
    min_ram: Option<i64>,
    pub(crate) disk_format: Option<String>,
    pub(crate) container_format: Option<String>,
    /// MD5 of the bytes, in hexadecimal digits.
    pub(crate) checksum: Option<String>,
    pub(crate) os_hash_algo: Option<String>,
    pub(crate) os_hash_value: Option<String>,
    pub(crate) visibility: Option<String>,
    #[serde(default)]
    pub(crate) protected: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// A list of images.
#[derive(Deserialize)]
pub(super) struct Images {
    pub(super) images: Vec<Image>,
}

impl Image {
    /// Least size of a disk for it, GiB.
    pub(crate) fn min_disk_gib(&self) -> i64 {
        self.min_disk.unwrap_or(0)
    }

    /// Least memory for it, MiB.
    pub(crate) fn min_ram_mib(&self) -> i64 {
        self.min_ram.unwrap_or(0)
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Its custom properties, which are texts.
    pub(crate) fn properties(&self) -> BTreeMap<String, String> {
        let custom = self.rest.iter();
        let custom = custom.filter(|(key, _)| !BASE.contains(&key.as_str()));
        custom
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

/// An image that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) disk_format: String,
    pub(crate) container_format: String,
    /// `None` leaves it to Glance.
    pub(crate) visibility: Option<&'static str>,
    pub(crate) protected: bool,
    pub(crate) properties: BTreeMap<String, String>,
}

impl Draft {
    /// The body of its creation. Its own facts win over properties of their names.
    pub(super) fn body(&self) -> Vec<u8> {
        let properties = self.properties.iter();
        let properties = properties.filter(|(key, _)| !BASE.contains(&key.as_str()));
        let mut body: Map<String, Value> = properties
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        body.insert("name".to_owned(), json!(self.name));
        body.insert("disk_format".to_owned(), json!(self.disk_format));
        body.insert("container_format".to_owned(), json!(self.container_format));
        if let Some(visibility) = self.visibility {
            body.insert("visibility".to_owned(), json!(visibility));
        }
        body.insert("protected".to_owned(), json!(self.protected));
        Value::Object(body).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::Image;

    #[test]
    fn properties_are_what_the_schema_does_not_know() {
        let image: Image = serde_json::from_value(json!({
            "id": "5c3b1b1e-3f9f-4dd5-8c2a-6f1c2f6f0a01", "name": null, "owner": "p",
            "status": "active", "size": 5, "virtual_size": null, "min_disk": 0, "min_ram": 0,
            "disk_format": "raw", "container_format": "bare", "checksum": null, "tags": ["a"],
            "visibility": "public", "protected": false, "self": "/v2/images/1", "os_hidden": false,
            "os_distro": "debian", "kernel_id": null, "schema": "/v2/schemas/image",
        }))
        .unwrap();
        let properties = [("os_distro".to_owned(), "debian".to_owned())];
        assert_eq!(image.properties(), properties.into());
        assert!(image.is_active() && image.size == Some(5));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Image>(&bytes);
        }
    }
}
