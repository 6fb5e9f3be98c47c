//! Logging in, the catalogue, and requests under a token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::Agent;
use url::Url;

use super::agent::{self, Answer, Call};
use super::cloud::{Credentials, Domain, User};
use super::secret::Secret;
use super::{Cloud, Error, ErrorKind, Result, Scope};
use crate::types::identity::{CatalogService, TokenBody};

/// Newest microversion whose answers this client reads: since 3.66 a snapshot of a volume in use
/// needs no `force`.
const MICROVERSION: &str = "volume 3.66";

/// A service of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Block Storage v3.
    BlockStorage,
    /// `/cinderblock/v1`.
    Native,
    /// Identity v3, where the client logs in.
    Identity,
}

impl Service {
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::BlockStorage => &["block-storage", "volumev3"],
            Self::Native => &["cinderblock"],
            Self::Identity => &["identity"],
        }
    }
}

/// What a login gave.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: Secret,
    pub(super) expires_at: String,
    pub(super) user: String,
    pub(super) project: Option<String>,
    catalogue: Vec<CatalogService>,
}

/// A client of one cloud. It logs in with its first request; clones share nothing but time limits.
pub struct Client {
    cloud: Cloud,
    agent: Agent,
    session: Mutex<Option<Arc<Session>>>,
}

impl Client {
    /// A client whose requests take at most `timeout` each.
    ///
    /// # Errors
    /// `Settings` when the file of certificates cannot be read.
    pub fn new(cloud: Cloud, timeout: Duration) -> Result<Self> {
        Ok(Self {
            agent: agent::build(&cloud, timeout)?,
            cloud,
            session: Mutex::new(None),
        })
    }

    /// The cloud it talks to.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The id of the project that the token is for.
    ///
    /// # Errors
    /// Those of logging in.
    pub fn project_id(&self) -> Result<Option<String>> {
        Ok(self.session()?.project.clone())
    }

    pub(super) fn get<T: DeserializeOwned>(&self, service: Service, path: &str) -> Result<T> {
        read(&self.send(service, &Method::GET, path, None)?)
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        read(&self.send(service, &Method::POST, path, Some(encode(body)?))?)
    }

