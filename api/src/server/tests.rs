//! What all Block Storage answers share, through the router.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::Services;
use crate::testing::Cloud;

#[tokio::test]
async fn version_documents() {
    let cloud = Cloud::new();
    for path in ["/volume", "/volume/", "/"] {
        let root = cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(root.status, StatusCode::MULTIPLE_CHOICES, "{path}");
        let entry = &root.body["versions"][0];
        assert_eq!(
            (&entry["id"], &entry["version"]),
            (&json!("v3.0"), &json!("3.71"))
        );
        assert_eq!(
            entry["links"][1]["href"],
            "http://cloud.test:8080/volume/v3/"
        );
    }
    let out = [("OpenStack-API-Version", "volume 3.99")];
    for path in ["/volume/", "/"] {
        let root = cloud.send("GET", path, &out, Value::Null).await;
        assert_eq!(root.status, StatusCode::NOT_ACCEPTABLE);
        assert_eq!(root.header("openstack-api-version"), "volume 3.99");
        let post = cloud.send("POST", path, &[], json!({})).await;
        assert_eq!(post.status, StatusCode::BAD_REQUEST);
    }
    for path in ["/nothing", "/volume/nothing"] {
        let unknown = cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        assert!(unknown.header("x-openstack-request-id").starts_with("req-"));
    }
    let none = cloud.send("GET", "/volume/v3/", &[], Value::Null).await;
    assert_eq!(none.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        none.header("www-authenticate"),
        "Keystone uri=\"http://cloud.test:8080/identity\""
    );
    assert_eq!(none.header("openstack-api-version"), "");
    assert_eq!(none.header("x-compute-request-id"), "");
    let admin = cloud.admin().await;
    let version = cloud.call(&admin, "GET", "/volume/v3/", Value::Null).await;
    assert_eq!(version.status, StatusCode::OK);
    let images = cloud.send("GET", "/image/", &[], Value::Null).await;
    let versions = images.body["versions"].as_array().unwrap();
    assert!(versions.iter().any(|one| one["status"] == "CURRENT"));
}

#[tokio::test]
async fn checks_come_in_the_real_order() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let unknown = cloud
        .call(&admin, "GET", "/volume/v3/nothing", Value::Null)
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.body["code"], "404 Not Found");
    assert_eq!(unknown.header("openstack-api-version"), "");
    assert_eq!(unknown.header("x-compute-request-id"), "");
    assert!(unknown.header("x-openstack-request-id").starts_with("req-"));
    let method = cloud
        .call(&admin, "PATCH", "/volume/v3/volumes", json!({}))
        .await;
    assert_eq!(method.status, StatusCode::NOT_FOUND);
    assert_eq!(method.header("openstack-api-version"), "");

    let foreign = "/volume/v3/0123456789abcdef0123456789abcdef/volumes";
    let malformed = cloud.call(&admin, "GET", foreign, Value::Null).await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        malformed.body,
        json!({"badRequest": {"code": 400, "message": "Malformed request url"}})
    );
    assert_eq!(malformed.header("openstack-api-version"), "volume 3.0");
    assert_eq!(malformed.header("vary"), "OpenStack-API-Version");
    let ids = ["x-compute-request-id", "x-openstack-request-id"];
    assert_eq!(malformed.header(ids[0]), malformed.header(ids[1]));

    let out = [
        ("X-Auth-Token", admin.as_str()),
        ("OpenStack-API-Version", "volume 3.07"),
    ];
    let refused = cloud.send("GET", foreign, &out, Value::Null).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(
        refused.body["badRequest"]["message"]
            .as_str()
            .unwrap()
            .contains("3.07")
    );
    assert_eq!(refused.header("openstack-api-version"), "");
}

#[tokio::test]
async fn both_forms_of_a_path_are_one_operation() {
    let cloud = Cloud::new();
    let scope = json!({"project": {"name": "admin", "domain": {"id": "default"}}});
    let login = cloud.login("admin", crate::testing::PASSWORD, scope).await;
    let project = login.body["token"]["project"]["id"].as_str().unwrap();
    let token = login.header("x-subject-token");
    for path in [
        "/volume/v3/volumes".to_owned(),
        "/volume/v3/volumes.json".to_owned(),
        format!("/volume/v3/{project}/volumes"),
        format!("/volume/v3/{project}/volumes.json?limit=1"),
    ] {
        let list = cloud.call(token, "GET", &path, Value::Null).await;
        assert_eq!(
            (list.status, list.body),
            (StatusCode::OK, json!({"volumes": []})),
            "{path}"
        );
    }
}

#[tokio::test]
async fn bodies_are_json_or_refused() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let xml = [
        ("X-Auth-Token", admin.as_str()),
        ("Content-Type", "application/xml"),
    ];
    let refused = cloud
        .send("POST", "/volume/v3/volumes", &xml, json!({}))
        .await;
    assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        refused.body["badMediaType"]["message"],
        "Unsupported Content-Type"
    );
}

#[tokio::test]
async fn hashes_wait_for_each_other_and_nobody_for_them() {
    let cloud = Cloud::new();
    let (services, admin) = (cloud.services.clone(), cloud.admin().await);
    let running = Arc::new(AtomicUsize::new(0));
    let (open, closed) = std::sync::mpsc::channel::<()>();
    let closed = Arc::new(Mutex::new(closed));
    let hash = |services: Services| {
        let (running, closed) = (running.clone(), closed.clone());
        tokio::spawn(async move {
            let work = move |_: &Services| {
                running.fetch_add(1, Ordering::SeqCst);
                // Until the other end is dropped.
                drop(closed.lock().map(|closed| closed.recv()));
                Ok(())
            };
            services.hashing(work).await
        })
    };
    let hashes: Vec<_> = (0..8).map(|_| hash(services.clone())).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    while running.load(Ordering::SeqCst) < super::hashing_permits() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    // Both the async thread and the pool of other calls are free.
    for _ in 0..4 {
        let list = cloud.call(&admin, "GET", "/volume/v3/volumes", Value::Null);
        assert_eq!(list.await.status, StatusCode::OK);
    }
    assert_eq!(running.load(Ordering::SeqCst), super::hashing_permits());
    drop(open);
    for hash in hashes {
        hash.await.unwrap().unwrap();
    }
    assert_eq!(running.load(Ordering::SeqCst), 8);
}
