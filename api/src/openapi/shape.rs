//! JSON Schemas of bodies, said in as few words as they can be read in.
//!
//! Bodies that are structs of [`crate::types`] are described by what they derive ([`wire`]); those
//! that handlers put together key by key are described here. Objects are closed: a key that a
//! handler adds and nobody described fails the tests. A field that only some microversions have
//! says so, and [`at_version`] gives the schema of one of them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::microversion::Microversion;

/// The key under which a field says which microversions have it, as the tools of OpenStack write it.
const VERSIONS: &str = "x-openstack";
/// Where named schemas are kept in a document.
pub(crate) const SCHEMAS: &str = "#/components/schemas/";

/// A JSON Schema.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape(pub(super) Value);

impl Shape {
    fn with(mut self, key: &str, value: Value) -> Self {
        if let Value::Object(map) = &mut self.0 {
            map.insert(key.to_owned(), value);
        }
        self
    }

    /// Kept in the document once, by this name.
    pub(crate) fn named(self, name: &str) -> Self {
        self.with("title", json!(name))
    }

    /// Null as well.
    pub(crate) fn or_null(self) -> Self {
        match self.0.get("type").cloned() {
            Some(Value::String(kind)) => {
                let shape = self.with("type", json!([kind, "null"]));
                match shape.0.get("enum").and_then(Value::as_array).cloned() {
                    Some(mut words) => {
                        words.push(Value::Null);
                        shape.with("enum", Value::Array(words))
                    }
                    None => shape,
                }
            }
            _ => any_of([self, Self(json!({"type": "null"}))]),
        }
    }

    /// An object that may have other keys as well.
    pub(crate) fn open(self) -> Self {
        self.with("additionalProperties", json!(true))
    }

    /// An object that may have other keys with values that are alike.
    pub(crate) fn others(self, values: Shape) -> Self {
        self.with("additionalProperties", values.0)
    }

    /// An object with at least one key.
    pub(crate) fn filled(self) -> Self {
        self.with("minProperties", json!(1))
    }

    /// A list with nothing in it as well.
    pub(crate) fn may_be_empty(self) -> Self {
        self.with("minItems", json!(0))
    }

    /// A text of this form.
    pub(crate) fn like(self, pattern: &str) -> Self {
        self.with("pattern", json!(pattern))
    }
}

/// Anything.
pub(crate) fn any() -> Shape {
    Shape(json!({}))
}

/// A text.
pub(crate) fn text() -> Shape {
    Shape(json!({"type": "string"}))
}

/// A text of so many characters.
pub(crate) fn text_of(min: usize, max: usize) -> Shape {
    Shape(json!({"type": "string", "minLength": min, "maxLength": max}))
}

/// One of these texts.
pub(crate) fn words(words: &[&str]) -> Shape {
    Shape(json!({"type": "string", "enum": words}))
}

/// An id in the canonical form of UUIDs; requests may leave out the dashes.
pub(crate) fn uuid() -> Shape {
    Shape(json!({"type": "string", "format": "uuid"}))
}

/// A time in UTC, with or without a fraction and a zone: each resource has its own form.
pub(crate) fn time() -> Shape {
    text().like(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|\+00:00)?$")
}

/// True or false.
pub(crate) fn flag() -> Shape {
    Shape(json!({"type": "boolean"}))
}

/// A whole number.
pub(crate) fn int() -> Shape {
    Shape(json!({"type": "integer"}))
}

/// A whole number within bounds.
pub(crate) fn int_of(min: i64, max: i64) -> Shape {
    Shape(json!({"type": "integer", "minimum": min, "maximum": max}))
}

/// Nothing but null.
pub(crate) fn null() -> Shape {
    Shape(json!({"type": "null"}))
}

/// A list.
pub(crate) fn list(of: Shape) -> Shape {
    Shape(json!({"type": "array"})).with("items", of.0)
}

/// A list of one or more different things.
pub(crate) fn distinct(of: Shape) -> Shape {
    let distinct = Shape(json!({"type": "array", "minItems": 1, "uniqueItems": true}));
    distinct.with("items", of.0)
}

/// An object with any keys, whose values are alike.
pub(crate) fn map_of(values: Shape) -> Shape {
    Shape(json!({"type": "object"})).with("additionalProperties", values.0)
}

/// As [`map_of`], with keys of one form.
pub(crate) fn map_by(keys: &str, values: Shape) -> Shape {
    let patterns = Map::from_iter([(keys.to_owned(), values.0)]);
    Shape(json!({"type": "object", "additionalProperties": false}))
        .with("patternProperties", Value::Object(patterns))
}

/// What one of several schemas describes.
pub(crate) fn any_of(shapes: impl IntoIterator<Item = Shape>) -> Shape {
    let shapes: Vec<Value> = shapes.into_iter().map(|shape| shape.0).collect();
    Shape(json!({ "anyOf": shapes }))
}

/// What all of several schemas describe.
pub(crate) fn all_of(shapes: impl IntoIterator<Item = Shape>) -> Shape {
    let shapes: Vec<Value> = shapes.into_iter().map(|shape| shape.0).collect();
    Shape(json!({ "allOf": shapes }))
}

/// A field of an object.
pub(crate) struct Field {
    name: String,
    shape: Shape,
    required: bool,
    since: u16,
}