    pub(super) fn put<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        read(&self.send(service, &Method::PUT, path, Some(encode(body)?))?)
    }

    pub(super) fn patch<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        read(&self.send(service, &Method::PATCH, path, Some(encode(body)?))?)
    }

    /// A PUT without a body and an answer without one.
    pub(super) fn put_empty(&self, service: Service, path: &str) -> Result<()> {
        self.send(service, &Method::PUT, path, None)?;
        Ok(())
    }

    /// A DELETE of what a token of its own names.
    pub(super) fn delete_subject(&self, path: &str, subject: &Secret) -> Result<()> {
        let session = self.session()?;
        let call = Call {
            subject: Some(subject),
            ..self.call(&session, Service::Identity, Method::DELETE, path)?
        };
        check(agent::exchange(&self.agent, &call)?)?;
        Ok(())
    }

    /// A POST whose answer has no body worth reading.
    pub(super) fn act(&self, service: Service, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(service, &Method::POST, path, Some(encode(body)?))?;
        Ok(())
    }

    pub(super) fn delete(&self, service: Service, path: &str) -> Result<()> {
        self.send(service, &Method::DELETE, path, None)?;
        Ok(())
    }

    fn send(
        &self,
        service: Service,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let session = self.session()?;
        let mut answer = self.send_under(&session, service, method, path, body.clone())?;
        if answer.status == 401 && self.can_log_in_again() {
            self.forget(&session);
            answer = self.send_under(&*self.session()?, service, method, path, body)?;
        }
        check(answer)
    }

    fn send_under(
        &self,
        session: &Session,
        service: Service,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer> {
        let call = Call {
            body,
            ..self.call(session, service, method.clone(), path)?
        };
        agent::exchange(&self.agent, &call)
    }

    fn call<'a>(
        &self,
        session: &'a Session,
        service: Service,
        method: Method,
        path: &str,
    ) -> Result<Call<'a>> {
        Ok(Call {
            method,
            url: join(&self.endpoint(session, service)?, path)?,
            token: Some(&session.token),
            subject: None,
            microversion: (service == Service::BlockStorage).then_some(MICROVERSION),
            body: None,
        })
    }

    fn can_log_in_again(&self) -> bool {
        matches!(self.cloud.credentials, Credentials::Password { .. })
    }

    pub(super) fn session(&self) -> Result<Arc<Session>> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*slot {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.log_in()?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Drops `stale` unless another thread has replaced it already.
    fn forget(&self, stale: &Arc<Session>) {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|held| Arc::ptr_eq(held, stale)) {
            *slot = None;
        }
    }

    fn log_in(&self) -> Result<Session> {
        let call = Call {
            method: Method::POST,
            url: join(&self.identity()?, "auth/tokens")?,
            token: None,
            subject: None,
            microversion: None,
            body: Some(encode(&auth_body(&self.cloud))?),
        };
        let answer = check(agent::exchange(&self.agent, &call)?)
            .map_err(|error| in_login(&self.cloud, &error))?;
        let token = answer.subject_token.clone();
        let body: TokenBody = read(&answer)?;
        Ok(Session {
            token: token.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "the Identity service gave no token")
            })?,
            expires_at: body.token.expires_at,
            user: body.token.user.id,
            project: body.token.project.map(|project| project.id),
            catalogue: body.token.catalog.unwrap_or_default(),
        })
    }

    /// Version 3 of Identity, whether or not the cloud's address says the version.
    fn identity(&self) -> Result<Url> {
        let url = &self.cloud.auth_url;
        match url.path().trim_end_matches('/').ends_with("/v3") {
            true => Ok(url.clone()),
            false => join(url, "v3"),
        }
    }

    fn endpoint(&self, session: &Session, service: Service) -> Result<Url> {
        if service == Service::Identity {
            return self.identity();
        }
        if let (Service::BlockStorage, Some(url)) = (service, &self.cloud.volume_endpoint) {
            return Ok(url.clone());
        }
        let wanted = service.types();
        let mut endpoints = session
            .catalogue
            .iter()
            .filter(|entry| wanted.contains(&entry.service_type.as_str()))
            .flat_map(|entry| &entry.endpoints)
            .filter(|endpoint| endpoint.interface == self.cloud.interface)
            .filter(|endpoint| self.in_region(endpoint.region_id.as_ref()));
        let found = endpoints.next().ok_or_else(|| {
            let text = format!("the catalogue has no {} service", wanted[0]);
            Error::new(ErrorKind::NotFound, text)
        })?;
        Url::parse(&found.url)
            .map_err(|error| Error::new(ErrorKind::Protocol, format!("{}: {error}", found.url)))
    }

    fn in_region(&self, region: Option<&String>) -> bool {
        match (&self.cloud.region, region) {
            (Some(wanted), Some(region)) => wanted == region,
            _ => true,
        }
    }
}

fn in_login(cloud: &Cloud, error: &Error) -> Error {
    let text = match error.kind() {
        ErrorKind::NotFound => "no Identity service there".to_owned(),
        _ => error.to_string(),
    };
    Error::new(
        error.kind(),
        format!("logging in at {}: {text}", cloud.address()),
    )
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn auth_body(cloud: &Cloud) -> Value {
    let identity = match &cloud.credentials {
        Credentials::Token(token) => {
            json!({"methods": ["token"], "token": {"id": token.reveal()}})
        }
        Credentials::Password { user, password } => {
            let password = password.reveal();
            let user = match user {
                User::Id(id) => json!({"id": id, "password": password}),
                User::Name { name, domain: of } => {
                    json!({"name": name, "domain": domain(of), "password": password})
                }
            };
            json!({"methods": ["password"], "password": {"user": user}})
        }
    };
    let mut auth = json!({ "identity": identity });
    let scope = match &cloud.scope {
        Scope::ProjectId(id) => json!({"project": {"id": id}}),
        Scope::ProjectName { name, domain: of } => {
            json!({"project": {"name": name, "domain": domain(of)}})
        }
        Scope::Domain(of) => json!({"domain": domain(of)}),
        Scope::System => json!({"system": {"all": true}}),
        Scope::Unscoped => return json!({ "auth": auth }),
    };
    auth["scope"] = scope;
    json!({ "auth": auth })
}

fn check(answer: Answer) -> Result<Answer> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let id = answer.request_id.as_deref();
    Err(Error::of_answer(answer.status, &answer.body, id))
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body)
        .map_err(|error| Error::new(ErrorKind::BadRequest, format!("unsendable: {error}")))
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    // The error's place and kind are told, not the bytes.
    serde_json::from_slice(&answer.body).map_err(|error| {
        let text = format!("the service's answer is not understood: {error}");
        Error::new(ErrorKind::Protocol, text)
    })
}

/// `base` with `path` appended; `path` may carry a query.
fn join(base: &Url, path: &str) -> Result<Url> {
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}/{path}"))
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("{base}: {error}")))
}
