//! The native API from token to answer, on a real catalogue and engine in a folder of its own.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::disk::RealIo;
use store::{Durability, OpenOptions, Store, VolumeId};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use uuid::Uuid;

use crate::catalogue::{Catalogue, Options};
use crate::clock::Clock;
use crate::jobs::run_pending;
use crate::server::{
    Config, Connection, ExportControl, Parts, Services, Transport, bootstrap, job_registry, router,
};
use crate::types::native as wire;

const PASSWORD: &str = "a password of tests";

/// One connection that does not end.
struct OneConnection(Uuid);

impl ExportControl for OneConnection {
    fn close_export(&self, _token: &str) {}

    fn connections(&self) -> Vec<Connection> {
        vec![Connection {
            id: 7,
            object: self.0,
            attachment: Some(Uuid::nil()),
            transport: Transport::Tcp,
            peer: "127.0.0.1:5".to_owned(),
            read_only: true,
            opened_us: 1,
            read_bytes: 2,
            written_bytes: 3,
        }]
    }
}

struct Fixture {
    services: Services,
    router: Router,
    runtime: Runtime,
    admin: String,
    _dir: TempDir,
}

fn services(dir: &Path) -> Services {
    let io = Arc::new(RealIo::new());
    let options = OpenOptions {
        memory_bytes: 64 << 20,
        raw_tier_bytes: Some(256 << 20),
        background: false,
        prefill_journal: false,
    };
    let catalogue = Catalogue::open_file(&*io, &dir.join("catalogue"), Options::default());
    Services::new(Parts {
        catalogue: catalogue.unwrap(),
        store: Store::open(io, &dir.join("pool"), options).unwrap(),
        config: Config::new("http://127.0.0.1:1", "127.0.0.1", 2),
        exports: Arc::new(OneConnection(Uuid::from_u128(9))),
        clock: Clock::system(),
    })
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let services = services(dir.path());
        bootstrap(&services, PASSWORD).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut fixture = Self {
            router: router(&services),
            services,
            runtime,
            admin: String::new(),
            _dir: dir,
        };
        fixture.admin = fixture.login("admin", "admin");
        fixture
    }

    fn send(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value, Option<String>) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let subject = response.headers().get("x-subject-token");
            let subject = subject.map(|value| value.to_str().unwrap().to_owned());
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            (status, value, subject)
        })
    }

    fn login(&self, user: &str, project: &str) -> String {
        let domain = json!({"id": "default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": domain, "password": PASSWORD,
            }}},
            "scope": {"project": {"name": project, "domain": domain}},
        }});
        let path = "/identity/v3/auth/tokens";
        let (status, _, token) = self.send(None, Method::POST, path, Some(&body));
        assert_eq!(status, StatusCode::CREATED);
        token.unwrap()
    }

    /// A user with a role on the project demo, logged in.
    fn member(&self, name: &str, role: &str) -> String {
        let id_of = |list: &str, name: &str| {
            let path = format!("/identity/v3/{list}?name={name}");
            let answer = self.get(&self.admin, &path);
            answer[list][0]["id"].as_str().unwrap().to_owned()
        };
        let body = json!({"user": {"name": name, "password": PASSWORD}});
        let (status, user, _) = self.send(
            Some(&self.admin),
            Method::POST,
            "/identity/v3/users",
            Some(&body),
        );
        assert_eq!(status, StatusCode::CREATED);
        let path = format!(
            "/identity/v3/projects/{}/users/{}/roles/{}",
            id_of("projects", "demo"),
            user["user"]["id"].as_str().unwrap(),
            id_of("roles", role),
        );
        let (status, ..) = self.send(Some(&self.admin), Method::PUT, &path, None);
        assert_eq!(status, StatusCode::NO_CONTENT);
        self.login(name, "demo")
    }

    fn get(&self, token: &str, path: &str) -> Value {
        let (status, body, _) = self.send(Some(token), Method::GET, path, None);
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    fn native<T: serde::de::DeserializeOwned>(&self, token: &str, path: &str) -> T {
        serde_json::from_value(self.get(token, &format!("/cinderblock/v1/{path}"))).unwrap()
    }

    fn status(&self, token: &str, method: Method, path: &str) -> StatusCode {
        let path = format!("/cinderblock/v1/{path}");
        self.send(Some(token), method, &path, None).0
    }

    /// Asks Block Storage for a new object, and does the job.
    fn create(&self, token: &str, kind: &str, body: Value) -> Uuid {
        let path = format!("/volume/v3/{kind}s");
        let body = json!({ kind: body });
        let (status, answer, _) = self.send(Some(token), Method::POST, &path, Some(&body));
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        run_pending(&self.services, &job_registry()).unwrap();
        answer[kind]["id"].as_str().unwrap().parse().unwrap()
    }
}

