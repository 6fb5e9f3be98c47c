//! Who did what: a record for every request that changes something, and for every one that is
//! refused for want of a token.
//!
//! A record tells who asked for what and how it ended, and holds nothing that somebody sent: no body,
//! no header, no query; of the path the route's pattern and the ids in it, of which tokens are left
//! out. While a request is handled, [`crate::auth`], the route and [`crate::server::Services::event`]
//! note what they find out; the record is made when the answer is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::auth::{Caller, Scope};
use crate::keystone;
use crate::server::request;

/// Most events of a request that its record tells; a request makes one or two.
const EVENTS_MAX: usize = 16;
/// Longest path told where there is no route, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// Takes records; must not block.
pub trait AuditLog: Send + Sync {
    /// Takes one.
    fn record(&self, record: Record);
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user: String,
    /// The scope: `project`, `domain`, `system` or `unscoped`; absent where there is no token yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
    /// The project's or domain's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_id: Option<String>,
    /// Names of the roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The event's kind, such as `volume.created`.
    pub kind: String,
    /// The object's id.
    pub object: String,
}

/// What is told of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// When its handling began, as Identity writes times.
    pub time: String,
    /// Its id, also in the log and the answer.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<String>,
    /// Who asked; absent when nobody is known.
    #[serde(flatten)]
    pub who: Option<Who>,
    /// Its method.
    pub method: String,
    /// The pattern of its path; of a path without one the path itself, without tokens.
    pub route: String,
    /// The ids in its path, by their names in the pattern.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<(String, String)>,
    /// What happened to objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The answer's status.
    pub status: u16,
    /// `success` or `failure`, as the status says.
    pub outcome: &'static str,
    /// How long its handling took.
    pub duration_ms: u64,
}

/// What is found out while a request is handled. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    who: Option<Who>,
    route: Option<String>,
    objects: Vec<(String, String)>,
    changes: Vec<Change>,
}

impl Notes {
    fn change(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn note(change: impl FnOnce(&mut Noted)) {
    if let Some(notes) = request::notes() {
        notes.change(change);
    }
}

/// Notes whose token the present request has.
pub(crate) fn note_caller(caller: &Caller) {
    let (scope, scope_id) = match &caller.scope {
        Scope::Unscoped => ("unscoped", None),
        Scope::Project { id, .. } => ("project", Some(id.clone())),
        Scope::Domain { id } => ("domain", Some(id.clone())),
        Scope::System => ("system", None),
    };
    note(|noted| {
        noted.who = Some(Who {
            user_id: caller.user_id.clone(),
            user: caller.user_name.clone(),
            scope: Some(scope),
            scope_id,
            roles: caller.roles.clone(),
        });
    });
}

/// Notes the user whom the present request wants a token for, known by now, welcome or not.
pub(crate) fn note_user(id: &str, name: &str) {
    note(|noted| {
        noted.who.get_or_insert_with(|| Who {
            user_id: id.to_owned(),
            user: name.to_owned(),
            ..Who::default()
        });
    });
}

/// Notes what the present request did to an object.
pub(crate) fn note_change(kind: &str, object: &str) {
    note(|noted| {
        if noted.changes.len() < EVENTS_MAX {
            noted.changes.push(Change {
                kind: kind.to_owned(),
                object: object.to_owned(),
            });
        }
    });
}

/// Layer of routes: notes the pattern of the path and the ids in it.
pub(crate) async fn note_route(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>();
    let route = route.map(|route| route.as_str().to_owned());
    let mut objects = Vec::new();
    if let Ok(parameters) = RawPathParams::from_request_parts(&mut parts, &()).await {
        let kept = parameters.iter().filter(|(name, _)| !is_secret(name));
        objects = kept
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }
    note(|noted| {
        noted.route = route;
        noted.objects = objects;
    });
    next.run(Request::from_parts(parts, body)).await
}

/// Whether a parameter of a path is a token: version 2.0 of Identity has them there.
fn is_secret(name: &str) -> bool {
    name.contains("token")
}

/// A path as logs may have it: without the tokens that version 2.0 of Identity has in paths, and
/// not longer than any real one.
pub(crate) fn shown_path(path: &str) -> String {
    let mut shown = keystone::without_secrets(path).into_owned();
    shown.truncate(shown.floor_char_boundary(PATH_BYTES_MAX));
    shown
}

/// A request as it came in, for the record of how it ended.
pub(crate) struct Incoming {
    pub(crate) time: String,
    pub(crate) request_id: String,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) method: Method,
    pub(crate) path: String,
}

/// The record of a request, if there is to be one.
pub(crate) fn record(
    incoming: Incoming,
    notes: &Notes,
    status: StatusCode,
    duration_ms: u64,
) -> Option<Record> {
    let noted = std::mem::take(&mut *notes.0.lock().unwrap_or_else(PoisonError::into_inner));
    let asks = matches!(
        incoming.method,
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let changes = !asks && noted.route.is_some();
    if !changes && status != StatusCode::UNAUTHORIZED {
        return None;
    }
    let failed = status.is_client_error() || status.is_server_error();
    Some(Record {
        time: incoming.time,
        request_id: incoming.request_id,
        address: incoming.address.map(|address| address.ip().to_string()),
        who: noted.who,
        method: incoming.method.to_string(),
        route: noted.route.unwrap_or(incoming.path),
        objects: noted.objects,
        changes: noted.changes,
        status: status.as_u16(),
        outcome: if failed { "failure" } else { "success" },
        duration_ms,
    })
}

#[cfg(test)]
mod tests;
