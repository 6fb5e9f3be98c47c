//! Letting go and taking over, behind the router.

use serde_json::{Value, json};
use store::{Durability, VolumeId};

use crate::testing::{Answer, Cloud};

async fn call(cloud: &Cloud, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let headers = [
        ("X-Auth-Token", token),
        ("OpenStack-API-Version", "volume 3.60"),
    ];
    let path = format!("/volume/v3{path}");
    cloud.send(method, &path, &headers, body).await
}

const HOST: &str = "host=cinderblock@pool%23pool";

#[tokio::test]
async fn volumes_and_snapshots_are_let_go_and_taken_over() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    let ask = async |method: &str, path: &str, body: Value| {
        let answer = call(&cloud, &token, method, path, body).await;
        cloud.run_jobs();
        answer
    };
    let id = async |kind: &str, body: Value| {
        let made = ask("POST", &format!("/{kind}s"), json!({ kind: body })).await;
        made.body[kind]["id"].as_str().unwrap().to_owned()
    };
    let volume = id("volume", json!({"size": 1})).await;
    let disk = cloud
        .store("pool")
        .volume(VolumeId(volume.parse().unwrap()))
        .unwrap();
    disk.write(0, &[7; 4096], Durability::Durable).unwrap();
    let snapshot = id("snapshot", json!({"volume_id": volume, "force": true})).await;
    let unmanage = json!({"os-unmanage": null});
    let action = |kind: &str, id: &str| format!("/{kind}s/{id}/action");
    let refused = ask("POST", &action("volume", &volume), unmanage.clone()).await;
    assert_eq!(refused.status, 400, "it has a snapshot");
    let managed = ask(
        "GET",
        &format!("/manageable_snapshots/detail?{HOST}"),
        Value::Null,
    )
    .await;
    assert_eq!(
        managed.body["manageable-snapshots"][0]["safe_to_manage"],
        false
    );
    assert_eq!(
        managed.body["manageable-snapshots"][0]["cinder_id"],
        snapshot
    );

    let gone = ask("POST", &action("snapshot", &snapshot), unmanage.clone()).await;
    assert_eq!(gone.status, 202);
    assert_eq!(
        ask("GET", &format!("/snapshots/{snapshot}"), Value::Null)
            .await
            .status,
        404
    );
    let body = json!({"volume_id": volume, "ref": {"source-name": format!("snapshot-{snapshot}")}});
    let made = ask("POST", "/manageable_snapshots", json!({ "snapshot": body })).await;
    assert_eq!(made.status, 202, "{:?}", made.body);
    let again = made.body["snapshot"]["id"].as_str().unwrap().to_owned();
    let shown = ask("GET", &format!("/snapshots/{again}"), Value::Null).await;
    assert_eq!(shown.body["snapshot"]["status"], "available");
    assert_eq!(cloud.store("pool").snapshots().len(), 1);
    ask("DELETE", &format!("/snapshots/{again}"), Value::Null).await;

    assert_eq!(
        ask("POST", &action("volume", &volume), unmanage)
            .await
            .status,
        202
    );
    assert_eq!(
        ask("GET", &format!("/volumes/{volume}"), Value::Null)
            .await
            .status,
        404
    );
    let listed = ask("GET", &format!("/os-volume-manage?{HOST}"), Value::Null).await;
    let reference = json!({"source-name": format!("volume-{volume}")});
    let entry = json!({"reference": reference, "size": 1, "safe_to_manage": true});
    assert_eq!(listed.body["manageable-volumes"], json!([entry]));
    let body = json!({"host": "cinderblock@pool#pool", "ref": reference, "name": "again"});
    let body = json!({ "volume": body });
    let made = ask("POST", "/manageable_volumes", body.clone()).await;
    assert_eq!(
        (made.status.as_u16(), &made.body["volume"]["status"]),
        (202, &json!("creating"))
    );
    let new = made.body["volume"]["id"].as_str().unwrap();
    assert_ne!(new, volume);
    let shown = ask("GET", &format!("/volumes/{new}"), Value::Null).await;
    let shown = &shown.body["volume"];
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("available"), &json!(1))
    );
    let mut found = [0; 4096];
    let disk = cloud
        .store("pool")
        .volume(VolumeId(new.parse().unwrap()))
        .unwrap();
    disk.read(0, &mut found).unwrap();
    assert_eq!(found, [7; 4096]);
    assert_eq!(
        cloud.store("pool").volumes().len(),
        1,
        "the old name is gone"
    );

    // A second time there is nothing of that name any more.
    let made = ask("POST", "/manageable_volumes", body).await;
    let failed = made.body["volume"]["id"].as_str().unwrap();
    let shown = ask("GET", &format!("/volumes/{failed}"), Value::Null).await;
    assert_eq!(shown.body["volume"]["status"], "error");
}

