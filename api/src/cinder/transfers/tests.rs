//! Transfers through the router: what changes hands, what it counts for, and who may see it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::cinder::tests::{Site, id_of, message};
use crate::testing::Answer;

/// A donor, who is admin, and a member of another project.
struct Two {
    site: Site,
    receiver: String,
}

impl Two {
    async fn new() -> Self {
        let site = Site::new().await;
        let receiver = site.cloud.token_of_another_project(&site.admin).await;
        Self { site, receiver }
    }

    async fn as_receiver(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [
            ("X-Auth-Token", self.receiver.as_str()),
            ("OpenStack-API-Version", "volume 3.71"),
        ];
        let path = format!("/volume/v3{path}");
        self.site.cloud.send(method, &path, &headers, body).await
    }

    async fn volume_with_snapshot(&self) -> (String, String) {
        let site = &self.site;
        let wanted = json!({"volume": {"size": 2}});
        let volume = id_of(&site.call("POST", "/volumes", wanted).await);
        site.run_jobs();
        let wanted = json!({"snapshot": {"volume_id": volume}});
        let snapshot = id_of(&site.call("POST", "/snapshots", wanted).await);
        site.run_jobs();
        (volume, snapshot)
    }

    async fn offer(&self, path: &str, wanted: Value) -> (String, String) {
        let body = json!({ "transfer": wanted });
        let made = self.site.call("POST", path, body).await;
        assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
        let key = made.body["transfer"]["auth_key"].as_str().unwrap();
        (id_of(&made), key.to_owned())
    }

    async fn accept(&self, id: &str, key: &str) -> Answer {
        let path = format!("/volume-transfers/{id}/accept");
        let body = json!({"accept": {"auth_key": key}});
        self.as_receiver("POST", &path, body).await
    }

    /// Volumes, snapshots and GiB that the projects count, the donor's first.
    async fn used(&self) -> [[i64; 3]; 2] {
        let limits = |answer: Answer| {
            let of = |name: &str| answer.body["limits"]["absolute"][name].as_i64().unwrap();
            [
                of("totalVolumesUsed"),
                of("totalSnapshotsUsed"),
                of("totalGigabytesUsed"),
            ]
        };
        let theirs = self.as_receiver("GET", "/limits", Value::Null).await;
        [limits(self.site.get("/limits").await), limits(theirs)]
    }
}

