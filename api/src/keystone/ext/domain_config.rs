//! `/v3/domains/{domain_id}/config`: what a domain's users would be taken from.
//!
//! Configurations are kept and shown for the tools that manage them. They change nothing: all users
//! of this Identity are its own. An option that is a secret is kept and never shown.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::domain_options::{self as options, GROUPS};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Record, View, Writer};
use crate::fault::{Fault, FaultKind, IdentityFault};
use crate::keystone::bootstrap::DEFAULT_DOMAIN;
use crate::keystone::calls::find;
use crate::keystone::records::Domain;
use crate::keystone::resource::{Reply, no_content, ok, require_admin, require_reader};
use crate::keystone::texts;
use crate::openapi::shape::{Shape, any, map_of, wrapped};
use crate::openapi::{Operation, Routes};
use crate::server::Services;

/// Largest configuration of a domain, as JSON.
const BYTES_MAX: usize = 16 << 10;
/// A group that is read only: rules for passwords, of which there are none.
const COMPLIANCE: &str = "security_compliance";
const COMPLIANCE_OPTIONS: [&str; 2] = ["password_regex", "password_regex_description"];

/// Options by group.
type Options = BTreeMap<String, BTreeMap<String, Value>>;

/// A domain's configuration.
#[derive(Clone, Serialize, Deserialize)]
struct DomainConfig {
    /// The domain's.
    id: String,
    options: Options,
}

impl Record for DomainConfig {
    const TABLE: &'static str = "domain_configs";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

/// The group and the option that a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    group: Option<String>,
    option: Option<String>,
}

/// The domain and the part that a path names.
struct Place {
    domain_id: String,
    part: Part,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = IdentityFault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, IdentityFault> {
        let names = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let Path(mut names) = names.map_err(|_| Fault::malformed())?;
        Ok(Self {
            domain_id: names.remove("domain_id").unwrap_or_default(),
            part: Part {
                group: names.remove("group"),
                option: names.remove("option"),
            },
        })
    }
}

const WHOLE: &str = "/v3/domains/{domain_id}/config";
const GROUP: &str = "/v3/domains/{domain_id}/config/{group}";
const OPTION: &str = "/v3/domains/{domain_id}/config/{group}/{option}";

const CREATE: Operation = Operation::put(WHOLE, "Set a domain's configuration.")
    .body(body)
    .answers(201, body)
    .faults(&[409]);
const REPLACE: Operation = CREATE.answers(200, body);

const fn show(path: &'static str) -> Operation {
    Operation::get(path, "Show a domain's configuration or a part of it.").answers(200, body)
}

const fn update(path: &'static str) -> Operation {
    Operation::patch(path, "Change a domain's configuration or a part of it.")
        .body(body)
        .answers(200, body)
}

const fn remove(path: &'static str) -> Operation {
    Operation::delete(path, "Delete a domain's configuration or a part of it.").empty(204)
}

const fn default(path: &'static str) -> Operation {
    Operation::get(path, "Show what the options of domains are by default.").answers(200, body)
}

fn body() -> Shape {
    wrapped("config", map_of(any()))
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .on_all(&[CREATE, REPLACE], put)
        .merge(on_part(WHOLE))
        .merge(on_part(GROUP))
        .merge(on_part(OPTION))
        .on(default("/v3/domains/config/default"), presets)
        .on(default("/v3/domains/config/{group}/default"), presets)
        .on(
            default("/v3/domains/config/{group}/{option}/default"),
            presets,
        )
}

/// What can be done with a configuration or a part of it, at its path.
fn on_part(path: &'static str) -> Routes {
    Routes::new()
        .on(show(path), get)
        .on(update(path), patch)
        .on(remove(path), delete)
}

/// Removes the configuration of a domain that goes.
pub(crate) fn remove_of_domain(writer: &Writer, domain_id: &str) -> catalogue::Result<()> {
    writer.delete::<DomainConfig>(domain_id)?;
    Ok(())
}

fn invalid(reason: &str) -> Fault {
    let message = format!("Invalid domain specific configuration: {reason}.");
    Fault::new(FaultKind::Forbidden, message)
}

