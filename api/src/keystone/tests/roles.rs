//! Roles that come with others, and roles of domains.

use serde_json::{Value, json};

use super::{expect, first_id, make, role_names};
use crate::testing::Cloud;

#[tokio::test]
async fn implied_roles_come_and_go_with_their_rules() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let does = async |call: (&str, &str), status: u16| {
        expect(&cloud, &admin, call, Value::Null, status).await
    };
    let prior = make(&cloud, &admin, "role", json!({"name": "prior"})).await;
    let implied = make(&cloud, &admin, "role", json!({"name": "implied"})).await;
    super::demo_user(&cloud, &admin, "mia", "prior").await;
    let scope = json!({"project": {"name": "demo", "domain": {"id": "default"}}});
    let rule = format!("/roles/{prior}/implies/{implied}");
    does(("GET", &rule), 404).await;
    let made = does(("PUT", &rule), 201).await;
    assert_eq!(made["role_inference"]["implies"]["name"], "implied");
    assert_eq!(does(("GET", &rule), 200).await, made);
    does(("HEAD", &rule), 204).await;
    let of_role = does(("GET", &format!("/roles/{prior}/implies")), 200).await;
    assert_eq!(
        of_role["role_inference"]["implies"][0]["id"],
        json!(implied)
    );
    let all = does(("GET", "/role_inferences"), 200).await;
    // Those of the built-in chain are three.
    assert_eq!(all["role_inferences"].as_array().unwrap().len(), 4);
    let login = cloud.login("mia", "pw", scope.clone()).await;
    assert_eq!(role_names(&login), ["implied", "prior"]);

    does(("DELETE", &rule), 204).await;
    does(("DELETE", &rule), 404).await;
    assert_eq!(
        role_names(&cloud.login("mia", "pw", scope).await),
        ["prior"]
    );
    let all = first_id(&cloud, &admin, "roles", "admin").await;
    does(("PUT", &format!("/roles/{prior}/implies/{all}")), 403).await;
    does(("PUT", &rule), 201).await;
    does(("DELETE", &format!("/roles/{implied}")), 204).await;
    let of_role = does(("GET", &format!("/roles/{prior}/implies")), 200).await;
    assert_eq!(of_role["role_inference"]["implies"], json!([]));
}

#[tokio::test]
async fn roles_of_a_domain_are_only_good_for_what_they_imply() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let does = async |call: (&str, &str), status: u16| {
        expect(&cloud, &admin, call, Value::Null, status).await
    };
    let domain = make(&cloud, &admin, "domain", json!({"name": "d"})).await;
    // The name may be that of a role of no domain.
    let own = json!({"name": "member", "domain_id": domain});
    let role = make(&cloud, &admin, "role", own.clone()).await;
    let twice = json!({ "role": own });
    expect(&cloud, &admin, ("POST", "/roles"), twice, 409).await;
    let named = does(("GET", "/roles?name=member"), 200).await;
    assert_eq!(named["roles"].as_array().unwrap().len(), 1);
    let listed = does(("GET", &format!("/roles?domain_id={domain}")), 200).await;
    assert_eq!(listed["roles"][0]["id"], json!(role));

    let project = make(
        &cloud,
        &admin,
        "project",
        json!({"name": "p", "domain_id": domain}),
    )
    .await;
    let user = json!({"name": "u", "password": "pw"});
    let user = make(&cloud, &admin, "user", user).await;
    let demo = first_id(&cloud, &admin, "projects", "demo").await;
    does(
        (
            "PUT",
            &format!("/projects/{demo}/users/{user}/roles/{role}"),
        ),
        403,
    )
    .await;
    does(
        (
            "PUT",
            &format!("/projects/{project}/users/{user}/roles/{role}"),
        ),
        204,
    )
    .await;
    let scope = json!({"project": {"id": project}});
    super::assert_401(&cloud.login("u", "pw", scope.clone()).await);
    let effective = format!("/role_assignments?user.id={user}&effective");
    assert_eq!(
        does(("GET", &effective), 200).await["role_assignments"],
        json!([])
    );
    let other = first_id(&cloud, &admin, "roles", "member").await;
    let upward = format!("/roles/{other}/implies/{role}");
    does(("PUT", &upward), 403).await;
    let reader = first_id(&cloud, &admin, "roles", "reader").await;
    does(("PUT", &format!("/roles/{role}/implies/{reader}")), 201).await;
    assert_eq!(role_names(&cloud.login("u", "pw", scope).await), ["reader"]);
}

#[tokio::test]
async fn lists_are_cut_by_parts_of_names() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    for (query, found) in [
        ("name__contains=ead", 1),
        ("name__startswith=m", 2),
        ("name__icontains=EMBE", 1),
        ("name__endswith=er", 3),
        ("name__endswith=x", 0),
    ] {
        let path = format!("/roles?{query}");
        let list = expect(&cloud, &admin, ("GET", &path), Value::Null, 200).await;
        assert_eq!(list["roles"].as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test]
async fn regions_are_a_tree_too() {
    let cloud = Cloud::new();
    let admin = cloud.admin().await;
    let body = |parent: Value| json!({"region": {"parent_region_id": parent}});
    let does = async |call: (&str, &str), body: Value, status: u16| {
        expect(&cloud, &admin, call, body, status).await
    };
    does(("PUT", "/regions/north"), body(Value::Null), 201).await;
    does(("PUT", "/regions/north"), body(Value::Null), 409).await;
    does(("PUT", "/regions/west"), body(json!("north")), 201).await;
    does(("PUT", "/regions/lost"), body(json!("nowhere")), 404).await;
    does(("PATCH", "/regions/north"), body(json!("west")), 400).await;
    let list = does(("GET", "/regions?parent_region_id=north"), Value::Null, 200).await;
    assert_eq!(list["regions"][0]["id"], "west");
    does(("DELETE", "/regions/north"), Value::Null, 204).await;
    does(("GET", "/regions/west"), Value::Null, 404).await;
}
