//! Tokens that have ended, and logins that are refused.

use http::StatusCode;
use serde_json::{Value, json};

use super::{TOKENS, assert_401, demo_user, expect, first_id, make};
use crate::testing::{Cloud, PASSWORD};

#[tokio::test]
async fn refusals_look_the_same_and_guessing_is_braked() {
    let cloud = Cloud::new();
    let mut messages = Vec::new();
    for (user, password) in [("admin", "wrong"), ("nobody", PASSWORD)] {
        let refused = cloud.login(user, password, Value::Null).await;
        assert_401(&refused);
        messages.push(refused.body);
    }
    assert_eq!(messages[0], messages[1]);
    let scope = json!({"project": {"id": "0123456789abcdef0123456789abcdef"}});
    assert_401(&cloud.login("admin", PASSWORD, scope).await);
    for _ in 0..10 {
        cloud.login("admin", "wrong", Value::Null).await;
    }
    // Locked, and not told so: the right password is as wrong as any. Admins are told by an event.
    assert_401(&cloud.login("admin", PASSWORD, Value::Null).await);
    let told = cloud.services.events().list(None, 100);
    assert!(told.iter().any(|event| event.kind == "user.locked"));
    cloud.advance_s(61);
    let again = cloud.login("admin", PASSWORD, Value::Null).await;
    assert_eq!(again.status, StatusCode::CREATED);
}

#[tokio::test]
async fn disabling_and_new_passwords_end_tokens() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let id = demo_user(&cloud, &admin, "mia", "member").await;
    let path = format!("/identity/v3/users/{id}");
    let own = "/identity/v3/auth/projects";

    let before = cloud.token("mia", "pw", "demo").await;
    for enabled in [false, true] {
        let body = json!({"user": {"enabled": enabled}});
        assert_eq!(
            cloud.call(&admin, "PATCH", &path, body).await.status,
            StatusCode::OK
        );
        assert_401(&cloud.call(&before, "GET", own, Value::Null).await);
    }
    let before = cloud.token("mia", "pw", "demo").await;
    let body = |old: &str| json!({"user": {"original_password": old, "password": "new"}});
    let change = format!("{path}/password");
    assert_401(&cloud.call(&before, "POST", &change, body("wrong")).await);
    let changed = cloud.call(&before, "POST", &change, body("pw")).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT);
    assert_401(&cloud.call(&before, "GET", own, Value::Null).await);
    let after = cloud.token("mia", "new", "demo").await;
    assert_eq!(
        cloud
            .call(&admin, "DELETE", &path, Value::Null)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_401(&cloud.call(&after, "GET", own, Value::Null).await);
}

/// Whether a token is of use, by what it opens and by what is said of it.
async fn assert_ended(cloud: &Cloud, admin: &str, token: &str) {
    for path in ["/identity/v3/auth/projects", "/volume/v3/volumes"] {
        assert_401(&cloud.call(token, "GET", path, Value::Null).await);
    }
    let identity = json!({"methods": ["token"], "token": {"id": token}});
    let body = json!({"auth": {"identity": identity}});
    assert_401(&cloud.send("POST", TOKENS, &[], body).await);
    let asked = [("X-Auth-Token", admin), ("X-Subject-Token", token)];
    for method in ["GET", "DELETE"] {
        let answer = cloud.send(method, TOKENS, &asked, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn tokens_of_what_is_gone_expired_revoked_or_tampered_open_nothing() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let id = demo_user(&cloud, &admin, "mia", "member").await;
    let token = cloud.token("mia", "pw", "demo").await;

    let mut tampered = token.clone().into_bytes();
    tampered[0] ^= 1;
    assert_ended(&cloud, &admin, &String::from_utf8(tampered).unwrap()).await;

    let own = [("X-Auth-Token", &*token), ("X-Subject-Token", &*token)];
    let revoked = cloud.send("DELETE", TOKENS, &own, Value::Null).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        assert_ended(&cloud, &admin, &token).await;
    }

    let token = cloud.token("mia", "pw", "demo").await;
    let path = format!("/users/{id}/tokens");
    expect(&cloud, &token, ("DELETE", &path), Value::Null, 204).await;
    assert_ended(&cloud, &admin, &token).await;

    let token = cloud.token("mia", "pw", "demo").await;
    cloud.advance_s(3601);
    let admin = cloud.admin().await;
    assert_ended(&cloud, &admin, &token).await;

    let token = cloud.token("mia", "pw", "demo").await;
    let path = format!("/users/{id}");
    expect(&cloud, &admin, ("DELETE", &path), Value::Null, 204).await;
    assert_ended(&cloud, &admin, &token).await;
    // One of the same name is somebody else.
    demo_user(&cloud, &admin, "mia", "member").await;
    assert_ended(&cloud, &admin, &token).await;
}

#[tokio::test]
async fn a_token_of_another_project_opens_nothing_here() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let demo = first_id(&cloud, &admin, "projects", "demo").await;
    let other = cloud.token_of_another_project(&admin).await;
    let path = format!("/volume/v3/{demo}/volumes");
    let denied = cloud.call(&other, "GET", &path, Value::Null).await;
    assert_eq!(denied.status, StatusCode::BAD_REQUEST);
    for path in [
        format!("/projects/{demo}"),
        format!("/projects/{demo}/tags"),
    ] {
        expect(&cloud, &other, ("GET", &path), Value::Null, 403).await;
    }
    let asked = [("X-Auth-Token", &*other), ("X-Subject-Token", &*admin)];
    for method in ["GET", "DELETE"] {
        let denied = cloud.send(method, TOKENS, &asked, Value::Null).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
    }
    // What is no token is told to everybody.
    let asked = [("X-Auth-Token", &*other), ("X-Subject-Token", "none")];
    let unknown = cloud.send("GET", TOKENS, &asked, Value::Null).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let scope = json!({"project": {"id": demo}});
    let identity = json!({"methods": ["token"], "token": {"id": other}});
    let body = json!({"auth": {"identity": identity, "scope": scope}});
    assert_401(&cloud.send("POST", TOKENS, &[], body).await);
    expect(&cloud, &admin, ("GET", "/auth/projects"), Value::Null, 200).await;
}

