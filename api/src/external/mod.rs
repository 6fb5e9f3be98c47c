//! A Keystone elsewhere, which says who callers are when Identity is not served here.
//!
//! Tokens are shown to it with a token of our own user there. Its answers hold for a bounded time, in
//! which a revocation may go unnoticed, and for a bounded number of tokens; what is asked about one
//! token at the same time is one request. When it does not answer, callers are told so soon (503):
//! they are neither let in nor turned away for good.
//!
//! Tokens of application credentials with access rules are refused: the Keystone validates them only
//! for services that say they enforce the rules, and this one does not.
//!
//! A [`glance`] elsewhere is asked with the tokens of its users.

mod cache;
mod client;
pub mod glance;
mod login;
mod pairing;
mod requests;
#[cfg(test)]
pub(crate) mod tests;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, StatusCode};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::auth::Caller;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::policy::Rules;
use cache::{Cache, Key};
use client::{Http, NoAnswer};
use login::Login;
pub use pairing::Check;
use token::Validated;

/// Longest text looked at as a token: the Keystone's own, with room for signed ones.
const TOKEN_BYTES_MAX: usize = 8192;
/// Tokens asked about at the same time; more are turned away until some are answered.
const FLIGHTS_MAX: usize = 256;
/// How long a caller waits for all requests that its own needs.
const PATIENCE: Duration = Duration::from_secs(15);
/// Header with the token of who asks.
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// Role of users that speak for services.
const SERVICE_ROLE: &str = "service";

/// Where the Keystone is and who we are there. Shows no password.
#[derive(Clone)]
pub struct Settings {
    /// Its URL, without the version.
    pub url: String,
    /// PEM text of the CA of its certificate; `None` is the system's.
    pub ca: Option<Vec<u8>>,
    /// Name of our user.
    pub user: Zeroizing<String>,
    /// Its password.
    pub password: Zeroizing<String>,
    /// Domain of our user, by name.
    pub user_domain: String,
    /// Project that our user has its role on, by name.
    pub project: String,
    /// Domain of that project, by name.
    pub project_domain: String,
    /// How long an answer about a token holds.
    pub cache: Duration,
}

/// Why the Keystone's word could not be had. The reason is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Keystone service is temporarily unavailable")]
pub struct Unavailable;

impl From<NoAnswer> for Unavailable {
    fn from(_: NoAnswer) -> Self {
        Self
    }
}

impl From<Unavailable> for Fault {
    fn from(_: Unavailable) -> Self {
        Self::no_identity()
    }
}

/// Settings that no client can be made of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// The Keystone. Cheap to clone.
#[derive(Clone)]
pub struct Keystone(Arc<Inner>);

struct Inner {
    http: Http,
    settings: Settings,
    clock: Clock,
    login: tokio::sync::Mutex<Login>,
    known: Mutex<Known>,
}

type Outcome = Result<Option<Arc<Validated>>, Unavailable>;
type Flight = watch::Receiver<Option<Outcome>>;

struct Known {
    cache: Cache,
    flights: HashMap<Key, Flight>,
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keystone")
            .field(&self.0.settings.url)
            .finish()
    }
}

/// Whether a token that has expired may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Expired {
    /// It may not.
    Refused,
    /// It may: a service goes on with what a user began.
    Allowed,
}

impl Keystone {
    /// The Keystone of these settings; it is not asked yet.
    ///
    /// # Errors
    /// When the CA is none.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, SettingsError> {
        let http = Http::new("Keystone", &settings.url, settings.ca.as_deref())?;
        let cache = Cache::new(settings.cache);
        Ok(Self(Arc::new(Inner {
            http,
            settings,
            clock,
            login: tokio::sync::Mutex::default(),
            known: Mutex::new(Known {
                cache,
                flights: HashMap::new(),
            }),
        })))
    }

    /// Its URL, without the version.
    pub fn url(&self) -> &str {
        &self.0.settings.url
    }

    /// The caller of a token, and of the token of the service that asks for its user, if one does.
    ///
    /// # Errors
    /// 401 for tokens that are not good, 503 when it cannot be known.
    pub(crate) async fn caller_of(
        &self,
        text: &str,
        service: Option<&str>,
        rules: Arc<Rules>,
    ) -> Result<Caller, Fault> {
        let mut expired = Expired::Refused;
        if let Some(service) = service {
            let found = self.validate(service, Expired::Refused).await?;
            let found = found.ok_or_else(Fault::unauthorized)?;
            if found.has_role(SERVICE_ROLE) {
                expired = Expired::Allowed;
            }
        }
        let found = self.validate(text, expired).await?;
        let found = found.ok_or_else(Fault::unauthorized)?;
        Ok(found.caller(text, rules))
    }

    /// Whether there is a project of this id.
    pub(crate) async fn has_project(&self, id: &str) -> Result<bool, Unavailable> {
        // Others could lead elsewhere as part of a path, and are no ids there.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || id.len() > 64 || !id.bytes().all(fits) {
            return Ok(false);
        }
        let path = ["v3", "projects", id];
        match self.get(&path, None).await?.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => {
                tracing::error!(%status, "Keystone does not tell of projects");
                Err(Unavailable)
            }
        }
    }

    /// What a token stands for; `None` when it is not good.
    async fn validate(&self, text: &str, expired: Expired) -> Outcome {
        let Some(key) = Key::of(text, expired) else {
            return Ok(None);
        };
        let now_us = self.0.clock.now_us();
        let known = match self.join(&key, text, now_us)? {
            Joined::Known(known) => known,
            Joined::Flight(flight) => self.arrival(flight, &key).await?,
        };
        let good = |found: &Arc<Validated>| expired == Expired::Allowed || found.lasts(now_us);
        Ok(known.filter(good))
    }

    /// What is known of a token, or the request under way for it, begun if need be.
    fn join(&self, key: &Key, text: &str, now_us: u64) -> Result<Joined, Unavailable> {
        let mut known = self.known();
        if let Some(found) = known.cache.find(key, now_us) {
            return Ok(Joined::Known(found));
        }
        if let Some(flight) = known.flights.get(key) {
            return Ok(Joined::Flight(flight.clone()));
        }
        if known.flights.len() >= FLIGHTS_MAX {
            tracing::error!("too many tokens wait for Keystone");
            return Err(Unavailable);
        }
        let (sender, flight) = watch::channel(None);
        known.flights.insert(key.clone(), flight.clone());
        let (own, key, text) = (self.clone(), key.clone(), Zeroizing::new(text.to_owned()));
        // A task of its own: who asked first may leave, and others wait for the same answer.
        tokio::spawn(async move { sender.send_replace(Some(own.fly(key, &text).await)) });
        Ok(Joined::Flight(flight))
    }

    async fn arrival(&self, mut flight: Flight, key: &Key) -> Outcome {
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Unavailable)),
            Err(_) => {
                // Its task ended without an answer; the next begins another.
                self.known().flights.remove(key);
                Err(Unavailable)
            }
        }
    }

    async fn fly(&self, key: Key, text: &str) -> Outcome {
        let outcome = tokio::time::timeout(PATIENCE, self.ask(text, key.expired())).await;
        let outcome = outcome.unwrap_or_else(|_| {
            tracing::error!("Keystone does not answer in time");
            Err(Unavailable)
        });
        let now_us = self.0.clock.now_us();
        let mut known = self.known();
        if let Ok(found) = &outcome {
            known.cache.keep(key.clone(), found.clone(), now_us);
        }
        known.flights.remove(&key);
        outcome
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Joined {
    Known(Option<Arc<Validated>>),
    Flight(Flight),
}
