//! Projects as a tree, their labels, and domains as projects.

use serde_json::{Value, json};

use super::{expect, make};
use crate::testing::Cloud;

async fn project(cloud: &Cloud, admin: &str, name: &str, parent: Option<&str>) -> String {
    make(
        cloud,
        admin,
        "project",
        json!({"name": name, "parent_id": parent}),
    )
    .await
}

#[tokio::test]
async fn a_tree_is_shown_and_held_together() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let does = async |call: (&str, &str), body: Value, status: u16| {
        expect(&cloud, &admin, call, body, status).await
    };
    let top = project(&cloud, &admin, "top", None).await;
    let middle = project(&cloud, &admin, "middle", Some(&top)).await;
    let leaf = project(&cloud, &admin, "leaf", Some(&middle)).await;
    let path = |id: &str| format!("/projects/{id}");

    let shown = does(
        ("GET", &format!("{}?parents_as_ids", path(&leaf))),
        Value::Null,
        200,
    )
    .await;
    let above = json!({ &middle: { &top: { "default": null } } });
    assert_eq!(shown["project"]["parents"], above);
    let shown = does(
        ("GET", &format!("{}?subtree_as_ids", path(&top))),
        Value::Null,
        200,
    )
    .await;
    assert_eq!(
        shown["project"]["subtree"],
        json!({ &middle: { &leaf: null } })
    );
    // Lists have only what the caller has a role on.
    let list = format!("{}?subtree_as_list&parents_as_list", path(&top));
    let shown = does(("GET", &list), Value::Null, 200).await;
    assert_eq!(shown["project"]["subtree"], json!([]));
    let both = format!("{}?subtree_as_list&subtree_as_ids", path(&top));
    does(("GET", &both), Value::Null, 400).await;
    let children = does(
        ("GET", &format!("/projects?parent_id={top}")),
        Value::Null,
        200,
    )
    .await;
    assert_eq!(children["projects"][0]["id"], json!(middle));

    let enabled = |flag: bool| json!({"project": {"enabled": flag}});
    does(("PATCH", &path(&top)), enabled(false), 403).await;
    does(("DELETE", &path(&top)), Value::Null, 403).await;
    for id in [&leaf, &middle, &top] {
        does(("PATCH", &path(id)), enabled(false), 200).await;
    }
    does(("PATCH", &path(&leaf)), enabled(true), 403).await;
    let below = json!({"project": {"name": "new", "parent_id": leaf}});
    does(("POST", "/projects"), below, 400).await;
    let moved = json!({"project": {"parent_id": top}});
    does(("PATCH", &path(&leaf)), moved, 403).await;
    for id in [&leaf, &middle, &top] {
        does(("DELETE", &path(id)), Value::Null, 204).await;
    }
}

#[tokio::test]
async fn a_tree_is_not_too_deep_and_stays_in_its_domain() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let mut parent = project(&cloud, &admin, "p0", None).await;
    for level in 1..5 {
        parent = project(&cloud, &admin, &format!("p{level}"), Some(&parent)).await;
    }
    let deeper = json!({"project": {"name": "deeper", "parent_id": parent}});
    expect(&cloud, &admin, ("POST", "/projects"), deeper, 403).await;
    let domain = make(&cloud, &admin, "domain", json!({"name": "d"})).await;
    let across = json!({"project": {"name": "x", "domain_id": domain, "parent_id": parent}});
    expect(&cloud, &admin, ("POST", "/projects"), across, 400).await;
    let nowhere = json!({"project": {"name": "x", "parent_id": "nowhere"}});
    expect(&cloud, &admin, ("POST", "/projects"), nowhere, 400).await;
}

