//! Roles by groups and by inheritance, and what is said of them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{assert_401, expect, first_id, make, role_names};
use crate::testing::Cloud;

/// A domain with a project, one below it, a user without roles and a group without users.
struct World {
    cloud: Cloud,
    admin: String,
    domain: String,
    project: String,
    below: String,
    user: String,
    group: String,
    member: String,
}

impl World {
    async fn new() -> Self {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        let domain = make(&cloud, &admin, "domain", json!({"name": "d"})).await;
        let object = |name: &str| json!({"name": name, "domain_id": domain});
        let project = make(&cloud, &admin, "project", object("p")).await;
        let mut below = object("below");
        below["parent_id"] = json!(project);
        let below = make(&cloud, &admin, "project", below).await;
        let mut user = object("u");
        user["password"] = json!("pw");
        let user = make(&cloud, &admin, "user", user).await;
        let group = make(&cloud, &admin, "group", object("g")).await;
        let member = first_id(&cloud, &admin, "roles", "member").await;
        Self {
            cloud,
            admin,
            domain,
            project,
            below,
            user,
            group,
            member,
        }
    }

    async fn does(&self, method: &str, path: &str, status: u16) -> Value {
        expect(
            &self.cloud,
            &self.admin,
            (method, path),
            Value::Null,
            status,
        )
        .await
    }

    async fn login(&self, scope: Value) -> crate::testing::Answer {
        let user = json!({"id": self.user, "password": "pw"});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": scope}});
        self.cloud.send("POST", super::TOKENS, &[], body).await
    }

