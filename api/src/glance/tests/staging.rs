//! Staging and importing.

use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};

use super::{OCTETS, World};
use crate::testing::Cloud;

impl World {
    async fn stage(&self, id: &str, data: &'static [u8]) -> StatusCode {
        let path = format!("/images/{id}/stage");
        let sent = self.data(&self.other, "PUT", &path, &[OCTETS], Body::from(data));
        sent.await.0
    }

    async fn import(&self, id: &str, method: Value) -> crate::testing::Answer {
        let path = format!("/images/{id}/import");
        let body = json!({ "method": method });
        self.ask(&self.other, "POST", &path, body).await
    }
}

#[tokio::test]
async fn staged_data_is_imported() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    assert_eq!(world.stage(&id, b"staged").await, StatusCode::NO_CONTENT);
    let shown = world.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("uploading"), &json!(6))
    );
    let started = world.import(&id, json!({"name": "glance-direct"})).await;
    assert_eq!(started.status, StatusCode::ACCEPTED, "{:?}", started.body);
    assert_eq!(world.shown(&id).await["status"], "importing");
    let again = world.import(&id, json!({"name": "glance-direct"})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    world.cloud.run_jobs();
    let shown = world.shown(&id).await;
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("active"), &json!(6))
    );
    assert_eq!(shown["checksum"], "d9bd6a906c1874ff572d37eab305c2fc");
    let path = format!("/images/{id}/file");
    let read = world
        .data(&world.other, "GET", &path, &[], Body::empty())
        .await;
    assert_eq!(read.2, b"staged");
    let tasks = world
        .ask(
            &world.other,
            "GET",
            &format!("/images/{id}/tasks"),
            Value::Null,
        )
        .await;
    let task = &tasks.body["tasks"][0];
    assert_eq!(task["status"], "success");
    assert_eq!(task["request_id"], started.header("x-openstack-request-id"));
    assert_eq!(
        task["input"]["import_req"]["method"]["name"],
        "glance-direct"
    );
    let path = format!("/tasks/{}", task["id"].as_str().unwrap());
    let shown = world.ask(&world.admin, "GET", &path, Value::Null).await;
    assert_eq!(shown.body["status"], "success");
    let hidden = world.ask(&world.other, "GET", &path, Value::Null).await;
    assert_eq!(hidden.status, StatusCode::FORBIDDEN);
    let list = world.ask(&world.admin, "GET", "/tasks", Value::Null).await;
    assert_eq!(list.body["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_a_staged_image_removes_its_data() {
    let world = World::new().await;
    let before = world.volumes();
    let id = world.image(json!({})).await;
    world.stage(&id, b"staged").await;
    assert_eq!(world.volumes(), before + 1);
    let path = format!("/images/{id}");
    world.ask(&world.other, "DELETE", &path, Value::Null).await;
    world.cloud.run_jobs();
    assert_eq!(world.volumes(), before);
}

#[tokio::test]
async fn imports_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    for (method, status) in [
        (json!({"name": "glance-direct"}), 409),
        (json!({"name": "teleport"}), 400),
        (json!({}), 400),
        (json!({"name": "copy-image"}), 409),
    ] {
        let answer = world.import(&id, method.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{method}");
    }
    let none = world
        .ask(
            &world.other,
            "POST",
            &format!("/images/{id}/import"),
            json!({}),
        )
        .await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_is_fetched_from_anywhere() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    for uri in [
        "http://169.254.169.254/",
        "http://127.0.0.1:5000/",
        "file:///etc/shadow",
        "x",
    ] {
        let answer = world
            .import(&id, json!({"name": "web-download", "uri": uri}))
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let message = answer.body["message"].as_str().unwrap();
        let expected = format!("URI for web-download does not pass filtering: {uri}");
        assert!(message.starts_with(&expected), "{message}");
        let input = json!({
            "import_from": uri, "import_from_format": "raw", "image_properties": {},
        });
        let body = json!({"type": "import", "input": input});
        let task = world.ask(&world.admin, "POST", "/tasks", body).await;
        assert_eq!(task.status, StatusCode::BAD_REQUEST);
        let path = format!("/images/{id}/locations");
        let add = world
            .ask(&world.other, "POST", &path, json!({"url": uri}))
            .await;
        assert_eq!(add.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(world.shown(&id).await["status"], "queued");
}

#[tokio::test]
async fn the_backends_are_the_stores() {
    let world = World::of(Cloud::with_backends(&["fast", "slow"])).await;
    let listed = world
        .ask(&world.other, "GET", "/info/stores", Value::Null)
        .await;
    assert_eq!(
        listed.body,
        json!({"stores": [{"id": "fast", "default": "true"}, {"id": "slow"}]})
    );
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/file");
    for (store, status) in [("nowhere", 400), ("slow", 204)] {
        let headers = [OCTETS, ("x-image-meta-store", store)];
        let sent = world.data(&world.other, "PUT", &path, &headers, Body::from("x"));
        assert_eq!(sent.await.0.as_u16(), status);
    }
    assert_eq!(world.shown(&id).await["stores"], "slow");
    assert_eq!(world.cloud.store("slow").volumes().len(), 1);
    for (store, status) in [("nowhere", 409), ("slow", 403), ("fast", 404)] {
        let path = format!("/stores/{store}/{id}");
        let refused = world.ask(&world.admin, "DELETE", &path, Value::Null).await;
        assert_eq!(refused.status.as_u16(), status, "{store}");
    }
    let detail = world
        .ask(&world.other, "GET", "/info/stores/detail", Value::Null)
        .await;
    assert_eq!(detail.status, StatusCode::FORBIDDEN);
    let places = format!("/images/{id}/locations");
    let seen = world.ask(&world.admin, "GET", &places, Value::Null).await;
    assert_eq!(seen.body[0]["metadata"], json!({"store": "slow"}));
    let hidden = world.ask(&world.other, "GET", &places, Value::Null).await;
    assert_eq!(hidden.status, StatusCode::FORBIDDEN);
}
