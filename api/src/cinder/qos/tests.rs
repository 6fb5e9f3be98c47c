//! QoS specs through the router, and what they make of a volume's limits.

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cinder::tests::{Site, id_of, message};
use crate::cinder::{IoLimits, io_limits};

/// Makes specs and returns their id.
async fn make(site: &Site, specs: Value) -> String {
    let made = site
        .call("POST", "/qos-specs", json!({ "qos_specs": specs }))
        .await;
    assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    made.body["qos_specs"]["id"].as_str().unwrap().to_owned()
}

async fn make_type(site: &Site, name: &str) -> String {
    let body = json!({"volume_type": {"name": name}});
    id_of(&site.call("POST", "/types", body).await)
}

#[tokio::test]
async fn specs_are_made_changed_and_removed() {
    let site = Site::new().await;
    let wanted = json!({"name": " q ", "consumer": "both", "read_iops_sec": "100"});
    let id = make(&site, wanted).await;
    let path = format!("/qos-specs/{id}");
    let shown = site.get(&path).await;
    let expected = json!({
        "id": id, "name": "q", "consumer": "both", "specs": {"read_iops_sec": "100"},
    });
    assert_eq!(shown.body["qos_specs"], expected);
    assert_eq!(shown.body["links"][0]["rel"], "self");
    let again = json!({"qos_specs": {"name": "q"}});
    let again = site.call("POST", "/qos-specs", again).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(message(&again), "QoS Specs q already exists.");
    let change = json!({"qos_specs": {"consumer": "front-end", "write_iops_sec": "5"}});
    let changed = site.call("PUT", &path, change.clone()).await;
    assert_eq!((changed.status, changed.body), (StatusCode::OK, change));
    let keys = json!({"keys": ["write_iops_sec", "nothing", "read_iops_sec"]});
    let missing = site.call("PUT", &format!("{path}/delete_keys"), keys).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let shown = site.get(&path).await;
    assert_eq!(
        shown.body["qos_specs"]["specs"],
        json!({"read_iops_sec": "100"})
    );
    assert_eq!(shown.body["qos_specs"]["consumer"], "front-end");
    let gone = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED);
    let missing = site.get(&path).await;
    assert_eq!(message(&missing), format!("No such QoS spec {id}."));
}

#[tokio::test]
async fn bodies_are_checked_and_lists_paged() {
    let site = Site::new().await;
    for (specs, says) in [
        (json!({"consumer": "both"}), "'name' is a required property"),
        (
            json!({"name": " "}),
            "An invalid 'name' value was provided. The 'name' can not be empty.",
        ),
        (
            json!({"name": "q", "consumer": "middle"}),
            "Valid consumer of QoS specs are",
        ),
        (
            json!({"name": "q", "read_iops_sec": 5}),
            "Value for key \"read_iops_sec\" is not a string or unicode",
        ),
    ] {
        let body = json!({ "qos_specs": specs });
        let refused = site.call("POST", "/qos-specs", body).await;
        assert_eq!(
            refused.status,
            StatusCode::BAD_REQUEST,
            "{:?}",
            refused.body
        );
        assert!(message(&refused).contains(says), "{:?}", refused.body);
    }
    let first = make(&site, json!({"name": "a"})).await;
    site.cloud.advance_s(1);
    let second = make(&site, json!({"name": "b"})).await;
    let ids = async |query: &str| {
        let list = site.get(&format!("/qos-specs?{query}")).await;
        let all = list.body["qos_specs"].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [&*second, &*first]);
    assert_eq!(ids("sort=created_at:asc&limit=1").await, [&*first]);
    assert_eq!(ids(&format!("marker={second}")).await, [&*first]);
    assert_eq!(ids(&format!("id={first}")).await, [&*first]);
    assert!(ids("colour=red").await.is_empty());
    let by_name = site.get("/qos-specs?sort=name:asc").await;
    assert_eq!(
        message(&by_name),
        "Invalid input received: Invalid sort key"
    );
}