#[tokio::test]
async fn labels_are_put_on_asked_for_and_taken_off() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let does = async |call: (&str, &str), body: Value, status: u16| {
        expect(&cloud, &admin, call, body, status).await
    };
    let object = json!({"name": "p", "tags": ["a", "b"], "colour": "red"});
    let id = make(&cloud, &admin, "project", object).await;
    let shown = does(("GET", &format!("/projects/{id}")), Value::Null, 200).await;
    assert_eq!(shown["project"]["tags"], json!(["a", "b"]));
    assert_eq!(shown["project"]["colour"], "red");
    let tags = format!("/projects/{id}/tags");
    let tag = |name: &str| format!("{tags}/{name}");
    does(("PUT", &tag("c")), Value::Null, 201).await;
    does(("GET", &tag("c")), Value::Null, 204).await;
    does(("HEAD", &tag("c")), Value::Null, 204).await;
    for (query, found) in [
        ("tags=a,c", 1),
        ("tags=a,x", 0),
        ("tags-any=x,c", 1),
        ("not-tags=a,x&name=p", 1),
        ("not-tags-any=x,c&name=p", 0),
    ] {
        let list = does(("GET", &format!("/projects?{query}")), Value::Null, 200).await;
        assert_eq!(list["projects"].as_array().unwrap().len(), found, "{query}");
    }
    does(("DELETE", &tag("a")), Value::Null, 204).await;
    does(("GET", &tag("a")), Value::Null, 404).await;
    let replaced = does(("PUT", &tags), json!({"tags": ["x"]}), 200).await;
    assert_eq!(replaced["tags"], json!(["x"]));
    let many: Vec<String> = (0..81).map(|at| at.to_string()).collect();
    for wrong in [
        json!(["a", "a"]),
        json!(["a,b"]),
        json!([""]),
        json!("a"),
        json!(many),
    ] {
        does(("PUT", &tags), json!({ "tags": wrong }), 400).await;
    }
    does(("DELETE", &tags), Value::Null, 204).await;
    let left = does(("GET", &tags), Value::Null, 200).await;
    assert_eq!(left["tags"], json!([]));
}

#[tokio::test]
async fn a_domain_is_a_project_that_acts_as_one() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let does = async |call: (&str, &str), body: Value, status: u16| {
        expect(&cloud, &admin, call, body, status).await
    };
    let object = json!({"project": {"name": "d", "is_domain": true, "domain_id": null}});
    let made = does(("POST", "/projects"), object.clone(), 201).await["project"].clone();
    does(("POST", "/projects"), object, 409).await;
    assert_eq!(
        (&made["is_domain"], &made["domain_id"]),
        (&json!(true), &Value::Null)
    );
    let id = made["id"].as_str().unwrap();
    let domain = does(("GET", &format!("/domains/{id}")), Value::Null, 200).await;
    assert_eq!(domain["domain"]["name"], "d");
    let path = format!("/projects/{id}");
    let shown = does(("GET", &path), Value::Null, 200).await;
    assert_eq!(shown["project"], made);
    let list = does(("GET", "/projects?is_domain=True"), Value::Null, 200).await;
    assert_eq!(list["projects"].as_array().unwrap().len(), 2);
    does(("DELETE", &path), Value::Null, 403).await;
    let disable = json!({"project": {"enabled": false}});
    does(("PATCH", &path), disable, 200).await;
    does(("DELETE", &path), Value::Null, 204).await;
    does(("GET", &path), Value::Null, 404).await;
}

#[tokio::test]
async fn what_must_stay_stays() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    for kind in ["project", "role", "domain"] {
        let object = json!({"name": "fixed", "enabled": false, "options": {"immutable": true}});
        let id = make(&cloud, &admin, kind, object).await;
        let path = format!("/{kind}s/{id}");
        let change = |change: Value| json!({ kind: change });
        for refused in [
            json!({"name": "other"}),
            json!({"name": "other", "options": {"immutable": false}}),
            json!({"options": {"immutable": true}}),
        ] {
            expect(&cloud, &admin, ("PATCH", &path), change(refused), 403).await;
        }
        expect(&cloud, &admin, ("DELETE", &path), Value::Null, 403).await;
        let loosen = change(json!({"options": {"immutable": false}}));
        expect(&cloud, &admin, ("PATCH", &path), loosen, 200).await;
        let rename = change(json!({"name": "other"}));
        expect(&cloud, &admin, ("PATCH", &path), rename, 200).await;
        expect(&cloud, &admin, ("DELETE", &path), Value::Null, 204).await;
    }
}
