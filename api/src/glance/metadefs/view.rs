//! What clients are shown of namespaces and what is in them.

use serde_json::{Map, Value, json};

use super::records::{Item, Kind, Namespace};
use crate::clock::image_time;

/// The path of a namespace.
pub(super) fn path_of(namespace: &str) -> String {
    format!("/v2/metadefs/namespaces/{namespace}")
}

fn dated(view: &mut Map<String, Value>, created_us: u64, updated_us: u64) {
    view.insert("created_at".to_owned(), json!(image_time(created_us)));
    view.insert("updated_at".to_owned(), json!(image_time(updated_us)));
}

/// A namespace without what is in it.
pub(super) fn head(namespace: &Namespace) -> Map<String, Value> {
    let mut view = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            view.insert(key.to_owned(), value);
        }
    };
    set("namespace", json!(namespace.name));
    set("display_name", json!(namespace.display_name));
    set("description", json!(namespace.description));
    let visibility = if namespace.public {
        "public"
    } else {
        "private"
    };
    set("visibility", json!(visibility));
    set("protected", json!(namespace.protected));
    set("owner", json!(namespace.owner));
    set("self", json!(path_of(&namespace.name)));
    set("schema", json!("/v2/schemas/metadefs/namespace"));
    dated(&mut view, namespace.created_us, namespace.updated_us);
    view
}

/// The associations of a namespace, if there are any.
pub(super) fn with_types(
    mut view: Map<String, Value>,
    namespace: &Namespace,
) -> Map<String, Value> {
    let types = namespace.resource_types.iter();
    let types: Vec<Value> = types
        .map(|one| item(Kind::ResourceType, &namespace.name, one))
        .collect();
    if !types.is_empty() {
        view.insert("resource_type_associations".to_owned(), json!(types));
    }
    view
}

/// A namespace with all that is in it, its properties under a prefix.
pub(super) fn whole(namespace: &Namespace, prefix: &str) -> Value {
    let mut view = with_types(head(namespace), namespace);
    if !namespace.objects.is_empty() {
        let objects = namespace.objects.iter();
        let objects: Vec<Value> = objects
            .map(|one| prefixed_object(item(Kind::Object, &namespace.name, one), prefix))
            .collect();
        view.insert("objects".to_owned(), json!(objects));
    }
    if !namespace.properties.is_empty() {
        let properties = prefixed(&properties(namespace), prefix);
        view.insert("properties".to_owned(), Value::Object(properties));
    }
    if !namespace.tags.is_empty() {
        view.insert("tags".to_owned(), json!(names(&namespace.tags)));
    }
    Value::Object(view)
}

fn prefixed(properties: &Map<String, Value>, prefix: &str) -> Map<String, Value> {
    let pairs = properties.iter();
    pairs
        .map(|(name, value)| (format!("{prefix}{name}"), value.clone()))
        .collect()
}

fn prefixed_object(mut object: Value, prefix: &str) -> Value {
    if let Some(Value::Object(properties)) = object.get("properties") {
        object["properties"] = Value::Object(prefixed(properties, prefix));
    }
    if let Some(Value::Array(required)) = object.get("required") {
        let names = required.iter().filter_map(Value::as_str);
        object["required"] = names.map(|name| json!(format!("{prefix}{name}"))).collect();
    }
    object
}

fn properties(namespace: &Namespace) -> Map<String, Value> {
    let pairs = namespace.properties.iter();
    pairs
        .map(|one| (one.name.clone(), item(Kind::Property, &namespace.name, one)))
        .collect()
}

fn names(items: &[Item]) -> Vec<Value> {
    items.iter().map(|one| json!({"name": one.name})).collect()
}

/// Something in a namespace, with what it has by default.
pub(super) fn item(kind: Kind, namespace: &str, one: &Item) -> Value {
    let mut view = given(kind, namespace, one);
    if kind == Kind::Object
        && let Some(map) = view.as_object_mut()
    {
        for (key, empty) in [("required", json!([])), ("properties", json!({}))] {
            map.entry(key).or_insert(empty);
        }
    }
    view
}

/// Something in a namespace, as whoever makes or changes it is shown it.
pub(super) fn given(kind: Kind, namespace: &str, one: &Item) -> Value {
    let mut view = Map::new();
    view.insert("name".to_owned(), json!(one.name));
    view.extend(one.body.clone());
    if kind == Kind::Object {
        let path = format!("{}/objects/{}", path_of(namespace), one.name);
        view.insert("self".to_owned(), json!(path));
        view.insert("schema".to_owned(), json!("/v2/schemas/metadefs/object"));
    }
    if kind != Kind::Property {
        dated(&mut view, one.created_us, one.updated_us);
    }
    Value::Object(view)
}

/// Everything of a kind in a namespace, or a page of it.
pub(super) fn list(kind: Kind, namespace: &Namespace, items: &[Item]) -> Value {
    let name = &namespace.name;
    let each = || {
        items
            .iter()
            .map(|one| item(kind, name, one))
            .collect::<Vec<_>>()
    };
    match kind {
        Kind::Property => json!({"properties": properties(namespace)}),
        Kind::ResourceType => json!({"resource_type_associations": each()}),
        Kind::Object => {
            // The real service leaves out the first slash.
            json!({"objects": each(), "schema": "v2/schemas/metadefs/objects"})
        }
        Kind::Tag => json!({"tags": names(items)}),
    }
}
