//! Objects, properties, tags and resource types of a namespace: the same calls for all of them.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::namespaces::{check_shown, cut, object};
use super::records::{Item, Kind, Namespace, find};
use super::view;
use crate::auth::Caller;
use crate::fault::{Fault, ImageFault};
use crate::glance::rights::{self, Right, metadef};
use crate::glance::{body, checker, schemas};
use crate::page::truth;
use crate::server::Services;

fn right(verb: &'static str, kind: Kind) -> Right {
    match (verb, kind) {
        ("add", Kind::ResourceType) => metadef("add", "resource_type_association"),
        (_, Kind::ResourceType) => metadef("remove", "resource_type_association"),
        ("delete", Kind::Property) => metadef("remove", "property"),
        (verb, kind) => metadef(verb, kind.word()),
    }
}

/// Something as a body asks for it.
fn parse(kind: Kind, body: &Value) -> Result<Map<String, Value>, Fault> {
    let map = object(body.clone())?;
    check_shown(body)?;
    let schema = match kind {
        Kind::Object => schemas::object(),
        Kind::Property => schemas::property(),
        Kind::Tag => schemas::tag(),
        Kind::ResourceType => schemas::resource_type(),
    };
    checker::check(schema, body)?;
    Ok(map)
}

/// Changes a namespace in one transaction; only administrators do.
async fn change<T: Send + 'static>(
    services: &Services,
    caller: Caller,
    name: String,
    right: Right,
    work: impl FnOnce(&mut Namespace, u64) -> Result<T, Fault> + Send + 'static,
) -> Result<T, ImageFault> {
    let done = services.blocking(move |services| {
        let now_us = services.now_us();
        services.catalogue().write(|writer| {
            let mut namespace = find(writer, &caller, &name)?;
            rights::check_admin(&caller, right)?;
            let done = work(&mut namespace, now_us)?;
            writer.put(&namespace)?;
            Ok(done)
        })
    });
    Ok(done.await?)
}

async fn read(services: &Services, caller: Caller, name: String) -> Result<Namespace, ImageFault> {
    let found = services.blocking(move |services| {
        services
            .catalogue()
            .read(|reader| find(reader, &caller, &name))
    });
    Ok(found.await?)
}

/// `GET .../{kind}s`.
pub(super) async fn index(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, ImageFault> {
    let params = body::params(&uri)?;
    let namespace = read(&services, caller, name).await?;
    let mut items = namespace.items(kind).clone();
    if kind == Kind::Object || kind == Kind::Tag {
        // The newest first, and by pages.
        items.reverse();
        items = cut(items, &params, |item| item.name.as_str())?;
    }
    Ok(Json(view::list(kind, &namespace, &items)))
}

/// `GET .../{kind}s/{name}`.
pub(super) async fn show(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, ImageFault> {
    let namespace = read(&services, caller, namespace).await?;
    let at = namespace.position(kind, &name)?;
    let item = &namespace.items(kind)[at];
    Ok(Json(view::item(kind, &namespace.name, item)))
}

/// `POST .../{kind}s`: one, or of tags all.
pub(super) async fn create(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ImageFault> {
    let append = request.headers().get("x-openstack-append");
    let append = append.and_then(|value| truth(value.to_str().ok()?));
    let append = append.unwrap_or(false);
    let body = body::json(request).await?;
    let right = right("add", kind);
    let shown = if kind == Kind::Tag {
        let tags = tags_of(&body)?;
        change(&services, caller, name, right, move |namespace, now_us| {
            if !append {
                namespace.tags.clear();
            }
            let shown: Vec<Value> = tags.iter().map(|tag| json!({"name": tag})).collect();
            for tag in tags {
                namespace.add(Kind::Tag, tag_item(&tag, now_us))?;
            }
            Ok(json!({ "tags": shown }))
        })
        .await?
    } else {
        let map = parse(kind, &body)?;
        change(&services, caller, name, right, move |namespace, now_us| {
            let item = Item::of(map, now_us);
            let shown = view::given(kind, &namespace.name, &item);
            namespace.add(kind, item)?;
            Ok(shown)
        })
        .await?
    };
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

fn tag_item(name: &str, now_us: u64) -> Item {
    let map = Map::from_iter([("name".to_owned(), json!(name))]);
    Item::of(map, now_us)
}

/// The names of a body's tags.
fn tags_of(body: &Value) -> Result<Vec<String>, Fault> {
    let tags = body.get("tags").and_then(Value::as_array);
    let tags = tags.ok_or_else(|| Fault::bad_request("A list of 'tags' is expected."))?;
    let name = |tag: &Value| {
        checker::check(schemas::tag(), tag)?;
        let name = tag.get("name").and_then(Value::as_str);
        name.map(str::to_owned)
            .ok_or_else(|| Fault::bad_request("A tag needs a 'name'."))
    };
    tags.iter().map(name).collect()
}

/// `POST .../tags/{name}`.
pub(super) async fn add_tag(
    State(services): State<Services>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, ImageFault> {
    checker::check(schemas::tag(), &json!({ "name": name }))?;
    let right = right("add", Kind::Tag);
    let shown = change(
        &services,
        caller,
        namespace,
        right,
        move |namespace, now_us| {
            let item = tag_item(&name, now_us);
            let shown = view::given(Kind::Tag, &namespace.name, &item);
            namespace.add(Kind::Tag, item)?;
            Ok(shown)
        },
    );
    Ok((StatusCode::CREATED, Json(shown.await?)).into_response())
}

/// `PUT .../{kind}s/{name}`.
pub(super) async fn update(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ImageFault> {
    let map = parse(kind, &body::json(request).await?)?;
    let right = right("modify", kind);
    let shown = change(
        &services,
        caller,
        namespace,
        right,
        move |namespace, now_us| {
            let at = namespace.position(kind, &name)?;
            let before = namespace.items_mut(kind).remove(at);
            let item = Item {
                created_us: before.created_us,
                ..Item::of(map, now_us)
            };
            let shown = view::given(kind, &namespace.name, &item);
            namespace.add(kind, item)?;
            Ok(shown)
        },
    );
    Ok(Json(shown.await?))
}

/// `DELETE .../{kind}s/{name}`.
pub(super) async fn remove(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<StatusCode, ImageFault> {
    let right = right("delete", kind);
    change(&services, caller, namespace, right, move |namespace, _| {
        let at = namespace.position(kind, &name)?;
        namespace.check_unprotected(kind.word(), &name)?;
        namespace.items_mut(kind).remove(at);
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE .../{kind}s`: all of them.
pub(super) async fn clear(
    kind: Kind,
    State(services): State<Services>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ImageFault> {
    let right = metadef("delete", "namespace");
    change(&services, caller, name, right, move |namespace, _| {
        namespace.check_unprotected("namespace", &namespace.name)?;
        namespace.items_mut(kind).clear();
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