#[tokio::test]
async fn what_ended_with_a_project_or_domain_does_not_come_back_with_it() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let domain = make(&cloud, &admin, "domain", json!({"name": "d"})).await;
    let project = json!({"name": "p", "domain_id": domain});
    let project = make(&cloud, &admin, "project", project).await;
    let user = json!({"name": "u", "password": "pw", "domain_id": domain});
    let user = make(&cloud, &admin, "user", user).await;
    let role = first_id(&cloud, &admin, "roles", "member").await;
    let grant = format!("/projects/{project}/users/{user}/roles/{role}");
    expect(&cloud, &admin, ("PUT", &grant), Value::Null, 204).await;
    let login = async || {
        let identity = json!({"methods": ["password"], "password": {"user": {
            "id": user, "password": "pw",
        }}});
        let scope = json!({"project": {"id": project}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        cloud.send("POST", TOKENS, &[], body).await
    };
    for (kind, id) in [("project", &project), ("domain", &domain)] {
        let token = login().await.header("x-subject-token").to_owned();
        let path = format!("/{kind}s/{id}");
        let change = |enabled: bool| json!({ kind: {"enabled": enabled} });
        expect(&cloud, &admin, ("PATCH", &path), change(false), 200).await;
        assert_401(&login().await);
        assert_ended(&cloud, &admin, &token).await;
        expect(&cloud, &admin, ("PATCH", &path), change(true), 200).await;
        assert_eq!(login().await.status, StatusCode::CREATED);
        assert_ended(&cloud, &admin, &token).await;
    }
}

#[tokio::test]
async fn users_can_be_kept_from_changing_passwords_and_held_to_methods() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let options = json!({"lock_password": true, "multi_factor_auth_rules": [["password", "totp"]]});
    let user = json!({"name": "u", "password": "pw", "options": options});
    let user = make(&cloud, &admin, "user", user).await;
    let path = format!("/users/{user}");
    let shown = expect(&cloud, &admin, ("GET", &path), Value::Null, 200).await;
    assert_eq!(shown["user"]["options"], options);
    assert_401(&cloud.login("u", "pw", Value::Null).await);
    let rules = json!({"user": {"options": {"multi_factor_auth_rules": null}}});
    expect(&cloud, &admin, ("PATCH", &path), rules, 200).await;
    let login = cloud.login("u", "pw", Value::Null).await;
    assert_eq!(login.status, StatusCode::CREATED);
    let change = json!({"user": {"original_password": "pw", "password": "new"}});
    let change_path = format!("/users/{user}/password");
    expect(&cloud, &admin, ("POST", &change_path), change, 400).await;
    let wrong = json!({"user": {"options": {"lock_password": "yes"}}});
    expect(&cloud, &admin, ("PATCH", &path), wrong, 400).await;
}
