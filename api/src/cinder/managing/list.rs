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
    is_managed: bool,
}

impl Entry {
    fn show(&self, form: Form) -> Value {
        let mut shown = json!({
            "reference": self.kind.reference(self.id),
            "size": self.size_bytes.div_ceil(1 << 30),
            "safe_to_manage": !self.is_managed,
        });
        if let Some(source) = self.source {
            shown["source_reference"] = Kind::Volume.reference(source);
        }
        if form == Form::Detail {
            shown["reason_not_safe"] = json!(self.is_managed.then_some("already managed"));
            shown["cinder_id"] = json!(self.is_managed.then_some(self.id));
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
        Kind::Volume => volumes(services, backend)?,
        Kind::Snapshot => snapshots(services, backend)?,
    };
    entries.sort_by(|a, b| order(a, b, &page.sort));
    let start = match params.get("marker") {
        None => 0,
        Some(text) => marker(&entries, kind, text)?,
    };
    let rest = entries.iter().skip(start).skip(page.offset);
    let shown: Vec<Value> = rest.take(page.limit).map(|one| one.show(form)).collect();
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

/// Whether the catalogue has each of these ids.
fn managed<R: Record<Id = Uuid>>(services: &Services, ids: &[Uuid]) -> Result<Vec<bool>, Fault> {
    services.catalogue().read(|reader| {
        let known = |id: &Uuid| Ok::<_, Fault>(reader.get::<R>(id)?.is_some());
        ids.iter().map(known).collect()
    })
}

fn volumes(services: &Services, backend: &Backend) -> Result<Vec<Entry>, Fault> {
    let found = backend.store().volumes();
    let ids: Vec<Uuid> = found.iter().map(|volume| volume.id.0).collect();
    let known = managed::<Volume>(services, &ids)?;
    let entry = |(volume, is_managed): (store::VolumeInfo, bool)| Entry {
        id: volume.id.0,
        kind: Kind::Volume,
        size_bytes: volume.size_bytes,
        source: None,
        is_managed,
    };
    Ok(found.into_iter().zip(known).map(entry).collect())
}

fn snapshots(services: &Services, backend: &Backend) -> Result<Vec<Entry>, Fault> {
    let found = backend.store().snapshots();
    let ids: Vec<Uuid> = found.iter().map(|snapshot| snapshot.id.0).collect();
    let known = managed::<Snapshot>(services, &ids)?;
    let entry = |(snapshot, is_managed): (store::SnapshotInfo, bool)| Entry {
        id: snapshot.id.0,
        kind: Kind::Snapshot,
        size_bytes: snapshot.size_bytes,
        source: Some(snapshot.volume.0),
        is_managed,
    };
    Ok(found.into_iter().zip(known).map(entry).collect())
}
