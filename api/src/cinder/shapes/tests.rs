//! The tables, and the layer through the router.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Method, check, rows_for, same_path};
use crate::cinder::tests::{Site, message};
use crate::microversion::Microversion;
use crate::testing::Answer;

/// What is said of a body; empty when nothing is.
fn said(method: &Method, path: &str, minor: u16, body: &Value) -> String {
    let version = Microversion(minor);
    let rows = rows_for(method, path, version);
    let refused = check(&rows, body, version).err();
    refused
        .map(|fault| fault.message().to_owned())
        .unwrap_or_default()
}

#[test]
fn table_of_refusals() {
    let long = "a".repeat(256);
    let attribute = |name: &str, value: &str, why: &str| {
        format!("Invalid input for field/attribute {name}. Value: {value}. {why}")
    };
    let volumes = "/volumes";
    let action = "/volumes/{id}/action";
    let table = [
        (
            volumes,
            0,
            json!([]),
            "[] is not of type 'object'".to_owned(),
        ),
        (
            volumes,
            0,
            json!({"volume": {}, "b": 1, "a": 1}),
            "Additional properties are not allowed ('a', 'b' were unexpected)".into(),
        ),
        (
            volumes,
            0,
            json!({"volum": {}}),
            "'volume' is a required property".into(),
        ),
        (
            volumes,
            0,
            json!({"volume": []}),
            attribute("volume", "[]", "[] is not of type 'object'"),
        ),
        (
            volumes,
            0,
            json!({"volume": {"colour": "red"}}),
            String::new(),
        ),
        (
            volumes,
            53,
            json!({"volume": {"colour": "red"}}),
            attribute(
                "volume",
                "{'colour': 'red'}",
                "Additional properties are not allowed ('colour' was unexpected)",
            ),
        ),
        (
            volumes,
            46,
            json!({"volume": {"backup_id": 5}}),
            String::new(),
        ),
        (
            volumes,
            47,
            json!({"volume": {"backup_id": 5}}),
            attribute(
                "backup_id",
                "5",
                "5 is not valid under any of the given schemas",
            ),
        ),
        (
            volumes,
            0,
            json!({"volume": {"size": "0"}}),
            attribute("size", "0", "0 is less than the minimum of 1"),
        ),
        (
            volumes,
            0,
            json!({"volume": {"size": "x"}}),
            attribute("size", "x", "'x' does not match '^[0-9]+$'"),
        ),
        (
            volumes,
            0,
            json!({"volume": {"size": true}}),
            attribute(
                "size",
                "True",
                "True is not of type 'integer', 'string', 'null'",
            ),
        ),
        (
            volumes,
            0,
            json!({"volume": {"metadata": {"a?": "b"}}}),
            attribute(
                "metadata",
                "{'a?': 'b'}",
                "'a?' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'",
            ),
        ),
        (
            volumes,
            0,
            json!({"volume": {"metadata": {"a": long}}}),
            attribute("a", &long, &format!("'{long}' is too long")),
        ),
        (
            volumes,
            0,
            json!({"volume": {"availability_zone": ""}}),
            attribute("availability_zone", "", "'' should be non-empty"),
        ),
        (
            action,
            0,
            json!({"os-attach": {"instance_uuid": "x", "mountpoint": "/m"}}),
            attribute("instance_uuid", "x", "'x' is not a 'uuid'"),
        ),
        (
            action,
            0,
            json!({"os-attach": {"mountpoint": "/m"}}),
            attribute(
                "os-attach",
                "{'mountpoint': '/m'}",
                "{'mountpoint': '/m'} is not valid under any of the given schemas",
            ),
        ),
        (
            action,
            0,
            json!({"os-migrate_volume": {"host": "h", "cluster": "c"}}),
            attribute(
                "os-migrate_volume",
                "{'host': 'h', 'cluster': 'c'}",
                "Additional properties are not allowed ('cluster' was unexpected)",
            ),
        ),
        (
            action,
            0,
            json!({"os-migrate_volume": {"host": null}}),
            attribute("host", "None", "None is not of type 'string'"),
        ),
        (
            action,
            16,
            json!({"os-migrate_volume": {"host": null, "cluster": "c"}}),
            String::new(),
        ),
        // Actions that come later are not looked at, nor those that nobody knows.
        (action, 39, json!({"revert": 5}), String::new()),
        (
            action,
            40,
            json!({"revert": 5}),
            attribute("revert", "5", "5 is not of type 'object'"),
        ),
        (action, 0, json!({"fly": 5}), String::new()),
        (
            "/types",
            0,
            json!({"volume_type": {"name": "  "}}),
            "An invalid 'name' value was provided. The 'name' can not be empty.".into(),
        ),
        (
            "/snapshots",
            0,
            json!({"snapshot": {"volume_id": null, "description": "a\nb"}}),
            attribute(
                "description",
                "a\nb",
                "'a\\nb' does not match '^[printable]*$'",
            ),
        ),
        (
            "/groups",
            13,
            json!({"group": {"group_type": "g", "volume_types": ["a", "a"]}}),
            attribute(
                "volume_types",
                "['a', 'a']",
                "['a', 'a'] has non-unique elements",
            ),
        ),
        (
            "/groups",
            13,
            json!({"group": {"group_type": "g", "volume_types": [5]}}),
            attribute("0", "5", "5 is not of type 'string'"),
        ),
        (
            "/consistencygroups",
            0,
            json!({"consistencygroup": {"volume_types": 5}, "more": 1}),
            String::new(),
        ),
        (
            "/workers/cleanup",
            24,
            json!({"service_id": "x"}),
            attribute("service_id", "x", "'x' does not match '^[0-9]*$'"),
        ),
    ];
    for (path, minor, body, expected) in table {
        assert_eq!(
            said(&Method::POST, path, minor, &body),
            expected,
            "{path} {body}"
        );
    }
    let one = json!({"a": "b", "c": "d"});
    assert_eq!(
        said(&Method::PUT, "/types/{type_id}/extra_specs/{key}", 0, &one),
        "{'a': 'b', 'c': 'd'} has too many properties"
    );
    assert_eq!(
        said(&Method::PUT, "/volumes/{id}", 53, &json!({"volume": {}})),
        attribute(
            "volume",
            "{}",
            "{} is not valid under any of the given schemas"
        )
    );
}

