//! `GET /v2/images`: filters, order and pages.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};
use uuid::Uuid;

use super::filter::Filters;
use super::records::{BY_CREATED, Image, Member, MemberStatus, Visibility, find_visible};
use super::{body, rights, view};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View};
use crate::fault::{Fault, ImageFault};
use crate::page::{Direction, Params};
use crate::server::Services;

/// Images of a page when the request names no number.
const LIMIT_DEFAULT: usize = 25;
/// Most images of a page.
const LIMIT_MAX: usize = 1000;

const SORT_KEYS: [&str; 8] = [
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
];

/// Whose memberships count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    All,
    Only(MemberStatus),
}

/// A list as asked for.
struct Listing {
    limit: usize,
    marker: Option<String>,
    sort: Vec<(&'static str, Direction)>,
    taken: Taken,
    filters: Filters,
}

impl Listing {
    fn parse(params: &Params) -> Result<Self, Fault> {
        Ok(Self {
            limit: limit(params)?,
            marker: params.get("marker").map(str::to_owned),
            sort: sort(params)?,
            taken: taken(params)?,
            filters: Filters::parse(params)?,
        })
    }
}

/// The number of items asked for.
pub(super) fn limit(params: &Params) -> Result<usize, Fault> {
    let Some(text) = params.get("limit") else {
        return Ok(LIMIT_DEFAULT);
    };
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| Fault::bad_request("limit param must be an integer"))?;
    let number = usize::try_from(number);
    let number = number.map_err(|_| Fault::bad_request("limit param must be positive"))?;
    Ok(number.min(LIMIT_MAX))
}

fn taken(params: &Params) -> Result<Taken, Fault> {
    match params.get("member_status") {
        None => Ok(Taken::Only(MemberStatus::Accepted)),
        Some("all") => Ok(Taken::All),
        Some(word) => match MemberStatus::parse(word) {
            Some(status) => Ok(Taken::Only(status)),
            None => Err(Fault::bad_request(format!("Invalid status: {word}"))),
        },
    }
}

fn sort_key(text: &str) -> Result<&'static str, Fault> {
    let known = SORT_KEYS.into_iter().find(|key| *key == text.trim());
    known.ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid sort key: {}. It must be one of the following: {}.",
            text.trim(),
            SORT_KEYS.join(", ")
        ))
    })
}

fn sort_dir(text: &str) -> Result<Direction, Fault> {
    match text.trim() {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        other => Err(Fault::bad_request(format!(
            "Invalid sort direction: {other}"
        ))),
    }
}

/// `sort=key:dir,...`, or keys and directions one by one.
fn sort(params: &Params) -> Result<Vec<(&'static str, Direction)>, Fault> {
    let mut sort = Vec::new();
    if let Some(text) = params.get("sort") {
        if params.has("sort_key") || params.has("sort_dir") {
            let message = "Old and new sorting syntax cannot be combined";
            return Err(Fault::bad_request(message));
        }
        for part in text.trim().split(',') {
            let (key, dir) = part.split_once(':').unwrap_or((part, ""));
            let dir = if dir.is_empty() { "desc" } else { dir };
            sort.push((sort_key(key)?, sort_dir(dir)?));
        }
    } else {
        let of = |name: &'static str| {
            let pairs = params.iter().filter(move |(key, _)| *key == name);
            pairs.map(|(_, value)| value.to_owned())
        };
        let keys = of("sort_key").map(|key| sort_key(&key));
        let mut keys: Vec<&str> = keys.collect::<Result<_, _>>()?;
        let dirs = of("sort_dir").map(|dir| sort_dir(&dir));
        let dirs: Vec<Direction> = dirs.collect::<Result<_, _>>()?;
        if dirs.len() > 1 && dirs.len() != keys.len() {
            let message = "Number of sort dirs does not match the number of sort keys";
            return Err(Fault::bad_request(message));
        }
        if keys.is_empty() {
            keys.push("created_at");
        }
        let only = dirs.first().copied().unwrap_or(Direction::Descending);
        for (at, key) in keys.into_iter().enumerate() {
            sort.push((key, dirs.get(at).copied().unwrap_or(only)));
        }
    }
    complete(&mut sort);
    Ok(sort)
}

