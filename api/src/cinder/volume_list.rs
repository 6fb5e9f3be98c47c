//! `GET /volumes`, `/volumes/detail` and `/volumes/summary`.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::filter::{self, Form, Listed, Listing};
use super::records::Volume;
use super::volume_delete::strict_flag;
use super::volume_view::{TypeNames, Viewer, load_with, no_volume};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

impl Listed for Volume {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "name",
        "display_name",
        "status",
        "size",
        "created_at",
        "updated_at",
        "bootable",
        "availability_zone",
        "host",
        "user_id",
        "project_id",
        "volume_type_id",
    ];
    const FILTERS: &'static [&'static str] = &[
        "name",
        "status",
        "metadata",
        "bootable",
        "migration_status",
        "availability_zone",
        "group_id",
        "size",
        "created_at",
        "updated_at",
        "consumes_quota",
    ];

    const INDEXED: &'static [&'static str] = &[
        "attach_status",
        "display_description",
        "multiattach",
        "snapshot_id",
        "source_volid",
    ];

    const FILTERS_SINCE: &'static [(&'static str, u16)] = &[
        ("glance_metadata", 4),
        ("group_id", 10),
        ("created_at", 60),
        ("updated_at", 60),
    ];

    const COMPARES_TIMES: bool = true;

    fn column(&self, key: &str) -> Option<Option<String>> {
        Some(match key {
            "id" => Some(self.id.to_string()),
            "name" | "display_name" => self.name.clone(),
            "display_description" => self.description.clone(),
            "status" => Some(self.status.clone()),
            "attach_status" => {
                // The real service keeps no such status for what is reserved.
                let is_reserved = self.attach_status == "reserved";
                Some(
                    if is_reserved {
                        "detached"
                    } else {
                        &self.attach_status
                    }
                    .to_owned(),
                )
            }
            "size" => Some(self.size_gib.to_string()),
            "bootable" => Some(self.bootable.to_string()),
            "created_at" => Some(volume_time(self.created_us)),
            "updated_at" => self.updated_us.map(volume_time),
            "user_id" => Some(self.user_id.clone()),
            "project_id" => Some(self.project_id.clone()),
            "volume_type_id" => Some(self.volume_type_id.to_string()),
            "snapshot_id" => self.snapshot_id.map(|id| id.to_string()),
            "source_volid" => self.source_volid.map(|id| id.to_string()),
            "multiattach" => Some(self.multiattach.to_string()),
            "consumes_quota" => Some("true".to_owned()),
            "host" => self.backend.clone(),
            "migration_status" => self.migration_status.clone(),
            "group_id" => self.group_id.map(|id| id.to_string()),
            "availability_zone" => None,
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

pub(super) async fn index(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Response, Fault> {
    list(services, url, caller, version, params, Form::Summary).await
}

pub(super) async fn detail(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Response, Fault> {
    list(services, url, caller, version, params, Form::Detail).await
}

async fn list(
    services: Services,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
    form: Form,
) -> Result<Response, Fault> {
    caller.check_own(Rule::VolumeGetAll)?;
    let listing = Listing::parse::<Volume>(&params, &caller, version, services.config())?
        .on_backends(&services);
    services
        .blocking(move |services| {
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            let href = format!("{}/volumes{}", url.base(services), form.suffix());
            services.catalogue().read(|reader| {
                let found = listing.run::<Volume>(reader, &caller, no_volume)?;
                let mut types = TypeNames::default();
                match form {
                    Form::Summary => listing.answer(&params, "volumes", &href, found, |volume| {
                        Ok(viewer.summary(&volume))
                    }),
                    Form::Detail => listing.answer(&params, "volumes", &href, found, |volume| {
                        Ok(viewer.detail(&load_with(reader, volume, &mut types)?))
                    }),
                }
            })
        })
        .await
}

pub(super) async fn totals(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(12)?;
    caller.check_own(Rule::VolumeGetAll)?;
    let all = caller.is_admin && strict_flag(&params, "all_tenants")?;
    let project = match caller.project_id() {
        Some(project) if !all => Some(project.to_owned()),
        _ if caller.is_admin => None,
        // Whatever a policy file permits: without a project there is nothing to see.
        _ => return Err(Fault::malformed()),
    };
    services
        .blocking(move |services| {
            let summary = services
                .catalogue()
                .read(|reader| summed_up(reader, project.as_deref(), version))?;
            Ok(Json(json!({"volume-summary": summary})))
        })
        .await
}

/// Number and size of the volumes of a project, or of all, and their metadata.
fn summed_up(
    view: &impl View,
    project: Option<&str>,
    version: Microversion,
) -> Result<Value, Fault> {
    let (total_count, total_size) = filter::totals::<Volume>(view, project, &[])?;
    let mut summary = json!({"total_count": total_count, "total_size": total_size});
    if version.has(36) {
        let mut metadata: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (text, _) in filter::tally::<Volume>(view, project, &[], "metadata")? {
            let pairs = serde_json::from_str(&text.unwrap_or_default());
            let pairs: BTreeMap<String, String> = pairs.unwrap_or_default();
            for (key, value) in pairs {
                metadata.entry(key).or_default().insert(value);
            }
        }
        summary["metadata"] = json!(metadata);
    }
    Ok(summary)
}
