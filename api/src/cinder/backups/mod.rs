//! `/backups`: lists and reading, and what the other calls share.
//!
//! A backup's data is the business of [`crate::backup`]; here are the rows, the calls and the jobs.

mod calls;
mod create;
mod portable;
mod records;
mod restore;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use uuid::Uuid;

use super::encryption;
use super::filter::{Form, Listed, Listing};
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View};
use crate::cinder::operations::backups as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};
use crate::types::cinder as wire;

pub(super) use restore::{create_volume_job, source_of, type_of};
pub(super) use work::{forget_volume, register};

use records::{BY_PARENT, Backup};

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, create::create)
        .on(ops::DETAIL, detail)
        .on(ops::IMPORT, portable::import)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, calls::update)
        .on(ops::DELETE, calls::remove)
        .on(ops::RESTORE, restore::restore)
        .on(ops::EXPORT, portable::export)
        .on_all(&ops::ACTIONS, calls::action)
}

impl Listed for Backup {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "name",
        "display_name",
        "status",
        "size",
        "created_at",
        "updated_at",
        "volume_id",
        "snapshot_id",
        "container",
        "availability_zone",
        "object_count",
        "data_timestamp",
        "fail_reason",
        "parent_id",
        "user_id",
        "project_id",
    ];
    const FILTERS: &'static [&'static str] = &["name", "status", "volume_id"];
    const SORT_SINCE: &'static [(&'static str, u16)] = &[("name", 37)];

    fn column(&self, key: &str) -> Option<Option<String>> {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        Some(match key {
            "id" => id(Some(self.id)),
            "name" | "display_name" => self.name.clone(),
            "description" | "display_description" => self.description.clone(),
            "status" => Some(self.status.clone()),
            "volume_id" => id(Some(self.volume_id)),
            "snapshot_id" => id(self.snapshot_id),
            "parent_id" => id(self.parent_id),
            "container" => self.container.clone(),
            "availability_zone" => self.availability_zone.clone(),
            "size" => Some(self.size_gib.to_string()),
            "object_count" => Some(self.object_count.to_string()),
            "fail_reason" => self.fail_reason.clone(),
            "data_timestamp" => Some(volume_time(self.data_us)),
            "created_at" => Some(volume_time(self.created_us)),
            "updated_at" => self.updated_us.map(volume_time),
            "user_id" => Some(self.user_id.clone()),
            "project_id" => Some(self.project_id.clone()),
            _ => return None,
        })
    }

    fn pairs(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.metadata)
    }

    fn id_text(&self) -> String {
        self.id.to_string()
    }

    fn project(&self) -> &str {
        &self.project_id
    }

    fn created_us(&self) -> u64 {
        self.created_us
    }
}

/// 404 of a backup.
pub(super) fn no_backup(id: &str) -> Fault {
    Fault::not_found(format!("Backup {id} could not be found."))
}

/// 400 of a backup that is not as it must be.
fn invalid_backup(reason: &str) -> Fault {
    Fault::bad_request(format!("Invalid backup: {reason}"))
}

/// The backup if the caller may see it, or 404.
fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Backup, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_backup(id))?;
    let found = view.get::<Backup>(&parsed)?;
    found
        .filter(|backup| caller.sees(&backup.project_id))
        .ok_or_else(|| no_backup(id))
}

/// Whether other backups are differences from this one.
fn has_dependents(view: &impl View, id: Uuid) -> catalogue::Result<bool> {
    let dependents = Query::by(BY_PARENT, Key::new().uuid(id));
    Ok(view.first::<Backup>(&dependents)?.is_some())
}

/// Makes answers out of backups.
struct Viewer<'a> {
    services: &'a Services,
    url: &'a UrlProject,
    caller: &'a Caller,
    version: Microversion,
}

impl Viewer<'_> {
    /// The form of short lists, creations and updates.
    fn summary(&self, backup: &Backup) -> wire::BackupSummary {
        let link = |rel: &str, base: String| wire::Link {
            rel: rel.to_owned(),
            href: format!("{base}/backups/{}", backup.id),
        };
        wire::BackupSummary {
            id: backup.id.to_string(),
            name: backup.name.clone(),
            links: vec![
                link("self", self.url.base(self.services)),
                link("bookmark", self.url.bookmark_base(self.services)),
            ],
        }
    }

    /// The form of show and detail lists.
    fn detail(&self, backup: &Backup, has_dependents: bool) -> wire::Backup {
        let sees_owner = self.caller.can(Rule::BackupProjectAttribute, backup);
        let owner = |since: u16| sees_owner && self.version.has(since);
        let metadata = self.version.has(43).then(|| backup.metadata.clone());
        wire::Backup {
            summary: self.summary(backup),
            status: backup.status.clone(),
            size: backup.size_gib,
            object_count: Some(backup.object_count),
            availability_zone: backup.availability_zone.clone(),
            container: backup.container.clone(),
            created_at: volume_time(backup.created_us),
            updated_at: backup.updated_us.map(volume_time),
            description: backup.description.clone(),
            fail_reason: backup.fail_reason.clone(),
            volume_id: backup.volume_id.to_string(),
            is_incremental: backup.parent_id.is_some(),
            has_dependent_backups: has_dependents,
            snapshot_id: backup.snapshot_id.map(|id| id.to_string()),
            data_timestamp: Some(volume_time(backup.data_us)),
            project_id: owner(18).then(|| backup.project_id.clone()),
            metadata,
            user_id: owner(56).then(|| Some(backup.user_id.clone())),
            encryption_key_id: (backup.encrypted && self.version.has(64))
                .then(|| encryption::key_id(backup.id).to_string()),
        }
    }
}

async fn index(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, url, caller, version, params, Form::Summary).await
}

async fn detail(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, url, caller, version, params, Form::Detail).await
}

async fn list(
    services: Services,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
    form: Form,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::BackupGetAll)?;
    check_all_tenants(&params)?;
    let listing = Listing::parse::<Backup>(&params, &caller, version, services.config())?;
    services
        .blocking(move |services| {
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            let href = format!("{}/backups{}", url.base(services), form.suffix());
            services.catalogue().read(|reader| {
                let found = listing.run::<Backup>(reader, &caller, no_backup)?;
                let shape = |backup: Backup| {
                    Ok::<_, Fault>(match form {
                        Form::Summary => json!(viewer.summary(&backup)),
                        Form::Detail => {
                            let dependents = has_dependents(reader, backup.id)?;
                            json!(viewer.detail(&backup, dependents))
                        }
                    })
                };
                let body = listing.body(&params, "backups", &href, found, shape)?;
                Ok::<_, Fault>(Json(body))
            })
        })
        .await
}

/// Lists of backups are the only ones that refuse other words than yes and no here.
fn check_all_tenants(params: &Params) -> Result<(), Fault> {
    let both = [false, true].map(|default| params.flag("all_tenants", default));
    match params.get("all_tenants") {
        Some(text) if both[0] != both[1] => Err(Fault::bad_request(format!(
            "all_tenants must be a boolean, got '{text}'."
        ))),
        _ => Ok(()),
    }
}

async fn show(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let (backup, dependents) = services.catalogue().read(|reader| {
                let backup = find(reader, &caller, &id)?;
                let dependents = has_dependents(reader, backup.id)?;
                Ok::<_, Fault>((backup, dependents))
            })?;
            caller.check(Rule::BackupGet, &backup)?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok(Json(json!({"backup": viewer.detail(&backup, dependents)})))
        })
        .await
}
