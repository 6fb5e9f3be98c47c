//! `/volumes/{id}/metadata` and `/snapshots/{id}/metadata`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::records::{Snapshot, Volume};
use super::{snapshots, validate, volumes};
use crate::auth::{Caller, Policy};
use crate::body::JsonBody;
use crate::catalogue::{Record, Writer};
use crate::fault::Fault;
use crate::server::Services;

type Pairs = BTreeMap<String, String>;

/// A record with user metadata.
trait Tagged: Record + Send + 'static {
    /// What policy rules call it.
    const KIND: &'static str;

    fn look_up(writer: &Writer, caller: &Caller, id: &str) -> Result<Self, Fault>;
    fn project(&self) -> &str;
    fn pairs(&mut self) -> &mut Pairs;
    fn touch(&mut self, now_us: u64);
}

impl Tagged for Volume {
    const KIND: &'static str = "volume";

    fn look_up(writer: &Writer, caller: &Caller, id: &str) -> Result<Self, Fault> {
        volumes::find(writer, caller, id)
    }

    fn project(&self) -> &str {
        &self.project_id
    }

    fn pairs(&mut self) -> &mut Pairs {
        &mut self.metadata
    }

    fn touch(&mut self, now_us: u64) {
        self.updated_us = Some(now_us);
    }
}

impl Tagged for Snapshot {
    const KIND: &'static str = "snapshot";

    fn look_up(writer: &Writer, caller: &Caller, id: &str) -> Result<Self, Fault> {
        snapshots::find(writer, caller, id)
    }

    fn project(&self) -> &str {
        &self.project_id
    }

    fn pairs(&mut self) -> &mut Pairs {
        &mut self.metadata
    }

    fn touch(&mut self, now_us: u64) {
        self.updated_us = Some(now_us);
    }
}

pub(super) fn routes() -> Router<Services> {
    routes_of::<Volume>("/volumes/{id}").merge(routes_of::<Snapshot>("/snapshots/{id}"))
}

fn routes_of<T: Tagged>(object: &str) -> Router<Services> {
    let all = get(index::<T>).post(merge::<T>).put(replace::<T>);
    let one = get(show::<T>).put(set::<T>).delete(remove::<T>);
    Router::new()
        .route(&format!("{object}/metadata"), all)
        .route(&format!("{object}/metadata/{{key}}"), one)
}

/// What a call does to the pairs.
type Change = Box<dyn FnOnce(&mut Pairs) -> Result<(), Fault> + Send>;

/// Changes the pairs of an object, and answers with all of them.
async fn change<T: Tagged>(
    services: Services,
    caller: Caller,
    id: String,
    verb: &'static str,
    change: Option<Change>,
) -> Result<Pairs, Fault> {
    let policy = if change.is_some() {
        Policy::Member
    } else {
        Policy::Reader
    };
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut object = T::look_up(writer, &caller, &id)?;
                let rule = format!("volume:{verb}_{}_metadata", T::KIND);
                caller.check(&rule, policy, object.project())?;
                if let Some(change) = change {
                    change(object.pairs())?;
                    object.touch(services.now_us());
                    writer.put(&object)?;
                }
                Ok(std::mem::take(object.pairs()))
            })
        })
        .await
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
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let pairs = change::<T>(services, caller, id, "get", None).await?;
    Ok(Json(json!({"metadata": pairs})))
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
    let verb = if T::KIND == "volume" {
        "create"
    } else {
        "update"
    };
    let change_pairs: Change = Box::new(move |pairs| {
        pairs.extend(new);
        Ok(())
    });
    let pairs = change::<T>(services, caller, id, verb, Some(change_pairs)).await?;
    Ok(Json(json!({"metadata": pairs})))
}

async fn replace<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let new = given(&body, "metadata")?;
    let change_pairs: Change = Box::new(move |pairs| {
        *pairs = new;
        Ok(())
    });
    let pairs = change::<T>(services, caller, id, "update", Some(change_pairs)).await?;
    Ok(Json(json!({"metadata": pairs})))
}

async fn show<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let mut pairs = change::<T>(services, caller, id.clone(), "get", None).await?;
    let value = pairs
        .remove(&key)
        .ok_or_else(|| no_key(T::KIND, &id, &key))?;
    Ok(Json(json!({"meta": {key: value}})))
}

async fn set<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
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
    change::<T>(services, caller, id, "update", Some(change_pairs)).await?;
    Ok(Json(answer))
}

async fn remove<T: Tagged>(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let missing = no_key(T::KIND, &id, &key);
    let change_pairs: Change = Box::new(move |pairs| pairs.remove(&key).map(drop).ok_or(missing));
    change::<T>(services, caller, id, "delete", Some(change_pairs)).await?;
    Ok(StatusCode::OK)
}
