//! Image through the router.

mod bytes;
mod lists;
mod metadefs;
mod records;
mod sharing;
mod staging;

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::testing::{Answer, Cloud};

const JSON: (&str, &str) = ("Accept", "application/json");
pub(super) const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// A cloud with an admin and a member of another project.
struct World {
    cloud: Cloud,
    admin: String,
    other: String,
}

impl World {
    async fn new() -> Self {
        Self::of(Cloud::new()).await
    }

    async fn of(cloud: Cloud) -> Self {
        let admin = cloud.admin().await;
        let other = cloud.token_of_another_project(&admin).await;
        Self {
            cloud,
            admin,
            other,
        }
    }

    /// A JSON request below `/v2`.
    async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/image/v2{path}");
        let headers = [("X-Auth-Token", token), JSON];
        self.cloud.send(method, &path, &headers, body).await
    }

    /// Changes an image by a patch of the newer form.
    async fn patch(&self, token: &str, id: &str, changes: Value) -> (StatusCode, Value) {
        let kind = "application/openstack-images-v2.1-json-patch";
        let (status, _, body) = self.patch_as(token, id, changes, kind).await;
        (status, body)
    }

    async fn patch_as(
        &self,
        token: &str,
        id: &str,
        changes: Value,
        kind: &str,
    ) -> (StatusCode, HeaderMap, Value) {
        let headers = [("X-Auth-Token", token), JSON, ("Content-Type", kind)];
        let path = format!("/image/v2/images/{id}");
        let body = Body::from(changes.to_string());
        let sent = self.cloud.send_bytes("PATCH", &path, &headers, body);
        let (status, headers, bytes) = sent.await;
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        (status, headers, body)
    }

    /// A request for or with data.
    async fn data(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let path = format!("/image/v2{path}");
        let mut all = vec![("X-Auth-Token", token)];
        all.extend(headers);
        self.cloud.send_bytes(method, &path, &all, body).await
    }

    /// An image without data of the other project.
    async fn image(&self, more: Value) -> String {
        let mut body = json!({"name": "i", "disk_format": "raw", "container_format": "bare"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap_or_default());
        let made = self.ask(&self.other, "POST", "/images", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Uploads data.
    async fn upload(&self, id: &str, data: Vec<u8>) -> StatusCode {
        let path = format!("/images/{id}/file");
        let sent = self.data(&self.other, "PUT", &path, &[OCTETS], Body::from(data));
        sent.await.0
    }

    async fn shown(&self, id: &str) -> Value {
        let path = format!("/images/{id}");
        let shown = self.ask(&self.other, "GET", &path, Value::Null).await;
        assert_eq!(shown.status, StatusCode::OK, "{:?}", shown.body);
        shown.body
    }

    /// How many volumes the store has.
    fn volumes(&self) -> usize {
        self.cloud.store("pool").volumes().len()
    }
}
