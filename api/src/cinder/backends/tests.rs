//! Several backends behind the router: placement, hosts and copies between them.

use serde_json::{Value, json};
use store::{Durability, VolumeId};
use uuid::Uuid;

use crate::catalogue::View;
use crate::cinder::records::Volume;
use crate::fault::Fault;
use crate::testing::Cloud;

const V: &str = "/volume/v3";

async fn typed(cloud: &Cloud, token: &str, name: &str, specs: Value) {
    let body = json!({"volume_type": {"name": name, "extra_specs": specs}});
    let made = cloud.call(token, "POST", &format!("{V}/types"), body).await;
    assert_eq!(made.status, 200, "{:?}", made.body);
}

/// Creates a volume and shows it when its job is done.
async fn volume(cloud: &Cloud, token: &str, body: Value) -> Value {
    let body = json!({ "volume": body });
    let made = cloud
        .call(token, "POST", &format!("{V}/volumes"), body)
        .await;
    assert_eq!(made.status, 202, "{:?}", made.body);
    cloud.run_jobs();
    let id = made.body["volume"]["id"].as_str().unwrap().to_owned();
    let shown = cloud
        .call(token, "GET", &format!("{V}/volumes/{id}"), Value::Null)
        .await;
    shown.body["volume"].clone()
}

#[tokio::test]
async fn types_choose_backends() {
    let cloud = Cloud::with_backends(&["a", "b"]);
    let token = cloud.admin().await;
    typed(&cloud, &token, "of-b", json!({"volume_backend_name": "b"})).await;
    typed(
        &cloud,
        &token,
        "scoped",
        json!({"capabilities:volume_backend_name": "<or> x <or> b"}),
    )
    .await;
    typed(
        &cloud,
        &token,
        "nowhere",
        json!({"volume_backend_name": "c"}),
    )
    .await;
    for name in ["of-b", "scoped"] {
        let made = volume(&cloud, &token, json!({"size": 1, "volume_type": name})).await;
        assert_eq!(made["status"], "available");
        assert_eq!(made["os-vol-host-attr:host"], "cinderblock@b#b");
        let id = VolumeId(made["id"].as_str().unwrap().parse::<Uuid>().unwrap());
        assert!(cloud.store("b").volume(id).is_ok() && cloud.store("a").volume(id).is_err());
    }
    let made = volume(&cloud, &token, json!({"size": 1, "volume_type": "nowhere"})).await;
    assert_eq!(made["status"], "error");
    assert_eq!(made["os-vol-host-attr:host"], Value::Null);
    let path = format!("{V}/volumes/{}", made["id"].as_str().unwrap());
    assert_eq!(
        cloud
            .call(&token, "DELETE", &path, Value::Null)
            .await
            .status,
        202
    );
    // Without a job: there is nothing on any backend.
    assert_eq!(
        cloud.call(&token, "GET", &path, Value::Null).await.status,
        404
    );
    let path = format!("{V}/types");
    let types = cloud.call(&token, "GET", &path, Value::Null).await.body;
    let types = types["volume_types"].as_array().unwrap();
    let kind = types.iter().find(|kind| kind["name"] == "nowhere").unwrap();
    let path = format!("{path}/{}", kind["id"].as_str().unwrap());
    let gone = cloud.call(&token, "DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, 202, "{:?}", gone.body);
}

#[tokio::test]
async fn clones_follow_their_source_or_are_copied() {
    let cloud = Cloud::with_backends(&["a", "b"]);
    let token = cloud.admin().await;
    typed(&cloud, &token, "of-a", json!({"volume_backend_name": "a"})).await;
    typed(&cloud, &token, "of-b", json!({"volume_backend_name": "b"})).await;
    let source = volume(&cloud, &token, json!({"size": 1, "volume_type": "of-b"})).await;
    let id = source["id"].as_str().unwrap();
    let pattern: Vec<u8> = (0..3_u32 << 20).map(|n| (n % 251) as u8).collect();
    let filled = cloud
        .store("b")
        .volume(VolumeId(id.parse().unwrap()))
        .unwrap();
    filled
        .write(5 << 20, &pattern, Durability::Durable)
        .unwrap();
    for (wanted, backend) in [
        (json!("of-b"), "b"),
        (Value::Null, "b"),
        (json!("of-a"), "a"),
    ] {
        let body = json!({"size": 1, "source_volid": id, "volume_type": wanted});
        let made = volume(&cloud, &token, body).await;
        assert_eq!(made["status"], "available");
        assert_eq!(
            made["os-vol-host-attr:host"],
            format!("cinderblock@{backend}#{backend}")
        );
        let copy = VolumeId(made["id"].as_str().unwrap().parse().unwrap());
        let mut found = vec![0; pattern.len()];
        cloud
            .store(backend)
            .volume(copy)
            .unwrap()
            .read(5 << 20, &mut found)
            .unwrap();
        assert!(found == pattern, "{backend}");
    }
    assert!(
        cloud.store("b").snapshots().is_empty(),
        "the snapshot of the copy is gone"
    );
}

#[tokio::test]
async fn pools_services_and_filters_know_every_backend() {
    let cloud = Cloud::with_backends(&["a", "b"]);
    let token = cloud.admin().await;
    typed(&cloud, &token, "of-b", json!({"volume_backend_name": "b"})).await;
    let get = async |path: &str, version: &str| {
        let headers = [
            ("X-Auth-Token", token.as_str()),
            ("OpenStack-API-Version", version),
        ];
        let answer = cloud
            .send("GET", &format!("{V}{path}"), &headers, Value::Null)
            .await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.body
    };
    let names = async |path: &str| {
        let pools = get(path, "volume 3.50").await["pools"].clone();
        let name = |pool: &Value| pool["name"].as_str().unwrap().to_owned();
        pools
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect::<Vec<_>>()
    };
    let (a, b) = ("cinderblock@a#a", "cinderblock@b#b");
    assert_eq!(names("/scheduler-stats/get_pools").await, [a, b]);
    assert_eq!(
        names("/scheduler-stats/get_pools?name=cinderblock@a%23a").await,
        [a]
    );
    assert_eq!(
        names("/scheduler-stats/get_pools?volume_type=of-b").await,
        [b]
    );
    // By other capabilities only until filters are configured.
    let path = "/scheduler-stats/get_pools?volume_backend_name=b";
    let pools = get(path, "volume 3.30").await;
    assert_eq!(pools["pools"], json!([{ "name": b }]));
    let shown = get("/capabilities/cinderblock@b", "volume 3.0").await;
    assert_eq!(
        (&shown["volume_backend_name"], &shown["pool_name"]),
        (&json!("b"), &json!("b"))
    );
    let services = get("/os-services?binary=cinder-volume", "volume 3.0").await;
    assert_eq!(services["services"].as_array().unwrap().len(), 2);
    let made = volume(&cloud, &token, json!({"size": 1, "volume_type": "of-b"})).await;
    for (host, count) in [
        ("cinderblock@b", 1),
        ("cinderblock@b%23b", 1),
        ("cinderblock@a", 0),
        ("x", 0),
    ] {
        let listed = get(&format!("/volumes?host={host}"), "volume 3.0").await;
        assert_eq!(listed["volumes"].as_array().unwrap().len(), count, "{host}");
    }
    assert_eq!(made["os-vol-host-attr:host"], b);
}

#[tokio::test]
async fn rows_from_before_belong_to_the_first_backend() {
    let cloud = Cloud::with_backends(&["a", "b"]);
    let token = cloud.admin().await;
    let made = volume(&cloud, &token, json!({"size": 1})).await;
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let catalogue = cloud.services.catalogue();
    catalogue
        .write::<_, Fault>(|writer| {
            let row = writer.get::<Volume>(&id)?.unwrap();
            let mut stored = serde_json::to_value(row).unwrap();
            stored.as_object_mut().unwrap().remove("backend");
            let old: Volume = serde_json::from_value(stored).unwrap();
            Ok(writer.put(&old)?)
        })
        .unwrap();
    let path = format!("{V}/volumes/{id}");
    let shown = cloud.call(&token, "GET", &path, Value::Null).await;
    assert_eq!(
        shown.body["volume"]["os-vol-host-attr:host"],
        "cinderblock@a#a"
    );
    let listed = cloud
        .call(
            &token,
            "GET",
            &format!("{V}/volumes?host=cinderblock@a"),
            Value::Null,
        )
        .await;
    assert_eq!(listed.body["volumes"].as_array().unwrap().len(), 1);
    cloud.call(&token, "DELETE", &path, Value::Null).await;
    cloud.run_jobs();
    assert!(cloud.store("a").volume(VolumeId(id)).is_err());
}

#[tokio::test]
async fn pools_tell_numbers_that_clients_calculate_with() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    volume(&cloud, &token, json!({"size": 2})).await;
    let path = format!("{V}/scheduler-stats/get_pools?detail=true");
    let pools = cloud.call(&token, "GET", &path, Value::Null).await;
    let found = &pools.body["pools"][0]["capabilities"];
    assert_eq!(found["allocated_capacity_gb"], json!(2));
    assert!(found["allocated_capacity_gb"].is_u64());
    assert!(found["max_over_subscription_ratio"].is_f64());
    assert!(found.get("filter_function").is_some());
}

