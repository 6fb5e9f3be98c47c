//! `/types`: listing, showing and changing volume types.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::default_types::ProjectDefault;
use super::records::{BY_CREATED, Volume, VolumeType};
use super::type_order::{self, SortKeys, Sortable};
use super::{encryption, filter, quotas, type_specs, types, validate};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::cinder::operations::types as ops;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::{Page, Params};
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// Longest name and description.
const TEXT_MAX: usize = 255;
/// Extra specs that every project may see.
const VISIBLE_SPECS: [&str; 3] = [
    "multiattach",
    "RESKEY:availability_zones",
    "replication_enabled",
];

/// The routes of types themselves.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, create)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, delete)
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")]).into_response()
}

/// The project whose private types the caller sees; `None` for admins, who see all.
pub(super) fn viewer(caller: &Caller) -> Option<&str> {
    match caller.is_admin {
        true => None,
        false => Some(caller.project_id().unwrap_or_default()),
    }
}

/// The extra specs that the caller may see.
pub(super) fn visible_specs(
    caller: &Caller,
    volume_type: &VolumeType,
) -> BTreeMap<String, Option<String>> {
    let all = caller.can_own(Rule::TypesExtraSpecsReadSensitive);
    let specs = volume_type.extra_specs.iter();
    specs
        .filter(|(key, _)| all || VISIBLE_SPECS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Which fields an answer has beyond the common ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The default type.
    Default,
    /// One type and lists.
    Shown,
    /// A new type.
    Created,
    /// A changed type.
    Updated,
}

fn view(caller: &Caller, volume_type: &VolumeType, form: Form) -> Value {
    let mut value = json!({
        "id": volume_type.id,
        "name": volume_type.name,
        "is_public": volume_type.is_public,
        "description": volume_type.description,
    });
    if caller.can_own(Rule::AccessTypesExtraSpecs) {
        value["extra_specs"] = json!(visible_specs(caller, volume_type));
    }
    if caller.can_own(Rule::AccessTypesQosSpecsId) && matches!(form, Form::Default | Form::Shown) {
        value["qos_specs_id"] = json!(volume_type.qos_specs_id);
    }
    let member = caller.can_own(Rule::VolumeTypeAccess);
    if member && matches!(form, Form::Shown | Form::Created) {
        value["os-volume-type-access:is_public"] = json!(volume_type.is_public);
    }
    value
}

fn wrapped(caller: &Caller, volume_type: &VolumeType, form: Form) -> Json<Value> {
    Json(json!({"volume_type": view(caller, volume_type, form)}))
}

/// From when filters are those that the configuration names.
const FILTERS_SINCE: u16 = 52;

/// Filters of a list.
struct Filter {
    /// `None` lists public and private types.
    is_public: Option<bool>,
    specs: Map<String, Value>,
    project: Option<String>,
    /// Columns, of which only admins ask, and what is wanted there.
    columns: Vec<(String, String)>,
    /// It asks for extra specs that the caller may not see: whether they are there is not told.
    is_blind: bool,
}

impl Filter {
    fn parse(params: &Params, caller: &Caller, version: Microversion) -> Result<Self, Fault> {
        let is_public = match params.get("is_public") {
            Some(text) if caller.is_admin => public_filter(text)?,
            Some(_) | None => Some(true),
        };
        // Those who are no admins filter by them from 3.52; before, theirs are dropped.
        let may_ask = caller.is_admin || version.has(FILTERS_SINCE);
        let specs = match params.get("extra_specs").filter(|_| may_ask) {
            None => Map::new(),
            // The value is a Python dictionary; of texts alone it is JSON but for the quotes.
            Some(text) => serde_json::from_str(&text.replace('\'', "\""))
                .map_err(|_| Fault::bad_request("Invalid extra_specs filter"))?,
        };
        let sees_all = caller.can_own(Rule::TypesExtraSpecsReadSensitive);
        let is_hidden = |key: &String| !VISIBLE_SPECS.contains(&key.as_str());
        Ok(Self {
            is_public,
            is_blind: !sees_all && specs.keys().any(is_hidden),
            specs,
            project: caller.project_id().map(str::to_owned),
            columns: columns(params, caller, version)?,
        })
    }

    fn keeps(&self, volume_type: &VolumeType) -> bool {
        let granted = self
            .project
            .as_ref()
            .is_some_and(|own| volume_type.projects.contains(own));
        let public = match self.is_public {
            None => true,
            Some(true) => volume_type.is_public || granted,
            Some(false) => !volume_type.is_public,
        };
        let has = |(key, value): (&String, &Value)| {
            let own = volume_type.extra_specs.get(key);
            own.is_some_and(|own| own.as_deref() == value.as_str())
        };
        let is = |(column, wanted): &(String, String)| match column.as_str() {
            "id" => volume_type.id.to_string() == *wanted,
            "name" => volume_type.name == *wanted,
            "description" => volume_type.description.as_ref() == Some(wanted),
            // There is no other column.
            _ => false,
        };
        !self.is_blind && public && self.specs.iter().all(has) && self.columns.iter().all(is)
    }
}

/// The filters of a list besides those by rights and extra specs.
///
/// # Errors
/// 400 from 3.52 for those who are no admins; before, theirs are dropped.
fn columns(
    params: &Params,
    caller: &Caller,
    version: Microversion,
) -> Result<Vec<(String, String)>, Fault> {
    const OTHERS: [&str; 8] = [
        "limit",
        "marker",
        "offset",
        "sort",
        "sort_key",
        "sort_dir",
        "is_public",
        "extra_specs",
    ];
    let given = params.iter().filter(|(key, _)| !OTHERS.contains(key));
    if caller.is_admin {
        return Ok(given
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect());
    }
    // Clients ask for all projects without being asked to.
    let unknown: Vec<&str> = given
        .map(|(key, _)| key)
        .filter(|key| *key != "all_tenants")
        .collect();
    match version.has(FILTERS_SINCE) && !unknown.is_empty() {
        false => Ok(Vec::new()),
        true => Err(Fault::bad_request(format!(
            "Invalid filters {} are found in query options.",
            unknown.join(",")
        ))),
    }
}

/// What the filter `is_public` of an admin asks for; `None` is both.
pub(super) fn public_filter(text: &str) -> Result<Option<bool>, Fault> {
    match text.to_lowercase().as_str() {
        "none" => Ok(None),
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(Some(true)),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(Some(false)),
        _ => Err(Fault::bad_request(format!(
            "Invalid is_public filter [{text}]"
        ))),
    }
}

impl Sortable for VolumeType {
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
    caller.check_own(Rule::TypeGetAll)?;
    let page = Page::parse(&params, &type_order::COLUMNS)?;
    let filter = Filter::parse(&params, &caller, version)?;
    let mut found: Vec<VolumeType> = services
        .blocking(|services| {
            let all = Query::by(BY_CREATED, Key::new());
            Ok(services.catalogue().read(|reader| reader.list(&all))?)
        })
        .await?;
    found.retain(|volume_type| filter.keeps(volume_type));
    let found = type_order::sorted(found, &page);
    let shown = type_order::cut(found, &page);
    let last = shown.last().map(|last| last.id.to_string());
    let href = format!("{}/types", url.base(&services));
    let links = page.links(&params, &href, shown.len(), last.as_deref());
    let items = shown.iter().map(|item| view(&caller, item, Form::Shown));
    let mut body = json!({"volume_types": items.collect::<Vec<_>>()});
    if let Some(links) = links {
        body["volume_type_links"] = links;
    }
    Ok(Json(body))
}

/// The type with an id, as `project` sees it (`None`: any).
pub(super) fn find(view: &impl View, project: Option<&str>, id: &str) -> Result<VolumeType, Fault> {
    match Uuid::try_parse(id) {
        Ok(_) => types::find_type(view, project, id),
        Err(_) => Err(types::not_found(id)),
    }
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::TypeGet)?;
    let own = caller.clone();
    let (found, form) = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                if id == "default" {
                    let project = own.project_id().unwrap_or_default();
                    return Ok((types::default_type(reader, project)?, Form::Default));
                }
                Ok((find(reader, viewer(&own), &id)?, Form::Shown))
            })
        })
        .await?;
    Ok(wrapped(&caller, &found, form))
}