#[test]
fn the_pool_is_for_administrators() {
    let fixture = Fixture::new();
    let member = fixture.member("mary", "member");
    for path in [
        "stats", "health", "volumes", "events", "jobs", "jobs/1", "exports", "tree",
    ] {
        let answer = fixture.status(&member, Method::GET, path);
        assert_eq!(answer, StatusCode::FORBIDDEN, "{path}");
        let path = format!("/cinderblock/v1/{path}");
        let (status, ..) = fixture.send(None, Method::GET, &path, None);
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let answer = fixture.status(&member, Method::POST, "reclaim");
    assert_eq!(answer, StatusCode::FORBIDDEN);
    let answer = fixture.status(&fixture.admin, Method::GET, "nothing");
    assert_eq!(answer, StatusCode::NOT_FOUND);
}

#[test]
fn counters_and_reclaim_tell_what_hosts_did() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let id = fixture.create(admin, "volume", json!({"size": 1}));
    let volume = fixture.services.store().volume(VolumeId(id)).unwrap();
    let data = vec![7; 1 << 20];
    volume.write(0, &data, Durability::Durable).unwrap();
    let stats: wire::Stats = fixture.native(admin, "stats");
    assert_eq!((stats.volumes, stats.connections), (1, 1));
    assert_eq!(stats.host.written_bytes, 1 << 20);
    assert!(stats.started_us > 0 && stats.at_us >= stats.started_us);
    assert!(stats.pool.raw_tier_bytes > 0 && stats.pool.total_bytes > 0);
    let one: wire::VolumeStats = fixture.native(admin, &format!("volumes/{id}/stats"));
    let all: wire::VolumeStatsList = fixture.native(admin, "volumes");
    assert_eq!(all.volumes, [one.clone()]);
    assert_eq!((one.logical_bytes, one.written_bytes), (1 << 30, 1 << 20));

    let (status, ..) = fixture.send(Some(admin), Method::POST, "/cinderblock/v1/reclaim", None);
    assert_eq!(status, StatusCode::OK);
    let stats: wire::Stats = fixture.native(admin, "stats");
    assert!(stats.pool.stored_bytes > 0 && stats.pool.stored_bytes < 1 << 20);
    let events: wire::EventList = fixture.native(admin, "events?limit=1");
    assert_eq!(events.events[0].kind, "pool.reclaimed");
}

#[test]
fn events_and_jobs_are_listed_within_their_limits() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let first = fixture.create(admin, "volume", json!({"size": 1}));
    let second = fixture.create(admin, "volume", json!({"size": 1}));
    let events: wire::EventList = fixture.native(admin, "events");
    let ids: Vec<u64> = events.events.iter().map(|event| event.id).collect();
    assert!(ids.len() >= 4 && ids.is_sorted());
    assert_eq!(events.events[0].message, first.to_string());
    let later: wire::EventList = fixture.native(admin, &format!("events?after={}&limit=2", ids[0]));
    assert_eq!(later.events, events.events[1..3]);
    let jobs: wire::JobList = fixture.native(admin, "jobs?limit=1");
    assert_eq!(jobs.jobs.len(), 1);
    let job = &jobs.jobs[0];
    assert_eq!(
        (job.state.as_str(), &job.object),
        ("done", &second.to_string())
    );
    let alone: wire::JobView = fixture.native(admin, &format!("jobs/{}", job.id));
    assert_eq!(&alone, job);
    for path in ["events?after=x", "events?limit=-1", "jobs?limit=x"] {
        let answer = fixture.status(admin, Method::GET, path);
        assert_eq!(answer, StatusCode::BAD_REQUEST, "{path}");
    }
    let answer = fixture.status(admin, Method::GET, &format!("jobs/{first}"));
    assert_eq!(answer, StatusCode::NOT_FOUND);
}

