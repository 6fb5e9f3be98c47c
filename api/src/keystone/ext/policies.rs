//! `/v3/policies`: rules that services could fetch from Identity. Services of today have files
//! instead, and so has this daemon; what is kept here rules nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::Caller;
use crate::catalogue::{Record, Writer};
use crate::fault::Fault;
use crate::keystone::bootstrap::new_id;
use crate::keystone::calls::{Changes, Resource, change, is_same};
use crate::keystone::operations::{Calls, calls as operations};
use crate::keystone::resource::{Attributes, link};
use crate::keystone::routes::of_kind;
use crate::openapi::Routes;
use crate::openapi::shape::{Field, field, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest type.
const TYPE_MAX: usize = 255;
/// Longest blob.
const BLOB_CHARS_MAX: usize = 64 << 10;

/// A stored policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Policy {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    blob: String,
    #[serde(default)]
    extra: Map<String, Value>,
}

impl Record for Policy {
    const TABLE: &'static str = "policies";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

const CALLS: Calls = operations::<Policy>("/v3/policies", "/v3/policies/{policy_id}");

pub(super) fn routes() -> Routes {
    of_kind::<Policy>(&CALLS)
}

impl Resource for Policy {
    const KIND: &'static str = "policy";
    const PLURAL: &'static str = "policies";
    const TITLE: &'static str = "IdentityPolicy";
    const SUMMARIES: [&'static str; 5] = [
        "List policies.",
        "Keep a policy.",
        "Show a policy.",
        "Change a policy.",
        "Delete a policy.",
    ];
    const KNOWN: &'static [&'static str] = &["id", "type", "blob", "links"];

    fn fields() -> Vec<Field> {
        vec![field("type", text()), field("blob", text())]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let (kind, blob) = (text_of(0, TYPE_MAX), text_of(0, BLOB_CHARS_MAX));
        match new {
            true => vec![field("type", kind), field("blob", blob)],
            false => vec![maybe("type", kind.or_null()), maybe("blob", blob.or_null())],
        }
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "blob": self.blob,
            "links": link(services, "policies", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "type", &self.kind)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        let required = |name: &str, max| {
            let missing = || Fault::bad_request(format!("'{name}' is a required property"));
            attributes.text(name, max)?.ok_or_else(missing)
        };
        Ok(Self {
            id: new_id(),
            kind: required("type", TYPE_MAX)?,
            blob: required("blob", BLOB_CHARS_MAX)?,
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let kind = attributes.text("type", TYPE_MAX)?;
        let blob = attributes.text("blob", BLOB_CHARS_MAX)?;
        Ok(Box::new(move |policy| {
            change(&mut policy.kind, kind);
            change(&mut policy.blob, blob);
            Ok(())
        }))
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}
