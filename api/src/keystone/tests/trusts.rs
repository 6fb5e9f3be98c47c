//! Trusts: who can do what with what was lent, and until when.

use http::StatusCode;
use serde_json::{Value, json};

use super::delegations::World;
use super::{TOKENS, assert_401, demo_user, expect, first_id, grant_path, role_names};
use crate::testing::Answer;

impl World {
    async fn trust(&self, trustee: &str, more: Value, status: u16) -> Value {
        let project = first_id(&self.cloud, &self.admin, "projects", "demo").await;
        let mut trust = json!({
            "trustor_user_id": self.user,
            "trustee_user_id": trustee,
            "project_id": project,
            "impersonation": false,
            "roles": [{"name": "reader"}],
        });
        for (key, value) in more.as_object().unwrap() {
            trust[key] = value.clone();
        }
        let path = ("POST", "/OS-TRUST/trusts");
        let made = expect(
            &self.cloud,
            &self.token,
            path,
            json!({ "trust": trust }),
            status,
        )
        .await;
        made["trust"].clone()
    }

    async fn borrow_by(&self, user: &str, trust: &Value) -> Answer {
        let scope = json!({"OS-TRUST:trust": {"id": trust["id"]}});
        self.cloud.login(user, "pw", scope).await
    }
}

#[tokio::test]
async fn a_trust_lends_roles_to_one_user() {
    let world = World::new().await;
    let body = json!({"user": {"name": "tom", "password": "pw"}});
    let tom = expect(&world.cloud, &world.admin, ("POST", "/users"), body, 201).await;
    let tom = tom["user"]["id"].as_str().unwrap().to_owned();
    demo_user(&world.cloud, &world.admin, "eve", "member").await;
    world
        .trust(&tom, json!({"roles": [{"name": "admin"}]}), 404)
        .await;
    world.trust(&tom, json!({"roles": []}), 403).await;
    world
        .trust(&tom, json!({"trustor_user_id": tom}), 403)
        .await;
    world.trust("nobody", json!({}), 404).await;
    world
        .trust(&tom, json!({"expires_at": "bad.123Z"}), 400)
        .await;

    let trust = world.trust(&tom, json!({"remaining_uses": 2}), 201).await;
    let login = world.borrow_by("tom", &trust).await;
    assert_eq!(role_names(&login), ["reader"]);
    let body = &login.body["token"];
    assert_eq!(body["user"]["name"], "tom");
    assert_eq!(body["OS-TRUST:trust"]["id"], trust["id"]);
    let token = login.header("x-subject-token");
    assert_eq!(world.status(token, "GET", "/volume/v3/volumes").await, 200);
    let identity = json!({"methods": ["token"], "token": {"id": token}});
    let exchange = json!({"auth": {"identity": identity}});
    let refused = world.cloud.send("POST", TOKENS, &[], exchange).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(
        world.borrow_by("eve", &trust).await.status,
        StatusCode::FORBIDDEN
    );

    let path = format!("/OS-TRUST/trusts/{}", trust["id"].as_str().unwrap());
    let shown = expect(&world.cloud, &world.token, ("GET", &path), Value::Null, 200).await;
    assert_eq!(shown["trust"]["remaining_uses"], json!(1));
    assert_eq!(shown["trust"]["roles"][0]["name"], "reader");
    let eve = world.cloud.token("eve", "pw", "demo").await;
    expect(&world.cloud, &eve, ("GET", &path), Value::Null, 403).await;
    expect(&world.cloud, &eve, ("DELETE", &path), Value::Null, 403).await;
    expect(
        &world.cloud,
        &eve,
        ("GET", "/OS-TRUST/trusts"),
        Value::Null,
        403,
    )
    .await;
    let roles = format!("{path}/roles");
    let listed = expect(
        &world.cloud,
        &world.token,
        ("GET", &roles),
        Value::Null,
        200,
    )
    .await;
    let role = format!("{roles}/{}", listed["roles"][0]["id"].as_str().unwrap());
    expect(
        &world.cloud,
        &world.token,
        ("HEAD", &role),
        Value::Null,
        200,
    )
    .await;
    let role = format!("{roles}/none");
    expect(&world.cloud, &world.token, ("GET", &role), Value::Null, 404).await;
    // With a slash, as some clients have it.
    let mine = format!("/OS-TRUST/trusts/?trustor_user_id={}", world.user);
    let listed = expect(&world.cloud, &world.token, ("GET", &mine), Value::Null, 200).await;
    assert_eq!(listed["trusts"].as_array().unwrap().len(), 1);

    world.borrow_by("tom", &trust).await;
    assert_401(&world.borrow_by("tom", &trust).await);
    expect(&world.cloud, &world.token, ("GET", &path), Value::Null, 404).await;
}

