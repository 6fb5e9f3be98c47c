//! Identity as its clients see it, through the router.

use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Answer, Cloud, PASSWORD};

mod delegations;
mod endings;
mod groups;
mod projects;
mod roles;
mod trusts;

const TOKENS: &str = "/identity/v3/auth/tokens";

/// A user with a role on the project demo, and the user's id.
async fn demo_user(cloud: &Cloud, admin: &str, name: &str, role: &str) -> String {
    let body = json!({"user": {"name": name, "password": "pw", "domain_id": "default"}});
    let user = cloud.call(admin, "POST", "/identity/v3/users", body).await;
    assert_eq!(user.status, StatusCode::CREATED, "{:?}", user.body);
    let id = user.body["user"]["id"].as_str().unwrap().to_owned();
    let path = grant_path(cloud, admin, &id, role).await;
    let granted = cloud.call(admin, "PUT", &path, Value::Null).await;
    assert_eq!(granted.status, StatusCode::NO_CONTENT);
    id
}

async fn first_id(cloud: &Cloud, admin: &str, plural: &str, name: &str) -> String {
    let path = format!("/identity/v3/{plural}?name={name}");
    let found = cloud.call(admin, "GET", &path, Value::Null).await;
    found.body[plural][0]["id"].as_str().unwrap().to_owned()
}

async fn grant_path(cloud: &Cloud, admin: &str, user: &str, role: &str) -> String {
    let project = first_id(cloud, admin, "projects", "demo").await;
    let role = first_id(cloud, admin, "roles", role).await;
    format!("/identity/v3/projects/{project}/users/{user}/roles/{role}")
}

