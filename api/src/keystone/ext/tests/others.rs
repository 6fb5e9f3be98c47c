//! Consumers, policies, groups of endpoints and configurations of domains.

use http::StatusCode;
use serde_json::{Value, json};

use super::World;

#[tokio::test]
async fn a_consumers_secret_is_told_once() {
    let world = World::new().await;
    let path = "OS-OAUTH1/consumers";
    let made = world
        .admin("POST", path, json!({"consumer": {"description": "d"}}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.body["consumer"]["secret"].as_str().unwrap().len(), 32);
    let one = format!("{path}/{}", made.body["consumer"]["id"].as_str().unwrap());
    let shown = world.admin("GET", &one, Value::Null).await.body["consumer"].take();
    assert_eq!(
        (&shown["description"], shown.get("secret")),
        (&json!("d"), None)
    );
    let secret = json!({"consumer": {"secret": "x"}});
    assert_eq!(
        world.admin("PATCH", &one, secret).await.status,
        StatusCode::BAD_REQUEST
    );
    let changed = world
        .admin("PATCH", &one, json!({"consumer": {"description": "e"}}))
        .await;
    assert_eq!(changed.body["consumer"]["description"], "e");
    let listed = world.admin("GET", path, Value::Null).await;
    assert_eq!(listed.body["consumers"][0]["description"], "e");
    assert_eq!(
        world.member("GET", path, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );
    let deleted = world.admin("DELETE", &one, Value::Null).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(
        world.admin("GET", &one, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn policies_are_kept() {
    let world = World::new().await;
    let wanted = json!({"type": "application/json", "blob": "{}"});
    let id = world.make("policy", "policies", wanted.clone()).await;
    let bare = json!({"policy": {"type": "x"}});
    assert_eq!(
        world.admin("POST", "policies", bare).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world
            .member("POST", "policies", json!({"policy": wanted}))
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    let path = format!("policies/{id}");
    let changed = world
        .admin("PATCH", &path, json!({"policy": {"type": "y"}}))
        .await;
    assert_eq!(changed.body["policy"]["type"], "y");
    let listed = world.admin("GET", "policies?type=y", Value::Null).await;
    assert_eq!(listed.body["policies"][0]["blob"], "{}");
    let none = world.admin("GET", "policies?type=z", Value::Null).await;
    assert_eq!(none.body["policies"], json!([]));
    world.admin("DELETE", &path, Value::Null).await;
    assert_eq!(
        world.admin("GET", &path, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
}

/// The types that the member's catalogue shows.
async fn catalogue(world: &World) -> Vec<String> {
    let shown = world.member("GET", "auth/catalog", Value::Null).await;
    let entries = shown.body["catalog"].as_array().unwrap();
    let mut kinds: Vec<String> = entries
        .iter()
        .map(|entry| entry["type"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn a_project_sees_the_endpoints_it_has_or_all() {
    let world = World::new().await;
    let services = world
        .admin("GET", "services?type=volumev3", Value::Null)
        .await;
    let service = services.body["services"][0]["id"].as_str().unwrap();
    let before = catalogue(&world).await;
    assert!(before.len() > 2);
    let base = "OS-EP-FILTER/endpoint_groups";
    let wanted = json!({"name": "g", "filters": {"service_id": service, "interface": "public"}});
    let group = world.make("endpoint_group", base, wanted).await;
    let one = format!("{base}/{group}");
    assert_eq!(
        world.admin("HEAD", &one, Value::Null).await.status,
        StatusCode::OK
    );
    let endpoints = world
        .admin("GET", &format!("{one}/endpoints"), Value::Null)
        .await;
    let endpoints = endpoints.body["endpoints"].as_array().unwrap().clone();
    assert_eq!(endpoints.len(), 1);
    assert_eq!(catalogue(&world).await, before);

    let link = format!("{one}/projects/{}", world.project);
    assert_eq!(
        world.admin("GET", &link, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.member("PUT", &link, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        world.admin("PUT", &link, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(catalogue(&world).await, ["volumev3"]);
    let shown = world.admin("GET", &link, Value::Null).await;
    assert_eq!(
        shown.body["project_endpoint_group"]["project_id"],
        world.project.as_str()
    );
    let projects = world
        .admin("GET", &format!("{one}/projects"), Value::Null)
        .await;
    assert_eq!(projects.body["projects"][0]["id"], world.project.as_str());

    let of_project = format!("OS-EP-FILTER/projects/{}", world.project);
    let groups = world
        .admin("GET", &format!("{of_project}/endpoint_groups"), Value::Null)
        .await;
    assert_eq!(groups.body["endpoint_groups"][0]["id"], group.as_str());
    let all = world
        .admin("GET", "endpoints?interface=admin", Value::Null)
        .await;
    let mut others = all.body["endpoints"].as_array().unwrap().iter();
    let other = others
        .find(|endpoint| endpoint["service_id"] != service)
        .unwrap();
    let other = other["id"].as_str().unwrap();
    let link = format!("{of_project}/endpoints/{other}");
    assert_eq!(
        world.admin("GET", &link, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.admin("PUT", &link, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        world.admin("HEAD", &link, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(catalogue(&world).await.len(), 2);
    let listed = world
        .admin("GET", &format!("{of_project}/endpoints"), Value::Null)
        .await;
    assert_eq!(listed.body["endpoints"].as_array().unwrap().len(), 2);
    let having = format!("OS-EP-FILTER/endpoints/{other}/projects");
    let having = world.admin("GET", &having, Value::Null).await;
    assert_eq!(having.body["projects"][0]["id"], world.project.as_str());

    assert_eq!(
        world.admin("DELETE", &one, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(catalogue(&world).await.len(), 1);
    world
        .admin("DELETE", &format!("endpoints/{other}"), Value::Null)
        .await;
    assert_eq!(catalogue(&world).await, before);
}

#[tokio::test]
async fn filters_of_endpoint_groups_are_checked() {
    let world = World::new().await;
    for filters in [
        json!({}),
        json!({"url": "x"}),
        json!({"interface": "x"}),
        json!([]),
        json!(null),
    ] {
        let wanted = json!({"endpoint_group": {"name": "g", "filters": filters}});
        let refused = world
            .admin("POST", "OS-EP-FILTER/endpoint_groups", wanted)
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    }
}

#[tokio::test]
async fn a_domains_configuration_is_kept_in_parts() {
    let world = World::new().await;
    let domain = world.make("domain", "domains", json!({"name": "d"})).await;
    let path = format!("domains/{domain}/config");
    let part = |rest: &str| format!("{path}/{rest}");
    let get = async |path: &str| world.admin("GET", path, Value::Null).await;
    let config = json!({
        "identity": {"driver": "ldap"},
        "ldap": {"url": "ldap://a", "password": "topsecret"},
    });
    let made = world.admin("PUT", &path, json!({ "config": config })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let shown = json!({"config": {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://a"}}});
    assert_eq!(made.body, shown);
    assert_eq!(get(&path).await.body, shown);
    assert_eq!(
        get(&part("ldap")).await.body,
        json!({"config": {"ldap": {"url": "ldap://a"}}})
    );
    assert_eq!(
        get(&part("ldap/url")).await.body,
        json!({"config": {"url": "ldap://a"}})
    );
    assert_eq!(
        get(&part("ldap/password")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(get(&part("ldap/user")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&part("sql")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        world.member("GET", &path, Value::Null).await.status,
        StatusCode::FORBIDDEN
    );

    let group = json!({"config": {"identity": {"driver": "x", "list_limit": 7}}});
    let changed = world.admin("PATCH", &part("identity"), group).await;
    assert_eq!(changed.body["config"]["identity"]["list_limit"], 7);
    let option = json!({"config": {"driver": "y"}});
    let changed = world
        .admin("PATCH", &part("identity/driver"), option.clone())
        .await;
    assert_eq!(changed.body["config"]["identity"]["driver"], "y");
    let refused = world.admin("PATCH", &part("ldap/url"), option).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = world.admin("PATCH", &path, json!({"config": {}})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    for (rest, left) in [("identity/driver", "identity"), ("identity", "ldap")] {
        let deleted = world.admin("DELETE", &part(rest), Value::Null).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        assert_eq!(get(&part(rest)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(get(&part(left)).await.status, StatusCode::OK);
    }
    let replaced = world
        .admin("PUT", &path, json!({"config": {"ldap": {"user": "u"}}}))
        .await;
    assert_eq!(
        (replaced.status, &replaced.body["config"]["ldap"]),
        (StatusCode::OK, &json!({"user": "u"}))
    );
    assert_eq!(
        world.admin("DELETE", &path, Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn defaults_of_domains_are_shown_by_group_and_option() {
    let world = World::new().await;
    let get = async |path: &str| world.admin("GET", path, Value::Null).await;
    let all = get("domains/config/default").await.body;
    assert_eq!(
        all["config"]["identity"],
        json!({"driver": "sql", "list_limit": null})
    );
    let ldap = get("domains/config/ldap/default").await.body;
    assert_eq!(ldap["config"]["ldap"], all["config"]["ldap"]);
    assert!(ldap["config"]["ldap"].get("password").is_none());
    let option = get("domains/config/ldap/page_size/default").await.body;
    assert_eq!(option, json!({"config": {"page_size": 0}}));
    assert_eq!(
        get("domains/config/ldap/password/default").await.status,
        StatusCode::FORBIDDEN
    );
    let path = "domains/default/config/security_compliance";
    let told = world.member("GET", path, Value::Null).await;
    assert_eq!(
        told.body["config"]["security_compliance"]["password_regex"],
        Value::Null
    );
}

#[tokio::test]
async fn unified_limits_are_there_and_none() {
    let world = World::new().await;
    for kind in ["limits", "registered_limits"] {
        let listed = world.member("GET", kind, Value::Null).await;
        assert_eq!(listed.status, StatusCode::OK);
        assert_eq!(listed.body[kind], json!([]));
        let own = listed.body["links"]["self"].as_str().unwrap();
        assert!(own.ends_with(&format!("/v3/{kind}")), "{own}");
        let path = format!("/identity/v3/{kind}");
        let denied = world.cloud.send("GET", &path, &[], Value::Null).await;
        assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
    }
}
