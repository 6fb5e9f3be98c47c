//! The list of images.

use http::StatusCode;
use serde_json::{Value, json};

use super::World;

impl World {
    async fn names(&self, token: &str, query: &str) -> Vec<String> {
        let path = format!("/images{query}");
        let list = self.ask(token, "GET", &path, Value::Null).await;
        assert_eq!(list.status, StatusCode::OK, "{query}: {:?}", list.body);
        let images = list.body["images"].as_array().unwrap();
        let name = |image: &Value| image["name"].as_str().unwrap().to_owned();
        images.iter().map(name).collect()
    }
}

#[tokio::test]
async fn pages_put_together_are_the_list() {
    let world = World::new().await;
    for name in ["c", "a", "d", "b", "e"] {
        world.image(json!({"name": name})).await;
        world.cloud.advance_s(1);
    }
    assert_eq!(
        world.names(&world.other, "").await,
        ["e", "b", "d", "a", "c"]
    );
    for (sort, expected) in [
        ("sort=name:asc", ["a", "b", "c", "d", "e"]),
        ("sort_key=name&sort_dir=desc", ["e", "d", "c", "b", "a"]),
        ("sort=status:asc,name:desc", ["e", "d", "c", "b", "a"]),
        (
            "sort_key=created_at&sort_dir=asc",
            ["c", "a", "d", "b", "e"],
        ),
    ] {
        let mut seen = Vec::new();
        let mut path = format!("/images?limit=2&{sort}");
        loop {
            let list = world.ask(&world.other, "GET", &path, Value::Null).await;
            let images = list.body["images"].as_array().unwrap();
            seen.extend(images.iter().map(|image| image["name"].clone()));
            let Some(next) = list.body["next"].as_str() else {
                break;
            };
            path = next.strip_prefix("/v2").unwrap().to_owned();
        }
        assert_eq!(json!(seen), json!(expected), "{sort}");
    }
    let first = world
        .ask(&world.other, "GET", "/images?limit=2&marker=", Value::Null)
        .await;
    assert_eq!(first.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn filters_choose() {
    let world = World::new().await;
    let small = world.image(json!({"name": "small", "tags": ["x"]})).await;
    let large = world
        .image(json!({"name": "large", "tags": ["x", "y"], "os": "bsd"}))
        .await;
    world
        .image(json!({"name": "hidden", "os_hidden": true}))
        .await;
    world.upload(&small, vec![1; 10]).await;
    world.upload(&large, vec![1; 100]).await;
    for (query, expected) in [
        ("?sort=name", vec!["small", "large"]),
        ("?size_min=50", vec!["large"]),
        ("?size_max=50", vec!["small"]),
        ("?tag=x&tag=y", vec!["large"]),
        ("?os=bsd", vec!["large"]),
        ("?name=in:small,nothing", vec!["small"]),
        ("?os_hidden=true", vec!["hidden"]),
        ("?status=active&name=small", vec!["small"]),
        (
            "?created_at=gt:2000-01-01T00:00:00Z&name=small",
            vec!["small"],
        ),
        ("?created_at=lt:2000-01-01T00:00:00Z", vec![]),
        ("?visibility=private", vec![]),
        ("?limit=0", vec![]),
    ] {
        assert_eq!(world.names(&world.other, query).await, expected, "{query}");
    }
    for bad in [
        "?limit=-1",
        "?limit=x",
        "?sort=colour",
        "?sort=name:up",
        "?sort=name&sort_key=name",
        "?sort_key=name&sort_dir=asc&sort_dir=desc",
        "?visibility=mine",
        "?member_status=maybe",
        "?marker=00000000-0000-0000-0000-000000000000",
        "?size_min=x",
        "?changes-since=2000-01-01",
        "?name=like:x",
    ] {
        let path = format!("/images{bad}");
        let answer = world.ask(&world.other, "GET", &path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn a_community_offers_only_what_is_asked_for() {
    let world = World::new().await;
    for visibility in ["public", "community", "private", "shared"] {
        let body = json!({"name": visibility, "visibility": visibility});
        world.ask(&world.admin, "POST", "/images", body).await;
    }
    let names = world.names(&world.other, "").await;
    assert_eq!(names, ["public"]);
    let names = world.names(&world.other, "?visibility=community").await;
    assert_eq!(names, ["community"]);
    let mut names = world.names(&world.other, "?visibility=all").await;
    names.sort();
    assert_eq!(names, ["community", "public"]);
    assert_eq!(world.names(&world.admin, "").await.len(), 4);
}
