//! Application credentials with access rules: what can be done with what was handed over, and what
//! cannot.

use http::StatusCode;
use serde_json::{Value, json};

use super::{TOKENS, assert_401, demo_user, expect, grant_path, role_names};
use crate::testing::{Answer, Cloud};

/// A member of demo with a token.
pub(super) struct World {
    pub(super) cloud: Cloud,
    pub(super) admin: String,
    pub(super) user: String,
    pub(super) token: String,
}

impl World {
    pub(super) async fn new() -> Self {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        let user = demo_user(&cloud, &admin, "mia", "member").await;
        let token = cloud.token("mia", "pw", "demo").await;
        Self {
            cloud,
            admin,
            user,
            token,
        }
    }

    fn all(&self) -> String {
        format!("/users/{}/application_credentials", self.user)
    }

    /// A new credential, as it is answered.
    async fn credential(&self, object: Value) -> Value {
        let body = json!({ "application_credential": object });
        let made = expect(&self.cloud, &self.token, ("POST", &self.all()), body, 201).await;
        made["application_credential"].clone()
    }

    async fn login(&self, credential: &Value) -> Answer {
        let own = json!({"id": credential["id"], "secret": credential["secret"]});
        self.login_by(own, Value::Null).await
    }

    async fn login_by(&self, credential: Value, scope: Value) -> Answer {
        let methods = json!(["application_credential"]);
        let identity = json!({"methods": methods, "application_credential": credential});
        let mut auth = json!({ "identity": identity });
        if !scope.is_null() {
            auth["scope"] = scope;
        }
        self.cloud
            .send("POST", TOKENS, &[], json!({ "auth": auth }))
            .await
    }

    pub(super) async fn status(&self, token: &str, method: &str, path: &str) -> StatusCode {
        self.cloud
            .call(token, method, path, Value::Null)
            .await
            .status
    }
}

