//! `/v3/projects/{id}/tags`: labels of projects, and lists by them.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::{StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::{find_managed, find_readable};
use super::records::Project;
use super::resource::{Attributes, Reply, no_content, ok, wrong_type};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::Writer;
use crate::cinder::repr;
use crate::fault::Fault;
use crate::openapi::shape::{Shape, field, list, object, text, text_of, wrapped};
use crate::openapi::{Operation, Routes};
use crate::page::Params;
use crate::server::Services;

/// Most labels of a project.
pub(super) const TAGS_MAX: usize = 80;
/// Longest label.
pub(super) const TAG_MAX: usize = 255;

const ALL: &str = "/v3/projects/{project_id}/tags";
const ONE: &str = "/v3/projects/{project_id}/tags/{value}";

/// The routes of labels.
pub(super) fn routes() -> Routes {
    let answer = || {
        object([
            field("tags", list(text())),
            field("links", wrapped("self", text())),
        ])
    };
    let body = || wrapped("tags", list(text_of(1, TAG_MAX)));
    Routes::new()
        .on(
            Operation::get(ALL, "List the tags of a project.")
                .answers(200, answer as fn() -> Shape),
            index,
        )
        .on(
            Operation::put(ALL, "Replace the tags of a project.")
                .body(body as fn() -> Shape)
                .answers(200, answer as fn() -> Shape),
            replace,
        )
        .on(
            Operation::delete(ALL, "Take all tags off a project.").empty(204),
            clear,
        )
        .on(
            Operation::get(ONE, "Ask whether a project has a tag.").empty(204),
            check,
        )
        .on(
            Operation::put(ONE, "Put a tag on a project.").empty(201),
            add,
        )
        .on(
            Operation::delete(ONE, "Take a tag off a project.").empty(204),
            remove,
        )
}

/// The labels in a body, if there are any.
pub(super) fn of(attributes: &Attributes) -> Result<Option<Vec<String>>, Fault> {
    let items = attributes.list("tags", TAGS_MAX)?;
    items.map(checked).transpose()
}

fn checked(items: &[Value]) -> Result<Vec<String>, Fault> {
    let mut tags: Vec<String> = Vec::new();
    for item in items {
        let tag = tag_of(item, tags.len())?;
        if tags.iter().any(|known| known == tag) {
            let whole = repr(&json!(items));
            let reason = format!("{whole} has non-unique elements");
            return Err(texts::invalid("tags", &whole, &reason));
        }
        tags.push(tag.to_owned());
    }
    Ok(tags)
}

/// The label at a place of a list.
fn tag_of(item: &Value, at: usize) -> Result<&str, Fault> {
    let at = at.to_string();
    let Some(tag) = item.as_str() else {
        return Err(wrong_type(&at, item, "'string'"));
    };
    let length = tag.chars().count();
    let reason = if length == 0 {
        "'' should be non-empty".to_owned()
    } else if length > TAG_MAX {
        format!("'{tag}' is too long")
    } else if tag.contains([',', '/']) {
        format!("'{tag}' does not match '^[^,/]*$'")
    } else {
        return Ok(tag);
    };
    Err(texts::invalid(&at, tag, &reason))
}

/// Whether a list with these parameters has something with these labels.
pub(super) fn are_listed(params: &Params, tags: &[String]) -> bool {
    let has = |tag: &str| tags.iter().any(|own| own == tag);
    params.iter().all(|(key, wanted)| {
        let mut wanted = wanted.split(',');
        match key {
            "tags" => wanted.all(has),
            "tags-any" => wanted.any(has),
            "not-tags" => !wanted.all(has),
            "not-tags-any" => !wanted.any(has),
            _ => true,
        }
    })
}

/// The path of a label.
#[derive(Deserialize)]
struct TagPath {
    project_id: String,
    value: String,
}

impl TagPath {
    fn missing(&self) -> Fault {
        texts::not_found("project tag", &self.value)
    }
}

fn answer(services: &Services, tags: &[String]) -> Reply {
    // The link is as the real service has it.
    let own = format!("{}/v3", services.config().identity_base());
    ok(json!({"tags": tags, "links": {"self": own}}))
}

/// Changes the labels of a project that the caller manages.
async fn change<T: Send + 'static>(
    services: &Services,
    caller: Caller,
    id: String,
    rule: &'static str,
    change: impl FnOnce(&mut Vec<String>) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let work = move |writer: &Writer| {
        let project = find_managed::<Project>(writer, &caller, &id, "update");
        let mut project = project.map_err(|fault| texts::under(fault, rule))?;
        let done = change(&mut project.tags)?;
        writer.put(&project)?;
        Ok(done)
    };
    services
        .blocking(move |services| services.catalogue().write(work))
        .await
}

async fn shown(
    services: &Services,
    caller: Caller,
    id: String,
    rule: &'static str,
) -> Result<Vec<String>, Fault> {
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let project = find_readable::<Project>(reader, &caller, &id);
                let project = project.map_err(|fault| texts::under(fault, rule))?;
                Ok(project.tags)
            })
        })
        .await
}

async fn index(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    let tags = shown(&services, caller, id, "identity:list_project_tags").await?;
    answer(&services, &tags)
}

async fn replace(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = Attributes::whole(body)?;
    let tags = of(&attributes)?.ok_or_else(|| texts::expecting("tags", "request body"))?;
    let rule = "identity:update_project_tags";
    let tags = change(&services, caller, id, rule, |own| {
        own.clone_from(&tags);
        Ok(tags)
    });
    answer(&services, &tags.await?)
}

async fn clear(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    let rule = "identity:delete_project_tags";
    change(&services, caller, id, rule, |own| {
        own.clear();
        Ok(())
    })
    .await?;
    no_content()
}

async fn check(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<TagPath>,
) -> Reply {
    let rule = "identity:get_project_tag";
    let tags = shown(&services, caller, path.project_id.clone(), rule).await?;
    match tags.contains(&path.value) {
        true => no_content(),
        false => Err(path.missing().into()),
    }
}

async fn add(State(services): State<Services>, caller: Caller, Path(path): Path<TagPath>) -> Reply {
    let base = services.config().identity_base();
    let (id, value) = (path.project_id, path.value);
    // A tag may be any text; a header may not.
    let place = utf8_percent_encode(&value, NON_ALPHANUMERIC);
    let place = format!("{base}/v3/projects/{id}/tags/{place}");
    let rule = "identity:create_project_tag";
    change(&services, caller, id, rule, move |own| {
        if !own.contains(&value) {
            own.push(value);
        }
        let all: Vec<Value> = own.iter().map(|tag| json!(tag)).collect();
        checked(&all)?;
        match own.len() > TAGS_MAX {
            true => {
                let whole = repr(&json!(own));
                Err(texts::invalid(
                    "tags",
                    &whole,
                    &format!("{whole} is too long"),
                ))
            }
            false => Ok(()),
        }
    })
    .await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)]).into_response())
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<TagPath>,
) -> Reply {
    let rule = "identity:delete_project_tag";
    change(
        &services,
        caller,
        path.project_id.clone(),
        rule,
        move |own| {
            let before = own.len();
            own.retain(|tag| *tag != path.value);
            match own.len() < before {
                true => Ok(()),
                false => Err(path.missing()),
            }
        },
    )
    .await?;
    no_content()
}
