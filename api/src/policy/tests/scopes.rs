//! Tokens for the system and for domains, and rules of a file, through the router.

use http::StatusCode;
use serde_json::{Value, json};

use super::world::World;
use crate::policy::Rules;
use crate::testing::PASSWORD;

impl World {
    async fn get(&self, token: &str, path: &str) -> StatusCode {
        self.volume(token, "GET", path, Value::Null).await.status
    }

    async fn login(&self, user: &str, scope: Value) -> String {
        let answer = self.cloud.login(user, PASSWORD, scope).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.header("x-subject-token").to_owned()
    }
}

#[tokio::test]
async fn system_admins_see_everything_and_own_nothing() {
    let world = World::new(Rules::default()).await;
    let volume = world.new_volume().await;
    world.granted("root", "admin", "system").await;
    let root = world.login("root", json!({"system": {"all": true}})).await;
    assert_eq!(world.get(&root, "/os-services").await, StatusCode::OK);
    assert_eq!(
        world.get(&root, &format!("/volumes/{volume}")).await,
        StatusCode::OK
    );
    let list = world
        .volume(&root, "GET", "/volumes?all_tenants=1", Value::Null)
        .await;
    assert_eq!(list.body["volumes"][0]["id"], json!(volume));
    let body = json!({"volume": {"size": 1}});
    let new = world.volume(&root, "POST", "/volumes", body).await;
    assert_eq!(new.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn system_readers_and_domain_admins_are_no_admins() {
    let world = World::new(Rules::default()).await;
    let volume = world.new_volume().await;
    world.granted("auditor", "reader", "system").await;
    let auditor = world
        .login("auditor", json!({"system": {"all": true}}))
        .await;
    world.granted("head", "admin", "domains/default").await;
    let head = world
        .login("head", json!({"domain": {"id": "default"}}))
        .await;
    for token in [&auditor, &head] {
        assert_eq!(
            world.get(token, "/os-services").await,
            StatusCode::FORBIDDEN
        );
        assert_eq!(world.get(token, "/volumes").await, StatusCode::FORBIDDEN);
        let path = format!("/volumes/{volume}");
        assert_eq!(world.get(token, &path).await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_file_reaches_calls_and_what_they_show() {
    let rules = Rules::parse(
        "volume:delete: '!'\n\
         volume:update: rule:xena_system_admin_or_project_reader\n\
         volume_extension:services:index: role:member\n\
         volume_extension:volume_host_attribute: role:reader\n\
         volume_extension:volume_tenant_attribute: '!'\n\
         volume_extension:extended_snapshot_attributes: '!'\n",
    );
    let world = World::new(rules.unwrap()).await;
    let volume = world.new_volume().await;
    let path = format!("/volumes/{volume}");
    let delete = world
        .volume(&world.admin, "DELETE", &path, Value::Null)
        .await;
    assert_eq!(delete.status, StatusCode::FORBIDDEN);
    assert_eq!(
        delete.body["forbidden"]["message"],
        "Policy doesn't allow volume:delete to be performed."
    );
    let body = json!({"volume": {"name": "new"}});
    let update = world.volume(&world.reader, "PUT", &path, body).await;
    assert_eq!(update.status, StatusCode::OK);
    assert_eq!(
        world.get(&world.other, "/os-services").await,
        StatusCode::OK
    );
    assert_eq!(
        world.get(&world.reader, "/os-services").await,
        StatusCode::FORBIDDEN
    );
    let shown = world.volume(&world.reader, "GET", &path, Value::Null).await;
    let shown = &shown.body["volume"];
    assert_eq!(shown["os-vol-host-attr:host"], "cinderblock@pool#pool");
    assert_eq!(shown.get("os-vol-tenant-attr:tenant_id"), None);
    let body = json!({"snapshot": {"volume_id": volume}});
    let snapshot = world.make(&world.member, "/snapshots", body).await;
    let path = format!("/snapshots/{snapshot}");
    let shown = world.volume(&world.admin, "GET", &path, Value::Null).await;
    let progress = shown.body["snapshot"].get("os-extended-snapshot-attributes:progress");
    assert_eq!(progress, None);
}

#[tokio::test]
async fn a_file_shows_nobody_the_volumes_of_all_projects() {
    let world = World::new(Rules::parse("volume:get_all: '@'").unwrap()).await;
    world.new_volume().await;
    world.granted("auditor", "reader", "system").await;
    let auditor = world
        .login("auditor", json!({"system": {"all": true}}))
        .await;
    for path in ["/volumes", "/volumes/detail", "/volumes/summary"] {
        assert_eq!(world.get(&auditor, path).await, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_file_that_says_who_is_admin_leaves_identity_alone() {
    let world =
        World::new(Rules::parse("context_is_admin: role:member and not role:admin").unwrap());
    let world = world.await;
    let volume = world.new_volume().await;
    let path = format!("/volumes/{volume}");
    assert_eq!(world.get(&world.other, &path).await, StatusCode::OK);
    assert_eq!(world.get(&world.admin, &path).await, StatusCode::NOT_FOUND);
    let users = |token: String| {
        let cloud = &world.cloud;
        async move {
            cloud
                .call(&token, "GET", "/identity/v3/users", Value::Null)
                .await
                .status
        }
    };
    assert_eq!(users(world.admin.clone()).await, StatusCode::OK);
    assert_eq!(users(world.other.clone()).await, StatusCode::FORBIDDEN);
}
