//! Group types: what groups may be made of, and the specs that say what they need of a back end.
//!
//! `/group_types` and what is below it; from microversion 3.11. The type
//! [`CONSISTENCY`] is there from the start: it is that of consistency groups.

mod calls;
mod records;
mod specs;
#[cfg(test)]
mod tests;

use uuid::Uuid;

use super::records::BY_NAME;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::Routes;

pub(super) use records::GroupType;

/// Name of the type of consistency groups.
pub(super) const CONSISTENCY: &str = "default_cgsnapshot_type";

/// The microversion that brought group types.
const SINCE: u16 = 11;

pub(super) fn routes() -> Routes {
    Routes::new().merge(calls::routes()).merge(specs::routes())
}

/// Creates the type of consistency groups unless it is there.
pub(super) fn bootstrap(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    if by_name(writer, CONSISTENCY)?.is_some() {
        return Ok(());
    }
    let enabled = ("consistent_group_snapshot_enabled", "<is> True");
    writer.insert(&GroupType {
        id: Uuid::new_v4(),
        name: CONSISTENCY.to_owned(),
        description: Some("Default group type for migrating cgsnapshot".to_owned()),
        is_public: true,
        group_specs: [(enabled.0.to_owned(), Some(enabled.1.to_owned()))].into(),
        created_us: now_us,
        updated_us: None,
    })
}

/// The type of this name.
pub(super) fn by_name(view: &impl View, name: &str) -> catalogue::Result<Option<GroupType>> {
    view.first(&Query::by(BY_NAME, Key::new().text(name)))
}

/// The id of the type of consistency groups; none when an admin has removed or renamed it.
pub(super) fn consistency_id(view: &impl View) -> catalogue::Result<Option<Uuid>> {
    Ok(by_name(view, CONSISTENCY)?.map(|found| found.id))
}

/// 404 of an id.
fn not_found(id: &str) -> Fault {
    Fault::not_found(format!("Group type {id} could not be found."))
}

/// The type with an id, or 404.
fn find(view: &impl View, id: &str) -> Result<GroupType, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| not_found(id))?;
    view.get(&parsed)?.ok_or_else(|| not_found(id))
}

/// The type that a request calls by id or name, or 404.
pub(super) fn resolve(view: &impl View, name_or_id: &str) -> Result<GroupType, Fault> {
    let id = Uuid::parse_str(name_or_id).ok();
    let mut found = match id {
        Some(id) => view.get::<GroupType>(&id)?,
        None => None,
    };
    if found.is_none() {
        found = by_name(view, name_or_id)?;
    }
    found.ok_or_else(|| match id {
        Some(_) => not_found(name_or_id),
        None => Fault::not_found(format!(
            "Group type with name {name_or_id} could not be found."
        )),
    })
}