/// A text under `key`, at most as long as the real service's schema allows.
pub(super) fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match map.get(key) {
        Some(Value::String(text)) if text.chars().count() > TEXT_MAX => Err(validate::invalid(
            key,
            &map[key],
            &format!("'{text}' is too long"),
        )),
        _ => validate::text(map, key),
    }
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    const PUBLIC: &str = "os-volume-type-access:is_public";
    let map = validate::wrapped(&body, "volume_type")?;
    let known = ["name", "description", "extra_specs", PUBLIC];
    validate::only("volume_type", map, &known)?;
    if !map.contains_key("name") {
        let value = Value::Object(map.clone());
        let reason = "'name' is a required property";
        return Err(validate::invalid("volume_type", &value, reason));
    }
    let new = VolumeType {
        id: Uuid::new_v4(),
        name: text(map, "name")?.unwrap_or_default(),
        description: text(map, "description")?,
        is_public: validate::flag(map, PUBLIC)?.unwrap_or(true),
        extra_specs: type_specs::parse(map)?,
        projects: Vec::new(),
        qos_specs_id: None,
        created_us: services.now_us(),
        updated_us: None,
    };
    if new.name.is_empty() {
        return Err(Fault::bad_request(
            "An invalid 'name' value was provided. The 'name' can not be empty.",
        ));
    }
    caller.check_own(Rule::TypeCreate)?;
    let new = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                check_name(writer, &new.name, None)?;
                writer.insert(&new)?;
                Ok::<_, Fault>(new)
            })
        })
        .await?;
    Ok(wrapped(&caller, &new, Form::Created))
}

