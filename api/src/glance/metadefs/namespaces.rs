//! Namespaces: listing, making, showing, changing and deleting.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri, header};
use serde_json::{Map, Value, json};

use super::records::{Item, Kind, Namespace, find};
use super::view;
use crate::auth::Caller;
use crate::catalogue::{Query, View};
use crate::clock::image_time;
use crate::fault::{Fault, FaultKind, ImageFault};
use crate::glance::rights::{self, metadef};
use crate::glance::{body, checker, list, schemas};
use crate::page::Params;
use crate::server::Services;

/// What only the service shows.
const SHOWN: [&str; 4] = ["self", "schema", "created_at", "updated_at"];

/// 403 of what only the service shows.
pub(super) fn check_shown(body: &Value) -> Result<(), Fault> {
    match SHOWN.iter().find(|name| body.get(name).is_some()) {
        Some(name) => Err(rights::forbidden(format!(
            "Attribute '{name}' is read-only."
        ))),
        None => Ok(()),
    }
}

/// A body that is an object.
pub(super) fn object(body: Value) -> Result<Map<String, Value>, Fault> {
    match body {
        Value::Object(map) => Ok(map),
        _ => Err(Fault::bad_request("Expected a JSON object.")),
    }
}

/// A namespace as a body asks for it.
fn parse(body: Value, caller: &Caller, now_us: u64) -> Result<Namespace, Fault> {
    let mut map = object(body)?;
    let body = Value::Object(map.clone());
    check_shown(&body)?;
    checker::check(schemas::namespace(), &body)?;
    let mut text = |key: &str| map.shift_remove(key)?.as_str().map(str::to_owned);
    let own = caller.project_id().map(str::to_owned);
    let mut namespace = Namespace {
        name: text("namespace").unwrap_or_default(),
        display_name: text("display_name"),
        description: text("description"),
        public: text("visibility").as_deref() == Some("public"),
        owner: text("owner").or(own),
        protected: map.get("protected") == Some(&Value::Bool(true)),
        objects: Vec::new(),
        properties: Vec::new(),
        tags: Vec::new(),
        resource_types: Vec::new(),
        created_us: now_us,
        updated_us: now_us,
    };
    for (key, kind) in [
        ("objects", Kind::Object),
        ("tags", Kind::Tag),
        ("resource_type_associations", Kind::ResourceType),
    ] {
        let Some(Value::Array(items)) = map.shift_remove(key) else {
            continue;
        };
        for item in items {
            namespace.add(kind, Item::of(object(item)?, now_us))?;
        }
    }
    if let Some(Value::Object(properties)) = map.shift_remove("properties") {
        for (name, value) in properties {
            let mut body = object(value)?;
            body.insert("name".to_owned(), json!(name));
            namespace.add(Kind::Property, Item::of(body, now_us))?;
        }
    }
    Ok(namespace)
}

