//! The extensions through the router: rights, faults, secrets, and what goes with what.

mod others;

use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Answer, Cloud};

/// A cloud with an administrator and a member of another project.
struct World {
    cloud: Cloud,
    admin: String,
    member: String,
    member_id: String,
    project: String,
}

impl World {
    async fn new() -> Self {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        let member = cloud.token_of_another_project(&admin).await;
        let headers = [
            ("X-Auth-Token", member.as_str()),
            ("X-Subject-Token", &member),
        ];
        let path = "/identity/v3/auth/tokens";
        let own = cloud.send("GET", path, &headers, Value::Null).await.body["token"].take();
        let text = |part: &Value| part["id"].as_str().unwrap().to_owned();
        Self {
            member_id: text(&own["user"]),
            project: text(&own["project"]),
            cloud,
            admin,
            member,
        }
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/identity/v3/{path}");
        self.cloud.call(&self.admin, method, &path, body).await
    }

    async fn member(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/identity/v3/{path}");
        self.cloud.call(&self.member, method, &path, body).await
    }

    /// Makes an object and returns its id.
    async fn make(&self, kind: &str, path: &str, wanted: Value) -> String {
        let made = self.admin("POST", path, json!({ kind: wanted })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        made.body[kind]["id"].as_str().unwrap().to_owned()
    }

    fn credential(&self, blob: &str) -> Value {
        json!({"credential": {
            "type": "ec2", "blob": blob, "user_id": self.member_id, "project_id": self.project,
        }})
    }
}

#[tokio::test]
async fn a_credential_is_its_owners_and_the_administrators() {
    let world = World::new().await;
    let blob = r#"{"access": "a1", "secret": "s1"}"#;
    let made = world
        .member("POST", "credentials", world.credential(blob))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["credential"]["blob"], blob);
    let again = world
        .member("POST", "credentials", world.credential(blob))
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let path = format!(
        "credentials/{}",
        made.body["credential"]["id"].as_str().unwrap()
    );
    for shown in [
        world.member("GET", &path, Value::Null).await,
        world.admin("GET", &path, Value::Null).await,
    ] {
        assert_eq!(shown.body, made.body);
    }
    let new = r#"{"access": "a2", "secret": "s2"}"#;
    let changed = world
        .member("PATCH", &path, json!({"credential": {"blob": new}}))
        .await;
    assert_eq!(changed.body["credential"]["blob"], new);
    assert_eq!(
        changed.body["credential"]["id"],
        made.body["credential"]["id"]
    );
    let widened = r#"{"access": "a2", "secret": "s2", "trust_id": "t"}"#;
    for refused in [
        json!({"blob": widened}),
        json!({"blob": "x"}),
        json!({"blob": new, "type": "x"}),
    ] {
        let refused = world
            .member("PATCH", &path, json!({"credential": refused}))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    }
    let gone = world.member("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        world.admin("GET", &path, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    // Who could not see it is not told whether it is there.
    assert_eq!(
        world.member("GET", &path, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_credential_of_another_is_out_of_reach() {
    let world = World::new().await;
    let own = json!({"type": "totp", "blob": "mine", "user_id": world.member_id});
    world.make("credential", "credentials", own).await;
    let other = json!({"type": "cert", "blob": "theirs", "user_id": "another"});
    let id = world.make("credential", "credentials", other.clone()).await;
    let path = format!("credentials/{id}");
    let change = json!({"credential": {"blob": "x"}});
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", change),
        ("DELETE", Value::Null),
    ] {
        let refused = world.member(method, &path, body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(!refused.body.to_string().contains("theirs"));
    }
    let refused = world
        .member("POST", "credentials", json!({"credential": other}))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    let count = async |answer: Answer| answer.body["credentials"].as_array().unwrap().len();
    assert_eq!(
        count(world.member("GET", "credentials", Value::Null).await).await,
        1
    );
    assert_eq!(
        count(world.admin("GET", "credentials", Value::Null).await).await,
        2
    );
    let of_other = "credentials?user_id=another";
    assert_eq!(
        count(world.member("GET", of_other, Value::Null).await).await,
        0
    );
    assert_eq!(
        count(world.admin("GET", of_other, Value::Null).await).await,
        1
    );
    let typed = "credentials?type=totp";
    assert_eq!(count(world.admin("GET", typed, Value::Null).await).await, 1);
}

#[tokio::test]
async fn malformed_credentials_are_refused_without_repeating_them() {
    let world = World::new().await;
    for blob in [
        "topsecret",
        "[]",
        "{\"secret\": \"topsecret\"}",
        "{\"access\": 7}",
    ] {
        let refused = world
            .member("POST", "credentials", world.credential(blob))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{blob}");
        assert!(!refused.body.to_string().contains("topsecret"));
    }
    let mut bare = world.credential(r#"{"access": "a"}"#);
    bare["credential"]["project_id"] = Value::Null;
    assert_eq!(
        world.member("POST", "credentials", bare).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn pairs_of_keys_come_and_go_with_their_user() {
    let world = World::new().await;
    let path = format!("users/{}/credentials/OS-EC2", world.member_id);
    let wanted = json!({"tenant_id": world.project});
    let made = world.member("POST", &path, wanted.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let pair = &made.body["credential"];
    assert_eq!(
        (&pair["user_id"], &pair["tenant_id"]),
        (&json!(world.member_id), &json!(world.project))
    );
    let one = format!("{path}/{}", pair["access"].as_str().unwrap());
    assert_eq!(world.member("GET", &one, Value::Null).await.body, made.body);
    let listed = world.member("GET", &path, Value::Null).await;
    assert_eq!(listed.body["credentials"], json!([pair]));
    let unknown = json!({"tenant_id": "none"});
    assert_eq!(
        world.member("POST", &path, unknown).await.status,
        StatusCode::NOT_FOUND
    );
    let other = "users/another/credentials/OS-EC2";
    assert_eq!(
        world.member("POST", other, wanted.clone()).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.member("GET", other, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );

    let deleted = world.member("DELETE", &one, Value::Null).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(
        world.member("GET", &one, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    world.member("POST", &path, wanted).await;
    let user = format!("users/{}", world.member_id);
    world.admin("DELETE", &user, Value::Null).await;
    let left = world.admin("GET", "credentials", Value::Null).await;
    assert_eq!(left.body["credentials"], json!([]));
}

#[tokio::test]
async fn a_user_keeps_a_bounded_number_of_pairs() {
    let world = World::new().await;
    let path = format!("users/{}/credentials/OS-EC2", world.member_id);
    let wanted = json!({"tenant_id": world.project});
    for _ in 0..256 {
        let made = world.member("POST", &path, wanted.clone()).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    let refused = world.member("POST", &path, wanted).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

/// A token of an application credential of the member's.
async fn lent(world: &World, wanted: Value) -> String {
    let path = format!("users/{}/application_credentials", world.member_id);
    let body = json!({ "application_credential": wanted });
    let made = world.member("POST", &path, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let made = &made.body["application_credential"];
    let proof = json!({"id": made["id"], "secret": made["secret"]});
    let methods = ["application_credential"];
    let identity = json!({"methods": methods, "application_credential": proof});
    let body = json!({"auth": {"identity": identity}});
    let path = "/identity/v3/auth/tokens";
    let answer = world.cloud.send("POST", path, &[], body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    answer.header("x-subject-token").to_owned()
}

#[tokio::test]
async fn a_lent_token_reaches_no_credentials() {
    let world = World::new().await;
    let own = json!({"type": "totp", "blob": "mine", "user_id": world.member_id});
    let id = world.make("credential", "credentials", own).await;
    let lent = lent(&world, json!({"name": "a"})).await;
    let pairs = format!("users/{}/credentials/OS-EC2", world.member_id);
    for path in [format!("credentials/{id}"), pairs] {
        let path = format!("/identity/v3/{path}");
        let refused = world.cloud.call(&lent, "GET", &path, Value::Null).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let path = "/identity/v3/credentials";
    let listed = world.cloud.call(&lent, "GET", path, Value::Null).await;
    assert_eq!(listed.body["credentials"], json!([]));
}

#[tokio::test]
async fn access_rules_hold_in_the_older_version_too() {
    let world = World::new().await;
    let path = "/identity/v2.0/tenants";
    let free = lent(&world, json!({"name": "free"})).await;
    let listed = world.cloud.call(&free, "GET", path, Value::Null).await;
    assert_eq!(listed.status, StatusCode::OK);
    let rule = json!({"service": "volumev3", "method": "GET", "path": "/v3/types"});
    let bound = lent(&world, json!({"name": "bound", "access_rules": [rule]})).await;
    let refused = world.cloud.call(&bound, "GET", path, Value::Null).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.body.get("unauthorized").is_some());
}
