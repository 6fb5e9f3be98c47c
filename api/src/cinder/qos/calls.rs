//! `/qos-specs`: listing, making, showing, changing and deleting specs.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::rows::{Consumer, QosSpecs, find, no_specs, types_with};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::operations::qos as ops;
use crate::cinder::records::{BY_CREATED, BY_NAME};
use crate::cinder::{accepted, validate, volume_delete};
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::page::{Direction, Page, Params};
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// Columns that lists can be sorted by; the real service's have no names.
const SORT_KEYS: [&str; 3] = ["id", "created_at", "updated_at"];
/// Parameters that are not filters.
const PAGING: [&str; 6] = ["limit", "marker", "offset", "sort", "sort_key", "sort_dir"];
/// Longest name, key and value.
const TEXT_MAX: usize = 255;

/// The routes of specs themselves.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, create)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, remove)
        .on(ops::DELETE_KEYS, delete_keys)
}

fn view(specs: &QosSpecs) -> Value {
    json!({
        "id": specs.id,
        "name": specs.name,
        "consumer": specs.consumer.word(),
        "specs": specs.specs,
    })
}

/// One set of specs, with links beside it.
fn shown(services: &Services, url: &UrlProject, specs: &QosSpecs) -> Json<Value> {
    let (base, bookmark) = (url.base(services), url.bookmark_base(services));
    let id = specs.id;
    Json(json!({
        "qos_specs": view(specs),
        "links": [
            {"rel": "self", "href": format!("{base}/qos-specs/{id}")},
            {"rel": "bookmark", "href": format!("{bookmark}/qos-specs/{id}")},
        ],
    }))
}

async fn index(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::QosSpecsManageGetAll)?;
    let mut page = Page::read(&params)?;
    let mut found: Vec<QosSpecs> = services
        .blocking(|services| {
            let all = Query::by(BY_CREATED, Key::new());
            Ok(services.catalogue().read(|reader| reader.list(&all))?)
        })
        .await?;
    // Of all columns only the id can be asked for; what asks for another finds nothing, whatever
    // the order and the marker.
    for (key, wanted) in params.iter().filter(|(key, _)| !PAGING.contains(key)) {
        found.retain(|specs| key == "id" && specs.id.to_string() == wanted);
        if key != "id" {
            page = Page::read(&Params::default())?;
        }
    }
    if let Some((_, Direction::Ascending)) = page.sort.first() {
        found.reverse();
    }
    found.sort_by(|a, b| {
        let by_id = page.sort.iter().filter(|(key, _)| key == "id");
        let orders = by_id.map(|(_, way)| way.apply(a.id.cmp(&b.id)));
        orders.fold(Ordering::Equal, Ordering::then)
    });
    let items = page.cut_ordered(&SORT_KEYS, found, |specs| specs.id.to_string(), no_specs)?;
    let last = items.last().map(|last| last.id.to_string());
    let href = format!("{}/qos-specs", url.base(&services));
    let views: Vec<Value> = items.iter().map(view).collect();
    let mut body = json!({ "qos_specs": views });
    if let Some(links) = page.links(&params, &href, items.len(), last.as_deref()) {
        body["qos_specs_links"] = links;
    }
    Ok(Json(body))
}

/// Takes the keys of a body into specs; one of them says who enforces the others.
fn apply(specs: &mut QosSpecs, given: &Map<String, Value>) -> Result<(), Fault> {
    for (key, value) in given {
        let too_long = |what: &str, text: &str| {
            let length = text.chars().count();
            Fault::bad_request(format!(
                "Invalid input received: {what} has {length} characters, more than {TEXT_MAX}."
            ))
        };
        if key.chars().count() > TEXT_MAX {
            return Err(too_long("Key", key));
        }
        let text = match value {
            Value::Null => None,
            Value::String(text) if text.chars().count() <= TEXT_MAX => Some(text.clone()),
            Value::String(text) => {
                return Err(too_long(&format!("Value for key \"{key}\""), text));
            }
            _ => {
                return Err(Fault::bad_request(format!(
                    "Invalid input received: Value for key \"{key}\" is not a string or unicode"
                )));
            }
        };
        match (key.as_str(), &text) {
            ("consumer", None) => (),
            ("consumer", Some(word)) => specs.consumer = consumer(word)?,
            _ => {
                specs.specs.insert(key.clone(), text);
            }
        }
    }
    Ok(())
}

fn consumer(word: &str) -> Result<Consumer, Fault> {
    Consumer::parse(word).ok_or_else(|| {
        Fault::bad_request(
            "Invalid qos specs: Valid consumer of QoS specs are: \
             QoSConsumerValues(default=<class \
             'oslo_versionedobjects.fields.UnspecifiedDefault'>,nullable=False,\
             valid_values=('back-end', 'front-end', 'both'))",
        )
    })
}

