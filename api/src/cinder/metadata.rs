//! `/volumes/{id}/metadata` and `/snapshots/{id}/metadata`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::records::{Object, Snapshot, Volume};
use super::{snapshots, validate, volumes};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::View;
use crate::cinder::operations::{snapshots as of_snapshot, volumes as of_volume};
use crate::fault::{Fault, FaultKind};
use crate::microversion::Microversion;
use crate::openapi::{Operation, Routes};
use crate::policy::Rule;
use crate::server::{HTML, Services};

type Pairs = BTreeMap<String, String>;

/// The rules of the calls of one kind of object.
struct MetadataRules {
    get: Rule,
    create: Rule,
    update: Rule,
    delete: Rule,
}

/// An object whose metadata has calls of its own.
trait Tagged: Object + Send + 'static {
    const RULES: MetadataRules;

    fn look_up(view: &impl View, caller: &Caller, id: &str) -> Result<Self, Fault>;
}

impl Tagged for Volume {
    const RULES: MetadataRules = MetadataRules {
        get: Rule::VolumeGetVolumeMetadata,
        create: Rule::VolumeCreateVolumeMetadata,
        update: Rule::VolumeUpdateVolumeMetadata,
        delete: Rule::VolumeDeleteVolumeMetadata,
    };

    fn look_up(view: &impl View, caller: &Caller, id: &str) -> Result<Self, Fault> {
        volumes::find(view, caller, id)
    }
}

impl Tagged for Snapshot {
    const RULES: MetadataRules = MetadataRules {
        get: Rule::VolumeGetSnapshotMetadata,
        create: Rule::VolumeUpdateSnapshotMetadata,
        update: Rule::VolumeUpdateSnapshotMetadata,
        delete: Rule::VolumeDeleteSnapshotMetadata,
    };

    fn look_up(view: &impl View, caller: &Caller, id: &str) -> Result<Self, Fault> {
        snapshots::find(view, caller, id)
    }
}

pub(super) fn routes() -> Routes {
    let of_volumes = [
        of_volume::METADATA,
        of_volume::MERGE,
        of_volume::REPLACE,
        of_volume::META,
        of_volume::SET_META,
        of_volume::REMOVE_META,
    ];
    let of_snapshots = [
        of_snapshot::METADATA,
        of_snapshot::MERGE,
        of_snapshot::REPLACE,
        of_snapshot::META,
        of_snapshot::SET_META,
        of_snapshot::REMOVE_META,
    ];
    routes_of::<Volume>(of_volumes).merge(routes_of::<Snapshot>(of_snapshots))
}

fn routes_of<T: Tagged>(operations: [Operation; 6]) -> Routes {
    let [all, more, other, one, new, gone] = operations;
    Routes::new()
        .on(all, index::<T>)
        .on(more, merge::<T>)
        .on(other, replace::<T>)
        .on(one, show::<T>)
        .on(new, set::<T>)
        .on(gone, remove::<T>)
}

/// What a call does to the pairs.
type Change = Box<dyn FnOnce(&mut Pairs) -> Result<(), Fault> + Send>;

/// Changes the pairs of an object, and answers with all of them.
async fn change<T: Tagged>(
    services: Services,
    caller: Caller,
    id: String,
    rule: Rule,
    change: Change,
) -> Result<Pairs, Fault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut object = T::look_up(writer, &caller, &id)?;
                caller.check(rule, object.project())?;
                change(object.pairs())?;
                object.touch(services.now_us());
                writer.put(&object)?;
                Ok(std::mem::take(object.pairs()))
            })
        })
        .await
}

/// The pairs of an object.
async fn read<T: Tagged>(services: &Services, caller: Caller, id: String) -> Result<Pairs, Fault> {
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let mut object = T::look_up(reader, &caller, &id)?;
                caller.check(T::RULES.get, object.project())?;
                Ok(std::mem::take(object.pairs()))
            })
        })
        .await
}

/// A text that changes with the pairs; callers take it as it is.
fn etag(pairs: &Pairs) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        hasher.update(text.as_bytes());
        // No text of metadata holds a byte of this value: it is not UTF-8.
        hasher.update(&[0xff]);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The microversion that entity tags came with; volumes alone have them.
