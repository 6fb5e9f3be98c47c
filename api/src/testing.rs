//! A cloud within the process, for tests: real catalogue, real pool, the real router, no sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::disk::RealIo;
use tower::ServiceExt;

use crate::backup::Target;
use crate::catalogue::{Catalogue, Options};
use crate::clock::Clock;
use crate::external::Keystone;
use crate::external::glance::Glance;
use crate::jobs::run_pending;
use crate::microversion::Microversion;
use crate::openapi::conformance::{self, Exchange};
use crate::policy::Rules;
use crate::server::{
    Backend, BackendSettings, Backends, Config, Connection, ExportControl, Parts, Services,
    bootstrap, job_registry, router,
};

/// The admin's password.
pub(crate) const PASSWORD: &str = "correct horse";

/// The NBD side of a process without one: nothing is ever connected.
struct NoExports;

impl ExportControl for NoExports {
    fn close_export(&self, _token: &str) {}

    fn connections(&self) -> Vec<Connection> {
        Vec::new()
    }
}

/// A running cloud; its files go with it.
pub(crate) struct Cloud {
    pub(crate) services: Services,
    router: Router,
    hands: Arc<AtomicU64>,
    dir: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// A header as text; empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(pair).collect()
}

impl Cloud {
    /// A fresh cloud with its bootstrap data.
    pub(crate) fn new() -> Self {
        Self::with_exports(Arc::new(NoExports))
    }

    /// As [`Cloud::new`], with an NBD side of the test's own.
    pub(crate) fn with_exports(exports: Arc<dyn ExportControl>) -> Self {
        Self::build(exports, Rules::default(), None, &["pool"], None)
    }

    /// As [`Cloud::new`], with rules of the test's own.
    pub(crate) fn with_rules(rules: Rules) -> Self {
        Self::build(Arc::new(NoExports), rules, None, &["pool"], None)
    }

    /// A fresh cloud whose backups go where another's do.
    pub(crate) fn sharing_backups(other: &Self) -> Self {
        let target = other.services.config().backup.clone();
        Self::build(
            Arc::new(NoExports),
            Rules::default(),
            target,
            &["pool"],
            None,
        )
    }

    /// As [`Cloud::new`], with backends of these names.
    pub(crate) fn with_backends(names: &[&str]) -> Self {
        Self::build(Arc::new(NoExports), Rules::default(), None, names, None)
    }

    /// As [`Cloud::new`], whose users are known elsewhere.
    pub(crate) fn with_keystone(keystone: Keystone) -> Self {
        let (exports, rules) = (Arc::new(NoExports), Rules::default());
        Self::build(exports, rules, None, &["pool"], Some(keystone))
    }

    /// The same, whose images are elsewhere too.
    pub(crate) fn with_glance(keystone: Keystone, glance: Glance) -> Self {
        let exports = Arc::new(NoExports);
        let change = |config: &mut Config| {
            config.keystone = Some(keystone);
            config.glance = Some(glance);
        };
        Self::built(exports, None, &["pool"], change)
    }

    /// Where everything of it is.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its backups are, unless it shares them.
    pub(crate) fn backups(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    fn build(
        exports: Arc<dyn ExportControl>,
        rules: Rules,
        target: Option<Target>,
        names: &[&str],
        keystone: Option<Keystone>,
    ) -> Self {
        Self::built(exports, target, names, |config| {
            config.policy = Arc::new(rules);
            config.keystone = keystone;
        })
    }

    fn built(
        exports: Arc<dyn ExportControl>,
        target: Option<Target>,
        names: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let io = Arc::new(RealIo::new());
        let options = store::OpenOptions {
            memory_bytes: 64 << 20,
            ..store::OpenOptions::default()
        };
        let open = |name: &&str| {
            let path = dir.path().join(name);
            let key = dir.path().join("master.key");
            let store = store::Store::open_with_master_key(io.clone(), &path, key, options);
            let store = store.unwrap();
            Backend::new(BackendSettings::new(name), store)
        };
        let mut backends = names.iter().map(open);
        let first = backends.next().unwrap();
        let path = dir.path().join("catalogue.redb");
        let mut config = Config::new("http://cloud.test:8080", "127.0.0.1", 10809);
        let own = || Target::directory(&dir.path().join("backups")).unwrap();
        config.backup = Some(target.unwrap_or_else(own));
        change(&mut config);
        let hands = Arc::new(AtomicU64::new(1_700_000_000_000_000));
        let services = Services::new(Parts {
            catalogue: Catalogue::open_file(io.as_ref(), &path, Options::default()).unwrap(),
            backends: Backends::new(first, backends.collect()),
            config,
            exports,
            clock: Clock::manual(hands.clone()),
        });
        bootstrap(&services, PASSWORD).unwrap();
        Self {
            router: router(&services),
            services,
            hands,
            dir,
        }
    }

    /// The pool of a backend.
    pub(crate) fn store(&self, name: &str) -> &store::Store {
        self.services.store_of(Some(name)).unwrap()
    }

    /// Runs all queued jobs.
    pub(crate) fn run_jobs(&self) {
        run_pending(&self.services, &job_registry()).unwrap();
    }

    /// Lets time pass.
    pub(crate) fn advance_s(&self, seconds: u64) {
        self.hands.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// Sends bytes as they are; the answer's are not held against the OpenAPI document.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Bytes> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::new(Body::from(body));
        (*request.method_mut(), *request.uri_mut()) = (method, path.parse().unwrap());
        *request.headers_mut() = header_map(headers);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, content) = response.into_parts();
        let bytes = content.collect().await.unwrap().to_bytes();
        Response::from_parts(parts, bytes)
    }

