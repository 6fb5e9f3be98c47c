//! The JSON schemas that clients are shown, and that bodies are held against.
//!
//! Those of single objects are files, word for word what clients of the real service read; those of
//! lists are made of them.

use std::sync::OnceLock;

use axum::Json;
use axum::extract::Path;
use serde_json::{Map, Value, json};

use crate::fault::{Fault, ImageFault};

/// A schema: what it is called in paths, and how it is made.
struct Entry {
    path: &'static str,
    make: fn() -> Value,
}

/// A file of this folder.
macro_rules! item {
    ($name:ident, $file:literal) => {
        /// The schema of one such object.
        pub(super) fn $name() -> &'static Value {
            static PARSED: OnceLock<Value> = OnceLock::new();
            PARSED.get_or_init(|| {
                serde_json::from_str(include_str!(concat!("schemas/", $file)))
                    .expect("a unit test parses all of them")
            })
        }
    };
}

item!(image, "image.json");
item!(member, "member.json");
item!(task, "task.json");
item!(namespace, "namespace.json");
item!(resource_type, "resource_type.json");
item!(property, "property.json");
item!(object, "object.json");
item!(tag, "tag.json");

/// How a list holds its items.
#[derive(Clone, Copy)]
enum Held {
    /// One after the other, in pages.
    Pages,
    /// One after the other, all at once.
    Whole,
    /// By name, in pages.
    ByName,
}

/// The schema of a list of items.
fn collection(name: &str, item: &Value, held: Held) -> Value {
    let mut item = item.clone();
    let definitions = item
        .as_object_mut()
        .and_then(|map| map.remove("definitions"));
    let items = match held {
        Held::ByName => json!({"type": "object", "additionalProperties": item}),
        Held::Pages | Held::Whole => json!({"type": "array", "items": item}),
    };
    let text = json!({"type": "string"});
    let link = |name: &str, rel: &str| json!({"rel": rel, "href": format!("{{{name}}}")});
    let mut properties = Map::new();
    properties.insert(name.to_owned(), items);
    let mut links = Vec::new();
    if !matches!(held, Held::Whole) {
        properties.insert("first".to_owned(), text.clone());
        properties.insert("next".to_owned(), text.clone());
        links.extend([link("first", "first"), link("next", "next")]);
    }
    properties.insert("schema".to_owned(), text);
    links.push(link("schema", "describedby"));
    let mut schema = json!({"name": name, "properties": properties, "links": links});
    if let Some(definitions) = definitions {
        schema["definitions"] = definitions;
    }
    schema
}

/// A task as lists have it.
fn stub() -> Value {
    let mut stub = task().clone();
    if let Some(properties) = stub["properties"].as_object_mut() {
        for name in ["input", "result", "message"] {
            properties.shift_remove(name);
        }
    }
    stub
}

const ENTRIES: [Entry; 16] = [
    Entry {
        path: "image",
        make: || image().clone(),
    },
    Entry {
        path: "images",
        make: || collection("images", image(), Held::Pages),
    },
    Entry {
        path: "member",
        make: || member().clone(),
    },
    Entry {
        path: "members",
        make: || collection("members", member(), Held::Whole),
    },
    Entry {
        path: "task",
        make: || task().clone(),
    },
    Entry {
        path: "tasks",
        make: || collection("tasks", &stub(), Held::Whole),
    },
    Entry {
        path: "metadefs/namespace",
        make: || namespace().clone(),
    },
    Entry {
        path: "metadefs/namespaces",
        make: || collection("namespaces", namespace(), Held::Pages),
    },
    Entry {
        path: "metadefs/resource_type",
        make: || resource_type().clone(),
    },
    Entry {
        path: "metadefs/resource_types",
        make: || collection("resource_type_associations", resource_type(), Held::Pages),
    },
    Entry {
        path: "metadefs/property",
        make: || property().clone(),
    },
    Entry {
        path: "metadefs/properties",
        make: || collection("properties", property(), Held::ByName),
    },
    Entry {
        path: "metadefs/object",
        make: || object().clone(),
    },
    Entry {
        path: "metadefs/objects",
        make: || collection("objects", object(), Held::Pages),
    },
    Entry {
        path: "metadefs/tag",
        make: || tag().clone(),
    },
    Entry {
        path: "metadefs/tags",
        make: || collection("tags", tag(), Held::Pages),
    },
];

fn find(path: &str) -> Result<Json<Value>, ImageFault> {
    let entry = ENTRIES.iter().find(|entry| entry.path == path);
    let entry = entry.ok_or_else(Fault::version_not_found)?;
    Ok(Json((entry.make)()))
}

/// `GET /v2/schemas/{name}`.
pub(super) async fn show(Path(name): Path<String>) -> Result<Json<Value>, ImageFault> {
    find(&name)
}

/// `GET /v2/schemas/metadefs/{name}`.
pub(super) async fn show_metadef(Path(name): Path<String>) -> Result<Json<Value>, ImageFault> {
    find(&format!("metadefs/{name}"))
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, image};

    #[test]
    fn all_schemas_are_there_and_named() {
        for entry in &ENTRIES {
            let schema = (entry.make)();
            assert!(schema["properties"].is_object(), "{}", entry.path);
            assert!(schema["name"].is_string(), "{}", entry.path);
        }
        assert_eq!(image()["additionalProperties"]["type"], "string");
    }
}