fn has_etag<T: Tagged>(version: Microversion) -> bool {
    T::KIND == "volume" && version.has(15)
}

/// Makes a change only of the pairs that the caller knows (412).
fn guarded<T: Tagged>(version: Microversion, headers: &HeaderMap, change: Change) -> Change {
    let wanted = headers
        .get(header::IF_MATCH)
        .filter(|_| has_etag::<T>(version));
    let Some(wanted) = wanted.map(|value| value.as_bytes().to_vec()) else {
        return change;
    };
    Box::new(move |pairs| {
        let own = etag(pairs);
        let listed = wanted.split(|byte| *byte == b',').map(|one| {
            let text = String::from_utf8_lossy(one);
            text.trim().trim_matches('"').to_owned()
        });
        if listed.into_iter().any(|one| one == own || one == "*") {
            change(pairs)
        } else {
            Err(Fault::new(FaultKind::PreconditionFailed, "If-Match"))
        }
    })
}

fn no_key(kind: &str, id: &str, key: &str) -> Fault {
    let kind = if kind == "volume" {
        "Volume"
    } else {
        "Snapshot"
    };
    Fault::not_found(format!("{kind} {id} has no metadata with key {key}."))
}

async fn index<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<(HeaderMap, Json<Value>), Fault> {
    let pairs = read::<T>(&services, caller, id).await?;
    let mut headers = HeaderMap::new();
    if has_etag::<T>(version) {
        let value = format!("\"{}\"", etag(&pairs)).parse();
        headers.insert(header::ETAG, value.map_err(Fault::internal)?);
        // Where the real service adds the tag it forgets the type.
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    }
    Ok((headers, Json(json!({"metadata": pairs}))))
}

fn given(body: &Value, key: &str) -> Result<Pairs, Fault> {
    let missing = || Fault::bad_request(format!("'{key}' is a required property"));
    let map: &Map<String, Value> = body.as_object().ok_or_else(missing)?;
    if !map.contains_key(key) {
        return Err(missing());
    }
    validate::metadata(map, key)?
        .ok_or_else(|| validate::invalid(key, &Value::Null, "None is not of type 'object'"))
}

async fn merge<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let new = given(&body, "metadata")?;
    let change_pairs: Change = Box::new(move |pairs| {
        pairs.extend(new);
        Ok(())
    });
    let pairs = change::<T>(services, caller, id, T::RULES.create, change_pairs).await?;
    Ok(Json(json!({"metadata": pairs})))
}

async fn replace<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    headers: HeaderMap,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let new = given(&body, "metadata")?;
    let change_pairs: Change = Box::new(move |pairs| {
        *pairs = new;
        Ok(())
    });
    let pairs = change::<T>(
        services,
        caller,
        id,
        T::RULES.update,
        guarded::<T>(version, &headers, change_pairs),
    )
    .await?;
    Ok(Json(json!({"metadata": pairs})))
}

async fn show<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let mut pairs = read::<T>(&services, caller, id.clone()).await?;
    let value = pairs
        .remove(&key)
        .ok_or_else(|| no_key(T::KIND, &id, &key))?;
    Ok(Json(json!({"meta": {key: value}})))
}

async fn set<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    headers: HeaderMap,
    Path((id, key)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let new = given(&body, "meta")?;
    if new.len() > 1 {
        let shown = validate::repr(&body["meta"]);
        let reason = format!("{shown} has too many properties");
        return Err(validate::invalid("meta", &body["meta"], &reason));
    }
    if !new.contains_key(&key) {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    let answer = json!({"meta": new});
    let change_pairs: Change = Box::new(move |pairs| {
        pairs.extend(new);
        Ok(())
    });
    change::<T>(
        services,
        caller,
        id,
        T::RULES.update,
        guarded::<T>(version, &headers, change_pairs),
    )
    .await?;
    Ok(Json(answer))
}

async fn remove<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let missing = no_key(T::KIND, &id, &key);
    let change_pairs: Change = Box::new(move |pairs| pairs.remove(&key).map(drop).ok_or(missing));
    change::<T>(services, caller, id, T::RULES.delete, change_pairs).await?;
    Ok(StatusCode::OK)
}