impl Field {
    /// Only from 3.`minor` on.
    pub(crate) fn since(mut self, minor: u16) -> Self {
        self.since = minor;
        self
    }

    fn schema(self) -> Value {
        if self.since == 0 {
            return self.shape.0;
        }
        let mut versions = Map::new();
        versions.insert(
            "min-ver".into(),
            json!(Microversion(self.since).to_string()),
        );
        if self.required {
            versions.insert("required".into(), json!(true));
        }
        self.shape.with(VERSIONS, Value::Object(versions)).0
    }
}

/// A field that is always there.
pub(crate) fn field(name: &str, shape: Shape) -> Field {
    Field {
        name: name.to_owned(),
        shape,
        required: true,
        since: 0,
    }
}

/// A field that may be absent.
pub(crate) fn maybe(name: &str, shape: Shape) -> Field {
    Field {
        required: false,
        ..field(name, shape)
    }
}

/// An object with these fields and no others.
pub(crate) fn object(fields: impl IntoIterator<Item = Field>) -> Shape {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        if field.required && field.since == 0 {
            required.push(json!(field.name));
        }
        properties.insert(field.name.clone(), field.schema());
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    schema["additionalProperties"] = json!(false);
    Shape(schema)
}

/// An object with one field.
pub(crate) fn wrapped(name: &str, shape: Shape) -> Shape {
    object([field(name, shape)])
}

/// What a struct of [`crate::types`] looks like when it is sent, with nothing besides.
pub(crate) fn wire<T: JsonSchema>() -> Shape {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .for_serialize();
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = schema
        .as_object_mut()
        .map(std::mem::take)
        .map_or(json!(true), Value::Object);
    close(&mut value);
    Shape(value)
}

/// Closes all objects that say what keys they have.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(close);
            let has_keys =
                map.get("type") == Some(&json!("object")) && map.contains_key("properties");
            if has_keys && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => (),
    }
}

/// Schemas by name.
#[derive(Default)]
pub(super) struct Named {
    pub(super) schemas: Map<String, Value>,
    /// Names that more than one schema has; a test sees to it that there are none.
    pub(super) clashes: Vec<String>,
}

impl Named {
    fn keep(&mut self, name: String, schema: Value) {
        if self
            .schemas
            .get(&name)
            .is_some_and(|other| *other != schema)
        {
            self.clashes.push(name.clone());
        }
        self.schemas.insert(name, schema);
    }

    /// Moves named schemas, and those that structs refer to, out of a schema to here.
    pub(super) fn hoist(&mut self, schema: &mut Value) {
        match schema {
            Value::Object(map) => self.hoist_object(map),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hoist(item)),
            _ => (),
        }
    }

    fn hoist_object(&mut self, map: &mut Map<String, Value>) {
        if let Some(mut components) = map.remove("components")
            && let Some(Value::Object(defined)) = components.get_mut("schemas").map(Value::take)
        {
            for (name, mut own) in defined {
                self.hoist(&mut own);
                self.keep(name, own);
            }
        }
        map.values_mut().for_each(|value| self.hoist(value));
        // A schema's name is a text; the schema of a property called `title` is none.
        if !map.get("title").is_some_and(Value::is_string) {
            return;
        }
        if let Some(Value::String(name)) = map.remove("title") {
            let versions = map.remove(VERSIONS);
            self.keep(name.clone(), Value::Object(std::mem::take(map)));
            map.insert("$ref".into(), json!(format!("{SCHEMAS}{name}")));
            if let Some(versions) = versions {
                map.insert(VERSIONS.into(), versions);
            }
        }
    }
}

/// Makes all schemas within a document those of one microversion.
#[cfg(test)]
pub(super) fn at_version(schema: &mut Value, version: Microversion) {
    match schema {
        Value::Object(map) => {
            map.values_mut()
                .for_each(|value| at_version(value, version));
            let Some(Value::Object(properties)) = map.get_mut("properties") else {
                return;
            };
            let (mut gone, mut required) = (Vec::new(), Vec::new());
            for (name, own) in properties.iter() {
                match own
                    .get(VERSIONS)
                    .map(|versions| presence(versions, version))
                {
                    Some(Presence::Absent) => gone.push(name.clone()),
                    Some(Presence::Required) => required.push(json!(name)),
                    Some(Presence::Optional) | None => (),
                }
            }
            properties.retain(|name, _| !gone.contains(name));
            if !required.is_empty() {
                let all = map.entry("required").or_insert_with(|| json!([]));
                all.as_array_mut().unwrap().extend(required);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| at_version(item, version)),
        _ => (),
    }
}

/// Whether a version has a field.
#[cfg(test)]
enum Presence {
    Absent,
    Optional,
    Required,
}

#[cfg(test)]
fn presence(versions: &Value, version: Microversion) -> Presence {
    let minor = |key: &str| {
        let text = versions.get(key)?.as_str()?;
        text.strip_prefix("3.")?.parse::<u16>().ok()
    };
    let early = minor("min-ver").is_some_and(|since| version.0 < since);
    match versions.get("required") {
        _ if early => Presence::Absent,
        Some(_) => Presence::Required,
        None => Presence::Optional,
    }
}
