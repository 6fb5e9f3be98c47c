//! `PATCH /v2/images/{id}`: changes one after the other, all or none.
//!
//! Two forms are read: `{"op", "path", "value"}`, and the older `{"add": path, "value"}`, which in
//! contrast to the newer one does not replace what it adds.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value, json};

use super::images::{self, is_read_only, is_reserved};
use super::limits::{check_properties, check_tags};
use super::records::{Image, Status, Visibility, find_visible};
use super::{body, checker, rights, schemas, view};
use crate::auth::Caller;
use crate::fault::{Fault, FaultKind, ImageFault};
use crate::server::Services;

const OLDER: &str = "application/openstack-images-v2.0-json-patch";
const NEWER: &str = "application/openstack-images-v2.1-json-patch";
/// Most changes of one request.
const CHANGES_MAX: usize = 1024;

/// What can be done to an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Remove,
    Replace,
}

impl Op {
    const ALL: [Self; 3] = [Self::Add, Self::Remove, Self::Replace];

    fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }
}

/// How changes are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Older,
    Newer,
}

/// One change.
struct Change {
    op: Op,
    name: String,
    /// What follows the name in the path; of locations alone.
    below: Option<String>,
    value: Value,
}

/// `PATCH /v2/images/{id}`.
pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ImageFault> {
    let Some(form) = form_of(request.headers()) else {
        let kinds = format!("{OLDER}, {NEWER}");
        let message = format!("Image PATCH expects Content-Type one of: {kinds}");
        let fault = ImageFault(Fault::new(FaultKind::BadMediaType, message));
        let accepts = [(HeaderName::from_static("accept-patch"), kinds)];
        let mut response = fault.into_response();
        for (name, kinds) in accepts {
            if let Ok(value) = kinds.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        return Ok(response);
    };
    let changes = parse(&body::json(request).await?, form)?;
    let image = services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut image = find_visible(writer, &caller, &id)?;
                if changes.is_empty() {
                    return Ok(image);
                }
                for change in &changes {
                    apply(&mut image, &caller, change, form)?;
                }
                check_properties(&image)?;
                check_tags(&image)?;
                image.updated_us = now_us;
                writer.put(&image)?;
                Ok(image)
            })
        })
        .await?;
    Ok(Json(view::show(&image)).into_response())
}

fn form_of(headers: &HeaderMap) -> Option<Form> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match given.split(';').next()?.trim() {
        OLDER => Some(Form::Older),
        NEWER => Some(Form::Newer),
        _ => None,
    }
}

fn parse(body: &Value, form: Form) -> Result<Vec<Change>, Fault> {
    let Value::Array(items) = body else {
        return Err(Fault::bad_request(
            "Request body must be a JSON array of operation objects.",
        ));
    };
    if items.len() > CHANGES_MAX {
        return Err(Fault::bad_request("Too many operations."));
    }
    let parse = |item: &Value| match item {
        Value::Object(map) => change(map, form),
        _ => Err(Fault::bad_request("Operations must be JSON objects.")),
    };
    items.iter().map(parse).collect()
}

fn change(map: &Map<String, Value>, form: Form) -> Result<Change, Fault> {
    let (op, pointer) = match form {
        Form::Newer => newer(map)?,
        Form::Older => older(map)?,
    };
    let Value::String(pointer) = pointer else {
        return Err(Fault::bad_request("A path must be a string."));
    };
    let path = decode(pointer)?;
    let (name, below) = match path.as_slice() {
        [name] if name != "locations" || op == Op::Replace => (name.clone(), None),
        [name, below] if name == "locations" && op != Op::Replace => {
            (name.clone(), Some(below.clone()))
        }
        _ => {
            return Err(Fault::bad_request(format!(
                "Invalid JSON pointer for this resource: '/{}'",
                path.join("/")
            )));
        }
    };
    let value = match (op, map.get("value")) {
        (Op::Remove, _) => Value::Null,
        (_, Some(value)) => value.clone(),
        (op, None) => {
            return Err(Fault::bad_request(format!(
                "Operation \"{}\" requires a member named \"value\".",
                op.word()
            )));
        }
    };
    let change = Change {
        op,
        name,
        below,
        value,
    };
    check_change(&change)?;
    Ok(change)
}

fn newer(map: &Map<String, Value>) -> Result<(Op, &Value), Fault> {
    let available = "add, remove, replace";
    let Some(given) = map.get("op").filter(|given| !given.is_null()) else {
        return Err(Fault::bad_request(format!(
            "Unable to find `op` in JSON Schema change. It must be one of the following: \
             {available}."
        )));
    };
    let word = given
        .as_str()
        .map_or_else(|| given.to_string(), str::to_owned);
    let Some(op) = Op::ALL.into_iter().find(|op| op.word() == word) else {
        return Err(Fault::bad_request(format!(
            "Invalid operation: `{word}`. It must be one of the following: {available}."
        )));
    };
    let path = map.get("path");
    let path =
        path.ok_or_else(|| Fault::bad_request("Unable to find 'path' in JSON Schema change"))?;
    Ok((op, path))
}

fn older(map: &Map<String, Value>) -> Result<(Op, &Value), Fault> {
    let mut given = Op::ALL
        .into_iter()
        .filter_map(|op| Some((op, map.get(op.word())?)));
    match (given.next(), given.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Fault::bad_request(
            "Operation objects must contain only one member named \"add\", \"remove\", or \
             \"replace\".",
        )),
        (None, _) => Err(Fault::bad_request(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \
             \"replace\".",
        )),
    }
}

