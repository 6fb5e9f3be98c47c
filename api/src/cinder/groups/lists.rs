//! Lists of groups and group snapshots, for all interfaces to them.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::Value;
use uuid::Uuid;

use super::view::{self, Viewer};
use super::{Group, GroupSnapshot, no_group, snapshots};
use crate::auth::Caller;
use crate::cinder::filter::{Form, Listed, Listing, Names};
use crate::cinder::group_types;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::server::{Services, UrlProject};

impl Listed for Group {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "name",
        "description",
        "status",
        "group_type_id",
        "group_snapshot_id",
        "source_group_id",
        "availability_zone",
        "host",
        "replication_status",
        "created_at",
        "updated_at",
        "user_id",
        "project_id",
    ];
    const FILTERS: &'static [&'static str] = &["name"];
    const OPTIONS: &'static [&'static str] = &["list_volume"];
    const ALL_BY_PRESENCE: bool = true;
    const COUNTED: bool = false;
    const DROPS_FILTERS: bool = false;

    fn column(&self, key: &str) -> Option<Option<String>> {
        let text = |id: &Uuid| id.to_string();
        Some(match key {
            "id" => Some(self.id.to_string()),
            "name" => self.name.clone(),
            "description" => self.description.clone(),
            "status" => Some(self.status.clone()),
            "group_type_id" => Some(self.group_type_id.to_string()),
            "group_snapshot_id" => self.group_snapshot_id.as_ref().map(text),
            "source_group_id" => self.source_group_id.as_ref().map(text),
            "replication_status" => Some("disabled".to_owned()),
            "created_at" => Some(volume_time(self.created_us)),
            "updated_at" => self.updated_us.map(volume_time),
            "user_id" => Some(self.user_id.clone()),
            "project_id" => Some(self.project_id.clone()),
            "host" => self.backend.clone(),
            "availability_zone" => None,
            _ => return None,
        })
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

impl Listed for GroupSnapshot {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "name",
        "description",
        "status",
        "group_id",
        "group_type_id",
        "created_at",
        "updated_at",
        "user_id",
        "project_id",
    ];
    const FILTERS: &'static [&'static str] = &["name", "status", "group_id"];
    const ALL_BY_PRESENCE: bool = true;
    const COUNTED: bool = false;
    const DROPS_FILTERS: bool = false;

    fn column(&self, key: &str) -> Option<Option<String>> {
        Some(match key {
            "id" => Some(self.id.to_string()),
            "name" => self.name.clone(),
            "description" => self.description.clone(),
            "status" => Some(self.status.clone()),
            "group_id" => Some(self.group_id.to_string()),
            "group_type_id" => Some(self.group_type_id.to_string()),
            "created_at" => Some(volume_time(self.created_us)),
            "updated_at" => self.updated_us.map(volume_time),
            "user_id" => Some(self.user_id.clone()),
            "project_id" => Some(self.project_id.clone()),
            _ => return None,
        })
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

/// Which interface a list is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interface {
    /// Groups and group snapshots; those of consistency groups are left out.
    Groups,
    /// Consistency groups; all groups are listed.
    Consistency,
}

/// A request for a list. An extractor.
pub(super) struct ListCall {
    services: Services,
    url: UrlProject,
    pub(super) caller: Caller,
    pub(super) version: Microversion,
    pub(super) params: Params,
    form: Form,
    interface: Interface,
}

impl FromRequestParts<Services> for ListCall {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Fault> {
        let Ok(url) = UrlProject::from_request_parts(parts, services).await;
        Ok(Self {
            services: services.clone(),
            url,
            caller: Caller::from_request_parts(parts, services).await?,
            version: Microversion::from_request_parts(parts, services).await?,
            params: Params::from_request_parts(parts, services).await?,
            form: Form::Summary,
            interface: Interface::Groups,
        })
    }
}

impl ListCall {
    /// The list with the objects in full.
    pub(super) fn detailed(self) -> Self {
        Self {
            form: Form::Detail,
            ..self
        }
    }

    /// The list as the older interface has it.
    pub(super) fn of_consistency(self) -> Self {
        Self {
            interface: Interface::Consistency,
            ..self
        }
    }

    /// The body of a list of groups.
    pub(super) async fn groups(self, with_volumes: bool) -> Result<Value, Fault> {
        let listing = Listing::parse::<Group>(
            &self.params,
            &self.caller,
            self.list_version(),
            self.services.config(),
        )?
        .on_backends(&self.services);
        let services = self.services.clone();
        services
            .blocking(move |services| {
                let viewer = Viewer {
                    caller: &self.caller,
                    version: self.version,
                    zone: &services.config().availability_zone,
                    with_volumes,
                };
                services.catalogue().read(|reader| {
                    let mut found = listing.run::<Group>(reader, &self.caller, no_group)?;
                    if self.interface == Interface::Groups {
                        let hidden = group_types::consistency_id(reader)?;
                        found
                            .items
                            .retain(|group| Some(group.group_type_id) != hidden);
                    }
                    let shape = |group: Group| match (self.form, self.interface) {
                        (Form::Summary, _) => Ok(view::summary(&group)),
                        (Form::Detail, Interface::Groups) => viewer.group(reader, &group),
                        (Form::Detail, Interface::Consistency) => {
                            Ok(viewer.consistency_group(&group))
                        }
                    };
                    let names = match self.interface {
                        Interface::Groups => Names::new("groups", "group_links"),
                        Interface::Consistency => {
                            Names::new("consistencygroups", "consistencygroup_links")
                        }
                    };
                    let href = format!("{}/{}", self.url.base(services), names.items);
                    Ok(listing.body_named(&self.params, names, &href, found, shape)?)
                })
            })
            .await
    }

    /// The body of a list of group snapshots.
    pub(super) async fn snapshots(self) -> Result<Value, Fault> {
        let listing = Listing::parse::<GroupSnapshot>(
            &self.params,
            &self.caller,
            self.list_version(),
            self.services.config(),
        )?;
        let services = self.services.clone();
        services
            .blocking(move |services| {
                let viewer = Viewer {
                    caller: &self.caller,
                    version: self.version,
                    zone: &services.config().availability_zone,
                    with_volumes: false,
                };
                services.catalogue().read(|reader| {
                    let unknown = snapshots::no_snapshot;
                    let mut found = listing.run::<GroupSnapshot>(reader, &self.caller, unknown)?;
                    if self.interface == Interface::Groups {
                        let hidden = group_types::consistency_id(reader)?;
                        found
                            .items
                            .retain(|snapshot| Some(snapshot.group_type_id) != hidden);
                    }
                    let shape = |snapshot: GroupSnapshot| {
                        Ok::<_, Fault>(match (self.form, self.interface) {
                            (Form::Summary, _) => view::snapshot_summary(&snapshot),
                            (Form::Detail, Interface::Groups) => viewer.snapshot(&snapshot),
                            (Form::Detail, Interface::Consistency) => {
                                view::consistency_snapshot(&snapshot)
                            }
                        })
                    };
                    let names = match self.interface {
                        Interface::Groups => Names::new("group_snapshots", "group_snapshot_links"),
                        Interface::Consistency => Names::without_links("cgsnapshots"),
                    };
                    let href = format!("{}/{}", self.url.base(services), names.items);
                    listing.body_named(&self.params, names, &href, found, shape)
                })
            })
            .await
    }

    /// The version whose rules for filters hold: consistency groups have those of the first.
    fn list_version(&self) -> Microversion {
        match self.interface {
            Interface::Groups => self.version,
            Interface::Consistency => Microversion::MIN,
        }
    }
}
