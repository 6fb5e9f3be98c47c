//! What the operations of a service share: faults, headers and the microversion.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::operation::{Operation, Verb};
use super::shape::{Shape, any_of, field, int, maybe, object, text, wrapped};
use crate::fault::FaultKind;
use crate::keystone::{self, legacy_fault_name};
use crate::server::NOT_IN_V2;

/// A service's manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `/identity/v3`, and its root.
    Identity,
    /// `/identity/v2.0`, with faults of its own.
    LegacyIdentity,
    /// `/image`.
    Image,
    /// `/volume`, and the root.
    BlockStorage,
    /// `/cinderblock/v1`, with the faults of Block Storage.
    Native,
}

impl Family {
    pub(super) const ALL: [Self; 5] = [
        Self::BlockStorage,
        Self::Identity,
        Self::LegacyIdentity,
        Self::Image,
        Self::Native,
    ];

    /// As part of names.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::LegacyIdentity => "identity2",
            Self::Image => "image",
            Self::BlockStorage => "volume",
            Self::Native => "cinderblock",
        }
    }

    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::LegacyIdentity => "Identity 2.0",
            Self::Image => "Image",
            Self::BlockStorage => "Block Storage",
            Self::Native => "cinderblock",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Identity => "Identity v3: tokens, projects, users, roles and the catalogue.",
            Self::LegacyIdentity => {
                "Identity v2.0: tokens and tenants of the domain `default`, in JSON as told here \
                 and, where `Content-Type` and `Accept` say so, in XML of the same parts."
            }
            Self::Image => "Image v2: images, their data, members, tags and imports.",
            Self::BlockStorage => "Block Storage v3, and v2 where an operation is older than v3.",
            Self::Native => "What OpenStack has no call for.",
        }
    }
}

/// Whether an operation of Block Storage is there under `/v2` as well.
pub(super) fn is_in_v2(path: &str) -> bool {
    let path = path.trim_start_matches("/v3").trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    !NOT_IN_V2.contains(&first) && !NOT_IN_V2.contains(&path)
}

/// The header that asks for a microversion.
pub(super) fn version_parameter() -> Value {
    json!({
        "name": "OpenStack-API-Version",
        "in": "header",
        "required": false,
        "description": "The microversion to obey; without it, the oldest.",
        "schema": {
            "type": "string",
            "pattern": "^volume (latest|3\\.([0-9]|[1-6][0-9]|7[01]))$",
        },
    })
}

/// Headers of answers.
pub(super) fn headers(family: Family) -> Value {
    let text = json!({"schema": {"type": "string"}});
    match family {
        Family::BlockStorage => json!({
            "x-openstack-request-id": text,
            "OpenStack-API-Version": text,
        }),
        Family::Identity | Family::LegacyIdentity | Family::Image | Family::Native => {
            json!({ "x-openstack-request-id": text })
        }
    }
}

/// The statuses of the faults that operations can have.
pub(super) fn faults(family: Family, operations: &[Operation]) -> Vec<u16> {
    let mut faults: Vec<u16> = vec![400];
    let guarded = operations.iter().any(|operation| !operation.open);
    if guarded {
        faults.extend([401, 403, 404]);
    }
    if family == Family::BlockStorage && guarded {
        faults.push(406);
    }
    let takes_body = operations.iter().any(|operation| operation.body.is_some());
    if takes_body {
        faults.push(413);
        if !matches!(family, Family::Identity | Family::LegacyIdentity) {
            faults.push(415);
        }
    }
    if takes_body && family == Family::Identity {
        faults.push(409);
    }
    for operation in operations {
        faults.extend(operation.faults);
        if operation.verb == Verb::Head {
            // Without a body, and so without a form.
            faults.retain(|status| *status != 413);
        }
    }
    faults.sort_unstable();
    faults.dedup();
    faults
}

/// All faults, by service and status.
pub(super) fn responses() -> Value {
    let mut responses = Map::new();
    for family in Family::ALL {
        for kind in FaultKind::ALL {
            let status = kind.status();
            let name = format!("{}{}", family.word(), status.as_u16());
            let mut response = json!({
                "description": status.canonical_reason().unwrap_or("Fault"),
                "content": {"application/json": {"schema": fault(family, status).0}},
            });
            if family == Family::Image {
                // Told to clients that do not ask for JSON.
                for other in ["text/html", "text/plain"] {
                    response["content"][other] = json!({"schema": text().0});
                }
            }
            responses.insert(name, response);
        }
    }
    // Unmet conditions and unknown paths of Identity are told by pages, not by JSON.
    for family in [Family::BlockStorage, Family::Native] {
        let name = format!("{}412", family.word());
        responses.insert(name, json!({"description": "Precondition Failed"}));
    }
    Value::Object(responses)
}

/// The bodies of a status's faults in Identity v2.0.
fn legacy_fault(status: StatusCode) -> Shape {
    let kinds = FaultKind::ALL.iter();
    let kinds = kinds.filter(|kind| kind.status() == status);
    let mut names: Vec<&str> = kinds.map(|kind| legacy_fault_name(*kind)).collect();
    if status == StatusCode::FORBIDDEN {
        names.push("userDisabled");
    }
    names.dedup();
    keystone::legacy_fault(names, &Shape(json!({"const": status.as_u16()})))
}

/// The bodies of a status's faults.
fn fault(family: Family, status: StatusCode) -> Shape {
    let identity = || {
        let code = Shape(json!({"type": "integer", "const": status.as_u16()}));
        let inner = object([
            field("code", code),
            field("message", text()),
            field("title", text()),
        ]);
        wrapped("error", inner)
    };
    if family == Family::LegacyIdentity {
        return legacy_fault(status);
    }
    if family == Family::Image {
        return object([
            field("code", text()),
            field("message", text()),
            field("title", text()),
        ]);
    }
    if family == Family::Identity || status == StatusCode::UNAUTHORIZED {
        return identity();
    }
    let mut shapes: Vec<Shape> = FaultKind::ALL
        .iter()
        .filter(|kind| kind.status() == status)
        .map(|kind| kind.key())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|key| {
            let detail = object([
                field("code", int()),
                field("message", text()),
                maybe("retryAfter", text()),
            ]);
            wrapped(key, detail)
        })
        .collect();
    if [StatusCode::NOT_FOUND, StatusCode::PAYLOAD_TOO_LARGE].contains(&status) {
        // What the real service's framework says before a request reaches the interface.
        shapes.push(object([
            field("code", text()),
            field("message", text()),
            field("title", text()),
        ]));
    }
    match shapes.len() {
        1 => shapes.remove(0),
        _ => any_of(shapes),
    }
}
