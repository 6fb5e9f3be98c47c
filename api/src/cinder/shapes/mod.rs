//! What the bodies of requests must look like: a table of all operations that take one, and the
//! layer that holds requests to it.
//!
//! A body is looked at before the handler is called, so before rights are asked and objects looked
//! for, as the real service does. What a shape cannot say (sizes against other sizes, words that
//! depend on the configuration) is left to the handlers. Bodies that are missing or no JSON pass:
//! what is said of those differs from operation to operation.

mod format;
mod others;
mod parts;
mod shape;
mod snapshots;
#[cfg(test)]
mod tests;
mod types;
mod volume_actions;
mod volumes;

use axum::body::Body;
use axum::extract::{FromRequest, MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use serde_json::Value;

use self::shape::{Place, Shape};
use crate::body::{self, JsonBody};
use crate::cinder::validate::repr;
use crate::fault::Fault;
use crate::microversion::Microversion;

/// What a body may have besides the one key that it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Besides {
    /// Nothing.
    Nothing,
    /// These keys.
    These(&'static [&'static str]),
    /// Others.
    Others,
    /// Others, and even the key may be missing.
    Anything,
}

/// A method that brings a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Post,
    Put,
}

/// An operation with the shape of its body.
#[derive(Clone, Copy)]
struct Row {
    verb: Verb,
    /// Below the version, with `{}` for each parameter.
    path: &'static str,
    /// The microversion that the operation came with.
    since: u16,
    /// The key under which the shape lies; `None` for a body that is of the shape itself.
    key: Option<&'static str>,
    besides: Besides,
    shape: Shape,
}

impl Row {
    const fn new(verb: Verb, path: &'static str, key: &'static str, shape: Shape) -> Self {
        Self {
            verb,
            path,
            since: 0,
            key: Some(key),
            besides: Besides::Nothing,
            shape,
        }
    }

    /// A creation or action.
    const fn post(path: &'static str, key: &'static str, shape: Shape) -> Self {
        Self::new(Verb::Post, path, key, shape)
    }

    /// A change.
    const fn put(path: &'static str, key: &'static str, shape: Shape) -> Self {
        Self::new(Verb::Put, path, key, shape)
    }

    const fn since(self, minor: u16) -> Self {
        Self {
            since: minor,
            ..self
        }
    }

    const fn besides(self, besides: Besides) -> Self {
        Self { besides, ..self }
    }

    /// A body that may have other keys.
    const fn open(self) -> Self {
        self.besides(Besides::Others)
    }

    /// A body that is of the shape itself.
    const fn bare(self) -> Self {
        Self { key: None, ..self }
    }

    fn is_for(&self, verb: Verb, path: &str, version: Microversion) -> bool {
        self.verb == verb && version.has(self.since) && same_path(self.path, path)
    }

    /// Whether several operations share the path and the body's only key tells them apart.
    fn is_action(&self) -> bool {
        self.path.ends_with("/action")
    }

    fn check(&self, body: &Value, version: Microversion) -> Result<(), Fault> {
        let whole = Place {
            name: None,
            value: body,
            version,
        };
        let Some(key) = self.key else {
            return self.shape.check(whole);
        };
        let Value::Object(map) = body else {
            let reason = format!("{} is not of type 'object'", repr(body));
            return Err(whole.refuse(&reason));
        };
        match map.get(key) {
            Some(value) => self.shape.check(Place {
                name: Some(key),
                value,
                version,
            })?,
            None if self.besides == Besides::Anything => return Ok(()),
            None => return Err(whole.refuse(&format!("'{key}' is a required property"))),
        }
        let allowed = match self.besides {
            Besides::Nothing => &[],
            Besides::These(keys) => keys,
            Besides::Others | Besides::Anything => return Ok(()),
        };
        let unknown = map
            .keys()
            .filter(|one| *one != key && !allowed.contains(&one.as_str()));
        let mut extras: Vec<&String> = unknown.collect();
        extras.sort_unstable();
        let shown: Vec<String> = extras
            .iter()
            .map(|one| repr(&Value::from(one.as_str())))
            .collect();
        shape::closed(&shown, whole)
    }
}

/// Whether a route, with the names of its parameters, is the one a row is for.
fn same_path(row: &str, route: &str) -> bool {
    let (mut ours, mut theirs) = (row.split('/'), route.split('/'));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other => (),
            (Some("{}"), Some(other)) if other.starts_with('{') => (),
            _ => return false,
        }
    }
}

/// The rows for a request, of which actions have several.
fn rows_for(method: &Method, path: &str, version: Microversion) -> Vec<&'static Row> {
    let verb = match *method {
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        _ => return Vec::new(),
    };
    let tables = [
        volumes::ROWS,
        volume_actions::ROWS,
        snapshots::ROWS,
        types::ROWS,
        others::ROWS,
    ];
    let all = tables.into_iter().flatten();
    all.filter(|row| row.is_for(verb, path, version)).collect()
}

/// Refuses a body that has not the shape of its operation's.
fn check(rows: &[&Row], body: &Value, version: Microversion) -> Result<(), Fault> {
    let asked = body.as_object().and_then(|map| match map.len() {
        1 => map.keys().next(),
        _ => None,
    });
    for row in rows {
        if !row.is_action() || (asked.is_some() && asked.map(String::as_str) == row.key) {
            row.check(body, version)?;
        }
    }
    Ok(())
}

/// The path of a route without what is before the version.
fn below_version(path: &str) -> &str {
    let cut = |version: &str| path.split_once(version).map(|(_, rest)| rest);
    cut("/v3").or_else(|| cut("/v2")).unwrap_or(path)
}

/// Layer: looks at the body of a request, and hands it on as it came.
pub(crate) async fn hold(
    version: Microversion,
    request: Request,
    next: Next,
) -> Result<Response, Fault> {
    let route = request.extensions().get::<MatchedPath>();
    let rows = match route {
        Some(route) => rows_for(request.method(), below_version(route.as_str()), version),
        None => Vec::new(),
    };
    if rows.is_empty() {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let bytes = body::read(Request::from_parts(parts.clone(), body)).await?;
    let copy = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    if let Ok(JsonBody(value)) = JsonBody::from_request(copy, &()).await
        && !value.is_null()
    {
        check(&rows, &value, version)?;
    }
    Ok(next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await)
}