#[tokio::test]
async fn a_volume_changes_hands_with_its_snapshots_and_what_they_count_for() {
    let two = Two::new().await;
    let (volume, snapshot) = two.volume_with_snapshot().await;
    let wanted = json!({"volume_id": volume, "name": " gift "});
    let (id, key) = two.offer("/volume-transfers", wanted).await;
    let path = format!("/volumes/{volume}");
    let waiting = two.site.get(&path).await;
    assert_eq!(waiting.body["volume"]["status"], "awaiting-transfer");
    let shown = two.site.get(&format!("/volume-transfers/{id}")).await;
    let transfer = &shown.body["transfer"];
    assert_eq!(
        (&transfer["name"], &transfer["accepted"]),
        (&json!("gift"), &json!(false))
    );
    assert_eq!(transfer["source_project_id"], two.site.project.as_str());
    assert!(transfer.get("auth_key").is_none());
    // Another project finds nothing, and a wrong key opens nothing.
    let hidden = two
        .as_receiver("GET", &format!("/volume-transfers/{id}"), Value::Null)
        .await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let wrong = two.accept(&id, "0123456789abcdef").await;
    assert_eq!(
        message(&wrong),
        format!("Invalid auth key: Attempt to transfer {id} with invalid auth key.")
    );
    assert_eq!(two.used().await, [[1, 1, 4], [0, 0, 0]]);
    let taken = two.accept(&id, &key).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{:?}", taken.body);
    assert_eq!(two.used().await, [[0, 0, 0], [1, 1, 4]]);
    let theirs = two.as_receiver("GET", &path, Value::Null).await;
    assert_eq!(theirs.body["volume"]["status"], "available");
    let snapshots = format!("/snapshots/{snapshot}");
    let theirs = two.as_receiver("GET", &snapshots, Value::Null).await;
    assert_eq!(theirs.status, StatusCode::OK);
    let list = two.site.get("/volumes").await;
    assert_eq!(list.body["volumes"], json!([]));
    let again = two.accept(&id, &key).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_receiver_without_room_gets_nothing_and_the_donor_keeps_everything() {
    let two = Two::new().await;
    let (volume, _) = two.volume_with_snapshot().await;
    let wanted = json!({ "volume_id": volume });
    let (id, key) = two.offer("/os-volume-transfer", wanted).await;
    let own = two.as_receiver("GET", "/volumes", Value::Null).await;
    assert_eq!(own.status, StatusCode::OK);
    let class = json!({"quota_class_set": {"gigabytes": 3}});
    let path = "/os-quota-class-sets/default";
    assert_eq!(
        two.site.call("PUT", path, class).await.status,
        StatusCode::OK
    );
    let refused = two.accept(&id, &key).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(two.used().await, [[1, 1, 4], [0, 0, 0]]);
    let shown = two.site.get(&format!("/volumes/{volume}")).await;
    assert_eq!(shown.body["volume"]["status"], "awaiting-transfer");
    // Taken back, the volume is as before.
    let path = format!("/os-volume-transfer/{id}");
    let gone = two.site.call("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
    let shown = two.site.get(&format!("/volumes/{volume}")).await;
    assert_eq!(shown.body["volume"]["status"], "available");
    assert_eq!(two.site.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn snapshots_that_stay_keep_their_owner_and_hold_the_volume() {
    let two = Two::new().await;
    let (volume, snapshot) = two.volume_with_snapshot().await;
    let wanted = json!({"volume_id": volume, "no_snapshots": "true"});
    let (id, key) = two.offer("/volume-transfers", wanted).await;
    assert_eq!(two.accept(&id, &key).await.status, StatusCode::ACCEPTED);
    assert_eq!(two.used().await, [[0, 1, 2], [1, 0, 2]]);
    let own = two.site.get(&format!("/snapshots/{snapshot}")).await;
    assert_eq!(
        own.body["snapshot"]["os-extended-snapshot-attributes:project_id"],
        two.site.project.as_str()
    );
    let cascade = format!("/volumes/{volume}?cascade=true");
    let held = two.as_receiver("DELETE", &cascade, Value::Null).await;
    assert_eq!(held.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn offers_are_checked_and_listed() {
    let two = Two::new().await;
    let (volume, _) = two.volume_with_snapshot().await;
    for (path, wanted, says) in [
        (
            "/volume-transfers",
            json!({"name": "x"}),
            "'volume_id' is a required property",
        ),
        (
            "/os-volume-transfer",
            json!({"volume_id": volume, "no_snapshots": true}),
            "('no_snapshots' was unexpected)",
        ),
        (
            "/volume-transfers",
            json!({"volume_id": volume, "name": " "}),
            "is not valid under any of the given schemas",
        ),
        (
            "/volume-transfers",
            json!({"volume_id": "x"}),
            "'x' is not a 'uuid'",
        ),
    ] {
        let body = json!({ "transfer": wanted });
        let refused = two.site.call("POST", path, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(message(&refused).contains(says), "{:?}", refused.body);
    }
    let (first, _) = two
        .offer("/volume-transfers", json!({"volume_id": volume}))
        .await;
    let again = json!({"transfer": {"volume_id": volume}});
    let again = two.site.call("POST", "/os-volume-transfer", again).await;
    assert_eq!(message(&again), "Invalid volume: status must be available");
    two.site.cloud.advance_s(1);
    let (other, _) = two.volume_with_snapshot().await;
    let wanted = json!({"volume_id": other, "name": "b"});
    let (second, _) = two.offer("/volume-transfers", wanted).await;
    let ids = async |path: &str| {
        let list = two.site.get(path).await;
        let all = list.body["transfers"].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("/os-volume-transfer").await, [&*first, &*second]);
    assert_eq!(ids("/volume-transfers").await, [&*second, &*first]);
    assert_eq!(
        ids("/volume-transfers?sort=created_at:asc&limit=1").await,
        [&*first]
    );
    assert_eq!(ids("/volume-transfers/detail?name=b").await, [&*second]);
    // The older calls have no pages: these words are columns that there are not.
    assert!(ids("/os-volume-transfer?limit=1").await.is_empty());
    let missing = two
        .site
        .get(&format!("/volume-transfers?marker={volume}"))
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}