impl Part {
    fn of(group: &str, option: Option<&str>) -> Self {
        Self {
            group: Some(group.to_owned()),
            option: option.map(str::to_owned),
        }
    }

    /// 403 for a group or option that no configuration has.
    fn check(&self) -> Result<(), Fault> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        if !GROUPS.contains(&group.as_str()) {
            return Err(unsupported_group(group));
        }
        match &self.option {
            Some(option) if !options::has(group, option) => Err(unsupported(group, option)),
            Some(_) | None => Ok(()),
        }
    }

    /// 404 for a part that a domain's configuration has not got.
    fn missing(&self, domain_id: &str) -> Fault {
        let what = match (&self.group, &self.option) {
            (Some(group), Some(option)) => format!("option {option} in group {group}"),
            (Some(group), None) => format!("group {group}"),
            (None, _) => "any options".to_owned(),
        };
        Fault::not_found(format!(
            "Could not find {what} in domain configuration for domain {domain_id}."
        ))
    }

    fn has(&self, group: &str, option: &str) -> bool {
        let is = |own: &Option<String>, other: &str| own.as_ref().is_none_or(|own| own == other);
        is(&self.group, group) && is(&self.option, option)
    }

    /// What answers show of some options: those of a path that names an option bare, others by group.
    fn shown<'a>(
        &self,
        all: impl IntoIterator<Item = (&'a str, &'a str, Value)>,
    ) -> Option<Map<String, Value>> {
        let mut shown = Map::new();
        for (group, option, value) in all {
            if !self.has(group, option) || options::is_sensitive(group, option) {
                continue;
            }
            if self.option.is_some() {
                shown.insert(option.to_owned(), value);
            } else {
                let inside = shown.entry(group).or_insert_with(|| json!({}));
                inside[option] = value;
            }
        }
        (!shown.is_empty()).then_some(shown)
    }
}

fn unsupported_group(group: &str) -> Fault {
    invalid(&format!(
        "Group {group} is not supported for domain specific configurations"
    ))
}

fn unsupported(group: &str, option: &str) -> Fault {
    invalid(&format!(
        "Option {option} in group {group} is not supported for domain specific configurations"
    ))
}

fn flat(options: &Options) -> impl Iterator<Item = (&str, &str, Value)> {
    options.iter().flat_map(|(group, options)| {
        let of_group = options.iter();
        of_group.map(move |(option, value)| (group.as_str(), option.as_str(), value.clone()))
    })
}

/// The options of a body that a path's part permits.
fn options_of(mut body: Value, part: &Part) -> Result<Options, Fault> {
    let Some(Value::Object(config)) = body.get_mut("config").map(Value::take) else {
        return Err(texts::expecting("config", "request body"));
    };
    let config = match (&part.group, &part.option) {
        (Some(group), Some(_)) => Map::from_iter([(group.clone(), Value::Object(config))]),
        _ => config,
    };
    let mut read = Options::new();
    for (group, inside) in config {
        let inside = match inside {
            Value::Object(inside) if !inside.is_empty() => inside,
            _ => {
                return Err(invalid(&format!(
                    "The value of group {group} specified in the config should be a dictionary of options"
                )));
            }
        };
        for option in inside.keys() {
            Part::of(&group, Some(option)).check()?;
        }
        read.insert(group, inside.into_iter().collect());
    }
    if read.is_empty() {
        return Err(invalid("No options specified"));
    }
    if let Some((group, option, _)) =
        flat(&read).find(|(group, option, _)| !part.has(group, option))
    {
        return Err(invalid(&format!(
            "Trying to update a part of the config that option {option} in group {group} is not of"
        )));
    }
    Ok(read)
}

fn stored(view: &impl View, domain_id: &str) -> Result<Options, Fault> {
    find::<Domain>(view, domain_id)?;
    let config = view.get::<DomainConfig>(domain_id)?;
    Ok(config.map(|config| config.options).unwrap_or_default())
}