/// The name in a body, 1 to 255 characters besides blanks at the ends.
fn name_of(given: &Map<String, Value>) -> Result<String, Fault> {
    let Some(value) = given.get("name") else {
        let whole = Value::Object(given.clone());
        let reason = "'name' is a required property";
        return Err(validate::invalid("qos_specs", &whole, reason));
    };
    let Value::String(text) = value else {
        let reason = format!("{} is not of type 'string'", validate::repr(value));
        return Err(validate::invalid("name", value, &reason));
    };
    match text.trim() {
        name if !name.is_empty() && name.chars().count() <= TEXT_MAX => Ok(name.to_owned()),
        _ => {
            let shown = validate::repr(value);
            let reason = format!("{shown} is not a 'name_skip_leading_trailing_spaces'");
            Err(validate::invalid("name", value, &reason))
        }
    }
}

async fn create(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let mut given = validate::wrapped(&body, "qos_specs")?.clone();
    let mut new = QosSpecs {
        id: Uuid::new_v4(),
        name: name_of(&given)?,
        consumer: Consumer::BackEnd,
        specs: std::collections::BTreeMap::new(),
        created_us: services.now_us(),
    };
    caller.check_own(Rule::QosSpecsManageCreate)?;
    given.remove("name");
    apply(&mut new, &given)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let same = Query::by(BY_NAME, Key::new().text(&new.name));
                if writer.first::<QosSpecs>(&same)?.is_some() {
                    let message = format!("QoS Specs {} already exists.", new.name);
                    return Err(Fault::conflict(message));
                }
                Ok(writer.insert(&new)?)
            })?;
            Ok(shown(services, &url, &new))
        })
        .await
}

async fn show(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::QosSpecsManageGet)?;
    services
        .blocking(move |services| {
            let found = services.catalogue().read(|reader| find(reader, &id))?;
            Ok(shown(services, &url, &found))
        })
        .await
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let given = validate::wrapped(&body, "qos_specs")?.clone();
    caller.check_own(Rule::QosSpecsManageUpdate)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut found = find(writer, &id)?;
                apply(&mut found, &given)?;
                Ok::<_, Fault>(writer.put(&found)?)
            })?;
            services.exports().limits_changed();
            Ok(Json(body))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Fault> {
    caller.check_own(Rule::QosSpecsManageDelete)?;
    let force = volume_delete::strict_flag(&params, "force")?;
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.write(|writer| delete(writer, &id, force))?;
            services.exports().limits_changed();
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

/// Removes specs; types that refer to them only by force, and then no more.
fn delete(writer: &Writer, id: &str, force: bool) -> Result<(), Fault> {
    let found = find(writer, id)?;
    let users = types_with(writer, found.id)?;
    if !users.is_empty() && !force {
        return Err(Fault::bad_request("Qos specs still in use."));
    }
    for mut user in users {
        user.qos_specs_id = None;
        writer.put(&user)?;
    }
    writer.delete::<QosSpecs>(&found.id)?;
    Ok(())
}

/// The keys in a body: texts, each once.
fn keys_of(body: &Value) -> Result<Vec<String>, Fault> {
    let Value::Object(map) = body else {
        return Err(Fault::bad_request("Malformed request body"));
    };
    let Some(value) = map.get("keys") else {
        return Err(Fault::bad_request("'keys' is a required property"));
    };
    let refused = |reason: String| Err(validate::invalid("keys", value, &reason));
    let Value::Array(items) = value else {
        let shown = validate::repr(value);
        return refused(format!("{shown} is not of type 'array'"));
    };
    let mut keys: Vec<String> = Vec::new();
    for item in items {
        let shown = validate::repr(item);
        match item.as_str() {
            None => return refused(format!("{shown} is not of type 'string'")),
            Some("") => return refused(format!("{shown} is too short")),
            Some(key) if key.chars().count() > TEXT_MAX => {
                return refused(format!("{shown} is too long"));
            }
            Some(key) if keys.iter().any(|seen| seen == key) => {
                return refused(format!("{} has non-unique elements", validate::repr(value)));
            }
            Some(key) => keys.push(key.to_owned()),
        }
    }
    Ok(keys)
}

async fn delete_keys(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let keys = keys_of(&body)?;
    caller.check_own(Rule::QosSpecsManageDelete)?;
    services
        .blocking(move |services| {
            // Keys before one that is not there are gone all the same: the transaction stands.
            let missing = services.catalogue().write(|writer| {
                let mut found = find(writer, &id)?;
                let is_missing = |key: &String| found.specs.remove(key).is_none();
                let missing = keys.into_iter().find(is_missing);
                writer.put(&found)?;
                Ok::<_, Fault>(missing)
            })?;
            services.exports().limits_changed();
            match missing {
                None => Ok(accepted()),
                Some(key) => Err(Fault::not_found(format!(
                    "QoS spec {id} has no spec with key {key}."
                ))),
            }
        })
        .await
}