/// `POST /v2/metadefs/namespaces`.
pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    request: Request,
) -> Result<Response, ImageFault> {
    let body = body::json(request).await?;
    let namespace = services.blocking(move |services| {
        let namespace = parse(body, &caller, services.now_us())?;
        rights::check_admin(&caller, metadef("add", "namespace"))?;
        services.catalogue().write(|writer| {
            if writer.get::<Namespace>(&namespace.name)?.is_some() {
                return Err(duplicate(&namespace.name));
            }
            Ok(writer.insert(&namespace)?)
        })?;
        Ok(namespace)
    });
    let namespace = namespace.await?;
    let location = [(header::LOCATION, view::path_of(&namespace.name))];
    let shown = Json(view::whole(&namespace, ""));
    // A name may have what no header has; then the answer goes without.
    let mut response = (StatusCode::CREATED, shown).into_response();
    for (name, path) in location {
        if let Ok(value) = path.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn duplicate(name: &str) -> Fault {
    Fault::conflict(format!(
        "The metadata definition namespace={name} already exists."
    ))
}

/// `GET /v2/metadefs/namespaces/{namespace}`.
pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, ImageFault> {
    let params = body::params(&uri)?;
    let namespace = services.blocking(move |services| {
        let catalogue = services.catalogue();
        let found = catalogue.read(|reader| find(reader, &caller, &name));
        found.map_err(|fault| match fault.kind() {
            FaultKind::NotFound => {
                let message = format!("Metadata definition namespace={name} was not found.");
                Fault::not_found(message)
            }
            _ => fault,
        })
    });
    let namespace = namespace.await?;
    let wanted = params.get("resource_type");
    let mut types = namespace.resource_types.iter();
    let of_type = types.find(|one| Some(one.name.as_str()) == wanted);
    let prefix = of_type.and_then(|one| one.body.get("prefix")?.as_str());
    Ok(Json(view::whole(&namespace, prefix.unwrap_or_default())))
}

/// `PUT /v2/metadefs/namespaces/{namespace}`.
pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, ImageFault> {
    let body = body::json(request).await?;
    let namespace = services.blocking(move |services| {
        let now_us = services.now_us();
        let wanted = parse(body, &caller, now_us)?;
        services.catalogue().write(|writer| {
            let before = find(writer, &caller, &name)?;
            rights::check_admin(&caller, metadef("modify", "namespace"))?;
            if wanted.name != before.name && writer.get::<Namespace>(&wanted.name)?.is_some() {
                return Err(duplicate(&wanted.name));
            }
            writer.delete::<Namespace>(&before.name)?;
            let after = Namespace {
                objects: before.objects,
                properties: before.properties,
                tags: before.tags,
                resource_types: before.resource_types,
                created_us: before.created_us,
                ..wanted
            };
            writer.insert(&after)?;
            Ok(after)
        })
    });
    Ok(Json(Value::Object(view::head(&namespace.await?))))
}

/// `DELETE /v2/metadefs/namespaces/{namespace}`.
pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ImageFault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let namespace = find(writer, &caller, &name)?;
                rights::check_admin(&caller, metadef("delete", "namespace"))?;
                namespace.check_unprotected("namespace", &name)?;
                writer.delete::<Namespace>(&name)?;
                Ok(())
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All namespaces that a caller sees, the newest first.
fn visible(services: &Services, caller: &Caller) -> Result<Vec<Namespace>, Fault> {
    rights::check_list(caller)?;
    services.catalogue().read(|reader| {
        let mut all = reader.list::<Namespace>(&Query::all())?;
        all.retain(|namespace| namespace.is_seen_by(caller));
        all.sort_by_key(|namespace| std::cmp::Reverse(namespace.created_us));
        Ok(all)
    })
}

/// Cuts a page out of a list of named things.
pub(super) fn cut<T>(
    items: Vec<T>,
    params: &Params,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>, Fault> {
    let limit = list::limit(params)?;
    let start = match params.get("marker") {
        None => 0,
        Some(marker) => {
            let found = items.iter().position(|item| name(item) == marker);
            found.ok_or_else(|| Fault::not_found(format!("{marker} was not found")))? + 1
        }
    };
    Ok(items.into_iter().skip(start).take(limit).collect())
}

/// `GET /v2/metadefs/namespaces`.
pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, ImageFault> {
    let params = body::params(&uri)?;
    let public = match params.get("visibility") {
        None | Some("") => None,
        Some("public") => Some(true),
        Some("private") => Some(false),
        Some(other) => {
            let message = format!("Invalid visibility value: {other}");
            return Err(Fault::bad_request(message).into());
        }
    };
    let ascending = match params.get("sort_dir") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(other) => {
            let message = format!("Invalid sort direction: {other}");
            return Err(Fault::bad_request(message).into());
        }
    };
    let types: Option<Vec<String>> = params
        .get("resource_types")
        .map(|text| text.split(',').map(str::to_owned).collect());
    let mut all = services
        .blocking(move |services| visible(services, &caller))
        .await?;
    all.retain(|namespace| public.is_none_or(|public| namespace.public == public));
    all.retain(|namespace| {
        let has = |types: &Vec<String>| {
            let mut own = namespace.resource_types.iter();
            own.any(|one| types.contains(&one.name))
        };
        types.as_ref().is_none_or(has)
    });
    if ascending {
        all.reverse();
    }
    let page = cut(all, &params, |namespace| namespace.name.as_str())?;
    let shown = page
        .iter()
        .map(|one| view::with_types(view::head(one), one));
    let shown: Vec<Value> = shown.map(Value::Object).collect();
    let path = "/v2/metadefs/namespaces";
    let mut body = json!({
        "namespaces": shown,
        "first": list::link(path, &params, None),
        "schema": "/v2/schemas/metadefs/namespaces",
    });
    if let Some(last) = page
        .last()
        .filter(|_| list::limit(&params).ok() == Some(page.len()))
    {
        body["next"] = json!(list::link(path, &params, Some(&last.name)));
    }
    Ok(Json(body))
}

/// `GET /v2/metadefs/resource_types`: those that namespaces are meant for.
pub(super) async fn resource_types(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<Value>, ImageFault> {
    let all = services.blocking(move |services| visible(services, &caller));
    let mut types: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for one in all.await?.into_iter().flat_map(|one| one.resource_types) {
        types
            .entry(one.name)
            .or_insert((one.created_us, one.updated_us));
    }
    let shown: Vec<Value> = types
        .into_iter()
        .map(|(name, (created_us, updated_us))| {
            json!({
                "name": name,
                "created_at": image_time(created_us),
                "updated_at": image_time(updated_us),
            })
        })
        .collect();
    Ok(Json(json!({ "resource_types": shown })))
}
