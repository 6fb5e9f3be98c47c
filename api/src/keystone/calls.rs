//! The calls that every kind of Identity's objects has. What differs is a [`Resource`].

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Map, Value, json};

use super::records::BY_NAME;
use super::resource::{
    Attributes, Reply, check_size, created, list, no_content, ok, require_manager,
    require_reader_in,
};
use super::texts;
use crate::auth::{Caller, Scope};
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
    /// The attributes that mean something; others are kept and shown as they came.
    const KNOWN: &'static [&'static str];

    /// What [`Resource::view`] shows besides id and links.
    fn fields() -> Vec<Field>;

    /// What [`Resource::make`] reads of a new object, or [`Resource::changes`] of a change.
    fn attributes(new: bool) -> Vec<Field>;

    /// What was given besides what means something.
    fn others(&mut self) -> &mut Map<String, Value>;

    /// The domain whose readers may see the object.
    fn read_in(&self) -> Option<&str> {
        self.managed_in()
    }

    /// The domain whose managers may make, change and delete the object.
    fn managed_in(&self) -> Option<&str> {
        None
    }

    /// The object as answers show it, without what means nothing here.
    fn view(&self, services: &Services) -> Value;

    /// Whether a list with these parameters has it.
    fn is_listed(&self, params: &Params) -> bool;

    /// Whether the caller may see the object without reading the whole system.
    fn is_own(&self, _caller: &Caller) -> bool {
        false
    }

    /// A new object as a body asks for it.
    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault>;

    /// What a body asks to be changed.
    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault>;

    /// Whether answers to changes show what was given besides once more, under `extra`.
    const REPEATS_OTHERS: bool = false;

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

/// Whether a parameter is absent or has the value, and its forms for parts of a value are too.
pub(super) fn is_same(params: &Params, key: &str, value: &str) -> bool {
    params
        .iter()
        .all(|(name, wanted)| match name.strip_prefix(key) {
            Some("") => wanted == value,
            Some(form) => fits(form, value, wanted),
            None => true,
        })
}

/// Whether a value fits by the form that follows a parameter's name, such as `__icontains`; other
/// names say nothing about it.
fn fits(form: &str, value: &str, wanted: &str) -> bool {
    let folded = || (value.to_lowercase(), wanted.to_lowercase());
    match form {
        "__contains" => value.contains(wanted),
        "__startswith" => value.starts_with(wanted),
        "__endswith" => value.ends_with(wanted),
        "__icontains" => {
            let (value, wanted) = folded();
            value.contains(&wanted)
        }
        "__istartswith" => {
            let (value, wanted) = folded();
            value.starts_with(&wanted)
        }
        "__iendswith" => {
            let (value, wanted) = folded();
            value.ends_with(&wanted)
        }
        _ => true,
    }
}

/// As [`is_same`] of what may not be there.
pub(super) fn is_same_if_any(params: &Params, key: &str, value: Option<&str>) -> bool {
    match value {
        Some(value) => is_same(params, key, value),
        None => !params.has(key),
    }
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

/// The object with all there is to show.
pub(super) fn shown<R: Resource>(services: &Services, mut object: R) -> Value {
    let mut body = Value::Object(std::mem::take(object.others()));
    if let (Value::Object(body), Value::Object(own)) = (&mut body, object.view(services)) {
        body.extend(own);
    }
    body
}

/// `{"{kind}": {...}}`.
pub(super) fn wrapped<R: Resource>(services: &Services, object: R) -> Value {
    json!({ R::KIND: shown(services, object) })
}

/// A list of objects.
pub(super) fn list_of<R: Resource>(
    services: &Services,
    uri: &Uri,
    objects: impl IntoIterator<Item = R>,
) -> Reply {
    let items = objects.into_iter().map(|object| shown(services, object));
    list(services, R::PLURAL, uri, items.collect())
}

/// The objects that a list with these parameters has, if those of a domain only its own.
pub(super) fn listed<R: Resource>(
    view: &impl View,
    params: &Params,
    domain: Option<&str>,
) -> catalogue::Result<Vec<R>> {
    let mut found = view.list::<R>(&Query::all())?;
    found.retain(|object| {
        object.is_listed(params) && domain.is_none_or(|own| object.read_in() == Some(own))
    });
    Ok(found)
}

/// `GET` of all, for any caller.
pub(super) async fn list_all<R: Resource>(
    services: Services,
    uri: Uri,
    params: Params,
    domain: Option<String>,
) -> Reply {
    let found = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            Ok(catalogue.read(|reader| listed::<R>(reader, &params, domain.as_deref()))?)
        })
        .await?;
    list_of(&services, &uri, found)
}

/// `GET` of one, for any caller.
pub(super) async fn show_one<R: Resource>(services: Services, id: String) -> Reply {
    let object = services
        .blocking(move |services| services.catalogue().read(|reader| find::<R>(reader, &id)))
        .await?;
    ok(wrapped(&services, object))
}

