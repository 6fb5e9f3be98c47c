//! Consistency groups.

use http::StatusCode;
use serde_json::json;

use super::Yard;
use crate::cinder::tests::{id_of, message};

#[tokio::test]
async fn consistency_groups_are_groups_of_their_own_type() {
    let yard = Yard::new().await;
    let wanted = json!({"consistencygroup": {"name": "cg", "volume_types": "vt,"}});
    let made = yard.site.post("/consistencygroups", wanted).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let group = id_of(&made);
    let shown = yard.site.shown("consistencygroup", &group).await;
    assert_eq!(shown["volume_types"], json!([yard.volume_type]));
    assert_eq!(shown["status"], "available");
    assert_eq!(shown.as_object().unwrap().len(), 7);
    let hidden = yard.site.get(&format!("/groups/{group}")).await;
    assert_eq!(hidden.status, StatusCode::BAD_REQUEST);
    assert!(message(&hidden).contains("Migrated group can only be operated by CG APIs."));
    assert_eq!(yard.site.get("/groups").await.body, json!({"groups": []}));
    let list = yard.site.get("/consistencygroups").await;
    assert_eq!(
        list.body["consistencygroups"],
        json!([{"id": group, "name": "cg"}])
    );
    let wanted = json!({"size": 1, "volume_type": "vt", "consistencygroup_id": group});
    let volume = yard.site.make("volume", wanted).await;
    yard.site.run_jobs();
    yard.write(&volume, 1);
    let row = yard.site.shown("volume", &volume).await;
    assert_eq!(row["consistencygroup_id"], json!(group));
    let cut = yard
        .site
        .make("cgsnapshot", json!({"consistencygroup_id": group}))
        .await;
    yard.site.run_jobs();
    yard.write(&volume, 2);
    let shown = yard.site.shown("cgsnapshot", &cut).await;
    assert_eq!(shown["consistencygroup_id"], json!(group));
    assert_eq!(shown["status"], "available");
    assert_eq!(
        yard.site.get("/group_snapshots").await.body,
        json!({"group_snapshots": []})
    );
    let list = yard.site.get("/cgsnapshots/detail?limit=1").await;
    assert_eq!(list.body, json!({"cgsnapshots": [shown]}));
    let from = json!({"consistencygroup-from-src": {"cgsnapshot_id": cut}});
    let made = yard
        .site
        .post("/consistencygroups/create_from_src", from)
        .await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
    let copy = id_of(&made);
    yard.site.run_jobs();
    let volumes = yard
        .site
        .get(&format!("/volumes/detail?group_id={copy}"))
        .await;
    let volumes = volumes.body["volumes"].as_array().unwrap().clone();
    assert_eq!(yard.read(volumes[0]["id"].as_str().unwrap()), 1);
    let rename = json!({"consistencygroup": {"name": "new"}});
    let path = format!("/consistencygroups/{copy}");
    let renamed = yard
        .site
        .call("PUT", &format!("{path}/update"), rename)
        .await;
    assert_eq!(renamed.status, StatusCode::ACCEPTED);
    assert_eq!(
        yard.site.shown("consistencygroup", &copy).await["name"],
        "new"
    );
    let kept = yard
        .site
        .post(&format!("{path}/delete"), json!({"consistencygroup": {}}))
        .await;
    assert_eq!(kept.status, StatusCode::BAD_REQUEST);
    let gone = yard.site.delete(&format!("/cgsnapshots/{cut}")).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
    yard.site.run_jobs();
    for group in [group, copy] {
        let force = json!({"consistencygroup": {"force": true}});
        let path = format!("/consistencygroups/{group}/delete");
        let deleted = yard.site.post(&path, force).await;
        assert_eq!(deleted.status, StatusCode::ACCEPTED, "{:?}", deleted.body);
    }
    yard.site.run_jobs();
    assert_eq!(yard.used().await, [0, 0, 0, 0]);
}
