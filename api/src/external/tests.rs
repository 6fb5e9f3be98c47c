//! Against a real peer: another cloud's Identity, on a socket of this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Keystone, Settings};
use crate::auth::Scope;
use crate::fault::FaultKind;
use crate::policy::Rules;
use crate::server::identity_root;
use crate::testing::{Cloud, PASSWORD};

/// Seconds for which answers hold here.
const CACHE_S: u64 = 60;

/// A cloud whose Identity answers on a socket, with a user for us.
pub(crate) struct Peer {
    pub(crate) cloud: Cloud,
    url: String,
    /// How often it was asked about a token.
    asked: Arc<AtomicUsize>,
}

fn settings(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        ca: None,
        user: Zeroizing::new("cinder".to_owned()),
        password: Zeroizing::new(PASSWORD.to_owned()),
        user_domain: "Default".to_owned(),
        project: "service".to_owned(),
        project_domain: "Default".to_owned(),
        cache: Duration::from_secs(CACHE_S),
    }
}

impl Peer {
    pub(crate) async fn new() -> Self {
        let cloud = Cloud::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let counted = from_fn(move |request: Request, next: Next| {
            let asks = request.method() == Method::GET;
            if asks && request.uri().path() == "/v3/auth/tokens" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            next.run(request)
        });
        let app = identity_root(&cloud.services).layer(counted);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let peer = Self { cloud, url, asked };
        peer.add_user().await;
        peer
    }

    async fn add_user(&self) {
        let admin = self.cloud.admin().await;
        let user = json!({"user": {"name": "cinder", "password": PASSWORD}});
        let path = "/identity/v3/users";
        let user = self.cloud.call(&admin, "POST", path, user).await;
        let user = user.body["user"]["id"].as_str().unwrap().to_owned();
        let id = async |path: &str, list: &str| {
            let found = self.cloud.call(&admin, "GET", path, Value::Null).await;
            found.body[list][0]["id"].as_str().unwrap().to_owned()
        };
        let project = id("/identity/v3/projects?name=service", "projects").await;
        for role in ["service", "admin"] {
            let role = id(&format!("/identity/v3/roles?name={role}"), "roles").await;
            let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
            self.cloud.call(&admin, "PUT", &grant, Value::Null).await;
        }
    }

    pub(crate) fn client(&self) -> Keystone {
        let clock = self.cloud.services.clock().clone();
        Keystone::new(settings(&self.url), clock).unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) async fn revoke(&self, token: &str) {
        let admin = self.cloud.admin().await;
        let headers = [("X-Auth-Token", admin.as_str()), ("X-Subject-Token", token)];
        let path = "/identity/v3/auth/tokens";
        let revoked = self.cloud.send("DELETE", path, &headers, Value::Null).await;
        assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    }
}

/// The kind of the refusal of a token, if it is refused.
async fn refusal(keystone: &Keystone, token: &str, service: Option<&str>) -> Option<FaultKind> {
    let caller = keystone.caller_of(token, service, Arc::new(Rules::default()));
    caller.await.err().map(|fault| fault.kind())
}

#[tokio::test]
async fn callers_have_the_scope_and_roles_of_their_tokens() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let admin = peer.cloud.admin().await;
    let token = peer.cloud.token_of_another_project(&admin).await;
    let rules = Arc::new(Rules::default());
    let caller = keystone
        .caller_of(&token, None, rules.clone())
        .await
        .unwrap();
    assert_eq!(caller.user_name, "somebody");
    assert!(matches!(&caller.scope, Scope::Project { name, .. } if name == "another"));
    assert!(caller.has_role("member") && caller.has_role("reader") && !caller.is_admin);
    let caller = keystone.caller_of(&admin, None, rules).await.unwrap();
    assert!(caller.is_admin);
    let project = caller.project_id().unwrap();
    assert!(keystone.has_project(project).await.unwrap());
    for none in ["none", "", ".", "..", "a/b"] {
        assert!(!keystone.has_project(none).await.unwrap(), "{none}");
    }
}

#[tokio::test]
async fn a_revocation_counts_within_the_time_of_an_answer() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let token = peer.cloud.admin().await;
    assert_eq!(refusal(&keystone, &token, None).await, None);
    peer.revoke(&token).await;
    peer.cloud.advance_s(CACHE_S - 1);
    assert_eq!(refusal(&keystone, &token, None).await, None);
    assert_eq!(peer.asked(), 1);
    peer.cloud.advance_s(1);
    let refused = Some(FaultKind::Unauthorized);
    assert_eq!(refusal(&keystone, &token, None).await, refused);
    // That it is none holds as long.
    assert_eq!(refusal(&keystone, &token, None).await, refused);
    assert_eq!(peer.asked(), 2);
    for nonsense in ["", "nonsense", "new\nline", &"x".repeat(10_000)] {
        assert_eq!(refusal(&keystone, nonsense, None).await, refused);
    }
}