/// The domain that a caller with a token for it is shown the objects of.
pub(super) fn domain_of(caller: &Caller) -> Option<String> {
    match &caller.scope {
        Scope::Domain { id } => Some(id.clone()),
        Scope::Unscoped | Scope::Project { .. } | Scope::System => None,
    }
}

pub(super) async fn index<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    let domain = domain_of(&caller);
    let rule = format!("identity:list_{}", R::PLURAL);
    require_reader_in(&caller, domain.as_deref(), &rule)?;
    list_all::<R>(services, uri, params, domain).await
}

pub(super) async fn show<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    let object = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|reader| find_readable::<R>(reader, &caller, &id))
        })
        .await?;
    ok(wrapped(&services, object))
}

/// The object if the caller may see it. To those who may not see all, what is not there is
/// forbidden: they learn nothing of it.
pub(super) fn find_readable<R: Resource>(
    view: &impl View,
    caller: &Caller,
    id: &str,
) -> Result<R, Fault> {
    let object = view.get::<R>(id)?;
    let is_own = object.as_ref().is_some_and(|object| object.is_own(caller));
    if !is_own {
        let domain = object.as_ref().and_then(R::read_in);
        require_reader_in(caller, domain, &format!("identity:get_{}", R::KIND))?;
    }
    object.ok_or_else(|| texts::not_found(R::KIND, id))
}

/// As [`find_readable`], of what the caller may change or delete.
pub(super) fn find_managed<R: Resource>(
    view: &impl View,
    caller: &Caller,
    id: &str,
    verb: &str,
) -> Result<R, Fault> {
    let object = view.get::<R>(id)?;
    let domain = object.as_ref().and_then(R::managed_in);
    require_manager(caller, domain, &format!("identity:{verb}_{}", R::KIND))?;
    object.ok_or_else(|| texts::not_found(R::KIND, id))
}

pub(super) async fn delete<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    services
        .blocking(move |services| {
            services
                .catalogue()
                .write(|writer| find_managed::<R>(writer, &caller, &id, "delete")?.remove(writer))
        })
        .await?;
    no_content()
}

/// A new object as a body asks for it, which the caller may make.
pub(super) fn made<R: Resource>(attributes: &Attributes, caller: &Caller) -> Result<R, Fault> {
    let mut object = R::make(attributes, caller)?;
    *object.others() = attributes.others(R::KNOWN)?;
    let rule = format!("identity:create_{}", R::KIND);
    require_manager(caller, object.managed_in(), &rule)?;
    Ok(object)
}

pub(super) async fn create<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = asked::<R>(body, &caller, "create")?;
    let object = made::<R>(&attributes, &caller)?;
    let object = services
        .blocking(move |services| insert(services, object))
        .await?;
    created(wrapped(&services, object))
}

/// The attributes in a body. Those who may do nothing of the kind anywhere are not told what is
/// wrong with it.
pub(super) fn asked<R: Resource>(
    body: Value,
    caller: &Caller,
    verb: &str,
) -> Result<Attributes, Fault> {
    let rule = format!("identity:{verb}_{}", R::KIND);
    require_manager(caller, domain_of(caller).as_deref(), &rule)?;
    Attributes::of(body, R::KIND)
}

/// What a body asks to be changed, what means nothing here too.
pub(super) fn changes_of<R: Resource>(attributes: &Attributes) -> Result<Changes<R>, Fault> {
    let changes = R::changes(attributes)?;
    let others = attributes.others(R::KNOWN)?;
    Ok(Box::new(move |object| {
        changes(object)?;
        object.others().extend(others);
        check_size(object.others())
    }))
}

pub(super) async fn update<R: Resource>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = asked::<R>(body, &caller, "update")?;
    let changes = changes_of::<R>(&attributes)?;
    let object = services
        .blocking(move |services| alter(services, &caller, &id, changes))
        .await?;
    ok(changed(&services, object))
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

/// Changes an object that the caller manages. Blocks.
pub(super) fn alter<R: Resource>(
    services: &Services,
    caller: &Caller,
    id: &str,
    change: impl FnOnce(&mut R) -> Result<(), Fault>,
) -> Result<R, Fault> {
    services.catalogue().write(|writer| {
        let mut object = find_managed::<R>(writer, caller, id, "update")?;
        change(&mut object)?;
        object.check(writer)?;
        writer.put(&object)?;
        Ok(object)
    })
}

/// The answer to a change.
pub(super) fn changed<R: Resource>(services: &Services, mut object: R) -> Value {
    let extra = object.others().clone();
    let mut body = wrapped(services, object);
    if R::REPEATS_OTHERS {
        body[R::KIND]["extra"] = Value::Object(extra);
    }
    body
}
