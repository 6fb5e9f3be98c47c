//! What records tell, through the router, and what they never do.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};

use super::{AuditLog, Record, shown_path};
use crate::testing::{Cloud, PASSWORD};

#[derive(Default)]
struct Kept(Mutex<Vec<Record>>);

impl AuditLog for Kept {
    fn record(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

impl Kept {
    fn of(cloud: &Cloud) -> Arc<Self> {
        let kept = Arc::new(Self::default());
        cloud.services.connect_audit(kept.clone());
        kept
    }

    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn last(&self) -> Record {
        self.take().pop().unwrap()
    }
}

#[tokio::test]
async fn changes_are_told_with_who_and_what() {
    let cloud = Cloud::new();
    let kept = Kept::of(&cloud);
    let admin = cloud.admin().await;
    let login = kept.last();
    assert_eq!((login.status, login.outcome), (201, "success"));
    assert_eq!(login.route, "/identity/v3/auth/tokens");
    assert_eq!(login.who.as_ref().unwrap().user, "admin");

    let body = json!({"volume": {"size": 1, "name": "v"}});
    let made = cloud.call(&admin, "POST", "/volume/v3/volumes", body).await;
    let id = made.body["volume"]["id"].as_str().unwrap();
    let record = kept.last();
    assert_eq!(record.request_id, made.header("x-openstack-request-id"));
    assert_eq!(record.route, "/volume/v3/volumes");
    let who = record.who.unwrap();
    assert_eq!((who.user.as_str(), who.scope), ("admin", Some("project")));
    assert!(who.roles.iter().any(|role| role == "admin"));
    assert!(record.changes.iter().any(|change| change.object == id));
    cloud.run_jobs();

    // What only asks leaves no trace, be it refused.
    let path = format!("/volume/v3/volumes/{id}");
    cloud.call(&admin, "GET", &path, Value::Null).await;
    cloud
        .call(&admin, "GET", "/volume/v3/volumes/none", Value::Null)
        .await;
    assert_eq!(kept.take(), []);

    let refused = cloud
        .call(
            &admin,
            "PUT",
            "/volume/v3/volumes/none",
            json!({"volume": {}}),
        )
        .await;
    assert!(refused.status.is_client_error());
    let record = kept.last();
    assert_eq!(record.outcome, "failure");
    assert_eq!(record.objects.len(), 1);
    assert_eq!(record.objects[0].1, "none");
}

#[tokio::test]
async fn refused_logins_and_tokens_are_told() {
    let cloud = Cloud::new();
    let kept = Kept::of(&cloud);
    let refused = cloud.login("admin", "wrong", Value::Null).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let record = kept.last();
    assert_eq!((record.status, record.outcome), (401, "failure"));
    assert_eq!(record.who.unwrap().user, "admin");
    cloud
        .call("nonsense", "GET", "/volume/v3/volumes", Value::Null)
        .await;
    let record = kept.last();
    assert_eq!((record.status, record.who), (401, None));
}

#[tokio::test]
async fn no_record_holds_a_secret() {
    let cloud = Cloud::new();
    let kept = Kept::of(&cloud);
    let admin = cloud.admin().await;
    cloud.login("admin", "wrong-pass-phrase", Value::Null).await;
    let user = json!({"user": {"name": "u", "password": "first-pass-phrase"}});
    let made = cloud.call(&admin, "POST", "/identity/v3/users", user).await;
    let id = made.body["user"]["id"].as_str().unwrap();
    let change = json!({"user": {"password": "other-pass-phrase"}});
    let path = format!("/identity/v3/users/{id}");
    cloud.call(&admin, "PATCH", &path, change).await;
    let headers = [
        ("X-Auth-Token", admin.as_str()),
        ("X-Subject-Token", &admin),
    ];
    let path = "/identity/v3/auth/tokens";
    cloud.send("DELETE", path, &headers, Value::Null).await;
    // In a path, as version 2.0 of Identity has them.
    let path = format!("/identity/v2.0/tokens/{admin}");
    cloud
        .send("DELETE", &path, &[("X-Auth-Token", &admin)], Value::Null)
        .await;
    let told = serde_json::to_string(&kept.take()).unwrap();
    assert!(told.contains(id));
    for secret in [PASSWORD, &admin, "pass-phrase"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn paths_are_shown_without_tokens() {
    let path = "/identity/v2.0/tokens/abc/endpoints";
    assert_eq!(shown_path(path), "/identity/v2.0/tokens/***/endpoints");
    assert_eq!(shown_path("/v3/auth/tokens"), "/v3/auth/tokens");
    assert_eq!(shown_path("/v3/auth/tokens/"), "/v3/auth/tokens/");
    assert_eq!(shown_path(&"é".repeat(1000)).len(), 200);
}