#[tokio::test]
async fn lists_have_pages_and_need_a_host() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    for size in [1, 3, 2] {
        let body = json!({"volume": {"size": size}});
        call(&cloud, &token, "POST", "/volumes", body).await;
    }
    cloud.run_jobs();
    let list = async |query: &str| {
        let path = format!("/manageable_volumes?{query}");
        call(&cloud, &token, "GET", &path, Value::Null).await
    };
    assert_eq!(list("").await.status, 400);
    assert_eq!(list("host=x").await.status, 404);
    assert_eq!(list(&format!("{HOST}&sort=name")).await.status, 400);
    let sorted = list(&format!("{HOST}&sort=size:asc")).await.body["manageable-volumes"].clone();
    let sizes: Vec<u64> = sorted
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["size"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [1, 2, 3]);
    let marker = sorted[0]["reference"].to_string();
    let marker = marker
        .replace('"', "%22")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let page = list(&format!("{HOST}&sort=size:asc&limit=1&marker={marker}")).await;
    assert_eq!(
        page.body["manageable-volumes"][0]["size"], 2,
        "{:?}",
        page.body
    );
    assert_eq!(list(&format!("{HOST}&marker=zz")).await.status, 400);
}

#[tokio::test]
async fn objects_that_the_service_made_for_itself_are_not_offered() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    let made = call(
        &cloud,
        &token,
        "POST",
        "/volumes",
        json!({"volume": {"size": 1}}),
    )
    .await;
    let volume: uuid::Uuid = made.body["volume"]["id"].as_str().unwrap().parse().unwrap();
    cloud.run_jobs();
    let own = store::SnapshotId(uuid::Uuid::new_v5(&volume, b"copied from"));
    let orphan = store::SnapshotId(uuid::Uuid::new_v4());
    let store = cloud.store("pool");
    store.create_snapshots(&[(own, VolumeId(volume))]).unwrap();
    store
        .create_snapshots(&[(orphan, VolumeId(volume))])
        .unwrap();
    let path = format!("/manageable_snapshots?{HOST}");
    let list = call(&cloud, &token, "GET", &path, Value::Null).await;
    let found = list.body["manageable-snapshots"].as_array().unwrap();
    assert_eq!(found.len(), 1);
    let name = format!("snapshot-{}", orphan.0);
    assert_eq!(found[0]["reference"]["source-name"], name);
}

#[tokio::test]
async fn hosts_that_there_are_not_are_told_in_two_ways() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    let says = |answer: &Answer| {
        let fault = answer.body.as_object().unwrap().values().next().unwrap();
        fault["message"].as_str().unwrap().to_owned()
    };
    let path = "/manageable_volumes?host=nowhere@x";
    let none = call(&cloud, &token, "GET", path, Value::Null).await;
    assert_eq!(
        (none.status.as_u16(), says(&none).as_str()),
        (
            404,
            "Service cinder-volume could not be found on host nowhere@x."
        )
    );
    let body = json!({"volume": {"host": "nowhere", "ref": {"source-name": "x"}}});
    let none = call(&cloud, &token, "POST", "/manageable_volumes", body).await;
    assert_eq!(
        (none.status.as_u16(), says(&none).as_str()),
        (400, "Host 'nowhere' not found")
    );
    let old = cloud
        .call(&token, "GET", "/volume/v3/os-volume-manage", Value::Null)
        .await;
    assert_eq!(says(&old), "Invalid input received: Host field is missing.");
}
