//! `/os-quota-sets` and `/os-quota-class-sets`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::records::{QuotaLimits, Usage, VolumeType};
use super::type_calls::empty;
use super::{quotas, validate};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Query, View, Writer};
use crate::cinder::operations::quotas as ops;
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

/// Largest limit.
pub(super) const LIMIT_MAX: i64 = 0x7fff_ffff;
/// Attributes of a quota set that are no quotas; sent back by some clients.
const NO_QUOTAS: [&str; 2] = ["id", "tenant_id"];

type Limits = BTreeMap<String, i64>;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, delete)
        .on(ops::DEFAULTS, defaults)
        .on(ops::SHOW_CLASS, show_class)
        .on(ops::UPDATE_CLASS, update_class)
}

/// Adds the unlimited quotas of all types to `limits`.
fn with_types(view: &impl View, limits: Limits) -> Result<Limits, Fault> {
    let mut all = Limits::new();
    for volume_type in view.list::<VolumeType>(&Query::all())? {
        let keys = quotas::OF_TYPES.map(|name| quotas::type_key(name, &volume_type.name));
        all.extend(keys.map(|key| (key, -1)));
    }
    all.extend(limits);
    Ok(all)
}

fn set(name: &str, mut quotas: Map<String, Value>, id: Option<&str>) -> Json<Value> {
    if let Some(id) = id {
        quotas.insert("id".to_owned(), json!(id));
    }
    Json(json!({ name: quotas }))
}

fn plain(limits: Limits) -> Map<String, Value> {
    let pairs = limits.into_iter();
    pairs.map(|(key, limit)| (key, json!(limit))).collect()
}

/// Limits with what is used of them.
fn with_usage(
    view: &impl View,
    project: &str,
    limits: Limits,
) -> Result<Map<String, Value>, Fault> {
    let usage = quotas::usage_of(view, project)?;
    let mut used: BTreeMap<String, u64> = counts(&usage)
        .map(|(name, count)| (name.to_owned(), count))
        .into();
    used.insert("groups".to_owned(), usage.groups);
    for volume_type in view.list::<VolumeType>(&Query::all())? {
        let usage = quotas::usage_of_type(view, project, volume_type.id)?;
        let own = counts(&usage);
        used.extend(own.map(|(name, count)| (quotas::type_key(name, &volume_type.name), count)));
    }
    let one = |(key, limit): (String, i64)| {
        let in_use = used.get(&key).copied().unwrap_or(0);
        (
            key,
            json!({"limit": limit, "in_use": in_use, "reserved": 0}),
        )
    };
    Ok(limits.into_iter().map(one).collect())
}

fn counts(usage: &Usage) -> [(&'static str, u64); 5] {
    [
        ("volumes", usage.volumes),
        ("gigabytes", usage.gigabytes),
        ("snapshots", usage.snapshots),
        ("backups", usage.backups),
        ("backup_gigabytes", usage.backup_gigabytes),
    ]
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(project): Path<String>,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check(Rule::QuotasShow, &project)?;
    let usage = params.flag("usage", false);
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let limits = with_types(reader, quotas::limits_of(reader, &project)?)?;
                let shown = match usage {
                    true => with_usage(reader, &project, limits)?,
                    false => plain(limits),
                };
                Ok(set("quota_set", shown, Some(&project)))
            })
        })
        .await
}

async fn defaults(
    State(services): State<Services>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check(Rule::QuotasShow, &project)?;
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let limits = with_types(reader, quotas::default_limits(reader)?)?;
                Ok(set("quota_set", plain(limits), Some(&project)))
            })
        })
        .await
}

