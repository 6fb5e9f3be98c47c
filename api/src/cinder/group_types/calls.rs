//! `/group_types`: listing, showing and changing group types.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{GroupType, SINCE, by_name, find, specs};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::groups;
use crate::cinder::operations::groups as ops;
use crate::cinder::records::BY_CREATED;
use crate::cinder::type_calls::{public_filter, text};
use crate::cinder::type_order::{self, SortKeys, Sortable};
use crate::cinder::{accepted, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::{Page, Params};
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::TYPES, index)
        .on(ops::CREATE_TYPE, create)
        .on(ops::SHOW_TYPE, show)
        .on(ops::UPDATE_TYPE, update)
        .on(ops::DELETE_TYPE, delete)
}

fn view(caller: &Caller, group_type: &GroupType) -> Value {
    let mut value = json!({
        "id": group_type.id,
        "name": group_type.name,
        "description": group_type.description,
        "is_public": group_type.is_public,
    });
    if caller.can_own(Rule::GroupAccessGroupTypesSpecs) {
        value["group_specs"] = json!(group_type.group_specs);
    }
    value
}

fn wrapped(caller: &Caller, group_type: &GroupType) -> Json<Value> {
    Json(json!({"group_type": view(caller, group_type)}))
}

impl Sortable for GroupType {
    fn keys(&self) -> SortKeys<'_> {
        SortKeys {
            id: self.id,
            name: &self.name,
            description: self.description.as_deref(),
            is_public: self.is_public,
            created_us: self.created_us,
            updated_us: self.updated_us,
        }
    }
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    url: UrlProject,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let page = Page::parse(&params, &type_order::COLUMNS)?;
    let is_public = match params.get("is_public") {
        Some(text) if caller.is_admin => public_filter(text)?,
        Some(_) | None => Some(true),
    };
    let mut found: Vec<GroupType> = services
        .blocking(|services| {
            let all = Query::by(BY_CREATED, Key::new());
            Ok(services.catalogue().read(|reader| reader.list(&all))?)
        })
        .await?;
    found.retain(|found| is_public.is_none_or(|wanted| found.is_public == wanted));
    let found = type_order::sorted(found, &page);
    let shown = type_order::cut(found, &page);
    let last = shown.last().map(|last| last.id.to_string());
    let href = format!("{}/group_types", url.base(&services));
    let items: Vec<Value> = shown.iter().map(|item| view(&caller, item)).collect();
    let mut body = json!({"group_types": items});
    if let Some(links) = page.links(&params, &href, shown.len(), last.as_deref()) {
        body["group_type_links"] = links;
    }
    Ok(Json(body))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    // No type is anybody's default: a group names its own.
    if id == "default" {
        return Err(Fault::not_found("Default group type can not be found."));
    }
    let found = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    Ok(wrapped(&caller, &found))
}

/// What a body asks for; absent and null are `None`.
struct Wanted {
    name: Option<String>,
    description: Option<String>,
    is_public: Option<bool>,
}

impl Wanted {
    fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self {
            name: text(map, "name")?,
            description: text(map, "description")?,
            is_public: validate::flag(map, "is_public")?,
        })
    }
}

/// The name of a new type: there must be one.
fn new_name(map: &Map<String, Value>, name: Option<String>) -> Result<String, Fault> {
    let reason = match map.get("name") {
        None => {
            let whole = Value::Object(map.clone());
            let reason = "'name' is a required property";
            return Err(validate::invalid("group_type", &whole, reason));
        }
        Some(Value::Null) => "None is not of type 'string'",
        Some(Value::String(text)) if text.is_empty() => "'' should be non-empty",
        Some(_) => match name {
            Some(name) if !name.is_empty() => return Ok(name),
            Some(_) | None => {
                return Err(Fault::bad_request(
                    "An invalid 'name' value was provided. The 'name' can not be empty.",
                ));
            }
        },
    };
    Err(validate::invalid("name", &map["name"], reason))
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    version.require(SINCE)?;
    let map = validate::wrapped(&body, "group_type")?;
    let known = ["name", "description", "is_public", "group_specs"];
    validate::only("group_type", map, &known)?;
    let wanted = Wanted::parse(map)?;
    let specs = validate::metadata(map, "group_specs")?.unwrap_or_default();
    let new = GroupType {
        id: Uuid::new_v4(),
        name: new_name(map, wanted.name)?,
        description: wanted.description,
        is_public: wanted.is_public.unwrap_or(true),
        group_specs: specs::present(specs),
        created_us: services.now_us(),
        updated_us: None,
    };
    caller.check_own(Rule::GroupTypesCreate)?;
    let new = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                check_name(writer, &new.name, None)?;
                writer.insert(&new)?;
                Ok::<_, Fault>(new)
            })
        })
        .await?;
    Ok((StatusCode::ACCEPTED, wrapped(&caller, &new)))
}

fn check_name(view: &impl View, name: &str, own: Option<Uuid>) -> Result<(), Fault> {
    match by_name(view, name)? {
        Some(other) if own != Some(other.id) => Err(Fault::conflict(format!(
            "Group Type {name} already exists."
        ))),
        Some(_) | None => Ok(()),
    }
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let map = validate::wrapped(&body, "group_type")?;
    validate::only("group_type", map, &["name", "description", "is_public"])?;
    let wanted = Wanted::parse(map)?;
    caller.check_own(Rule::GroupTypesUpdate)?;
    if map.get("name").is_some_and(Value::is_string) && wanted.name.as_deref() == Some("") {
        return Err(Fault::bad_request("Group type name can not be empty."));
    }
    if wanted.name.is_none() && wanted.description.is_none() && wanted.is_public.is_none() {
        return Err(Fault::bad_request(
            "Specify group type name, description or a combination thereof.",
        ));
    }
    let changed = services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut changed = find(writer, &id)?;
                if let Some(name) = wanted.name {
                    check_name(writer, &name, Some(changed.id))?;
                    changed.name = name;
                }
                changed.description = wanted.description.or(changed.description);
                changed.is_public = wanted.is_public.unwrap_or(changed.is_public);
                changed.updated_us = Some(now_us);
                writer.put(&changed)?;
                Ok::<_, Fault>(changed)
            })
        })
        .await?;
    Ok(wrapped(&caller, &changed))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::GroupTypesDelete)?;
    services
        .blocking(move |services| services.catalogue().write(|writer| remove(writer, &id)))
        .await?;
    Ok(accepted())
}

fn remove(writer: &Writer, id: &str) -> Result<(), Fault> {
    let found = find(writer, id)?;
    if groups::is_type_used(writer, found.id)? {
        return Err(Fault::bad_request("Target group type is still in use."));
    }
    writer.delete::<GroupType>(&found.id)?;
    Ok(())
}
