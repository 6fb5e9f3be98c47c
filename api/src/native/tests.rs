//! The native API from token to answer, on a real catalogue and engine in a folder of its own.

use std::sync::Arc;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::{Durability, VolumeId};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::jobs::run_pending;
use crate::server::{Connection, ExportControl, Transport, job_registry};
use crate::testing::{Cloud, PASSWORD};
use crate::types::native as wire;

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

/// A cloud with a runtime, so that tests read as plain functions.
struct Fixture {
    cloud: Cloud,
    runtime: Runtime,
    admin: String,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self {
            cloud: Cloud::with_exports(Arc::new(OneConnection(Uuid::from_u128(9)))),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            admin: String::new(),
        };
        fixture.admin = fixture.login("admin", "admin");
        fixture
    }

    fn login(&self, user: &str, project: &str) -> String {
        let scope = json!({"project": {"name": project, "domain": {"id": "default"}}});
        let login = self.cloud.login(user, PASSWORD, scope);
        let answer = self.runtime.block_on(login);
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.header("x-subject-token").to_owned()
    }

    fn call(&self, token: &str, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let call = self.cloud.call(token, method, path, body);
        let answer = self.runtime.block_on(call);
        (answer.status, answer.body)
    }

    /// A user with a role on the project demo, logged in.
    fn user(&self, name: &str, role: &str) -> String {
        let id_of = |list: &str, name: &str| {
            let path = format!("/identity/v3/{list}?name={name}");
            let (_, answer) = self.call(&self.admin, "GET", &path, Value::Null);
            answer[list][0]["id"].as_str().unwrap().to_owned()
        };
        let body = json!({"user": {"name": name, "password": PASSWORD}});
        let (_, user) = self.call(&self.admin, "POST", "/identity/v3/users", body);
        let path = format!(
            "/identity/v3/projects/{}/users/{}/roles/{}",
            id_of("projects", "demo"),
            user["user"]["id"].as_str().unwrap(),
            id_of("roles", role),
        );
        let (status, _) = self.call(&self.admin, "PUT", &path, Value::Null);
        assert_eq!(status, StatusCode::NO_CONTENT);
        self.login(name, "demo")
    }

    fn native<T: DeserializeOwned>(&self, token: &str, path: &str) -> T {
        let path = format!("/cinderblock/v1/{path}");
        let (status, body) = self.call(token, "GET", &path, Value::Null);
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_value(body).unwrap()
    }

    fn status(&self, token: &str, method: &str, path: &str) -> StatusCode {
        let path = format!("/cinderblock/v1/{path}");
        self.call(token, method, &path, Value::Null).0
    }

    fn put_length(&self, token: &str, volume: Uuid, length: &Value) -> StatusCode {
        let path = format!("/cinderblock/v1/volumes/{volume}/source-length");
        let body = json!({ "source_length_bytes": length });
        self.call(token, "PUT", &path, body).0
    }

    /// Asks Block Storage for a new object, and does the job.
    fn create(&self, token: &str, kind: &str, body: &Value) -> Uuid {
        let path = format!("/volume/v3/{kind}s");
        let (status, answer) = self.call(token, "POST", &path, json!({ kind: body }));
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        run_pending(&self.cloud.services, &job_registry()).unwrap();
        answer[kind]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Fills 1 MiB of a volume from 1 MiB on.
    fn fill(&self, id: Uuid) {
        let store = self.cloud.services.backends().first().store();
        let volume = store.volume(VolumeId(id)).unwrap();
        let data = vec![7; 1 << 20];
        volume.write(1 << 20, &data, Durability::Durable).unwrap();
    }
}

#[test]
fn the_pool_is_for_administrators() {
    let fixture = Fixture::new();
    let member = fixture.user("mary", "member");
    for path in [
        "stats", "health", "volumes", "events", "jobs", "jobs/1", "exports", "tree",
    ] {
        let answer = fixture.status(&member, "GET", path);
        assert_eq!(answer, StatusCode::FORBIDDEN, "{path}");
        let path = format!("/cinderblock/v1/{path}");
        let (status, _) = fixture.call("nobody's", "GET", &path, Value::Null);
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let answer = fixture.status(&member, "POST", "reclaim");
    assert_eq!(answer, StatusCode::FORBIDDEN);
    let answer = fixture.status(&fixture.admin, "GET", "nothing");
    assert_eq!(answer, StatusCode::NOT_FOUND);
}

#[test]
fn counters_and_reclaim_tell_what_hosts_did() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let id = fixture.create(admin, "volume", &json!({"size": 1}));
    fixture.fill(id);
    let stats: wire::Stats = fixture.native(admin, "stats");
    assert_eq!((stats.volumes, stats.connections), (1, 1));
    assert_eq!(stats.host.written_bytes, 1 << 20);
    assert!(stats.started_us > 0 && stats.at_us >= stats.started_us);
    assert!(stats.pool.raw_tier_quota_bytes > 0 && stats.pool.total_bytes > 0);
    let one: wire::VolumeStats = fixture.native(admin, &format!("volumes/{id}/stats"));
    let all: wire::VolumeStatsList = fixture.native(admin, "volumes");
    assert_eq!(all.volumes.as_slice(), std::slice::from_ref(&one));
    assert_eq!((one.logical_bytes, one.written_bytes), (1 << 30, 1 << 20));

    assert_eq!(fixture.status(admin, "POST", "reclaim"), StatusCode::OK);
    let stats: wire::Stats = fixture.native(admin, "stats");
    assert!(stats.pool.stored_bytes > 0 && stats.pool.stored_bytes < 1 << 20);
    let events: wire::EventList = fixture.native(admin, "events?limit=1");
    assert_eq!(events.events[0].kind, "pool.reclaimed");
}