fn store(writer: &Writer, domain_id: &str, options: Options) -> Result<(), Fault> {
    if json!(options).to_string().len() > BYTES_MAX {
        return Err(invalid("The configuration is too large"));
    }
    if options.is_empty() {
        writer.delete::<DomainConfig>(domain_id)?;
        return Ok(());
    }
    let id = domain_id.to_owned();
    Ok(writer.put(&DomainConfig { id, options })?)
}

/// Sets the options of a body over those of the domain.
fn merge(into: &mut Options, new: Options) {
    for (group, options) in new {
        into.entry(group).or_default().extend(options);
    }
}

async fn put(
    State(services): State<Services>,
    caller: Caller,
    Path(domain_id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_domain_config")?;
    let whole = Part::default();
    let new = options_of(body, &whole)?;
    let (status, shown) = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let status = match stored(writer, &domain_id)?.is_empty() {
                    true => StatusCode::CREATED,
                    false => StatusCode::OK,
                };
                let shown = whole.shown(flat(&new)).unwrap_or_default();
                store(writer, &domain_id, new)?;
                Ok::<_, Fault>((status, shown))
            })
        })
        .await?;
    Ok((status, Json(json!({"config": shown}))).into_response())
}

async fn get(
    State(services): State<Services>,
    caller: Caller,
    Place { domain_id, part }: Place,
) -> Reply {
    if part.group.as_deref() == Some(COMPLIANCE) {
        return compliance(services, domain_id, part).await;
    }
    require_reader(&caller, "identity:get_domain_config")?;
    part.check()?;
    let shown = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            let stored = catalogue.read(|view| stored(view, &domain_id))?;
            part.shown(flat(&stored))
                .ok_or_else(|| part.missing(&domain_id))
        })
        .await?;
    ok(json!({"config": shown}))
}

/// Everybody is told what passwords must be like, by the rules of the default domain.
async fn compliance(services: Services, domain_id: String, part: Part) -> Reply {
    if domain_id != DEFAULT_DOMAIN {
        let reason = "Reading security compliance information for any domain other than the default domain is not allowed or supported";
        return Err(invalid(reason).into());
    }
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|view| find::<Domain>(view, &domain_id))
        })
        .await?;
    let options = COMPLIANCE_OPTIONS.map(|option| (COMPLIANCE, option, Value::Null));
    let shown = part.shown(options).ok_or_else(|| {
        invalid("Reading security compliance values other than password_regex and password_regex_description is not allowed")
    })?;
    ok(json!({"config": shown}))
}

async fn patch(
    State(services): State<Services>,
    caller: Caller,
    Place { domain_id, part }: Place,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_domain_config")?;
    part.check()?;
    let new = options_of(body, &part)?;
    let shown = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut options = stored(writer, &domain_id)?;
                if part.group.is_some()
                    && !flat(&options).any(|(group, option, _)| part.has(group, option))
                {
                    return Err(part.missing(&domain_id));
                }
                merge(&mut options, new);
                let shown = Part::default().shown(flat(&options));
                store(writer, &domain_id, options)?;
                Ok::<_, Fault>(shown.unwrap_or_default())
            })
        })
        .await?;
    ok(json!({"config": shown}))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Place { domain_id, part }: Place,
) -> Reply {
    require_admin(&caller, "identity:delete_domain_config")?;
    part.check()?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut options = stored(writer, &domain_id)?;
                let before = flat(&options).count();
                for (group, inside) in &mut options {
                    inside.retain(|option, _| !part.has(group, option));
                }
                options.retain(|_, inside| !inside.is_empty());
                if part.group.is_some() && flat(&options).count() == before {
                    return Err(part.missing(&domain_id));
                }
                store(writer, &domain_id, options)
            })
        })
        .await?;
    no_content()
}

async fn presets(caller: Caller, Place { part, .. }: Place) -> Reply {
    require_reader(&caller, "identity:get_domain_config_default")?;
    part.check()?;
    let all = GROUPS.into_iter().flat_map(|group| {
        options::presets(group).map(move |(option, value)| (group, option, value))
    });
    let shown = part
        .shown(all)
        .ok_or_else(|| invalid("Reading the default for this option is not supported"))?;
    ok(json!({"config": shown}))
}