/// Adds what makes the order one of all images.
fn complete(sort: &mut Vec<(&'static str, Direction)>) {
    let last = match sort.as_slice() {
        [(_, only)] => *only,
        _ => Direction::Descending,
    };
    for key in ["created_at", "id"] {
        if !sort.iter().any(|(known, _)| *known == key) {
            sort.push((key, last));
        }
    }
}

fn compare(a: &Image, b: &Image, sort: &[(&str, Direction)]) -> Ordering {
    let by = |key: &str| match key {
        "name" => a.name.cmp(&b.name),
        "status" => a.status.word().cmp(b.status.word()),
        "container_format" => a.container_format.cmp(&b.container_format),
        "disk_format" => a.disk_format.cmp(&b.disk_format),
        "size" => a.size_bytes.cmp(&b.size_bytes),
        "created_at" => a.created_us.cmp(&b.created_us),
        "updated_at" => a.updated_us.cmp(&b.updated_us),
        _ => a.id.cmp(&b.id),
    };
    let orders = sort.iter();
    let mut orders = orders.map(|(key, direction)| direction.apply(by(key)));
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The images that the caller's project has been made a member of, as far as asked for.
fn shared_with(view: &impl View, caller: &Caller, taken: Taken) -> Result<HashSet<Uuid>, Fault> {
    let mut found = HashSet::new();
    let Some(project) = caller.project_id() else {
        return Ok(found);
    };
    view.walk::<Member>(&Query::all(), |member| {
        let counts = match taken {
            Taken::All => true,
            Taken::Only(status) => member.status == status,
        };
        if counts && member.project == project {
            found.insert(member.image);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Whether an image is in the caller's list, whatever else is asked for.
fn is_listed(
    image: &Image,
    caller: &Caller,
    shared: &HashSet<Uuid>,
    asked: Option<Visibility>,
    all: bool,
) -> bool {
    let own = caller.project_id().is_some() && image.owner.as_deref() == caller.project_id();
    let seen = own
        || caller.is_identity_admin()
        || matches!(image.visibility, Visibility::Public | Visibility::Community)
        || (image.visibility == Visibility::Shared && shared.contains(&image.id));
    let wanted = match asked {
        Some(visibility) => image.visibility == visibility,
        // What a community offers is looked for by name.
        None => all || own || image.visibility != Visibility::Community,
    };
    seen && wanted
}

fn page(view: &impl View, caller: &Caller, listing: &Listing) -> Result<Vec<Image>, Fault> {
    let marker = match &listing.marker {
        None => None,
        Some(id) => {
            let found = find_visible(view, caller, id);
            Some(found.map_err(|fault| Fault::bad_request(fault.message()))?)
        }
    };
    let shared = shared_with(view, caller, listing.taken)?;
    let (asked, all) = (listing.filters.visibility(), listing.filters.all_visible());
    let mut found = Vec::new();
    view.walk::<Image>(&Query::by(BY_CREATED, Key::new()), |image| {
        let after = |marker: &Image| compare(marker, &image, &listing.sort).is_lt();
        if is_listed(&image, caller, &shared, asked, all)
            && listing.filters.admit(&image)
            && marker.as_ref().is_none_or(after)
        {
            found.push(image);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    found.sort_by(|a, b| compare(a, b, &listing.sort));
    found.truncate(listing.limit);
    Ok(found)
}

/// `GET /v2/images`.
pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, ImageFault> {
    let params = body::params(&uri)?;
    let listing = Listing::parse(&params)?;
    rights::check_list(&caller)?;
    let limit = listing.limit;
    let images = services
        .blocking(move |services| {
            services
                .catalogue()
                .read(|reader| page(reader, &caller, &listing))
        })
        .await?;
    let shown: Vec<Value> = images.iter().map(view::show).collect();
    let mut body = json!({
        "images": shown,
        "first": link("/v2/images", &params, None),
        "schema": "/v2/schemas/images",
    });
    if let Some(last) = images.last().filter(|_| images.len() == limit) {
        body["next"] = json!(link("/v2/images", &params, Some(&last.id.to_string())));
    }
    Ok(Json(body))
}

/// A path with the parameters of a request, from behind a marker or from the start.
pub(super) fn link(path: &str, params: &Params, marker: Option<&str>) -> String {
    let kept = params.iter().filter(|(key, _)| *key != "marker");
    let pairs = kept.chain(marker.map(|marker| ("marker", marker)));
    let pairs: Vec<String> = pairs
        .map(|(key, value)| {
            let encode = crate::page::encode;
            format!("{}={}", encode(key), encode(value))
        })
        .collect();
    match pairs.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", pairs.join("&")),
    }
}