#[test]
fn routes_match_by_their_parameters() {
    assert!(same_path("/volumes/{}/action", "/volumes/{id}/action"));
    assert!(!same_path("/os-hosts/{}", "/os-hosts/update"));
    assert!(!same_path("/volumes/{}", "/volumes"));
}

#[tokio::test]
async fn bodies_are_refused_before_objects_are_looked_for() {
    let site = Site::new().await;
    let nowhere = "/volumes/00000000-0000-0000-0000-000000000000/action";
    let act = async |body: Value| site.call("POST", nowhere, body).await;
    let odd = act(json!({"os-extend": {"new_size": 2, "colour": "red"}})).await;
    let says = "Invalid input for field/attribute os-extend. Value: {'new_size': 2, 'colour': \
                'red'}. Additional properties are not allowed ('colour' was unexpected)";
    assert_eq!((odd.status, message(&odd)), (StatusCode::BAD_REQUEST, says));
    let two = act(json!({"os-extend": {"new_size": 2}, "os-reserve": null})).await;
    assert_eq!(
        (two.status, message(&two)),
        (StatusCode::BAD_REQUEST, "Malformed request body")
    );
    let missing: Answer = act(json!({"os-extend": {"new_size": 2}})).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let headers = [("X-Auth-Token", site.admin.as_str())];
    let old = format!("/volume/v2/{}/volumes", site.project);
    let body = json!({"volume": {"size": "x"}});
    let odd = site.cloud.send("POST", &old, &headers, body).await;
    assert!(message(&odd).contains("does not match"), "{:?}", odd.body);
}