    async fn assignments(&self, query: &str) -> Vec<Value> {
        let found = self
            .does("GET", &format!("/role_assignments?{query}"), 200)
            .await;
        found["role_assignments"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn roles_of_groups_are_those_of_their_users() {
    let world = World::new().await;
    let (group, user, role) = (&world.group, &world.user, &world.member);
    let member = format!("/groups/{group}/users/{user}");
    world.does("GET", &member, 404).await;
    world.does("PUT", &member, 204).await;
    world.does("HEAD", &member, 204).await;
    let users = world
        .does("GET", &format!("/groups/{group}/users"), 200)
        .await;
    assert_eq!(users["users"][0]["id"], json!(user));
    let groups = world
        .does("GET", &format!("/users/{user}/groups"), 200)
        .await;
    assert_eq!(groups["groups"][0]["id"], json!(group));

    let project = json!({"project": {"id": world.project}});
    for (target, scope) in [
        (format!("projects/{}", world.project), project.clone()),
        (
            format!("domains/{}", world.domain),
            json!({"domain": {"id": world.domain}}),
        ),
        ("system".to_owned(), json!({"system": {"all": true}})),
    ] {
        assert_401(&world.login(scope.clone()).await);
        let grant = format!("/{target}/groups/{group}/roles/{role}");
        world.does("PUT", &grant, 204).await;
        world.does("HEAD", &grant, 204).await;
        let path = format!("/{target}/groups/{group}/roles");
        let roles = world.does("GET", &path, 200).await;
        assert_eq!(roles["roles"][0]["id"], json!(role));
        let login = world.login(scope).await;
        assert_eq!(role_names(&login), ["member", "reader"]);
        let token = login.header("x-subject-token");
        let own = expect(
            &world.cloud,
            token,
            ("GET", "/auth/projects"),
            Value::Null,
            200,
        )
        .await;
        assert_eq!(own["projects"].as_array().unwrap().len(), 1);
        if target != "system" {
            continue;
        }
        let system = expect(
            &world.cloud,
            token,
            ("GET", "/auth/system"),
            Value::Null,
            200,
        )
        .await;
        assert_eq!(system["system"], json!([{"all": true}]));
        world.does("DELETE", &grant, 204).await;
        world.does("HEAD", &grant, 404).await;
        let path = "/identity/v3/auth/projects";
        assert_401(&world.cloud.call(token, "GET", path, Value::Null).await);
    }

    let effective = world
        .assignments(&format!("user.id={user}&effective"))
        .await;
    assert_eq!(effective.len(), 4);
    let membership = format!("/v3/groups/{group}/users/{user}");
    let links = |one: &Value| {
        one["links"]["membership"]
            .as_str()
            .unwrap()
            .ends_with(&membership)
    };
    assert!(effective.iter().all(links));
    let query = format!("group.id={group}&include_names=true");
    let granted = world.assignments(&query).await;
    assert_eq!(
        (granted.len(), &granted[0]["group"]["name"]),
        (2, &json!("g"))
    );
    let path = format!("/role_assignments?group.id={group}&effective");
    world.does("GET", &path, 400).await;

    let token = world
        .login(project)
        .await
        .header("x-subject-token")
        .to_owned();
    world.does("DELETE", &member, 204).await;
    let path = "/identity/v3/auth/projects";
    assert_401(&world.cloud.call(&token, "GET", path, Value::Null).await);
    world.does("DELETE", &format!("/groups/{group}"), 204).await;
    assert!(
        world
            .assignments(&format!("group.id={group}"))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn inherited_grants_hold_on_what_is_below() {
    let world = World::new().await;
    let (user, role) = (&world.user, &world.member);
    let scope = |id: &str| json!({"project": {"id": id}});
    for (target, on, not_on) in [
        (
            format!("domains/{}", world.domain),
            vec![&world.project, &world.below],
            vec![],
        ),
        (
            format!("projects/{}", world.project),
            vec![&world.below],
            vec![&world.project],
        ),
    ] {
        let all = format!("/OS-INHERIT/{target}/users/{user}/roles");
        let grant = format!("{all}/{role}/inherited_to_projects");
        world.does("HEAD", &grant, 404).await;
        world.does("PUT", &grant, 204).await;
        world.does("HEAD", &grant, 204).await;
        let status = if target.starts_with("domains") {
            200
        } else {
            404
        };
        let listed = world
            .does("GET", &format!("{all}/inherited_to_projects"), status)
            .await;
        if status == 200 {
            assert_eq!(listed["roles"][0]["id"], json!(role));
        }
        // It is another grant than one on the target itself.
        let plain = format!("/{target}/users/{user}/roles/{role}");
        world.does("HEAD", &plain, 404).await;
        for project in &on {
            assert_eq!(
                role_names(&world.login(scope(project)).await),
                ["member", "reader"]
            );
            let query = format!("user.id={user}&effective&scope.project.id={project}");
            let found = world.assignments(&query).await;
            assert_eq!(found.len(), 2);
            assert_eq!(found[0]["scope"]["OS-INHERIT:inherited_to"], "projects");
        }
        for project in &not_on {
            assert_401(&world.login(scope(project)).await);
        }
        assert_401(&world.login(json!({"domain": {"id": world.domain}})).await);
        let projects = world
            .does("GET", &format!("/users/{user}/projects"), 200)
            .await;
        assert_eq!(projects["projects"].as_array().unwrap().len(), on.len());
        let query = format!("user.id={user}&scope.OS-INHERIT:inherited_to=projects");
        assert_eq!(world.assignments(&query).await.len(), 1);
        world.does("DELETE", &grant, 204).await;
        assert!(
            world
                .assignments(&format!("user.id={user}"))
                .await
                .is_empty()
        );
    }
}

#[tokio::test]
async fn assignments_of_a_tree_are_those_of_its_projects() {
    let world = World::new().await;
    let (user, role) = (&world.user, &world.member);
    for project in [&world.project, &world.below] {
        let grant = format!("/projects/{project}/users/{user}/roles/{role}");
        world.does("PUT", &grant, 204).await;
    }
    let query = format!("scope.project.id={}", world.project);
    assert_eq!(world.assignments(&query).await.len(), 1);
    assert_eq!(
        world
            .assignments(&format!("{query}&include_subtree=true"))
            .await
            .len(),
        2
    );
    for wrong in [
        "include_subtree=true",
        "user.id=u&group.id=g",
        "scope.system=all&scope.domain.id=d",
    ] {
        world
            .does("GET", &format!("/role_assignments?{wrong}"), 400)
            .await;
    }
}

#[tokio::test]
async fn managers_of_a_domain_manage_that_domain_and_give_no_more_than_they_have() {
    let world = World::new().await;
    let (cloud, admin) = (&world.cloud, &world.admin);
    let manager = first_id(cloud, admin, "roles", "manager").await;
    let grant = format!(
        "/domains/{}/users/{}/roles/{manager}",
        world.domain, world.user
    );
    world.does("PUT", &grant, 204).await;
    let login = world.login(json!({"domain": {"id": world.domain}})).await;
    assert_eq!(login.status, StatusCode::CREATED);
    let token = login.header("x-subject-token");

    let user =
        |domain: &str| json!({"user": {"name": "new", "password": "x", "domain_id": domain}});
    let made = expect(cloud, token, ("POST", "/users"), user(&world.domain), 201).await;
    let made = made["user"]["id"].as_str().unwrap();
    expect(cloud, token, ("POST", "/users"), user("default"), 403).await;
    let projects = expect(cloud, token, ("GET", "/projects"), Value::Null, 200).await;
    assert_eq!(projects["projects"].as_array().unwrap().len(), 2);
    let demo = first_id(cloud, admin, "projects", "demo").await;
    expect(
        cloud,
        token,
        ("GET", &format!("/projects/{demo}")),
        Value::Null,
        403,
    )
    .await;
    expect(
        cloud,
        token,
        ("DELETE", &format!("/projects/{demo}")),
        Value::Null,
        403,
    )
    .await;

    let grant = |role: &str| format!("/projects/{}/users/{made}/roles/{role}", world.project);
    expect(
        cloud,
        token,
        ("PUT", &grant(&world.member)),
        Value::Null,
        204,
    )
    .await;
    let all = first_id(cloud, admin, "roles", "admin").await;
    expect(cloud, token, ("PUT", &grant(&all)), Value::Null, 403).await;
    let system = format!("/system/users/{made}/roles/{}", world.member);
    expect(cloud, token, ("PUT", &system), Value::Null, 403).await;
    let elsewhere = format!("/projects/{demo}/users/{made}/roles/{}", world.member);
    expect(cloud, token, ("PUT", &elsewhere), Value::Null, 403).await;
    let path = format!("/domains/{}", world.domain);
    let change = json!({"domain": {"enabled": false}});
    expect(cloud, token, ("PATCH", &path), change, 403).await;
}
