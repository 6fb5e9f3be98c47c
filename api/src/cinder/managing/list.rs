//! The lists of what could be managed: entries of one backend, sorted and cut into pages.

use std::cmp::Ordering;

use serde_json::{Value, json};
use uuid::Uuid;

use super::reference::Kind;
use crate::catalogue::{Record, View};
use crate::cinder::filter::Form;
use crate::cinder::records::{Snapshot, Volume};
use crate::fault::Fault;
use crate::page::{Direction, Page, Params};
use crate::server::{Backend, Services};

const SORT_KEYS: [&str; 2] = ["reference", "size"];

/// An object of a pool.
struct Entry {
    id: Uuid,
    kind: Kind,
    size_bytes: u64,
    /// The volume that a snapshot is of.
    source: Option<Uuid>,
}

impl Entry {
    fn show(&self, is_managed: bool, form: Form) -> Value {
        let mut shown = json!({
            "reference": self.kind.reference(self.id),
            "size": self.size_bytes.div_ceil(1 << 30),
            "safe_to_manage": !is_managed,
        });
        if let Some(source) = self.source {
            shown["source_reference"] = Kind::Volume.reference(source);
        }
        if form == Form::Detail {
            shown["reason_not_safe"] = json!(is_managed.then_some("already managed"));
            shown["cinder_id"] = json!(is_managed.then_some(self.id));
            shown["extra_info"] = Value::Null;
        }
        shown
    }

    fn compare(&self, other: &Self, key: &str) -> Ordering {
        match key {
            "size" => self.size_bytes.cmp(&other.size_bytes),
            _ => self.id.cmp(&other.id),
        }
    }
}

/// A page of what a backend holds.
pub(super) fn page(
    services: &Services,
    backend: &Backend,
    kind: Kind,
    params: &Params,
    form: Form,
) -> Result<Value, Fault> {
    let page = Page::parse(params, &SORT_KEYS)?;
    let mut entries = match kind {
        Kind::Volume => volumes(backend),
        Kind::Snapshot => snapshots(backend),
    };
    entries.sort_by(|a, b| order(a, b, &page.sort));
    let start = match params.get("marker") {
        None => 0,
        Some(text) => marker(&entries, kind, text)?,
    };
    let rest = entries.iter().skip(start).skip(page.offset);
    // Only of the page is the catalogue asked.
    let listed: Vec<&Entry> = rest.take(page.limit).collect();
    let known = match kind {
        Kind::Volume => managed::<Volume>(services, &listed)?,
        Kind::Snapshot => managed::<Snapshot>(services, &listed)?,
    };
    let both = listed.into_iter().zip(known);
    let shown: Vec<Value> = both.map(|(one, known)| one.show(known, form)).collect();
    Ok(match kind {
        Kind::Volume => json!({ "manageable-volumes": shown }),
        Kind::Snapshot => json!({ "manageable-snapshots": shown }),
    })
}

fn order(a: &Entry, b: &Entry, sort: &[(String, Direction)]) -> Ordering {
    let by_key = |(key, direction): &(String, Direction)| direction.apply(a.compare(b, key));
    let told = sort.iter().map(by_key).find(|order| order.is_ne());
    // Unasked, the real service begins with the last reference.
    told.unwrap_or_else(|| match sort.is_empty() {
        true => b.id.cmp(&a.id),
        false => a.id.cmp(&b.id),
    })
}

/// The place behind the entry that a marker, the JSON of a reference, names.
fn marker(entries: &[Entry], kind: Kind, text: &str) -> Result<usize, Fault> {
    let refuse = |what: String| Fault::bad_request(format!("Invalid input received: {what}"));
    let reference: Value = serde_json::from_str(text).map_err(|_| {
        refuse(format!(
            "marker {text} can not be analysed, please use json like format"
        ))
    })?;
    let found = entries
        .iter()
        .position(|entry| entry.kind.reference(entry.id) == reference);
    debug_assert!(entries.iter().all(|entry| entry.kind == kind));
    match found {
        Some(at) => Ok(at + 1),
        None => Err(refuse(format!("marker not found: {reference}"))),
    }
}

/// Whether the catalogue has each of these entries.
fn managed<R: Record<Id = Uuid>>(
    services: &Services,
    entries: &[&Entry],
) -> Result<Vec<bool>, Fault> {
    services.catalogue().read(|reader| {
        let known = |entry: &&Entry| Ok::<_, Fault>(reader.get::<R>(&entry.id)?.is_some());
        entries.iter().map(known).collect()
    })
}

/// Whether an object is one that the service made for itself, to copy or to back up from: its id
/// follows from another's, while those of users' objects are random.
fn is_internal(id: Uuid) -> bool {
    id.get_version() == Some(uuid::Version::Sha1)
}

fn volumes(backend: &Backend) -> Vec<Entry> {
    let found = backend.store().volumes().into_iter();
    found
        .filter(|volume| !is_internal(volume.id.0))
        .map(|volume| Entry {
            id: volume.id.0,
            kind: Kind::Volume,
            size_bytes: volume.size_bytes,
            source: None,
        })
        .collect()
}

fn snapshots(backend: &Backend) -> Vec<Entry> {
    let found = backend.store().snapshots().into_iter();
    found
        .filter(|snapshot| !is_internal(snapshot.id.0))
        .map(|snapshot| Entry {
            id: snapshot.id.0,
            kind: Kind::Snapshot,
            size_bytes: snapshot.size_bytes,
            source: Some(snapshot.volume.0),
        })
        .collect()
}