#[test]
fn events_and_jobs_are_listed_within_their_limits() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let first = fixture.create(admin, "volume", &json!({"size": 1}));
    fixture.cloud.advance_s(1);
    let second = fixture.create(admin, "volume", &json!({"size": 1}));
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
        let answer = fixture.status(admin, "GET", path);
        assert_eq!(answer, StatusCode::BAD_REQUEST, "{path}");
    }
    let answer = fixture.status(admin, "GET", &format!("jobs/{first}"));
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
        fixture.user("mary", "member"),
        fixture.user("rita", "reader"),
    );
    let id = fixture.create(&member, "volume", &json!({"size": 1}));
    let path = format!("volumes/{id}/source-length");
    assert_eq!(
        fixture.put_length(&member, id, &json!(1000)),
        StatusCode::OK
    );
    let read: wire::SourceLength = fixture.native(&reader, &path);
    assert_eq!(read.source_length_bytes, Some(1000));
    assert_eq!(
        fixture.put_length(&reader, id, &json!(1)),
        StatusCode::FORBIDDEN
    );
    for wrong in [json!(-1), json!("1"), json!((1_u64 << 30) + 1)] {
        assert_eq!(
            fixture.put_length(&member, id, &wrong),
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(
        fixture.put_length(&fixture.admin, id, &Value::Null),
        StatusCode::OK
    );
    let read: wire::SourceLength = fixture.native(&member, &path);
    assert_eq!(read.source_length_bytes, None);

    let foreign = fixture.create(&fixture.admin, "volume", &json!({"size": 1}));
    let path = format!("volumes/{foreign}/source-length");
    assert_eq!(
        fixture.put_length(&member, foreign, &json!(1)),
        StatusCode::NOT_FOUND
    );
    for path in [path, format!("volumes/{foreign}/explain")] {
        let answer = fixture.status(&member, "GET", &path);
        assert_eq!(answer, StatusCode::NOT_FOUND);
    }
}

#[test]
fn what_deleting_frees_is_for_administrators_and_has_names() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let id = fixture.create(admin, "volume", &json!({"size": 1, "name": "disk"}));
    fixture.fill(id);
    let body = json!({"volume_id": id, "name": "monday"});
    let snapshot = fixture.create(admin, "snapshot", &body);

    let path = format!("volumes/{id}/space");
    let space: wire::VolumeSpace = fixture.native(admin, &path);
    assert_eq!(
        (space.volume_id, space.logical_bytes),
        (id.to_string(), 1 << 30)
    );
    assert_eq!(space.referenced_bytes, 1 << 20);
    // All of it is the snapshot's as well, and none of it can be had back from either alone.
    assert_eq!(space.frees, wire::SpaceTaken::default());
    assert_eq!(space.frees_with_snapshots, space.holds);
    assert!(space.holds.plain_bytes > 0);
    let [of_it] = &space.snapshots[..] else {
        panic!("{:?}", space.snapshots)
    };
    assert_eq!(
        (of_it.id.as_str(), of_it.name.as_str()),
        (&*snapshot.to_string(), "monday")
    );
    let [with] = &space.shared[..] else {
        panic!("{:?}", space.shared)
    };
    assert_eq!(
        (with.kind.as_str(), with.name.as_str()),
        ("snapshot", "monday")
    );
    assert_eq!((with.bytes, space.shared_omitted), (1 << 20, 0));

    let member = fixture.user("mary", "member");
    assert_eq!(fixture.status(&member, "GET", &path), StatusCode::FORBIDDEN);
}

#[test]
fn a_volume_is_explained_and_stands_in_the_tree() {
    let fixture = Fixture::new();
    let admin = &fixture.admin;
    let id = fixture.create(admin, "volume", &json!({"size": 1, "name": "disk"}));
    fixture.fill(id);
    let before: wire::Tree = fixture.native(admin, "tree");
    let body = json!({"volume_id": id, "name": "monday"});
    let snapshot = fixture.create(admin, "snapshot", &body);

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