#[tokio::test]
async fn a_trust_ends_with_what_it_lends() {
    let world = World::new().await;
    let tom = demo_user(&world.cloud, &world.admin, "tom", "reader").await;
    let trust = world.trust(&tom, json!({"impersonation": true}), 201).await;
    let login = world.borrow_by("tom", &trust).await;
    assert_eq!(login.body["token"]["user"]["name"], "mia");
    let token = login.header("x-subject-token");
    let open = "/volume/v3/volumes";
    assert_eq!(world.status(token, "GET", open).await, 200);
    let grant = grant_path(&world.cloud, &world.admin, &world.user, "member").await;
    assert_eq!(world.status(&world.admin, "DELETE", &grant).await, 204);
    assert_eq!(world.status(token, "GET", open).await, 401);
    assert_401(&world.borrow_by("tom", &trust).await);
    assert_eq!(world.status(&world.admin, "PUT", &grant).await, 204);
    assert_eq!(world.status(token, "GET", open).await, 200);

    // A new password of who lends ends what was lent.
    let path = format!("/users/{}", world.user);
    let change = json!({"user": {"password": "new"}});
    expect(&world.cloud, &world.admin, ("PATCH", &path), change, 200).await;
    assert_eq!(world.status(token, "GET", open).await, 401);
    let login = world.borrow_by("tom", &trust).await;
    let token = login.header("x-subject-token");
    expect(
        &world.cloud,
        &world.admin,
        ("DELETE", &path),
        Value::Null,
        204,
    )
    .await;
    assert_eq!(world.status(token, "GET", open).await, 401);
    assert_401(&world.borrow_by("tom", &trust).await);
}

#[tokio::test]
async fn a_trust_is_handed_on_only_within_its_bounds() {
    let world = World::new().await;
    let tom = demo_user(&world.cloud, &world.admin, "tom", "reader").await;
    let eve = demo_user(&world.cloud, &world.admin, "eve", "reader").await;
    let wide = json!({"impersonation": false, "allow_redelegation": true, "redelegation_count": 1});
    let trust = world.trust(&tom, wide, 201).await;
    assert_eq!(trust["redelegation_count"], json!(1));
    let token = world.borrow_by("tom", &trust).await;
    let token = token.header("x-subject-token").to_owned();
    let hand_on = |roles: &str, impersonation: bool| {
        json!({"trust": {
            "trustor_user_id": tom,
            "trustee_user_id": eve,
            "project_id": trust["project_id"],
            "impersonation": impersonation,
            "roles": [{"name": roles}],
        }})
    };
    let path = ("POST", "/OS-TRUST/trusts");
    expect(&world.cloud, &token, path, hand_on("member", false), 403).await;
    expect(&world.cloud, &token, path, hand_on("reader", true), 403).await;
    let next = expect(&world.cloud, &token, path, hand_on("reader", false), 201).await;
    let next = &next["trust"];
    assert_eq!(next["redelegated_trust_id"], trust["id"]);
    assert_eq!(role_names(&world.borrow_by("eve", next).await), ["reader"]);
    // It ends with the one it was handed on from.
    let first = format!("/OS-TRUST/trusts/{}", trust["id"].as_str().unwrap());
    expect(
        &world.cloud,
        &world.token,
        ("DELETE", &first),
        Value::Null,
        204,
    )
    .await;
    assert_401(&world.borrow_by("eve", next).await);
}