/// The limits in a body; `known` has all quotas there are.
fn parse(map: &Map<String, Value>, known: &Limits, set: &str) -> Result<Limits, Fault> {
    let given = || {
        map.iter()
            .filter(|(key, _)| !NO_QUOTAS.contains(&key.as_str()))
    };
    let unknown: Vec<&str> = given()
        .map(|(key, _)| key.as_str())
        .filter(|key| !known.contains_key(*key))
        .collect();
    if !unknown.is_empty() {
        return Err(Fault::bad_request(format!(
            "Invalid input received: Bad key(s) in {set}: {}",
            unknown.join(", ")
        )));
    }
    given()
        .map(|(key, value)| Ok((key.clone(), limit(key, value)?)))
        .collect()
}

fn limit(key: &str, value: &Value) -> Result<i64, Fault> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let refused = |what: &str| Err(Fault::bad_request(format!("{key} must be {what}")));
    match number {
        None => refused("an integer"),
        Some(number) if number < -1 => refused(">= -1"),
        Some(number) if number > LIMIT_MAX => refused(&format!("<= {LIMIT_MAX}")),
        Some(number) => Ok(number),
    }
}

/// Puts limits into the record of a project or class.
fn store_limits(writer: &Writer, id: &str, limits: Limits) -> Result<(), Fault> {
    let mut record = writer.get::<QuotaLimits>(id)?.unwrap_or_default();
    record.project_id = id.to_owned();
    record.limits.extend(limits);
    Ok(writer.put(&record)?)
}

/// Refuses limits below what is used.
fn check_usage(view: &impl View, project: &str, limits: &Limits) -> Result<(), Fault> {
    let usage = with_usage(view, project, limits.clone())?;
    for (name, limit) in limits {
        let in_use = usage[name]["in_use"].as_i64().unwrap_or(i64::MAX);
        if *limit >= 0 && in_use > *limit {
            return Err(Fault::bad_request(format!(
                "Quota {name} limit must be equal or greater than existing resources. Current \
                 usage is {in_use} and the requested limit is {limit}."
            )));
        }
    }
    Ok(())
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(project): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "quota_set")?.clone();
    caller.check(Rule::QuotasUpdate, &project)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let known = with_types(writer, quotas::limits_of(writer, &project)?)?;
                let limits = parse(&map, &known, "quota set")?;
                if map
                    .iter()
                    .any(|(key, value)| known.contains_key(key) && value.is_string())
                {
                    // Numbers as texts pass the real service's checks and then do not compare.
                    return Err(Fault::malformed());
                }
                check_usage(writer, &project, &limits)?;
                store_limits(writer, &project, limits)?;
                let limits = with_types(writer, quotas::limits_of(writer, &project)?)?;
                Ok(set("quota_set", plain(limits), None))
            })
        })
        .await
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Response, Fault> {
    caller.check(Rule::QuotasDelete, &project)?;
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            Ok(catalogue.write(|writer| writer.delete::<QuotaLimits>(project.as_str()))?)
        })
        .await?;
    Ok(empty(StatusCode::OK))
}

/// The limits of a class: what it changes of the defaults.
fn class_limits(view: &impl View, class: &str) -> Result<Limits, Fault> {
    let mut limits = quotas::default_limits(view)?;
    if let Some(own) = view.get::<QuotaLimits>(quotas::class_id(class).as_str())? {
        limits.extend(own.limits);
    }
    with_types(view, limits)
}

async fn show_class(
    State(services): State<Services>,
    caller: Caller,
    Path(class): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::QuotaClassesGet)?;
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let limits = class_limits(reader, &class)?;
                Ok(set("quota_class_set", plain(limits), Some(&class)))
            })
        })
        .await
}

async fn update_class(
    State(services): State<Services>,
    caller: Caller,
    Path(class): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "quota_class_set")?.clone();
    caller.check_own(Rule::QuotaClassesUpdate)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let known = class_limits(writer, &class)?;
                let limits = parse(&map, &known, "quota class set")?;
                store_limits(writer, &quotas::class_id(&class), limits)?;
                let limits = class_limits(writer, &class)?;
                Ok(set("quota_class_set", plain(limits), None))
            })
        })
        .await
}