fn check_name(view: &impl View, name: &str, own: Option<Uuid>) -> Result<(), Fault> {
    match types::by_name(view, name)? {
        Some(other) if own != Some(other.id) => Err(Fault::conflict(format!(
            "Volume Type {name} already exists."
        ))),
        Some(_) | None => Ok(()),
    }
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "volume_type")?;
    validate::only("volume_type", map, &["name", "description", "is_public"])?;
    let name = text(map, "name")?;
    let description = text(map, "description")?;
    let is_public = validate::flag(map, "is_public")?;
    caller.check_own(Rule::TypeUpdate)?;
    if name.is_none() && description.is_none() && is_public.is_none() {
        return Err(Fault::bad_request(
            "Specify volume type name, description, is_public or a combination thereof.",
        ));
    }
    if name.as_deref() == Some("") {
        return Err(Fault::bad_request("Volume type name can not be empty."));
    }
    let changed = services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut changed = find(writer, None, &id)?;
                if let Some(name) = name {
                    check_name(writer, &name, Some(changed.id))?;
                    quotas::rename_type(writer, &changed.name, &name)?;
                    changed.name = name;
                }
                changed.description = description.or(changed.description);
                changed.is_public = is_public.unwrap_or(changed.is_public);
                changed.updated_us = Some(now_us);
                writer.put(&changed)?;
                Ok::<_, Fault>(changed)
            })
        })
        .await?;
    Ok(wrapped(&caller, &changed, Form::Updated))
}

/// Whether any volume has this type.
pub(super) fn in_use(view: &impl View, id: Uuid) -> catalogue::Result<bool> {
    let of_type = [("volume_type_id", &*id.to_string())];
    Ok(filter::totals::<Volume>(view, None, &of_type)?.0 > 0)
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    caller.check_own(Rule::TypeDelete)?;
    services
        .blocking(move |services| services.catalogue().write(|writer| remove(writer, &id)))
        .await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn remove(writer: &Writer, id: &str) -> Result<(), Fault> {
    let found = find(writer, None, id)?;
    let refused = |what: &str| {
        Err(Fault::bad_request(format!(
            "The volume type {id} is {what} and cannot be deleted."
        )))
    };
    if writer.count::<VolumeType>(&Query::all().limit(2))? < 2 {
        return refused("the only currently defined volume type");
    }
    let defaults = writer.list::<ProjectDefault>(&Query::all())?;
    let is_own_default = defaults.iter().any(|own| own.volume_type_id == found.id);
    if found.name == types::DEFAULT_NAME || is_own_default {
        return refused("the default volume type");
    }
    if in_use(writer, found.id)? {
        return Err(Fault::bad_request("Target volume type is still in use."));
    }
    quotas::forget_type(writer, &found.name)?;
    encryption::forget(writer, found.id)?;
    writer.delete::<VolumeType>(&found.id)?;
    Ok(())
}
