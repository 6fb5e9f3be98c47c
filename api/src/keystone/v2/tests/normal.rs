//! Bodies with what differs from cloud to cloud made equal.

use serde_json::{Value, json};

use crate::keystone::v2::xml::Element;

/// A time with all its digits zero.
fn normal_time(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "0")
}

/// The body with ids and times that differ from cloud to cloud made equal, and lists that have no
/// order in one.
pub(super) fn normal_json(mut body: Value) -> Value {
    let access = &mut body["access"];
    let tenant = access["token"]["tenant"]["id"].as_str().unwrap().to_owned();
    for key in ["issued_at", "expires"] {
        access["token"][key] = json!(normal_time(access["token"][key].as_str().unwrap()));
    }
    access["token"]["id"] = json!("id");
    access["token"]["tenant"]["id"] = json!("tenant");
    access["user"]["id"] = json!("user");
    let roles = access["user"]["roles"].as_array_mut().unwrap();
    roles.sort_by_key(Value::to_string);
    for id in access["metadata"]["roles"].as_array_mut().unwrap() {
        assert_eq!(id.as_str().unwrap().len(), 32);
        *id = json!("role");
    }
    let services = access["serviceCatalog"].as_array_mut().unwrap();
    services.sort_by_key(|service| service["type"].to_string());
    for endpoint in services
        .iter_mut()
        .map(|service| &mut service["endpoints"][0])
    {
        endpoint["id"] = json!("endpoint");
    }
    // Maps compare without order, so that a detour through text is only for the tenant's id.
    serde_json::from_str(&body.to_string().replace(&tenant, "tenant")).unwrap()
}

pub(super) fn normal_xml(mut element: Element, tenant: &str) -> Element {
    let known = ["token", "tenant", "user", "endpoint"].contains(&element.name.as_str());
    for (name, value) in &mut element.attributes {
        match name.as_str() {
            "id" if known => *value = "id".to_owned(),
            "issued_at" | "expires" => *value = normal_time(value),
            _ => *value = value.replace(tenant, "tenant"),
        }
    }
    element.attributes.sort();
    if !element.text.is_empty() {
        element.text = "text".to_owned();
    }
    let children = element.children.into_iter();
    element.children = children.map(|child| normal_xml(child, tenant)).collect();
    if ["serviceCatalog", "user"].contains(&element.name.as_str()) {
        element.children.sort_by_key(Element::document);
    }
    element
}

pub(super) fn tenant_of(access: &Element) -> String {
    let tenant = access.child("token").unwrap().child("tenant").unwrap();
    tenant.attribute("id").unwrap().to_owned()
}
