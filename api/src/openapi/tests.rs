//! The document against itself, the router and the table of operations.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::document::{build, document, grouped};
use super::{family, services};
use crate::microversion::Microversion;
use crate::testing::Cloud;

/// The operations of Block Storage, which the tests of policies walk.
const ROUTES: &str = include_str!("../policy/tests/routes.tsv");

/// Paths that the router has and the document does not: accidents of the real service, which do
/// nothing, and second spellings.
const UNTOLD: [&str; 8] = [
    "/attachments/summary",
    "/default-types/",
    "/groups/{id}",
    "/os-hosts/update",
    "/tasks/{task_id}",
    "/v2.0",
    "/v3/",
    "/workers/cleanup",
];

/// A path with nameless parameters.
fn nameless(path: &str) -> String {
    let part = |part: &str| match part.starts_with('{') {
        true => "{}".to_owned(),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The rows of the table and of the document, in the same words.
fn rows() -> (BTreeSet<String>, BTreeSet<String>) {
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let &[_, method, path, action, success, _, rule] = cells.as_slice() else {
            panic!("{line}: not seven cells");
        };
        let path = nameless(path.split('?').next().unwrap());
        // What cannot succeed without another world is told with the status it has there.
        let success = match success.parse::<u16>().unwrap() {
            400.. => "",
            _ => success,
        };
        format!("{method} {path} {action} {rule} {success}")
    };
    let table: BTreeSet<String> = ROUTES.lines().skip(1).map(row).collect();
    let block_storage = services()
        .into_iter()
        .find(|service| service.prefix == "/volume/v3")
        .unwrap();
    let told = block_storage.operations.iter().map(|operation| {
        let method = operation.verb.word().to_uppercase();
        let path = nameless(operation.path);
        let (action, rule) = (
            operation.action.unwrap_or_default(),
            operation.rule.map_or("", |rule| rule.name()),
        );
        let row = format!("{method} {path} {action} {rule} ");
        match table.contains(&row) {
            true => row,
            false => format!("{row}{}", operation.status),
        }
    });
    let told = told.collect();
    (table, told)
}

#[test]
fn the_table_and_the_document_have_the_same_operations() {
    let (table, told) = rows();
    let untold: Vec<&String> = table.difference(&told).collect();
    let unknown: Vec<&String> = told.difference(&table).collect();
    assert!(
        untold.is_empty() && unknown.is_empty(),
        "only in routes.tsv: {untold:#?}\nonly in the document: {unknown:#?}"
    );
}

#[test]
fn every_route_is_told_of_but_for_accidents() {
    let mut untold: Vec<String> = crate::cinder::routes().untold_paths();
    untold.extend(crate::native::routes().untold_paths());
    untold.extend(crate::keystone::untold_paths());
    untold.extend(crate::glance::routes().untold_paths());
    untold.sort_unstable();
    assert_eq!(untold, UNTOLD);
    for service in services() {
        for (path, operations) in grouped(&service) {
            let pointer = format!("{}{path}", service.prefix);
            let verb = operations[0].verb.word();
            let entry = &document()["paths"][&pointer][verb];
            assert!(entry["operationId"].is_string(), "{verb} {pointer}");
        }
    }
}

/// Every value under a key, wherever it is.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => (),
    }
}

#[test]
fn references_lead_somewhere_and_ids_are_unique() {
    let (mut references, mut ids) = (Vec::new(), Vec::new());
    all(document(), "$ref", &mut references);
    all(document(), "operationId", &mut ids);
    for reference in references.iter().filter_map(|found| found.as_str()) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document().pointer(pointer).is_some(), "{reference}");
    }
    let different: BTreeSet<&str> = ids.iter().filter_map(|id| id.as_str()).collect();
    assert_eq!(different.len(), ids.len());
    assert!(ids.len() > 200, "{} operations", ids.len());
}

#[test]
fn no_two_schemas_have_one_name() {
    assert_eq!(build(&services()).1, Vec::<String>::new());
}

#[test]
fn a_field_belongs_to_its_microversions() {
    let volume = &document()["components"]["schemas"]["Volume"];
    assert_eq!(
        volume["properties"]["group_id"]["x-openstack"],
        json!({"min-ver": "3.13", "required": true})
    );
    let at = |minor: u16| {
        let mut volume = volume.clone();
        super::shape::at_version(&mut volume, Microversion(minor));
        let required = volume["required"].as_array().unwrap();
        let has = volume["properties"].get("group_id").is_some();
        (has, required.contains(&json!("group_id")))
    };
    assert_eq!((at(12), at(13)), ((false, false), (true, true)));
}

#[test]
fn legacy_paths_are_those_that_the_router_has() {
    assert!(family::is_in_v2("/volumes/detail"));
    assert!(!family::is_in_v2("/attachments/{id}") && !family::is_in_v2("/volumes/summary"));
}

#[tokio::test]
async fn metadata_that_calls_itself_html_is_told_of() {
    let cloud = Cloud::new();
    let token = cloud.admin().await;
    let make = json!({"volume": {"size": 1}});
    let made = cloud.call(&token, "POST", "/volume/v3/volumes", make).await;
    let id = made.body["volume"]["id"].as_str().unwrap();
    let path = format!("/volume/v3/volumes/{id}/metadata");
    let latest = [
        ("X-Auth-Token", token.as_str()),
        ("OpenStack-API-Version", "volume latest"),
    ];
    let shown = cloud.send("GET", &path, &latest, Value::Null).await;
    let kind = shown.header("content-type").split(';').next().unwrap();
    let pointer = "/paths/~1volume~1v3~1volumes~1{id}~1metadata/get/responses/200/content";
    let told = document().pointer(pointer).unwrap();
    assert!(told.get(kind).is_some(), "{kind} is not told of: {told}");
}

#[tokio::test]
async fn everybody_is_shown_the_document() {
    let cloud = Cloud::new();
    let shown = cloud.send("GET", "/openapi.json", &[], Value::Null).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.header("content-type"), "application/json");
    assert_eq!(&shown.body, document());
}
