//! The calls that every kind of Identity's objects has. What differs is a [`Resource`].

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::records::BY_NAME;
use super::resource::{
    Attributes, Reply, created, list, no_content, ok, require_admin, require_reader,
};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, Record, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::Field;
use crate::page::Params;
use crate::server::Services;

/// What a change does to an object.
pub(super) type Changes<R> = Box<dyn FnOnce(&mut R) -> Result<(), Fault> + Send>;

/// A kind of objects with calls of its own.
pub(super) trait Resource: Record<Id = str> + Send + 'static {
    /// What bodies wrap one in, and rules and faults call it.
    const KIND: &'static str;
    /// What lists wrap them in and paths call them.
    const PLURAL: &'static str;

    /// What the OpenAPI document calls one.
    const TITLE: &'static str;
    /// What listing, creating, showing, changing and deleting do, as the document says it.
    const SUMMARIES: [&'static str; 5];
    /// Whether attributes that mean nothing here are kept and shown.
    const KEEPS_OTHERS: bool = false;

    /// What [`Resource::view`] shows besides id and links.
    fn fields() -> Vec<Field>;

    /// What [`Resource::make`] reads of a new object, or [`Resource::changes`] of a change.
    fn attributes(new: bool) -> Vec<Field>;

    /// The object as answers show it.
    fn view(&self, services: &Services) -> Value;

    /// Whether a list with these parameters has it.
    fn is_listed(&self, params: &Params) -> bool;

    /// Whether the caller may see the object without reading the whole system.
    fn is_own(_caller: &Caller, _id: &str) -> bool {
        false
    }

    /// A new object as a body asks for it.
    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault>;

    /// What a body asks to be changed.
    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault>;

    /// What answers to changes show besides, under `extra`.
    fn extra(&self) -> Option<Value> {
        None
    }

    /// Refuses a new object that lacks what it is to be part of.
    fn check_new(&self, _view: &Writer) -> Result<(), Fault> {
        Ok(())
    }

    /// Refuses what others stand in the way of, such as a name that is taken.
    fn check(&self, _view: &Writer) -> Result<(), Fault> {
        Ok(())
    }

    /// Removes the object and what cannot be without it.
    fn remove(self, writer: &Writer) -> Result<(), Fault>;
}

/// The object, or 404.
pub(super) fn find<R: Resource>(view: &impl View, id: &str) -> Result<R, Fault> {
    view.get::<R>(id)?
        .ok_or_else(|| texts::not_found(R::KIND, id))
}

/// Another object that has the name already.
pub(super) fn namesake<R: Resource>(
    view: &impl View,
    name: Key,
    own_id: &str,
) -> catalogue::Result<Option<R>> {
    let found = view.first::<R>(&Query::by(BY_NAME, name))?;
    Ok(found.filter(|other| other.id() != own_id))
}

/// Whether a parameter is absent or has the value.
pub(super) fn is_same(params: &Params, key: &str, value: &str) -> bool {
    params.get(key).is_none_or(|wanted| wanted == value)
}

/// Whether the parameter `enabled` is absent or says the same.
pub(super) fn is_enabled(params: &Params, enabled: bool) -> bool {
    !params.has("enabled") || params.flag("enabled", true) == enabled
}

/// Sets what was given and leaves the rest.
pub(super) fn change<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

/// `{"{kind}": {...}}`.
pub(super) fn wrapped<R: Resource>(services: &Services, object: &R) -> Value {
    json!({ R::KIND: object.view(services) })
}

/// A list of objects.
pub(super) fn list_of<'a, R: Resource>(
    services: &Services,
    uri: &Uri,
    objects: impl IntoIterator<Item = &'a R>,
) -> Reply {
    let items = objects.into_iter().map(|object| object.view(services));
    list(services, R::PLURAL, uri, items.collect())
}

/// `GET` of all, for any caller.
pub(super) async fn list_all<R: Resource>(services: Services, uri: Uri, params: Params) -> Reply {
    let found = services
        .blocking(|services| Ok(services.catalogue().read(|r| r.list::<R>(&Query::all()))?))
        .await?;
    let listed = found.iter().filter(|object| object.is_listed(&params));
    list_of(&services, &uri, listed)
}

/// `GET` of one, for any caller.
pub(super) async fn show_one<R: Resource>(services: Services, id: String) -> Reply {
    let object = services
        .blocking(move |services| services.catalogue().read(|reader| find::<R>(reader, &id)))
        .await?;
    ok(wrapped(&services, &object))
}

pub(super) async fn index<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, &format!("identity:list_{}", R::PLURAL))?;
    list_all::<R>(services, uri, params).await
}

pub(super) async fn show<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    if !R::is_own(&caller, &id) {
        require_reader(&caller, &format!("identity:get_{}", R::KIND))?;
    }
    show_one::<R>(services, id).await
}

pub(super) async fn delete<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, &format!("identity:delete_{}", R::KIND))?;
    services
        .blocking(move |services| {
            services
                .catalogue()
                .write(|writer| find::<R>(writer, &id)?.remove(writer))
        })
        .await?;
    no_content()
}

pub(super) async fn create<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, &format!("identity:create_{}", R::KIND))?;
    let object = R::make(&Attributes::of(body, R::KIND)?, &caller)?;
    let object = services
        .blocking(move |services| insert(services, object))
        .await?;
    created(wrapped(&services, &object))
}

pub(super) async fn update<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, &format!("identity:update_{}", R::KIND))?;
    let changes = R::changes(&Attributes::of(body, R::KIND)?)?;
    let object = services
        .blocking(move |services| alter(services, &id, changes))
        .await?;
    ok(changed(&services, &object))
}

/// Adds an object that nothing stands against. Blocks.
pub(super) fn insert<R: Resource>(services: &Services, object: R) -> Result<R, Fault> {
    services.catalogue().write(|writer| {
        object.check_new(writer)?;
        object.check(writer)?;
        writer.insert(&object)?;
        Ok(object)
    })
}

/// Changes an object. Blocks.
pub(super) fn alter<R: Resource>(
    services: &Services,
    id: &str,
    change: impl FnOnce(&mut R) -> Result<(), Fault>,
) -> Result<R, Fault> {
    services.catalogue().write(|writer| {
        let mut object = find::<R>(writer, id)?;
        change(&mut object)?;
        object.check(writer)?;
        writer.put(&object)?;
        Ok(object)
    })
}

/// The answer to a change.
pub(super) fn changed<R: Resource>(services: &Services, object: &R) -> Value {
    let mut body = wrapped(services, object);
    if let Some(extra) = object.extra() {
        body[R::KIND]["extra"] = extra;
    }
    body
}