/// Makes an object and returns its id.
async fn make(cloud: &Cloud, token: &str, kind: &str, object: Value) -> String {
    let path = match kind {
        "domain" | "project" | "user" | "group" | "role" => format!("/identity/v3/{kind}s"),
        _ => panic!("{kind}"),
    };
    let made = cloud
        .call(token, "POST", &path, json!({ kind: object }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    made.body[kind]["id"].as_str().unwrap().to_owned()
}

/// Sends a request that must be answered with a status; returns the body.
async fn expect(
    cloud: &Cloud,
    token: &str,
    (method, path): (&str, &str),
    body: Value,
    status: u16,
) -> Value {
    let path = format!("/identity/v3{path}");
    let answer = cloud.call(token, method, &path, body).await;
    assert_eq!(answer.status, status, "{method} {path}: {:?}", answer.body);
    answer.body
}

/// Names of the roles of a token.
fn role_names(answer: &Answer) -> Vec<&str> {
    let roles = answer.body["token"]["roles"].as_array();
    let roles = roles.unwrap_or_else(|| panic!("{}", answer.body));
    let mut names: Vec<&str> = roles
        .iter()
        .map(|role| role["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}

fn assert_401(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.body,
        json!({"error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }})
    );
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Keystone uri=\"http://cloud.test")
    );
}

#[tokio::test]
async fn discovery_has_the_real_shapes() {
    let cloud = Cloud::new();
    let root = cloud.send("GET", "/identity", &[], Value::Null).await;
    assert_eq!(root.status, StatusCode::MULTIPLE_CHOICES);
    assert_eq!(
        root.header("location"),
        "http://cloud.test:8080/identity/v3/"
    );
    assert_eq!(root.header("vary"), "X-Auth-Token");
    let entry = &root.body["versions"]["values"][0];
    assert_eq!(
        (&entry["id"], &entry["status"]),
        (&json!("v3.14"), &json!("stable"))
    );
    for path in ["/identity/v3", "/identity/v3/"] {
        let version = cloud.send("GET", path, &[], Value::Null).await;
        assert_eq!(version.status, StatusCode::OK);
        assert_eq!(version.body["version"], *entry);
    }
    // The Host header does not move links.
    let host = [("Host", "evil.test")];
    let root = cloud.send("GET", "/identity/", &host, Value::Null).await;
    assert!(!root.body.to_string().contains("evil"));
    let unknown = cloud.send("GET", "/identity/v4/", &[], Value::Null).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_lives_and_ends() {
    let cloud = Cloud::new();
    let scope = json!({"project": {"name": "admin", "domain": {"name": "Default"}}});
    let issued = cloud.login("admin", PASSWORD, scope).await;
    assert_eq!(issued.status, StatusCode::CREATED);
    let token = issued.header("x-subject-token").to_owned();
    let body = &issued.body["token"];
    assert_eq!(body["methods"], json!(["password"]));
    assert_eq!(body["is_domain"], json!(false));
    assert_eq!(body["user"]["password_expires_at"], Value::Null);
    let roles: Vec<_> = body["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(roles, ["admin", "manager", "member", "reader"]);
    let volume = body["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .find(|s| s["type"] == "volumev3");
    let project = body["project"]["id"].as_str().unwrap();
    let url = format!("http://cloud.test:8080/volume/v3/{project}");
    assert_eq!(volume.unwrap()["endpoints"][0]["url"], json!(url));
    assert_eq!(volume.unwrap()["endpoints"].as_array().unwrap().len(), 3);

    let own = [
        ("X-Auth-Token", token.as_str()),
        ("X-Subject-Token", token.as_str()),
    ];
    let seen = cloud.send("GET", TOKENS, &own, Value::Null).await;
    assert_eq!((seen.status, &seen.body), (StatusCode::OK, &issued.body));
    assert_eq!(
        cloud.send("HEAD", TOKENS, &own, Value::Null).await.status,
        StatusCode::OK
    );

    let tampered = format!("{}x", &token[..token.len() - 1]);
    assert_401(
        &cloud
            .call(&tampered, "GET", "/identity/v3/projects", Value::Null)
            .await,
    );
    assert_401(
        &cloud
            .call(&"t".repeat(400), "GET", "/volume/v3/volumes", Value::Null)
            .await,
    );

    let ended = cloud.send("DELETE", TOKENS, &own, Value::Null).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_401(
        &cloud
            .call(&token, "GET", "/identity/v3/projects", Value::Null)
            .await,
    );
    let admin = cloud.admin().await;
    let asked = [
        ("X-Auth-Token", admin.as_str()),
        ("X-Subject-Token", token.as_str()),
    ];
    assert_eq!(
        cloud.send("GET", TOKENS, &asked, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn only_services_may_ask_about_expired_tokens_and_not_for_ever() {
    let cloud = Cloud::new();
    let demo = cloud.admin().await;
    for (name, role) in [("glance", "service"), ("mary", "member")] {
        demo_user(&cloud, &demo, name, role).await;
    }
    let subject = cloud.token("mary", "pw", "demo").await;
    let ask = async |user: &str, password: &str, project: &str, query: &str| {
        let token = cloud.token(user, password, project).await;
        let headers = [("X-Auth-Token", &*token), ("X-Subject-Token", &*subject)];
        let path = format!("{TOKENS}{query}");
        cloud.send("GET", &path, &headers, Value::Null).await.status
    };
    cloud.advance_s(3601);
    let allowed = "?allow_expired=1";
    assert_eq!(ask("glance", "pw", "demo", allowed).await, StatusCode::OK);
    for query in ["", "?allow_expired=0"] {
        let status = ask("glance", "pw", "demo", query).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let status = ask("admin", PASSWORD, "admin", allowed).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // It opens nothing itself, and its grace ends.
    let own = cloud.call(&subject, "GET", TOKENS, Value::Null).await;
    assert_401(&own);
    cloud.advance_s(172_800 - 10);
    assert_eq!(ask("glance", "pw", "demo", allowed).await, StatusCode::OK);
    cloud.advance_s(10);
    let status = ask("glance", "pw", "demo", allowed).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_expires_and_an_exchanged_one_with_it() {
    let cloud = Cloud::new();
    let first = cloud.login("admin", PASSWORD, json!("unscoped")).await;
    assert!(first.body["token"].get("catalog").is_none());
    cloud.advance_s(3000);
    let id = first.header("x-subject-token");
    let identity = json!({"methods": ["token"], "token": {"id": id}});
    let scope = json!({"system": {"all": true}});
    let body = json!({"auth": {"identity": identity, "scope": scope}});
    let second = cloud.send("POST", TOKENS, &[], body).await;
    assert_eq!(second.status, StatusCode::CREATED, "{:?}", second.body);
    let (a, b) = (&first.body["token"], &second.body["token"]);
    assert_eq!(a["expires_at"], b["expires_at"]);
    assert_eq!(b["audit_ids"][1], a["audit_ids"][0]);
    assert_eq!(b["methods"], json!(["token", "password"]));
    assert_eq!(b["system"], json!({"all": true}));
    let token = second.header("x-subject-token");
    let users = "/identity/v3/users";
    assert_eq!(
        cloud.call(token, "GET", users, Value::Null).await.status,
        StatusCode::OK
    );
    cloud.advance_s(601);
    assert_401(&cloud.call(token, "GET", users, Value::Null).await);
}

#[tokio::test]
async fn bad_bodies_are_400_as_the_real_service_words_them() {
    let cloud = Cloud::new();
    let empty = cloud.send("POST", TOKENS, &[], json!({})).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        empty.body["error"]["message"],
        "Expecting to find auth in request body. The server could not comply with the request \
         since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    );
    let none = json!({"auth": {"identity": {"methods": []}}});
    assert_401(&cloud.send("POST", TOKENS, &[], none).await);
    let admin = cloud.admin().await;
    let long = json!({"project": {"name": "n".repeat(65)}});
    let refused = cloud
        .call(&admin, "POST", "/identity/v3/projects", long)
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let huge = json!({"project": {"name": "n", "description": "d".repeat(200_000)}});
    let refused = cloud
        .call(&admin, "POST", "/identity/v3/projects", huge)
        .await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn roles_decide_and_their_loss_ends_tokens() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let id = demo_user(&cloud, &admin, "mia", "member").await;
    let mia = cloud.token("mia", "pw", "demo").await;
    let denied = cloud
        .call(&mia, "GET", "/identity/v3/projects", Value::Null)
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert_eq!(
        denied.body["error"]["message"],
        "You are not authorized to perform the requested action: identity:list_projects."
    );
    let own = cloud
        .call(&mia, "GET", "/identity/v3/auth/projects", Value::Null)
        .await;
    assert_eq!(own.body["projects"][0]["name"], "demo");
    let of_admin = [
        ("X-Auth-Token", mia.as_str()),
        ("X-Subject-Token", admin.as_str()),
    ];
    let denied = cloud.send("GET", TOKENS, &of_admin, Value::Null).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);

    let path = grant_path(&cloud, &admin, &id, "member").await;
    assert_eq!(
        cloud.call(&admin, "HEAD", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        cloud
            .call(&admin, "DELETE", &path, Value::Null)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        cloud.call(&admin, "HEAD", &path, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    assert_401(
        &cloud
            .call(&mia, "GET", "/identity/v3/auth/projects", Value::Null)
            .await,
    );
}

/// The calls of tempest's dynamic credentials, in their order.
#[tokio::test]
async fn dynamic_credentials_come_and_go() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let call = async |method: &str, path: &str, body: Value| {
        cloud
            .call(&admin, method, &format!("/identity/v3{path}"), body)
            .await
    };
    let domains = call("GET", "/domains?name=Default", Value::Null).await;
    assert_eq!(domains.body["domains"][0]["id"], "default");
    let body = json!({"project": {"name": "p", "description": "x", "domain_id": "default"}});
    let project = call("POST", "/projects", body.clone()).await;
    assert_eq!(project.status, StatusCode::CREATED);
    assert_eq!(
        call("POST", "/projects", body).await.status,
        StatusCode::CONFLICT
    );
    let project = project.body["project"]["id"].as_str().unwrap().to_owned();
    assert_eq!(project.len(), 32);
    let body =
        json!({"user": {"name": "u", "password": "pw", "domain_id": "default", "email": "e"}});
    let user = call("POST", "/users", body).await.body["user"].clone();
    assert_eq!(user["email"], "e");
    assert!(user.get("password").is_none());
    let user = user["id"].as_str().unwrap().to_owned();
    let body = json!({"role": {"name": "member"}});
    assert_eq!(
        call("POST", "/roles", body).await.status,
        StatusCode::CONFLICT
    );
    let roles = call("GET", "/roles", Value::Null).await;
    let role = &roles.body["roles"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["name"] == "member");
    let role = role.unwrap()["id"].as_str().unwrap();
    let body = json!({"domain": {"name": "d"}});
    let domain = call("POST", "/domains", body).await.body["domain"]["id"].clone();
    let domain = domain.as_str().unwrap();
    for target in [
        format!("projects/{project}"),
        format!("domains/{domain}"),
        "system".into(),
    ] {
        let path = format!("/{target}/users/{user}/roles/{role}");
        for _ in 0..2 {
            assert_eq!(
                call("PUT", &path, Value::Null).await.status,
                StatusCode::NO_CONTENT
            );
        }
    }
    let path = format!("/role_assignments?user.id={user}&include_names&effective");
    let found = call("GET", &path, Value::Null).await;
    assert_eq!(found.body["role_assignments"].as_array().unwrap().len(), 6);
    let scope = json!({"domain": {"id": domain}});
    assert_eq!(
        cloud.login("u", "pw", scope).await.status,
        StatusCode::CREATED
    );

    assert_eq!(
        call("DELETE", &format!("/users/{user}"), Value::Null)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        call("DELETE", &format!("/projects/{project}"), Value::Null)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let path = format!("/domains/{domain}");
    assert_eq!(
        call("DELETE", &path, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );
    let body = json!({"domain": {"enabled": false}});
    assert_eq!(call("PATCH", &path, body).await.status, StatusCode::OK);
    assert_eq!(
        call("DELETE", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    let path = "/role_assignments";
    let left = call("GET", path, Value::Null).await;
    assert_eq!(left.body["role_assignments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_service_catalogue_can_be_changed() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let call = async |method: &str, path: &str, body: Value| {
        cloud
            .call(&admin, method, &format!("/identity/v3{path}"), body)
            .await
    };
    let body = json!({"service": {"name": "swift", "type": "object-store", "description": ""}});
    let service = call("POST", "/services", body).await.body["service"]["id"].clone();
    let body = json!({"endpoint": {
        "service_id": service, "interface": "public", "url": "http://i", "region_id": "RegionOne",
    }});
    let endpoint = call("POST", "/endpoints", body).await;
    assert_eq!(endpoint.status, StatusCode::CREATED, "{:?}", endpoint.body);
    let path = format!(
        "/endpoints?service_id={}&interface=public",
        service.as_str().unwrap()
    );
    let found = call("GET", &path, Value::Null).await;
    assert_eq!(found.body["endpoints"].as_array().unwrap().len(), 1);
    let self_link = found.body["links"]["self"].as_str().unwrap();
    assert_eq!(
        self_link,
        format!("http://cloud.test:8080/identity/v3{path}")
    );
    assert_eq!(
        call("DELETE", "/regions/RegionOne", Value::Null)
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    let path = format!("/services/{}", service.as_str().unwrap());
    assert_eq!(
        call("DELETE", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    let own = call("GET", "/auth/catalog", Value::Null).await;
    let types = own.body["catalog"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["type"]);
    let mut types: Vec<&str> = types.map(|kind| kind.as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(
        types,
        [
            "block-storage",
            "cinderblock",
            "identity",
            "image",
            "volume",
            "volumev2",
            "volumev3"
        ]
    );
}

#[tokio::test]
async fn methods_are_told_without_a_token() {
    let cloud = Cloud::new();
    let path = "/identity/v3/auth/tokens";
    let told = cloud.send("OPTIONS", path, &[], Value::Null).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.header("allow"), "POST, GET, HEAD, DELETE, OPTIONS");
    assert_eq!(told.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(told.header("www-authenticate"), "");
    let none = cloud
        .send("OPTIONS", "/identity/v3/nowhere", &[], Value::Null)
        .await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}
