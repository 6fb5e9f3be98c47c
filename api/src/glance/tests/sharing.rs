//! Sharing images with projects.

use http::StatusCode;
use serde_json::{Value, json};

use super::World;

impl World {
    /// The id of the other project.
    async fn project(&self) -> String {
        let id = self.image(json!({})).await;
        self.shown(&id).await["owner"].as_str().unwrap().to_owned()
    }

    /// An image of the admin's, shared with the other project.
    async fn offered(&self) -> (String, String) {
        let body = json!({"name": "offer", "disk_format": "raw", "container_format": "bare"});
        let made = self.ask(&self.admin, "POST", "/images", body).await;
        let id = made.body["id"].as_str().unwrap().to_owned();
        let project = self.project().await;
        let path = format!("/images/{id}/members");
        let add = self
            .ask(&self.admin, "POST", &path, json!({"member": project}))
            .await;
        assert_eq!(add.status, StatusCode::OK, "{:?}", add.body);
        assert_eq!(add.body["status"], "pending");
        (id, project)
    }

    async fn lists(&self, id: &str, query: &str) -> bool {
        let path = format!("/images?limit=100{query}");
        let list = self.ask(&self.other, "GET", &path, Value::Null).await;
        let images = list.body["images"].as_array().unwrap();
        images.iter().any(|image| image["id"] == id)
    }
}

#[tokio::test]
async fn an_offer_is_seen_then_accepted_then_listed() {
    let world = World::new().await;
    let (id, project) = world.offered().await;
    assert_eq!(world.shown(&id).await["name"], "offer");
    assert!(!world.lists(&id, "").await);
    assert!(
        world
            .lists(&id, "&member_status=pending&visibility=shared")
            .await
    );
    let path = format!("/images/{id}/members/{project}");
    for status in ["accepted", "rejected", "accepted"] {
        let body = json!({"status": status});
        let changed = world.ask(&world.other, "PUT", &path, body).await;
        assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
        assert_eq!(world.lists(&id, "").await, status == "accepted");
    }
    let wrong = world
        .ask(&world.other, "PUT", &path, json!({"status": "maybe"}))
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let shown = world.ask(&world.other, "GET", &path, Value::Null).await;
    assert_eq!(shown.body["member_id"], project);
    let gone = world.ask(&world.admin, "DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let image = format!("/images/{id}");
    let hidden = world.ask(&world.other, "GET", &image, Value::Null).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_member_may_not_share_further_nor_see_other_members() {
    let world = World::new().await;
    let (id, project) = world.offered().await;
    let path = format!("/images/{id}/members");
    let third = json!({"member": "third"});
    let added = world.ask(&world.admin, "POST", &path, third.clone()).await;
    assert_eq!(added.status, StatusCode::OK);
    let again = world.ask(&world.admin, "POST", &path, third).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let share = world
        .ask(&world.other, "POST", &path, json!({"member": "x"}))
        .await;
    assert_eq!(share.status, StatusCode::FORBIDDEN);
    let seen = world.ask(&world.other, "GET", &path, Value::Null).await;
    let members = seen.body["members"].as_array().unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0]["member_id"], project);
    let all = world.ask(&world.admin, "GET", &path, Value::Null).await;
    assert_eq!(all.body["members"].as_array().unwrap().len(), 2);
    let theirs = format!("{path}/third");
    let accept = json!({"status": "accepted"});
    let change = world.ask(&world.other, "PUT", &theirs, accept).await;
    assert_eq!(change.status, StatusCode::NOT_FOUND);
    let own = format!("{path}/{project}");
    let leave = world.ask(&world.other, "DELETE", &own, Value::Null).await;
    assert_eq!(leave.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_owner_cannot_accept_for_a_member() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/members");
    world
        .ask(&world.other, "POST", &path, json!({"member": "third"}))
        .await;
    let theirs = format!("{path}/third");
    let accept = json!({"status": "accepted"});
    let change = world.ask(&world.other, "PUT", &theirs, accept).await;
    assert_eq!(change.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn odd_members_are_refused() {
    let world = World::new().await;
    let id = world.image(json!({})).await;
    let path = format!("/images/{id}/members");
    for (body, status) in [
        (json!({}), 400),
        (json!({"member": ""}), 400),
        (json!({"member": 1}), 400),
        (json!([]), 400),
        (Value::Null, 400),
        (json!({"member": "../../x"}), 200),
    ] {
        let answer = world.ask(&world.other, "POST", &path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    let private = world.image(json!({"visibility": "private"})).await;
    let path = format!("/images/{private}/members");
    let list = world.ask(&world.other, "GET", &path, Value::Null).await;
    assert_eq!(list.status, StatusCode::FORBIDDEN);
}
