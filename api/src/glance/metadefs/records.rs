//! Namespaces as the catalogue keeps them, and who sees them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::catalogue::{Record, View};
use crate::fault::{Fault, FaultKind};
use crate::glance::rights;

/// Most things of a kind in a namespace, so that a record stays one that can be read whole.
const ITEMS_MAX: usize = 256;

/// What can be in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Property,
    Tag,
    /// That the namespace is meant for resources of a type.
    ResourceType,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Object, Self::Property, Self::Tag, Self::ResourceType];

    /// As part of refusals.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Property => "property",
            Self::Tag => "tag",
            Self::ResourceType => "resource-type-association",
        }
    }

    /// As part of paths, and the key of lists.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Object => "objects",
            Self::Property => "properties",
            Self::Tag => "tags",
            Self::ResourceType => "resource_types",
        }
    }
}

/// Something in a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) name: String,
    /// What else its schema allows.
    pub(super) body: Map<String, Value>,
    pub(super) created_us: u64,
    pub(super) updated_us: u64,
}

impl Item {
    /// Of a body that its schema allows.
    pub(super) fn of(mut body: Map<String, Value>, now_us: u64) -> Self {
        let name = body.shift_remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        Self {
            name: name.to_owned(),
            body,
            created_us: now_us,
            updated_us: now_us,
        }
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Namespace {
    pub(super) name: String,
    pub(super) display_name: Option<String>,
    pub(super) description: Option<String>,
    /// Whether all projects see it.
    pub(super) public: bool,
    pub(super) protected: bool,
    pub(super) owner: Option<String>,
    pub(super) objects: Vec<Item>,
    pub(super) properties: Vec<Item>,
    pub(super) tags: Vec<Item>,
    pub(super) resource_types: Vec<Item>,
    pub(super) created_us: u64,
    pub(super) updated_us: u64,
}

impl Record for Namespace {
    const TABLE: &'static str = "metadef_namespaces";
    type Id = str;

    fn id(&self) -> &str {
        &self.name
    }
}

impl Namespace {
    pub(super) fn items(&self, kind: Kind) -> &Vec<Item> {
        match kind {
            Kind::Object => &self.objects,
            Kind::Property => &self.properties,
            Kind::Tag => &self.tags,
            Kind::ResourceType => &self.resource_types,
        }
    }

    pub(super) fn items_mut(&mut self, kind: Kind) -> &mut Vec<Item> {
        match kind {
            Kind::Object => &mut self.objects,
            Kind::Property => &mut self.properties,
            Kind::Tag => &mut self.tags,
            Kind::ResourceType => &mut self.resource_types,
        }
    }

    /// Adds something of a name that nothing of its kind has.
    pub(super) fn add(&mut self, kind: Kind, item: Item) -> Result<(), Fault> {
        if self.items(kind).iter().any(|other| other.name == item.name) {
            return Err(Fault::conflict(format!(
                "A metadata definition {} with name={} already exists in namespace={}.",
                kind.word(),
                item.name,
                self.name
            )));
        }
        if self.items(kind).len() >= ITEMS_MAX {
            let message = format!("A namespace has at most {ITEMS_MAX} {}.", kind.plural());
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        self.items_mut(kind).push(item);
        Ok(())
    }

    /// The place of something.
    pub(super) fn position(&self, kind: Kind, name: &str) -> Result<usize, Fault> {
        let found = self.items(kind).iter().position(|item| item.name == name);
        found.ok_or_else(|| {
            Fault::not_found(match kind {
                Kind::Object => format!("Could not find metadata object {name}"),
                Kind::Property => format!("Could not find property {name}"),
                Kind::Tag => format!("Could not find metadata tag {name}"),
                Kind::ResourceType => format!("Failed to find resource type {name} to delete"),
            })
        })
    }

    /// 403 of what may not be deleted, named by its kind and name.
    pub(super) fn check_unprotected(&self, what: &str, name: &str) -> Result<(), Fault> {
        match self.protected {
            false => Ok(()),
            true => Err(rights::forbidden(format!(
                "Metadata definition {what} {name} is protected and cannot be deleted."
            ))),
        }
    }

    /// Whether a caller may know of it.
    pub(super) fn is_seen_by(&self, caller: &Caller) -> bool {
        let own = self.owner.is_some() && self.owner.as_deref() == caller.project_id();
        caller.is_identity_admin() || (caller.has_role("reader") && (self.public || own))
    }
}

/// The namespace, if the caller may know of it.
pub(super) fn find(view: &impl View, caller: &Caller, name: &str) -> Result<Namespace, Fault> {
    let found = view.get::<Namespace>(name)?;
    let found = found.filter(|found| found.is_seen_by(caller));
    found.ok_or_else(|| Fault::not_found(format!("Namespace {name} not found")))
}