#[tokio::test]
async fn a_credential_is_for_its_project_and_its_roles() {
    let world = World::new().await;
    let made = world
        .credential(json!({"name": "backup", "roles": [{"name": "reader"}]}))
        .await;
    let twice = json!({"application_credential": {"name": "backup"}});
    let all = world.all();
    expect(&world.cloud, &world.token, ("POST", &all), twice, 409).await;
    let path = format!("{all}/{}", made["id"].as_str().unwrap());
    let shown = expect(&world.cloud, &world.token, ("GET", &path), Value::Null, 200).await;
    assert!(shown["application_credential"].get("secret").is_none());
    let list = format!("{all}?name=backup");
    let listed = expect(&world.cloud, &world.token, ("GET", &list), Value::Null, 200).await;
    let listed = &listed["application_credentials"];
    assert_eq!(listed, &json!([shown["application_credential"]]));

    let login = world.login(&made).await;
    assert_eq!(role_names(&login), ["reader"]);
    let body = &login.body["token"];
    assert_eq!(body["methods"], json!(["application_credential"]));
    assert_eq!(body["application_credential"]["restricted"], json!(true));
    assert_eq!(body["project"]["name"], "demo");
    let by_name = |user: Value| json!({"name": "backup", "user": user, "secret": made["secret"]});
    let named = json!({"name": "mia", "domain": {"name": "Default"}});
    for user in [json!({"id": world.user}), named] {
        let login = world.login_by(by_name(user), Value::Null).await;
        assert_eq!(login.status, StatusCode::CREATED, "{}", login.body);
    }
    assert_401(
        &world
            .login_by(by_name(json!({"id": "nobody"})), Value::Null)
            .await,
    );
    let wrong = json!({"id": made["id"], "secret": "wrong"});
    assert_401(&world.login_by(wrong, Value::Null).await);
    let own = json!({"id": made["id"], "secret": made["secret"]});
    let scope = json!({"project": {"name": "demo", "domain": {"id": "default"}}});
    assert_401(&world.login_by(own, scope).await);

    // What was handed over is not turned into something else.
    let token = login.header("x-subject-token");
    for scope in [
        json!("unscoped"),
        json!({"project": {"name": "demo", "domain": {"id": "default"}}}),
    ] {
        let identity = json!({"methods": ["token"], "token": {"id": token}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        let refused = world.cloud.send("POST", TOKENS, &[], body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
    let another = json!({"application_credential": {"name": "another"}});
    expect(&world.cloud, token, ("POST", &all), another.clone(), 403).await;
    expect(&world.cloud, token, ("DELETE", &path), Value::Null, 403).await;
    expect(
        &world.cloud,
        token,
        ("GET", "/OS-TRUST/trusts"),
        Value::Null,
        403,
    )
    .await;
    expect(&world.cloud, &world.admin, ("POST", &all), another, 403).await;

    expect(
        &world.cloud,
        &world.token,
        ("DELETE", &path),
        Value::Null,
        204,
    )
    .await;
    assert_401(&world.login(&made).await);
    assert_eq!(world.status(token, "GET", "/volume/v3/volumes").await, 401);
}

#[tokio::test]
async fn nobody_hands_over_more_than_the_token_has() {
    let world = World::new().await;
    let all = world.all();
    for (roles, status) in [
        (json!([{"name": "admin"}]), 400),
        (json!([{"name": "nothing"}]), 404),
        (json!([{"id": "nothing"}]), 404),
        (json!([{}]), 400),
    ] {
        let body = json!({"application_credential": {"name": "x", "roles": roles}});
        expect(&world.cloud, &world.token, ("POST", &all), body, status).await;
    }
    let made = world
        .credential(json!({"name": "free", "unrestricted": true}))
        .await;
    let login = world.login(&made).await;
    assert_eq!(
        login.body["token"]["application_credential"]["restricted"],
        json!(false)
    );
    let token = login.header("x-subject-token");
    let body = json!({"application_credential": {"name": "next"}});
    expect(&world.cloud, token, ("POST", &all), body, 201).await;

    // It ends with the roles it stands for.
    let grant = grant_path(&world.cloud, &world.admin, &world.user, "member").await;
    let grant = grant.strip_prefix("/identity/v3").unwrap();
    expect(
        &world.cloud,
        &world.admin,
        ("DELETE", grant),
        Value::Null,
        204,
    )
    .await;
    expect(&world.cloud, &world.admin, ("PUT", grant), Value::Null, 204).await;
    assert_401(&world.login(&made).await);
}

#[tokio::test]
async fn a_credential_expires_and_its_tokens_with_it() {
    let world = World::new().await;
    for (wrong, status) in [("2001-01-01T00:00:00Z", 400), ("soon", 400)] {
        let body = json!({"application_credential": {"name": "x", "expires_at": wrong}});
        expect(
            &world.cloud,
            &world.token,
            ("POST", &world.all()),
            body,
            status,
        )
        .await;
    }
    // The clock of tests shows 2023-11-14T22:13:20.
    let end = "2023-11-14T22:23:20.000000";
    let made = world
        .credential(json!({"name": "short", "expires_at": end}))
        .await;
    assert_eq!(made["expires_at"], end);
    let login = world.login(&made).await;
    assert_eq!(login.body["token"]["expires_at"], format!("{end}Z"));
    world.cloud.advance_s(601);
    assert_401(&world.login(&made).await);
    let token = login.header("x-subject-token");
    assert_eq!(world.status(token, "GET", "/volume/v3/volumes").await, 401);
}

#[tokio::test]
async fn access_rules_let_through_only_what_they_name() {
    let world = World::new().await;
    let rule = |service: &str, path: &str, method: &str| json!({"service": service, "path": path, "method": method});
    for wrong in [
        rule("volumev3", "v3", "GET"),
        rule("volumev3", "/v3", "LOOK"),
        json!({"service": "volumev3"}),
    ] {
        let body = json!({"application_credential": {"name": "x", "access_rules": [wrong]}});
        expect(
            &world.cloud,
            &world.token,
            ("POST", &world.all()),
            body,
            400,
        )
        .await;
    }
    let rules = json!([
        rule("block-storage", "/v3/volumes", "GET"),
        rule("volumev3", "/v3/*/volumes/*", "GET"),
        rule("image", "/v2/images", "GET"),
    ]);
    let made = world
        .credential(json!({"name": "looks", "access_rules": rules}))
        .await;
    let login = world.login(&made).await;
    let body = &login.body["token"];
    assert_eq!(
        body["application_credential"]["access_rules"],
        made["access_rules"]
    );
    let token = login.header("x-subject-token");
    let project = body["project"]["id"].as_str().unwrap();
    for (method, path, status) in [
        ("GET", "/volume/v3/volumes".to_owned(), 200),
        ("GET", format!("/volume/v3/{project}/volumes/detail"), 200),
        ("GET", format!("/volume/v3/{project}/volumes"), 401),
        ("POST", "/volume/v3/volumes".to_owned(), 401),
        ("GET", "/volume/v3/types".to_owned(), 401),
        ("GET", "/identity/v3/auth/projects".to_owned(), 401),
        ("GET", "/cinderblock/v1/events".to_owned(), 401),
        ("GET", "/image/v2/images".to_owned(), 200),
        ("GET", "/image/v2.9/images".to_owned(), 200),
        ("GET", "/image/v2/tasks".to_owned(), 401),
        ("POST", "/image/v2/images".to_owned(), 401),
    ] {
        assert_eq!(
            world.status(token, method, &path).await,
            status,
            "{method} {path}"
        );
    }
    // What a service does for the user is no call of the user's.
    demo_user(&world.cloud, &world.admin, "nova", "service").await;
    let service = world.cloud.token("nova", "pw", "demo").await;
    let both = [("X-Auth-Token", token), ("X-Service-Token", &*service)];
    let types = world
        .cloud
        .send("GET", "/volume/v3/types", &both, Value::Null)
        .await;
    assert_eq!(types.status, StatusCode::OK);
    let not_one = [("X-Auth-Token", token), ("X-Service-Token", &*world.token)];
    let types = world
        .cloud
        .send("GET", "/volume/v3/types", &not_one, Value::Null)
        .await;
    assert_eq!(types.status, StatusCode::UNAUTHORIZED);

    // Services that do not know of rules are told of no such token.
    let asked = [("X-Auth-Token", &*world.admin), ("X-Subject-Token", token)];
    let seen = world.cloud.send("GET", TOKENS, &asked, Value::Null).await;
    assert_eq!(seen.status, StatusCode::NOT_FOUND);
    let knowing = [
        asked[0],
        asked[1],
        ("OpenStack-Identity-Access-Rules", "1.0"),
    ];
    let seen = world.cloud.send("GET", TOKENS, &knowing, Value::Null).await;
    assert_eq!(seen.status, StatusCode::OK);
}

#[tokio::test]
async fn access_rules_are_kept_once_and_while_they_are_used() {
    let world = World::new().await;
    let rule = json!({"service": "image", "path": "/v2/images", "method": "GET"});
    let make = |name: &str| json!({"name": name, "access_rules": [rule]});
    let made = world.credential(make("one")).await;
    world.credential(make("two")).await;
    let all = format!("/users/{}/access_rules", world.user);
    let listed = expect(&world.cloud, &world.token, ("GET", &all), Value::Null, 200).await;
    assert_eq!(listed["access_rules"].as_array().unwrap().len(), 1);
    let id = made["access_rules"][0]["id"].as_str().unwrap();
    let path = format!("{all}/{id}");
    let shown = expect(&world.cloud, &world.token, ("GET", &path), Value::Null, 200).await;
    assert_eq!(shown["access_rule"]["path"], "/v2/images");
    expect(
        &world.cloud,
        &world.token,
        ("DELETE", &path),
        Value::Null,
        403,
    )
    .await;
    let other = format!("/users/nobody/access_rules/{id}");
    expect(
        &world.cloud,
        &world.admin,
        ("GET", &other),
        Value::Null,
        404,
    )
    .await;
    for one in ["one", "two"] {
        let list = format!("{}?name={one}", world.all());
        let listed = expect(&world.cloud, &world.token, ("GET", &list), Value::Null, 200).await;
        let id = listed["application_credentials"][0]["id"].as_str().unwrap();
        let path = format!("{}/{id}", world.all());
        expect(
            &world.cloud,
            &world.token,
            ("DELETE", &path),
            Value::Null,
            204,
        )
        .await;
    }
    expect(
        &world.cloud,
        &world.token,
        ("DELETE", &path),
        Value::Null,
        204,
    )
    .await;
    expect(&world.cloud, &world.token, ("GET", &path), Value::Null, 404).await;
}