/// The parts of a JSON pointer. They are names, whatever is in them.
fn decode(pointer: &str) -> Result<Vec<String>, Fault> {
    let refuse = |why: &str| Fault::bad_request(format!("Pointer `{pointer}` {why}"));
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(refuse("does not start with \"/\"."));
    };
    if rest.split('/').skip(1).any(|part| part.trim().is_empty()) {
        return Err(refuse(match rest.ends_with('/') {
            true => "end with \"/\".",
            false => "contains adjacent \"/\".",
        }));
    }
    let escapes = rest.split('~').skip(1);
    if escapes
        .into_iter()
        .any(|after| !after.starts_with(['0', '1']))
    {
        return Err(refuse(
            "contains \"~\" not part of a recognized escape sequence.",
        ));
    }
    let part = |part: &str| part.replace("~1", "/").replace("~0", "~").trim().to_owned();
    Ok(rest.split('/').map(part).collect())
}

/// What can be said of a change without knowing the image.
fn check_change(change: &Change) -> Result<(), Fault> {
    let name = change.name.as_str();
    let shown = ["direct_url", "self", "file", "schema", "id", "stores"];
    if is_read_only(name) || shown.contains(&name) {
        return Err(images::read_only(name));
    }
    if name != "locations" && is_reserved(name) {
        return Err(images::reserved(name));
    }
    if change.op == Op::Remove || change.below.is_some() {
        return Ok(());
    }
    if name.is_empty() || name.chars().count() > images::NAME_MAX {
        return Err(Fault::bad_request(
            "Custom property should not be greater than 255 characters.",
        ));
    }
    checker::check(schemas::image(), &json!({ name: change.value }))
}

/// The attributes that every image has.
fn is_own(name: &str) -> bool {
    let own = schemas::image()["properties"].as_object();
    own.is_some_and(|own| own.contains_key(name))
}

fn apply(image: &mut Image, caller: &Caller, change: &Change, form: Form) -> Result<(), Fault> {
    let name = change.name.as_str();
    if name == "locations" {
        rights::check_owner(caller, image, rights::SET_LOCATION)?;
        return Err(no_locations(change));
    }
    if name == "visibility"
        && let Some(wanted) = change.value.as_str().and_then(Visibility::parse)
    {
        rights::check_visibility(caller, wanted)?;
    }
    if name == "owner" && !caller.is_identity_admin() {
        return Err(rights::forbidden("Owner can't be updated by non admin.").into_detail());
    }
    rights::check_owner(caller, image, rights::MODIFY)?;
    let present = is_own(name) || image.properties.contains_key(name);
    let unknown = || Fault::conflict(format!("Property {name} does not exist.")).into_detail();
    match change.op {
        Op::Remove if is_own(name) => {
            Err(rights::forbidden(format!("Property {name} may not be removed.")).into_detail())
        }
        Op::Remove => match image.properties.remove(name) {
            Some(_) => Ok(()),
            None => Err(unknown()),
        },
        Op::Replace if !present => Err(unknown()),
        Op::Add if present && form == Form::Older => {
            let message = format!("Property {name} already present.");
            Err(Fault::conflict(message).into_detail())
        }
        Op::Add | Op::Replace => {
            keeps_format(image, name)?;
            images::set(image, name, &change.value)
        }
    }
}

/// 403 of any change to the places of data, which are not shown.
fn no_locations(change: &Change) -> Fault {
    let word = match change.op {
        Op::Add => "add",
        Op::Remove => "remove",
        Op::Replace if change.value == json!([]) => {
            return rights::forbidden("Cannot set locations to empty list.").into_detail();
        }
        Op::Replace => "update",
    };
    rights::forbidden(format!(
        "It's not allowed to {word} locations if locations are invisible."
    ))
}

/// 403 of another format for data that is there.
fn keeps_format(image: &Image, name: &str) -> Result<(), Fault> {
    let is_format = matches!(name, "disk_format" | "container_format");
    match image.status {
        Status::Queued | Status::Importing => Ok(()),
        _ if is_format => Err(rights::forbidden(format!(
            "Attribute {name} can be only replaced for a queued image."
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};
    use serde_json::json;

    use super::{Form, decode, parse};

    #[test]
    fn pointers_are_names_whatever_is_in_them() {
        assert_eq!(decode("/a~1b~0c").unwrap(), ["a/b~c"]);
        assert_eq!(decode("/../etc").unwrap(), ["..", "etc"]);
        for bad in ["a", "/a//b", "/a/", "/a~2", "/a~"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_forms_are_read() {
        let newer = json!([{"op": "add", "path": "/a", "value": "b"}]);
        let older = json!([{"add": "/a", "value": "b"}]);
        assert_eq!(parse(&newer, Form::Newer).unwrap()[0].name, "a");
        assert_eq!(parse(&older, Form::Older).unwrap()[0].name, "a");
        assert!(parse(&newer, Form::Older).is_err());
        assert!(parse(&older, Form::Newer).is_err());
        let twice = json!([{"add": "/a", "remove": "/a", "value": "b"}]);
        assert!(parse(&twice, Form::Older).is_err());
    }

    proptest! {
        #[test]
        fn any_pointer_is_read_or_refused(pointer in ".{0,40}") {
            if let Ok(parts) = decode(&pointer) {
                prop_assert!(!parts.is_empty());
            }
        }
    }
}
