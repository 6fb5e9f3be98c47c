//! Volume types: which there are, and which one a new volume gets.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::default_types::ProjectDefault;
use super::records::{BY_NAME, VolumeType};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;

/// Name of the type of volumes that ask for none.
pub(super) const DEFAULT_NAME: &str = "__DEFAULT__";

/// Creates the default type unless there is one.
pub(super) fn bootstrap(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    if by_name(writer, DEFAULT_NAME)?.is_some() {
        return Ok(());
    }
    writer.insert(&VolumeType {
        id: Uuid::new_v4(),
        name: DEFAULT_NAME.to_owned(),
        description: Some("Default Volume Type".to_owned()),
        is_public: true,
        extra_specs: BTreeMap::new(),
        projects: Vec::new(),
        qos_specs_id: None,
        created_us: now_us,
        updated_us: None,
    })
}

/// The type of this name.
pub(super) fn by_name(view: &impl View, name: &str) -> catalogue::Result<Option<VolumeType>> {
    view.first(&Query::by(BY_NAME, Key::new().text(name)))
}

/// 404 for an id.
pub(super) fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Volume type {id} could not be found."))
}

/// Whether a project may use a type; `None` stands for admins, who may use all.
fn usable(volume_type: &VolumeType, project: Option<&str>) -> bool {
    let is_listed = |project| volume_type.projects.iter().any(|own| own == project);
    volume_type.is_public || project.is_none_or(is_listed)
}

/// The type that a project calls by name or id; 404 for others' private ones. Without a project all
/// types are found.
pub(super) fn find_type<'p>(
    view: &impl View,
    project: impl Into<Option<&'p str>>,
    name_or_id: &str,
) -> Result<VolumeType, Fault> {
    let id = Uuid::try_parse(name_or_id).ok();
    let mut found = match id {
        Some(id) => view.get::<VolumeType>(&id)?,
        None => None,
    };
    if found.is_none() {
        found = by_name(view, name_or_id)?;
    }
    let project = project.into();
    found
        .filter(|found| usable(found, project))
        .ok_or_else(|| match id {
            Some(_) => not_found(name_or_id),
            None => Fault::not_found(format!(
                "Volume type with name {name_or_id} could not be found."
            )),
        })
}

/// The type of a project's volumes that ask for none: the project's own default, else the common
/// one.
pub(super) fn default_type(view: &impl View, project: &str) -> Result<VolumeType, Fault> {
    if let Some(own) = view.get::<ProjectDefault>(project)?
        && let Some(found) = view.get(&own.volume_type_id)?
    {
        return Ok(found);
    }
    by_name(view, DEFAULT_NAME)?.ok_or_else(|| Fault::internal("there is no default volume type"))
}

/// Whether volumes of a type may be attached more than once at a time.
pub(super) fn is_multiattach(volume_type: &VolumeType) -> bool {
    let spec = volume_type.extra_specs.get("multiattach");
    spec.and_then(Option::as_deref) == Some("<is> True")
}
