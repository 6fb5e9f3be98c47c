//! `/messages`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::Message;
use crate::auth::Caller;
use crate::catalogue::View;
use crate::cinder::filter::{Listed, Listing};
use crate::cinder::operations::messages as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// The microversion these calls came with.
const SINCE: u16 = 3;
/// The microversion since which lists have filters, an order and pages.
const PAGES_SINCE: u16 = 5;

/// The routes.
pub(in crate::cinder) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::SHOW, show)
        .on(ops::DELETE, remove)
}

impl Listed for Message {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "created_at",
        "project_id",
        "request_id",
        "resource_type",
        "resource_uuid",
        "event_id",
        "message_level",
        "expires_at",
    ];
    const FILTERS: &'static [&'static str] = &[
        "resource_uuid",
        "resource_type",
        "event_id",
        "request_id",
        "message_level",
    ];
    const COUNTED: bool = false;

    fn column(&self, key: &str) -> Option<Option<String>> {
        Some(match key {
            "id" => Some(self.id.to_string()),
            "created_at" => Some(volume_time(self.created_us)),
            "expires_at" => Some(volume_time(self.expires_us)),
            "project_id" => Some(self.project_id.clone()),
            "request_id" => self.request_id.clone(),
            "resource_type" => Some(self.resource_type.clone()),
            "resource_uuid" => Some(self.resource_uuid.clone()),
            "event_id" => Some(self.event_id()),
            "action_id" => Some(self.action_id.clone()),
            "detail_id" => Some(self.detail_id.clone()),
            "message_level" => Some(self.level.clone()),
            _ => return None,
        })
    }

    fn id_text(&self) -> String {
        self.id.to_string()
    }

    fn project(&self) -> &str {
        &self.project_id
    }

    fn created_us(&self) -> u64 {
        self.created_us
    }
}

fn no_message(id: &str) -> Fault {
    Fault::not_found(format!("Message {id} could not be found."))
}

/// The message if the caller may see it and its time is not over, or 404.
fn find(view: &impl View, caller: &Caller, id: &str, now_us: u64) -> Result<Message, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_message(id))?;
    let found = view.get::<Message>(&parsed)?;
    found
        .filter(|message| caller.sees(&message.project_id) && message.expires_us > now_us)
        .ok_or_else(|| no_message(id))
}

fn view(services: &Services, url: &UrlProject, message: &Message) -> Value {
    let (base, bookmark) = (url.base(services), url.bookmark_base(services));
    let id = message.id;
    json!({
        "id": id,
        "event_id": message.event_id(),
        "user_message": message.text(),
        "message_level": message.level,
        "created_at": volume_time(message.created_us),
        "guaranteed_until": volume_time(message.expires_us),
        "request_id": message.request_id,
        "resource_type": message.resource_type,
        "resource_uuid": message.resource_uuid,
        "links": [
            {"rel": "self", "href": format!("{base}/messages/{id}")},
            {"rel": "bookmark", "href": format!("{bookmark}/messages/{id}")},
        ],
    })
}

async fn index(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::MessageGetAll)?;
    let params = match version.has(PAGES_SINCE) {
        true => params,
        false => Params::default(),
    };
    let listing = Listing::parse::<Message>(&params, &caller, version, services.config())?;
    services
        .blocking(move |services| {
            // To an admin the real service shows the messages of all projects.
            let listing = listing.of_all_projects(caller.is_admin);
            let now_us = services.now_us();
            let mut found = services
                .catalogue()
                .read(|reader| listing.run::<Message>(reader, &caller, no_message))?;
            found.items.retain(|message| message.expires_us > now_us);
            let href = format!("{}/messages", url.base(services));
            let shape = |message: Message| Ok::<_, Fault>(view(services, &url, &message));
            Ok(Json(
                listing.body(&params, "messages", &href, found, shape)?,
            ))
        })
        .await
}

async fn show(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            let catalogue = services.catalogue();
            let found = catalogue.read(|reader| find(reader, &caller, &id, now_us))?;
            caller.check(Rule::MessageGet, &found)?;
            Ok(Json(json!({"message": view(services, &url, &found)})))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    version.require(SINCE)?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let found = find(writer, &caller, &id, now_us)?;
                caller.check(Rule::MessageDelete, &found)?;
                writer.delete::<Message>(&found.id)?;
                Ok::<_, Fault>(())
            })?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
