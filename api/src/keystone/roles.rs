//! `/v3/roles`.

use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, find, is_same};
use super::domains::DESCRIPTION_MAX;
use super::grants::revoke;
use super::options::{self, Staying, check_mutable};
use super::records::{BY_NAME, BY_ROLE, Domain, Grant, Role};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, map_of, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;

impl Resource for Role {
    const KIND: &'static str = "role";
    const PLURAL: &'static str = "roles";
    const TITLE: &'static str = "Role";
    const SUMMARIES: [&'static str; 5] = [
        "List roles.",
        "Create a role.",
        "Show a role.",
        "Change a role.",
        "Delete a role.",
    ];

    const KNOWN: &'static [&'static str] =
        &["id", "name", "description", "domain_id", "options", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("description", text().or_null()),
            field("domain_id", text().or_null()),
            field("options", map_of(any())),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
            maybe("domain_id", text_of(0, NAME_MAX).or_null()),
            maybe("options", map_of(any())),
        ]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "domain_id": self.domain_id,
            "options": options::shown(self.immutable),
            "links": link(services, "roles", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        // Roles of a domain are only in the lists of that domain.
        let domain = params.get("domain_id").filter(|id| !id.is_empty());
        domain == self.domain_id.as_deref() && is_same(params, "name", &self.name)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            description: attributes.text("description", DESCRIPTION_MAX)?,
            domain_id: attributes.text("domain_id", NAME_MAX)?,
            implies: Vec::new(),
            immutable: Staying::of(attributes)?.at_first(),
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text_or_null("description", DESCRIPTION_MAX)?;
        let staying = Staying::of(attributes)?;
        Ok(Box::new(move |role| {
            staying.change(&mut role.immutable, "role", &role.id)?;
            change(&mut role.name, name);
            change(&mut role.description, description);
            Ok(())
        }))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        match &self.domain_id {
            Some(id) => find::<Domain>(writer, id).map(drop),
            None => Ok(()),
        }
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        let same_name = Query::by(BY_NAME, Key::new().text(&self.name));
        let taken = writer
            .list::<Self>(&same_name)?
            .iter()
            .any(|other| other.domain_id == self.domain_id && other.id != self.id);
        match taken {
            true => {
                let detail = format!("Duplicate entry found with name {}", self.name);
                Err(texts::conflict("role", &detail))
            }
            false => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        check_mutable(self.immutable, "role", &self.id)?;
        for mut prior in writer.list::<Self>(&Query::all())? {
            if prior.implies.contains(&self.id) {
                prior.implies.retain(|implied| *implied != self.id);
                writer.put(&prior)?;
            }
        }
        for grant in writer.list::<Grant>(&Query::by(BY_ROLE, Key::new().text(&self.id)))? {
            revoke(writer, &grant)?;
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}