#[tokio::test]
async fn group_specs_choose_backends_too() {
    let cloud = Cloud::with_backends(&["a", "b"]);
    let token = cloud.admin().await;
    let headers = [
        ("X-Auth-Token", token.as_str()),
        ("OpenStack-API-Version", "volume 3.60"),
    ];
    let call = async |method: &str, path: &str, body: Value| {
        let path = format!("{V}{path}");
        cloud.send(method, &path, &headers, body).await.body
    };
    for (specs, status, host) in [
        (json!({"volume_backend_name": "b"}), "available", "b"),
        (
            json!({"consistent_group_snapshot_enabled": "<is> True"}),
            "available",
            "",
        ),
        (json!({"unheard_of": "x"}), "error", ""),
    ] {
        let wanted = json!({"group_type": {"name": format!("{specs}"), "group_specs": specs}});
        let group_type = call("POST", "/group_types", wanted).await;
        let group = json!({"group": {
            "group_type": group_type["group_type"]["id"], "volume_types": ["__DEFAULT__"],
        }});
        let made = call("POST", "/groups", group).await;
        cloud.run_jobs();
        let id = made["group"]["id"].as_str().unwrap().to_owned();
        let shown = call("GET", &format!("/groups/{id}"), Value::Null).await;
        assert_eq!(shown["group"]["status"], status, "{specs}");
        if !host.is_empty() {
            let body = json!({"volume": {
                "size": 1, "group_id": id, "volume_type": "__DEFAULT__",
            }});
            let made = call("POST", "/volumes", body).await;
            let volume = made["volume"]["id"].as_str().unwrap().to_owned();
            cloud.run_jobs();
            let shown = call("GET", &format!("/volumes/{volume}"), Value::Null).await;
            let expected = format!("cinderblock@{host}#{host}");
            assert_eq!(shown["volume"]["os-vol-host-attr:host"], expected);
        }
    }
}