#[test]
fn connections_are_listed_without_secrets() {
    let fixture = Fixture::new();
    let exports: wire::ExportList = fixture.native(&fixture.admin, "exports");
    let connection = &exports.connections[0];
    assert_eq!(connection.export, format!("attachment {}", Uuid::nil()));
    assert_eq!(connection.volume_id, Uuid::from_u128(9).to_string());
    assert_eq!((connection.id, connection.read_only), (7, true));
}

#[test]
fn the_length_of_an_import_is_its_owners_to_set() {
    let fixture = Fixture::new();
    let (member, reader) = (
        fixture.member("mary", "member"),
        fixture.member("rita", "reader"),
    );
    let id = fixture.create(&member, "volume", json!({"size": 1}));
    let path = format!("volumes/{id}/source-length");
    let put = |token: &str, path: &str, length: Value| {
        let body = json!({"source_length_bytes": length});
        let path = format!("/cinderblock/v1/{path}");
        fixture.send(Some(token), Method::PUT, &path, Some(&body)).0
    };
    assert_eq!(put(&member, &path, json!(1000)), StatusCode::OK);
    let read: wire::SourceLength = fixture.native(&reader, &path);
    assert_eq!(read.source_length_bytes, Some(1000));
    assert_eq!(put(&reader, &path, json!(1)), StatusCode::FORBIDDEN);
    for wrong in [json!(-1), json!("1"), json!((1_u64 << 30) + 1)] {
        assert_eq!(put(&member, &path, wrong), StatusCode::BAD_REQUEST);
    }
    assert_eq!(put(&fixture.admin, &path, Value::Null), StatusCode::OK);
    let read: wire::SourceLength = fixture.native(&member, &path);
    assert_eq!(read.source_length_bytes, None);

    let foreign = fixture.create(&fixture.admin, "volume", json!({"size": 1}));
    let path = format!("volumes/{foreign}/source-length");
    assert_eq!(put(&member, &path, json!(1)), StatusCode::NOT_FOUND);
    for path in [path, format!("volumes/{foreign}/explain")] {
        let answer = fixture.status(&member, Method::GET, &path);
        assert_eq!(answer, StatusCode::NOT_FOUND);
    }
}

#[test]
fn a_volume_is_explained_and_stands_in_the_tree() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let id = fixture.create(admin, "volume", json!({"size": 1, "name": "disk"}));
    let volume = fixture.services.store().volume(VolumeId(id)).unwrap();
    let data = vec![7; 1 << 20];
    volume.write(1 << 20, &data, Durability::Durable).unwrap();
    let before: wire::Tree = fixture.native(admin, "tree");
    let body = json!({"volume_id": id, "name": "monday"});
    let snapshot = fixture.create(admin, "snapshot", body);

    let explain: wire::Explain = fixture.native(admin, &format!("volumes/{id}/explain"));
    assert_eq!((explain.data_bytes, explain.extents), (1 << 20, 3));
    assert_eq!(explain.hole_bytes, (1 << 30) - (1 << 20));
    assert_eq!(explain.snapshots, 1);
    assert_eq!(explain.stats.id, id.to_string());

    let after: wire::Tree = fixture.native(admin, "tree");
    assert!(after.generation > before.generation);
    let shown = &after.volumes[0];
    assert_eq!((shown.name.as_str(), shown.size_bytes), ("disk", 1 << 30));
    assert_eq!(shown.snapshots[0].id, snapshot.to_string());
    assert_eq!(shown.snapshots[0].name, "monday");
    let again: wire::Tree = fixture.native(admin, "tree");
    assert_eq!(again, after);
}
