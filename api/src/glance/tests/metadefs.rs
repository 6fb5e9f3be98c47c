//! Metadata definitions.

use http::StatusCode;
use serde_json::{Value, json};

use super::World;

impl World {
    async fn namespace(&self, name: &str, more: Value) -> Value {
        let mut body = json!({"namespace": name, "visibility": "public"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap_or_default());
        let made = self
            .ask(&self.admin, "POST", "/metadefs/namespaces", body)
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        made.body
    }
}

#[tokio::test]
async fn a_namespace_lives_from_making_to_deleting() {
    let world = World::new().await;
    let made = world
        .namespace("one", json!({"description": "first"}))
        .await;
    assert_eq!(made["self"], "/v2/metadefs/namespaces/one");
    let path = "/metadefs/namespaces/one";
    let shown = world.ask(&world.other, "GET", path, Value::Null).await;
    assert_eq!(shown.body, made);
    let again = json!({"namespace": "one"});
    let twice = world
        .ask(&world.admin, "POST", "/metadefs/namespaces", again)
        .await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    let body = json!({"namespace": "two", "protected": true, "visibility": "public"});
    let changed = world.ask(&world.admin, "PUT", path, body).await;
    assert_eq!(changed.body["namespace"], "two");
    let path = "/metadefs/namespaces/two";
    let kept = world.ask(&world.admin, "DELETE", path, Value::Null).await;
    assert_eq!(kept.status, StatusCode::FORBIDDEN);
    let body = json!({"namespace": "two", "protected": false});
    world.ask(&world.admin, "PUT", path, body).await;
    let hidden = world.ask(&world.other, "GET", path, Value::Null).await;
    assert_eq!(
        hidden.status,
        StatusCode::NOT_FOUND,
        "private since it was changed"
    );
    let gone = world.ask(&world.admin, "DELETE", path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let none = world.ask(&world.admin, "GET", path, Value::Null).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn things_in_a_namespace_come_change_and_go() {
    let world = World::new().await;
    world.namespace("ns", json!({})).await;
    for (kind, body, changed) in [
        (
            "objects",
            json!({"name": "a", "description": "x"}),
            json!({"name": "b"}),
        ),
        (
            "properties",
            json!({"name": "a", "title": "A", "type": "string"}),
            json!({"name": "b", "title": "B", "type": "integer"}),
        ),
    ] {
        let all = format!("/metadefs/namespaces/ns/{kind}");
        let made = world.ask(&world.admin, "POST", &all, body.clone()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let twice = world.ask(&world.admin, "POST", &all, body).await;
        assert_eq!(twice.status, StatusCode::CONFLICT);
        let one = format!("{all}/a");
        let shown = world.ask(&world.other, "GET", &one, Value::Null).await;
        assert_eq!(shown.body["name"], "a");
        let denied = world.ask(&world.other, "DELETE", &one, Value::Null).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        let updated = world.ask(&world.admin, "PUT", &one, changed).await;
        assert_eq!(updated.body["name"], "b", "{:?}", updated.body);
        let gone = world.ask(&world.admin, "DELETE", &one, Value::Null).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        let list = world.ask(&world.other, "GET", &all, Value::Null).await;
        assert!(list.body.to_string().contains("\"b\""), "{:?}", list.body);
        let clear = world.ask(&world.admin, "DELETE", &all, Value::Null).await;
        assert_eq!(clear.status, StatusCode::NO_CONTENT);
        let list = world.ask(&world.other, "GET", &all, Value::Null).await;
        assert!(!list.body.to_string().contains("\"b\""), "{:?}", list.body);
    }
}

#[tokio::test]
async fn tags_are_replaced_or_added_to() {
    let world = World::new().await;
    world.namespace("ns", json!({})).await;
    let path = "/metadefs/namespaces/ns/tags";
    let names = async || {
        let list = world.ask(&world.other, "GET", path, Value::Null).await;
        let tags = list.body["tags"].as_array().unwrap();
        tags.iter()
            .map(|tag| tag["name"].clone())
            .collect::<Vec<_>>()
    };
    let body = json!({"tags": [{"name": "a"}, {"name": "b"}]});
    let made = world.ask(&world.admin, "POST", path, body.clone()).await;
    assert_eq!((made.status, &made.body), (StatusCode::CREATED, &body));
    let one = world
        .ask(&world.admin, "POST", &format!("{path}/c"), Value::Null)
        .await;
    assert_eq!(one.status, StatusCode::CREATED);
    assert_eq!(json!(names().await), json!(["c", "b", "a"]));
    let twice = json!({"tags": [{"name": "x"}, {"name": "x"}]});
    let refused = world.ask(&world.admin, "POST", path, twice).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let body = json!({"tags": [{"name": "d"}]});
    world.ask(&world.admin, "POST", path, body).await;
    assert_eq!(json!(names().await), json!(["d"]));
    let page = world
        .ask(&world.other, "GET", &format!("{path}?limit=0"), Value::Null)
        .await;
    assert_eq!(page.body["tags"], json!([]));
}

#[tokio::test]
async fn types_of_resources_give_prefixes() {
    let world = World::new().await;
    let property = json!({"cpu": {"title": "C", "type": "string"}});
    let types = json!([{"name": "OS::Nova::Server", "prefix": "hw_"}]);
    world
        .namespace(
            "ns",
            json!({"properties": property, "resource_type_associations": types}),
        )
        .await;
    let path = "/metadefs/namespaces/ns?resource_type=OS::Nova::Server";
    let shown = world.ask(&world.other, "GET", path, Value::Null).await;
    assert_eq!(shown.body["properties"]["hw_cpu"]["title"], "C");
    let all = world
        .ask(&world.other, "GET", "/metadefs/resource_types", Value::Null)
        .await;
    assert_eq!(all.body["resource_types"][0]["name"], "OS::Nova::Server");
    let found = "/metadefs/namespaces?resource_types=OS::Nova::Server,x";
    let list = world.ask(&world.other, "GET", found, Value::Null).await;
    assert_eq!(list.body["namespaces"][0]["namespace"], "ns");
    let none = "/metadefs/namespaces?resource_types=x";
    let list = world.ask(&world.other, "GET", none, Value::Null).await;
    assert_eq!(list.body["namespaces"], json!([]));
    let one = "/metadefs/namespaces/ns/resource_types/OS::Nova::Server";
    let gone = world.ask(&world.admin, "DELETE", one, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn odd_definitions_are_refused() {
    let world = World::new().await;
    world.namespace("ns", json!({})).await;
    for (path, body, status) in [
        ("", json!({}), 400),
        ("", json!({"namespace": "x".repeat(81)}), 400),
        ("", json!({"namespace": "x", "self": "y"}), 403),
        ("", json!({"namespace": "x", "visibility": "all"}), 400),
        ("", json!([]), 400),
        ("/ns/objects", json!({"name": 1}), 400),
        ("/ns/properties", json!({"name": "x"}), 400),
        (
            "/ns/properties",
            json!({"name": "x", "title": "x", "type": "odd"}),
            400,
        ),
        ("/ns/tags", json!({"tags": [{}]}), 400),
        ("/none/objects", json!({"name": "x"}), 404),
    ] {
        let path = format!("/metadefs/namespaces{path}");
        let answer = world.ask(&world.admin, "POST", &path, body.clone()).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{path} {body}: {:?}",
            answer.body
        );
    }
    let body = json!({"namespace": "mine"});
    let denied = world
        .ask(&world.other, "POST", "/metadefs/namespaces", body)
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(
        denied.body["message"]
            .as_str()
            .unwrap()
            .contains("add_metadef_namespace")
    );
}