#[tokio::test]
async fn types_refer_to_specs_until_told_otherwise() {
    let site = Site::new().await;
    let (one, two) = (make_type(&site, "one").await, make_type(&site, "two").await);
    let specs = make(&site, json!({"name": "q"})).await;
    let other = make(&site, json!({"name": "r"})).await;
    let get = async |path: &str| site.get(&format!("/qos-specs/{path}")).await;
    let nothing = get(&format!("{specs}/associate")).await;
    assert_eq!(message(&nothing), "Volume Type id must not be None.");
    for id in [&one, &two] {
        let done = get(&format!("{specs}/associate?vol_type_id={id}")).await;
        assert_eq!(done.status, StatusCode::ACCEPTED);
    }
    let taken = get(&format!("{other}/associate?vol_type_id={one}")).await;
    assert_eq!(taken.status, StatusCode::BAD_REQUEST);
    let shown = site.get(&format!("/types/{one}")).await;
    assert_eq!(shown.body["volume_type"]["qos_specs_id"], specs.as_str());
    let list = get(&format!("{specs}/associations")).await;
    assert_eq!(list.body["qos_associations"].as_array().unwrap().len(), 2);
    assert_eq!(
        list.body["qos_associations"][0]["association_type"],
        "volume_type"
    );
    let path = format!("/qos-specs/{specs}");
    let used = site.call("DELETE", &path, Value::Null).await;
    assert_eq!(message(&used), "Qos specs still in use.");
    let done = get(&format!("{specs}/disassociate?vol_type_id={one}")).await;
    assert_eq!(done.status, StatusCode::ACCEPTED);
    let list = get(&format!("{specs}/associations")).await;
    assert_eq!(list.body["qos_associations"][0]["id"], two.as_str());
    get(&format!("{specs}/disassociate_all")).await;
    let list = get(&format!("{specs}/associations")).await;
    assert_eq!(list.body, json!({"qos_associations": []}));
    get(&format!("{specs}/associate?vol_type_id={one}")).await;
    let forced = site
        .call("DELETE", &format!("{path}?force=true"), Value::Null)
        .await;
    assert_eq!(forced.status, StatusCode::ACCEPTED);
    let shown = site.get(&format!("/types/{one}")).await;
    assert_eq!(shown.body["volume_type"]["qos_specs_id"], Value::Null);
}

#[tokio::test]
async fn a_volume_is_held_to_what_its_type_refers_to() {
    let site = Site::new().await;
    let volume_type = make_type(&site, "slow").await;
    let wanted = json!({"name": "q", "total_iops_sec_per_gb": "50"});
    let specs = make(&site, wanted).await;
    let path = format!("/qos-specs/{specs}/associate?vol_type_id={volume_type}");
    site.get(&path).await;
    let wanted = json!({"volume": {"size": 2, "volume_type": "slow"}});
    let volume = id_of(&site.call("POST", "/volumes", wanted).await);
    site.run_jobs();
    let id = Uuid::parse_str(&volume).unwrap();
    let limits = || io_limits(site.cloud.services.catalogue(), id).unwrap();
    assert_eq!(limits().total_iops.map(|rate| rate.per_s), Some(100));
    let attach = json!({"attachment": {"volume_uuid": volume, "connector": {"host": "h"}}});
    let told = async || {
        let made = site.call("POST", "/attachments", attach.clone()).await;
        let path = format!("/attachments/{}", id_of(&made));
        site.call("DELETE", &path, Value::Null).await;
        made.body["attachment"]["connection_info"]["qos_specs"].clone()
    };
    assert_eq!(told().await, Value::Null);
    let path = format!("/qos-specs/{specs}");
    let change = json!({"qos_specs": {"consumer": "front-end"}});
    site.call("PUT", &path, change).await;
    assert_eq!(limits(), IoLimits::default());
    assert_eq!(told().await, json!({"total_iops_sec": "100"}));
}
