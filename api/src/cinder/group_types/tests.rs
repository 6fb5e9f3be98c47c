//! Group types through the router.

use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::tests::{Site, id_of, message};

#[tokio::test]
async fn types_are_made_listed_changed_and_removed() {
    let site = Site::new().await;
    let wanted = json!({"group_type": {
        "name": "gt", "description": "d", "is_public": false, "group_specs": {"a": "b"},
    }});
    let made = site.post("/group_types", wanted.clone()).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let id = id_of(&made);
    let shown = json!({
        "id": id, "name": "gt", "description": "d", "is_public": false, "group_specs": {"a": "b"},
    });
    assert_eq!(made.body["group_type"], shown);
    let twice = site.post("/group_types", wanted).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert_eq!(message(&twice), "Group Type gt already exists.");
    let names = async |query: &str| {
        let list = site.get(&format!("/group_types{query}")).await;
        let items = list.body["group_types"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["default_cgsnapshot_type"]);
    assert_eq!(names("?is_public=False").await, ["gt"]);
    assert_eq!(
        names("?is_public=None&sort=name:desc").await,
        ["gt", "default_cgsnapshot_type"]
    );
    let page = site.get("/group_types?is_public=None&limit=1").await;
    let link = page.body["group_type_links"][0]["href"].as_str().unwrap();
    assert!(
        link.contains("/v3/group_types?is_public=None&limit=1&marker="),
        "{link}"
    );
    let path = format!("/group_types/{id}");
    let change = json!({"group_type": {"description": "e"}});
    let changed = site.call("PUT", &path, change).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body["group_type"]["description"], "e");
    let nothing = json!({"group_type": {"name": null}});
    let nothing = site.call("PUT", &path, nothing).await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.delete(&path).await.status, StatusCode::ACCEPTED);
    let gone = site.get(&path).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(
        message(&gone),
        format!("Group type {id} could not be found.")
    );
}

#[tokio::test]
async fn bodies_are_refused_in_the_words_of_the_schemas() {
    let site = Site::new().await;
    for (body, says) in [
        (
            json!({"name": ""}),
            "Invalid input for field/attribute name. Value: . '' should be non-empty",
        ),
        (
            json!({"description": "x"}),
            "Invalid input for field/attribute group_type. Value: {'description': 'x'}. 'name' is \
             a required property",
        ),
        (
            json!({"name": "x", "colour": "red"}),
            "Additional properties are not allowed ('colour' was unexpected)",
        ),
    ] {
        let refused = site.post("/group_types", json!({"group_type": body})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(message(&refused).ends_with(says), "{}", message(&refused));
    }
    let default = site.get("/group_types/default").await;
    assert_eq!(default.status, StatusCode::NOT_FOUND);
    assert_eq!(message(&default), "Default group type can not be found.");
}

#[tokio::test]
async fn specs_are_read_set_and_removed_one_by_one() {
    let site = Site::new().await;
    let id = site.make("group_type", json!({"name": "gt"})).await;
    let path = format!("/group_types/{id}/group_specs");
    let specs = json!({"group_specs": {"a": "1", "b": "2"}});
    let added = site.post(&path, specs.clone()).await;
    assert_eq!((added.status, &added.body), (StatusCode::ACCEPTED, &specs));
    let one = format!("{path}/a");
    let set = site.call("PUT", &one, json!({"a": "3"})).await;
    assert_eq!((set.status, set.body), (StatusCode::OK, json!({"a": "3"})));
    let other = site.call("PUT", &one, json!({"b": "3"})).await;
    assert_eq!(message(&other), "Request body and URI mismatch");
    assert_eq!(site.get(&one).await.body, json!({"a": "3"}));
    assert_eq!(site.delete(&one).await.status, StatusCode::ACCEPTED);
    let all = site.get(&path).await;
    assert_eq!(all.body, json!({"group_specs": {"b": "2"}}));
    for gone in [site.get(&one).await, site.delete(&one).await] {
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn specs_and_changes_are_for_admins_and_all_of_it_since_3_11() {
    let site = Site::new().await;
    let id = site.make("group_type", json!({"name": "gt"})).await;
    let member = site.cloud.token_of_another_project(&site.admin).await;
    let paths = [
        ("GET", format!("/group_types/{id}"), StatusCode::OK),
        ("GET", "/group_types".to_owned(), StatusCode::OK),
        (
            "GET",
            format!("/group_types/{id}/group_specs"),
            StatusCode::FORBIDDEN,
        ),
        (
            "DELETE",
            format!("/group_types/{id}"),
            StatusCode::FORBIDDEN,
        ),
    ];
    for (method, path, status) in paths {
        let path = format!("/volume/v3{path}");
        for (version, status) in [("3.71", status), ("3.10", StatusCode::NOT_FOUND)] {
            let version = format!("volume {version}");
            let headers = [
                ("X-Auth-Token", member.as_str()),
                ("OpenStack-API-Version", &version),
            ];
            let answer = site.cloud.send(method, &path, &headers, Value::Null).await;
            assert_eq!(answer.status, status, "{method} {path} {version}");
            assert!(!answer.body.to_string().contains("group_specs\":"));
        }
    }
}
