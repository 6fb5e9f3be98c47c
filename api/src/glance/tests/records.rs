//! Records of images: making, changing and deleting them, and the form of refusals.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;

#[tokio::test]
async fn an_image_is_made_shown_and_deleted() {
    let world = World::new().await;
    let body = json!({
        "name": "web", "disk_format": "raw", "container_format": "bare", "min_disk": 1,
        "hw_disk_bus": "virtio", "tags": ["a"], "visibility": "private",
    });
    let made = world.ask(&world.other, "POST", "/images", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.header("location"),
        format!("http://cloud.test:8080/image/v2/images/{id}")
    );
    assert!(
        made.header("openstack-image-import-methods")
            .contains("glance-direct")
    );
    let shown = world.shown(&id).await;
    assert_eq!(shown, made.body);
    for (key, value) in [
        ("status", json!("queued")),
        ("size", Value::Null),
        ("hw_disk_bus", json!("virtio")),
        ("file", json!(format!("/v2/images/{id}/file"))),
        ("os_hidden", json!(false)),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    let path = format!("/images/{id}");
    let gone = world.ask(&world.other, "DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(gone.header("content-type"), "text/html; charset=UTF-8");
    let shown = world.ask(&world.other, "GET", &path, Value::Null).await;
    assert_eq!(
        shown.body,
        json!({
            "code": "404 Not Found", "title": "Not Found",
            "message": format!("No image found with ID {id}<br /><br />\n\n\n"),
        })
    );
}

#[tokio::test]
async fn impossible_images_are_refused() {
    let world = World::new().await;
    let taken = world.image(json!({})).await;
    let long = "x".repeat(256);
    for (body, status) in [
        (json!({"disk_format": "zz"}), 400),
        (json!({"container_format": "zz"}), 400),
        (json!({"name": long}), 400),
        (json!({"colour": 1}), 400),
        (json!({(&*long): "x"}), 400),
        (json!({"id": "../../etc/passwd"}), 400),
        (json!({"id": taken}), 409),
        (json!({"min_disk": -1}), 400),
        (json!({"status": "active"}), 403),
        (json!({"self": "x"}), 403),
        (json!({"os_glance_foo": "x"}), 403),
        (json!({"deleted": "x"}), 403),
        (json!({"owner": "somebody"}), 403),
        (json!({"visibility": "public"}), 403),
        (json!([]), 400),
        (
            json!({"tags": (0..129).map(|n| n.to_string()).collect::<Vec<_>>()}),
            413,
        ),
    ] {
        let answer = world
            .ask(&world.other, "POST", "/images", body.clone())
            .await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {:?}", answer.body);
    }
    let properties: serde_json::Map<_, _> =
        (0..129).map(|n| (format!("p{n}"), json!("x"))).collect();
    let many = world
        .ask(&world.other, "POST", "/images", json!(properties))
        .await;
    assert_eq!(many.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn refusals_name_what_does_not_fit_as_the_real_service_does() {
    let world = World::new().await;
    let body = json!({"name": "x", "disk_format": "zz"});
    let refused = world.ask(&world.admin, "POST", "/images", body).await;
    let message = refused.body["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Provided object does not match schema 'image': 'zz' is not one of [None, 'ami', \
             'ari', 'aki', 'vhd', 'vhdx', 'vmdk', 'raw', 'qcow2', 'vdi', 'iso', 'ploop']\n\n\
             Failed validating 'enum' in schema['properties']['disk_format']:\n    {'type': \
             ['null', 'string'],\n     'description': 'Format of the disk',\n     'enum': \
             [None,\n              'ami',\n"
        ),
        "{message}"
    );
    assert!(message.ends_with("On instance['disk_format']:\n    'zz'<br /><br />\n\n\n"));
}

#[tokio::test]
async fn names_ids_and_tags_are_only_data() {
    let world = World::new().await;
    let name = "../../../etc/shadow\u{0}<script>";
    let id = world
        .image(json!({"name": name, "../x": "/etc/passwd"}))
        .await;
    assert_eq!(world.shown(&id).await["name"], name);
    assert_eq!(
        world.upload(&id, b"data".to_vec()).await,
        StatusCode::NO_CONTENT
    );
    let tag = format!("/images/{id}/tags/..%2F..%2Fetc%2Fpasswd");
    let put = world.ask(&world.other, "PUT", &tag, Value::Null).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    assert_eq!(world.shown(&id).await["tags"], json!(["../../etc/passwd"]));
    for odd in [
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "null",
        &id.replace('-', ""),
    ] {
        let path = format!("/images/{odd}");
        let shown = world.ask(&world.other, "GET", &path, Value::Null).await;
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{odd}");
    }
}

#[tokio::test]
async fn others_see_nothing_of_a_private_image() {
    let world = World::new().await;
    let body = json!({"visibility": "private", "name": "secret"});
    let made = world.ask(&world.admin, "POST", "/images", body).await;
    let id = made.body["id"].as_str().unwrap();
    for (method, path) in [
        ("GET", format!("/images/{id}")),
        ("DELETE", format!("/images/{id}")),
        ("GET", format!("/images/{id}/file")),
        ("POST", format!("/images/{id}/actions/deactivate")),
        ("PUT", format!("/images/{id}/tags/x")),
        ("GET", format!("/images/{id}/members")),
    ] {
        let answer = world.ask(&world.other, method, &path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    let change = json!([{"op": "replace", "path": "/name", "value": "x"}]);
    assert_eq!(
        world.patch(&world.other, id, change).await.0,
        StatusCode::NOT_FOUND
    );
    let list = world.ask(&world.other, "GET", "/images", Value::Null).await;
    assert_eq!(list.body["images"], json!([]));
}

#[tokio::test]
async fn images_that_are_seen_are_changed_by_their_owner_alone() {
    let world = World::new().await;
    let body = json!({"visibility": "public", "name": "base"});
    let made = world.ask(&world.admin, "POST", "/images", body).await;
    let id = made.body["id"].as_str().unwrap();
    let delete = world
        .ask(
            &world.other,
            "DELETE",
            &format!("/images/{id}"),
            Value::Null,
        )
        .await;
    assert_eq!(delete.status, StatusCode::FORBIDDEN);
    assert!(
        delete.body["message"]
            .as_str()
            .unwrap()
            .contains("delete_image")
    );
    let change = json!([{"op": "replace", "path": "/name", "value": "x"}]);
    assert_eq!(
        world.patch(&world.other, id, change).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn patches_add_replace_and_remove() {
    let world = World::new().await;
    let id = world.image(json!({"colour": "red"})).await;
    world.cloud.advance_s(5);
    let changes = json!([
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/size~1of", "value": "9"},
        {"op": "remove", "path": "/colour"},
        {"op": "replace", "path": "/tags", "value": ["x", "y"]},
        {"op": "replace", "path": "/protected", "value": true},
    ]);
    let (status, shown) = world.patch(&world.other, &id, changes).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert_eq!(shown["name"], "new");
    assert_eq!(shown["size/of"], "9");
    assert_eq!(shown.get("colour"), None);
    assert_eq!(shown["tags"], json!(["x", "y"]));
    assert_ne!(shown["updated_at"], shown["created_at"]);
    let path = format!("/images/{id}");
    let refused = world.ask(&world.other, "DELETE", &path, Value::Null).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body["message"]
            .as_str()
            .unwrap()
            .contains("is protected")
    );
}

#[tokio::test]
async fn a_patch_with_one_bad_change_changes_nothing() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    for (change, status) in [
        (json!({"op": "replace", "path": "/nope", "value": "x"}), 409),
        (json!({"op": "remove", "path": "/nope"}), 409),
        (json!({"op": "remove", "path": "/name"}), 403),
        (
            json!({"op": "replace", "path": "/status", "value": "active"}),
            403,
        ),
        (
            json!({"op": "add", "path": "/os_glance_x", "value": "x"}),
            403,
        ),
        (
            json!({"op": "replace", "path": "/owner", "value": "x"}),
            403,
        ),
        (json!({"op": "add", "path": "/owner", "value": "x"}), 403),
        (
            json!({"op": "replace", "path": "/visibility", "value": "public"}),
            403,
        ),
        (
            json!({"op": "replace", "path": "/disk_format", "value": "zz"}),
            400,
        ),
        (
            json!({"op": "replace", "path": "/min_disk", "value": -1}),
            400,
        ),
        (
            json!({"op": "replace", "path": "/locations", "value": []}),
            403,
        ),
        (
            json!({"op": "add", "path": "/locations/-", "value": {}}),
            403,
        ),
        (json!({"op": "add", "path": "/a/b", "value": "x"}), 400),
        (json!({"op": "move", "path": "/a"}), 400),
        (json!({"op": "add", "path": "a", "value": "x"}), 400),
        (json!({"op": "add", "path": "/a"}), 400),
        (json!("x"), 400),
    ] {
        let good = json!({"op": "replace", "path": "/name", "value": "changed"});
        let changes = json!([good, change]);
        let (found, body) = world.patch(&world.other, &id, changes).await;
        assert_eq!(found.as_u16(), status, "{change}: {body}");
    }
    assert_eq!(world.shown(&id).await["name"], "i");
}

#[tokio::test]
async fn the_older_form_of_patches_does_not_replace_what_it_adds() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let older = "application/openstack-images-v2.0-json-patch";
    let add = json!([{"add": "/colour", "value": "red"}]);
    let made = world.patch_as(&world.other, &id, add.clone(), older).await;
    assert_eq!((made.0, &made.2["colour"]), (StatusCode::OK, &json!("red")));
    let again = world.patch_as(&world.other, &id, add, older).await;
    assert_eq!(again.0, StatusCode::CONFLICT);
    let other = world
        .patch_as(&world.other, &id, json!([]), "application/json")
        .await;
    assert_eq!(other.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(other.1.contains_key("accept-patch"));
    assert_eq!(
        other.2["message"],
        "The request media type application/json is not supported by this server.\n<br /><br \
         />\nImage PATCH expects Content-Type one of: \
         application/openstack-images-v2.0-json-patch, \
         application/openstack-images-v2.1-json-patch"
    );
}

#[tokio::test]
async fn the_owner_is_for_administrators_to_choose() {
    let world = World::new().await;
    let body = json!({"name": "x", "owner": "somebody"});
    let made = world.ask(&world.admin, "POST", "/images", body).await;
    assert_eq!(made.body["owner"], "somebody");
    let id = made.body["id"].as_str().unwrap();
    let change = json!([{"op": "replace", "path": "/owner", "value": "else"}]);
    let (status, shown) = world.patch(&world.admin, id, change).await;
    assert_eq!((status, &shown["owner"]), (StatusCode::OK, &json!("else")));
}

#[tokio::test]
async fn tags_come_and_go() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/tags/b");
    for (method, status) in [("PUT", 204), ("PUT", 204), ("DELETE", 204), ("DELETE", 404)] {
        let answer = world.ask(&world.other, method, &path, Value::Null).await;
        assert_eq!(answer.status.as_u16(), status, "{method}");
    }
    let long = format!("/images/{id}/tags/{}", "x".repeat(256));
    let answer = world.ask(&world.other, "PUT", &long, Value::Null).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let missing = format!("/images/{}/tags/b", Uuid::nil());
    let answer = world.ask(&world.other, "PUT", &missing, Value::Null).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn faults_come_in_the_form_asked_for() {
    let world = World::new().await;
    let path = format!("/image/v2/images/{}", Uuid::nil());
    for (accept, kind, start) in [
        (
            "text/html",
            "text/html; charset=UTF-8",
            "<html>\n <head>\n  <title>404 Not Found",
        ),
        ("application/json", "application/json", "{"),
        (
            "image/png",
            "text/plain; charset=UTF-8",
            "404 Not Found\n\nNo image found",
        ),
    ] {
        let headers = [("X-Auth-Token", world.admin.as_str()), ("Accept", accept)];
        let body = axum::body::Body::empty();
        let (_, headers, bytes) = world.cloud.send_bytes("GET", &path, &headers, body).await;
        assert_eq!(headers["content-type"], kind);
        assert!(
            String::from_utf8(bytes).unwrap().starts_with(start),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token() {
    let world = World::new().await;
    let headers = [("Accept", "application/json")];
    let refused = world
        .cloud
        .send("GET", "/image/v2/images", &headers, Value::Null)
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.body["code"], "401 Unauthorized");
    assert_eq!(
        refused.header("www-authenticate"),
        "Keystone uri=\"http://cloud.test:8080/identity\""
    );
}

#[tokio::test]
async fn versions_are_told_and_all_minor_ones_are_served() {
    let world = World::new().await;
    for (path, status) in [("/image/", 300), ("/image/versions", 200)] {
        let told = world.cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(told.status.as_u16(), status);
        let versions = told.body["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 16);
        assert_eq!(
            versions[0]["links"][0]["href"],
            "http://cloud.test:8080/image/v2/"
        );
    }
    let headers = [("X-Auth-Token", world.admin.as_str())];
    for (path, status) in [("/image/v2.9/images", 200), ("/image/v9.9/images", 300)] {
        let body = axum::body::Body::empty();
        let answer = world.cloud.send_bytes("HEAD", path, &headers, body).await;
        assert_eq!(answer.0.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_told() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}");
    let wrong = world.ask(&world.other, "POST", &path, Value::Null).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(wrong.header("allow").contains("PATCH"));
    let none = world
        .ask(&world.other, "GET", "/nothing", Value::Null)
        .await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn schemas_are_shown() {
    let world = World::new().await;
    for name in ["image", "images", "member", "members", "task", "tasks"] {
        let path = format!("/schemas/{name}");
        let shown = world.ask(&world.other, "GET", &path, Value::Null).await;
        assert_eq!(shown.body["name"], name);
    }
    for name in [
        "namespace",
        "namespaces",
        "property",
        "object",
        "tag",
        "tags",
    ] {
        let path = format!("/schemas/metadefs/{name}");
        let shown = world.ask(&world.other, "GET", &path, Value::Null).await;
        assert_eq!(shown.body["name"], name);
    }
    let none = world
        .ask(&world.other, "GET", "/schemas/x", Value::Null)
        .await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}
