//! A Glance elsewhere, which has the images when Image is not served here.
//!
//! What a caller asks for is asked there with the caller's own token, so that Glance decides what the
//! caller sees and may do. Our own token goes along as that of a service, which lets it take a token
//! that has expired meanwhile. Jobs go on with the caller's token too; it is lent to them in memory
//! alone (`lent`), and a job that has none, after a restart, asks as ourselves.
//!
//! Handlers await requests; jobs, which block, have a thread that makes them (`waiting`). Every
//! request, and every piece of an image's bytes, has its time.

mod image;
mod lent;
mod pairing;
mod requests;
#[cfg(test)]
pub(crate) mod tests;
mod transfer;
mod waiting;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::client::{Http, NoAnswer};
use super::{Keystone, SettingsError, Unavailable};
use crate::fault::{Fault, FaultKind};
use crate::jobs::JobError;
pub(crate) use image::{Draft, Image};
use lent::Lent;
pub(crate) use transfer::{Download, upload};
use waiting::Thread;

/// What callers are told when Glance is not heard from; the reason is in the log.
const AWAY: &str = "The Image service is temporarily unavailable.";

/// Where the Glance is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its URL, without the version.
    pub url: String,
    /// PEM text of the CA of its certificate; `None` is the system's.
    pub ca: Option<Vec<u8>>,
}

/// The Glance. Cheap to clone.
#[derive(Clone)]
pub struct Glance(Arc<Inner>);

struct Inner {
    http: Http,
    url: String,
    keystone: Keystone,
    thread: Thread,
    lent: Mutex<Lent>,
}

impl fmt::Debug for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Glance").field(&self.0.url).finish()
    }
}

/// The token of a caller, to be shown to Glance. Shows itself to nobody else.
#[derive(Clone)]
pub(crate) struct UserToken(Arc<Zeroizing<String>>);

impl UserToken {
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.to_owned())))
    }

    fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserToken")
    }
}

/// Why Glance did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It does not answer, or makes no sense.
    #[error("{AWAY}")]
    Away,
    /// There is no such image for whoever asks.
    #[error("the image could not be found")]
    Unseen,
    /// It says no, and why.
    #[error("the Image service refuses: {1}")]
    Refused(StatusCode, String),
}

impl From<NoAnswer> for Error {
    fn from(_: NoAnswer) -> Self {
        Self::Away
    }
}

impl From<Unavailable> for Error {
    fn from(_: Unavailable) -> Self {
        Self::Away
    }
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Away => Self::new(FaultKind::Unavailable, AWAY),
            Error::Unseen => Self::not_found("The image could not be found."),
            Error::Refused(StatusCode::PAYLOAD_TOO_LARGE, why) => {
                Self::new(FaultKind::OverQuota, why)
            }
            Error::Refused(_, why) => Self::bad_request(why),
        }
    }
}

impl Glance {
    /// The Glance of these settings, in the cloud of a Keystone; it is not asked yet.
    ///
    /// # Errors
    /// When the CA is none, or the system has no more threads.
    pub fn new(settings: &Settings, keystone: Keystone) -> Result<Self, SettingsError> {
        Ok(Self(Arc::new(Inner {
            http: Http::new("Glance", &settings.url, settings.ca.as_deref())?,
            url: settings.url.clone(),
            keystone,
            thread: Thread::start().map_err(|error| SettingsError(error.to_string()))?,
            lent: Mutex::default(),
        })))
    }

    /// Lends a caller's token to the job of an id.
    pub(crate) fn lend(&self, job: Uuid, token: &UserToken) {
        let now_us = self.0.keystone.0.clock.now_us();
        let mut lent = self.0.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.put(job, token.clone(), now_us);
    }

    /// The token that was lent to a job, once.
    pub(crate) fn borrowed(&self, job: Uuid) -> Option<UserToken> {
        let mut lent = self.0.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.take(job)
    }
}