#[tokio::test]
async fn an_answer_does_not_outlive_its_token() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let token = peer.cloud.admin().await;
    let lifetime_s = peer.cloud.services.config().token_lifetime_s;
    peer.cloud.advance_s(lifetime_s - CACHE_S / 2);
    assert_eq!(refusal(&keystone, &token, None).await, None);
    peer.cloud.advance_s(CACHE_S / 2);
    let refused = Some(FaultKind::Unauthorized);
    assert_eq!(refusal(&keystone, &token, None).await, refused);
    // A service goes on with what its user began, and nobody else.
    let service = keystone.service_token().await.unwrap();
    assert_eq!(refusal(&keystone, &token, Some(&service)).await, None);
    let admin = peer.cloud.admin().await;
    assert_eq!(refusal(&keystone, &token, Some(&admin)).await, refused);
    assert_eq!(refusal(&keystone, &admin, Some("none")).await, refused);
}

#[tokio::test]
async fn what_is_asked_at_the_same_time_is_one_request() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let token = peer.cloud.admin().await;
    let ask = || {
        let (keystone, token) = (keystone.clone(), token.clone());
        tokio::spawn(async move { refusal(&keystone, &token, None).await })
    };
    let asks: Vec<_> = (0..50).map(|_| ask()).collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap(), None);
    }
    assert_eq!(peer.asked(), 1);
}

#[tokio::test]
async fn our_own_token_is_replaced_when_it_is_no_longer_good() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let first = keystone.service_token().await.unwrap();
    assert_eq!(keystone.service_token().await.unwrap(), first);
    peer.revoke(&first).await;
    let token = peer.cloud.admin().await;
    assert_eq!(refusal(&keystone, &token, None).await, None);
    let second = keystone.service_token().await.unwrap();
    assert_ne!(second, first);
    peer.cloud
        .advance_s(peer.cloud.services.config().token_lifetime_s - 30);
    assert_ne!(keystone.service_token().await.unwrap(), second);
}

#[tokio::test]
async fn nobody_is_turned_away_for_good_while_it_does_not_answer() {
    let peer = Peer::new().await;
    let clock = peer.cloud.services.clock().clone();
    // Taken and let go: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let away = Keystone::new(settings(&url), clock.clone()).unwrap();
    let unknown = Some(FaultKind::NoIdentity);
    assert_eq!(refusal(&away, "token", None).await, unknown);
    // A wrong password is ours, not the caller's.
    let mut wrong = settings(&peer.url);
    wrong.password = Zeroizing::new("wrong".to_owned());
    let keystone = Keystone::new(wrong, clock).unwrap();
    let token = peer.cloud.admin().await;
    assert_eq!(refusal(&keystone, &token, None).await, unknown);
    assert!(!format!("{keystone:?}").contains("wrong"));
}

#[tokio::test]
async fn the_pairing_is_examined() {
    let peer = Peer::new().await;
    let keystone = peer.client();
    let failed = async |keystone: &Keystone, url: &str| {
        let checks = keystone.examine("RegionOne", url).await;
        let failed = checks.into_iter().filter(|check| check.found.is_err());
        failed.map(|check| check.name).collect::<Vec<_>>()
    };
    let right = "http://cloud.test:8080/volume";
    assert_eq!(failed(&keystone, right).await, [""; 0]);
    let elsewhere = failed(&keystone, "http://other.test/volume").await;
    assert_eq!(elsewhere, ["Keystone catalogue"]);
    let mut wrong = settings(&peer.url);
    wrong.password = Zeroizing::new("wrong".to_owned());
    let wrong = Keystone::new(wrong, peer.cloud.services.clock().clone()).unwrap();
    assert_eq!(failed(&wrong, right).await, ["Keystone user"]);
}

#[tokio::test]
async fn block_storage_takes_its_word() {
    let peer = Peer::new().await;
    let cloud = Cloud::with_keystone(peer.client());
    let token = peer.cloud.admin().await;
    let body = json!({"volume": {"size": 1}});
    let path = "/volume/v3/volumes";
    let made = cloud.call(&token, "POST", path, body.clone()).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.body);
    let refused = cloud.call("none", "POST", path, body).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let challenge = format!("Keystone uri=\"{}\"", peer.url);
    assert_eq!(refused.header("www-authenticate"), challenge);
    let version = [
        ("X-Auth-Token", token.as_str()),
        ("OpenStack-API-Version", "volume 3.62"),
    ];
    let default = json!({"default_type": {"volume_type": "__DEFAULT__"}});
    let path = "/volume/v3/default-types/none";
    let unknown = cloud.send("PUT", path, &version, default.clone()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.body);
    let admin = peer.client();
    let caller = admin.caller_of(&token, None, Arc::default()).await.unwrap();
    let path = format!("/volume/v3/default-types/{}", caller.project_id().unwrap());
    let known = cloud.send("PUT", &path, &version, default).await;
    assert_eq!(known.status, StatusCode::OK, "{}", known.body);
}

#[tokio::test]
async fn identity_is_not_served_where_users_are_elsewhere() {
    use axum::body::Body;
    use tower::ServiceExt;
    let peer = Peer::new().await;
    let cloud = Cloud::with_keystone(peer.client());
    let router = crate::server::router(&cloud.services);
    let request = Request::get("/identity/v3").body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
