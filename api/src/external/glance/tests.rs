//! Against another cloud's Image, on a socket of this machine, which may be told to misbehave.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Error, Glance, Settings, UserToken};
use crate::external::Keystone;
use crate::external::tests::Peer;
use crate::server::image_root;

/// What is wrong with the bytes of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The service is there and cannot.
    Broken,
    /// Nothing comes for an hour.
    Silent,
    /// The last bytes are missing.
    Short,
    /// There are more bytes than the image has.
    Long,
    /// One bit is another.
    Wrong,
}

/// A cloud whose Identity and Image answer on sockets.
pub(crate) struct Elsewhere {
    pub(crate) peer: Peer,
    pub(crate) url: String,
    trouble: Arc<Mutex<Trouble>>,
    /// How often bytes were asked for.
    fetched: Arc<AtomicUsize>,
}

async fn spoilt(trouble: Trouble, request: Request, next: Next) -> Response {
    match trouble {
        Trouble::None => return next.run(request).await,
        Trouble::Broken => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Trouble::Silent => tokio::time::sleep(Duration::from_secs(3600)).await,
        Trouble::Short | Trouble::Long | Trouble::Wrong => {}
    }
    let answer = next.run(request).await.into_body();
    let mut bytes = answer.collect().await.unwrap().to_bytes().to_vec();
    match trouble {
        Trouble::Short => bytes.truncate(bytes.len() - 1),
        Trouble::Long => bytes.extend(vec![7; 3 << 20]),
        _ => bytes[5] ^= 1,
    }
    Body::from(Bytes::from(bytes)).into_response()
}

impl Elsewhere {
    pub(crate) async fn new() -> Self {
        let peer = Peer::new().await;
        let trouble = Arc::new(Mutex::new(Trouble::None));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (told, count) = (trouble.clone(), fetched.clone());
        let spoil = from_fn(move |request: Request, next: Next| {
            let is_data = request.uri().path().ends_with("/file");
            let trouble = match is_data {
                true => *told.lock().unwrap(),
                false => Trouble::None,
            };
            if is_data && request.method() == Method::GET {
                count.fetch_add(1, Ordering::SeqCst);
            }
            spoilt(trouble, request, next)
        });
        let app = image_root(&peer.cloud.services).layer(spoil);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            peer,
            url,
            trouble,
            fetched,
        }
    }

    pub(crate) fn client(&self, keystone: Keystone) -> Glance {
        let settings = Settings {
            url: self.url.clone(),
            ca: None,
        };
        Glance::new(&settings, keystone).unwrap()
    }

    pub(crate) fn suffer(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    /// Makes an image as the bearer of a token, of these bytes if there are any.
    pub(crate) async fn image(&self, token: &str, wanted: Value, bytes: Option<&[u8]>) -> Uuid {
        let mut image = json!({"container_format": "bare", "disk_format": "raw"});
        let all = image.as_object_mut().unwrap();
        all.extend(wanted.as_object().unwrap().clone());
        let cloud = &self.peer.cloud;
        let made = cloud.call(token, "POST", "/image/v2/images", image).await;
        assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        if let Some(bytes) = bytes {
            let headers = [
                ("X-Auth-Token", token),
                ("Content-Type", "application/octet-stream"),
            ];
            let path = format!("/image/v2/images/{id}/file");
            let body = Body::from(bytes.to_vec());
            let (status, ..) = cloud.send_bytes("PUT", &path, &headers, body).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
        id.parse().unwrap()
    }

    /// What its Image says of an image to the bearer of a token.
    pub(crate) async fn shown(&self, token: &str, image: Uuid) -> Value {
        let path = format!("/image/v2/images/{image}");
        let shown = self.peer.cloud.call(token, "GET", &path, Value::Null).await;
        shown.body
    }
}

#[tokio::test]
async fn callers_see_what_their_tokens_see() {
    let elsewhere = Elsewhere::new().await;
    let cloud = &elsewhere.peer.cloud;
    let (admin, glance) = (
        cloud.admin().await,
        elsewhere.client(elsewhere.peer.client()),
    );
    let somebody = cloud.token_of_another_project(&admin).await;
    let wanted = json!({"name": "mine", "visibility": "private", "os_distro": "debian"});
    let image = elsewhere.image(&admin, wanted, Some(b"bytes")).await;
    let own = glance
        .show(Some(&UserToken::new(&admin)), image)
        .await
        .unwrap();
    assert!(own.is_active());
    assert_eq!(own.size, Some(5));
    assert_eq!(own.properties()["os_distro"], "debian");
    let other = UserToken::new(&somebody);
    let hidden = glance.show(Some(&other), image).await;
    assert_eq!(hidden.unwrap_err(), Error::Unseen);
    assert!(glance.named(Some(&other), "mine").await.unwrap().is_empty());
    let admin = UserToken::new(&admin);
    assert_eq!(glance.named(Some(&admin), "mine").await.unwrap().len(), 1);
    for odd in ["in:mine", "in:\"mine\"", "", "\u{e4}&limit=0"] {
        let found = glance.named(Some(&admin), odd).await;
        assert!(found.is_ok_and(|found| found.is_empty()), "{odd}");
    }
    // A name that cannot be a header is no token.
    let broken = UserToken::new("new\nline");
    let refused = glance.show(Some(&broken), image).await;
    assert_eq!(refused.unwrap_err(), Error::Unseen);
    assert_eq!(format!("{admin:?}"), "UserToken");
}

#[tokio::test]
async fn our_own_token_is_replaced_here_too() {
    let elsewhere = Elsewhere::new().await;
    let keystone = elsewhere.peer.client();
    let glance = elsewhere.client(keystone.clone());
    let admin = elsewhere.peer.cloud.admin().await;
    let wanted = json!({"visibility": "private"});
    let image = elsewhere.image(&admin, wanted, Some(b"bytes")).await;
    let first = keystone.service_token().await.unwrap();
    elsewhere.peer.revoke(&first).await;
    glance.show(None, image).await.unwrap();
    assert_ne!(keystone.service_token().await.unwrap(), first);
}

#[tokio::test]
async fn the_pairing_is_examined() {
    let elsewhere = Elsewhere::new().await;
    let keystone = elsewhere.peer.client();
    let failed = async |glance: Glance| {
        let checks = glance.examine().await;
        let failed = checks.into_iter().filter(|check| check.found.is_err());
        failed.map(|check| check.name).collect::<Vec<_>>()
    };
    assert_eq!(failed(elsewhere.client(keystone.clone())).await, [""; 0]);
    let at = |url: String| Glance::new(&Settings { url, ca: None }, keystone.clone()).unwrap();
    // Taken and let go: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    assert_eq!(failed(at(url)).await, ["Glance"]);
    // A Keystone is no Glance.
    assert_eq!(failed(at(keystone.url().to_owned())).await, ["Glance"]);
    // One of another cloud does not know our user.
    let stranger = Elsewhere::new().await.client(keystone.clone());
    assert_eq!(failed(stranger).await, ["Glance token"]);
}