    /// Sends a request with some headers; `Null` is no body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let content = match &body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let json = [("Content-Type", "application/json")];
        let json = if body.is_null() { &json[..0] } else { &json };
        let all = [headers, json].concat();
        let answer = self.raw(method, path, &all, content).await;
        let version = match path.starts_with("/volume/v2/") {
            true => Microversion::MIN,
            false => Microversion::parse(&header_map(headers)).unwrap_or(Microversion::MIN),
        };
        let answer = Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
        };
        conformance::check(&Exchange {
            method,
            path,
            version,
            sent: &body,
            status: answer.status,
            answer: &answer.body,
        });
        answer
    }

    /// Sends a request with a body of bytes, and reads the bytes of the answer.
    pub(crate) async fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, content) = response.into_parts();
        let bytes = content.collect().await.unwrap().to_bytes().to_vec();
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let is_json = parts.headers.get("content-type");
        let is_json = is_json.is_some_and(|kind| kind == "application/json");
        conformance::check(&Exchange {
            method,
            path,
            version: Microversion::MIN,
            sent: &Value::Null,
            status: parts.status,
            answer: if is_json { &answer } else { &Value::Null },
        });
        (parts.status, parts.headers, bytes)
    }

    /// Sends a request with a token.
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send(method, path, &[("X-Auth-Token", token)], body)
            .await
    }

    /// Asks for a token by name and password.
    pub(crate) async fn login(&self, user: &str, password: &str, scope: Value) -> Answer {
        let user = json!({"name": user, "domain": {"id": "default"}, "password": password});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let mut auth = json!({"identity": identity});
        if !scope.is_null() {
            auth["scope"] = scope;
        }
        self.send(
            "POST",
            "/identity/v3/auth/tokens",
            &[],
            json!({"auth": auth}),
        )
        .await
    }

    /// A token of a user on a project of the default domain, by name.
    pub(crate) async fn token(&self, user: &str, password: &str, project: &str) -> String {
        let scope = json!({"project": {"name": project, "domain": {"id": "default"}}});
        let answer = self.login(user, password, scope).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.header("x-subject-token").to_owned()
    }

    /// A token of a new member of a new project.
    pub(crate) async fn token_of_another_project(&self, admin: &str) -> String {
        let make = async |kind: &str, wanted: Value| {
            let path = format!("/identity/v3/{kind}s");
            let made = self
                .call(admin, "POST", &path, json!({ kind: wanted }))
                .await;
            assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
            made.body[kind]["id"].as_str().unwrap().to_owned()
        };
        let project = make("project", json!({"name": "another"})).await;
        let user = make("user", json!({"name": "somebody", "password": PASSWORD})).await;
        let roles = self
            .call(admin, "GET", "/identity/v3/roles?name=member", Value::Null)
            .await;
        let role = roles.body["roles"][0]["id"].as_str().unwrap();
        let grant = format!("/identity/v3/projects/{project}/users/{user}/roles/{role}");
        self.call(admin, "PUT", &grant, Value::Null).await;
        self.token("somebody", PASSWORD, "another").await
    }

    /// A token of admin on the project admin.
    pub(crate) async fn admin(&self) -> String {
        self.token("admin", PASSWORD, "admin").await
    }
}
